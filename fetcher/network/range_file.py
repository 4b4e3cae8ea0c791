"""A file on a server that answers ranges, read as a file here: only what is read is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fetcher.errors import Failure
from fetcher.fs.positioned import PositionedFile
from fetcher.i18n import t
from fetcher.network.urls import public_url

if TYPE_CHECKING:
    from fetcher.network.session import Network

_AT_ONCE = 4 << 20
# Where nothing is known of what follows: a directory's beginning, a header.
_LITTLE = 16 << 10
# So near to its end, a zip is read to the end.
_END = 66 << 10
# Seconds: there is another way to have the file, which has more patience.
_PATIENCE = 20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class RangeFile(PositionedFile):
    """The file behind `url`, of `size` bytes; `received` counts what came of it.

    All that comes is of one version of the file: `etag` says which, where the server has one.
    Raises Failure where another answers, or none.
    """

    def __init__(
        self,
        network: Network,
        url: str,
        size: int,
        headers: Sequence[tuple[str, str]] = (),
        etag: str = "",
    ) -> None:
        self._network = network
        self._url = url
        self._headers = [("Accept-Encoding", "identity"), *headers]
        self._etag = etag
        self.size = size
        self.starts = [0]
        self.received = 0
        self._stop = size  # what is asked for ahead ends here
        self._pieces: list[tuple[int, bytes]] = []

    def expect(self, start: int, stop: int) -> None:
        """What follows is read from `start` to `stop`, and nothing beyond."""
        del start
        self._stop = stop

    def readinto(self, buffer: Any) -> int:
        """Read what is here of the next bytes, asking for more first if none is."""
        if self._position >= self.size:
            return 0
        piece = self._here() or self._ask()
        found = piece[: len(buffer)]
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)

    def _here(self) -> bytes:
        for start, data in self._pieces:
            if start <= self._position < start + len(data):
                return data[self._position - start :]
        return b""

    def _ask(self) -> bytes:
        """The next bytes from the server, as far as they are expected."""
        start = self._position
        stop = self._stop if start < self._stop < self.size else 0
        ahead = min(_AT_ONCE, stop - start) if stop else _LITTLE
        end = self.size if self.size - start <= _END else start + ahead
        answer = self._network.request(
            self._url,
            headers=[*self._headers, ("Range", f"bytes={start}-{end - 1}")],
            patience=_PATIENCE,
        )
        span = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        same = answer.headers.get("etag", self._etag) == self._etag
        told = span and (int(span[1]), int(span[2]) + 1, int(span[3]))
        if answer.status != 206 or told != (start, end, self.size) or not same:
            raise self._wrong(answer.status)
        if len(answer.body) != end - start:
            raise self._wrong(answer.status)
        self.received += len(answer.body)
        # The end of a zip is read again and again; of what is read once, a piece is enough.
        self._pieces = [*self._pieces[-3:], (start, answer.body)]
        return answer.body

    def _wrong(self, status: int) -> Failure:
        return Failure(
            "network",
            t(
                "{url} does not give the range that was asked for (HTTP {status})",
                url=public_url(self._url),
                status=status,
            ),
            t("run again: if the file changed meanwhile, it is read anew"),
        )
