"""The probes, a file for each kind of model."""
