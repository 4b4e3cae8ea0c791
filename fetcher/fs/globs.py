"""Globs over paths, matched in a time that grows with name and glob, whatever they hold.

`*` and `?` stay within one path segment, `**/` crosses any number of them, another `**` any text;
`[...]` is a set. A glob is data from outside: nothing here tries two gaps' lengths together.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
from collections.abc import Iterator
from functools import lru_cache

from fetcher.i18n import t

MAX_GLOB = 4096  # characters; no path is longer

# Gaps, which any number of characters fit in: of one segment, whole segments, any at all.
_STAR, _FOLDERS, _ANY = "*", "**/", "**"
_Token = tuple[str, str]  # ("gap", one of these) or ("one", what stands for one character)


class BadPattern(ValueError):
    """A pattern that cannot be read; its text says why."""


class Glob:
    """A glob, ready to be held against paths."""

    __slots__ = ("_automaton", "_regex", "text")

    def __init__(self, text: str) -> None:
        """Raises BadPattern."""
        if len(text) > MAX_GLOB:
            raise BadPattern(
                t("{start!r}… is longer than {most:,} characters", start=text[:60], most=MAX_GLOB)
            )
        self.text = text
        self._regex: re.Pattern[str] | None = None
        self._automaton: _Automaton | None = None
        tokens = _tokens(text)
        try:
            if _steps_forward(tokens):
                self._regex = re.compile(_expression(tokens), re.DOTALL)
            else:
                self._automaton = _Automaton(tokens)
        except re.error as error:
            raise BadPattern(
                t("{glob!r} is no valid glob ({error})", glob=text, error=error)
            ) from error

    def matches(self, path: str) -> bool:
        """Whether the whole path is what the glob says."""
        if self._regex is not None:
            return self._regex.fullmatch(path) is not None
        assert self._automaton is not None
        return self._automaton.matches(path)

    @property
    def cost(self) -> int:
        """What it costs at most to hold it against a path, for each character of that."""
        return max(len(self.text), 16) * (1 if self._regex is not None else 32)

    @property
    def prefix(self) -> str:
        """What every path that matches begins with."""
        return re.split(r"[*?\[]", self.text, maxsplit=1)[0]


@lru_cache(maxsize=4096)
def compile_glob(text: str) -> Glob:
    """The glob, made once. Raises BadPattern."""
    return Glob(text)


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


def _set_start(glob: str, index: int) -> int:
    """Where the set that opens at `index` may end first: it has one character, `]` included."""
    return index + (3 if glob[index + 1 : index + 2] in {"!", "^"} else 2)


def _tokens(glob: str) -> list[_Token]:
    found: list[_Token] = []
    index, last_bracket = 0, glob.rfind("]")
    while index < len(glob):
        char = glob[index]
        if glob.startswith("**/", index) and (index == 0 or glob[index - 1] == "/"):
            _add_gap(found, _FOLDERS)
            index += 3
        elif glob.startswith("**", index):
            _add_gap(found, _ANY)
            index += 2
        elif char == "*":
            _add_gap(found, _STAR)
            index += 1
        elif char == "[" and (first := _set_start(glob, index)) <= last_bracket:
            end = glob.index("]", first)
            found.append(("one", _set(glob[index + 1 : end])))
            index = end + 1
        else:
            found.append(("one", "[^/]" if char == "?" else re.escape(char)))
            index += 1
    return found


def _add_gap(tokens: list[_Token], gap: str) -> None:
    """Put a gap behind the tokens; two in a row that say what one says become that one."""
    if gap == _ANY:
        while tokens and tokens[-1][0] == "gap":
            tokens.pop()
    elif tokens and tokens[-1] in {("gap", gap), ("gap", _ANY)}:
        return
    tokens.append(("gap", gap))


def _steps_forward(tokens: list[_Token]) -> bool:
    """Whether the first place where each part fits is always as good as any later one.

    It costs too much to look where `**` within a name, which may be any text, comes before
    another gap: all lengths of one would be tried with all of the other.
    """
    gaps = [text for kind, text in tokens if kind == "gap"]
    return _ANY not in gaps[:-1]


def _expression(tokens: list[_Token]) -> str:
    """A regular expression that finds the first place for each part and never comes back to it.

    Within a segment, only the part at its end has no choice of a place. `**/` takes the first
    folder behind which everything up to the next `**` fits: that one makes up for the rest.
    """
    numbers = itertools.count()
    parts = _split(tokens)
    out = ""
    for index, (gap, part) in enumerate(parts):
        following = parts[index + 1][0] if index + 1 < len(parts) else ""
        inside = _segments(part, numbers, open_end=following == _ANY)
        if gap == _FOLDERS and following:
            out += _first("(?:[^/]+/)*?", inside, numbers)
        else:
            out += {"": "", _FOLDERS: "(?:[^/]+/)*?", _ANY: ".*"}[gap] + inside
    return out


def _first(gap: str, following: str, numbers: Iterator[int]) -> str:
    """The shortest `gap` that `following` fits behind, for good.

    Not every Python that this runs on has atomic groups; a look ahead, repeated, is the same.
    """
    name = f"g{next(numbers)}"
    return f"(?=(?P<{name}>{gap}{following}))(?P={name})"


def _split(tokens: list[_Token]) -> list[tuple[str, list[_Token]]]:
    """What stands between the gaps that cross segments, each with the gap before it."""
    parts: list[tuple[str, list[_Token]]] = [("", [])]
    for kind, text in tokens:
        if kind == "gap" and text != _STAR:
            parts.append((text, []))
        else:
            parts[-1][1].append((kind, text))
    return parts


def _segments(tokens: list[_Token], numbers: Iterator[int], open_end: bool) -> str:
    """Segments with stars; with `open_end`, any text may follow the last of them."""
    segments: list[list[str]] = [[""]]  # each is its parts with stars between them
    for kind, text in tokens:
        if kind == "gap":
            segments[-1].append("")
        elif text == "/":
            segments.append([""])
        else:
            segments[-1][-1] += text
    out = []
    for index, (first, *others) in enumerate(segments):
        free = open_end and index == len(segments) - 1
        last = "" if free or not others else "[^/]*" + others.pop()
        out.append(first + "".join(_first("[^/]*?", part, numbers) for part in others) + last)
    return "/".join(out)


class _Automaton:
    """All places of the glob that a path may have got to, as the bits of a number.

    One step for each character of the path, whatever the glob says.
    """

    _MOST_CHARACTERS = 4096

    def __init__(self, tokens: list[_Token]) -> None:
        self._sets: dict[str, tuple[re.Pattern[str], int]] = {}
        self._masks: dict[str, int] = {}
        self._star = self._any = self._folders = 0
        bit = 1
        for kind, text in tokens:
            if kind == "one":
                pattern, places = self._sets.get(text) or (re.compile(text, re.DOTALL), 0)
                self._sets[text] = pattern, places | bit
                bit <<= 1
            elif text == _FOLDERS:
                self._folders |= bit
                bit <<= 2  # before a folder's name, and in it
            elif text == _ANY:
                self._any |= bit
                bit <<= 1
            else:
                self._star |= bit
                bit <<= 1
        self._end = bit

    def matches(self, path: str) -> bool:
        """Whether the whole path leads to the end of the glob."""
        within = self._folders << 1
        places = self._passed(1)
        for char in path:
            after = (places & self._mask(char)) << 1 | places & self._any
            if char == "/":
                after |= (places & within) >> 1
            else:
                after |= places & (self._star | within) | (places & self._folders) << 1
            if not after:
                return False
            places = self._passed(after)
        return bool(places & self._end)

    def _passed(self, places: int) -> int:
        """These places, and those behind gaps that may be empty."""
        places |= (places & self._folders) << 2
        return places | (places & (self._star | self._any)) << 1

    def _mask(self, char: str) -> int:
        """The places that this character leads on from."""
        if char not in self._masks:
            if len(self._masks) >= self._MOST_CHARACTERS:
                self._masks.clear()
            found = (places for pattern, places in self._sets.values() if pattern.fullmatch(char))
            self._masks[char] = functools.reduce(operator.or_, found, 0)
        return self._masks[char]
