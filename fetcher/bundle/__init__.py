"""Bundles, from export to import: written, checked, signed, pushed to registries and pulled."""
