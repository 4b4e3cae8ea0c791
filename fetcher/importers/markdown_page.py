"""Pages in Markdown: tables, trees, sentences with links, and code that downloads.

A row's file, folder and link are taken from the columns that say so, in English or Korean. What has
a link but no place, or a place but no link, is a remark.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from fetcher.i18n import t
from fetcher.importers import (
    folder_trees,
    page_cells,
    page_lists,
    page_names,
    page_renames,
    page_trees,
)
from fetcher.importers.document_paths import BASE, Unreadable, is_pattern, join, located
from fetcher.importers.folder_trees import FolderTree
from fetcher.importers.origins import of_file
from fetcher.importers.page_cells import Cell, Table
from fetcher.importers.page_links import Link, brings, is_by_hand, is_download, link_of
from fetcher.importers.page_names import Named
from fetcher.importers.page_places import (
    PUT,
    beside,
    folder_alone,
    folders_of,
    headed,
    labelled,
    says_unpack,
    stated,
    topmost,
    without_addresses,
)
from fetcher.importers.page_rows import FOLDER, HOST, Columns, Row, columns_of, upright
from fetcher.importers.page_trees import Waiting
from fetcher.importers.programs import BY_HAND
from fetcher.importers.target_tree import (
    ARCHIVES,
    FileOrigin,
    RepoOrigin,
    TargetTree,
    Unpacked,
)

if TYPE_CHECKING:
    from markdown_it.token import Token

_OUTSIDE = re.compile(r"~/|\$\{?HOME\b|%\w+%|[A-Za-z]:[\\/]")
# What a page says of data that one has to ask for.
_ASKS = re.compile(
    r"\b(request|apply|sign (in|up)|log ?in|register|registration|agreement|e-?mail)\b"
    r"|요청|신청|로그인|회원|승인|메일|申请|登录|注册|申請|登録",
    re.IGNORECASE,
)
_ALL_BELOW = re.compile(
    r"(?:모든|아래|이하|전체|all|every)[^.\n]{0,20}"
    r"(?:경로|위치|디렉토리|paths?|folders?|directories)[^.\n]{0,80}"
    r"(?:기준|relative|below|under|inside|제외|생략|without)"
    r"|(?:paths?|directories|folders?) (?:below |here )?are relative to"
    r"|경로는[^.\n]{0,60}(?:기준|제외|생략)",
    re.IGNORECASE,
)
_BELOW = re.compile(r"제외|기준|exclud|relative|below|under|inside|within|아래", re.I)
# What a heading says of the links below it.
_MODELS = re.compile(
    r"\bmodels?\b|\bdata ?sets?\b|모델|데이터|模型|数据|權重|モデル|データ|コーパス", re.I
)
_FETCHES = re.compile(
    r"download|weights?\b|checkpoints?\b|\bckpts?\b|pre-?trained|model zoo"
    r"|다운로드|가중치|체크포인트|내려\s?받|下载|下載|权重|ダウンロード|学習済み",
    re.I,
)
_CREDITS = re.compile(
    r"\b(thanks?|acknowledg|based on|built (up)?on|credits?|inspired|borrow|demo|paper|blog"
    r"|license)|라이[선센]스|논문|참고|데모|论文|参考|演示|論文|デモ",
    re.I,
)
_CONTAINER = re.compile(
    r"(pre-?trained[_-]?)?(weights|checkpoints?|ckpts?|models?)|pre-?trained", re.I
)
_SHELL = {"bash", "sh", "shell", "console", "zsh", "shell-session", "terminal", "cmd"}
_BRINGS = re.compile(
    r"^[ \t]*(?:\$ |> |! ?|sudo )*"
    r"(wget|curl|gdown|aria2c|axel|hf|huggingface-cli|modelscope|git (lfs )?clone|unzip|tar"
    r"|(ba)?sh \S+\.sh|python3? \S*(download|fetch)\w*\.py)\b",
    re.M,
)
_DATA = re.compile(r"data|datasets?|assets|exp|outputs?|results?|logs?|src|work_dirs", re.I)
_DATED = re.compile(r"^(\d{4}[_-]?\d\d[_-]?\d\d|\d{6})[_-](?=\D)")  # when a project began
# What stands in the folder of a project itself.
_PROGRAM = re.compile(
    r"^(README|LICENSE|Makefile|Dockerfile)\b|\.(py|sh|ipynb|toml)$|^requirements.*\.txt$|^environment\.ya?ml$"
    r"|^\.git"
)
_MAY_BRING = re.compile(
    r"download|fetch|wget|curl|gdown|weights|checkpoint|pretrain|model|data", re.I
)
_CLONE_LINE = re.compile(
    r"\s*git clone\b.*github\.com[:/][\w.-]+/([\w.-]+?)(?:\.git)?/?(?:\s+(\S+))?\s*(&&.*)?$"
)
# A script that a sentence says to run.
_RUNS = re.compile(
    r"(?:(?:ba|z)?sh\s+|\./|source\s+)\S+\.sh(\s.*)?|python3?\s+\S+\.py(\s.*)?"
    r"|(wget|curl|gdown|hf download|huggingface-cli download|modelscope download|git clone)\s.+"
)
_DOWNLOADER = re.compile(r"python3?\s+(\S*/)?\w*(download|fetch|get_)\w*\.py", re.I)
_USES = re.compile(
    r"\s*(fetch(?=\s+[a-z]+(\s|$))|python3?|torchrun|accelerate|streamlit|gradio|make|npm|docker|CUDA_VISIBLE_DEVICES\S*)\b"
)
_PYTHON = re.compile(
    r"snapshot_download|hf_hub_download|urlretrieve|gdown\.|wget\.download|requests\.get"
    r"|download_url_to_file|load_state_dict_from_url|load_file_from_url|download_url\("
    r"|from_pretrained|SentenceTransformer\(|CrossEncoder\("
)
_PYTHON_USES = re.compile(r"from_pretrained|SentenceTransformer\(|CrossEncoder\(")
# Names that examples have in a repository's place.
_EXAMPLE = re.compile(
    r"(path|your|my|some|local|saved?|outputs?|results?|checkpoints?|ckpts?|weights|models?"
    r"|pretrained(_models?)?|runs?|exp|logs?|data|username|user|org)[\w.-]*/",
    re.IGNORECASE,
)


@dataclass
class _Section:
    """What stands below one heading."""

    title: str
    folders: list[str] = field(default_factory=list)
    unpacks: bool = False  # it says that archives are unpacked
    fetches: bool = False  # it says where weights or data come from
    headed: bool = False  # its heading is the folder


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
        self.records = page_lists.records(self.tokens, is_download)
        self.projects = {project.lower()} | _clones(text)
        self.own = frozenset(self.projects)
        self.title = re.sub(r"\A#+\s*", "", text.lstrip().split("\n")[0])
        # What the paths begin with that the page writes as code.
        self.tops = {found.lower() for found in re.findall(r"`(?:\./)?([\w.-]+)/[\w./{}-]*`", text)}
        self.trees: list[FolderTree] = []
        self.root = ""
        self.section = _Section("")
        self.unplaced: list[Waiting] = []  # links whose file a tree may show
        self.waiting: list[Waiting] = []
        self.anchored: dict[str, list[str]] = {}  # folders for what stands in another section
        self.above: list[tuple[int, str]] = []  # folders that list items are about, by their level
        self.source: Link | None = None  # what the sentence above a table says all is from
        self.source_line = 0
        self.intro: str | None = None  # the folder that the last sentence without links names
        self.used: list[RepoOrigin] = []  # what examples load
        self.addresses: set[str] = set()  # of files that were placed; see `_index`
        self.hub_paths: dict[str, list[str]] = {}
        self.counted = 0

    def read(self) -> str:
        """All parts, in order; trees are known before what they place."""
        self._find_root()
        self._find_trees()
        self._find_anchors()
        page_trees.place_noted(self.trees, self.tree)
        for index, token in enumerate(self.tokens):
            if token.type == "heading_open":
                self.section, self.intro, self.above = self._section(index), None, []
                self.source = None
            elif token.type == "list_item_close":
                self.above = [item for item in self.above if item[0] < token.level]
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
                cell = page_cells.of_inline(token, _line(token))
                about = self.records.get(index)
                if about is None:
                    self._paragraph(cell, token)
                elif about:
                    self._sentence(page_lists.merged(cell, about))
            elif token.type in {"fence", "code_block"}:
                self._code(token)
        self._place_by_trees()
        self._rivals()
        self._fill_from_trees()
        self._place_by_folders()
        self._rename()
        self._loaded()
        self._unread_links()
        return "" if self.root.lower() in self.own else self.root

    # --- roots and trees

    def _find_root(self) -> None:
        """A header such as "Folder (below `project`)" says where all paths begin, or a sentence."""
        for index, token in enumerate(self.tokens):
            if token.type == "th_open":
                cell = page_cells.of_inline(self.tokens[index + 1], 0)
                if FOLDER.search(cell.text) and _BELOW.search(cell.text) and cell.codes:
                    self.root = cell.codes[0].strip("./")
                    return
        for token in self.tokens:
            cell = page_cells.of_inline(token, 0) if token.type == "inline" else Cell()
            if len(cell.codes) == 1 and _ALL_BELOW.search(cell.text):
                root = cell.codes[0].strip("./")
                self.root = root if re.fullmatch(r"[\w.-]+", root) else ""
                return

    def _find_trees(self) -> None:
        for token in self.tokens:
            if token.type in {"fence", "code_block"} and folder_trees.looks_like(token.content):
                found = folder_trees.read(token.content, _line(token) + (token.type == "fence"))
                self._below_root(found)
                self.trees.append(found)

    def _find_anchors(self) -> None:
        """Sentences that say where to put what is listed [there](#pre-trained-models)."""
        for index, token in enumerate(self.tokens):
            if token.type != "inline" or self._in_table(index):
                continue
            cell = page_cells.of_inline(token, 0)
            for _, address in cell.links:
                if address.startswith("#"):
                    folders = folders_of(cell, self._below)
                    self.anchored.setdefault(address[1:].lower(), []).extend(folders)

    def _below_root(self, found: FolderTree) -> None:
        """Bring a tree's paths below the root: the project's own folder is not one of them."""
        root = found.root.strip("./")
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
        if not root or "/" in root or _CONTAINER.fullmatch(root) or _DATA.fullmatch(root):
            return False
        top = [entry for entry in found.entries if "/" not in entry.path]
        if any(_PROGRAM.search(entry.path) for entry in top if not entry.folder):
            return True
        name = _DATED.sub("", root).lower()
        words = set(re.findall(r"[^\W_]+", name))
        if name != root.lower() or words <= set(re.findall(r"[^\W_]+", self.title.lower())):
            return True
        folders = {entry.path.lower() for entry in top if entry.folder}
        return root.lower() not in self.tops and bool(folders & self.tops)

    def _section(self, start: int) -> _Section:
        """A section: the folders that its sentences name for what it links, and what it says."""
        section = _Section(self.tokens[start + 1].content)
        title = section.title
        section.fetches = bool(_FETCHES.search(title) or _MODELS.search(title))
        found: list[str] = []
        for index in range(start + 3, len(self.tokens)):
            token = self.tokens[index]
            if token.type == "heading_open":
                break
            if token.type == "inline" and not self._in_table(index):
                cell = page_cells.of_inline(token, 0)
                found += folders_of(cell, self._below)
                section.unpacks = section.unpacks or says_unpack(cell.text)
                section.fetches = section.fetches or bool(_FETCHES.search(cell.text))
        found += self.anchored.get(_anchor(section.title), [])
        section.folders = topmost(found)
        own = headed(page_cells.of_inline(self.tokens[start + 1], 0), self._below)
        if own is not None:
            section.folders, section.headed, section.fetches = [own], True, True
        return section

    def _in_table(self, index: int) -> bool:
        return index > 0 and self.tokens[index - 1].type in {"td_open", "th_open"}

    # --- tables

    def _table(self, table: Table) -> None:
        table.repeat()
        table = upright(table)
        columns = columns_of(table)
        if not any(cell.addresses() for row in table.rows for cell in row):
            self._from_source(table, columns)
            return
        for row in table.rows:
            try:
                self._row(row, columns, table)
            except Unreadable as why:
                text = " | ".join(cell.text for cell in row)
                self.tree.remark(row[0].line if row else table.line, why.args[0], text)

    def _from_source(self, table: Table, columns: Columns) -> None:
        """A table without links, whose files are all from what the sentence above it links."""
        link = self.source
        if link is None or "file" not in columns:
            return
        usual = self._usual_folder() if "folder" not in columns else None
        for row in table.rows:
            found = Row(row, columns)
            where, named = found.place()[0], found.named()
            folder = usual if where is None else self._below(where)
            if folder is None or not named.files:
                continue
            try:
                self._put(link, named, folder, found.line)
                self.tree.remarks[:] = [
                    remark for remark in self.tree.remarks if remark.line != self.source_line
                ]
            except Unreadable as why:
                self.tree.remark(found.line, why.args[0], " | ".join(cell.text for cell in row))

    def _row(self, row: Sequence[Cell], columns: Columns, table: Table) -> None:
        found = Row(row, columns)
        link, named = found.link(), found.named()
        where = found.place()[0]
        folder = None if where is None else self._below(where)
        if link is None:
            if why := found.gap(named):
                raise Unreadable(why)
            return
        said = any(says_unpack(cell.text) for cell in row) and not named.files
        several = found.several()
        each = [Named((name,)) for name in named.files]
        if len(each) != len(several):
            each = [Named()] * len(several)
        for (label, one), name in zip(several, each, strict=True):
            self._place(Waiting(one, found.label(), name, found.line, None, label), folder, said)
        if several:
            return
        labels = (label for cell in row for label, address in cell.links if link.of(address))
        item = Waiting(link, found.label(), named, found.line, None, next(labels, ""))
        self._place(item, folder, said)
        for other in found.others(link, table):
            self._place(Waiting(other, found.label(), Named(), found.line), folder)

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

    def _place(self, item: Waiting, folder: str | None, unpacks: bool = False) -> None:
        """The link of a row to its place, or to those that wait for a tree."""
        if folder is None:
            folder = self._usual_folder()
            if folder is None:
                self.unplaced.append(replace(item, in_row=True))
                return
            folder = self._for_repository(item.link, folder, item.line)
        self._put(item.link, item.named, folder, item.line, unpacks or self.section.unpacks)

    def _put(self, link: Link, named: Named, folder: str, line: int, unpacks: bool = False) -> None:
        if (
            len(named.files) <= 1
            and re.search(r"\.[A-Za-z]\w{0,11}$", posixpath.basename(folder))
            and (not named.files or _is_renamed(named.files[0], posixpath.basename(folder)))
        ):
            folder, own = posixpath.split(folder)  # the column has the file's whole path
            first = named.files[0].partition("\0")[0] if named.files else own
            named = replace(named, files=(own if first == own else f"{first}\0{own}",))
        files, unnamed = set(self.tree.files), len(self.tree.unnamed)
        link.put(self.tree, named, folder, line)
        if not unpacks:
            return
        for path in set(self.tree.files) - files:
            if ARCHIVES.search(path):
                self.tree.unpack(path, folder, line)
        for item in self.tree.unnamed[unnamed:]:
            self.tree.unnamed.remove(item)
            self.tree.unpacked.append(Unpacked(item[1], folder, line))

    # --- sentences and code

    def _paragraph(self, cell: Cell, token: Token) -> None:
        """A paragraph as one sentence, or line by line where each has its own link and folder."""
        lines = page_cells.of_lines(token, _line(token))
        complete = [line for line in lines if line.addresses() and folders_of(line, self._below)]
        for part in lines if complete and len(lines) > 1 else [cell]:
            self._note_folder(part, token)
            for code in part.codes:
                if _RUNS.fullmatch(code) and _MAY_BRING.search(code):
                    self._shell(code, part.line)
            self._sentence(part)

    def _note_folder(self, cell: Cell, token: Token) -> None:
        """Remember the folder that a line names for what is listed below it."""
        if cell.addresses():
            return
        if token.level > 2 and (folder := folder_alone(cell, self._below)) is not None:
            self.above = [item for item in self.above if item[0] < token.level - 2]
            self.above.append((token.level - 2, self._nested(folder)))
            return
        folders = topmost(folders_of(cell, self._below))
        if len(folders) == 1 and token.level > 1:
            self.above.append((token.level - 2, folders[0]))
        if token.level <= 4:
            self.intro = folders[0] if len(folders) == 1 else None

    def _nested(self, folder: str) -> str:
        """A folder of a list within a folder's item: its path begins there or goes on from it."""
        above = self.above[-1][1] if self.above else ""
        outer = above.partition("/")[0]
        inside = not above or folder.startswith(BASE) or folder.partition("/")[0] == outer
        return folder if inside else join(above, folder)

    def _usual_folder(self) -> str | None:
        """Where what names no folder belongs: as the list item above it says, or its section."""
        if self.above:
            return self.above[-1][1]
        if len(self.section.folders) == 1:
            return self.section.folders[0]
        return self.intro if self.section.folders else None

    def _sentence(self, cell: Cell) -> None:
        links = [
            link
            for label, address in cell.addresses()
            if brings(label, address) and (link := link_of(label, address, cell.text, cell.line))
        ]
        files = [link for link in links if link.is_file or link.is_archive]
        many = [link for link in links if link.github or (link.repo and not link.is_file)]
        if cell.addresses():
            self.source = many[0] if len(links) == len(many) == 1 else None
            self.source_line = cell.line
        folders = topmost(folders_of(cell, self._below))
        shares = [address for _, address in cell.addresses() if is_by_hand(address)]
        if (
            shares
            and not links
            and (folders or self.section.fetches or PUT.search(without_addresses(cell)))
        ):
            why = t("its only source cannot be fetched: get it by hand")
            self.tree.remark(cell.line, why, cell.text)
            return
        if self._put_as_stated(cell, links, folders) or self._is_elsewhere(cell, links):
            return
        if not PUT.search(without_addresses(cell)) or (links and not folders):
            self._by_section(cell, links)
            return
        unpacks = says_unpack(cell.text)
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
                folders = [self._for_repository(links[0], folders[0], cell.line)]
                self._put(links[0], one, folders[0], cell.line, unpacks)
            elif len(folders) == 1 and len(files) == len(links):
                for link in files:
                    self._put(link, Named(), folders[0], cell.line, unpacks)
            else:
                self.unplaced += [Waiting(link, "", Named(), cell.line) for link in files]
                self._wait(cell, [link for link in links if link not in files], folders)
        except Unreadable as why:
            self.tree.remark(cell.line, why.args[0], cell.text)

    def _put_as_stated(self, cell: Cell, links: Sequence[Link], folders: Sequence[str]) -> bool:
        """Put a sentence's one link where it says in so many words; whether it does."""
        target = stated(cell, self._below) if len({link.address for link in links}) == 1 else None
        if target is None and len(links) == 1 and page_names.RENAMED.search(cell.text):
            target = labelled(cell, links[0].name)
        if target is None and len(links) == 1 and (links[0].is_file or not links[0].repo):
            target = beside(cell, links[0].name, self._below)
        if target is None:
            return False
        folder = target.folder
        if folder is None:
            folder = folders[0] if len(folders) == 1 else self._usual_folder()
        elif self.above and target.leads:
            folder = self._nested(folder)
        if folder is None:
            return False
        unpacks = says_unpack(cell.text)
        try:
            named = Named((target.name,), renamed=True) if target.name else Named()
            self._put(links[0], named, folder, cell.line, unpacks)
        except Unreadable as why:
            self.tree.remark(cell.line, why.args[0], cell.text)
        return True

    def _is_elsewhere(self, cell: Cell, links: Sequence[Link]) -> bool:
        """Whether a sentence needs a person: its place is not the project's, or its link a page."""
        text = without_addresses(cell)
        outside = next((code for code in cell.codes if _OUTSIDE.match(code)), "")
        if links and outside and PUT.search(text):
            why = t("{path} lies outside the project", path=outside)
        elif links or not any("://" in address for _, address in cell.links):
            return False
        elif stated(cell, self._below) or (self.section.fetches and _ASKS.search(text)):
            why = t("get it by hand: its page is no file")
        else:
            return False
        addresses = " ".join(address for _, address in cell.addresses())
        self.tree.remark(cell.line, why, f"{cell.text} {addresses}")
        return True

    def _for_repository(self, link: Link, folder: str, line: int) -> str:
        """Where a whole repository belongs in a folder for many: the project's own fills it."""
        named = [name for name in self.projects if len(name) > 2]
        own = any(name in link.repo.lower() for name in named)
        many = _CONTAINER.fullmatch(posixpath.basename(folder))
        if not link.repo or link.is_file or own or not many:
            return folder
        shown = [entry for entry in self._drawn() if entry.path.startswith(folder + "/")]
        if shown and all(posixpath.dirname(entry.path) == folder for entry in shown):
            return folder
        found = join(folder, posixpath.basename(link.repo))
        why = t("it is put into a folder of its own name: {folder}", folder=found)
        self.tree.remark(line, why, link.address)
        return found

    def _by_section(self, cell: Cell, links: Sequence[Link]) -> None:
        """Links without a word of where: the section's one folder, or the tree's of that name."""
        usable = [link for link in links if not self._brought(link)]
        if not usable or _CREDITS.search(cell.text):
            return
        if not (self.section.fetches or self.above or self.intro is not None):
            return
        folder = self._usual_folder()
        sure = self.above or self.section.headed
        if not sure and folder is not None and self._each_its_own(usable, folder):
            for link in usable:
                self._put_safely(link, self._for_repository(link, folder, cell.line), cell)
            return
        if folder is not None and (sure or not usable[0].repo or usable[0].is_file):
            first = min(usable, key=lambda link: (not link.name, link.rank))
            others = [link.address for link in usable if link is not first]
            if not sure:
                why = t("its section names {folder}: it is put there", folder=folder)
                self.tree.remark(cell.line, why, first.address)
            if others and not _are_mirrors(cell):
                for link in usable:
                    self._put_safely(link, folder, cell)
                return
            self._put_safely(first, folder, cell)
            if others:
                why = t(
                    "it can be had from elsewhere as well: add it as a mirror if it is the same"
                )
                self.tree.remark(cell.line, why, " ".join(others))
            return
        self._wait(cell, usable, self.section.folders)

    def _each_its_own(self, links: Sequence[Link], folder: str) -> bool:
        """Whether repositories are listed below a sentence that names a folder for many."""
        whole = all(link.repo and not link.is_file for link in links)
        many = _CONTAINER.fullmatch(posixpath.basename(folder))
        return whole and bool(many) and folder == self.intro

    def _wait(self, cell: Cell, links: Sequence[Link], folders: Sequence[str]) -> None:
        """Links whose place a tree may tell; `folders` are those that the page names for them."""
        named = page_names.of_cell(cell)
        folder = folders[0] if len(folders) == 1 else None
        for link in links:
            label = next((text for text, address in cell.links if link.of(address)), "")
            before = re.split(r"[:：]", cell.text)[0] if re.search(r"[:：]", cell.text) else ""
            self.waiting.append(Waiting(link, label, named, cell.line, folder, before))

    def _brought(self, link: Link) -> bool:
        """Whether another part of the page brings all that a link leads to."""
        return self._has(link, link.name) and not (link.repo and link.path and not link.is_file)

    def _put_safely(self, link: Link, folder: str, cell: Cell) -> None:
        try:
            self._put(link, Named(), folder, cell.line, self.section.unpacks)
        except Unreadable as why:
            self.tree.remark(cell.line, why.args[0], cell.text)

    def _place_by_folders(self) -> None:
        """Links of sentences that name no folder go where a tree has one of their name."""
        waiting = [item for item in self.waiting if not self._brought(item.link)]
        page_trees.place_by_folders(self.trees, waiting, self.tree)
        page_trees.unexplained(self.trees, self.tree)

    def _rename(self) -> None:
        """Notes below a table or tree say what files are called after their download."""
        texts = (
            page_cells.of_inline(token, 0)
            for index, token in enumerate(self.tokens)
            if token.type == "inline" and not self._in_table(index)
        )
        page_renames.apply(page_renames.noted(texts), self.tree)

    def _code(self, token: Token) -> None:
        if folder_trees.looks_like(token.content):
            return
        language = token.info.strip().split()[0].lower() if token.info.strip() else ""
        line = _line(token) + (token.type == "fence")
        if language in {"python", "py", "python3"}:
            if _PYTHON.search(token.content):
                self._python(token.content, line)
            return
        if language in _SHELL or (not language and _BRINGS.search(token.content)):
            self._shell(token.content, line)

    def _python(self, text: str, line: int) -> None:
        """A block of Python. Examples load models besides: what they load comes by the Hub's
        cache, and what else of them is not read is no matter."""
        from fetcher.importers import python_script

        remarks, cached = len(self.tree.remarks), len(self.tree.cached)
        python_script.read(text, self.tree, "", line)
        if _PYTHON_USES.search(text):
            self.tree.remarks[remarks:] = [
                remark
                for remark in self.tree.remarks[remarks:]
                if _PYTHON.search(remark.text) and not _PYTHON_USES.search(remark.text)
            ]
            self.used += self.tree.cached[cached:]

    def _loaded(self) -> None:
        """Of what examples load, only what nothing else brings, and what is no local path."""
        placed = {repo.repo for _, repo in self.tree.repos}
        placed |= {of_file(origin)[0].address for origin in self.tree.files.values()}
        self.tree.cached[:] = [
            repo
            for repo in self.tree.cached
            if repo not in self.used
            or not (repo.repo in placed or _EXAMPLE.match(repo.repo) or self.tree.knows(repo.repo))
        ]

    def _shell(self, text: str, line: int) -> None:
        """A block of shell. Of what it runs besides, only what may fetch something is told."""
        from fetcher.importers import shell

        before = len(self.tree.remarks)
        files = set(self.tree.files)
        shell.read(self._as_script(text), self.tree, "", line)
        self.tree.remarks[before:] = [
            remark
            for remark in self.tree.remarks[before:]
            if remark.reason != BY_HAND or _MAY_BRING.search(remark.text)
        ]
        brought = [path for path in self.tree.files if path not in files]
        folders = self.section.folders
        if brought and len(folders) == 1 and not any("/" in path for path in brought):
            why = t("the text beside it names {folder}: it is put there", folder=folders[0])
            self.tree.remark(line, why)
            for path in brought:
                self.tree.carry(path, join(folders[0], path))

    def _as_script(self, text: str) -> str:
        """Shell as people type it: without prompts, and without going into the clone itself."""
        return "".join(self._as_typed(line) + "\n" for line in text.splitlines())

    def _as_typed(self, line: str) -> str:
        text = re.sub(r"^\s*(?:\$|>|!|%)\s+(?=\S)|^!(?=\S)", "", line)
        if clone := _CLONE_LINE.match(text):
            text = re.sub(r"^\s*&&\s*", "", clone[3] or "")
        entered = re.match(r"\s*(?:cd|pushd)\s+(\S+)(.*)$", text)
        if entered:
            project, _, below = entered[1].strip("\"'").removeprefix("./").partition("/")
            if project.lower() in self.projects:
                text = re.sub(r"^\s*(&&|;)\s*", "", entered[2])
                text = f"cd {below} {entered[2]}" if below.strip("/") else text
        # What uses the project comes after its files.
        brings = re.search(r"-c |zipfile|gdown", text) or _DOWNLOADER.search(text)
        return "" if _USES.match(text) and not brings else text

    def _unread_links(self) -> None:
        """Links to files that nothing has placed: nothing is lost silently."""
        told = {item.line for item in self.unplaced} | {r.line for r in self.tree.remarks}
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
        for item in self.unplaced:
            link, named, line = item.link, item.named, item.line
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
                self.waiting.append(item)

    def _covered(self, path: str, link: Link) -> str:
        """The whole repository that another statement puts where this file belongs, or ""."""
        for folder, repo in self.tree.repos:
            if path.startswith(folder + "/") and not repo.files and repo.repo != link.repo:
                return repo.repo
        return ""

    def _has(self, link: Link, name: str) -> bool:
        """Whether the same file was placed by another part of the page."""
        self._index()
        others = [origin.address for _, origin in self.tree.unnamed]
        unpacked = [item.archive for item in self.tree.unpacked]
        others += [o.address for o in unpacked if isinstance(o, FileOrigin)]
        paths = self.hub_paths.get(link.repo, ()) if link.repo else ()
        return (
            link.address in self.addresses
            or link.address in others
            or any(not name or path.endswith(name) for path in paths)
            or any(bool(link.repo) and repo.repo == link.repo for _, repo in self.tree.repos)
        )

    def _index(self) -> None:
        """Note what was placed since the last time; a page may have very many links."""
        files = self.tree.files
        for origin in islice(reversed(files.values()), max(0, len(files) - self.counted)):
            if isinstance(origin, FileOrigin):
                self.addresses.add(origin.address)
            else:
                self.hub_paths.setdefault(origin.repo.repo, []).append(origin.path)
        self.counted = len(files)

    def _fill_from_trees(self) -> None:
        """The files that a tree shows in a repository's folder are those that are wanted."""
        for index, (folder, repo) in enumerate(self.tree.repos):
            if not repo.drawn or repo.files:
                continue
            shown = [e for e in self._drawn() if folder and e.path.startswith(folder + "/")]
            others = [path for path in self.tree.files if path.startswith(folder + "/")]
            if len(shown) < 2 or others or page_trees.has_more(self.trees, folder):
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


def _anchor(title: str) -> str:
    """The address of a heading within its page."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.strip().lower()))


def _is_renamed(name: str, saved: str) -> bool:
    """Whether a path whose last part is `saved` can be that of a file called `name`."""
    own = name.partition("\0")[0]
    return own == saved or (
        not is_pattern(own) and posixpath.splitext(own)[1] == posixpath.splitext(saved)[1]
    )


def _are_mirrors(cell: Cell) -> bool:
    """Whether a sentence's links are labelled by hosts: one file, from several of them."""
    return all(HOST.fullmatch(label.strip()) for label, _ in cell.links)


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
