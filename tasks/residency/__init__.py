"""Which models lie on a device, and what gives way when it is too small."""
