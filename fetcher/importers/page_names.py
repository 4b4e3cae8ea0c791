"""Names of files as pages write them: templates, ranges, lists, and typing errors in them."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from fetcher.importers.page_cells import Cell

RENAMED = re.compile(r"🔄|→|->|renamed?\s+(?:it\s+)?to|이름\s*변경", re.IGNORECASE)
_FILES = re.compile(
    r"(?<![\w./-])((?:[\w.+@=-]{1,60}/){0,9}(?:[\w+@=*{}-][\w.+@=*{},-]{0,99})\.[A-Za-z][A-Za-z0-9_]{0,14})(?![\w/])"
)
# A file's own name beside the one that it gets: `a.pth` 🔄 (original name: `b.pth`).
_ORIGINAL = re.compile(
    r"(?:(?:원래|기존)\s?(?:파일\s?)?(?:이름|명)|\boriginal(?:ly)?\s(?:file\s?)?named?"
    r"|原(?:始)?(?:文件)?名称?|元の(?:ファイル)?名前?)\s?(?:[:：]|은|는|is|was|为|是|は)?\s?[`\"'“]?"
    r"([\w+-][\w.+-]{0,120}\.[A-Za-z]\w{0,14})(?![\w.]*\w)",
    re.IGNORECASE,
)
_NAME = r"[`\"'“]?(?<![\w.+-])([\w+-][\w.+-]{0,120}\.[A-Za-z][A-Za-z0-9_]{0,14})"
# The same said the other way round: `b.pth` から名前を変更.
_RENAMED_FROM = re.compile(
    rf"\brenamed?\s+from\s+{_NAME}|{_NAME}[`\"'”]?\s{{0,3}}(?:から(?:名前を)?(?:変更|リネーム|改名)"
    rf"|에서\s?(?:이름\s?)?(?:변경|바꿈|바꾼))|[由从]\s{{0,3}}{_NAME}[`\"'”]?\s{{0,3}}(?:重命名|改名|更名)",
    re.IGNORECASE,
)
_LONGEST = 255  # characters that a file's name may have
_COUNT = re.compile(
    r"(?<![\d,])(\d[\d,]{0,20}|\d{1,20}(?:\.\d{1,9})?\s?[kK만])\s{0,9}(?:개\s{0,9})?(?:files?|images?|장|파일|개\s*파일)",
    re.IGNORECASE,
)
_NOT_FILES = re.compile(
    r"^(e\.g|i\.e|v?\d+(\.\d+)+[a-z]*|[\w-]+\.(com|org|net|io|co|md|py|sh|ipynb|html))$",
    re.IGNORECASE,
)
# Names that so many repositories have that a slip in them is known.
COMMON = (
    ".gitattributes",
    "README.md",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "training_args.bin",
    "adapter_config.json",
    "adapter_model.safetensors",
    "vocab.txt",
    "merges.txt",
    "modules.json",
)


@dataclass
class Named:
    """The files that a cell names: names or patterns, how many, and whether they are renamed."""

    files: tuple[str, ...] = ()
    count: int | None = None
    renamed: bool = False
    partial: bool = False  # a series with gaps: only `count` says how many


def of_cell(cell: Cell) -> Named:
    """What a cell says of files."""
    codes = [code for code in cell.codes if is_file(code)]
    names = codes or [name for name in _FILES.findall(_without_links(cell)) if is_file(name)]
    if not names:
        names = [label.strip() for label, _ in cell.links if is_file(label.strip())]
    names = list(dict.fromkeys(name.removeprefix("./") for name in names))
    found = Named(count=_count(cell.text), renamed=bool(RENAMED.search(cell.text)))
    if found.renamed and (
        pair := re.search(
            r"(?<![\w./-])([\w./-]{1,200}\.\w{1,20})`?[ \t]{0,9}(?:→|->)[ \t]{0,9}"
            r"`?([\w./-]{1,200}\.\w{1,20})",
            cell.text,
        )
    ):
        return Named((f"{pair[1]}\0{pair[2]}",), None, True)
    own = original_name(cell.text)
    saved = [name for name in names if name != own]
    if own and len(saved) == 1:
        return Named((f"{own}\0{saved[0]}",), None, True)
    if series := _series(cell.text, names):
        found.files, found.partial = series, bool(found.count and _size(series[0]) != found.count)
        if found.partial:
            found.files = ("*" + _suffix(names[0]),)
        return found
    found.files = tuple(_numbered(name, cell.text) for name in names)
    return found


def original_name(text: str) -> str:
    """The name that a file has at its source, as a note says it; "" for none."""
    if found := _ORIGINAL.search(text):
        return found[1]
    found = _RENAMED_FROM.search(text)
    return next(filter(None, found.groups())) if found else ""


def is_file(text: str) -> bool:
    """Whether a word is the name of a file."""
    name = text.strip().rpartition("/")[2]
    return bool(
        name
        and len(name) <= _LONGEST
        and " " not in text.strip()
        and "://" not in text
        and re.search(r"[^.\s].*\.[A-Za-z][A-Za-z0-9_]{0,14}$|^\.git\w+$", name)
        and not _NOT_FILES.match(name)
    )


def _without_links(cell: Cell) -> str:
    text = cell.text
    for label, _ in cell.links:
        text = text.replace(label, " ") if not is_file(label) else text
    return re.sub(r"https?://\S+", " ", text)


def _series(text: str, names: list[str]) -> tuple[str, ...]:
    """`000000.jpg 000001.jpg … 009999.jpg` as a numbered range."""
    if len(names) < 2 or not re.search(r"\.{3}|…|~", text):
        return ()
    first, last = (re.fullmatch(r"(.*?)(\d+)(\D*)", name) for name in (names[0], names[-1]))
    if not first or not last or (first[1], first[3]) != (last[1], last[3]):
        return ()
    if int(first[2]) >= int(last[2]):
        return ()
    return (f"{first[1]}{{{first[2]}..{last[2]}}}{first[3]}",)


def _size(pattern: str) -> int:
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    return int(found[2]) - int(found[1]) + 1 if found else 1


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]


def _numbered(name: str, text: str) -> str:
    """`model_{k}.pt` with `k = 0,1,2` or `k = 0..4` beside it."""
    found = re.search(r"\{(\w+)\}|<(\w+)>", name)
    if not found:
        return name
    variable = found[1] or found[2]
    values = re.search(
        rf"\b{re.escape(variable)}\s*(?:=|:|∈|in)\s*[\[({{]?\s*([A-Za-z0-9_.,~…\s-]+)", text
    )
    if not values:
        return name
    numbers = [
        part.strip() for part in re.split(r"[,\s]+", values[1].strip().rstrip(".,")) if part.strip()
    ]
    wide = re.fullmatch(r"(\d+)\s*(?:\.{2,3}|~|-|…)\s*(\d+)", values[1].strip().rstrip(",. "))
    if wide:
        return name.replace(found[0], f"{{{wide[1]}..{wide[2]}}}")
    digits = [part for part in numbers if part.isdigit()]
    if any(re.fullmatch(r"\.{2,3}|…|~", part) for part in numbers) and len(digits) > 1:
        return name.replace(found[0], f"{{{digits[0]}..{digits[-1]}}}")
    if (
        digits
        and digits
        == [str(int(digits[0]) + index).zfill(len(digits[0])) for index in range(len(digits))]
        and len(digits) > 1
    ):
        return name.replace(found[0], f"{{{digits[0]}..{digits[-1]}}}")
    words = [part for part in numbers if re.fullmatch(r"[\w.-]+", part)]
    return name.replace(found[0], "{" + ",".join(words) + "}") if len(words) > 1 else name


def _count(text: str) -> int | None:
    found = _COUNT.search(text)
    if not found:
        return None
    number = found[1].replace(",", "").strip().lower()
    if number.endswith("k"):
        return round(float(number[:-1]) * 1000)
    if number.endswith("만"):
        return round(float(number[:-1]) * 10_000)
    return int(number)


def mended(name: str) -> str:
    """A name with a slip, as the many repositories that have it write it."""
    from difflib import get_close_matches

    folder, base = posixpath.split(name)
    if base in COMMON:
        return name
    alike = [item for item in COMMON if abs(len(item) - len(base)) <= 1]
    close = get_close_matches(base, alike, 1, 0.84)
    return posixpath.join(folder, close[0]) if close else name
