"""Kills, full disks, failing disks and power cuts, at every call that writes."""
