"""Mirrors: what places other than the sources hold, and how it is read there."""
