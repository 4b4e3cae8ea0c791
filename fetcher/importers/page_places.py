"""Where a page's sentences say that files belong: folders, names they are saved under, unpacking.

Words of English, Korean, Chinese and Japanese are known, as set-up pages use them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fetcher.importers.document_paths import Unreadable
from fetcher.importers.page_cells import Cell
from fetcher.importers.page_lists import NAME, WHERE

_LONGEST = 700  # characters of a sentence or path that are looked at
PUT = re.compile(
    r"\b(put|place[ds]?|save[ds]?|mov(?:e|ed|ing)|stor(?:e|ed|ing)|download(?:ed|s|ing)?|fetch|get"
    r"|cop(?:y|ied)|extract(?:ed)?|unzip(?:ped)?|unpack(?:ed)?|locate[ds]?|organi[sz]e[ds]?|into"
    r"|under|goes|go|cloned?|keep|(?:must|should) be (?:in|at|under)"
    r"|drop|lives?|belongs?|expect(?:s|ed)?|arrange|needs?|requires?|looks? for)\b"
    r"|저장|배치|넣|필요|위치|옮|다운로드|내려\s?받|압축|두세요|둔다|두고|둡니다|놓|복사|이동|받아"
    r"|[放拷移][到入在置至]|存放|置于|保存|下载|下載|解压|解壓|移[动到動]|拷贝|复制|複製|放進"
    r"|配置|置[いくき]|入れ|ダウンロード|解凍|展開|格納|移動|コピー",
    re.IGNORECASE,
)
# The same, of those that move something.
_MOVES = re.compile(
    r"\b(put|place[ds]?|save[ds]?|move[ds]?|stored?|cop(?:y|ied)|extract(?:ed)?|unzip(?:ped)?"
    r"|unpack(?:ed)?|goes)\b"
    r"|저장|배치|넣|옮|압축|두세요|둔다|둡니다|복사|이동|[放拷移][到入在置至]|存放|置于|保存到|解压|解壓|拷贝|复制"
    r"|配置|置[いくき]|入れ|展開|移動|コピー",
    re.IGNORECASE,
)
_UNPACKS = re.compile(
    r"\b(unzip|untar|unpack|extract|decompress|uncompress)|압축|풀어|解压|解壓|解凍|展開",
    re.IGNORECASE,
)
_KEEPS_PACKED = re.compile(
    r"\b(no|not|without|don't|needn't|never)\W+(?:\w+\W+){0,3}"
    r"(unzip|untar|unpack|extract|decompress)"
    r"|압축[^.\n]{0,12}(불필요|필요\s?없|않|없이|말고|지\s?마)|(不(需要?|用|必|要)|无需|無需)[^。\n]{0,6}解[压壓]"
    r"|(解凍|展開)[^。\n]{0,6}(不要|しない|せず)",
    re.IGNORECASE,
)
# A folder that a sentence names without marking it as code.
_PLAIN_FOLDER = re.compile(
    r"(?:\b(?:in|into|to|under|inside|at)\s+|(?<!에)에\s?|[到在至]\s?)(?:the\s+|your\s+)?[\"'“‘]?"
    r"(\.\.?/[\w./-]*[\w/]|[A-Za-z0-9_-]+(?:/[A-Za-z0-9_.-]+)*/)(?=[\s,.;:()\"'”’。，目]|$)"
    r"|(?<![\w./-])([A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)+/?)\s?"
    r"(?:폴더|디렉토리|디렉터리|에\b|目录|目錄|文件夹|資料夾|フォルダ|ディレクトリ|に|下(?![载載]))"
)
# One that it calls a folder, by a word that folders for weights and data have.
_NAMED_FOLDER = re.compile(
    r"\b(?:in|into|to|under|inside)\s+(?:the\s+|your\s+)?[\"'“‘]?"
    r"((?:pre-?trained[_-]?)?(?:weights|checkpoints|ckpts|models)|datasets|assets|checkpoint|data)"
    r"[\"'”’]?\s+(?:folder|directory|dir)\b"
    r"|(?<![\w./-])([A-Za-z0-9_-]+)\s?(?:폴더|디렉토리|디렉터리|目录|文件夹|フォルダ)"
    r"|[到至入]\s?(?:本?项目(?:根目录)?[的下]\s?)?([A-Za-z0-9_-]+)\s?[下中里](?![载載])",
    re.IGNORECASE,
)
# The top of the project itself.
_PROJECT_ROOT = re.compile(
    r"\b(?:in|into|to|at|under)\s+the\s+(?:project(?:'s)?\s+root|repo(?:sitory)?(?:'s)?\s+root"
    r"|root\s+(?:folder|directory|dir)?\s?of\s+(?:the|this)\s+(?:project|repo(?:sitory)?))\b"
    r"|(?:프로젝트|저장소|리포지토리|레포)의?\s?(?:루트|최상위)(?:\s?(?:디렉토리|디렉터리|폴더|경로))?\s?에"
    r"|(?:项目|仓库)的?根目录|(?:プロジェクト|リポジトリ)の?\s?(?:直下|ルート)(?:ディレクトリ|フォルダ)?\s?に",
    re.IGNORECASE,
)
_BESIDE = (
    r"(?:in|to|into|under|inside|below|at)\s+(?:the\s+|a\s+|your\s+)?"
    r"(?:(?:folder|directory|dir)\s+)?(?:named\s+|called\s+)?[`\"']?{0}(?![\w.])"
    r"|\b(?:folder|directory)\s+(?:named\s+|called\s+)?[`\"']?{0}(?![\w.])"
    r"|{0}[`\"']?\s*(?:folder|directory|dir\b|디렉토리|디렉터리|폴더|에\b|로\b|아래|안에|밑에"
    r"|目录|目錄|文件夹|資料夾|中|里|下|フォルダ|ディレクトリ|に|へ|以下|の中)"
    r"|(?:到|在|至|于|入)\s*[`\"']?{0}(?![\w.])"
)
# A folder whose files are used: it lies at their source.
_TAKEN_FROM = (
    r"{0}[`\"']?\s?(?:폴더|디렉토리|디렉터리)?의\s?(?:파일|내용)|\b(?:files?|contents?)\s+(?:of|in)\s+(?:the\s+)?{0}(?![\w.])"
    r"|{0}[`\"']?\s?(?:目录|文件夹)?(?:中|里)?的(?:文件|内容)|{0}[`\"']?\s?(?:フォルダ)?の(?:ファイル|中身)を使"
)
_PATH = r"[`\"'“]?([\w.~{}-]*[\w{}-](?:/[\w.{}-]+)*\.[A-Za-z][\w]{0,11})[`\"'”]?(?![\w/])"
# A folder or file, marked or not, that ends there.
_ENDING = r"[`\"'“]?((?:\.{0,2}/)?[\w.-]+(?:/[\w.{}-]+)*/?)[`\"'”]?(?=[\s,.;)]|$)"
_SAVED_AS = re.compile(
    r"(?:\b(?:save|saved|store|name|named|rename|renamed|move|put|place|copy)\b(?:[^.;\n]|\.(?=\S)){0,80}?"
    rf"\b(?:as|to|named)\s+|重命名为|命名为|另存为|保存为|改名为|改为)\s*{_PATH}"
    rf"|(?<![\w.~{{}}-]){_PATH}\s*(?:(?:라는|이라는)\s*(?:이름|파일)"
    r"|(?:으로|로)\s*(?:이름|저장|변경|바꾸|바꿔)|として|という名前で|に名前を変更|にリネーム)",
    re.IGNORECASE,
)
# `Path: weights/a.pth`, as lists of properties say it.
_SAYS_WHERE = re.compile(
    rf"(?:^|\n)[^\S\n]*(?:[-*•][^\S\n]*)?(?:{WHERE})\s*[:：]\s*{_ENDING}", re.IGNORECASE
)
_SAYS_NAME = re.compile(
    rf"(?:^|\n)[^\S\n]*(?:[-*•][^\S\n]*)?(?:{NAME})\s*[:：]\s*[`\"'“]?([\w.+-]+\.[A-Za-z]\w{{0,11}})[`\"'”]?(?=\s|\(|$)",
    re.IGNORECASE,
)
# `weights/face/ : [link]`, as lists begin that say first where.
_LEADS = re.compile(
    r"\s*[`\"'“]?((?:\.{0,2}/)?[\w.-]+(?:/[\w.-]+)*/|(?:[\w.-]+/)*[\w.-]*[\w-]\.[A-Za-z]\w{0,11})[`\"'”]?"
    r"\s*(?:[:：←]|<-{1,2}|<=|[-–—]{1,2}\s)"
)
_ARROW = re.compile(rf"(?:→|⇒|➜|➡️?|-{{1,2}}>|=>|>>)\s*{_ENDING}")


_FILE_PATH = re.compile(r"(?:\.{0,2}/)?[\w.-]+(?:/[\w.-]+)*\.[A-Za-z]\w{0,11}")
# Files that projects have of their own.
_SOURCE = re.compile(r"\.(py|sh|ya?ml|json|toml|cfg|md|txt|ipynb|cpp|h|js|ts|csv)$", re.IGNORECASE)


@dataclass(frozen=True)
class Stated:
    """Where one sentence puts its one file: a folder (None: not said) and a name ("" as it is)."""

    folder: str | None = None
    name: str = ""
    leads: bool = False  # it stands in front of the link: a list may go on from its item's folder


def stated(cell: Cell, below: Callable[[str], str]) -> Stated | None:
    """The target that a sentence with one link states in so many words, None for none.

    `link → folder/name`, `save it as folder/name`, `rename it to name`.
    """
    text = without_addresses(cell)[:_LONGEST]
    arrows = [path for path in _ARROW.findall(text) if _is_path(path)]
    joined = " ".join(text.split())  # a sentence may go on in the next line
    saved = _SAVED_AS.findall(text) or (_SAVED_AS.findall(joined) if joined != text else [])
    named = [next(filter(None, groups)) for groups in saved]
    said = _SAYS_WHERE.findall(text)
    if len(set(said)) == 1:
        names = _SAYS_NAME.findall(text)
        named = named or (names if len(names) == 1 else [])
        return _joined(said[0], named[-1] if named else "", below)
    first = _LEADS.match(text)
    lead = [first[1]] if first and not (_SOURCE.search(first[1]) and "/" not in first[1]) else []
    for path in named[-1:] or arrows[-1:] or lead:
        return _stated(path, below, [path] == lead)
    return None


def _stated(path: str, below: Callable[[str], str], leads: bool) -> Stated | None:
    """A folder that ends in a slash, a folder alone, or a file's path."""
    folder, name = posixpath.split(path)
    try:
        if re.search(r"[{}]", path):
            return None
        if path.endswith("/"):
            return Stated(below(path), leads=leads)
        if "." not in name:
            return Stated(below(path)) if folder else None
        return Stated(below(folder) if folder else None, name, leads)
    except Unreadable:
        return None


