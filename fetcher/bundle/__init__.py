"""Carrying artifacts between sites: bundles and registries, written, proven and taken in."""
