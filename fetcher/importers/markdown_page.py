"""Pages in Markdown: tables, trees, sentences with links, and code that downloads.

A row's file, folder and link are taken from the columns that say so, in English or Korean. What has
a link but no place, or a place but no link, is a remark.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fetcher.i18n import t
from fetcher.importers import (
    folder_trees,
    page_cells,
    page_listings,
    page_lists,
    page_names,
    page_renames,
    page_repos,
    page_trees,
)
from fetcher.importers.addresses import KAGGLE
from fetcher.importers.document_paths import BASE, Unreadable, is_pattern, join
from fetcher.importers.origins import Place, of_repo
from fetcher.importers.page_cells import Cell, Table, in_table
from fetcher.importers.page_code import PageCode
from fetcher.importers.page_links import (
    Link,
    brings,
    is_by_hand,
    is_download,
    link_of,
    own_name,
)
from fetcher.importers.page_listings import Listing
from fetcher.importers.page_names import Named
from fetcher.importers.page_paths import CONTAINER, PagePaths
from fetcher.importers.page_placed import PlacedLinks
from fetcher.importers.page_places import (
    PUT,
    beside,
    folder_alone,
    folders_of,
    is_at_root,
    keeps_packed,
    labelled,
    says_unpack,
    stated,
    topmost,
    without_addresses,
)
from fetcher.importers.page_references import (
    Parsed,
    References,
    Surroundings,
    trees_of,
)
from fetcher.importers.page_rows import HOST, Columns, Row, columns_of, upright
from fetcher.importers.page_sections import Section, Sections
from fetcher.importers.page_trees import Waiting
from fetcher.importers.target_tree import (
    ARCHIVES,
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
# A sentence about what the one before it links.
_SAME_LINK = re.compile(
    r"\bsame\s+(?:link|page|repo(?:sitory)?|release)\b"
    r"|같은\s?(?:링크|곳에서|페이지|저장소|릴리[스즈])|위\s?링크|(?:同一个?|同样的?|相同的?|上述)(?:链接|仓库|页面|地址)"
    r"|(?:同じ|上記の?)\s?(?:リンク|ページ|リポジトリ|リリース)",
    re.IGNORECASE,
)
# What comes without being fetched.
_BY_ITSELF = re.compile(
    r"\b(?:loaded|downloaded|fetched)\s+(?:automatically|by\s+\w+\s+on)|automatically\s+(?:loaded|downloaded)"
    r"|\bon\s+(?:the\s+)?first\s+(?:use|run)\b|자동(?:으로|\s)?\s?(?:다운로드|설치)|自动(?:下载|加载)"
    r"|自動(?:的に|で)?(?:ダウンロード|取得)",
    re.IGNORECASE,
)
_CREDITS = re.compile(
    r"\b(thanks?|acknowledg|based on|built (up)?on|credits?|inspired|borrow|demo|paper|blog"
    r"|license)|라이[선센]스|논문|참고|데모|论文|参考|演示|論文|デモ",
    re.I,
)


def read(text: str, tree: TargetTree, around: Surroundings | None = None) -> str:
    """Read a page into the tree; returns the folder that all its paths lie below, "" for none."""
    return _Page(text, tree, around or Surroundings()).read()


class _Page:
    def __init__(self, text: str, tree: TargetTree, around: Surroundings) -> None:
        from markdown_it import MarkdownIt

        self.tree = tree
        self.tokens = MarkdownIt("commonmark").enable("table").parse(text)
        self.paths = PagePaths(text, self.tokens, around.project, posixpath.dirname(around.path))
        self.below = self.paths.below
        self.records = page_lists.records(self.tokens, is_download, self._goes_on)
        self.trees = list(trees_of(self.tokens, self.paths))
        self.drawn = page_trees.by_base(self.trees)
        page = Parsed(self.tokens, self.paths, self.trees, around.path)
        self.references = References(page, around)
        self.chosen: list[tuple[str, Place]] = []  # what code and lists put where
        self.code = PageCode(tree, self.paths, self.chosen)
        self.placed = PlacedLinks(tree)
        self.sections = Sections(self.tokens, self.paths)
        self.section = Section("")
        self.unplaced: list[Waiting] = []  # links whose file a tree may show
        self.waiting: list[Waiting] = []
        self.above: list[tuple[int, str]] = []  # folders that list items are about, by their level
        self.source: Link | None = None  # what the sentence above a table says all is from
        self.source_line = 0
        self.last: Link | None = None  # the one link of the last sentence that has any
        self.listing = Listing()  # the files that are listed below the sentence
        self.intro: str | None = None  # the folder that the last sentence without links names

    def read(self) -> str:
        """All parts, in order; trees are known before what they place."""
        page_trees.place_noted(self.trees, self.tree)
        for index, token in enumerate(self.tokens):
            if token.type == "heading_open":
                self.section, self.intro, self.above = self.sections.begin(index), None, []
                self.source = self.last = None
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
            elif token.type == "inline" and not in_table(self.tokens, index):
                cell = page_cells.of_inline(token, _line(token))
                about = self.records.get(index)
                self.listing = page_listings.below(self.tokens, index)
                if about is None:
                    self._paragraph(cell, token)
                elif about:
                    self._sentence(page_lists.merged(cell, about))
            elif token.type in {"fence", "code_block"}:
                self._code(token)
        self._place_by_trees()
        page_repos.part_rivals(self.tree)
        page_repos.fill_from_trees(self.trees, self.tree)
        self._place_by_folders()
        page_trees.place_copies(self.trees, self.tree)
        self._rename()
        self.code.leave_out_loaded()
        page_repos.leave_out_chosen(self.tree, self.chosen)
        self._unread_links()
        root = self.paths.root
        return "" if root.lower() in self.paths.own else root

    def _goes_on(self, cell: Cell, later: Cell) -> bool:
        """Whether a list's item is the next step for what the one above it links."""
        if folders_of(cell, self.below) or _CREDITS.search(cell.text):
            return False
        return says_unpack(later.text) and len(folders_of(later, self.below)) == 1

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
            folder = usual if where is None else self.below(where)
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
        folder = None if where is None else self.below(where)
        if folder is None and "folder" not in columns:
            folder, named = found.described(named, self.below)
        if link is None:
            if why := found.gap(named):
                raise Unreadable(why)
            return
        if self._as_referred(found, link, named, folder):
            return
        if found.has_no_place:
            raise Unreadable(t("the page does not say where this belongs"))
        packed = all(ARCHIVES.search(name) for name in named.files)
        said: bool | None = (packed and any(says_unpack(cell.text) for cell in row)) or None
        if any(keeps_packed(cell.text) for cell in row):
            said = False
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

    def _as_referred(self, row: Row, link: Link, named: Named, folder: str | None) -> bool:
        """Place what the section that a row refers to describes; whether it says all of it."""
        if named.files:
            return False
        found = self.references.described(row.references(), link.address, folder)
        if found.by_itself:
            return True
        place = found.folder if folder is None else folder
        if place is None or not (found.files or folder is None):
            return False
        if found.files:
            self._put_listed(link, found.files, place, row.line)
        else:
            self._place(Waiting(link, row.label(), named, row.line), place)
        return True

    def _put_listed(self, link: Link, files: Sequence[str], folder: str, line: int) -> None:
        """Put the files that are listed for a folder, each at its path in it."""
        if link.repo:
            repo = RepoOrigin(link.repo, line, link.kind, link.revision, hub=link.hub)
            self.chosen.append((folder, of_repo(repo)))
        for name in files:
            if not page_listings.exact(name):
                link.put(self.tree, Named((name,)), folder, line)
                continue
            own, sub, saved = page_listings.placed(name)
            right = page_names.mended(own)
            if right != own:
                self.tree.remark(line, t("{name} is taken to be {right}", name=own, right=right))
                own, saved = right, saved if saved != posixpath.basename(own) else right
            self._put(link, Named((f"{own}\0{saved}",)), join(folder, sub) if sub else folder, line)

    def _place(self, item: Waiting, folder: str | None, unpacks: bool | None = None) -> None:
        """The link of a row to its place, or to those that wait for a tree. `unpacks`: whether
        the row says that it is unpacked, None where it says nothing."""
        if folder is None:
            folder = self._usual_folder()
            if folder is None:
                self.unplaced.append(replace(item, in_row=True))
                return
            folder = self._for_repository(item.link, folder, item.line)
        unpacks = self.section.unpacks if unpacks is None else unpacks
        self._put(item.link, item.named, folder, item.line, unpacks)

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
            if KAGGLE.match(item[1].address):
                continue  # what people unpack is the archive that Kaggle packs of its files
            self.tree.unnamed.remove(item)
            self.tree.add_unpacked(Unpacked(item[1], folder, line))

    # --- sentences and code

    def _paragraph(self, cell: Cell, token: Token) -> None:
        """A paragraph as one sentence, or line by line where each has its own link and folder."""
        lines = page_cells.of_lines(token, _line(token))
        complete = [line for line in lines if line.addresses() and folders_of(line, self.below)]
        for part in lines if complete and len(lines) > 1 else [cell]:
            self._note_folder(part, token)
            for code in part.codes:
                self.code.read_line(code, part.line, self.section.folders)
            self._sentence(part)

    def _note_folder(self, cell: Cell, token: Token) -> None:
        """Remember the folder that a line names for what is listed below it."""
        if cell.addresses():
            return
        if token.level > 2 and (folder := folder_alone(cell, self.below)) is not None:
            self.above = [item for item in self.above if item[0] < token.level - 2]
            self.above.append((token.level - 2, self._nested(folder)))
            return
        folders = topmost(folders_of(cell, self.below))
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
        links = self._links(cell)
        folders = topmost(folders_of(cell, self.below))
        if links and not folders and is_at_root(cell):
            folders = [""]
        if not links and self._is_by_hand(cell, folders):
            why = t("its only source cannot be fetched: get it by hand")
            self.tree.remark(cell.line, why, cell.text)
            return
        if self._put_as_stated(cell, links, folders) or self._is_elsewhere(cell, links):
            return
        if not PUT.search(without_addresses(cell)) or (links and not folders):
            self._by_section(cell, links)
            return
        if not links:
            if folders and cell.addresses():
                self.tree.remark(cell.line, t("get it by hand: its page is no file"), cell.text)
            return
        try:
            self._put_into(cell, links, folders)
        except Unreadable as why:
            self.tree.remark(cell.line, why.args[0], cell.text)

    def _links(self, cell: Cell) -> list[Link]:
        """What a sentence links that brings something: its own links, or the one before it."""
        links = [
            link
            for label, address in cell.addresses()
            if brings(label, address, cell.codes)
            and (link := link_of(label, address, cell.text, cell.line))
        ]
        if not cell.addresses():
            return [self.last] if self.last is not None and _SAME_LINK.search(cell.text) else []
        many = [link for link in links if link.github or (link.repo and not link.is_file)]
        self.source = many[0] if len(links) == len(many) == 1 else None
        self.source_line = cell.line
        self.last = links[0] if len(links) == 1 else None
        return links

    def _is_by_hand(self, cell: Cell, folders: Sequence[str]) -> bool:
        """Whether what a sentence puts somewhere is a share that only a person can get."""
        if not any(is_by_hand(address) for _, address in cell.addresses()):
            return False
        return bool(folders or self.section.fetches or PUT.search(without_addresses(cell)))

    def _put_into(self, cell: Cell, links: Sequence[Link], folders: Sequence[str]) -> None:
        """Put a sentence's links into the one folder that it names; others wait for a tree."""
        unpacks = says_unpack(cell.text)
        files = [link for link in links if link.is_file or own_name(link, cell.links)]
        if len(folders) == 1 == len(links):
            link, folder = links[0], folders[0]
            if not self._put_listing(link, folder, cell):
                one = self._named(cell, folders, unpacks)
                if link.is_file and (len(one.files) != 1 or (link.name and not one.renamed)):
                    one = Named()
                folder = self._for_repository(link, folder, cell.line)
                self._put(link, one, folder, cell.line, unpacks)
        elif len(folders) == 1 and len(files) == len(links):
            for link in files:
                one = Named() if link.name else Named((own_name(link, cell.links),))
                self._put(link, one, folders[0], cell.line, unpacks)
        else:
            self.unplaced += [Waiting(link, "", Named(), cell.line) for link in files]
            self._wait(cell, [link for link in links if link not in files], folders)

    def _named(self, cell: Cell, folders: Sequence[str], unpacks: bool) -> Named:
        """The files that a sentence names; of an archive that is unpacked not what comes out."""
        codes = [c for c in cell.codes if self.paths.safely_below(c) not in folders]
        found = page_names.of_cell(replace(cell, codes=codes))
        packed = tuple(name for name in found.files if ARCHIVES.search(name))
        return replace(found, files=packed) if unpacks and packed else found

    def _put_listing(self, link: Link, folder: str, cell: Cell) -> bool:
        """Put the files that are listed below the sentence that links where they come from."""
        if not self.listing or not link.has_many:
            return False
        self._put_listed(link, self.listing.files, folder, cell.line)
        return True

    def _put_as_stated(self, cell: Cell, links: Sequence[Link], folders: Sequence[str]) -> bool:
        """Put a sentence's one link where it says in so many words; whether it does."""
        target = stated(cell, self.below) if len({link.address for link in links}) == 1 else None
        if target is None and len(links) == 1 and page_names.RENAMED.search(cell.text):
            target = labelled(cell, links[0].name)
        if target is None and len(links) == 1 and (links[0].is_file or not links[0].repo):
            target = beside(cell, links[0].name, self.below)
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
            if not target.name and self._put_listing(links[0], folder, cell):
                return True
            named = self._renamed(links[0], target.name, cell) if target.name else Named()
            self._put(links[0], named, folder, cell.line, unpacks)
        except Unreadable as why:
            self.tree.remark(cell.line, why.args[0], cell.text)
        return True

    def _renamed(self, link: Link, saved: str, cell: Cell) -> Named:
        """A file by the name that a sentence gives it, and by its own where that is told."""
        others = [name for name in page_names.of_cell(cell).files if "\0" not in name]
        others = [name for name in others if posixpath.basename(name) != saved]
        alike = len(others) == 1 and _is_renamed(others[0], saved) and not is_pattern(others[0])
        if alike and link.has_many:
            return Named((f"{others[0]}\0{saved}",), renamed=True)
        return Named((saved,), renamed=True)

    def _is_elsewhere(self, cell: Cell, links: Sequence[Link]) -> bool:
        """Whether a sentence needs a person: its place is not the project's, or its link a page."""
        text = without_addresses(cell)
        outside = next((code for code in cell.codes if _OUTSIDE.match(code)), "")
        if links and outside and PUT.search(text):
            why = t("{path} lies outside the project", path=outside)
        elif links or not any("://" in address for _, address in cell.links):
            return False
        elif stated(cell, self.below) or (self.section.fetches and _ASKS.search(text)):
            why = t("get it by hand: its page is no file")
        else:
            return False
        addresses = " ".join(address for _, address in cell.addresses())
        self.tree.remark(cell.line, why, f"{cell.text} {addresses}")
        return True

    def _for_repository(self, link: Link, folder: str, line: int) -> str:
        """Where a whole repository belongs in a folder for many: the project's own fills it."""
        named = [name for name in self.paths.projects if len(name) > 2]
        own = any(name in link.repo.lower() for name in named)
        many = CONTAINER.fullmatch(posixpath.basename(folder))
        if not link.repo or link.is_file or own or not many:
            return folder
        shown = [
            entry for entry in page_trees.drawn(self.trees) if entry.path.startswith(folder + "/")
        ]
        if shown and all(posixpath.dirname(entry.path) == folder for entry in shown):
            return folder
        found = join(folder, posixpath.basename(link.repo))
        why = t("it is put into a folder of its own name: {folder}", folder=found)
        self.tree.remark(line, why, link.address)
        return found

    def _by_section(self, cell: Cell, links: Sequence[Link]) -> None:
        """Links without a word of where: the section's one folder, or the tree's of that name."""
        usable = [link for link in links if not self._brought(link)]
        usable = [link for link in usable if not self._put_as_drawn(link, usable, cell)]
        if not usable or _CREDITS.search(cell.text):
            return
        if not (self.section.fetches or self.above or self.intro is not None):
            return
        folder = self._usual_folder()
        sure = self.above or self.section.headed
        if not sure and _BY_ITSELF.search(cell.text):
            for link in usable:
                why = t("the page says that it is fetched when it is first used")
                self.tree.remark(cell.line, why, link.address)
            return
        if not sure and folder is not None and self._each_its_own(usable, folder, cell):
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
            named = self._named(cell, (), self.section.unpacks)
            self._put_safely(first, folder, cell, named if first.has_many else Named())
            if others:
                why = t(
                    "it can be had from elsewhere as well: add it as a mirror if it is the same"
                )
                self.tree.remark(cell.line, why, " ".join(others))
            return
        self._wait(cell, usable, self.section.folders)

    def _each_its_own(self, links: Sequence[Link], folder: str, cell: Cell) -> bool:
        """Whether repositories are listed below a sentence that names a folder for many, and no
        tree draws folders for them."""
        labels = {link: label for link in links for label, a in cell.links if link.of(a)}
        waiting = [Waiting(link, labels.get(link, ""), Named(), cell.line) for link in links]
        if page_trees.draws_folder(self.trees, waiting):
            return False
        whole = all(link.repo and not link.is_file for link in links)
        many = CONTAINER.fullmatch(posixpath.basename(folder))
        return whole and bool(many) and folder == self.intro

    def _wait(self, cell: Cell, links: Sequence[Link], folders: Sequence[str]) -> None:
        """Links whose place a tree may tell; `folders` are those that the page names for them."""
        named = page_names.of_cell(cell)
        folder = folders[0] if len(folders) == 1 else None
        for link in links:
            label = next((text for text, address in cell.links if link.of(address)), "")
            before = re.split(r"[:：]", cell.text)[0] if re.search(r"[:：]", cell.text) else ""
            codes = tuple(code for code in cell.codes if not page_names.is_file(code))
            self.waiting.append(Waiting(link, label, named, cell.line, folder, before, codes=codes))

    def _brought(self, link: Link) -> bool:
        """Whether another part of the page brings all that a link leads to."""
        return self.placed.has(link, link.name) and not (
            link.repo and link.path and not link.is_file
        )

    def _put_as_drawn(self, link: Link, links: Sequence[Link], cell: Cell) -> bool:
        """Put a link's file, or the files that its sentence names, where a tree shows them."""
        names: tuple[str, ...] = tuple(filter(None, [own_name(link, cell.links)]))
        if link.has_many and len(links) == 1:
            names = page_names.of_cell(cell).files
        paths = [page_trees.highest(self.drawn, name) for name in names if "\0" not in name]
        if not paths or len(paths) != len(names) or not all(paths):
            return False
        if any(page_repos.covering(self.tree, path, link) for path in paths):
            return False
        for name, path in zip(names, paths, strict=True):
            one = Named() if name == link.name else Named((name,))
            self._put_safely(link, posixpath.dirname(path), cell, one)
        return True

    def _put_safely(self, link: Link, folder: str, cell: Cell, named: Named | None = None) -> None:
        try:
            self._put(link, named or Named(), folder, cell.line, self.section.unpacks)
        except Unreadable as why:
            self.tree.remark(cell.line, why.args[0], cell.text)

    def _place_by_folders(self) -> None:
        """Links of sentences that name no folder go where a tree has one of their name."""
        waiting = [item for item in self.waiting if not self._brought(item.link)]
        page_trees.place_by_folders(self.trees, waiting, self.tree)
        page_trees.unexplained(self.trees, self.tree)

    def _rename(self) -> None:
        """Notes below a table or tree say what files are called after their download."""
        noted = page_renames.noted(page_cells.sentences(self.tokens))
        page_renames.apply(noted, self.tree)

    def _code(self, token: Token) -> None:
        if folder_trees.looks_like(token.content):
            return
        language = token.info.strip().split()[0].lower() if token.info.strip() else ""
        line = _line(token) + (token.type == "fence")
        self.code.read(token.content, language, line, self.section.folders)

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
                if (
                    link is None
                    or not link.is_file
                    or cell.line in told
                    or in_table(self.tokens, index)
                ):
                    continue
                if not self.placed.has(link, link.name):
                    why = t("this address was not read as a download")
                    self.tree.remark(cell.line, why, address)

    # --- what trees say

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
                    for entry in page_trees.drawn(self.trees)
                    if posixpath.basename(entry.path) == posixpath.basename(name)
                }
                for name in names
            }
            if names and all(len(found) == 1 for found in places.values()):
                for name in names:
                    path = next(iter(places[name]))
                    if other := page_repos.covering(self.tree, path, link):
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
            elif not any(self.placed.has(link, name) for name in names or [""]):
                self.waiting.append(item)


def _line(token: Token) -> int:
    return (token.map or [0])[0] + 1


def _is_renamed(name: str, saved: str) -> bool:
    """Whether a path whose last part is `saved` can be that of a file called `name`."""
    own = name.partition("\0")[0]
    return own == saved or (
        not is_pattern(own) and posixpath.splitext(own)[1] == posixpath.splitext(saved)[1]
    )


def _are_mirrors(cell: Cell) -> bool:
    """Whether a sentence's links are labelled by hosts: one file, from several of them."""
    return all(HOST.fullmatch(label.strip()) for label, _ in cell.links)
