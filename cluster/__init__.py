"""Machines: actors, placement, scheduling, reports and the command line; never holds a frame."""
