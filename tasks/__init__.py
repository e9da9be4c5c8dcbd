"""Pictures on a device and what is done to them; knows nothing of time, files or machines."""