def _joined(place: str, name: str, below: Callable[[str], str]) -> Stated | None:
    """A place that a line states, with the name that another one gives."""
    try:
        folder, last = posixpath.split(place)
        if re.search(r"\.[A-Za-z]\w{0,11}$", last):
            return Stated(below(folder) if folder else "", last)
        return Stated(below(place), posixpath.basename(name))
    except Unreadable:
        return None


def headed(cell: Cell, below: Callable[[str], str]) -> str | None:
    """The folder that a heading is: "2. `weights/face`", "[bert/base](…)"; None for other words.

    Without a sign of code or a link it is one in small letters alone: `Train/Test` is none.
    """
    text = re.sub(r"^\W*\d+(?:[.-]\d+)*[.)]?\s+", "", cell.text.strip()).strip("*:： 📁📂")
    path = cell.codes[0] if len(cell.codes) == 1 else text
    around = re.sub(
        r"[\W\d_]|폴더|디렉토리|디렉터리|folder|directory", "", text.replace(path, "", 1)
    )
    sure = cell.codes or any(label.strip() == path for label, _ in cell.links)
    if around and not (cell.codes and len(around) <= 30 and PUT.search(text)):
        return None
    if not re.fullmatch(r"(?:\./)?[\w-]+(?:/[\w.-]+)*/?" if sure else r"[a-z0-9_./-]+", path):
        return None
    if "/" not in path or re.search(r"\.[A-Za-z]\w{0,11}$", path):
        return None
    try:
        return below(path)
    except Unreadable:
        return None


