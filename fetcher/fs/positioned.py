"""What is read from any place, of a size that is known: the beginning of such files."""

from __future__ import annotations

import io

from fetcher.i18n import t


class PositionedFile(io.RawIOBase):
    """A file of `size` bytes to seek in; subclasses read at `_position` and move it on.

    `taken` counts the bytes that were read.
    """

    size = 0
    taken = 0
    _position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place. Raises ValueError for one before the beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(t("a place before the beginning"))
        self._position = base + offset
        return self._position
