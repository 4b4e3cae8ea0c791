"""Bodies of uploads that lie in pieces of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fetcher.errors import Failure, from_os_error
from fetcher.fs.extents import Extent, read
from fetcher.i18n import t

# A piece must leave within the time that a silent connection gets, at any speed that is one.
_PIECE = 128 << 10


class UploadBody:
    """A content to send: as many bytes as `len` says, from the beginning each time.

    Raises Failure where the files cannot be read: that must not look like the network's fault.
    """

    def __init__(self, extents: Sequence[Extent]) -> None:
        self._extents = tuple(extents)
        self._size = sum(extent.length for extent in extents)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        try:
            for block in read(self._extents):
                for start in range(0, len(block), _PIECE):
                    yield block[start : start + _PIECE]
        except OSError as error:
            raise from_os_error(error, t("reading what is sent")) from error
        except EOFError as error:
            raise Failure(
                "modified", t("{error} while it is sent", error=error), t("make the bundle anew")
            ) from error
