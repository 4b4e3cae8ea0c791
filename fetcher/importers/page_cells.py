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


def of_inline(token: Token, line: int) -> Cell:
    """The cell of a parsed piece of text."""
    cell = Cell(line=line)
    label: list[str] | None = None
    address = ""
    for child in token.children or ():
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

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin of a table, row, cell, link or code."""
        line = self.getpos()[0] + self.first_line - 1
        if tag == "table":
            self.tables.append(Table([], [], line))
        elif tag == "tr":
            self.row, self.heads = [], 0
            self._spanned()
        elif tag in {"td", "th"} and self.row is not None:
            self.cell, self.heads = Cell(line=line), self.heads + (tag == "th")
            span = dict(attrs).get("rowspan") or "1"
            self.span = int(span) if span.isdigit() else 1
        elif tag == "a":
            self.label, self.address = [], dict(attrs).get("href") or ""
        elif tag in {"code", "tt"}:
            self.code = []
        elif tag == "br" and self.cell is not None:
            self.cell.text += "\n"

    def handle_endtag(self, tag: str) -> None:
        """End of them."""
        if tag in {"td", "th"} and self.cell is not None and self.row is not None:
            if self.span > 1:
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


def of_html(text: str, first_line: int) -> Iterator[Table]:
    """Tables of a block of HTML."""
    parser = _HtmlTables(first_line)
    parser.feed(text)
    parser.close()
    for table in parser.tables:
        if not table.header and table.rows:
            table.header, table.rows = table.rows[0], table.rows[1:]
        yield table
