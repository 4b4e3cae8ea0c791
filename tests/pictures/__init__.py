"""The recordings and screenshots of the documentation, made by `make pictures`."""
