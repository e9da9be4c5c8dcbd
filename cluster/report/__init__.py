"""What a run says of itself afterwards: a JSON document and a page to look at."""
