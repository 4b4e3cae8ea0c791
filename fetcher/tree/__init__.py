"""The project's tree: what stands there, what a run would do to it, and placing files."""
