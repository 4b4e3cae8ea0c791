"""References of a page: what the section that a row or sentence refers to says of where its files
go, and which of them are wanted. The section may stand on another page of the project."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fetcher.importers import folder_trees, page_cells, page_listings
from fetcher.importers.folder_trees import FolderTree
from fetcher.importers.page_cells import Cell
from fetcher.importers.page_links import link_of
from fetcher.importers.page_paths import PagePaths
from fetcher.importers.page_places import folders_of, topmost
from fetcher.importers.page_trees import listed_below

if TYPE_CHECKING:
    from markdown_it.token import Token

_PAGE = re.compile(r"(?!\w+:)[^#?]*\.(?:md|markdown)", re.IGNORECASE)
_DEEPEST = 3  # a section may refer to another one
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Surroundings:
    """What is around a page: the name of the project's folder, the page's own path ("" outside the
    project), how a text of the project is read ("" for none), and which pages are read with it."""

    project: str = ""
    path: str = ""
    sibling: Callable[[str], str] = lambda _: ""
    beside: frozenset[str] = frozenset()


@dataclass
class Parsed:
    """A page: its tokens, its paths, and the trees that it draws."""

    tokens: Sequence[Token]
    paths: PagePaths
    trees: Sequence[FolderTree]
    path: str = ""


@dataclass
class Described:
    """What a section says: the one folder that it names (None: none or several), and the files
    that it lists or draws below a folder, by their paths from it."""

    folder: str | None = None
    files: tuple[str, ...] = ()
    by_itself: bool = False  # it links the same, so that it says all of it


@dataclass
class _Section:
    tokens: Sequence[Token]
    first: int  # its tokens among the page's
    lines: range
    folders: list[str] = field(default_factory=list)


class References:
    """Follows the references of one page."""

    def __init__(self, page: Parsed, around: Surroundings) -> None:
        self._page = page
        self._around = around
        self._pages: dict[str, Parsed | None] = {page.path: page}

    def described(self, cells: Sequence[Cell], address: str, folder: str | None) -> Described:
        """What the sections that cells refer to say of `address`; `folder` is what is known of
        where it goes."""
        for target in _targets(cells):
            found = self._of(self._page, target, address, folder, _DEEPEST)
            if found.folder is not None or found.files or found.by_itself:
                return found
        return Described()

    def _of(
        self, page: Parsed, target: str, address: str, folder: str | None, depth: int
    ) -> Described:
        name, _, anchor = target.partition("#")
        other = self._opened(page, unquote(name)) if name else page
        section = _section(other, unquote(anchor)) if other is not None else None
        if other is None or section is None:
            return Described()
        cells = list(page_cells.sentences(section.tokens))
        folders = topmost([path for cell in cells for path in folders_of(cell, other.paths.below)])
        own = folder if folder is not None else folders[0] if len(folders) == 1 else None
        files = _files(other, section, own, folders) if own is not None else ()
        if files or (own is not None and folder is None and not _links(cells, address)):
            return Described(own, files)
        if other is not self._page and folder is None and _links(cells, address):
            return Described(by_itself=other.path in self._around.beside)
        for further in _targets(cells) if depth else ():
            found = self._of(other, further, address, folder, depth - 1)
            if found.files or found.folder is not None:
                return found
        return Described()

    def _opened(self, page: Parsed, name: str) -> Parsed | None:
        """Another page of the project, None for one that is not there."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.path), name))
        if path not in self._pages:
            known = self._around.path and not path.startswith("..")
            text = self._around.sibling(path) if known else ""
            self._pages[path] = parsed(text, self._around.project, path) if text else None
        return self._pages[path]


def parsed(text: str, project: str, path: str) -> Parsed:
    """A page of the project, with its trees below its root."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(text[:_LARGEST])
    paths = PagePaths(text, tokens, project, posixpath.dirname(path))
    return Parsed(tokens, paths, list(trees_of(tokens, paths)), path)


def trees_of(tokens: Sequence[Token], paths: PagePaths) -> Iterator[FolderTree]:
    """The trees that a page draws, below its root."""
    for token in tokens:
        if token.type in {"fence", "code_block"} and folder_trees.looks_like(token.content):
            line = (token.map or [0])[0] + 1
            found = folder_trees.read(token.content, line + (token.type == "fence"))
            paths.bring_below(found)
            yield found


def anchor_of(title: str) -> str:
    """The address of a heading within its page; runs of hyphens count as one."""
    plain = re.sub(r"[^\w\s-]", "", title.strip().lower())
    return re.sub(r"[\s-]+", "-", plain).strip("-")


def _targets(cells: Sequence[Cell]) -> list[str]:
    """Sections and pages of the project that cells link."""
    found = (address for cell in cells for _, address in cell.links)
    return [a for a in found if a.startswith("#") or _PAGE.fullmatch(a.partition("#")[0])]


def _links(cells: Sequence[Cell], address: str) -> bool:
    """Whether sentences link the file or repository that an address leads to."""
    same = link_of("", address, "", 0)
    found = (link_of("", other, "", 0) for cell in cells for _, other in cell.addresses())
    return same is not None and any(
        link is not None and (link.repo or link.address) == (same.repo or same.address)
        for link in found
    )


def _section(page: Parsed, anchor: str) -> _Section | None:
    """What stands below a heading, with the headings below it; the whole page without one."""
    if not anchor:
        return _Section(page.tokens, 0, range(1 << 30))
    wanted = anchor_of(anchor)
    for index, token in enumerate(page.tokens):
        if token.type != "heading_open" or anchor_of(_title(page.tokens[index + 1])) != wanted:
            continue
        end = next(
            (
                later
                for later in range(index + 1, len(page.tokens))
                if page.tokens[later].type == "heading_open" and page.tokens[later].tag <= token.tag
            ),
            len(page.tokens),
        )
        last = (page.tokens[end].map or [0])[0] + 1 if end < len(page.tokens) else 1 << 30
        return _Section(page.tokens[index + 3 : end], index + 3, range((token.map or [0])[0], last))
    return None


def _title(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


def _files(page: Parsed, section: _Section, folder: str, folders: Sequence[str]) -> tuple[str, ...]:
    """The files that a section draws or lists for a folder."""
    drawn = [found for found in page.trees if found.line in section.lines]
    if files := listed_below(drawn, folder):
        return files
    if list(folders) != [folder]:
        return ()
    for index, token in enumerate(section.tokens):
        if token.type != "inline":
            continue
        if folders_of(page_cells.of_inline(token, 0), page.paths.below) != [folder]:
            continue
        if found := page_listings.below(page.tokens, section.first + index):
            return found.files
    return ()
