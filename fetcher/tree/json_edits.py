"""Edits of placed JSON files: keys that hold a path on this machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.verify.contract import json_text

MAX_BYTES = 64 * 1024 * 1024


def expand(values: Mapping[str, object], root: Path) -> dict[str, object]:
    """The values with `{root}` replaced by the absolute root, in every text of them."""
    absolute = str(root.absolute())

    def replace(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("{root}", absolute)
        if isinstance(value, list):
            return [replace(item) for item in value]
        if isinstance(value, dict):
            return {key: replace(item) for key, item in value.items()}
        return value

    return {key: replace(value) for key, value in values.items()}


def fingerprint(values: Mapping[str, object]) -> str:
    """A short digest of what would be set, "" for nothing."""
    if not values:
        return ""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def apply(data: bytes, values: Mapping[str, object], name: str) -> bytes:
    """The JSON file `data` with keys set; a key that starts with '/' is a JSON pointer.

    Applying it twice changes nothing more. Raises Failure.
    """
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(t("too large"))
        text = data.decode("utf-8-sig")
        content = json_text.loads(text)
        if not isinstance(content, dict):
            raise ValueError(t("not an object"))
    except (ValueError, RecursionError) as error:
        raise Failure(
            "edit",
            t("{name} cannot be edited: no JSON object ({error})", name=name, error=error),
            t("remove it from the layout's edits, or check the file upstream"),
            file=name,
        ) from error
    _refuse_overlaps(values, name)
    for key, value in values.items():
        _set(content, key, value, name)
    return _dumped_like(text, content)


def _steps(key: str) -> list[str]:
    """The way to a key: itself, or the steps of a JSON pointer."""
    if not key.startswith("/"):
        return [key]
    return [step.replace("~1", "/").replace("~0", "~") for step in key[1:].split("/")]


def _refuse_overlaps(values: Mapping[str, object], name: str) -> None:
    """Two keys of which one lies within the other would undo each other. Raises Failure."""
    ways = sorted((_steps(key), key) for key in values)
    for (steps, key), (below, other) in pairwise(ways):
        if below[: len(steps)] == steps:
            raise Failure(
                "edit",
                t(
                    "{name}: the edits {key!r} and {other!r} set the same place",
                    name=name,
                    key=key,
                    other=other,
                ),
                t("keep one of them"),
                file=name,
            )


def _dumped_like(text: str, content: Any) -> bytes:
    """JSON with the indentation, the escapes and the last line end of `text`."""
    indent = re.match(r"\s*\{\s*\n([ \t]+)\"", text)
    end = "\n" if text.endswith("\n") else ""
    spaces = indent and indent[1]
    if not text.isascii():
        try:
            return (json.dumps(content, indent=spaces, ensure_ascii=False) + end).encode()
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can only hold escaped
            pass
    return (json.dumps(content, indent=spaces) + end).encode()


def _set(content: dict[str, object], key: str, value: Any, name: str) -> None:
    steps = _steps(key)
    place: Any = content
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        if isinstance(place, dict):
            if last:
                place[step] = value
            place = place.setdefault(step, {})
        elif (
            isinstance(place, list) and re.fullmatch(r"[0-9]{1,9}", step) and int(step) < len(place)
        ):
            if last:
                place[int(step)] = value
            place = place[int(step)]
        else:
            raise Failure(
                "edit",
                t("{name} has no place {key!r} to set", name=name, key=key),
                t("a key that starts with '/' is a JSON pointer, whose lists must be long enough"),
                file=name,
            )
