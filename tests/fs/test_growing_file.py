"""A file that is read while it is written: every byte once it is there, and an end that is told."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fetcher.fs.growing_file import Abandoned, GrowingFile

DATA = os.urandom(100_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "part").write_bytes(DATA)
    return tmp_path / "part"


@pytest.fixture
def file(path: Path) -> Iterator[GrowingFile]:
    made = GrowingFile(str(path))
    yield made
    made.release()


class Reader(threading.Thread):
    """Reads all that comes."""

    def __init__(self, file: GrowingFile) -> None:
        super().__init__(daemon=True)
        self.file, self.data, self.error = file, b"", None
        self.start()

    error: Any

    def run(self) -> None:
        try:
            while found := self.file.read(1 << 12):
                self.data += found
        except Exception as error:
            self.error = error

    def has(self, count: int) -> bool:
        for _ in range(500):
            if len(self.data) >= count:
                return True
            self.join(0.01)
        return False


def test_what_is_there_is_read_and_what_is_not_is_waited_for(file: GrowingFile) -> None:
    reader = Reader(file)
    for size in (1, 5000, 5001, 70_000):
        file.grown(size)
        assert reader.has(size) and reader.data == DATA[:size]
    assert reader.is_alive()
    file.grown(len(DATA))
    file.end()
    reader.join(10)
    assert reader.data == DATA and reader.error is None


@pytest.mark.parametrize("less", [True, False])
def test_what_does_not_count_any_more_ends_its_reader(file: GrowingFile, less: bool) -> None:
    file.grown(5000)
    reader = Reader(file)
    assert reader.has(5000)
    file.grown(4000) if less else file.abandon()
    reader.join(10)
    assert isinstance(reader.error, Abandoned)
    with pytest.raises(Abandoned):
        file.read(1)


def test_it_is_known_by_another_name_and_after_it_was_read(
    file: GrowingFile, path: Path, tmp_path: Path
) -> None:
    file.grown(len(DATA))
    file.end()
    io.BufferedReader(file).read()  # which closes what it reads
    blob = tmp_path / "blob"
    path.rename(blob)
    assert file.is_file(str(blob)) and not file.is_file(str(path))
    path.write_bytes(DATA)
    assert not file.is_file(str(path))
    file.abandon()
    assert not file.is_file(str(blob))


def test_many_small_steps(file: GrowingFile) -> None:
    """No step is lost between the reader's look and its wait."""
    reader = Reader(file)
    for size in range(0, len(DATA), 37):
        file.grown(size)
    file.grown(len(DATA))
    file.end()
    reader.join(20)
    assert reader.data == DATA
