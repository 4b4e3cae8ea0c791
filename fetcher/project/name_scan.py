"""Names in a project's files, found line by line: quickly, and in files that are half written.

This is for completion alone: nothing that is found here decides anything. What is offered are ids
as manifests may have them, and file names that a terminal can show.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from fetcher.project.project import SUFFIXES, catalog_folder
from fetcher.verify.contract.regular import read_regular_text

_MAX_FILES = 200
_MAX_BYTES = 2 << 20
_ID = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_KEY = re.compile(rf"( +)[\"']?({_ID})[\"']?:(?=\s|$)")
_FLOW_KEY = re.compile(rf"[{{,]\s*[\"']?({_ID})[\"']?:\s*\{{")
_GROUPS = re.compile(r"^[^#\n]*?\bgroups:[ \t]*(\[[^\]\n]*\]|[^\s\[#{},][^\n#{},]*)?", re.MULTILINE)
_ITEM = re.compile(rf"\s*-\s+[\"']?({_ID})[\"']?\s*(?:#.*)?")
_CHOICES = re.compile(r"\bchoices:")


def manifests(root: Path) -> list[str]:
    """Names of the manifests in reach: the project's, then the catalog's."""
    own = [path.stem for path in _files(root / "manifests")]
    return list(dict.fromkeys([*own, *catalog_manifests()]))


def catalog_manifests() -> list[str]:
    """Names of the catalog's manifests."""
    return [path.stem for path in _files(catalog_folder("manifests"))]


def artifacts(root: Path, catalog: bool = False) -> list[str]:
    """Ids of the project's artifacts; with `catalog`, or without a manifest, the catalog's too."""
    own = _files(root / "manifests")
    files = [*own, *(_files(catalog_folder("manifests")) if catalog or not own else [])]
    return _distinct(id for path in files for id in _artifact_ids(_read(path)))


def groups(root: Path) -> list[str]:
    """Groups of the project's artifacts."""
    return _distinct(
        group for path in _files(root / "manifests") for group in _groups_in(_read(path))
    )


def variants(root: Path) -> list[str]:
    """Choices of variants, as NAME=CHOICE."""
    return _distinct(
        choice for path in _files(root / "manifests") for choice in _choices_in(_read(path))
    )


def _distinct(names: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                entry.path
                for entry in entries
                if entry.name.endswith(SUFFIXES) and entry.is_file(follow_symlinks=False)
            )
    except OSError:
        return []
    return [Path(path) for path in found[:_MAX_FILES]]


def _read(path: Path) -> str:
    try:
        return read_regular_text(path, _MAX_BYTES)
    except (OSError, ValueError):
        return ""


def _section(text: str, name: str) -> tuple[str, list[str]]:
    """What stands behind a key of the first column, and the lines below it."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.startswith(f"{name}:"):
            end = number + 1
            while end < len(lines) and (not lines[end].strip() or lines[end][0] in " #\r"):
                end += 1
            return line.partition(":")[2], lines[number + 1 : end]
    return "", []


def _keys(lines: list[str]) -> Iterator[tuple[str, int]]:
    """The keys of the first depth that there is, with the numbers of their lines."""
    depth = ""
    for number, line in enumerate(lines):
        found = _KEY.match(line)
        if found and found[1] == (depth or found[1]):
            depth = found[1]
            yield found[2], number


def _artifact_ids(text: str) -> Iterator[str]:
    rest, lines = _section(text, "artifacts")
    if rest.strip().startswith("{"):
        yield from _FLOW_KEY.findall("\n".join([rest, *lines]))
    yield from (name for name, _ in _keys(lines))


def _groups_in(text: str) -> Iterator[str]:
    for found in _GROUPS.finditer(text):
        if found[1]:
            yield from re.findall(_ID, found[1])
            continue
        for line in text[found.end() + 1 :].split("\n"):
            item = _ITEM.fullmatch(line)
            if item is None:
                break
            yield item[1]


def _choices_in(text: str) -> Iterator[str]:
    _, lines = _section(text, "variants")
    for (name, start), (_, end) in pairwise([*_keys(lines), ("", len(lines))]):
        whole = "\n".join(lines[start:end])
        at = _CHOICES.search(whole)
        if at is None:
            continue
        behind = whole[at.end() :]
        if behind.lstrip(" ").startswith("{"):
            inner = behind[behind.index("{") :].partition("}")[0]
            choices = re.findall(rf"[{{,]\s*[\"']?({_ID})[\"']?:", inner)
        else:
            choices = [key for key, _ in _keys(behind.split("\n"))]
        yield from (f"{name}={choice}" for choice in choices)
