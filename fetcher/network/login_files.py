"""Files in which other programs keep the person's logins; never one of a project."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from fetcher.fs.home import home

_log = logging.getLogger(__name__)

_LARGEST = 1 << 20  # bytes


def text_of(chosen: str | None, beneath: str) -> str:
    """A file's text, "" where there is none: a path of a variable, or one below the home."""
    own = home()
    path = chosen or (str(own / beneath) if own else "")
    # A relative one would lie in whatever clone one stands in.
    if not path or not os.path.isabs(path) or not os.path.isfile(path):
        return ""
    try:
        if os.path.getsize(path) > _LARGEST:
            raise ValueError("too large")
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be read: %s", path, error)
        return ""
