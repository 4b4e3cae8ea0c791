"""Lists and tables that name the files of what the sentence above them is about."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fetcher.importers import page_cells, page_names
from fetcher.importers.document_paths import is_pattern
from fetcher.importers.page_cells import Cell
from fetcher.importers.page_lists import is_placed
from fetcher.importers.page_names import Named
from fetcher.importers.page_rows import columns_of

if TYPE_CHECKING:
    from markdown_it.token import Token

# What ends before something else begins.
_CLOSINGS = {"paragraph_close", "list_item_close", "bullet_list_close", "ordered_list_close"}
_LISTS = {"bullet_list_open", "ordered_list_open"}
# An item that says what those above it are called at their source.
_RENAMES_ABOVE = re.compile(
    r"위\s?이름|(?:names?\s+above|above\s+names?|those\s+names)|(?:上述|以上)(?:名称|文件名)|上記の(?:名前|ファイル名)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Listing:
    """The files that are listed: names or patterns (`own\\0saved` for one that is renamed)."""

    files: tuple[str, ...] = ()
    count: int | None = None

    def __bool__(self) -> bool:
        return bool(self.files)

    @property
    def named(self) -> Named:
        """The same, as a cell would name them."""
        return Named(self.files, self.count)


def below(tokens: Sequence[Token], index: int) -> Listing:
    """What is listed directly below the piece of text at `index`; nothing where a list has more
    than files."""
    at = index + 1
    while at < len(tokens) and tokens[at].type in _CLOSINGS:
        at += 1
    if at >= len(tokens):
        return Listing()
    if tokens[at].type in _LISTS and tokens[at].level >= tokens[index].level - 1:
        return _of_list(tokens, at)
    if tokens[at].type == "table_open":
        return _of_table(tokens, at)
    return Listing()


def _of_list(tokens: Sequence[Token], start: int) -> Listing:
    level = tokens[start].level
    found: list[str] = []
    last = 0  # how many names the last item of the list has brought
    for index in range(start + 1, len(tokens)):
        token = tokens[index]
        if token.level == level:
            break
        if token.type != "inline":
            continue
        cell = page_cells.of_inline(token, 0)
        named = page_names.of_cell(cell)
        if token.level > level + 3:
            if _RENAMES_ABOVE.search(cell.text) and 0 < last == len(named.files):
                pairs = zip(named.files, found[-last:], strict=True)
                found[-last:] = ["\0".join(pair) for pair in pairs]
            continue
        if is_placed(cell):
            continue
        if not _is_of_files(cell, named):
            return Listing()
        found += named.files
        last = len(named.files)
    return Listing(tuple(dict.fromkeys(found)))


def _is_of_files(cell: Cell, named: Named) -> bool:
    """Whether an item is about files alone: it begins with a name, and links nothing."""
    first = named.files[0].partition("\0")[0] if named.files else ""
    return bool(
        first
        and not cell.addresses()
        and cell.codes
        and cell.text.strip().startswith(cell.codes[0])
    )


def _of_table(tokens: Sequence[Token], start: int) -> Listing:
    """The names in a table's column of files, where the table has no links and no folders."""
    end = next(i for i in range(start, len(tokens)) if tokens[i].type == "table_close")
    table = page_cells.of_tokens(tokens[start:end])
    columns = columns_of(table)
    cells = [cell for row in table.rows for cell in row]
    if "file" not in columns or "folder" in columns or any(cell.addresses() for cell in cells):
        return Listing()
    found: list[str] = []
    for row in table.rows:
        names = [
            n for i in columns["file"] if i < len(row) for n in page_names.of_cell(row[i]).files
        ]
        if not names:
            return Listing()
        found += names
    return Listing(tuple(dict.fromkeys(found)))


def exact(name: str) -> bool:
    """Whether a listed name is one file's."""
    return not is_pattern(name.partition("\0")[0])


def placed(name: str) -> tuple[str, str, str]:
    """(the file's own path at its source, the folder that it goes into, its name there)."""
    own, _, saved = name.partition("\0")
    return own, *posixpath.split(saved or own)
