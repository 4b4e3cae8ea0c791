"""The catalog that comes with the package: manifests and layouts as data."""
