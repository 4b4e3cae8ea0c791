"""File names, globs and numbered ranges, as `files` and `exclude` of a manifest use them.

`*` and `?` stay within one path segment, `**/` crosses any number of them, `[...]` is a set;
`{a,b}` lists alternatives and `{0..4}` or `{000000..009999}` a numbered range. A literal bracket
or star is written `[[]`, `[*]`; a name that is there to the letter always matches itself.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fetcher.fs.globs import BadPattern, compile_glob
from fetcher.i18n import t

MAX_NAMES = 2_000_000  # that a pattern, or a list of them, may stand for
MAX_CHARACTERS = 256_000_000  # of all these names
MAX_GLOBS = 1000  # that a pattern may stand for
# What it may cost to hold names against globs: so much, or so much for each of their characters.
_COST, _COST_OF_CHARACTER = 10_000_000_000, 1280

_BRACE = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,12})\.\.([0-9]{1,12})")
_LIKE_A_RANGE = re.compile(r"-?\w+(?:\.\.-?\w+)+")
_GLOB = re.compile(r"[*?\[]")


def _range_names(first: str, last: str) -> list[str]:
    low, high = int(first), int(last)
    if high < low:
        raise BadPattern(t("range {{{first}..{last}}} runs backwards", first=first, last=last))
    if high - low >= MAX_NAMES:
        raise BadPattern(
            t(
                "range {{{first}..{last}}} has more than {most:,} names",
                first=first,
                last=last,
                most=MAX_NAMES,
            )
        )
    return [str(number).zfill(len(first)) for number in range(low, high + 1)]


def _alternatives(body: str) -> list[str] | None:
    items: list[str] = []
    parts = [part.strip() for part in body.split(",")]
    for part in parts:
        numbers = _RANGE.fullmatch(part)
        if numbers:
            items += _range_names(numbers[1], numbers[2])
        elif _LIKE_A_RANGE.fullmatch(part):
            raise BadPattern(t("{{{part}}} is no range of numbers such as {{0..4}}", part=part))
        else:
            items.append(part)
    return items if len(parts) > 1 or _RANGE.fullmatch(parts[0]) else None


def expand(pattern: str) -> list[str]:
    """All names or globs that the braces of `pattern` stand for, in order.

    Raises BadPattern for a backwards or huge range, for too many names or globs, and for braces
    within braces.
    """
    if "{" not in pattern:
        return [pattern]
    if _BRACE.search(_BRACE.sub("", pattern)):
        raise BadPattern(t("{pattern!r} has braces within braces", pattern=_short(pattern)))
    names, size = [""], 0
    position = 0
    for brace in _BRACE.finditer(pattern):
        literal = pattern[position : brace.start()]
        choices = _alternatives(brace[1])
        if choices is None:
            choices = [brace[0]]
        count = len(names) * len(choices)
        size = (size + len(literal) * len(names)) * len(choices) + len(names) * sum(
            map(len, choices)
        )
        if count > MAX_NAMES or size > MAX_CHARACTERS:
            raise _too_many(pattern, MAX_NAMES)
        names = [name + literal + choice for name in names for choice in choices]
        position = brace.end()
    tail = pattern[position:]
    if size + len(tail) * len(names) > MAX_CHARACTERS:
        raise _too_many(pattern, MAX_NAMES)
    if len(names) > MAX_GLOBS and any(is_glob(name + tail) for name in names):
        raise BadPattern(
            t(
                "{pattern!r} stands for more than {most:,} globs",
                pattern=_short(pattern),
                most=MAX_GLOBS,
            )
        )
    return [name + tail for name in names]


def _too_many(pattern: str, most: int) -> BadPattern:
    return BadPattern(
        t("{pattern!r} has more than {most:,} names", pattern=_short(pattern), most=most)
    )


def _short(pattern: str) -> str:
    return pattern if len(pattern) <= 100 else pattern[:99] + "…"


def is_glob(name: str) -> bool:
    """Whether an expanded name still has wildcards."""
    return _GLOB.search(name) is not None


class Matches(NamedTuple):
    """What matched, and which patterns or names matched nothing."""

    names: list[str]
    unmatched: list[str]


class _Matcher:
    """Holds names and globs against what there is, as long as that ends in a bearable time."""

    def __init__(self, available: Iterable[str]) -> None:
        self.available = sorted(available)
        self.known = set(self.available)
        self._size = sum(map(len, self.available))
        self._left = max(_COST, _COST_OF_CHARACTER * self._size)
        self._expanded = 0

    def expanded(self, pattern: str) -> list[str]:
        """What a pattern stands for, as `expand` has it. Raises BadPattern."""
        if pattern in self.known:
            return [pattern]
        items = expand(pattern)
        self._expanded += len(items)
        if self._expanded > MAX_NAMES and len(items) > 1:
            raise _too_many(pattern, MAX_NAMES)
        return items

    def matching(self, item: str) -> list[str]:
        """The names that an expanded pattern means. Raises BadPattern."""
        if item in self.known:
            return [item]
        if not is_glob(item) or not self.available:
            return []
        glob = compile_glob(item)
        # Only names that begin as the glob does are looked at: they lie in a row.
        start = len(glob.prefix)
        low = bisect_left(self.available, glob.prefix)
        high = bisect_right(self.available, glob.prefix, low, key=lambda name: name[:start])
        self._left -= self._size * (high - low) // len(self.available) * glob.cost
        if self._left < 0:
            raise BadPattern(
                t(
                    "{item!r} and the globs before it take too long with {count:,} files",
                    item=_short(item),
                    count=len(self.available),
                )
            )
        return [name for name in self.available[low:high] if glob.matches(name)]


def select(
    available: Iterable[str], files: Sequence[str] | None, exclude: Sequence[str] = ()
) -> Matches:
    """Choose from `available` what `files` asks for (None: everything) less `exclude`.

    Names come back sorted. Raises BadPattern.
    """
    matcher = _Matcher(available)
    chosen: set[str] = set()
    unmatched: list[str] = []
    if files is None:
        chosen = set(matcher.known)
    else:
        for pattern in files:
            for item in matcher.expanded(pattern):
                found = matcher.matching(item)
                chosen.update(found)
                if not found:
                    unmatched.append(item)
    for pattern in exclude:
        for item in matcher.expanded(pattern):
            chosen.difference_update(matcher.matching(item))
    return Matches(sorted(chosen), unmatched)


def literal_names(files: Sequence[str] | None, exclude: Sequence[str] = ()) -> list[str] | None:
    """The exact names `files` stands for, or None if only a listing can tell."""
    if files is None:
        return None
    names: list[str] = []
    for pattern in files:
        names += expand(pattern)
        if len(names) > max(MAX_NAMES, len(files)):
            raise _too_many(pattern, MAX_NAMES)
    if any(is_glob(name) for name in names):
        return None
    return select(names, None, exclude).names
