"""What a probe shows besides checks and metrics: fingerprints, tables and pictures.

Probes run other people's models, so what arrives here is judged before it is believed. Read by
both interpreters: syntax of Python 3.8.
"""

from __future__ import annotations

import math
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fetcher.verify.contract.png import BadPictureError, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from fetcher.verify.contract.wire import (
        ChildEvent,
        FactJson,
        FingerprintJson,
        PictureJson,
        TableJson,
    )

    Cell = str | int | float | bool | None
    Exhibit = TypeVar("Exhibit")

MAX_FINGERPRINTS = 512
MAX_FACTS = 64
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

    `samples` are values at fixed, evenly spread places of the flattened output. `sketch` are sums
    over all its values with signs that are the same for ever, divided by the root of their number:
    whatever moves or changes shows there. `tolerance` is the deviation that is allowed in a
    comparison, as a share of the values' spread; None: by dtype.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    std: float
    low: float
    high: float
    samples: tuple[float, ...]
    tolerance: float | None = None
    sketch: tuple[float, ...] = ()

    def to_json(self) -> FingerprintJson:
        """Return a mapping that `json` can write, for `from_json`."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "mean": self.mean,
            "std": self.std,
            "low": self.low,
            "high": self.high,
            "samples": list(self.samples),
            "sketch": list(self.sketch),
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, object]) -> Fingerprint:
        """Read what `to_json` returned. Raises KeyError, TypeError, ValueError."""
        shape = tuple(int(_number(size)) for size in _items(plain["shape"]))
        samples = tuple(_number(value) for value in _items(plain["samples"]))
        sketch = tuple(_number(value) for value in _items(plain.get("sketch", ())))
        if len(shape) > 16 or not 0 < len(samples) <= MAX_SAMPLES or len(sketch) > MAX_SAMPLES:
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
            sketch,
        )


@dataclass(frozen=True)
class Fact:
    """What a probe read or got that is the same on every device: a short text, or a digest."""

    name: str
    value: str

    def to_json(self) -> FactJson:
        """Return a mapping that `json` can write, for `from_json`."""
        return {"name": self.name, "value": self.value}

    @classmethod
    def from_json(cls, plain: Mapping[str, object]) -> Fact:
        """Read what `to_json` returned. Raises KeyError."""
        return cls(_text(plain["name"]), _text(plain["value"]))


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under column titles, for the report."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""

    def to_json(self) -> TableJson:
        """Return a mapping that `json` can write, for `from_json`."""
        return {
            "name": self.name,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "caption": self.caption,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, object]) -> Table:
        """Read what `to_json` returned, cut to what a report can hold. Raises as above."""
        columns = tuple(_text(column) for column in _items(plain["columns"])[:MAX_COLUMNS])
        rows = tuple(
            tuple(_cell(cell) for cell in _items(row)[: len(columns)])
            for row in _items(plain["rows"])[:MAX_ROWS]
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

    def to_json(self) -> PictureJson:
        """Return what is said about it; `from_json` gives it back without its bytes."""
        return {
            "name": self.name,
            "caption": self.caption,
            "width": self.width,
            "height": self.height,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, object]) -> Picture:
        """Read what `to_json` returned. Raises KeyError, TypeError, ValueError."""
        width, height = int(_number(plain["width"])), int(_number(plain["height"]))
        return cls(_text(plain["name"]), _text(plain.get("caption", "")), width, height)


def fingerprints_of(events: Iterable[ChildEvent]) -> tuple[Fingerprint, ...]:
    """Return the fingerprints among a child's events, without those that make no sense."""
    found = (
        _read(Fingerprint.from_json, event)
        for event in _named(events, "fingerprint", MAX_FINGERPRINTS)
    )
    return tuple(one for one in found if one is not None)


def facts_of(events: Iterable[ChildEvent]) -> tuple[Fact, ...]:
    """Return the facts among a child's events."""
    found = (_read(Fact.from_json, event) for event in _named(events, "fact", MAX_FACTS))
    return tuple(one for one in found if one is not None)


def tables_of(events: Iterable[ChildEvent]) -> tuple[Table, ...]:
    """Return the tables among a child's events."""
    found = (_read(Table.from_json, event) for event in _named(events, "table", MAX_TABLES))
    return tuple(one for one in found if one is not None)


def pictures_of(events: Iterable[ChildEvent], folder: Path) -> tuple[Picture, ...]:
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


def _named(events: Iterable[ChildEvent], kind: str, limit: int) -> list[ChildEvent]:
    return [event for event in events if event.get("event") == kind][:limit]


def _read(from_json: Callable[[ChildEvent], Exhibit], event: ChildEvent) -> Exhibit | None:
    try:
        return from_json(event)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _items(value: object) -> Sequence[object]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"expected a list, found {type(value).__name__}")
    return value


def _text(value: object) -> str:
    return "".join(c if c.isprintable() else " " for c in str(value)[:_MAX_TEXT])


def _cell(value: object) -> Cell:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return _text(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)
