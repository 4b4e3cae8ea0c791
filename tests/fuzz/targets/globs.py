"""Names, globs and ranges: against a second matcher, and against fnmatch where both say the same."""

from __future__ import annotations

import fnmatch
from functools import cache

from fetcher.fs.globs import BadPattern
from fetcher.fs.patterns import expand, is_glob, literal_names, select
from tests.fuzz.kit import Target, parts_of, seed


def check(data: bytes) -> None:
    pattern, excluded, listing = (part.decode("utf-8", "replace") for part in parts_of(data, 3))
    names = sorted({name for name in listing.split("\n") if name})[:20]
    exclude = [excluded] if excluded else []
    try:
        found = select(names, [pattern], exclude)
        whole = select(names, None, exclude)
        literal = literal_names([pattern], exclude)
        items = expand(pattern)
    except BadPattern as error:
        assert str(error)
        return
    assert found.names == sorted(set(found.names) & set(whole.names))
    if literal is not None and not exclude:
        assert set(literal) == set(items)
    if exclude or pattern in names:
        return
    expected = {name for name in names for item in items[:50] if means(item, name)}
    assert set(found.names) == expected or len(items) > 50, (pattern, names, found.names)


def means(item: str, name: str) -> bool:
    """What the documentation says, done the slow way."""
    if not is_glob(item):
        return item == name
    plain = "[" not in item and "/" not in item + name and "**" not in item
    if plain:
        return item == name or fnmatch.fnmatchcase(name, item)
    return item == name or _matches(item, name)


def _matches(glob: str, name: str) -> bool:
    tokens = _tokens(glob)

    @cache
    def at(token: int, place: int) -> bool:
        if token == len(tokens):
            return place == len(name)
        kind, body = tokens[token]
        if kind == "folders":
            return at(token + 1, place) or any(
                name[end] == "/" and end > start and at(token + 1, end + 1)
                for start, end in _folders(name, place)
            )
        if kind in {"all", "star"}:
            if at(token + 1, place):
                return True
            more = place < len(name) and (kind == "all" or name[place] != "/")
            return more and at(token, place + 1)
        if place >= len(name):
            return False
        char = name[place]
        if kind == "set":
            fits = char != "/" and _in_set(body, char)
        else:
            fits = char != "/" if kind == "one" else char == body
        return fits and at(token + 1, place + 1)

    return at(0, 0)


def _folders(name: str, place: int) -> list[tuple[int, int]]:
    """(start of the last segment, its slash) for every row of whole, non-empty folders."""
    found, start = [], place
    for end in range(place, len(name)):
        if name[end] == "/":
            if end == start:
                break
            found.append((start, end))
            start = end + 1
    return found


def _tokens(glob: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    index = 0
    while index < len(glob):
        char = glob[index]
        if glob.startswith("**/", index) and glob[:index][-1:] in {"", "/"}:
            found.append(("folders", ""))
            index += 3
        elif glob.startswith("**", index):
            found.append(("all", ""))
            index += 2
        elif char in "*?":
            found.append(("star" if char == "*" else "one", ""))
            index += 1
        elif char == "[" and (end := glob.find("]", index + 2)) > 0:
            found.append(("set", glob[index + 1 : end]))
            index = end + 1
        else:
            found.append(("char", char))
            index += 1
    return found


def _in_set(body: str, char: str) -> bool:
    negated = body[0] in "!^"
    rest, inside = body[negated:], False
    index = 0
    while index < len(rest):
        if len(rest) > index + 2 and rest[index + 1] == "-":
            if rest[index] > rest[index + 2]:
                raise BadPattern("backwards")
            inside = inside or rest[index] <= char <= rest[index + 2]
            index += 3
        else:
            inside = inside or rest[index] == char
            index += 1
    return inside != negated


TARGET = Target(
    check,
    [
        seed("*.pt", "", "a.pt\n.pt\na/b.pt"),
        seed("**/*.{pt,bin}", "a/**", "a.pt\na/b.bin\na/b/c.pt"),
        seed("m_{0..4}[!a-c]?", "*2*", "m_0dx\nm_1ax\nm_22x"),
        seed("a/**/z", "", "a/z\na/b/z\na//z"),
        seed("[[]x]", "", "[x]\nx"),
        seed("*a*a*a*a*b", "", "a" * 40),
        seed("**/**/**/**/x", "", "a/" * 20 + "y"),
    ],
    ["*", "**", "**/", "?", "[", "]", "[!", "[^", "{", "}", "{0..9}", "{007..9}", ",", "..", "/",
     "\n", "-", "a", "{a,b}"],
    longest=300,
)  # fmt: skip