def beside(cell: Cell, name: str, below: Callable[[str], str]) -> Stated | None:
    """The one path of a file that stands beside a link: "`bpe/bpe.model` ([download](…))"."""
    codes = [code for code in cell.codes if "/" in code and len(code) <= _LONGEST]
    paths = [code for code in codes if _FILE_PATH.fullmatch(code)]
    if len(paths) != 1:
        return None
    folder, own = posixpath.split(paths[0])
    suffixes = [posixpath.splitext(item)[1].lower() for item in (own, name or own)]
    if suffixes[0] != suffixes[1] or (not name and _SOURCE.search(own)):
        return None
    try:
        return Stated(below(folder), own)
    except Unreadable:
        return None


def labelled(cell: Cell, name: str) -> Stated | None:
    """The name that a link is labelled with where its sentence speaks of renaming: [`a.pth`](…)."""
    labels = [label.strip() for label, _ in cell.links if _FILE_PATH.fullmatch(label.strip())]
    plain = len(labels) == 1 and "/" not in labels[0] and labels[0] != name
    same = plain and posixpath.splitext(labels[0])[1] == posixpath.splitext(name)[1]
    return Stated(None, labels[0]) if name and same else None


def _is_path(text: str) -> bool:
    return "/" in text or bool(re.search(r"\.[A-Za-z]\w{0,11}$", text))


