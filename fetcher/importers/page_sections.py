"""What stands below each heading of a page: the folders that it names, and for which links."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fetcher.importers import page_cells
from fetcher.importers.page_cells import in_table
from fetcher.importers.page_paths import PagePaths
from fetcher.importers.page_places import folders_of, headed, says_unpack, topmost
from fetcher.importers.page_references import anchor_of

if TYPE_CHECKING:
    from markdown_it.token import Token

# What tables around a sentence bring.
_ALL_OF_THEM = re.compile(
    r"\b(?:the|all|these|those)\s+(?:\w+\s+)?(?:models|weights|checkpoints|files)\b"
    r"|(?:모든|위|해당)\s?(?:모델|파일|가중치|체크포인트)|(?:所有|上述|以上)(?:模型|权重|文件)"
    r"|(?:上記|すべて)の(?:モデル|ファイル|重み)",
    re.IGNORECASE,
)
# What a heading says of the links below it.
_MODELS = re.compile(
    r"\bmodels?\b|\bdata ?sets?\b|모델|데이터|模型|数据|權重|モデル|データ|コーパス", re.I
)
_FETCHES = re.compile(
    r"download|weights?\b|checkpoints?\b|\bckpts?\b|pre-?trained|model zoo"
    r"|다운로드|가중치|체크포인트|내려\s?받|下载|下載|权重|ダウンロード|学習済み",
    re.I,
)


@dataclass
class Section:
    """What stands below one heading."""

    title: str
    folders: list[str] = field(default_factory=list)
    unpacks: bool = False  # it says that archives are unpacked
    fetches: bool = False  # it says where weights or data come from
    headed: bool = False  # its heading is the folder


class Sections:
    """The sections of one page, each to be begun in its turn."""

    def __init__(self, tokens: Sequence[Token], paths: PagePaths) -> None:
        self._tokens = tokens
        self._below = paths.below
        self._anchored = self._find_anchors()
        self._closings = self._find_closings()
        self._ends = _ends(tokens)
        # Of the sections around the next one: the heading's tag, and the folder for all its parts.
        self._around: list[tuple[str, list[str]]] = []

    def begin(self, start: int) -> Section:
        """The section whose heading opens with this token."""
        tokens = self._tokens
        section = Section(tokens[start + 1].content)
        section.fetches = bool(_FETCHES.search(section.title) or _MODELS.search(section.title))
        found: list[str] = []
        for_parts: list[str] = []
        for index in range(start + 3, len(tokens)):
            token = tokens[index]
            if token.type == "heading_open":
                break
            if token.type == "inline" and not in_table(tokens, index):
                cell = page_cells.of_inline(token, 0)
                found += folders_of(cell, self._below)
                section.unpacks = section.unpacks or says_unpack(cell.text)
                section.fetches = section.fetches or bool(_FETCHES.search(cell.text))
                if token.level == 1:
                    for_parts = self._for_all(index) or for_parts
        found += self._anchored.get(anchor_of(section.title), [])
        around = self._enter(tokens[start].tag, for_parts)
        section.folders = topmost(found) or self._closing(start) or around
        own = headed(page_cells.of_inline(tokens[start + 1], 0), self._below)
        if own is not None:
            section.folders, section.headed, section.fetches = [own], True, True
        return section

    def _enter(self, tag: str, for_parts: list[str]) -> list[str]:
        """The folder that the section around the next one names for all that its parts list."""
        while self._around and self._around[-1][0] >= tag:
            self._around.pop()
        folders = self._around[-1][1] if self._around else []
        self._around.append((tag, for_parts))
        return folders

    def _closing(self, start: int) -> list[str]:
        """The folder that a sentence below the last table of several sections names for all of
        them: "Put the models that you need into `weights/`"."""
        at = bisect_left(self._closings, (start + 3, []))
        found = at < len(self._closings) and self._closings[at][0] < self._ends[start]
        return self._closings[at][1] if found else []

    def _find_closings(self) -> list[tuple[int, list[str]]]:
        """Sentences right after a table that name a folder for all, by their place."""
        found, after_table = [], False
        for index, token in enumerate(self._tokens):
            if token.type == "paragraph_open" and after_table:
                folders = self._for_all(index + 1)
                found += [(index, folders)] if folders else []
            if token.type.endswith("_open"):
                after_table = False
            after_table = after_table or token.type == "table_close"
        return found

    def _for_all(self, index: int) -> list[str]:
        """The folder that a sentence without a link names for what stands around it."""
        cell = page_cells.of_inline(self._tokens[index], 0)
        folders = topmost(folders_of(cell, self._below))
        alone = len(folders) == 1 and not cell.addresses()
        return folders if alone and _ALL_OF_THEM.search(cell.text) else []

    def _find_anchors(self) -> dict[str, list[str]]:
        """Folders by section, as sentences elsewhere say where to put what is listed
        [there](#pre-trained-models)."""
        found: dict[str, list[str]] = {}
        for cell in page_cells.sentences(self._tokens):
            for _, address in cell.links:
                if address.startswith("#"):
                    folders = folders_of(cell, self._below)
                    found.setdefault(anchor_of(address[1:]), []).extend(folders)
        return found


def _ends(tokens: Sequence[Token]) -> dict[int, int]:
    """Where each heading's part of the page ends: at the next heading of a higher rank."""
    found: dict[int, int] = {}
    open_ones: list[int] = []
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            while open_ones and tokens[open_ones[-1]].tag > token.tag:
                found[open_ones.pop()] = index
            open_ones.append(index)
    return found | dict.fromkeys(open_ones, len(tokens))
