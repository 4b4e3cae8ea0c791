"""The lock read line by line: the same as the JSON that it is, or not at all."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import LockError
from fetcher.project import lock_stream
from fetcher.project.file_table import FileTable, Run
from fetcher.project.lockfile import Lock, LockedArtifact, dumps, loads, stream_lock
from fetcher.sources.base import FileEntry

SHA256, GIT = "ab" * 32, "cd" * 20
SIGNS = ['"', "\\", ",", "}", "/", ".", "..", "/../", "\r", "\0", "A", "con"]


def entry(path: str, **facts: object) -> FileEntry:
    return FileEntry(path, 5, SHA256)._replace(**facts)  # type: ignore[arg-type]


def lock_of(*files: FileEntry, **others: tuple[FileEntry, ...]) -> Lock:
    lists = {"a": files, **others}
    return Lock({("m", id): LockedArtifact("hf:o/n@1", "1", "", f) for id, f in lists.items()})


USUAL = lock_of(
    *(entry(f"{folder}/{n:03d}.jpg") for folder in ("a", "a-b", "a/b") for n in range(40)),
    b=(entry("x", git_blob=GIT, computed=True), entry("y", git_blob=GIT)),
    c=(entry("README.md"), entry("run.sh", executable=True), entry("weights.bin", lfs=True)),
    d=(),
    e=(entry("한/글.bin"), entry("한/길.bin")),
)
for item in USUAL.artifacts.values():
    object.__setattr__(item, "files", tuple(sorted(item.files)))


@pytest.fixture(params=[17, 300, 1 << 20])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Characters that are read at a time, few and many."""
    monkeypatch.setattr(lock_stream, "_BLOCK", request.param)
    return int(request.param)


def test_a_lock_is_read_line_by_line_as_it_was_written(block: int) -> None:
    text = dumps(USUAL)
    read = stream_lock(io.StringIO(text))
    assert read is not None
    assert read.artifacts == USUAL.artifacts
    assert dumps(read) == text
    table = read.artifacts["m", "a"].files
    assert isinstance(table, FileTable)
    assert all(isinstance(piece, Run) for piece in table.pieces)


@given(st.integers(0, 2**32))
def test_a_changed_lock_is_what_its_json_says_or_is_not_streamed(seed: int) -> None:
    """Lines that are gone, doubled, swapped, or have other characters, as merges leave them."""
    dice = random.Random(seed)
    lines = dumps(USUAL).split("\n")
    for _ in range(dice.randint(1, 3)):
        at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        change = dice.randrange(5)
        if change == 0:
            del lines[at]
        elif change == 1:
            lines.insert(other, lines[at])
        elif change == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif change == 3:
            place = dice.randrange(len(lines[at]) + 1)
            sign = dice.choice(
                ['"', "\\", ",", "}", "/", ".", "..", "/../", "\r", "\0", "A", "con"]
            )
            lines[at] = lines[at][:place] + sign + lines[at][place + 1 :]
        else:
            lines[at] = lines[at].rstrip(",") if lines[at].endswith(",") else lines[at] + ","
    text = "\n".join(lines)
    read = stream_lock(io.StringIO(text))
    if read is not None:
        assert read.artifacts == loads(text).artifacts


@pytest.mark.parametrize(
    "path",
    ["../x", "/x", "a//b", "a/./b", "con", "aux.txt", "x.", ".git/config", "a/.git", "x ", "C:x"],
)
def test_no_unsafe_path_is_streamed(path: str) -> None:
    text = dumps(lock_of(entry("Z"))).replace('"Z"', f'"{path}"')
    assert stream_lock(io.StringIO(text)) is None
    with pytest.raises(LockError):
        loads(text)


def test_a_table_is_a_sequence_of_its_files() -> None:
    read = stream_lock(io.StringIO(dumps(USUAL)))
    assert read is not None
    for key, item in USUAL.artifacts.items():
        table = read.artifacts[key].files
        assert list(table) == list(item.files) == [table[n] for n in range(len(table))]
        assert table[-2:] == item.files[-2:] and table == item.files and hash(table)
        assert table != (*item.files, entry("more"))
        with pytest.raises(IndexError):
            table[len(table)]
