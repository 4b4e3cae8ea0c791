"""What a probe shows besides checks and metrics: fingerprints, tables and pictures.

Probes run other people's models, so what arrives here is judged before it is believed. Read by
both interpreters: syntax of Python 3.8.
"""

from __future__ import annotations

import math
import os
import re
import stat
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.png import BadPictureError, checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MAX_FINGERPRINTS = 64
MAX_TABLES = 16
MAX_ROWS = 200
MAX_COLUMNS = 20
MAX_PICTURES = 24
MAX_PICTURE_BYTES = 4 * 1024 * 1024
MAX_SAMPLES = 64
_MAX_TEXT = 500
_PICTURE_FILE = re.compile(r"\d{4}\.png")


@dataclass(frozen=True)
class Fingerprint:
    """A few numbers that tell one output from another.

    `samples` are values at fixed, evenly spread places of the flattened output. `tolerance` is the
    deviation that is allowed in a comparison, as a share of the values' spread; None: by dtype.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    std: float
    low: float
    high: float
    samples: tuple[float, ...]
    tolerance: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that `json` can write, for `from_json`."""
        return {**asdict(self), "shape": list(self.shape), "samples": list(self.samples)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Fingerprint:
        """Read what `to_json` returned. Raises KeyError, TypeError, ValueError."""
        shape = tuple(int(size) for size in plain["shape"])
        samples = tuple(_number(value) for value in plain["samples"])
        if len(shape) > 16 or not 0 < len(samples) <= MAX_SAMPLES:
            raise ValueError("a fingerprint of that form is not known")
        tolerance = plain.get("tolerance")
        return cls(
            _text(plain["name"]),
            shape,
            _number(plain["mean"]),
            _number(plain["std"]),
            _number(plain["low"]),
            _number(plain["high"]),
            samples,
            None if tolerance is None else _number(tolerance),
        )


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under column titles, for the report."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that `json` can write, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Table:
        """Read what `to_json` returned, cut to what a report can hold. Raises as above."""
        columns = tuple(_text(column) for column in plain["columns"][:MAX_COLUMNS])
        rows = tuple(
            tuple(_cell(cell) for cell in list(row)[: len(columns)])
            for row in plain["rows"][:MAX_ROWS]
        )
        return cls(_text(plain["name"]), columns, rows, _text(plain.get("caption", "")))


@dataclass(frozen=True)
class Picture:
    """A PNG for the report. In JSON it is described, its bytes are left out."""

    name: str
    caption: str
    width: int
    height: int
    png: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """Return what is said about it; `from_json` gives it back without its bytes."""
        plain = asdict(self)
        del plain["png"]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Picture:
        """Read what `to_json` returned. Raises KeyError, TypeError, ValueError."""
        width, height = int(plain["width"]), int(plain["height"])
        return cls(_text(plain["name"]), _text(plain.get("caption", "")), width, height)


def fingerprints_of(events: Iterable[Mapping[str, Any]]) -> tuple[Fingerprint, ...]:
    """Return the fingerprints among a child's events, without those that make no sense."""
    found = (_read(Fingerprint, event) for event in _named(events, "fingerprint", MAX_FINGERPRINTS))
    return tuple(one for one in found if one is not None)


def tables_of(events: Iterable[Mapping[str, Any]]) -> tuple[Table, ...]:
    """Return the tables among a child's events."""
    found = (_read(Table, event) for event in _named(events, "table", MAX_TABLES))
    return tuple(one for one in found if one is not None)


def pictures_of(events: Iterable[Mapping[str, Any]], folder: Path) -> tuple[Picture, ...]:
    """Return the pictures that a child left in `folder`; what is not a plain PNG is left out."""
    found = []
    for event in _named(events, "picture", MAX_PICTURES):
        file = event.get("file")
        if not isinstance(file, str) or not _PICTURE_FILE.fullmatch(file):
            continue
        try:
            png, width, height = checked(_regular_file(folder / file))
        except (OSError, BadPictureError):
            continue
        name, caption = _text(event.get("name", "")), _text(event.get("caption", ""))
        found.append(Picture(name, caption, width, height, png))
    return tuple(found)


def _regular_file(path: Path) -> bytes:
    """Read a file that the child made: never through a link, never from a pipe, never too much."""
    handle = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_PICTURE_BYTES:
            raise BadPictureError("not a file of sensible size")
        return stream.read(MAX_PICTURE_BYTES)


def _named(events: Iterable[Mapping[str, Any]], kind: str, limit: int) -> list[Mapping[str, Any]]:
    return [event for event in events if event.get("event") == kind][:limit]


def _read(kind: Any, event: Mapping[str, Any]) -> Any:
    try:
        return kind.from_json(event)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    return "".join(c if c.isprintable() else " " for c in str(value)[:_MAX_TEXT])


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return _text(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)
