"""The store: contents by their sha256, for all clones."""
