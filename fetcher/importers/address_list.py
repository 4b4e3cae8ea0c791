"""Lists of addresses, one a line: with a target or without, and as aria2 takes them.

`URL`, `URL PATH`, `PATH URL`, `OWNER/NAME PATH`, `URL  SHA256`; below an address of aria2's, lines
that are indented say `dir=` and `out=`.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace

from fetcher.i18n import t
from fetcher.importers.document_paths import Unreadable, inside, join
from fetcher.importers.page_links import Link, link_of
from fetcher.importers.page_names import Named
from fetcher.importers.target_tree import TargetTree

_ADDRESS = re.compile(r"(?:https?|ftp)://\S+")
_MODEL = re.compile(r"(?:hf:)?([A-Za-z0-9][\w.-]*/[\w.-]+)(?:@([\w./-]+))?")
_OPTION = re.compile(r"\s+(dir|out|checksum)=(.+)$")
_DIGEST = re.compile(r"(?:sha-?256[:=])?([0-9a-f]{64})|(?:md5[:=])?([0-9a-f]{32})", re.IGNORECASE)
_FEWEST = 0.6  # of the lines must hold an address


def is_list(text: str) -> bool:
    """Whether most lines of a text are addresses, or models of the Hub as `hf:OWNER/NAME`."""
    lines = [line for line in text.splitlines() if line.strip() and not _comment(line)]
    lines = [line for line in lines if not _OPTION.match(line)]
    good = sum(bool(re.search(r"(^|\s)((https?|ftp)://|hf:\w)", line)) for line in lines)
    short = all(len(re.split(r"[\s,;|]+", line.strip())) <= 4 for line in lines)
    return bool(lines) and short and good >= len(lines) * _FEWEST


def read(text: str, tree: TargetTree, folder: str | None) -> None:
    """Every line of a list; `folder` is where a line without a target belongs, None if unknown."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if not line.strip() or _comment(line) or _OPTION.match(line):
            continue
        options = {}
        for below in lines[index + 1 :]:
            if not (found := _OPTION.match(below)):
                break
            options[found[1]] = found[2].strip()
        try:
            _line(line, options, index + 1, tree, folder)
        except Unreadable as why:
            tree.remark(index + 1, why.args[0], line)


def _comment(line: str) -> bool:
    return line.lstrip().startswith(("#", "//", ";", "--"))


def _line(
    line: str, options: dict[str, str], number: int, tree: TargetTree, folder: str | None
) -> None:
    words = [word for word in re.split(r"[\s,;|]+|->|=>", line.strip()) if word]
    words = words[: words.index("#")] if "#" in words else words
    address = next((word for word in words if _ADDRESS.fullmatch(word)), "")
    others = [word for word in words if word != address]
    digest = next((word for word in others if _DIGEST.fullmatch(word)), "")
    others = [word for word in others if word != digest]
    link = link_of("", address, line, number) if address else _model(others)
    if link is None:
        raise Unreadable(t("this line was not read as an address"))
    if found := _DIGEST.fullmatch(digest):
        link = replace(link, digest=(found[1] or found[2]).lower())
    target = others[0] if len(others) == 1 else ""
    if options:
        target = join(options.get("dir", ""), options.get("out", "")).lstrip("/") or target
        target = f"{target}/" if "out" not in options and target else target
    if len(others) > 1 or (not target and folder is None):
        raise Unreadable(t("the page does not say where this belongs"))
    if not target:
        link.put(tree, Named(), folder or "", number)
        return
    path = inside("", target)
    if target.endswith("/") or (link.repo and not link.is_file):
        link.put(tree, Named(), path, number)
        return
    if "." not in posixpath.basename(path):
        link.put(tree, Named(), path, number)
        return
    folder, name = posixpath.split(path)
    link.put(tree, Named((name,)), folder, number)


def _model(words: list[str]) -> Link | None:
    """A model of the Hub by its name; the word is taken from the line's others."""
    for word in words:
        if (found := _MODEL.fullmatch(word)) and word.startswith("hf:"):
            words.remove(word)
            repo, revision = found[1], found[2] or ""
            return Link(f"https://huggingface.co/{repo}", 2, repo=repo, revision=revision)
    return None
