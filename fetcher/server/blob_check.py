"""Bytes are proven before they are served: a blob may have been changed through a hard link.

What a store has stamped, or this server has read, counts as long as the file's stat is the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fetcher.fs.extents import Extent, read
from fetcher.fs.safe_paths import native
from fetcher.i18n import t
from fetcher.server.http import Content
from fetcher.server.streaming import CutOff

_log = logging.getLogger(__name__)

# Up to this size a content is proven before its first byte leaves; a larger one on its way.
AT_ONCE = 64 << 20

Stamped = Callable[[str, os.stat_result], bool]


class Damaged(CutOff):
    """A content is not what its digest says."""


class BlobChecks:
    """What is known of contents, by digest and stat."""

    def __init__(self, stamped: Stamped) -> None:
        self.stamped = stamped
        self.failures = 0
        self._known: dict[str, tuple[object, bool]] = {}
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="proof")

    def close(self) -> None:
        """End the threads."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    def state(self, content: Content) -> bool | None:
        """Whether it is sound; None if nobody has read it yet. Raises OSError."""
        stats = [os.stat(native(extent.path)) for extent in content.extents]
        if len(stats) == 1 and content.extents[0].offset == 0:
            stat = stats[0]
            if content.extents[0].length == stat.st_size and self.stamped(content.sha256, stat):
                return True
        known = self._known.get(content.sha256)
        if known and known[0] == _signature(content.extents, stats):
            return known[1]
        return None

    def note(self, content: Content, found: str, signature: object) -> bool:
        """Remember what reading a content gave; whether it is sound."""
        sound = found == content.sha256
        _log.debug("%s was read: %s", content.sha256, "sound" if sound else f"it is {found}")
        self._known[content.sha256] = signature, sound
        self.failures += not sound
        return sound

    async def prove(self, content: Content) -> bool:
        """Read a content once, however many ask. Raises OSError, EOFError."""
        task = self._running.get(content.sha256)
        if task is None:
            task = asyncio.ensure_future(self._prove(content))
            self._running[content.sha256] = task
            task.add_done_callback(lambda _: self._running.pop(content.sha256, None))
        return await asyncio.shield(task)

    async def _prove(self, content: Content) -> bool:
        signature = signature_of(content.extents)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._readers, _digest, content.extents)
        return self.note(content, found, signature)

    def proving(self, content: Content) -> Iterator[bytes]:
        """A content's bytes; the last ones only once all are proven. Raises Damaged, OSError."""
        signature = signature_of(content.extents)
        hasher, held = hashlib.sha256(), b""
        for block in read(content.extents):
            if held:
                yield held
            hasher.update(block)
            held = block
        if not self.note(content, hasher.hexdigest(), signature):
            raise Damaged(t("{path} is damaged", path=content.extents[0].path))
        yield held


def _signature(extents: Sequence[Extent], stats: Sequence[os.stat_result]) -> object:
    return [(*e, s.st_size, s.st_mtime_ns, s.st_ino) for e, s in zip(extents, stats, strict=True)]


def signature_of(extents: Sequence[Extent]) -> object:
    """What changes when one of the files does. Raises OSError."""
    return _signature(extents, [os.stat(native(extent.path)) for extent in extents])


def _digest(extents: Sequence[Extent]) -> str:
    hasher: Any = hashlib.sha256()
    for block in read(extents):
        hasher.update(block)
    return str(hasher.hexdigest())
