"""Tar files as bundles use them: read in place by their headers, written the same way every time.

Only plain files (and folders, which mean nothing here) are let in. What could write elsewhere,
mean another file, or hide bytes that no digest covers is refused by name before anything is read.
"""

from __future__ import annotations

import re
import tarfile
from typing import NamedTuple

from fetcher.errors import Failure
from fetcher.fs.safe_paths import BadPath, PathClaims, check_relative, printable
from fetcher.fs.spelled import told_apart
from fetcher.i18n import t
from fetcher.mirror.volumes import VolumeReader

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
_MAX_EXTENSION = 1 << 16
_MAX_TAIL = 1 << 20
_CHECKSUM = re.compile(rb"[0-7]{6}\0 ")
_SPARSE = re.compile(rb"\d+ GNU\.sparse\.")
_KINDS = {
    tarfile.LNKTYPE: t("a hard link"),
    tarfile.SYMTYPE: t("a symbolic link"),
    tarfile.CHRTYPE: t("a device"),
    tarfile.BLKTYPE: t("a device"),
    tarfile.FIFOTYPE: t("a named pipe"),
    tarfile.GNUTYPE_SPARSE: t("a sparse file"),
    tarfile.CONTTYPE: t("a contiguous file"),
}


class Member(NamedTuple):
    """A plain file in a tar: where its bytes begin, and how many there are."""

    offset: int
    size: int


