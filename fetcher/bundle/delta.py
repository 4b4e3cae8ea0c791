"""Have-lists: what a site has, small enough to be carried back, and what a delta may leave out."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.mirror.bundle import is_bundle, open_bundle

HEAD = "# fetch.have/1"
# 96 bits: two contents of one site do not share them by chance, and an import that was misled
# by somebody's intent refuses the delta.
DIGITS = 24
_LINE = re.compile(rf"([0-9a-f]{{{DIGITS},64}})(?:  \S.*)?")


def dumps(digests: Iterable[str]) -> str:
    """A have-list as text: the beginning of each digest, sorted, one a line."""
    lines = sorted({digest[:DIGITS] for digest in digests})
    return "\n".join([HEAD, *lines, ""])


def loads(text: str, shown: str) -> Callable[[str], bool]:
    """What tells whether a digest is in a have-list, or in what `sha256sum` writes.

    Raises UsageError.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            if number == 1 and line != HEAD:
                raise UsageError(
                    t(
                        "{shown}: {line!r} is no have-list that this version reads",
                        shown=shown,
                        line=line[:40],
                    )
                )
            continue
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise UsageError(
                t("{shown}: line {number} is no digest", shown=shown, number=number),
                t("name a bundle, or what `fetch mirror have` wrote"),
            )
        found.append(parts[1][:DIGITS])
    found.sort()

    def has(sha256: str) -> bool:
        key = sha256[:DIGITS]
        index = bisect_left(found, key)
        return index < len(found) and found[index] == key

    return has


def since(path: str) -> Callable[[str], bool]:
    """What the other side has, by a bundle that it got or by its have-list.

    Raises UsageError, Failure.
    """
    if Path(path).is_file() and _is_text(path):
        try:
            return loads(Path(path).read_text("ascii"), path)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(t("{path} cannot be read: {error}", path=path, error=error)) from error
    if not is_bundle(path):
        raise UsageError(
            t("--since {path}: no bundle and no have-list there", path=path),
            t("name the bundle that the other side has, or what `fetch mirror have` wrote there"),
        )
    bundle = open_bundle(path)
    try:
        # A delta that was imported stands on its base, so all that it names is there.
        known = {*bundle.contents.payload(), *bundle.contents.metadata()}
    finally:
        bundle.close()
    return known.__contains__


def _is_text(path: str) -> bool:
    with open(path, "rb") as stream:  # noqa: PTH123
        head = stream.read(512)
    return head.startswith(b"#") or _LINE.match(head.decode("latin-1")) is not None
