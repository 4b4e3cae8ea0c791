"""Loads laid-out models with their own libraries; shared by probes and by applications.

Each module holds one kind of model and imports its libraries inside functions. Read by the
project's interpreter as well: syntax of Python 3.8.
"""
