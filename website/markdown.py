"""What a Markdown page holds: headings, links, fenced blocks, sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^( *)(`{3,}|~{3,})([^\n`]*)\n(.*?)^\1\2`* *$\n?", re.M | re.S)
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
_LINK = re.compile(r"(!?)\[((?:[^\[\]\\]|\\.|\[[^\]]*\]|!\[[^\]]*\]\([^)]*\))*)\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$", re.M)
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|no|approx)\.$", re.I)


@dataclass(frozen=True)
class Fence:
    """A fenced block: its language, its text without the fences, and the line it begins in."""

    language: str
    body: str
    line: int


def fences(text: str) -> list[Fence]:
    """Every fenced block of a page, in order."""
    found = []
    for match in _FENCE.finditer(text):
        indent = match[1]
        body = "".join(line.removeprefix(indent) for line in match[4].splitlines(keepends=True))
        words = match[3].split()
        line = text.count("\n", 0, match.start()) + 1
        found.append(Fence(words[0] if words else "", body, line))
    return found


def prose(text: str) -> str:
    """The page without fenced blocks, comments and front matter; line numbers are kept."""
    blank: Callable[[re.Match[str]], str] = lambda match: "\n" * match[0].count("\n")  # noqa: E731
    return re.sub(r"<!--.*?-->", blank, _FENCE.sub(blank, text), flags=re.S)


def links(text: str) -> list[str]:
    """The targets of links and pictures outside code, addresses included."""
    found: list[str] = []

    def note(target: str) -> str:
        found.append(target)
        return target

    _over_links(text, note)
    return found


def relinked(text: str, moved: Callable[[str], str]) -> str:
    """The page with each link's target replaced; code is left as it is."""
    return _over_links(text, moved)


def _over_links(text: str, moved: Callable[[str], str]) -> str:
    kept: list[str] = []

    def hide(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\x00{len(kept) - 1}\x00"

    def replace(match: re.Match[str]) -> str:
        label = _LINK.sub(replace, match[2])  # a picture that is a link
        return f"{match[1]}[{label}]({moved(match[3])})"

    hidden = _CODE.sub(hide, _FENCE.sub(hide, text))
    hidden = _LINK.sub(replace, hidden)
    while "\x00" in hidden:
        hidden = re.sub(r"\x00(\d+)\x00", lambda match: kept[int(match[1])], hidden)
    return hidden


def slug(heading: str) -> str:
    """The anchor of a heading, as code hosts make it."""
    plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
    return plain.strip().replace(" ", "-")


def headings(text: str) -> list[tuple[int, str]]:
    """(level, text) of every heading."""
    return [(len(match[1]), match[2]) for match in _HEADING.finditer(prose(text))]


def anchors(text: str) -> set[str]:
    """The anchors of a page; a heading that comes twice has a number behind its second one."""
    found: set[str] = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for _, heading in headings(text):
        name = base = slug(heading)
        number = 0
        while name in found:
            number += 1
            name = f"{base}-{number}"
        found.add(name)
    return found


def sentences(text: str) -> Iterator[str]:
    """Sentences of paragraphs and list items, without tables and headings; code is one word."""
    plain = _CODE.sub("code", prose(text))
    plain = re.sub(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)", r"\1", plain)
    for paragraph in re.split(r"\n\s*\n|^(?=\s*(?:[-*+]|\d+\.) )", plain, flags=re.M):
        lines = [line.strip() for line in paragraph.splitlines()]
        lines = [line for line in lines if line and not line.startswith(("#", "|", ">", "<"))]
        words = re.sub(r"^(?:[-*+]|\d+\.) +", "", " ".join(lines)).split()
        sentence: list[str] = []
        for word in words:
            sentence.append(word)
            ended = re.search(r"[.!?]['\")*_]*$", word)
            if ended and not _ABBREVIATION.search(word):
                yield " ".join(sentence)
                sentence = []
        if sentence:
            yield " ".join(sentence)
