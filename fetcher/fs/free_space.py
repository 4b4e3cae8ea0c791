"""How much room there is where a file or folder would lie that need not be there yet."""

from __future__ import annotations

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
