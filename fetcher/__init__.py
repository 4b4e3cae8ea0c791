"""Artifact manager and offline model fetcher for machine-learning projects."""

__version__ = "0.1.0"
