"""Rows of a page's tables: which column says what, and what one row brings."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from fetcher.i18n import t
from fetcher.importers import page_names
from fetcher.importers.document_paths import is_pattern
from fetcher.importers.page_cells import Cell, Table
from fetcher.importers.page_links import WEIGHTS, Link, is_download, link_of
from fetcher.importers.page_lists import WHERE
from fetcher.importers.page_names import Named
from fetcher.importers.page_places import folders_of, moves, stated, topmost

# The columns of a table by what they hold: link, folder, file, saved, name, digest.
Columns = dict[str, list[int]]

_LINK = re.compile(
    r"다운로드|주소|출처|링크|받는 곳|下载|链接|地址|来源|网盘|ダウンロード|リンク|入手"
    r"|download|link|url|source|where|mirror|hugging ?face|google ?drive|checkpoint"
    r"|weights?\b|ckpt",
    re.I,
)
FOLDER = re.compile(
    r"저장|디렉토리|디렉터리|경로|폴더|위치|目录|路径|位置|存放|フォルダ|パス|保存先|配置|director|folder|\bpath\b|location|destination|\bsav(e|ed|es|ing)\b|\bplac|\bput\b|target|\bdir\b"
    r"|goes (to|in)|넣을 곳|둘 곳|배치(?!\s?(?:크기|사이즈|size))",
    re.I,
)
_FILE = re.compile(r"파일|文件|ファイル|file|checkpoint|weight|\bckpt\b|가중치", re.I)
_BARE_NAME = re.compile(
    r"이름|名称|名前|模型|モデル|数据集|データ|backbone|name|^(?!.*(?:분류|category|type)).*(?:모델|model)|데이터|dataset|version|variant|종류|module",
    re.I,
)
_DIGEST = re.compile(r"sha-?256|md5|checksum|hash|해시", re.I)
# What a file is called in the project, beside a column of its own names.
_SAVED = re.compile(
    r"저장(할|될)?\s?(시\s?)?(파일|이름)|변경\s?(후|된|할|될)|바꿀|새\s?(이름|파일)|rename"
    r"|saved?[ -]as|(local|target|new|saved?)[ -](file)?[ -]?name|重命名|改名"
    r"|保存(名|文件名|为|時の名前)|変更後|リネーム",
    re.IGNORECASE,
)
_DOWNLOADS = re.compile(
    r"download|/s/|/dl/|/share|MODEL_ZOO|github\.com/[^/]+/[^/]+/(blob|tree)/", re.I
)
# Where each link is the same again, from another host.
HOST = re.compile(
    r"(google\s?drive|gdrive|drive|dropbox|one\s?drive|baidu\w*|hugging\s?face|hf|github|mirror"
    r"|modelscope|link\s?\d?|here|download|zenodo|구글(\s?드라이브)?|드롭박스|허깅\s?페이스|깃허브"
    r"|링크|여기|다운로드)",
    re.I,
)
# Files that belong to others of their row by name: a network's weights and its shape.
_COMPANION = re.compile(r"\.(json|ya?ml|txt|index|data|bin|param|prototxt|caffemodel|vocab)$", re.I)
_RECORD = re.compile(r"\blogs?\b|\.log|tensorboard|metrics|results?\b|curve", re.IGNORECASE)
_CONFIG = re.compile(r"config|cfg", re.IGNORECASE)

# What a model was made from, or is trained by, and a link's own column.
_BESIDES = re.compile(
    r"^\W*(config\w*|cfg|logs?|code|papers?|설정|로그|코드|논문|配置文件|日志|论文|設定|ログ)\W*$"
    r"|원본|기반|베이스|원 모델|\bbase\b|original|backbone"
    r"|(tuned|trained|derived) from|teacher|基座|基础|ベース",
    re.IGNORECASE,
)
_WIDEST = 50  # columns that are looked at
_SURE = re.compile(
    r"\.(zip|tar|tgz|tar\.\w+|7z|pth?|ckpt|safetensors|bin|onnx|gguf|h5|pkl|npz)$", re.IGNORECASE
)
_SAYS_LINK = re.compile(r"링크|주소|다운로드|출처|link|url|download|source", re.IGNORECASE)
_PLACE = re.compile(r"(?![\d.]+$)[\w./{}~$-]+")


# Cells that say there is nothing.
_NOTHING = re.compile(r"[-–—x✗✘/]|n/?a|none|없음|해당\s?없음|无|無|なし", re.IGNORECASE)


class Row:
    """One row of a table whose columns are known."""

    def __init__(self, row: Sequence[Cell], columns: Columns) -> None:
        self.row, self.columns = row, columns
        self.line = row[0].line if row else 0

    def cells(self, kind: str) -> list[Cell]:
        """The cells of the columns of one kind."""
        return [self.row[i] for i in self.columns.get(kind, ()) if i < len(self.row)]

    def link(self) -> Link | None:
        """The link that brings the row's file in the surest way, None for none."""
        digests = (
            re.search(r"\b[0-9a-fA-F]{64}\b|\b[0-9a-fA-F]{32}\b", cell.text)
            for cell in self.cells("digest")
        )
        digest = next((found[0].lower() for found in digests if found), "")
        title = _title(self.cells("name"))
        for cells in (self.cells("link") or self.row, self.row if "link" in self.columns else ()):
            found = _best(list(self._links(cells)))
            if found is not None:
                return replace(found, title=title, digest=digest)
        return None

    def _links(self, cells: Sequence[Cell]) -> Iterator[Link | None]:
        for cell in cells:
            for label, address in cell.addresses():
                if is_download(address) or ("link" in self.columns and _DOWNLOADS.search(address)):
                    yield link_of(label, address, cell.text, self.line)

    def label(self) -> str:
        """What the row is about, in the words that notes of a drawn tree use for it."""
        texts = [re.sub(r"\[\^\w+\]", "", cell.text) for cell in self.cells("name")]
        names = [text.split("\n")[0].strip() for text in texts]
        return next((name for name in names if name), "")

    @property
    def has_no_place(self) -> bool:
        """Whether it says that what it links has no place: a dash where others have a folder."""
        cells = self.cells("folder")
        plain = [cell.text.strip() for cell in cells if not cell.codes]  # a name is marked as one
        return bool(cells) and len(plain) == len(cells) and all(map(_NOTHING.fullmatch, plain))

    def place(self) -> tuple[str | None, str]:
        """(the folder, the name) that its placement says: `models` 에 `a.pth` 로 저장.

        None: no folder; "": no name of its own.
        """
        for cell in self.cells("folder"):
            codes = [code for code in cell.codes if _PLACE.fullmatch(code)]
            first = re.match(r"\s*((?![\d.]+\s*$)[\w./{}~$-]+)", cell.text)
            plain = first[1] if first and ("/" in first[1] or cell.text.strip() == first[1]) else ""
            folder = (codes or [plain])[0]
            if not folder or (not cell.codes and any(address for _, address in cell.links)):
                continue
            if self._paths(cell):
                return posixpath.dirname(folder), ""
            names = [code for code in codes[1:] if "/" not in code and WEIGHTS.search(code)]
            return folder, names[0] if len(names) == 1 else ""
        return None, ""

    def _paths(self, cell: Cell) -> list[str]:
        """The files' whole paths that a placement gives: several in one folder, or a series."""
        codes = [code for code in cell.codes if "/" in code and WEIGHTS.search(code)]
        series = any(re.search(r"[{<]", code) for code in codes)
        one_folder = len({posixpath.dirname(code) for code in codes}) == 1
        return codes if one_folder and (series or len(codes) > 1) else []

    def named(self) -> Named:
        """The files that it names, with the names that they are saved under."""
        files = self.cells("file")
        named = page_names.of_cell(files[0]) if files else Named()
        for cell in self.cells("folder"):
            if not named.files and (paths := self._paths(cell)):
                bare = [posixpath.basename(path) for path in paths]
                named = page_names.of_cell(replace(cell, codes=bare))
        beside = self._beside_link()
        if not named.files and beside.files:
            named = beside
        elif len(named.files) == 1 == len(beside.files) and "\0" not in named.files[0]:
            pair = (beside.files[0], named.files[0])
            if pair[0] != pair[1] and not any(map(is_pattern, pair)):
                named = Named(("\0".join(pair),), renamed=True)
        elif pairs := _pairs(beside.files, named.files):
            named = Named(pairs, renamed=True)
        elif len(named.files) == 2 and _is_packed(*named.files):
            return Named()  # what is downloaded, and what is in it
        name = self.place()[1]
        if name and len(named.files) == 1 and named.files[0].rpartition("\0")[2] != name:
            first = named.files[0].partition("\0")[0]
            return named if is_pattern(first) else Named((f"{first}\0{name}",), renamed=True)
        if name and not named.files:
            return Named((name,), renamed=True)
        saved = [item for cell in self.cells("saved") for item in page_names.of_cell(cell).files]
        if len(saved) != 1 or is_pattern(saved[0]) or len(named.files) > 1:
            return named
        own = named.files[0] if named.files else ""
        if own == saved[0] or is_pattern(own):
            return named
        return Named((f"{own}\0{saved[0]}" if own else saved[0],), renamed=True)

    def several(self) -> list[tuple[str, Link]]:
        """The links of one cell that lead to files of one server, so that none is a mirror of
        another: (label, link). None where there is but one."""
        for cell in self.cells("link"):
            found = [
                (label, link)
                for label, address in cell.addresses()
                if is_download(address)
                and not _RECORD.search(label)
                and not _CONFIG.search(label)
                and (link := link_of(label, address, cell.text, self.line))
            ]
            hosts = {urlsplit(link.written).hostname for _, link in found}
            if len(found) > 1 == len(hosts) and not any(link.repo or link.zoo for _, link in found):
                return found
        return []

    def _beside_link(self) -> Named:
        """The files that stand beside the link: `[Hub](…) > model.pt`."""
        for cell in self.cells("link"):
            found = page_names.of_cell(replace(cell, links=[]))
            if found.files and cell.links:
                labels = {label.strip() for label, _ in cell.links}
                names = tuple(name for name in found.files if name not in labels)
                return replace(found, files=names)
        return Named()

    def others(self, link: Link, table: Table) -> Iterator[Link]:
        """Its other files: of columns that are no hosts of the same file, and files that go by the
        name of the first one. Logs and results are none."""
        if not link.is_file or not link.name or any(self.cells("saved")):
            return
        stem, seen = posixpath.splitext(link.name)[0], {link.name}
        for index, cell in enumerate(self.row):
            header = table.header[index].text.strip() if index < len(table.header) else ""
            for label, address in cell.addresses():
                other = link_of(label, address, cell.text, self.line)
                if other is None or not other.is_file or other.name in {"", *seen}:
                    continue
                words = f"{label} {header} {other.name}"
                if not is_download(address) or _RECORD.search(words):
                    continue
                goes_along = _COMPANION.search(other.name) and (
                    other.name.startswith(stem) or (other.repo and other.repo == link.repo)
                )
                is_host = HOST.fullmatch(label.strip()) and HOST.fullmatch(header or "link")
                if goes_along or not (is_host or _CONFIG.search(words)):
                    seen.add(other.name)
                    yield other

    def references(self) -> list[Cell]:
        """The cells that may refer to where its placement is described."""
        besides = {*self.columns.get("name", ()), *self.columns.get("link", ())}
        return [cell for index, cell in enumerate(self.row) if index not in besides]

    def described(self, named: Named, below: Callable[[str], str]) -> tuple[str | None, Named]:
        """(the one folder that a sentence in one of its cells names, None for none; its files)."""
        for cell in self.row:
            folders = topmost(folders_of(cell, below))
            if len(folders) != 1 or not moves(cell):
                continue
            target = stated(cell, below)
            own = named.files[0] if len(named.files) == 1 else ""
            if target and target.name and "\0" not in own and target.name != own:
                named = Named((f"{own}\0{target.name}" if own else target.name,), renamed=True)
            return folders[0], named
        return None, named

    def gap(self, named: Named) -> str:
        """Why a row without a link brings nothing, "" where nothing is missed."""
        shares = ("baidu", "quark", "pan.")
        if named.files and any(word in cell.text.lower() for cell in self.row for word in shares):
            return t("its only source cannot be fetched: get it by hand")
        if any(cell.addresses() for cell in self.row):
            return t("none of its links is a file or repository")
        target = next((code for cell in self.cells("folder") for code in cell.codes), "")
        if WEIGHTS.search(target) or (named.files and "link" in self.columns):
            return t("the page gives no address for it")
        return ""


