"""Time and files: probing, segments, decoding, encoding, stitching; knows nothing of machines."""
