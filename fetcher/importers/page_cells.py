"""Cells of a page's tables and its sentences: their text, what stands in code, and links."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it.token import Token

_ADDRESS = re.compile(r"(?:https?|ftp)://[^\s<>()\[\]\"'`|]+[^\s<>()\[\]\"'`|.,;:]")

# What a cell says that has what the one above it has.
_SAME = re.compile(
    r"위와\s?(동일|같음|같다|마찬가지)(함|합니다)?|위\s?(링크|경로|주소)?(와|과)?\s?동일|상동|동일|〃|″|\"|''|↑|⬆️?|ditto"
    r"|(the )?same( as)?( the)?( above| row)?|as above|see above|同上|同じ",
    re.IGNORECASE,
)


_WIDEST = 50  # columns that a cell may take


@dataclass
class Cell:
    """A cell or sentence: plain text with its code and links, each link as (label, address)."""

    text: str = ""
    codes: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    line: int = 0

    def addresses(self) -> list[tuple[str, str]]:
        """Links that lead to a server, those written out included."""
        found = [(label, address) for label, address in self.links if "://" in address]
        known = {address for _, address in found}
        for code in [*self.codes, self.text]:
            found += [("", item) for item in _ADDRESS.findall(code) if item not in known]
        return list(dict.fromkeys(found))


@dataclass
class Table:
    """A table: its header and rows."""

    header: list[Cell]
    rows: list[list[Cell]]
    line: int

    def repeat(self) -> None:
        """Give cells that say "same as above" what stands above them, and so the empty ones of a
        row whose first cell is empty: it goes on with what the row above is about."""
        above: list[Cell] = []
        for row in self.rows:
            goes_on = bool(row) and not _plain(row[0])
            for index, cell in enumerate(row[: len(above)]):
                if _SAME.fullmatch(_plain(cell)) or (goes_on and not _plain(cell)):
                    row[index] = above[index]
            above = row


def _plain(cell: Cell) -> str:
    """A cell's text without the signs around it; a link alone counts as text."""
    return cell.text.strip(" \n*()~-–—") or "".join(address for _, address in cell.links)


def in_table(tokens: Sequence[Token], index: int) -> bool:
    """Whether a token is what stands in a table's cell."""
    return index > 0 and tokens[index - 1].type in {"td_open", "th_open"}


def sentences(tokens: Sequence[Token]) -> Iterator[Cell]:
    """Texts outside tables."""
    for index, token in enumerate(tokens):
        if token.type == "inline" and not in_table(tokens, index):
            yield of_inline(token, 0)


def of_inline(token: Token, line: int) -> Cell:
    """The cell of a parsed piece of text."""
    return _cell(token.children or (), line)


def _cell(children: Sequence[Token], line: int) -> Cell:
    cell = Cell(line=line)
    label: list[str] | None = None
    address = ""
    for child in children:
        piece = child.content
        if child.type == "link_open":
            label, address = [], str(child.attrs.get("href", ""))
            continue
        if child.type == "link_close":
            cell.links.append(("".join(label or ()), address))
            label = None
            continue
        if child.type in {"softbreak", "hardbreak"} or (
            child.type == "html_inline" and piece.startswith("<br")
        ):
            piece = "\n"
        elif child.type == "html_inline":
            if found := re.match(r"<a\s[^>]*href=[\"']([^\"']+)", piece):
                label, address = [], found[1]
            elif piece.startswith("</a") and label is not None:
                cell.links.append(("".join(label), address))
                label = None
            continue
        elif child.type == "image":
            continue
        elif child.type == "code_inline":
            cell.codes.append(piece.strip())
        cell.text += piece
        if label is not None:
            label.append(piece)
    return cell


def of_lines(token: Token, line: int) -> list[Cell]:
    """A parsed piece of text, line by line."""
    parts: list[list[Token]] = [[]]
    for child in token.children or ():
        if child.type in {"softbreak", "hardbreak"}:
            parts.append([])
        else:
            parts[-1].append(child)
    return [_cell(part, line + number) for number, part in enumerate(parts)]


