"""What tests of sources and transfer share: a run of the engine over a store of its own."""

from __future__ import annotations

import faulthandler
import hashlib
import io
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fetcher.config.settings import Settings, Value
from fetcher.errors import Failure, Problem
from fetcher.mirror.locations import candidates_of
from fetcher.network.session import Network
from fetcher.sources.base import Candidate, FileEntry, Request, Source, UrlCandidate
from fetcher.store.store import Store
from fetcher.transfer.download import Delivered, Download
from fetcher.transfer.engine import Engine
from fetcher.ui.progress import Progress


@contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """Nothing may hang: show where every thread is, and end the process."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or 2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def payload(size: int, seed: int = 1) -> bytes:
    """Bytes that are the same in every run."""
    return random.Random(seed).randbytes(size)


def checkpoint(size: int, seed: int = 1) -> bytes:
    """Bytes that begin as a PyTorch checkpoint of old does: a pickle, then the tensors."""
    return b"\x80\x02}q\x00." + payload(size - 6, seed)


def tensors(size: int, seed: int = 1) -> bytes:
    """A safetensors file of so many bytes, with one tensor."""
    header = '{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}'
    room = size - 8 - 128
    return (
        (128).to_bytes(8, "little")
        + (header % (room, room)).ljust(128).encode()
        + payload(room, seed)
    )


class Made(Mapping[str, bytes]):
    """Bytes by name, each made when it is first asked for: who only collects tests makes none."""

    def __init__(self, makers: Mapping[str, Callable[[], bytes]]) -> None:
        self._makers = makers
        self._made: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def entry(path: str, data: bytes) -> FileEntry:
    """What a manifest with size and digest knows of a file."""
    return FileEntry(path, len(data), sha256(data))


def with_facts(download: Download, facts: Mapping[str, Any]) -> Download:
    """What the engine has learned of a download so far."""
    for name, value in facts.items():
        assert hasattr(download, name), name
        setattr(download, name, value)
    return download


@dataclass
class Got:
    """What a transfer did."""

    delivered: list[Delivered]
    failed: list[tuple[Download, Problem]]


class Run:
    """A store, settings and an engine; `said` is what the user was told."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        self.settings = Settings(root, {k: Value(v, "test") for k, v in settings.items()})
        self.store = Store(root / "store")
        self.stream = io.StringIO()
        self.network = self.fresh_network()

    def fresh_network(self) -> Network:
        """As a new process has it."""
        self.network = Network(self.settings, lambda line: print(line, file=self.stream))
        return self.network

    @property
    def said(self) -> str:
        return self.stream.getvalue()

    def get(self, *downloads: Download) -> Got:
        progress = Progress(self.stream, quiet=True)
        delivered: list[Delivered] = []
        with Engine(self.network, self.store, progress, delivered.extend) as engine:
            return Got(delivered, engine.run(list(downloads)))

    def one(self, file: FileEntry, *urls: str | Candidate) -> Delivered:
        """Get one file that must arrive."""
        outcome = self.get(self.download(file, *urls))
        assert outcome.failed == [], outcome.failed
        return outcome.delivered[0]

    def fails(self, file: FileEntry, *urls: str | Candidate) -> Problem:
        """Get one file that must not arrive."""
        outcome = self.get(self.download(file, *urls))
        assert outcome.delivered == []
        return outcome.failed[0][1]

    @staticmethod
    def download(file: FileEntry, *urls: str | Candidate) -> Download:
        found = [
            UrlCandidate("url" if i == 0 else f"mirror:{i}", u) if isinstance(u, str) else u
            for i, u in enumerate(urls)
        ]
        return Download("art", file, found)

    def blob(self, data: bytes) -> bytes:
        """What the store holds for this content, read back."""
        return Path(self.store.blob_path(sha256(data))).read_bytes()

    def leftovers(self) -> list[str]:
        """Files that a finished run should not leave behind."""
        return [path.name for path in (self.root / "store/partial").iterdir()]

    # sources

    def resolve(self, source: Source, *files: str) -> dict[str, FileEntry]:
        """The exact files by name."""
        found = source.resolve(Request(files or None), self.network)
        self.revision = found.revision
        return {file.path: file for file in found.files}

    def refused(self, source: Source, *files: str) -> Problem:
        """The problem of a source that cannot be resolved."""
        try:
            source.resolve(Request(files or None), self.network)
        except Failure as failure:
            return failure.problem
        raise AssertionError("it resolved")

    def candidates(self, source: Source, file: FileEntry) -> list[Candidate]:
        """Where a source, or a mirror, has a file."""
        if type(source).mirror_only:
            return candidates_of(source, file, self.network)
        return source.candidates(self.revision, file, self.network)

    def fetch(self, source: Source, files: Sequence[FileEntry]) -> Got:
        """All candidates of a source through the engine."""
        downloads = [Download("art", file, self.candidates(source, file)) for file in files]
        return self.get(*downloads)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Until it holds; a failed assertion after so many `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
