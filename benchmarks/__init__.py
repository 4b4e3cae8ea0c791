"""Measurements against the tools that people use today, side by side, as ratios."""