def of_tokens(tokens: Sequence[Token]) -> Table:
    """The table of the tokens between table_open and table_close."""
    table = Table([], [], (tokens[0].map or [0])[0] + 1)
    row: list[Cell] = []
    head = True
    line = table.line
    for index, token in enumerate(tokens):
        if token.type == "tr_open":
            row, line = [], (token.map or [line - 1])[0] + 1
        elif token.type in {"th_open", "td_open"}:
            row.append(of_inline(tokens[index + 1], line))
        elif token.type == "thead_close":
            head = False
        elif token.type == "tr_close":
            if head:
                table.header = row
            else:
                table.rows.append(row)
    return table


class _HtmlTables(HTMLParser):
    """Tables written in HTML."""

    def __init__(self, first_line: int) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self.row: list[Cell] | None = None
        self.cell: Cell | None = None
        self.heads = 0
        self.label: list[str] | None = None
        self.address = ""
        self.code: list[str] | None = None
        self.first_line = first_line
        self.spans: list[tuple[int, int, Cell]] = []
        self.span = 1
        self.wide = 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin of a table, row, cell, link or code."""
        line = self.getpos()[0] + self.first_line - 1
        if tag == "table":
            self.tables.append(Table([], [], line))
        elif tag == "tr":
            self.row, self.heads = [], 0
            self.spans = [span for span in self.spans if span[1] > 0][-_WIDEST:]
            self._spanned()
        elif tag in {"td", "th"} and self.row is not None:
            self.cell, self.heads = Cell(line=line), self.heads + (tag == "th")
            self.span = _count(dict(attrs).get("rowspan"))
            self.wide = min(_count(dict(attrs).get("colspan")), _WIDEST)
        elif tag == "a":
            self.label, self.address = [], dict(attrs).get("href") or ""
        elif tag in {"code", "tt"}:
            self.code = []
        elif tag == "br" and self.cell is not None:
            self.cell.text += "\n"

    def handle_endtag(self, tag: str) -> None:
        """End of them."""
        if tag in {"td", "th"} and self.cell is not None and self.row is not None:
            for _ in range(self.wide if len(self.row) < _WIDEST else 1):
                if self.span > 1 and len(self.row) < _WIDEST:
                    self.spans.append((len(self.row), min(self.span, 1000) - 1, self.cell))
                self.row.append(self.cell)
            self.cell = None
            self._spanned()
        elif tag == "tr" and self.row is not None and self.tables:
            table = self.tables[-1]
            if not table.header and self.heads:
                table.header = self.row
            elif self.row:
                table.rows.append(self.row)
            self.row = None
        elif tag == "a" and self.label is not None:
            if self.cell is not None:
                self.cell.links.append(("".join(self.label), self.address))
            self.label = None
        elif tag in {"code", "tt"} and self.code is not None:
            if self.cell is not None:
                self.cell.codes.append("".join(self.code).strip())
            self.code = None

    def handle_data(self, data: str) -> None:
        """Text of a cell."""
        if self.cell is not None:
            self.cell.text += data
        for part in (self.label, self.code):
            if part is not None:
                part.append(data)

    def _spanned(self) -> None:
        assert self.row is not None
        above = self.tables[-1].rows[-1] if self.tables and self.tables[-1].rows else []
        for index, (column, left, cell) in enumerate(self.spans):
            here = column == len(self.row) and left > 0 and self.cell is None
            if here and any(cell is item for item in above):
                self.row.append(cell)
                self.spans[index] = (column, left - 1, cell)


def _count(text: str | None) -> int:
    """How many rows or columns a cell takes."""
    return int(text) if text and text.isdigit() and text.isascii() else 1


def of_html(text: str, first_line: int) -> Iterator[Table]:
    """Tables of a block of HTML."""
    parser = _HtmlTables(first_line)
    parser.feed(text)
    parser.close()
    for table in parser.tables:
        if not table.header and table.rows:
            table.header, table.rows = table.rows[0], table.rows[1:]
        yield table
