"""Reading what a project already has (scripts, pages, lists) as manifest and layout.

Nothing of it is run: scripts are read statement by statement against a tree that exists only in
memory. What cannot be read is listed with its line.
"""
