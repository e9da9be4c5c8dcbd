"""Lip sync without a download: a voice moves the mouth that the source itself shows."""
