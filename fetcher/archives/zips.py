"""Members of a zip. What the directory and the headers before each member say must be one."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, BinaryIO, NamedTuple, cast

from fetcher.archives.errors import broken, refused
from fetcher.archives.members import MAX_MEMBERS, Budget, Member, Readable, damage
from fetcher.archives.rules import Selector
from fetcher.archives.tars import names_unreadable
from fetcher.i18n import t

LOCAL = b"PK\x03\x04"
EMPTY = b"PK\x05\x06"
SPANNED = b"PK\x07\x08"
_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_MAX_DIRECTORY = 1 << 30
_UTF8 = 0x800
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_SIZES_FOLLOW = 0x8
_METHODS = {
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
}


def is_zip(head: bytes) -> bool:
    """Whether a file that begins so is a zip, or the first part of one."""
    return head[:4] in {LOCAL, EMPTY, SPANNED}


class Entry(NamedTuple):
    """One wanted file of a zip's directory. `start` is where its local header lies; what belongs
    to it ends before `stop`."""

    path: str
    info: zipfile.ZipInfo
    executable: bool
    start: int
    stop: int


class Directory:
    """A zip's directory, read from its end; `starts` are where the parts of a split zip begin.

    Raises Failure for anything that an honest zip does not have; OSError.
    """

    def __init__(
        self,
        archive: str,
        stream: BinaryIO,
        size: int,
        encoding: str = "",
        starts: Sequence[int] = (0,),
        expect: Callable[[int, int], None] = lambda start, stop: None,
    ) -> None:
        self.archive = archive
        self.stream = stream
        self._encoding = encoding
        self._starts = starts
        self._expect = expect
        end = self._check_end(size)
        try:
            self._zip = zipfile.ZipFile(stream)
        except damage() as error:
            raise broken(archive, error) from error
        self._directory_start = self._check_places(*end)
        # The count has sixteen bits in zips of old, and some writers let it overflow.
        if (self._count - len(self._zip.infolist())) % 0x10000:
            raise broken(
                archive, t("its directory does not have the {count} members", count=self._count)
            )

    def _check_end(self, size: int) -> tuple[int, int]:
        """(offset, part) of the directory as the end says, which must be the file's last bytes."""
        stream, most = self.stream, min(size, _END.size + 0xFFFF)
        stream.seek(size - most)
        tail = stream.read(most)
        at = tail.rfind(EMPTY)
        if at < 0 or len(tail) - at < _END.size:
            raise broken(self.archive, t("it has no end"))
        _, disk, part, _, count, length, offset, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment != len(tail):
            raise broken(self.archive, t("bytes follow its end"))
        if at >= _LOCATOR.size and tail[at - _LOCATOR.size :].startswith(b"PK\x06\x07"):
            _, _, place, disks = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)
            if disks > max(1, len(self._starts)):
                raise self._parts_missing()
            stream.seek(place + (self._starts[-1] if len(self._starts) > 1 else 0))
            found = stream.read(_END64.size)
            if len(found) == _END64.size and found.startswith(b"PK\x06\x06"):
                *_, disk, part, _, count, length, offset = _END64.unpack(found)
        if count > MAX_MEMBERS or length > _MAX_DIRECTORY:
            raise refused(self.archive, t("has more than {most:,} members", most=MAX_MEMBERS))
        self._count = count
        if disk + 1 > len(self._starts) and disk not in {0xFFFF, 0xFFFFFFFF}:
            raise self._parts_missing()
        return offset, part

    def _parts_missing(self) -> Exception:
        return refused(
            self.archive,
            t("is in several parts, and only the last is there"),
            hint=t("name all parts in `files`, and write `unpack: {{join: true}}`"),
        )

    def _check_places(self, offset: int, part: int) -> int:
        """Where the directory begins; each member's place in the file is set right."""
        start = self._zip.start_dir
        base = self._starts[part] if part < len(self._starts) else 0
        if start != base + offset:
            raise refused(
                self.archive, t("has something before its beginning: several archives in one")
            )
        for info in self._zip.infolist():
            # zipfile takes what stands before the directory's place for a program in front.
            info.header_offset -= base
            if info.volume >= len(self._starts):
                raise self._parts_missing()
            info.header_offset += self._starts[info.volume]
        return start

    def entries(self, select: Selector, budget: Budget) -> list[Entry]:
        """The wanted files, in the order in which they lie. Raises Failure."""
        infos = sorted(self._zip.infolist(), key=lambda info: info.header_offset)
        stops = [
            *(info.header_offset for info in infos[1:]),
            *[self._directory_start] * bool(infos),
        ]
        found = []
        for info, stop in zip(infos, stops, strict=True):
            budget.count()
            name = self._name(info)
            least = info.header_offset + _LOCAL.size + info.compress_size
            if info.header_offset < 0 or least > stop:
                raise refused(self.archive, t("has members that lie over one another"), name)
            if name.endswith("/"):
                continue
            path = select.path_of(name)
            if path is None:
                continue
            if why := _strange(info):
                raise refused(self.archive, why, name)
            budget.expect(info.file_size)
            mode = info.external_attr >> 16 if info.create_system == 3 else 0
            found.append(Entry(path, info, bool(mode & 0o100), info.header_offset, stop))
        budget.expect(sum(entry.info.file_size for entry in found))
        return found

    def _name(self, info: zipfile.ZipInfo) -> str:
        """A member's name, with what was lost of it at a NUL, in its own encoding."""
        name = info.orig_filename
        if info.flag_bits & _UTF8 or name.isascii():
            return name
        raw = name.encode("cp437")
        try:
            return raw.decode(self._encoding or "utf-8")
        except UnicodeError as error:
            raise names_unreadable(self.archive, self._encoding) from error

    def open(self, entry: Entry) -> IO[bytes]:
        """The stream of one member. Raises Failure, OSError."""
        info, name = entry.info, entry.info.filename
        self._expect(entry.start, entry.stop)
        try:
            self._check_local(entry)
            return self._zip.open(info)
        except RuntimeError as error:
            raise refused(self.archive, str(error), name) from error
        except damage() as error:
            raise broken(self.archive, error) from error

    def _check_local(self, entry: Entry) -> None:
        """The header before a member must say what the directory says. Raises Failure."""
        info = entry.info
        self.stream.seek(info.header_offset)
        head = self.stream.read(_LOCAL.size)
        if len(head) != _LOCAL.size or not head.startswith(LOCAL):
            raise broken(self.archive, t("{path} has no header", path=entry.path))
        _, _, flags, method, _, _, crc, packed, size, names, extra = _LOCAL.unpack(head)
        wrong = method != info.compress_type or (flags ^ info.flag_bits) & (_ENCRYPTED | _UTF8)
        if not flags & _SIZES_FOLLOW:
            wrong = wrong or crc != info.CRC
            wrong = wrong or packed not in {info.compress_size, 0xFFFFFFFF}
            wrong = wrong or size not in {info.file_size, 0xFFFFFFFF}
        end = info.header_offset + _LOCAL.size + names + extra + info.compress_size
        if wrong or end > entry.stop:
            raise refused(
                self.archive,
                t("is not the same in the directory and before its bytes"),
                entry.path,
            )


def _strange(info: zipfile.ZipInfo) -> str:
    """Why an entry cannot be taken as a plain file; "" if it can."""
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
    if kind == stat.S_IFLNK:
        return t("is a symbolic link")
    if kind not in {0, stat.S_IFREG}:
        return t("is a device, a pipe or a folder")
    if info.flag_bits & _ENCRYPTED:
        return t("is encrypted")
    if info.compress_type not in _METHODS:
        return t("is packed by the unknown method {number}", number=info.compress_type)
    return ""


def members(directory: Directory, select: Selector, budget: Budget) -> Iterator[Member]:
    """The wanted members, in the order in which they lie. Raises Failure, OSError."""
    for entry in directory.entries(select, budget):
        yield Member(entry.path, entry.info.file_size, entry.executable, _opener(directory, entry))


def _opener(directory: Directory, entry: Entry) -> Callable[[], Readable]:
    return lambda: cast("Readable", directory.open(entry))
