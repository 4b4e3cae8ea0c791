"""Placing where something fails, or where a blob is not ours alone to share."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from fetcher.errors import Problem
from fetcher.fs.atomic import publish
from fetcher.sources.base import FileEntry
from fetcher.tree import kept as keeping
from fetcher.tree import placer as placing
from tests.kit import sha256
from tests.tree.desk import Desk, known
from tests.tree.test_placer import MINE, NEW, OLD, blob, kept, place, placer, plan, replaced, todo


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(autouse=True)
def no_reflinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "reflink", lambda source, target: False)


def only_problem(desk: Desk, link: str) -> Problem:
    """Place a file whose placing fails."""
    one = placer(desk, link)
    rows, problems = one.place(todo(plan(desk, f=NEW)))  # type: ignore[arg-type]
    one.close()
    assert rows == []
    (problem,) = problems
    return problem


# Blobs of other people


@pytest.mark.parametrize("known_before", [True, False])
def test_another_persons_blob_is_copied_unless_links_are_asked_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, known_before: bool
) -> None:
    made = plan(desk, f=NEW)
    monkeypatch.setattr(desk.store, "may_be_linked", lambda sha256: False)
    one = placer(desk, "auto")
    one._no_reflink = known_before
    (row,), problems = one.place(todo(made))  # type: ignore[arg-type]
    one.close()
    path = desk.tree / "m/f"
    assert problems == [] and row.matches(path.lstat())
    assert path.read_bytes() == NEW and path.stat().st_nlink == 1
    path.unlink()
    assert place(desk, made, "hardlink") == []
    assert path.samefile(blob(desk, NEW))


def test_a_reflink_of_another_persons_blob_is_our_own(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reflink(source: str, target: str) -> bool:
        Path(target).write_bytes(Path(source).read_bytes())
        return True

    made = plan(desk, f=NEW)
    monkeypatch.setattr(desk.store, "may_be_linked", lambda sha256: False)
    monkeypatch.setattr(placing, "reflink", reflink)
    monkeypatch.setattr(placing, "copy", lambda *_: pytest.fail("it was shared"))
    assert place(desk, made) == [] and (desk.tree / "m/f").read_bytes() == NEW


# What fails


def test_who_asks_for_hard_links_gets_no_copy_in_their_place(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replaced(desk, "copy")

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refused)
    one = placer(desk, "hardlink")
    rows, (problem,) = one.place(todo(made))  # type: ignore[arg-type]
    one.close()
    assert rows == [] and "another disk" in problem.message
    assert (desk.tree / "m/f").read_bytes() == OLD
    assert os.listdir(desk.tree / "m") == ["f"]


@pytest.mark.parametrize(("number", "code"), [
    (errno.EIO, "permission"), (errno.ENOSPC, "disk-space"), (errno.EACCES, "permission"),
])  # fmt: skip
def test_a_name_that_cannot_be_given(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def refused(temporary: str, target: str) -> None:
        raise OSError(number, "no luck")

    monkeypatch.setattr(placing, "publish", refused)
    problem = only_problem(desk, "copy")
    assert "m/f" in problem.message and (problem.artifact, problem.file) == ("a", "f")
    assert problem.code == code
    assert os.listdir(desk.tree / "m") == [], "nothing half-made stays"


def test_one_that_fails_stops_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(temporary: str, target: str) -> None:
        if target.endswith("/g"):
            raise OSError(errno.EIO, "no luck")
        publish(temporary, target)

    monkeypatch.setattr(placing, "publish", refused)
    one = placer(desk, "copy")
    made = plan(desk, f=NEW, g=OLD, h=MINE)
    rows, (problem,) = one.place(todo(made))  # type: ignore[arg-type]
    one.close()
    assert [row.path for row in rows] == ["m/f", "m/h"] and problem.file == "g"
    assert sorted(os.listdir(desk.tree / "m")) == ["f", "h"]


def test_what_cannot_be_brought_to_disk_gets_no_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(desk, f=NEW, g=OLD)

    def broken(folder: str, files: list[str]) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(desk.store, "bring_to_disk", broken)
    one = placer(desk, "copy")
    rows, problems = one.place(todo(made))  # type: ignore[arg-type]
    one.close()
    assert rows == [] and [problem.file for problem in problems] == ["f", "g"]
    assert all("broken disk" in problem.message for problem in problems)
    assert os.listdir(desk.tree / "m") == []


def test_windows_says_that_a_file_is_open(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(temporary: str, target: str) -> None:
        raise OSError(errno.EACCES, "in use")

    (item,) = plan(desk, f=NEW).items
    monkeypatch.setattr("sys.platform", "win32")
    found = placing._trouble(item, OSError(errno.EACCES, "in use"))
    assert found.code == "permission" and "m/f" in found.message and "in use" in found.message
    assert "another program" in found.hint and (found.artifact, found.file) == ("a", "f")
    other = placing._trouble(item, OSError(errno.EIO, "in use"))
    assert "another program" not in other.hint
    monkeypatch.setattr("sys.platform", "linux")
    assert "another program" not in placing._trouble(item, OSError(errno.EACCES, "in use")).hint


def test_an_edit_that_cannot_be_made_names_the_file(desk: Desk) -> None:
    desk.put(b"no json")
    made = desk.plan([known("f", b"no json")], edits={"m/f": {"a": 2}})
    _, (problem,) = placer(desk).place(todo(made))  # type: ignore[arg-type]
    assert "m/f" in problem.message


# Links into other folders, and what is kept there


@pytest.mark.parametrize(("link", "shared"), [("hardlink", True), ("auto", True), ("copy", False)])
def test_a_blob_in_another_folder(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str, shared: bool
) -> None:
    digest, synced = desk.put(NEW), list[tuple[str, list[str]]]()
    monkeypatch.setattr(desk.store, "bring_to_disk", lambda *what: synced.append(what))
    target = tmp_path / "cache"
    one = placer(desk, link)
    one.link_blob(digest, str(target))
    assert target.read_bytes() == NEW and target.samefile(blob(desk, NEW)) is shared
    assert synced == ([] if shared else [(str(tmp_path), [str(target)])])


@pytest.mark.parametrize("durable", [True, False])
def test_a_copy_is_kept_and_the_file_stays(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(placing, "sync_file", lambda path: synced.append(os.path.realpath(path)))
    desk.store.durable = durable
    (tmp_path / "blob").write_bytes(MINE)
    placer(desk)._keep_copy(str(tmp_path / "blob"), "cache/models/blob")
    assert kept(desk) == {"cache/models/blob": MINE}
    assert (tmp_path / "blob").read_bytes() == MINE
    assert [path.name for path in (desk.tree / ".fetch").iterdir()] == ["kept"]
    assert bool(synced) is durable


def test_a_copy_that_cannot_be_made_leaves_no_part(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: str, target: str) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(placing, "copy", full)
    (tmp_path / "blob").write_bytes(MINE)
    with pytest.raises(OSError, match="full"):
        placer(desk)._keep_copy(str(tmp_path / "blob"), "blob")
    assert kept(desk) == {} and list((desk.tree / ".fetch").iterdir()) == []


def test_what_is_kept_is_on_disk_before_another_has_its_name(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[bytes] = []
    folders: list[tuple[str, str]] = []
    monkeypatch.setattr(keeping, "sync_file", lambda path: files.append(Path(path).read_bytes()))
    monkeypatch.setattr(keeping, "sync_folders", lambda *what: folders.append(what))
    one = placer(desk)
    (desk.tree / "link").symlink_to("nowhere")
    (desk.tree / "folder/deep").mkdir(parents=True)
    one.kept.keep(str(desk.file("a/f", MINE)), "a/f")
    one.kept.keep(str(desk.tree / "link"), "link")
    one.kept.keep(str(desk.tree / "folder"), "folder")
    assert files == [MINE], "neither where a link leads, nor a folder"
    (time,) = {re.findall(r"kept/([^/]+)", folder)[0] for folder, _ in folders}
    start = f"{desk.tree}/.fetch/kept/{time}"
    assert [folder for folder, _ in folders] == [f"{start}/a", start, start]
    assert {top for _, top in folders} == {os.path.realpath(desk.tree)}
    desk.store.durable = False
    one.kept.keep(str(desk.file("b", MINE)), "b")
    assert len(files) == 1 and len(folders) == 3


def test_a_known_size_decides_whether_a_second_link_is_made(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "MAX_DUPLICATE", len(NEW) - 1)
    made = plan(desk, f=NEW, g=NEW)
    assert place(desk, made) == []
    assert all((desk.tree / "m" / name).samefile(blob(desk, NEW)) for name in "fg")
    assert sha256(NEW) in {row.sha256 for row in desk.rows.values()}


def test_an_edited_snapshot_of_the_hubs_cache_is_kept_with_the_project(desk: Desk) -> None:
    desk.put(NEW)
    made = desk.plan([FileEntry("f", len(NEW), sha256(NEW), None, True)], hub_cache=("a",))
    (item,) = (item for item in made.items if item.hub)
    path = Path(item.path)
    path.parent.mkdir(parents=True)
    path.write_bytes(MINE)
    item.aside = True
    one = placer(desk)
    rows, problems = one.place([(item, sha256(NEW), None)])
    one.close()
    assert problems == [] and len(rows) == 1 and path.read_bytes() == NEW
    assert list(kept(desk).values()) == [MINE]


def test_what_is_placed_is_not_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes were proven when they came; only an edited file has a digest of its own."""
    monkeypatch.setattr(placing, "sha256_of", lambda path: pytest.fail(f"{path} is read"))
    for link in ("auto", "hardlink", "copy", "symlink"):
        made = plan(desk, **{link: NEW})
        assert place(desk, made, link) == []
        assert desk.rows[f"m/{link}"].sha256 == sha256(NEW)


def test_a_full_disk_says_what_is_needed(desk: Desk) -> None:
    desk.put(NEW)
    (item,) = desk.plan([FileEntry("f", 12_300_000, sha256(NEW))]).items
    found = placing._trouble(item, OSError(errno.ENOSPC, "full"))
    assert found.code == "disk-space" and "m/f" in found.message
    assert "12.3 MB are needed" in found.message


def test_a_writable_file_shares_blocks_where_that_can_be(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reflink(source: str, target: str) -> bool:
        Path(target).write_bytes(Path(source).read_bytes())
        return True

    monkeypatch.setattr(placing, "reflink", reflink)
    monkeypatch.setattr(placing, "copy", lambda *_: pytest.fail("it may be large"))
    desk.put(NEW)
    made = desk.plan([known("f", NEW)], writable=True)
    assert place(desk, made, "hardlink") == [] and (desk.tree / "m/f").read_bytes() == NEW


def test_what_is_gone_is_not_as_planned(desk: Desk) -> None:
    (item,) = replaced(desk).items
    assert placing._still_as_planned(item, str(desk.tree / "m/f"))
    assert not placing._still_as_planned(item, str(desk.tree / "m/gone"))
