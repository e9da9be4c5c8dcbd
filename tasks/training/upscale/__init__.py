"""Training of the embedded network that enlarges twice, and its figures."""
