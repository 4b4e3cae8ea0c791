"""Networks computed from their state dicts alone."""
