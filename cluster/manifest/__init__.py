"""Manifests: many render jobs written down, read whole and checked whole before anything runs."""
