"""Which folder the paths of a page begin in, and which of its names is the project itself."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fetcher.importers import page_cells
from fetcher.importers.document_paths import Unreadable, join, located
from fetcher.importers.folder_trees import FolderTree
from fetcher.importers.page_cells import Cell
from fetcher.importers.page_rows import FOLDER

if TYPE_CHECKING:
    from markdown_it.token import Token

_ALL_BELOW = re.compile(
    r"(?:모든|아래|이하|전체|all|every)[^.\n]{0,20}"
    r"(?:경로|위치|디렉토리|paths?|folders?|directories)[^.\n]{0,80}"
    r"(?:기준|relative|below|under|inside|제외|생략|without)"
    r"|(?:paths?|directories|folders?) (?:below |here )?are relative to"
    r"|경로는[^.\n]{0,60}(?:기준|제외|생략)",
    re.IGNORECASE,
)
_BELOW = re.compile(r"제외|기준|exclud|relative|below|under|inside|within|아래", re.I)
CONTAINER = re.compile(
    r"(pre-?trained[_-]?)?(weights|checkpoints?|ckpts?|models?)|pre-?trained", re.I
)
_DATA = re.compile(r"data|datasets?|assets|exp|outputs?|results?|logs?|src|work_dirs", re.I)
_DATED = re.compile(r"^(\d{4}[_-]?\d\d[_-]?\d\d|\d{6})[_-](?=\D)")  # when a project began
# What stands in the folder of a project itself.
_PROGRAM = re.compile(
    r"^(README|LICENSE|Makefile|Dockerfile)\b|\.(py|sh|ipynb|toml)$|^requirements.*\.txt$|^environment\.ya?ml$"
    r"|^\.git"
)


class PagePaths:
    """The paths of one page, as they are written and from the project's root.

    `root` is the folder below which all of them lie, "" for the project's own; `projects` are the
    names, in small letters, that the project's folder may have; `folder` is the page's own within
    the project.
    """

    def __init__(self, text: str, tokens: Sequence[Token], project: str, folder: str = "") -> None:
        self.folder = folder
        self.projects = {project.lower()} | _clones(text)
        self.own = frozenset(self.projects)
        self._title = re.sub(r"\A#+\s*", "", text.lstrip().split("\n")[0])
        # What the paths begin with that the page writes as code.
        self._tops = {
            found.lower() for found in re.findall(r"`(?:\./)?([\w.-]+)/[\w./{}-]*`", text)
        }
        self.root = _root(tokens)

    def below(self, text: str) -> str:
        """A folder as the page writes it, from the root that the page names."""
        path = located("", text)
        if self.root and (path + "/").startswith(self.root + "/"):
            return path[len(self.root) + 1 :]
        first, _, rest = path.partition("/")
        return rest if rest and first.lower() in self.projects else path

    def safely_below(self, text: str) -> str:
        """The same; as it is where it is no path within the project."""
        try:
            return self.below(text)
        except Unreadable:
            return text

    def bring_below(self, found: FolderTree) -> None:
        """Bring a tree's paths below the root: the project's own folder is not one of them."""
        root = found.root.strip("./")
        if root and root == posixpath.basename(self.folder):  # drawn from the page's own folder on
            for entry in found.entries:
                entry.path = join(self.folder, entry.path)
            return
        if self._is_project(root, found):
            self.projects.add(root.lower())
        if not root or root == self.root or root.lower() in self.projects or root.startswith("<"):
            return
        if root.upper() in {"ROOT", "PROJECT_ROOT", "$ROOT", "PROJECT", "REPO"}:
            return
        for entry in found.entries:
            entry.path = join(root, entry.path)

    def _is_project(self, root: str, found: FolderTree) -> bool:
        """Whether the folder on top of a tree is the project's own: its program lies in it, it is
        called as the page is, or the page's other paths begin below it."""
        if not root or "/" in root or CONTAINER.fullmatch(root) or _DATA.fullmatch(root):
            return False
        top = [entry for entry in found.entries if "/" not in entry.path]
        if any(_PROGRAM.search(entry.path) for entry in top if not entry.folder):
            return True
        name = _DATED.sub("", root).lower()
        words = set(re.findall(r"[^\W_]+", name))
        if name != root.lower() or words <= set(re.findall(r"[^\W_]+", self._title.lower())):
            return True
        folders = {entry.path.lower() for entry in top if entry.folder}
        return root.lower() not in self._tops and bool(folders & self._tops)


def _root(tokens: Sequence[Token]) -> str:
    """A header such as "Folder (below `project`)" says where all paths begin, or a sentence."""
    for index, token in enumerate(tokens):
        if token.type == "th_open":
            cell = page_cells.of_inline(tokens[index + 1], 0)
            if FOLDER.search(cell.text) and _BELOW.search(cell.text) and cell.codes:
                return cell.codes[0].strip("./")
    for token in tokens:
        cell = page_cells.of_inline(token, 0) if token.type == "inline" else Cell()
        if len(cell.codes) == 1 and _ALL_BELOW.search(cell.text):
            root = cell.codes[0].strip("./")
            return root if re.fullmatch(r"[\w.-]+", root) else ""
    return ""


def _clones(text: str) -> set[str]:
    """Folders that `git clone` makes of the page's own project: the first one cloned."""
    found = re.search(
        r"git clone\b[^\n]*github\.com[:/][\w.-]+/([\w.-]+?)(?:\.git)?/?"
        r"(?:\s+([\w.-]+))?\s*(?:$|\n|&&)",
        text,
    )
    title = re.search(r"^#\s+([\w.-]+)\s*$", text, re.M)
    name = title[1] if title else ""
    if CONTAINER.fullmatch(name) or _DATA.fullmatch(name):
        name = ""  # what the page is about
    return {name.lower() for name in (*(found.groups() if found else ()), name) if name}
