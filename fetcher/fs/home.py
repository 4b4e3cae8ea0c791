"""The person's home directory, which there may be none of: containers run as ids without a name."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path | None:
    """The home directory, None where neither HOME nor the system knows one."""
    found = os.path.expanduser("~")
    # A relative one would lie in whatever clone one stands in.
    return Path(found) if os.path.isabs(found) else None


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~user` replaced where they are known, else as it is."""
    return Path(os.path.expanduser(path))
