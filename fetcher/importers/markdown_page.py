"""Pages in Markdown: tables, trees, sentences with links, and code that downloads.

A row's file, folder and link are taken from the columns that say so, in English or Korean. What has
a link but no place, or a place but no link, is a remark.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fetcher.i18n import t
from fetcher.importers import folder_trees, page_cells, page_names
from fetcher.importers.folder_trees import FolderTree
from fetcher.importers.page_cells import Cell, Table
from fetcher.importers.page_links import Link, is_download, link_of
from fetcher.importers.page_names import Named
from fetcher.importers.target_tree import (
    FileOrigin,
    HubFile,
    TargetTree,
    Unreadable,
    is_pattern,
    join,
    located,
)

if TYPE_CHECKING:
    from markdown_it.token import Token

_LINK = re.compile(
    r"다운로드|주소|출처|링크|download|link|url|source|where|mirror|hugging ?face|google drive",
    re.I,
)
_FOLDER = re.compile(
    r"저장|디렉토리|디렉터리|경로|폴더|위치|director|folder|\bpath\b|location|destination|save|place|put|target|\bdir\b",
    re.I,
)
_FILE = re.compile(r"파일|file|checkpoint|weight|\bckpt\b|가중치", re.I)
_BARE_NAME = re.compile(
    r"이름|name|^(?!.*(?:분류|category|type)).*(?:모델|model)|데이터|dataset|version|variant|종류|module",
    re.I,
)
_DIGEST = re.compile(r"sha-?256|md5|checksum|hash|해시", re.I)
_BELOW = re.compile(r"제외|기준|exclud|relative|below|under|inside|within|아래", re.I)
_PUT = re.compile(
    r"\b(put|place|save|move|store|download|fetch|get|copy|extract|unzip|unpack|locate|organi[sz]e|into|under)\b|저장|배치|넣|위치|옮|다운로드|압축|두세요|둔다|놓",
    re.I,
)
_SHELL = {"bash", "sh", "shell", "console", "zsh", "shell-session", "terminal", "cmd"}
_FETCHING = re.compile(
    r"^[ \t]*(?:\$ |> |! ?|sudo )*"
    r"(wget|curl|gdown|aria2c|axel|hf|huggingface-cli|git|unzip|tar|mkdir"
    r"|mv|cd|bash|export|for|python|python3)\b",
    re.M,
)
_CLONE_LINE = re.compile(
    r"\s*git clone\b.*github\.com[:/][\w.-]+/([\w.-]+?)(?:\.git)?/?(?:\s+(\S+))?\s*(&&.*)?$"
)
_USES = re.compile(
    r"\s*(python3?|torchrun|accelerate|streamlit|gradio|make|npm|docker|CUDA_VISIBLE_DEVICES\S*)\b"
)
_PYTHON = re.compile(
    r"snapshot_download|hf_hub_download|urlretrieve|gdown\.|wget\.download|requests\.get"
)


@dataclass
class _Section:
    """What stands below one heading."""

    title: str
    folders: list[str] = field(default_factory=list)


def read(text: str, tree: TargetTree, project: str = "") -> str:
    """Read a page into the tree; `project` is the name of the project's folder.

    Returns the folder below which all its paths lie, "" for the root.
    """
    return _Page(text, tree, project).read()


class _Page:
    def __init__(self, text: str, tree: TargetTree, project: str) -> None:
        from markdown_it import MarkdownIt

        self.tree = tree
        self.tokens = MarkdownIt("commonmark").enable("table").parse(text)
        self.projects = {project.lower()} | _clones(text)
        self.trees: list[FolderTree] = []
        self.root = ""
        self.section = _Section("")
        self.unplaced: list[tuple[Link, Named, str, int]] = []

    def read(self) -> str:
        """All parts, in order; trees are known before what they place."""
        self._find_root()
        self._find_trees()
        for index, token in enumerate(self.tokens):
            if token.type == "heading_open":
                self.section = _Section(self.tokens[index + 1].content)
                self.section.folders = self._section_folders(index)
            elif token.type == "table_open":
                end = next(
                    i
                    for i in range(index, len(self.tokens))
                    if self.tokens[i].type == "table_close"
                )
                self._table(page_cells.of_tokens(self.tokens[index:end]))
            elif token.type == "html_block" and "<table" in token.content.lower():
                for table in page_cells.of_html(token.content, _line(token)):
                    self._table(table)
            elif token.type == "inline" and not self._in_table(index):
                self._sentence(page_cells.of_inline(token, _line(token)))
            elif token.type in {"fence", "code_block"}:
                self._code(token)
        self._place_by_trees()
        self._rivals()
        self._fill_from_trees()
        self._unread_links()
        return self.root

    # --- roots and trees

    def _find_root(self) -> None:
        """A header such as "Folder (below `project`)" says where all paths begin."""
        for index, token in enumerate(self.tokens):
            if token.type == "th_open":
                cell = page_cells.of_inline(self.tokens[index + 1], 0)
                if _FOLDER.search(cell.text) and _BELOW.search(cell.text) and cell.codes:
                    self.root = cell.codes[0].strip("./")
                    return

    def _find_trees(self) -> None:
        for token in self.tokens:
            if token.type in {"fence", "code_block"} and folder_trees.looks_like(token.content):
                found = folder_trees.read(token.content, _line(token) + (token.type == "fence"))
                self._below_root(found)
                self.trees.append(found)

    def _below_root(self, found: FolderTree) -> None:
        """Bring a tree's paths below the root: the project's own folder is not one of them."""
        root = found.root.strip("./")
        if not root or root == self.root or root.lower() in self.projects or root.startswith("<"):
            return
        if root.upper() in {"ROOT", "PROJECT_ROOT", "$ROOT", "PROJECT", "REPO"}:
            return
        for entry in found.entries:
            entry.path = join(root, entry.path)

    def _section_folders(self, start: int) -> list[str]:
        """Folders that a section's sentences name as the place for what it links."""
        found: list[str] = []
        for index in range(start + 3, len(self.tokens)):
            token = self.tokens[index]
            if token.type == "heading_open":
                break
            if token.type == "inline" and not self._in_table(index):
                found += _folders_of(page_cells.of_inline(token, 0), self._below)
        return list(dict.fromkeys(found))

    def _in_table(self, index: int) -> bool:
        return index > 0 and self.tokens[index - 1].type in {"td_open", "th_open"}

    # --- tables

    def _table(self, table: Table) -> None:
        columns = _columns(table)
        if not any(cell.addresses() for row in table.rows for cell in row):
            return
        for row in table.rows:
            try:
                self._row(row, columns, table)
            except Unreadable as why:
                text = " | ".join(cell.text for cell in row)
                self.tree.remark(row[0].line if row else table.line, why.args[0], text)

    def _row(self, row: Sequence[Cell], columns: dict[str, list[int]], table: Table) -> None:
        cells = {
            kind: [row[i] for i in indexes if i < len(row)] for kind, indexes in columns.items()
        }
        line = row[0].line
        link = _best(
            [
                link_of(label, address, cell.text, line)
                for cell in cells.get("link") or row
                for label, address in cell.addresses()
                if is_download(address) or "link" in columns
            ]
        )
        if link is None and "link" in columns:
            link = _best(
                [
                    link_of(label, address, cell.text, line)
                    for cell in row
                    for label, address in cell.addresses()
                    if is_download(address)
                ]
            )
        files = cells.get("file", [])
        named = page_names.of_cell(files[0]) if files else Named()
        folder = self._folder_of_row(cells.get("folder", []))
        if link is None:
            if named.files and any(
                word in cell.text.lower() for cell in row for word in ("baidu", "quark", "pan.")
            ):
                raise Unreadable(t("its only source cannot be fetched: get it by hand"))
            if any(cell.addresses() for cell in row):
                raise Unreadable(t("none of its links is a file or repository"))
            return
        digest = next(
            (
                found[0].lower()
                for cell in cells.get("digest", [])
                if (found := re.search(r"\b[0-9a-fA-F]{64}\b|\b[0-9a-fA-F]{32}\b", cell.text))
            ),
            "",
        )
        title = _title(cells.get("name", []))
        link = replace(link, title=title, digest=digest)
        self._place(link, named, folder, line)

    def _folder_of_row(self, cells: Sequence[Cell]) -> str | None:
        for cell in cells:
            text = (cell.codes or [cell.text.strip()])[0]
            if text and re.fullmatch(r"[\w./{}~$ -]+", text) and " " not in text.strip():
                return self._below(text.strip())
        return None

    def _safe_below(self, text: str) -> str:
        try:
            return self._below(text)
        except Unreadable:
            return text

    def _below(self, text: str) -> str:
        """A folder as the page writes it, from the root that the page names."""
        path = located("", text)
        if self.root and (path + "/").startswith(self.root + "/"):
            return path[len(self.root) + 1 :]
        first, _, rest = path.partition("/")
        return rest if rest and first.lower() in self.projects else path

    def _place(self, link: Link, named: Named, folder: str | None, line: int) -> None:
        """One link to its place, or to those that wait for a tree."""
        if folder is None:
            folders = self.section.folders
            if len(folders) == 1:
                folder = folders[0]
            else:
                self.unplaced.append((link, named, self.section.title, line))
                return
        self._put(link, named, folder, line)

    def _put(self, link: Link, named: Named, folder: str, line: int) -> None:
        if (
            len(named.files) <= 1
            and re.search(r"\.[A-Za-z]\w{0,11}$", posixpath.basename(folder))
            and (not named.files or posixpath.basename(folder) == named.files[0])
        ):
            folder, own = posixpath.split(folder)  # the column has the file's whole path
            named = replace(named, files=(own,))
        link.put(self.tree, named, folder, line)

    # --- sentences and code

    def _sentence(self, cell: Cell) -> None:
        links = [
            link
            for label, address in cell.addresses()
            if is_download(address) and (link := link_of(label, address, cell.text, cell.line))
        ]
        files = [link for link in links if link.is_file or link.is_archive]
        folders = _folders_of(cell, self._below)
        if not _PUT.search(cell.text):
            return
        if not links:
            if folders and cell.addresses():
                self.tree.remark(cell.line, t("get it by hand: its page is no file"), cell.text)
            return
        named = page_names.of_cell(
            replace(cell, codes=[c for c in cell.codes if self._safe_below(c) not in folders])
        )
        try:
            if len(folders) == 1 and len(links) == 1:
                one = (
                    named if len(named.files) == 1 or not links[0].is_file else Named(renamed=False)
                )
                if links[0].is_file and links[0].name and not named.renamed:
                    one = Named()
                self._put(links[0], one, folders[0], cell.line)
            elif len(folders) == 1 and len(files) == len(links):
                for link in files:
                    self._put(link, Named(), folders[0], cell.line)
            else:
                for link in files:
                    self.unplaced.append((link, Named(), self.section.title, cell.line))
        except Unreadable as why:
            self.tree.remark(cell.line, why.args[0], cell.text)

    def _code(self, token: Token) -> None:
        if folder_trees.looks_like(token.content):
            return
        language = token.info.strip().split()[0].lower() if token.info.strip() else ""
        line = _line(token) + (token.type == "fence")
        if language in {"python", "py", "python3"}:
            if _PYTHON.search(token.content):
                from fetcher.importers import python_script

                python_script.read(token.content, self.tree, "", line)
            return
        if language in _SHELL or (not language and _FETCHING.search(token.content)):
            from fetcher.importers import shell

            shell.read(self._as_script(token.content), self.tree, "", line)

    def _as_script(self, text: str) -> str:
        """Shell as people type it: without prompts, and without going into the clone itself."""
        return "".join(self._as_typed(line) + "\n" for line in text.splitlines())

    def _as_typed(self, line: str) -> str:
        text = re.sub(r"^\s*(?:\$|>|!|%)\s+(?=\S)|^!(?=\S)", "", line)
        if clone := _CLONE_LINE.match(text):
            text = re.sub(r"^\s*&&\s*", "", clone[3] or "")
        entered = re.match(r"\s*(?:cd|pushd)\s+(\S+)(.*)$", text)
        if entered and entered[1].strip("./\"'").lower() in self.projects:
            text = re.sub(r"^\s*(&&|;)\s*", "", entered[2])
        # What uses the project comes after its files.
        return "" if _USES.match(text) and not re.search(r"-c |zipfile|gdown", text) else text

    def _unread_links(self) -> None:
        """Links to files that nothing has placed: nothing is lost silently."""
        told = {line for _, _, _, line in self.unplaced} | {r.line for r in self.tree.remarks}
        for index, token in enumerate(self.tokens):
            if token.type != "inline":
                continue
            cell = page_cells.of_inline(token, _line(token))
            for label, address in cell.addresses():
                link = (
                    link_of(label, address, cell.text, cell.line) if is_download(address) else None
                )
                if link is None or not link.is_file or cell.line in told or self._in_table(index):
                    continue
                if not self._has(link, link.name):
                    why = t("this address was not read as a download")
                    self.tree.remark(cell.line, why, address)

    # --- what trees say

    def _drawn(self) -> Iterator[folder_trees.Entry]:
        for found in self.trees:
            yield from found.files()

    def _place_by_trees(self) -> None:
        """Links without a folder go where a tree shows their file."""
        for link, named, _, line in self.unplaced:
            names = [name for name in named.files if not is_pattern(name)] or (
                [link.name] if link.name else []
            )
            places = {
                name: {
                    entry.path
                    for entry in self._drawn()
                    if posixpath.basename(entry.path) == posixpath.basename(name)
                }
                for name in names
            }
            if names and all(len(found) == 1 for found in places.values()):
                for name in names:
                    path = next(iter(places[name]))
                    if other := self._covered(path, link):
                        why = t(
                            "{repo} may bring this file as well: name one of the two", repo=other
                        )
                        self.tree.remark(line, why, link.address)
                        continue
                    link.put(
                        self.tree,
                        replace(named, files=(posixpath.basename(path),)),
                        posixpath.dirname(path),
                        line,
                    )
            elif not any(self._has(link, name) for name in names or [""]):
                self.tree.remark(line, t("the page does not say where this belongs"), link.address)

    def _covered(self, path: str, link: Link) -> str:
        """The whole repository that another statement puts where this file belongs, or ""."""
        for folder, repo in self.tree.repos:
            if path.startswith(folder + "/") and not repo.files and repo.repo != link.repo:
                return repo.repo
        return ""

    def _has(self, link: Link, name: str) -> bool:
        """Whether the same file was placed by another part of the page."""
        return (
            any(
                isinstance(o, FileOrigin) and o.address == link.address
                for o in self.tree.files.values()
            )
            or any(
                isinstance(o, HubFile)
                and o.repo.repo == link.repo
                and (not name or o.path.endswith(name))
                for o in self.tree.files.values()
            )
            or any(bool(link.repo) and repo.repo == link.repo for _, repo in self.tree.repos)
        )

    def _fill_from_trees(self) -> None:
        """The files that a tree shows in a repository's folder are those that are wanted."""
        for index, (folder, repo) in enumerate(self.tree.repos):
            if not repo.drawn or repo.files:
                continue
            shown = [e for e in self._drawn() if folder and e.path.startswith(folder + "/")]
            others = [path for path in self.tree.files if path.startswith(folder + "/")]
            if len(shown) < 2 or others:
                continue
            names = []
            for entry in shown:
                name = entry.path[len(folder) + 1 :]
                right = _mended(name)
                if right != name:
                    self.tree.remark(
                        entry.line, t("{name} is taken to be {right}", name=name, right=right)
                    )
                names.append(right)
            if not any(is_pattern(name) for name in names):
                self.tree.repos[index] = (
                    folder,
                    replace(repo, files=tuple(dict.fromkeys(names)), count=None),
                )

    def _rivals(self) -> None:
        """Two whole repositories in one folder cannot both stand there: the last one does."""
        last: dict[str, int] = {}
        for index, (folder, _) in enumerate(self.tree.repos):
            last[folder] = index
        kept = []
        for index, (folder, repo) in enumerate(self.tree.repos):
            other = self.tree.repos[last[folder]][1]
            if repo.files or last[folder] == index or other.repo == repo.repo:
                kept.append((folder, repo))
                continue
            why = t(
                "{repo} and {other} cannot both stand in {folder}: it goes into the Hub's cache",
                repo=repo.repo,
                other=other.repo,
                folder=folder,
            )
            self.tree.remark(repo.line, why)
            self.tree.cached.append(replace(repo, optional=True))
        self.tree.repos[:] = kept


