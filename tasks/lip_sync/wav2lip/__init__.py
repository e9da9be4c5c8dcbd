"""The Wav2Lip backend of lip sync: a network redraws the lower half of a face as a voice asks."""
