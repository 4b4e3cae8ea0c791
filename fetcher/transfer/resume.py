"""Partial files of one run: opened for the next request, kept for the next try, dropped."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from fetcher.errors import from_os_error
from fetcher.i18n import t
from fetcher.network.content_encoding import codings
from fetcher.store import part_notes
from fetcher.store.store import Part, Store
from fetcher.transfer.body_writer import BodyWriter
from fetcher.transfer.connection import Connection
from fetcher.transfer.download import Download
from fetcher.transfer.partial_file import PartialFile

_log = logging.getLogger(__name__)

# What is worth a request of its own, or earns new tries.
WORTHWHILE = 16 << 10


class PartialFiles:
    """Knows which downloads have one."""

    def __init__(self, store: Store, writer: BodyWriter) -> None:
        self.store = store
        self._writer = writer
        self.begun: set[Download] = set()

    def open(self, download: Download) -> PartialFile:
        """The download's partial file, ready for the next request. Raises Failure."""
        if download.partial is None:
            if download.part is None:
                self._claim(download)
            assert download.part is not None
            download.partial = PartialFile(download, download.part, self._writer)
        partial = download.partial
        if not partial.busy:
            partial.prepare()
            # Bytes of another run or place: if the digest is wrong, they may be why.
            download.resumed = download.resumed or (partial.got > 0 and not download.ranges)
        return partial

    def keep(self, connection: Connection, download: Download) -> None:
        """Keep what came of a small body, where something can prove it later. Raises Failure."""
        aside = connection.segment is not None or connection.aside
        if download.small and download.key and not (aside or download.decode):
            self._keep_small(connection, download)

    def _keep_small(self, connection: Connection, download: Download) -> None:
        """Keep what came of a small body that was cut off, if it is worth a request.

        Raises Failure.
        """
        data = b"".join(connection.chunks)
        if len(data) < WORTHWHILE or connection.status() not in {200, 206}:
            return
        if codings(connection.headers()):
            return
        self._claim(download)
        assert download.part is not None
        download.received += len(data)
        _spool(download.part, data)
        download.spooled = True

    def drop(self, download: Download) -> None:
        """Remove the partial file."""
        self.close(download)
        if download.part is not None:
            self.store.drop_part(download.part)
            if not download.key:
                part_notes.forget(download.part.path)
            self.begun.discard(download)
        download.part, download.validator = None, ""

    @staticmethod
    def close(download: Download) -> None:
        """Write nothing more; what is there stays for the next try."""
        if download.partial is not None:
            download.partial.close()
            download.partial = None

    def leave(self) -> None:
        """Leave every partial file that can be gone on with to whoever asks for its content next;
        the others go."""
        for download in self.begun:
            if download.partial is not None:
                download.partial.close()
            if download.part is None:
                continue
            if _is_of_use(download.part, bool(download.key)):
                self.store.leave_part(download.part)
            else:
                self.store.drop_part(download.part)

    def _claim(self, download: Download) -> None:
        """Make the partial file, or take over what a dead process has left of it."""
        self.begun.add(download)
        try:
            known = bool(download.key)
            part = self.store.claim_part(
                download.content_key, known, download.no_parts, download.taken_over
            )
            if not known:
                part, download.validator = _proven_beginning(part)
            download.part = part
        except OSError as error:
            raise from_os_error(
                error, t("writing into the store {root}", root=self.store.root)
            ) from error


def _is_of_use(part: Part, has_digest: bool) -> bool:
    """Whether another run could go on with what is there."""
    try:
        if not os.stat(part.path).st_size:
            return False
    except OSError:
        return False
    return has_digest or part_notes.read(part.path) is not None


def _spool(part: Part, data: bytes) -> None:
    """Put the beginning of a body into its partial file, if less is there. Raises Failure."""
    if part.size >= len(data):
        return
    try:
        Path(part.path).write_bytes(data)
    except OSError as error:
        raise from_os_error(error, t("writing {path}", path=part.path)) from error


def _proven_beginning(part: Part) -> tuple[Part, str]:
    """A partial file cut to what our own runs noted of it, and the validator noted with that.

    Raises OSError.
    """
    note = part_notes.read(part.was) if part.was else None
    if part.was:
        part_notes.forget(part.was)
    if note is not None and note.is_of(part.path):
        os.truncate(part.path, note.size)
        part_notes.write(part.path, note)
        return Part(part.path, note.size), note.etag
    if part.size:
        _log.info("%s is begun anew: nothing proves what is there", part.path)
        os.truncate(part.path, 0)
    return Part(part.path, 0), ""
