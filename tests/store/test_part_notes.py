"""Notes on partial files: what proves a beginning, and where they are kept."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.store import part_notes as module
from fetcher.store.part_notes import PartNote, forget, read, write
from tests.kit import payload, sha256

DATA = payload(1000)
NOTE = PartNote(1000, sha256(DATA), '"v1"', "h")


@pytest.fixture
def part(tmp_path: Path) -> str:
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial/x.part").write_bytes(DATA)
    return str(tmp_path / "partial/x.part")


def place(part: str) -> Path:
    found = module._place(part)
    assert found is not None
    return found


@pytest.mark.parametrize("more", [b"", b"more"])
@pytest.mark.parametrize("size", [1, 999, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_a_beginning_is_what_was_noted(tmp_path: Path, size: int, more: bytes) -> None:
    data = payload(size)
    path = tmp_path / "f"
    path.write_bytes(data + more)
    note = PartNote(size, sha256(data), "", "h")
    assert note.is_of(str(path)) is True
    changed = bytes([data[-1] ^ 1])
    path.write_bytes(data[:-1] + changed + more)
    assert note.is_of(str(path)) is False
    path.write_bytes(data[:-1])
    assert note.is_of(str(path)) is False


def test_a_file_that_is_shorter_than_noted(tmp_path: Path) -> None:
    """Even where what is there has the digest."""
    (tmp_path / "f").write_bytes(b"ab")
    assert not PartNote(3, sha256(b"ab"), "", "h").is_of(str(tmp_path / "f"))
    assert PartNote(2, sha256(b"ab"), "", "h").is_of(str(tmp_path / "f"))
    with pytest.raises(FileNotFoundError):
        NOTE.is_of(str(tmp_path / "gone"))


def test_a_note_is_read_as_it_was_written(part: str) -> None:
    assert read(part) is None
    write(part, NOTE)
    assert read(part) == NOTE
    newer = PartNote(5, "0" * 64, "", "other")
    write(part, newer)
    assert read(part) == newer and read(f"{part}x") is None
    assert [path.name for path in place(part).parent.iterdir()] == [place(part).name]
    forget(part)
    forget(part)
    assert read(part) is None


def test_notes_are_the_persons_own(part: str, tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        write(part, NOTE)
    finally:
        os.umask(mask)
    folder = place(part).parent
    assert folder.stat().st_mode & 0o777 == 0o700 and folder.parent.name == "fetch"
    assert re.fullmatch(r"[0-9a-f]{24}-x\.part\.json", place(part).name)
    for mode in (0o720, 0o702, 0o777):
        folder.chmod(mode)
        assert read(part) is None, "others may have written it"
    folder.chmod(0o755)
    assert read(part) == NOTE


def test_two_stores_are_told_apart_and_links_to_one_are_not(tmp_path: Path, part: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to("partial")
    assert place(part) == place(str(tmp_path / "link/x.part"))
    assert place(part) != place(str(tmp_path / "other/x.part"))
    assert place(part) != place(str(tmp_path / "partial/y.part"))


@pytest.mark.parametrize("text", [
    "", "{", "[]", "null", "[" * 9000, "\xff",
    *(json.dumps(NOTE._asdict() | wrong) for wrong in (
        {"size": 0}, {"size": -1}, {"size": "1"}, {"size": True}, {"size": 1.5}, {"etag": None},
        {"etag": 1}, {"more": 1},
    )),
    json.dumps({"size": 1}),
])  # fmt: skip
def test_what_is_no_note(part: str, text: str) -> None:
    write(part, NOTE)
    place(part).write_bytes(text.encode("latin-1"))
    assert read(part) is None


@given(st.binary(max_size=120))
def test_any_bytes_as_a_note(data: bytes) -> None:
    part = "/no/such/y.part"
    write(part, NOTE)
    place(part).write_bytes(data)
    found = read(part)
    assert found is None or (found.size > 0 and isinstance(found.etag, str))


def test_the_least_that_a_note_may_say(part: str) -> None:
    note = PartNote(1, "", "", "")
    write(part, note)
    assert read(part) == note


def test_notes_that_nobody_will_ask_for_go(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [f"{part}{number}" for number in range(3)]
    for other in (part, *others):
        write(other, NOTE)
    now = 100_000_000.0
    month = 30 * 24 * 3600
    for other, age in zip(others, (month - 1, month, month + 1), strict=True):
        os.utime(place(other), (now - age, now - age))
    monkeypatch.setattr(time, "time", lambda: now)
    forget(part)
    assert [place(other).exists() for other in (part, *others)] == [False, True, True, False]


def test_without_a_home_nothing_is_noted(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(part, NOTE)
    kept = place(part)
    monkeypatch.setattr(module, "cache_folder", lambda: None)
    assert read(part) is None
    write(part, NOTE)
    forget(part)
    assert kept.exists()


def test_a_note_that_cannot_be_written_leaves_no_part(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(part, NOTE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        write(part, PartNote(5, "", "", ""))
    assert read(part) == NOTE
    assert [path.name for path in place(part).parent.iterdir()] == [place(part).name]


def test_a_file_in_the_place_of_the_folder(part: str) -> None:
    folder = place(part).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_bytes(b"in the way")
    write(part, NOTE)
    assert read(part) is None
    forget(part)
    assert folder.read_bytes() == b"in the way"
