"""Restoration of faces after a mouth was drawn: a network gives them the detail that drawing has lost."""
