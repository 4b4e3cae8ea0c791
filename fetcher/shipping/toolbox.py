"""fetch itself as wheels with an install script, for a site that has no package index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wanted:
    """For whom the wheels are: Python version, platform tags, extras, constraints."""

    python: str | None
    platforms: tuple[str, ...]
    extras: tuple[str, ...]
    constraints: Path | None


def pack(wanted: Wanted, folder: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Fill `folder`; its files by name. Raises Failure, UsageError."""
    raise NotImplementedError
