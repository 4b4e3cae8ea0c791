"""What targets share: their form, how bytes become arguments, a network that answers with them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from fetcher.config.settings import Settings
from fetcher.network.session import Network, Response

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases"
# Separates the parts of an input: never a byte of UTF-8.
SPLIT = b"\xff"


@dataclass(frozen=True)
class Target:
    """A reader, and what must hold for whatever it is given.

    `check` raises if the reader does what it may not (any exception that is not documented, an
    AssertionError for a wrong result). `seeds` are inputs to begin with, `words` what a mutator
    puts in; `longest` is in bytes.
    """

    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[str | bytes] = ()
    longest: int = 4096
    also: Callable[[], Iterable[bytes]] = field(default=tuple)

    def all_seeds(self) -> list[bytes]:
        """Seeds given here, and those that lie in files."""
        return [*self.seeds, *self.also()]

    def all_words(self) -> list[bytes]:
        """The dictionary."""
        return [word.encode() if isinstance(word, str) else word for word in self.words]


def names() -> list[str]:
    """Every target's name."""
    folder = Path(__file__).parent / "targets"
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def load(name: str) -> Target:
    """A target by its name. Raises KeyError."""
    from importlib import import_module

    if name not in names():
        raise KeyError(name)
    found = import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(found, Target)
    return found


def cases_of(name: str) -> list[Path]:
    """The inputs that were found to break a reader once."""
    folder = CASES / name
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def text_of(data: bytes) -> str:
    """Text of whatever bytes: what is no UTF-8 becomes lone surrogates, as file names have them."""
    return data.decode("utf-8", "surrogateescape")


def parts_of(data: bytes, most: int) -> list[bytes]:
    """The parts of an input, exactly `most` of them."""
    found = data.split(SPLIT, most - 1)
    return found + [b""] * (most - len(found))


def seed(*parts: str | bytes) -> bytes:
    """An input made of parts."""
    return SPLIT.join(part.encode() if isinstance(part, str) else part for part in parts)


def yaml_files(*folders: str) -> Iterator[bytes]:
    """YAML files of this project, the small ones."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.yaml")):
            if path.stat().st_size < 4000:
                yield path.read_bytes()


@lru_cache
def scratch() -> Path:
    """A folder for targets that read files; in memory, where that is possible."""
    shared = Path("/dev/shm")
    where = shared if os.access(shared, os.W_OK) else None
    folder = tempfile.TemporaryDirectory(prefix="fetch-fuzz-", dir=where)
    _kept.append(folder)
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


@contextmanager
def file_with(data: bytes, name: str = "input") -> Iterator[Path]:
    """A file with these bytes."""
    path = scratch() / name
    path.write_bytes(data)
    yield path


class AnsweringNetwork(Network):
    """Answers every request with the next prepared answer, and in the end with 404."""

    def __init__(self, answers: Iterable[Response]) -> None:
        super().__init__(Settings(Path("/nowhere")))
        self._answers = iter(answers)
        self.asked: list[str] = []

    def authorization(self, url: str) -> str | None:
        """None is logged in."""
        return None

    def request(self, url: str, **more: Any) -> Response:
        """What comes next."""
        self.asked.append(url)
        assert len(self.asked) < 100_000, "it asks without end"
        found = next(self._answers, None)
        return found or Response(404, {}, b"", url)


def response_of(part: bytes, url: str = "https://huggingface.co/api/x") -> Response:
    """An answer from bytes: a first line with the status, headers up to an empty line, the body."""
    head, _, body = part.partition(b"\n\n")
    lines = head.decode("latin-1").split("\n")
    status = (
        int(lines[0]) if lines[0].isascii() and lines[0].isdigit() and len(lines[0]) < 4 else 200
    )
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Response(status, headers, body, url)
