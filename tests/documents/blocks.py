"""Reads the documents that asked for this tool, as given, in tests/data/documents/.

`blocks("003", "python")` are the code blocks of one, `tables("002")` its tables: what a test runs
or compares is the document's own text, so that nobody's copy of it can be right by mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "documents"

# A fence may be indented, and longer than three; what follows an opening one has no backtick
# (```x``` within a line is a word in code, not a block).
_FENCE = re.compile(r"^(?P<indent> *)(?P<mark>`{3,}|~{3,})(?P<info>[^`]*)$")
_HEADING = re.compile(r"^#{1,6} +(.+?)(?: +#+)? *$")
_CELL = re.compile(r"(?<!\\)\|")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    `heading` is the last heading above it, `line` (from 1) where its text begins in the document,
    `language` what stands behind the fence, "" where nothing does.
    """

    heading: str
    language: str
    text: str
    line: int

    @property
    def commands(self) -> list[str]:
        """Its lines, without comments, blank lines and a prompt's `$`."""
        lines = (line.strip().removeprefix("$ ") for line in self.text.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


@dataclass(frozen=True)
class Table:
    """A table: `columns` as its head names them, each row a mapping from them to its cells."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


def text_of(document: str) -> str:
    """The document's text, such as that of "003"."""
    return (FOLDER / f"{document}.txt").read_text("utf-8")


def blocks(document: str, language: str | None = None) -> list[Block]:
    """The code blocks of a document in their order; of one language if given."""
    found = blocks_in(text_of(document))
    return [one for one in found if language is None or one.language == language]


def tables(document: str) -> list[Table]:
    """The tables of a document in their order."""
    return tables_in(text_of(document))


def links(document: str) -> dict[str, str]:
    """What the links of a document outside of code say, and where they lead."""
    prose = "\n".join(line for _, line, inside in _lines(text_of(document)) if not inside)
    return dict(_LINK.findall(prose))


def blocks_in(text: str) -> list[Block]:
    """The code blocks of a text. Raises ValueError for one that does not end."""
    found: list[Block] = []
    heading, opened, body = "", None, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence:
                opened, body = (number, fence), []
            elif title := _HEADING.match(line):
                heading = title[1]
            continue
        begun, first = opened
        if fence and _closes(first, fence):
            language = first["info"].strip().partition(" ")[0]
            found.append(Block(heading, language, "\n".join([*body, ""]), begun + 1))
            opened = None
        else:
            indent = len(first["indent"])
            body.append(line[min(indent, len(line) - len(line.lstrip(" "))) :])
    if opened is not None:
        raise ValueError(f"the block that begins in line {opened[0]} does not end")
    return found


def tables_in(text: str) -> list[Table]:
    """The tables of a text."""
    found: list[Table] = []
    heading, rows = "", list[list[str]]()
    for _, line, inside in [*_lines(text), (0, "", False)]:
        if not inside and line.lstrip().startswith("|"):
            rows.append([cell.strip() for cell in _CELL.split(line.strip().strip("|"))])
            continue
        if len(rows) > 2 and all(re.fullmatch(r":?-+:?", cell) for cell in rows[1]):
            head = rows[0]
            cells = tuple(dict(zip(head, row, strict=False)) for row in rows[2:])
            found.append(Table(heading, tuple(head), cells))
        rows = []
        if not inside and (title := _HEADING.match(line)):
            heading = title[1]
    return found


def _lines(text: str) -> list[tuple[int, str, bool]]:
    """Each line with its number, and whether it stands within a block of code."""
    code = {
        number
        for block in blocks_in(text)
        for number in range(block.line - 1, block.line + block.text.count("\n"))
    }
    return [(number, line, number in code) for number, line in enumerate(text.splitlines(), 1)]


def _closes(first: re.Match[str], fence: re.Match[str]) -> bool:
    longer = len(fence["mark"]) >= len(first["mark"])
    return longer and fence["mark"][0] == first["mark"][0] and not fence["info"].strip()
