"""Folder trees that pages draw: with box characters, dashes, or by indenting alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BRANCH = re.compile(
    r"^(?P<lead>(?:\s|[│┃|](?![-─━═╌_]))*)(?P<mark>(?:[├└┣┗╠╚│┃|`+\\][─━═╌_-]+>?\s*)+|[-*•▸])\s*(?P<name>.*)$"
)
_PLAIN = re.compile(r"^(?P<lead>\s*)(?P<name>\S.*)$")
_SKIPPED = re.compile(r"^(\.{2,}|…|etc\.?|\[.*\])$")
_ADDRESS = re.compile(r"https?://[^\s<>()\[\]\"'`|]+[^\s<>()\[\]\"'`|.,;:]")
_NAME = re.compile(r"[^\s<>:\"|?*]+(?: [^\s<>:\"|?*]+)*")


@dataclass
class Entry:
    """One line of a tree: a path from its root, whether it is a folder, its line, and the address
    and the words that are noted beside it. `more` says that not all of its files are drawn."""

    path: str
    folder: bool
    line: int
    address: str = ""
    note: str = ""
    more: bool = False


@dataclass
class FolderTree:
    """A drawn tree; `root` is the name on top of it, "" where there is none."""

    root: str = ""
    entries: list[Entry] = field(default_factory=list)
    line: int = 0

    def files(self) -> list[Entry]:
        """The files alone."""
        return [entry for entry in self.entries if not entry.folder]


def looks_like(text: str) -> bool:
    """Whether a block of text draws a tree."""
    lines = [line for line in text.splitlines() if line.strip()]
    boxes = sum(
        1
        for line in lines
        if re.match(r"^[\s│┃|]*(?:[├└┣┗╠╚]|[│┃][─━═╌-]{2})|^[\s|]*(\|--|`--|\+--|\|__|\\--)", line)
    )
    if boxes >= 1:
        return True
    dashes = sum(1 for line in lines if re.match(r"^\s*[-*] \S+", line))
    nested = any(re.match(r"^\s+[-*] \S+", line) for line in lines)
    return dashes >= 2 and nested and dashes >= len(lines) - 2


def read(text: str, first_line: int) -> FolderTree:
    """A drawn tree. Lines that are notes or `…` are left out."""
    found = FolderTree(line=first_line)
    stack: list[tuple[int, str, Entry | None]] = []
    for number, line in enumerate(text.splitlines()):
        if not line.strip() or re.fullmatch(r"[\s│┃|]*", line):
            continue
        branch = _BRANCH.match(line)
        match = branch or _PLAIN.match(line)
        if match is None:
            continue
        depth = len(match["lead"].expandtabs(4))
        if branch:  # of several marks in a row the last one counts
            marks = re.findall(r"\S+\s*", branch["mark"])
            depth += 1 + sum(len(mark) for mark in marks[:-1])
        name, slash = _name(match["name"])
        if not name:
            above = next((item[2] for item in reversed(stack) if item[0] < depth), None)
            if above is not None and _SKIPPED.match(match["name"].strip()):
                above.more = True
            continue
        while stack and stack[-1][0] >= depth:
            stack.pop()
        if not branch and not stack and not found.entries and not found.root:
            found.root = name
            stack.append((-1 if depth == 0 else depth, "", None))
            continue
        parent = stack[-1][1] if stack else ""
        above = stack[-1][2] if stack else None
        if above is not None:
            above.folder = True
        path = f"{parent}/{name}" if parent else name
        noted = _ADDRESS.search(match["name"])
        note = match["name"].partition(name)[2].strip("/\\ \t#←()（）`*")
        entry = Entry(path, slash, first_line + number, noted[0] if noted else "", note[:200])
        found.entries.append(entry)
        stack.append((depth, path, entry))
    for entry in found.entries:
        if "." not in entry.path.rpartition("/")[2].lstrip("."):
            entry.folder = entry.folder or not _bare_file(entry.path)
    return found


def _bare_file(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name in {"LICENSE", "Dockerfile", "Makefile", "README"} or name.startswith(".")


def _name(text: str) -> tuple[str, bool]:
    """(the name without what is said of it, whether it ends in a slash)."""
    text = (
        re.sub(r"\[([^\[\]]+)\]\([^()]*\)", r"\1", text).replace("`", "").replace("**", "").strip()
    )
    text = re.sub(r"^(📁|📂|📄|🗂️?)\s*", "", text)
    text = re.split(r"\s{2,}|\t|\s+#|\s+←|\s+<-|\s+//|\s+\(|\s+--\s|\s+->|\s+: ", text)[0].strip()
    text = text.rstrip(":,")
    if not text or _SKIPPED.match(text) or len(text) > 255:
        return "", False
    slash = text.endswith(("/", "\\"))
    text = text.strip("/\\").removeprefix("./")
    if " " in text and not re.search(r"\.\w{1,12}$", text):
        text = text.split(" ")[0]
    if not _NAME.fullmatch(text) or ".." in text.split("/"):
        return ("", False) if text != "." else (".", True)
    return text, slash
