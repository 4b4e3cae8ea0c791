"""What touches the disk, and names on it."""