def _line(token: Token) -> int:
    return (token.map or [0])[0] + 1


def _columns(table: Table) -> dict[str, list[int]]:
    """Which columns have the link, the folder, the file, the name and the digest."""
    found: dict[str, list[int]] = {}
    for index, cell in enumerate(table.header):
        column = [row[index] for row in table.rows if index < len(row)]
        links = sum(any(is_download(address) for _, address in item.addresses()) for item in column)
        text = cell.text
        if _DIGEST.search(text):
            kind = "digest"
        elif (
            _FOLDER.search(text)
            and not links
            and not (
                _FILE.search(text)
                and not re.search(r"위치|경로|path|director|folder|location", text, re.I)
            )
        ):
            kind = "folder"
        elif (
            links
            and (_LINK.search(text) or links * 2 >= len(column))
            and not (_FILE.search(text) and not _LINK.search(text))
        ):
            kind = "link"
        elif _FILE.search(text):
            kind = "file"
        elif _BARE_NAME.search(text):
            kind = "name"
        else:
            continue
        found.setdefault(kind, []).append(index)
    if "file" in found and "link" not in found:
        pass
    elif "file" not in found:
        for index in found.get("name", []):
            if any(page_names.of_cell(row[index]).files for row in table.rows if index < len(row)):
                found["file"] = [index]
                break
    return found


