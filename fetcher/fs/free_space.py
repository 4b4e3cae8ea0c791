"""How much room there is where a file or folder would lie that need not be there yet, and how much
a file takes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def nearest_folder(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Bytes free on the disk on which `path` lies or would lie. Raises OSError."""
    return shutil.disk_usage(nearest_folder(path.absolute())).free


def allocated(stat: os.stat_result) -> int:
    """Bytes of disk that a file takes: with holes, or small, not what its length says."""
    return int(getattr(stat, "st_blocks", stat.st_size // 512) * 512)


def filled(stat: os.stat_result) -> int:
    """Bytes of a file that are there: its length, less the holes in it."""
    return min(stat.st_size, getattr(stat, "st_blocks", stat.st_size // 512 + 1) * 512)
