"""From what journeys ask for to what cells do: one thread that listens, decides and hands out."""
