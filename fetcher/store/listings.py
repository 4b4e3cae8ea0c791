"""Listings that a run read, kept as they came, and what one of them says of a commit.

    COMMIT.HASH.pages   a line of JSON about the listing, then its pages as they came, one a line

Writing costs no parsing; who needs one reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.fs.owners import is_word_of_ours, my_name
from fetcher.fs.private_files import private_name, remove_quietly, tidy
from fetcher.sources.base import FileEntry, Listing
from fetcher.sources.huggingface import HuggingFace
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import MAX_LIST, open_regular

SCHEMA = "fetch.listing/1"
PAGES = ".pages"


@dataclass
class SaidCommit:
    """What one Hub told the person's own runs of a commit.

    `files` by their path in the repository; the sha256 of an LFS file or the git id of another.
    `refs` are the branches and tags that it said stand there, with the time (seconds since 1970).
    `closed`: all of it was read with a login. `whole`: there are no others. What records
    contradict each other about is in `contested` alone.
    """

    files: dict[str, FileEntry] = field(default_factory=dict)
    contested: set[str] = field(default_factory=set)
    refs: dict[str, float] = field(default_factory=dict)
    closed: bool = True
    whole: bool = False


def short(text: str) -> str:
    """A short name for a text, fit for file names."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write(folder: Path, listing: Listing, by_bundle: bool) -> None:
    """Keep a listing in a repository's folder; one that was read with a login, so that only its
    reader can read it. Raises OSError.

    Each bundle speaks for itself; what a Hub says anew stands for what it said.
    """
    about = {
        "schema": SCHEMA,
        **{"kind": listing.kind, "id": listing.repo, "commit": listing.commit},
        **{"ref": listing.ref, "path": listing.path, "at": int(time.time())},
        **{"closed": listing.closed, "whole": listing.whole, "by": listing.endpoint},
    }
    # Line breaks are but space between JSON's values.
    lines = [page.replace(b"\n", b" ") for page in listing.pages]
    told = f"{my_name()}:{listing.ref}:{listing.path}"
    told += f":{listing.endpoint}" if by_bundle else ""
    name = f"{listing.commit}.{short(told)}{PAGES}"
    data = b"\n".join([json.dumps(about).encode(), *lines, b""])
    tidy(str(folder))
    _write_file(folder / name, data, 0o600 if listing.closed else 0o644)


def _write_file(path: Path, data: bytes, mode: int) -> None:
    """A lost one is asked for again: nothing waits for the disk. Raises OSError."""
    temporary = private_name(str(path))
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.replace(temporary, path)
    finally:
        remove_quietly(temporary)


def own_lines(path: Path) -> list[bytes]:
    """The lines of a record that only the person writes; none of another's. Raises OSError."""
    return lines_of(path, anybodys=False)


def lines_of(path: Path, anybodys: bool) -> list[bytes]:
    """The lines of a record; of another person's only if `anybodys` count. Raises OSError."""
    with open_regular(path) as stream:
        stat = os.fstat(stream.fileno())
        counts = anybodys or is_word_of_ours(stat)
        return stream.read().split(b"\n") if counts and stat.st_size <= MAX_LIST else []


def take_pages(lines: list[bytes], of: tuple[str, str, str], into: SaidCommit) -> None:
    """Add one record to what was said of a commit. Raises FetchError, ValueError: a torn one."""
    about = json_line(lines[0]) if lines else {}
    ref, path, at = about.get("ref"), about.get("path"), about.get("at")
    named = (about.get("kind"), about.get("id"), about.get("commit")) == of
    if not named or not (isinstance(ref, str) and isinstance(path, str) and isinstance(at, int)):
        return
    pages, closed = tuple(filter(None, lines[1:])), about.get("closed") is not False
    whole = about.get("whole") is True
    take_listing(Listing("", *of, ref, path, pages, closed, whole), into, float(at))


def take_listing(listing: Listing, into: SaidCommit, at: float | None = None) -> None:
    """Add a listing, of the time `at` (now), to what was said of its commit.

    Raises FetchError, ValueError for one that is none; nothing is added then.
    """
    source = HuggingFace(listing.repo, listing.kind, listing.commit)
    files: dict[str, FileEntry] = {}
    for line in listing.pages:
        page = json_text.loads(line)
        files.update(source.entries(page if isinstance(page, list) else []))
    for path, file in files.items():
        if path in into.contested or into.files.setdefault(path, file) != file:
            into.contested.add(path)
            into.files.pop(path, None)
    into.closed = into.closed and listing.closed
    into.whole = into.whole or (listing.whole and not listing.path)
    if listing.ref:
        said_at = time.time() if at is None else at
        into.refs[listing.ref] = max(into.refs.get(listing.ref, 0.0), said_at)


def json_line(line: bytes) -> Mapping[str, object]:
    """One line of a record; nothing for one that was never finished."""
    try:
        item = json_text.loads(line) if line else None
    except (ValueError, RecursionError):
        return {}
    return item if isinstance(item, dict) else {}
