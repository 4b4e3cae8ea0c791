"""The block of a `.gitignore` that names what fetch places; nothing else in the file is touched."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from fetcher.tree.state import FOLDER
from fetcher.verify.contract.regular import read_regular

NAME = ".gitignore"
RECORD = f"{FOLDER}/gitignore"
BEGIN = "# >>> fetch >>>"
END = "# <<< fetch <<<"
_NOTE = "# What fetch places; kept in step. `gitignore: false` in fetch.yaml turns this off."
_LARGEST = 1 << 20
_LARGEST_INDEX = 1 << 28
_SPECIAL = re.compile(r"([\\*?\[])")
_GROUP = re.compile(r"# ([\w.-]+):")


def repository_of(folder: Path) -> Path | None:
    """The root of the git repository that a folder is in; None if it is in none."""
    whole = Path(os.path.abspath(folder))
    for place in (whole, *whole.parents):
        git = place / ".git"
        if (git / "HEAD").is_file() or git.is_file():
            return place
    return None


def line_of(path: str, folder: bool = False) -> str:
    """The line that names one path, relative to the file's folder, and nothing else."""
    text = _SPECIAL.sub(r"\\\1", path)
    if folder:
        return f"/{text}/"
    return f"/{text[:-1]}\\ " if text.endswith(" ") else f"/{text}"


def groups_of(text: str) -> dict[str, list[str]]:
    """The lines of the block, by the name above them; empty if there is no block."""
    lines = text.splitlines()
    found: dict[str, list[str]] = {}
    for begin, end in _blocks(lines):
        name = ""
        for line in lines[begin + 1 : end]:
            if heading := _GROUP.fullmatch(line):
                name = heading[1]
            elif line.startswith("/"):
                found.setdefault(name, []).append(line)
    return found


def with_groups(text: str, groups: Mapping[str, Sequence[str]]) -> str:
    """The text with a block of these lines where it was, else at the end; without lines, no block.

    All other lines stay as and where they are.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    kept = text.splitlines(keepends=True)
    block: list[str] = []
    if any(groups.values()):
        block = [BEGIN, _NOTE]
        for name in sorted(filter(groups.get, groups)):
            block += [f"# {name}:", *sorted(set(groups[name]))]
        block = [f"{line}{newline}" for line in (*block, END)]
    spans = _blocks([line.rstrip("\r\n") for line in kept])
    for number, (begin, end) in reversed(list(enumerate(spans))):
        kept[begin : end + 1] = block if number == 0 else []
    if not spans and block:
        if kept and not kept[-1].endswith("\n"):
            kept[-1] += newline
        kept += [newline, *block] if kept else block
    return "".join(kept)


def _blocks(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Where blocks begin and end; a mark without its partner is a line like others."""
    found: list[tuple[int, int]] = []
    begin = None
    for number, line in enumerate(lines):
        if line.strip() == BEGIN:
            begin = number
        elif line.strip() == END and begin is not None:
            found.append((begin, number))
            begin = None
    return found


def read(tree: Path) -> str:
    """The text of the tree's file, "" if there is none; bytes that are no UTF-8 survive.

    Raises OSError.
    """
    try:
        data = read_regular(tree / NAME, _LARGEST)
    except FileNotFoundError:
        return ""
    return data.decode("utf-8", "surrogateescape")


def digest_of(groups: Mapping[str, Sequence[str]]) -> str:
    """Which lines the groups have, in short; "" for none."""
    lines = sorted({line for lines in groups.values() for line in lines})
    text = "\n".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest() if lines else ""


def is_out_of_step(tree: Path) -> bool:
    """Whether the block is not what the last run has left, which `RECORD` says; quick."""
    if repository_of(tree) is None:
        return False
    try:
        known = read_regular(tree / RECORD, 4096).decode()
        return known != "" and known != digest_of(groups_of(read(tree)))
    except (OSError, ValueError):
        return True


def tracked(repository: Path, tree: Path) -> Iterator[str]:
    """The paths below the tree that git's index has, relative to it; nothing if it is unreadable.

    Read here: git itself would run what the repository's configuration names.
    """
    try:
        git = repository / ".git"
        if git.is_file():
            git = repository / read_regular(git, 4096).decode().removeprefix("gitdir:").strip()
        data = read_regular(git / "index", _LARGEST_INDEX)
        names = list(_index_names(data))
    except (OSError, ValueError, IndexError):
        return
    prefix = os.path.relpath(os.path.abspath(tree), repository).replace(os.sep, "/")
    prefix = "" if prefix == "." else f"{prefix}/"
    for name in names:
        path = os.fsdecode(name)
        if path.startswith(prefix):
            yield path[len(prefix) :]


def _index_names(data: bytes) -> Iterator[bytes]:
    """The paths of an index file of version 2 to 4, with digests of SHA-1 or SHA-256."""
    version, count = (int.from_bytes(data[at : at + 4], "big") for at in (4, 8))
    if data[:4] != b"DIRC" or version not in (2, 3, 4):
        raise ValueError
    for digest in (20, 32):
        try:
            yield from list(_entries(data, version, count, digest))
        except (ValueError, IndexError):
            continue
        return
    raise ValueError


def _entries(data: bytes, version: int, count: int, digest: int) -> Iterator[bytes]:
    at, last = 12, b""
    for _ in range(count):
        start, flags = at, int.from_bytes(data[at + 40 + digest : at + 42 + digest], "big")
        at += 42 + digest
        if flags & 0x4000:
            if version == 2:
                raise ValueError
            at += 2
        if version == 4:
            cut, at = _offset(data, at)
            if cut > len(last):
                raise ValueError
            last = last[: len(last) - cut]
        end = data.index(b"\0", at)
        name = last + data[at:end] if version == 4 else data[at:end]
        if not name or flags & 0xFFF != min(len(name), 0xFFF):
            raise ValueError
        at = end + 1 if version == 4 else start + ((end - start + 8) & ~7)
        last = name
        yield name


def _offset(data: bytes, at: int) -> tuple[int, int]:
    """git's variable-width number at a place, and where it ends."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = ((value + 1) << 7) | (data[at] & 0x7F)
    return value, at + 1


def has_strangers(folder: str, known: Collection[str], others: Collection[str]) -> bool:
    """Whether git tracks files below a folder that fetch does not place."""
    return any(path.startswith(f"{folder}/") and path not in known for path in others)
