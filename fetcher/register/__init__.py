"""Registering a model or dataset: fields in steps, checks, and the YAML that they come to.

Nothing here asks or prints: `fetch add` and a web form use the same parts.
"""
