"""Planes on a device: a task asks for a region as float RGB and writes back what it touched."""
