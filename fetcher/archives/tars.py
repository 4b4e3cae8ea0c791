"""Members of a tar, plain or compressed, read once from beginning to end."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any, cast

from fetcher.archives.errors import broken, refused
from fetcher.archives.members import Budget, Member, Readable, damage, open_stream
from fetcher.archives.rules import Selector
from fetcher.archives.streams import Forward
from fetcher.errors import Failure
from fetcher.i18n import t

BLOCK = 512
_ZEROES = bytes(BLOCK)
# What a header for the whole archive may not say: it would be of every member.
_OF_ONE = {"path", "linkpath", "size", "hdrcharset"}


def is_tar(head: bytes) -> bool:
    """Whether the first 512 bytes are a tar's: its magic, or a header of old whose sum is right."""
    if len(head) < BLOCK:
        return False
    if head[257:262] == b"ustar":
        return True
    try:
        wanted = int(head[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return wanted == sum(head[:148]) + 8 * 32 + sum(head[156:BLOCK]) and head[:1] != b"\0"


def members(
    archive: str, stream: Readable, select: Selector, budget: Budget, encoding: str, head: bytes
) -> Iterator[Member]:
    """Members of a tar whose first bytes, `head`, were read already. Raises Failure, OSError."""
    source = Forward(stream, head)
    opened = _open(archive, source, encoding)
    while (info := _next(archive, opened)) is not None:
        _check_headers(archive, opened, source)
        member = _member(archive, opened, info, select, budget)
        if member is not None:
            yield member
        cast("Any", opened).members.clear()  # a million of them need not be remembered
    _check_end(archive, source, budget)


def _open(archive: str, source: Forward, encoding: str) -> tarfile.TarFile:
    try:
        return tarfile.open(
            fileobj=cast("Any", source), mode="r:", encoding=encoding or "utf-8", errors="strict"
        )
    except UnicodeError as error:
        raise refused(archive, *_names_of(encoding)) from error
    except damage() as error:
        raise broken(archive, error) from error


def _names_of(encoding: str) -> tuple[str, str, str]:
    """Why names cannot be read, no member, and what to do."""
    if encoding:
        return (
            t("has names that are not in {encoding}", encoding=encoding),
            "",
            t("correct `encoding` below `unpack`: cp949 is Korean, cp932 Japanese"),
        )
    return (
        t("has names that are not in UTF-8"),
        "",
        t("say what they are in below `unpack`: `encoding: cp949` is Korean, cp932 Japanese"),
    )


def names_unreadable(archive: str, encoding: str) -> Failure:
    """Names that are in another encoding than is said."""
    return refused(archive, *_names_of(encoding))


def _next(archive: str, opened: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return opened.next()
    except UnicodeError as error:
        raise names_unreadable(archive, opened.encoding or "") from error
    except damage() as error:
        raise broken(archive, error) from error


def _check_headers(archive: str, opened: tarfile.TarFile, source: Forward) -> None:
    if strange := _OF_ONE & opened.pax_headers.keys():
        raise refused(
            archive, t("has a header for all members that says their {what}", what=min(strange))
        )
    source.last = b""


def _member(
    archive: str,
    opened: tarfile.TarFile,
    info: tarfile.TarInfo,
    select: Selector,
    budget: Budget,
) -> Member | None:
    budget.count()
    if info.isdir():
        return None
    if info.size < 0:
        raise broken(archive, t("a member has less than no bytes"))
    path = select.path_of(info.name)
    if path is None:
        return None
    if why := _strange(info):
        raise refused(archive, why, info.name)
    budget.expect(info.size)
    stream = opened.extractfile(info)
    assert stream is not None
    reader = cast("Readable", stream)
    return Member(path, info.size, bool(info.mode & 0o100), open_stream(reader))


def _strange(info: tarfile.TarInfo) -> str:
    """Why a member is no plain file; "" if it is one."""
    if info.issym() or info.islnk():
        kind = t("symbolic link") if info.issym() else t("hard link")
        return t("is a {kind} to {target!r}", kind=kind, target=info.linkname)
    if info.ischr() or info.isblk() or info.isfifo():
        return t("is a device or a pipe")
    if info.issparse() or any(name.startswith("GNU.sparse") for name in info.pax_headers):
        return t("is a sparse file")
    if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}:
        return t("is of the unknown kind {kind!r}", kind=info.type)
    return ""


def _check_end(archive: str, source: Forward, budget: Budget) -> None:
    """Nothing but zeroes may follow the last member, and at least one block of them must."""
    if source.last != _ZEROES:
        raise broken(archive, t("it has no end"))
    try:
        while block := source.read(1 << 20):
            budget.take(len(block))
            if block.strip(b"\0"):
                raise refused(archive, t("has something after its end: several archives in one"))
    except damage() as error:
        raise broken(archive, error) from error
