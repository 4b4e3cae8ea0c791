"""Whose a file is: by owner and mode, of real files."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fetcher.fs.owners import hard_link, is_foreign, is_ours_alone, may_remove


def stat(uid: int, mode: int = 0o644) -> os.stat_result:
    return os.stat_result((0o100000 | mode, 1, 1, 1, uid, uid, 0, 0, 0, 0))


@pytest.mark.parametrize(("me", "owner", "foreign"), [
    (1000, 1000, False), (1000, 0, False), (1000, 1001, True), (1000, 1, True),
    (0, 1000, True), (0, 0, False),
])  # fmt: skip
def test_foreign_is_whose_owner_is_neither_oneself_nor_root(
    me: int, owner: int, foreign: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: me)
    assert is_foreign(stat(owner)) is foreign
    monkeypatch.setattr("os.name", "nt")
    assert not is_foreign(stat(owner))


@pytest.mark.parametrize(("mode", "alone"), [
    (0o644, True), (0o600, True), (0o755, True), (0o664, False), (0o646, False), (0o666, False),
    (0o620, False), (0o602, False), (0o1644, True), (0o777, False),
])  # fmt: skip
def test_ours_alone_is_what_no_other_may_write(
    mode: int, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert is_ours_alone(stat(1000, mode)) is alone
    assert not is_ours_alone(stat(1001, mode)) and not is_ours_alone(stat(0, mode))
    monkeypatch.setattr("os.name", "nt")
    assert is_ours_alone(stat(1001, mode))


def test_another_name_of_ones_own_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "a").chmod(0o644)
    assert hard_link(str(tmp_path / "a"), str(tmp_path / "b"))
    assert os.path.samefile(tmp_path / "a", tmp_path / "b")
    (tmp_path / "link").symlink_to("a")
    assert hard_link(str(tmp_path / "link"), str(tmp_path / "c"))
    assert not (tmp_path / "c").is_symlink() and os.path.samefile(tmp_path / "a", tmp_path / "c")


def test_what_others_may_write_is_not_linked(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "a").chmod(0o664)
    assert not hard_link(str(tmp_path / "a"), str(tmp_path / "b"))
    assert not (tmp_path / "b").exists() and (tmp_path / "a").read_bytes() == b"1"


def test_what_is_no_file_is_not_linked(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        (tmp_path / "s").chmod(0o600)
        assert not hard_link(str(tmp_path / "s"), str(tmp_path / "b"))
    assert not os.path.lexists(tmp_path / "b") and os.path.lexists(tmp_path / "s")
    (tmp_path / "folder").mkdir()
    assert not hard_link(str(tmp_path / "folder"), str(tmp_path / "b"))


def test_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1")

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert not hard_link(str(tmp_path / "a"), str(tmp_path / "b"))
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError):
        hard_link(str(tmp_path / "gone"), str(tmp_path / "b"))


def test_what_a_name_has_come_to_mean_meanwhile_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is swapped for one that others may write, between look and link."""
    (tmp_path / "a").write_bytes(b"1")
    link = os.link

    def swap(source: str, target: str) -> None:
        (tmp_path / "theirs").write_bytes(b"2")
        (tmp_path / "theirs").chmod(0o666)
        os.replace(tmp_path / "theirs", source)
        link(source, target)

    monkeypatch.setattr(os, "link", swap)
    assert not hard_link(str(tmp_path / "a"), str(tmp_path / "b"))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("mode", "folders", "files", "may"),
    [
        (0o755, 1000, 1001, True),  # whoever may write the folder, whose file it is
        (0o1777, 1001, 1000, True),
        (0o1777, 1000, 1001, True),
        (0o1777, 1001, 1001, False),  # sticky: its owner's, or the folder's owner's
        (0o1777, 0, 1002, False),
    ],
)
def test_who_may_remove_a_file(
    monkeypatch: pytest.MonkeyPatch, mode: int, folders: int, files: int, may: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, how: True)
    monkeypatch.setattr(os, "stat", lambda path: stat(folders, mode))
    assert may_remove("/x/y", stat(files, 0o644)) is may
    monkeypatch.setattr(os, "access", lambda path, how: False)
    assert not may_remove("/x/y", stat(files, 0o644))