def _best(links: Sequence[Link | None]) -> Link | None:
    """The link that can be had in the surest way."""
    usable = [link for link in links if link is not None]
    return min(usable, key=lambda link: link.rank) if usable else None


def _title(cells: Sequence[Cell]) -> str:
    text = cells[-1].text.strip() if cells else ""
    text = re.sub(r"[^\w\s().,:+/&'-]", "", text.split("\n")[0]).strip()
    return text if 0 < len(text) <= 80 else ""


def _folders_of(cell: Cell, below: Callable[[str], str]) -> list[str]:
    """Folders that a sentence names in code, as the place where something is put."""
    if not _PUT.search(cell.text):
        return []
    found = []
    for code in cell.codes:
        text = code.strip()
        if not re.fullmatch(r"[\w./-]+", text) or "://" in text:
            continue
        last = posixpath.basename(text.rstrip("/"))
        if (
            text.endswith("/")
            or ("/" in text and "." not in last)
            or (
                re.search(
                    r"(?:in|to|into|under|inside|below)\s+(?:the\s+|a\s+|your\s+)?[`\"']?"
                    + re.escape(text)
                    + r"|"
                    + re.escape(text)
                    + r"[`\"']?\s*(?:folder|directory|디렉토리|폴더|에\b|로\b|아래|안에)",
                    cell.text,
                    re.I,
                )
                and "." not in last
            )
        ):
            try:
                found.append(below(text))
            except Unreadable:
                continue
    return list(dict.fromkeys(found))


def _clones(text: str) -> set[str]:
    """Folders that `git clone` makes of the page's own project: the first one cloned."""
    found = re.search(
        r"git clone\b[^\n]*github\.com[:/][\w.-]+/([\w.-]+?)(?:\.git)?/?"
        r"(?:\s+([\w.-]+))?\s*(?:$|\n|&&)",
        text,
    )
    title = re.search(r"^#\s+([\w.-]+)\s*$", text, re.M)
    return {
        name.lower()
        for name in (*(found.groups() if found else ()), title[1] if title else None)
        if name
    }


def _mended(name: str) -> str:
    """A name with a slip, as the many repositories that have it write it."""
    from difflib import get_close_matches

    folder, base = posixpath.split(name)
    if base in page_names.COMMON:
        return name
    alike = [item for item in page_names.COMMON if abs(len(item) - len(base)) <= 1]
    close = get_close_matches(base, alike, 1, 0.84)
    return posixpath.join(folder, close[0]) if close else name
