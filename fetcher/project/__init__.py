"""A project's documents: manifests, layouts, the lock file, and what they come to together."""
