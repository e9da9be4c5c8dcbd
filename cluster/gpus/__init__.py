"""What the GPUs of a node say of themselves while they render."""
