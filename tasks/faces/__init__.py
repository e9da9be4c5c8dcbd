"""Faces: where they are, their points, and how they move from frame to frame."""
