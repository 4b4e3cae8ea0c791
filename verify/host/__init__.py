"""In fetch's own interpreter: starts the children, bounds them, reads what they found."""