def without_addresses(cell: Cell) -> str:
    """The text of a sentence alone: what its addresses are called is no word of it."""
    return re.sub(r"(?:https?|ftp)://[^\s<>()\[\]\"'`|]+", " ", cell.text)


def folders_of(cell: Cell, below: Callable[[str], str]) -> list[str]:
    """Folders that a sentence names, as the place where something is put."""
    text = without_addresses(cell)
    if not PUT.search(text):
        return []
    found = []
    for label, _ in cell.links:  # `[Drive folder](…)` is where something comes from
        if label.strip():
            text = re.sub(rf"(?<![\w./-]){re.escape(label)}(?![\w/])", " ", text, count=1)
    called = [f"{a or b or c}/" for a, b, c in _NAMED_FOLDER.findall(text)]
    plain = [a or b + "/" for a, b in _PLAIN_FOLDER.findall(text)]
    for code in [*cell.codes, *plain, *called]:
        # `models/<name>`: each in a folder of its own there
        path = re.sub(r"(?<=/)(<[\w -]+>|\{[\w -]+\}|\$\{?\w+\}?)/?$", "", code.strip())
        if len(path) > _LONGEST or not re.fullmatch(r"[\w./-]+", path) or "://" in path:
            continue
        last = posixpath.basename(path.rstrip("/"))
        if last == path.rstrip("/") and _is_taken_from(last, cell.text):
            continue
        if (
            path.endswith("/")
            or ("/" in path and "." not in last)
            or ("." not in last and _is_beside(path, cell.text))
        ):
            try:
                found.append(below(path))
            except Unreadable:
                continue
    return list(dict.fromkeys(found))


def _is_beside(name: str, text: str) -> bool:
    """Whether a sentence calls a bare name a folder that something goes into."""
    return bool(re.search(_BESIDE.format(re.escape(name)), text, re.IGNORECASE))


def _is_taken_from(name: str, text: str) -> bool:
    """Whether a sentence uses the files of a folder, so that it lies at their source."""
    return bool(re.search(_TAKEN_FROM.format(re.escape(name)), text, re.IGNORECASE))


def moves(cell: Cell) -> bool:
    """Whether a sentence says in so many words that something is put somewhere."""
    return bool(_MOVES.search(without_addresses(cell)))


def is_at_root(cell: Cell) -> bool:
    """Whether a sentence puts something at the top of the project."""
    return moves(cell) and bool(_PROJECT_ROOT.search(without_addresses(cell)))


def folder_alone(cell: Cell, below: Callable[[str], str]) -> str | None:
    """The folder that a line is nothing but: `- checkpoints/face/` above what lies there."""
    text = cell.text.strip().strip("*:：").strip()
    path = cell.codes[0] if len(cell.codes) == 1 else text
    around = text.replace(path, "", 1)
    plain = re.fullmatch(r"(?:\./)?[\w-]+(?:/[\w.-]+)*/?", path)
    if cell.links or len(around) > 40 or not plain:
        return None
    if not (path.endswith("/") or "/" in path) or re.search(r"\.[A-Za-z]\w{0,11}$", path):
        return None
    try:
        return below(path)
    except Unreadable:
        return None


def topmost(folders: Sequence[str]) -> list[str]:
    """Folders without those that lie below another of them."""
    found = dict.fromkeys(folders)
    return [folder for folder in found if not any(above in found for above in _parents(folder))]


def _parents(folder: str) -> Iterator[str]:
    while folder := posixpath.dirname(folder):
        yield folder


def says_unpack(text: str) -> bool:
    """Whether a sentence says that an archive is unpacked."""
    return bool(_UNPACKS.search(text)) and not keeps_packed(text)


def keeps_packed(text: str) -> bool:
    """Whether a sentence says that an archive is not unpacked."""
    return bool(_KEEPS_PACKED.search(text))
