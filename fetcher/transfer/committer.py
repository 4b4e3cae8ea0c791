"""The thread that proves what arrived, brings it to disk, publishes it and has it placed.

Work goes in batches: many small files share one sync of the file system. A blob gets its name,
and a file its place in the tree, only after the bytes are proven and on disk, so that a name
never stands for half a file, whatever ends the process or the machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from fetcher.errors import Failure, from_os_error
from fetcher.fs import published
from fetcher.fs.atomic import Stat, digests_of, git_blob_hasher, md5_of, stat_of, write_new
from fetcher.fs.pointers import POINTER_BYTES, is_pointer
from fetcher.fs.private_files import remove_quietly
from fetcher.i18n import t
from fetcher.store.store import Store
from fetcher.transfer.download import Arrived, Delivered
from fetcher.transfer.inbox import Committed, Refused
from fetcher.transfer.outcomes import not_a_file, other_hint

if TYPE_CHECKING:
    from fetcher.fs.formats import Body

_BATCH = 1024
_GATHER_SECONDS = 0.3  # at most; a disk that syncs at once need not wait for more
_SYNC_SHARE = 5
_QUIET_SECONDS = 0.02


class _Proven(NamedTuple):
    """A private file whose bytes are what was asked for."""

    item: Arrived
    path: str
    sha256: str
    git_blob: str
    stat: Stat | None


class Committer:
    """Takes what arrived off the engine's hands.

    In its own thread `on_batch` gets what is in the store, so that it is placed, and `answer` what
    the loop is to know.
    """

    def __init__(
        self,
        store: Store,
        on_batch: Callable[[list[Delivered]], None],
        answer: Callable[[Committed | Refused], None],
    ) -> None:
        self.store = store
        self._on_batch = on_batch
        self._answer = answer
        self.held_bytes = 0
        self.crash: BaseException | None = None
        self._sync_seconds = _GATHER_SECONDS
        self._queue: queue.SimpleQueue[list[Arrived] | None] = queue.SimpleQueue()
        self._count_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put_all(self, arrived: list[Arrived]) -> None:
        """Hand whole bodies over."""
        with self._count_lock:
            self.held_bytes += sum(len(item.data) for item in arrived if item.data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()
        self._queue.put(arrived)

    def close(self) -> None:
        """Finish what was handed over; raises what broke the thread, if anything did."""
        if self._thread is None:
            return
        self._queue.put(None)
        self._thread.join()
        if self.crash:
            raise self.crash

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:
            self.crash = error

    def _step(self) -> bool:
        batch, ending = self._gather()
        if batch:
            self._commit(batch)
        return not ending

    def _gather(self) -> tuple[list[Arrived], bool]:
        """Wait for work, and a moment longer for more: a sync costs the same for many files.

        True if it is the last.
        """
        batch: list[Arrived] = []
        following = self._queue.get()
        patience = min(_GATHER_SECONDS, self._sync_seconds * _SYNC_SHARE)
        deadline = time.monotonic() + patience
        while following is not None:
            batch += following
            if len(batch) >= _BATCH or time.monotonic() >= deadline:
                break
            try:
                following = self._queue.get(timeout=_QUIET_SECONDS)
            except queue.Empty:
                break
        return batch, following is None

    def _commit(self, batch: list[Arrived]) -> None:
        proven: list[_Proven] = []
        delivered: list[Delivered] = []
        for item in batch:
            try:
                if item.stored:
                    delivered.append(self._stored(item))
                    continue
                proof = self._prove(item)
            except Failure as failure:
                self._answer(Refused(item, failure))
            except OSError as error:
                self._refuse(item, error)
            else:
                proven.append(proof)
                item.download.proven = True
            if item.data is not None:
                with self._count_lock:
                    self.held_bytes -= len(item.data)
                item.data = None
        delivered += self._publish_all(proven) if proven else []
        if delivered:
            self.store.flush()
            self._on_batch(delivered)
            self._answer(Committed(delivered))

    def _refuse(self, item: Arrived, error: OSError) -> None:
        doing = t(
            "writing {label} into the store {root}", label=item.download.label, root=self.store.root
        )
        failure = from_os_error(error, doing, str(self.store.root), item.download.file.size)
        self._answer(Refused(item, failure))

    def _publish_all(self, proven: list[_Proven]) -> list[Delivered]:
        """Bring a batch to disk, and give each its name."""
        delivered: list[Delivered] = []
        began = time.monotonic()
        try:
            self.store.bring_to_disk(str(self.store.blobs), [proof.path for proof in proven])
        except OSError as error:
            for proof in proven:
                self._unmade(proof, error)
            return delivered
        self._sync_seconds = time.monotonic() - began
        for proof in proven:
            try:
                delivered.append(self._publish(proof))
            except OSError as error:
                self._unmade(proof, error)
        return delivered

    def _unmade(self, proof: _Proven, error: OSError) -> None:
        if not proof.item.path:
            remove_quietly(proof.path)
        self._refuse(proof.item, error)

    def _prove(self, item: Arrived) -> _Proven:
        """Check size and digest; a body in memory is written to a private file."""
        wanted = item.download.file
        git = wanted.git_blob is not None
        if item.data is not None:
            item.size = len(item.data)
            sha256, blob = hashlib.sha256(item.data).hexdigest(), ""
            if git:
                hasher = git_blob_hasher(item.size)
                hasher.update(item.data)
                blob = hasher.hexdigest()
        else:
            known = item.digests
            sha256, blob = known if known and (known[1] or not git) else digests_of(item.path, git)
            item.size = os.stat(item.path).st_size if item.stat is None else item.stat.st_size
        check_content(item, sha256, blob)
        if item.data is None and item.download.key:
            return _Proven(item, item.path, sha256, blob, item.stat)
        path = self.store.temporary(sha256)
        if item.data is None:
            # Named for its place so far: should its blob's name be lost, nobody would know it.
            os.rename(item.path, path)
            return _Proven(item, path, sha256, blob, item.stat)
        return _Proven(item, path, sha256, blob, write_new(path, item.data))

    def _stored(self, item: Arrived) -> Delivered:
        """What another run has put into the store. Raises Failure, OSError."""
        sha256, git_blob = item.digests or ("", "")
        if not self.store.has(sha256, item.download.file.size):
            raise Failure("network", t("{sha256} is not in the store any more", sha256=sha256))
        stat = stat_of(self.store.blob_path(sha256))
        received = item.download.received
        return Delivered(item.download, sha256, git_blob, stat.st_size, item.origin, received, stat)

    def _publish(self, proof: _Proven) -> Delivered:
        item, path, sha256, git_blob, stat = proof
        stat = self.store.commit(path, sha256, git_blob, stat)
        download = item.download
        return Delivered(
            download, sha256, git_blob, stat.st_size, item.origin, download.received, stat
        )


def check_content(item: Arrived, sha256: str, git_blob: str) -> None:
    """Compare what arrived with what was asked for. Raises Failure."""
    wanted, origin = item.download.file, item.origin
    wrong = found = ""
    if wanted.size is not None and item.size != wanted.size:
        wrong, found = (
            "size-mismatch",
            t("{size:,} bytes instead of {wanted:,}", size=item.size, wanted=wanted.size),
        )
    elif wanted.sha256 and sha256 != wanted.sha256:
        wrong, found = (
            "digest-mismatch",
            t(
                "sha256 {sha256} instead of {wanted}",
                sha256=sha256,
                wanted=wanted.sha256,
            ),
        )
    elif wanted.git_blob and not wanted.lfs and git_blob != wanted.git_blob:
        wrong, found = (
            "digest-mismatch",
            t(
                "git blob {git_blob} instead of {wanted}",
                git_blob=git_blob,
                wanted=wanted.git_blob,
            ),
        )
    elif wanted.sha256 and wanted.git_proof not in {"", git_blob}:
        raise Failure(
            "digest-mismatch",
            t(
                "fetch.lock contradicts itself: the content with sha256 {sha256} has the git id "
                "{git_blob}, not {wanted}",
                sha256=sha256,
                git_blob=git_blob,
                wanted=wanted.git_proof,
            ),
            t("ask the source again: fetch lock --update {id}", id=item.download.command_words),
        )
    elif not wanted.sha256 and wanted.md5 and (md5 := _md5(item)) != wanted.md5:
        wrong, found = (
            "digest-mismatch",
            t("md5 {md5} instead of {wanted}", md5=md5, wanted=wanted.md5),
        )
    elif stated := _unlike_published(item, sha256):
        wrong, found = "digest-mismatch", stated
    if not wrong and (wanted.sha256 or (wanted.key and item.size > POINTER_BYTES)):
        return
    with _opened(item) as stream:
        if not wrong and wanted.key:
            # git has no more than that, but nobody wants it as weights
            if is_pointer(head := stream.read(POINTER_BYTES)):
                text = t("{origin} delivered a Git LFS pointer", origin=origin)
                raise Failure("not-a-file", text, other_hint(item.download, head))
            return
        from fetcher.fs.formats import Body

        _look_at(item, Body(stream, item.size), bool(wrong))
    if wrong:
        raise Failure(wrong, t("{origin} delivered {found}", origin=origin, found=found))


def _look_at(item: Arrived, body: Body, wrong: bool) -> None:
    """Whether it can be the file at all, where no digest tells, or the wrong bytes came.

    Raises Failure, OSError.
    """
    from fetcher.fs.first_look import look
    from fetcher.fs.sniff import junk_complaint

    download, wanted, origin = item.download, item.download.file, item.origin
    name, declared = wanted.path, download.declared
    if not (wrong or download.doubtful):
        return
    head = body.read(0, POINTER_BYTES)
    complaint = junk_complaint(head, name, declared) if wrong else look(body, name, declared)
    if not (complaint or wrong or body.size) and wanted.size != 0:
        complaint = t("an empty file")
    if complaint:
        text = t("{origin} delivered {complaint}", origin=origin, complaint=complaint)
        if wrong:
            raise Failure("not-a-file", text, other_hint(download, head))
        raise not_a_file(download, text, head)


def _opened(item: Arrived) -> BinaryIO:
    if item.data is not None:
        return io.BytesIO(item.data)
    return open(item.path, "rb")  # noqa: PTH123


def _unlike_published(item: Arrived, sha256: str) -> str | None:
    """Where the bytes differ from what their publisher states, in words. Raises OSError."""
    wanted = item.download.file
    stated = wanted.published
    if not stated or (wanted.sha256 and not stated.startswith("sha512")):
        return None
    with _opened(item) as stream:
        kind, there, here = published.complaint(stated, stream, sha256)
    if kind == "prefix":
        return t(
            "sha256 {sha256}, which does not begin with {wanted} as its name says (if that is no "
            "digest, state the sha256 in the manifest)",
            sha256=sha256,
            wanted=here,
        )
    if not kind:
        return None
    return t("{kind} {there} instead of {wanted}", kind=kind, there=there, wanted=here)


def _md5(item: Arrived) -> str:
    if item.data is not None:
        return hashlib.md5(item.data, usedforsecurity=False).hexdigest()
    return md5_of(item.path)