def _pairs(own: Sequence[str], saved: Sequence[str]) -> tuple[str, ...]:
    """Names beside a link and the same number of names that they are saved under, in order; ()
    where they are not plainly the same files."""
    if not 1 < len(own) == len(saved) or any("\0" in name or is_pattern(name) for name in saved):
        return ()
    alike = all(
        posixpath.splitext(one)[1] == posixpath.splitext(other)[1]
        and posixpath.splitext(one)[0] in other
        for one, other in zip(own, saved, strict=True)
    )
    return tuple("\0".join(pair) for pair in zip(own, saved, strict=True)) if alike else ()


def _is_packed(one: str, other: str) -> bool:
    """Whether one of two names is the other one's archive: `a.bin`, `a.bin.gz`."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and bool(
        re.fullmatch(r"\.(gz|bz2|xz|zst|zip)", long[len(short) :])
    )


def columns_of(table: Table) -> Columns:
    """Which columns have the link, the folder, the file, the name and the digest."""
    found: Columns = {}
    for index, cell in enumerate(table.header):
        column = [row[index] for row in table.rows if index < len(row)]
        links = sum(any(is_download(address) for _, address in item.addresses()) for item in column)
        text = cell.text
        if _DIGEST.search(text):
            kind = "digest"
        elif not links and _SAVED.search(text):
            kind = "saved"
        elif (
            FOLDER.search(text)
            and not links
            and not (
                _FILE.search(text)
                and not re.search(r"위치|경로|배치|path|director|folder|location", text, re.I)
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
    _without_bases(table, found)
    if len(folders := found.get("folder", ())) > 1:
        # "Target: Phone" is no folder where another column has paths.
        paths = [i for i in folders if any(_is_place(row[i]) for row in table.rows if i < len(row))]
        found["folder"] = paths or list(folders)
    if "file" not in found and (names := _column_of_names(table, found)) is not None:
        found["file"] = [names]
    return found


def _column_of_names(table: Table, found: Columns) -> int | None:
    """The column that names files where none is called so; None for none."""
    for index in found.get("name", []):
        if any(page_names.of_cell(row[index]).files for row in table.rows if index < len(row)):
            return index
    used = {index for indexes in found.values() for index in indexes}
    others = (i for i in range(min(len(table.header), _WIDEST)) if i not in used)
    return next((index for index in others if _names_weights(table, index)), None)


def _names_weights(table: Table, index: int) -> bool:
    """Whether a column of another kind names files to fetch: "open, `scans.zip`"."""
    return any(
        _SURE.search(code) and page_names.is_file(code)
        for row in table.rows
        if index < len(row)
        for code in row[index].codes
    )


def _is_place(cell: Cell) -> bool:
    return bool(cell.codes) or "/" in cell.text


def _without_bases(table: Table, found: Columns) -> None:
    """Columns that link what a model was made from, its configuration or its log bring nothing
    where another one has links."""
    bases = [
        index
        for index in found.get("link", ())
        if _BESIDES.search(table.header[index].text)
        and not _SAYS_LINK.search(table.header[index].text)
    ]
    others = [index for index in found.get("link", ()) if index not in bases]
    if bases and others:
        found["link"] = others


def upright(table: Table) -> Table:
    """A table whose first column names what others have in their header, turned; else itself."""
    pairs = [table.header, *table.rows]
    if any(len(row) != 2 for row in pairs):
        return table
    labels = [row[0].text.strip() for row in table.rows]
    if not any(re.fullmatch(WHERE, label, re.IGNORECASE) for label in labels):
        return table
    if not any(is_download(address) for row in pairs for _, address in row[1].addresses()):
        return table
    return Table([row[0] for row in pairs], [[row[1] for row in pairs]], table.line)


def _best(links: Sequence[Link | None]) -> Link | None:
    """The link that can be had in the surest way."""
    usable = [link for link in links if link is not None]
    return min(usable, key=lambda link: link.rank) if usable else None


def _title(cells: Sequence[Cell]) -> str:
    text = cells[-1].text.strip() if cells else ""
    text = re.sub(r"[^\w\s().,:+/&'-]", "", text.split("\n")[0]).strip()
    return text if 0 < len(text) <= 80 else ""
