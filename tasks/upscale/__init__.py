"""Larger pictures by a network: equal tiles that leave no seam."""
