"""Items of a page's lists that belong together: `Model: [link]`, below it `Path: weights/a.pth`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from fetcher.importers import page_cells
from fetcher.importers.page_cells import Cell

if TYPE_CHECKING:
    from markdown_it.token import Token

# What stands before the colon of a line that says where its record's file goes.
WHERE = (
    r"(?:모델\s?|파일\s?|데이터\s?)?(?:저장|배치|설치|다운로드)?\s?(?:될\s?|할\s?)?(?:경로|위치|폴더|디렉토리|디렉터리)(?:\s?\([^()\n]*\))?"
    r"|(?:save|target|local|destination|download|install|model|weights?|checkpoint)?[ _-]?"
    r"(?:path|location|directory|dir|folder)|destination|target|(?:save|put|place|goes|store)(?:d)?"
    r"(?:\s(?:it|them))?\s(?:to|in|into|under|at)"
    r"|保存(?:路径|位置|到|先)|存放(?:路径|位置)?|路径|目录|放置(?:位置|路径)?|配置先|パス"
)
NAME = (
    r"(?:저장(?:할)?\s?|변경(?:할|후)?\s?|새\s?)?(?:파일\s?이름|파일\s?명|파일|이름\s?변경)(?:\s?\([^()\n]*\))?"
    r"|(?:local\s)?file\s?names?|files?|rename(?:\s(?:it\s)?to)?|save(?:d)?\sas|文件名?|重命名(?:为)?|ファイル名?"
)
_NEAR = 20  # items between a link and what is said of it
_PLACED = re.compile(rf"\s*(?:[-*•]\s*)?(?:{WHERE}|{NAME})\s*[:：]\s*\S", re.IGNORECASE)


def is_placed(cell: Cell) -> bool:
    """Whether a line says where its record's file goes, or what it is called."""
    return bool(_PLACED.match(cell.text))


def records(
    tokens: Sequence[Token],
    is_download: Callable[[str], bool],
    goes_on: Callable[[Cell, Cell], bool] = lambda _one, _next: False,
) -> dict[int, tuple[Cell, ...]]:
    """Pieces of text by index: what list items after or below a link say of it.

    A piece that belongs to another one is there with nothing of its own. `goes_on` tells of two
    items in a row whether the second one is the next step for what the first one links.
    """
    found: dict[int, tuple[Cell, ...]] = {}
    lines = _items(tokens)
    linked = {
        index: any(is_download(address) for _, address in cell.addresses())
        for index, (_, _, cell) in lines.items()
    }
    order = list(lines)
    for position, index in enumerate(order):
        _, _, cell = lines[index]
        if linked[index] or cell.addresses() or not is_placed(cell):
            continue
        owner = _owner(order, position, lines, linked)
        if owner is not None:
            found[owner] = (*found.get(owner, ()), cell)
            found.setdefault(index, ())
    for index, after in pairwise(order):
        (_, where, cell), (_, there, later) = lines[index], lines[after]
        alone = linked[index] and not linked[after] and not found.keys() & {index, after}
        if alone and where and where == there and goes_on(cell, later):
            found[index], found[after] = (later,), ()
    return found


def _items(tokens: Sequence[Token]) -> dict[int, tuple[int, tuple[int, ...], Cell]]:
    """The texts of list items: their level, the lists that they lie in, and what they say."""
    found = {}
    lists: list[int] = []
    for index, token in enumerate(tokens):
        if token.type in {"bullet_list_open", "ordered_list_open"}:
            lists.append(index)
        elif token.type in {"bullet_list_close", "ordered_list_close"}:
            lists.pop()
        elif token.type == "inline" and (lists or tokens[index - 1].type == "heading_open"):
            line = (token.map or [0])[0] + 1
            found[index] = (token.level, tuple(lists), page_cells.of_inline(token, line))
    return found


def _owner(
    order: Sequence[int],
    position: int,
    lines: dict[int, tuple[int, tuple[int, ...], Cell]],
    linked: dict[int, bool],
) -> int | None:
    """The linked item that a line is about: before it in its list, else above, else after it."""
    _, lists, _ = lines[order[position]]
    for index in reversed(order[max(0, position - _NEAR) : position]):
        _, where, _ = lines[index]
        if where == lists and linked[index]:
            return index
        if lists[: len(where)] != where or len(where) < len(lists) - 1:
            break
        if where == lists[:-1]:
            if linked[index]:
                return index
            break
    for index in order[position + 1 : position + 1 + _NEAR]:
        _, where, _ = lines[index]
        if where[: len(lists)] != lists:
            break
        if where == lists and linked[index]:
            return index
    return None


def merged(cell: Cell, others: Sequence[Cell]) -> Cell:
    """A linked item and what others say of it, as one sentence."""
    return replace(
        cell,
        text="\n".join(item.text for item in (cell, *others)),
        codes=[code for item in (cell, *others) for code in item.codes],
        links=[link for item in (cell, *others) for link in item.links],
    )
