"""File names, globs and numbered ranges, as `files` and `exclude` of a manifest use them.

`*` and `?` stay within one path segment, `**/` crosses any number of them, `[...]` is a set;
`{a,b}` lists alternatives and `{0..4}` or `{000000..009999}` a numbered range. A literal bracket
or star is written `[[]`, `[*]`; a name that is there to the letter always matches itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fetcher.i18n import t

MAX_NAMES = 2_000_000

_BRACE = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,12})\.\.([0-9]{1,12})")
_LIKE_A_RANGE = re.compile(r"-?\w+(?:\.\.-?\w+)+")
_GLOB = re.compile(r"[*?\[]")


class BadPattern(ValueError):
    """A pattern that cannot be read; its text says why."""


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
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    return [str(number).zfill(width) for number in range(low, high + 1)]


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

    Raises BadPattern for a backwards or huge range, and for braces within braces.
    """
    if "{" not in pattern:
        return [pattern]
    if _BRACE.search(_BRACE.sub("", pattern)):
        raise BadPattern(t("{pattern!r} has braces within braces", pattern=pattern))
    names = [""]
    position = 0
    for brace in _BRACE.finditer(pattern):
        literal = pattern[position : brace.start()]
        choices = _alternatives(brace[1])
        if choices is None:
            choices = [brace[0]]
        if len(names) * len(choices) > MAX_NAMES:
            raise BadPattern(
                t("{pattern!r} has more than {most:,} names", pattern=pattern, most=MAX_NAMES)
            )
        names = [name + literal + choice for name in names for choice in choices]
        position = brace.end()
    tail = pattern[position:]
    return [name + tail for name in names]


def is_glob(name: str) -> bool:
    """Whether an expanded name still has wildcards."""
    return _GLOB.search(name) is not None


def _set(body: str) -> str:
    """The regular expression of `[body]`."""
    negated = body[0] in "!^"
    # A character, or a range of two; nothing else has a meaning in a set.
    items = re.findall(r".-.|.", body[negated:], re.DOTALL)
    inside = "".join(
        "-".join(re.escape(char) for char in item[::2]) if len(item) == 3 else re.escape(item)
        for item in items
    )
    return f"(?!/)[{'^' if negated else ''}{inside}]"


@lru_cache(maxsize=4096)
def compile_glob(glob: str) -> re.Pattern[str]:
    """The glob as a regular expression for whole paths."""
    out, index = "", 0
    while index < len(glob):
        char = glob[index]
        if glob.startswith("**/", index) and glob[:index][-1:] in {"", "/"}:
            out, index = out + "(?:[^/]+/)*", index + 3
        elif glob.startswith("**", index):
            out, index = out + ".*", index + 2
        elif char == "*":
            out, index = out + "[^/]*", index + 1
        elif char == "?":
            out, index = out + "[^/]", index + 1
        elif char == "[" and (end := glob.find("]", index + 2)) > 0:
            out, index = out + _set(glob[index + 1 : end]), end + 1
        else:
            out, index = out + re.escape(char), index + 1
    try:
        return re.compile(out, re.DOTALL)
    except re.error as error:
        raise BadPattern(
            t("{glob!r} is no valid glob ({error})", glob=glob, error=error)
        ) from error


@dataclass(frozen=True)
class Matches:
    """What matched, and which patterns or names matched nothing."""

    names: list[str]
    unmatched: list[str]


def _matches(available: Sequence[str], known: set[str], item: str) -> list[str]:
    if item in known:
        return [item]
    if not is_glob(item):
        return []
    regex = compile_glob(item)
    return [name for name in available if regex.fullmatch(name)]


def select(
    available: Iterable[str], files: Sequence[str] | None, exclude: Sequence[str] = ()
) -> Matches:
    """Choose from `available` what `files` asks for (None: everything) less `exclude`.

    Names come back sorted. Raises BadPattern.
    """
    everything = sorted(available)
    known = set(everything)
    chosen: set[str] = set()
    unmatched: list[str] = []
    if files is None:
        chosen = set(known)
    else:
        for pattern in files:
            items = [pattern] if pattern in known else expand(pattern)
            for item in items:
                found = _matches(everything, known, item)
                chosen.update(found)
                if not found:
                    unmatched.append(item)
    for pattern in exclude:
        for item in [pattern] if pattern in known else expand(pattern):
            chosen.difference_update(_matches(everything, known, item))
    return Matches(sorted(chosen), unmatched)


def literal_names(files: Sequence[str] | None, exclude: Sequence[str] = ()) -> list[str] | None:
    """The exact names `files` stands for, or None if only a listing can tell."""
    if files is None:
        return None
    names: list[str] = []
    for pattern in files:
        names += expand(pattern)
    if any(is_glob(name) for name in names):
        return None
    return select(names, None, exclude).names


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, if any is close."""
    import difflib

    pool = list(candidates)
    found = difflib.get_close_matches(name, pool, n=1, cutoff=0.65)
    if found:
        return found[0]
    folded = {item.lower(): item for item in pool}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.65)
    return folded[close[0]] if close else None
