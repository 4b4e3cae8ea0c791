"""Weight files: opened safely, described, compared with what a manifest says."""