def _made(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


_EMPTY = _made("", 0)
_SUM = int(_EMPTY[148:154], 8) - sum(b"0" * 11)


def header(name: str, size: int) -> bytes:
    """The header of a plain file, without clock, user or mode of this machine."""
    raw = name.encode("utf-8")
    if len(raw) > 100 or size >= 1 << 33:
        return _made(name, size)
    # Ten thousand files are many: only what differs is filled in.
    digits = b"%011o" % size
    check = b"%06o" % (_SUM + sum(raw) + sum(digits))
    return b"".join((raw, _EMPTY[len(raw) : 124], digits, _EMPTY[135:148], check, _EMPTY[154:]))


def padding(size: int) -> int:
    """Zero bytes that follow a content of `size` bytes."""
    return -size % BLOCK


def scan(reader: VolumeReader, label: str) -> dict[str, Member]:
    """Every file of a tar by its name, from the headers alone. Raises Failure."""
    return _Scan(reader, label).run()


class _Scan:
    def __init__(self, reader: VolumeReader, label: str) -> None:
        self.reader = reader
        self.label = label
        self.offset = 0
        self.members: dict[str, Member] = {}
        self._claims = PathClaims()

    def run(self) -> dict[str, Member]:
        """Walk the headers up to the two zero blocks at the end."""
        name: str | None = None
        size: int | None = None
        extended = False  # a header that is about the next one came before
        while True:
            block = self._block()
            if block == bytes(BLOCK):
                if extended:
                    raise self.refuse(t("an extended header that belongs to no file"))
                self._end()
                return self.members
            info = self._parse(block)
            if info.type == tarfile.GNUTYPE_LONGNAME:
                name, extended = self._long_name(info.size), True
            elif info.type == tarfile.XHDTYPE:
                pax_name, size = self._pax(info.size)
                name, extended = name if pax_name is None else pax_name, True
            else:
                self._member(info, name, size)
                name = size = None
                extended = False

    def refuse(self, what: str, hint: str = "") -> Failure:
        """What is wrong with the tar as a failure that says where."""
        where = self.label
        if len(self.reader.paths) > 1:
            where = t(
                "{where} (in {file_at})", where=where, file_at=self.reader.file_at(self.offset)
            )
        hint = hint or t("copy the bundle again; if that does not help, do not trust who sent it")
        return Failure("bundle", t("{where}: {what}", where=where, what=what), hint)

    def _block(self) -> bytes:
        block = self.reader.read_at(self.offset, BLOCK)
        if len(block) < BLOCK:
            raise self.refuse(
                t("the tar ends early"), t("copy the bundle again: a part is missing")
            )
        return block

    def _parse(self, block: bytes) -> tarfile.TarInfo:
        try:
            if not _CHECKSUM.match(block, 148):
                raise ValueError
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            if not self.members and not self.offset:
                raise self.refuse(
                    t("this is no tar"), t("name a bundle's folder or .tar")
                ) from error
            text = t("no sound tar header at byte {offset:,}", offset=self.offset)
            raise self.refuse(text) from error
        if info.size < 0 or self.offset + BLOCK + info.size > self.reader.size:
            raise self.refuse(t("{name!r} is longer than the tar", name=printable(info.name)[:100]))
        self.offset += BLOCK
        return info

    def _skip(self, size: int) -> None:
        """Go past a content; what pads it must be zeros, for no digest covers it."""
        self.offset += size
        pad = padding(size)
        if self.reader.read_at(self.offset, pad).strip(b"\0"):
            raise self.refuse(
                t("bytes that belong to no file at byte {offset:,}", offset=self.offset)
            )
        self.offset += pad

    def _extension(self, size: int) -> bytes:
        if size > _MAX_EXTENSION:
            raise self.refuse(t("an extended header of {size:,} bytes", size=size))
        data = self.reader.read_at(self.offset, size)
        self._skip(size)
        return data

    def _long_name(self, size: int) -> str:
        data = self._extension(size)
        try:
            if data[-1:] != b"\0":
                raise ValueError
            return data[:-1].decode("utf-8")
        except ValueError as error:
            raise self.refuse(t("a long name that is none")) from error

    def _pax(self, size: int) -> tuple[str | None, int | None]:
        """(path, size) of a pax header, what it has of them."""
        data = self._extension(size)
        path: str | None = None
        length: int | None = None
        try:
            while data:
                count = int(data.partition(b" ")[0])
                record, data = data[:count], data[count:]
                if len(record) != count or record[-1:] != b"\n":
                    raise ValueError
                if _SPARSE.match(record):
                    raise self.refuse(t("a sparse file"))
                key, _, value = record[:-1].partition(b" ")[2].partition(b"=")
                if key == b"path":
                    path = value.decode("utf-8")
                elif key == b"size":
                    length = int(value)
        except ValueError as error:
            raise self.refuse(t("an extended header that is none")) from error
        return path, length

    def _member(self, info: tarfile.TarInfo, name: str | None, size: int | None) -> None:
        raw = info.name if name is None else name
        shown = repr(printable(raw)[:100])
        if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE}:
            kind = _KINDS.get(info.type, t("an entry of type {kind!r}", kind=info.type))
            raise self.refuse(
                t("{shown} is {kind}; a bundle has plain files only", shown=shown, kind=kind)
            )
        size = info.size if size is None else size
        if size < 0 or self.offset + size > self.reader.size:
            raise self.refuse(t("{shown} is longer than the tar", shown=shown))
        path = raw.rstrip("/") if info.type == tarfile.DIRTYPE else raw
        path = path[2:] if path.startswith("./") else path  # as `tar -C folder .` writes it
        if info.type == tarfile.DIRTYPE and path in {"", "."}:
            self._skip(size)
            return
        try:
            check_relative(path)
        except BadPath as error:
            raise self.refuse(t("{shown} {error}", shown=shown, error=error)) from error
        if info.type == tarfile.DIRTYPE:
            if size:
                raise self.refuse(t("the folder {shown} has bytes", shown=shown))
            return
        if (other := self._claims.claim(path)) is not None:
            own, taken = told_apart(path, other)
            raise self.refuse(
                t("{own} stands there twice", own=own)
                if path == other
                else t("{own} collides with {other}", own=own, other=taken)
            )
        self.members[path] = Member(self.offset, size)
        self._skip(size)

    def _end(self) -> None:
        tail = self.reader.size - self.offset
        if tail < len(END):
            raise self.refuse(
                t("the tar ends early"), t("copy the bundle again: a part is missing")
            )
        if tail > _MAX_TAIL or self.reader.read_at(self.offset, tail).strip(b"\0"):
            raise self.refuse(
                t("bytes that belong to no file at byte {offset:,}", offset=self.offset)
            )
