"""The mean face that the embedding of our own is seen against, and what the embedding is worth."""
