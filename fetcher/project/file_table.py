"""Files of a locked artifact, packed: a lock may name a million of them.

A FileEntry takes some 450 bytes, a packed file about 120: its name, and its facts in arrays.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import overload

from fetcher.sources.base import FileEntry

SHA256, SHA1 = 32, 20  # bytes of a digest


@dataclass(frozen=True, slots=True)
class Run:
    """Files of one folder that stand together, in the order of their names.

    `folder` is "" or ends in "/"; `sizes` are in bytes. `sha256` and `git` are digests one after
    the other, `git` empty where no file has any; `computed` and `lfs` are of all of them.
    """

    folder: str
    names: Sequence[str]
    sizes: array[int]
    sha256: bytes
    git: bytes = b""
    computed: bool = False
    lfs: bool = False

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[FileEntry]:
        folder, computed, lfs = self.folder, self.computed, self.lfs
        gits = _digests(self.git, SHA1) if self.git else repeat(None, len(self))
        facts = zip(self.names, self.sizes, _digests(self.sha256, SHA256), gits, strict=True)
        for name, size, sha256, git in facts:
            yield FileEntry(folder + name, size, sha256, git, lfs, None, computed)

    def digests(self) -> Iterator[bytes]:
        """The sha256 of each, as bytes."""
        packed = self.sha256
        return (packed[at : at + SHA256] for at in range(0, len(packed), SHA256))

    def hex_digests(self) -> Iterator[str]:
        """The sha256 of each."""
        return _digests(self.sha256, SHA256)

    def __getitem__(self, index: int) -> FileEntry:
        sha256 = self.sha256[index * SHA256 : (index + 1) * SHA256].hex()
        git = self.git[index * SHA1 : (index + 1) * SHA1].hex() or None
        known = self.sizes[index], sha256, git, self.lfs, None, self.computed
        return FileEntry(self.folder + self.names[index], *known)


def _digests(packed: bytes, size: int) -> Iterator[str]:
    text, step = packed.hex(), 2 * size
    return (text[start : start + step] for start in range(0, len(text), step))


Piece = Run | tuple[FileEntry, ...]  # of one kind, or each of its own


def _first(piece: Piece) -> str:
    return piece.folder + piece.names[0] if isinstance(piece, Run) else piece[0].path


class FileTable(Sequence[FileEntry]):
    """The files of an artifact by ascending paths; each is made when it is asked for."""

    __slots__ = ("_starts", "pieces")

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.pieces = tuple(pieces)
        self._starts = [0]  # of each piece, and the end of the last
        for piece in self.pieces:
            self._starts.append(self._starts[-1] + len(piece))

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Iterator[FileEntry]:
        return chain.from_iterable(self.pieces)

    @overload
    def __getitem__(self, index: int) -> FileEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FileEntry]: ...
    def __getitem__(self, index: int | slice) -> FileEntry | Sequence[FileEntry]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(index)
        piece = bisect_right(self._starts, place) - 1
        return self.pieces[piece][place - self._starts[piece]]

    def has(self, path: str) -> bool:
        """Whether there is a file of this path; the table's paths are to ascend."""
        index = bisect_right(self.pieces, path, key=_first) - 1
        if index < 0:
            return False
        piece = self.pieces[index]
        if not isinstance(piece, Run):
            return any(entry.path == path for entry in piece)
        folder, slash, name = path.rpartition("/")
        place = bisect_left(piece.names, name)
        return piece.folder == folder + slash and name in piece.names[place : place + 1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        if isinstance(other, FileTable) and self.pieces == other.pieces:
            return True
        return all(map(FileEntry.__eq__, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"FileTable({list(self)!r})"


def with_flags(files: Sequence[FileEntry]) -> Iterable[FileEntry]:
    """The files among these that are members of an archive, programs or else of a rare kind."""
    if isinstance(files, FileTable):
        return chain.from_iterable(p for p in files.pieces if not isinstance(p, Run))
    return files
