"""Placing: each way to link, what stands in the way, and what is never written over."""

from __future__ import annotations

import errno
import os
import re
import stat as stats
from pathlib import Path

import pytest

from fetcher.fs.atomic import stat_of
from fetcher.fs.boundary import Boundary
from fetcher.project.lockfile import Lock
from fetcher.sources.base import FileEntry
from fetcher.tree import placer as placing
from fetcher.tree.placer import Placer
from fetcher.tree.plan import Plan
from tests.kit import sha256
from tests.tree.desk import Desk, known

OLD, NEW, MINE = b"old", b"new", b"mine"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(autouse=True)
def no_reflinks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As on ext4, wherever the tests run; grows with each try."""
    tried: list[str] = []

    def reflink(source: str, target: str) -> bool:
        tried.append(target)
        return False

    monkeypatch.setattr(placing, "reflink", reflink)
    return tried


def placer(desk: Desk, link: str = "auto", linked: tuple[str, ...] = ()) -> Placer:
    return Placer(Boundary(desk.tree, desk.permit), desk.store, link, linked)


def plan(desk: Desk, **files: bytes) -> Plan:
    for data in files.values():
        desk.put(data)
    return desk.plan([known(name, data) for name, data in files.items()])


def todo(plan: Plan) -> list[tuple[object, str, None]]:
    return [(item, item.sha256 or item.file.sha256 or "", None) for item in plan.items]


def place(desk: Desk, plan: Plan, link: str = "auto", linked: tuple[str, ...] = ()) -> list[str]:
    """Place everything; returns the codes of what failed."""
    one = placer(desk, link, linked)
    try:
        rows, problems = one.place(todo(plan))  # type: ignore[arg-type]
    finally:
        one.close()
    desk.rows |= {row.path: row for row in rows}
    left = [path.name for path in desk.tree.rglob("*") if path.name.startswith(".fetch-")]
    assert left == []
    return [problem.code for problem in problems]


def blob(desk: Desk, data: bytes) -> Path:
    return Path(desk.store.blob_path(sha256(data)))


def same_file(desk: Desk, path: Path, data: bytes) -> bool:
    return path.samefile(blob(desk, data)) and not path.is_symlink()


def kept(desk: Desk) -> dict[str, bytes]:
    """What lies in .fetch/kept, below the folder that is named by the time."""
    folder = desk.tree / ".fetch/kept"
    return {
        "/".join(path.relative_to(folder).parts[1:]): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# Ways to link


@pytest.mark.parametrize("link", ["auto", "hardlink"])
def test_a_hard_link_to_the_blob(desk: Desk, link: str) -> None:
    assert place(desk, plan(desk, f=NEW), link) == []
    path = desk.tree / "m/f"
    assert same_file(desk, path, NEW) and path.stat().st_mode & 0o222 == 0
    row = desk.rows["m/f"]
    assert row.matches(path.lstat()) and row.sha256 == sha256(NEW) and row.placed == 1
    assert (row.want, row.edit, row.artifact) == (f"sha256:{sha256(NEW)}", "", "m/a")


def test_a_symlink_to_the_blob(desk: Desk) -> None:
    assert place(desk, plan(desk, f=NEW), "symlink") == []
    path = desk.tree / "m/f"
    assert path.is_symlink() and os.readlink(path) == str(blob(desk, NEW))
    assert desk.rows["m/f"].matches(path.lstat())


def test_a_copy(desk: Desk) -> None:
    assert place(desk, plan(desk, f=NEW), "copy") == []
    path = desk.tree / "m/f"
    assert path.read_bytes() == NEW and not same_file(desk, path, NEW)
    assert path.stat().st_mode & stats.S_IWUSR and desk.rows["m/f"].matches(path.lstat())


def test_reflinks_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place(desk, plan(desk, f=NEW), "reflink") == ["permission"]
    assert not (desk.tree / "m/f").exists()

    def reflink(source: str, target: str) -> bool:
        Path(target).write_bytes(Path(source).read_bytes())
        Path(target).chmod(0o400)
        return True

    monkeypatch.setattr(placing, "reflink", reflink)
    monkeypatch.setattr(Desk, "put", lambda *_: "")
    assert place(desk, plan(desk, f=NEW), "reflink") == []
    path = desk.tree / "m/f"
    assert not same_file(desk, path, NEW) and path.stat().st_mode & stats.S_IWUSR


@pytest.mark.parametrize("link", ["auto", "copy"])
def test_a_file_system_without_reflinks_is_asked_once(
    desk: Desk, link: str, no_reflinks: list[str]
) -> None:
    assert place(desk, plan(desk, f=NEW, g=OLD, h=MINE), link) == []
    assert len(no_reflinks) == 1
    found = [(desk.tree / "m" / name).read_bytes() for name in "fgh"]
    assert found == [NEW, OLD, MINE]


@pytest.mark.parametrize("link", ["hardlink", "symlink"])
def test_nobody_asks_for_reflinks_who_wants_links(
    desk: Desk, link: str, no_reflinks: list[str]
) -> None:
    assert place(desk, plan(desk, f=NEW), link) == []
    assert no_reflinks == []


def test_a_symlink_that_cannot_be_made(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no privilege")

    monkeypatch.setattr(os, "symlink", refused)
    one = placer(desk, "symlink")
    rows, problems = one.place(todo(plan(desk, f=NEW)))  # type: ignore[arg-type]
    assert rows == [] and [problem.code for problem in problems] == ["permission"]
    assert "no privilege" in problems[0].message and "--link auto" in problems[0].hint
    assert (problems[0].artifact, problems[0].file) == ("a", "f")


def test_a_writable_file_is_a_copy_by_any_way(desk: Desk) -> None:
    for link in ("auto", "hardlink", "symlink", "copy"):
        name = f"w-{link}"
        desk.put(NEW)
        made = desk.plan([known(name, NEW)], writable=True)
        assert place(desk, made, link) == []
        path = desk.tree / "m" / name
        assert not path.is_symlink() and not same_file(desk, path, NEW)
        assert path.stat().st_mode & stats.S_IWUSR and path.read_bytes() == NEW


def test_a_content_that_stands_twice_in_a_tree_is_linked_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = plan(desk, f=NEW, g=NEW, h=NEW)
    assert place(desk, twice) == []
    links = [same_file(desk, desk.tree / "m" / name, NEW) for name in "fgh"]
    assert links == [True, False, False]
    # In the next run too: the tree says what it has links of.
    assert place(desk, plan(desk, k=NEW), linked=(sha256(NEW),)) == []
    assert not same_file(desk, desk.tree / "m/k", NEW)
    # Large ones are linked all the same, and whoever says hardlink gets hard links.
    assert place(desk, plan(desk, n=NEW), "hardlink", linked=(sha256(NEW),)) == []
    assert same_file(desk, desk.tree / "m/n", NEW)
    monkeypatch.setattr(placing, "MAX_DUPLICATE", 3)
    assert place(desk, plan(desk, o=NEW), linked=(sha256(NEW),)) == []
    assert not same_file(desk, desk.tree / "m/o", NEW)
    monkeypatch.setattr(placing, "MAX_DUPLICATE", 2)
    for name in ("p", "q"):  # the first finds that there are no reflinks, the second knows it
        assert place(desk, plan(desk, **{name: NEW}), linked=(sha256(NEW),)) == []
        assert same_file(desk, desk.tree / "m" / name, NEW)
    assert place(desk, plan(desk, r=NEW, s=NEW), linked=(sha256(NEW),)) == []
    assert same_file(desk, desk.tree / "m/s", NEW)


@pytest.mark.parametrize("number", sorted(placing._NO_LINK))
@pytest.mark.parametrize("first", [True, False])
def test_where_hard_links_cannot_be_made_files_are_copied(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, first: bool
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    made = plan(desk, f=NEW, g=OLD)
    one = placer(desk)
    if not first:
        one._no_reflink = True  # as after an earlier batch
    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(placing, "publish", os.rename)
    rows, problems = one.place(todo(made))  # type: ignore[arg-type]
    one.close()
    assert problems == [] and len(rows) == 2
    for name, data in (("f", NEW), ("g", OLD)):
        path = desk.tree / "m" / name
        assert path.read_bytes() == data and path.stat().st_nlink == 1
    assert all(row.matches((desk.tree / row.path).lstat()) for row in rows)


@pytest.mark.parametrize(("number", "link"), [(errno.EIO, "auto"), (errno.EXDEV, "hardlink")])
@pytest.mark.parametrize("first", [True, False])
def test_other_faults_are_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, link: str, first: bool
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    made = plan(desk, f=NEW)
    one = placer(desk, link)
    one._no_reflink = not first
    monkeypatch.setattr(os, "link", refused)
    rows, (problem,) = one.place(todo(made))  # type: ignore[arg-type]
    assert rows == [] and "m/f" in problem.message
    assert (problem.artifact, problem.file) == ("a", "f")
    assert list((desk.tree / "m").iterdir()) == []


# What stands in the way


def test_what_came_meanwhile_stays(desk: Desk) -> None:
    for link in ("auto", "hardlink", "copy", "symlink"):
        made = plan(desk, f=NEW, g=OLD)
        mine = desk.file("m/f", MINE)
        one = placer(desk, link)
        rows, problems = one.place(todo(made))  # type: ignore[arg-type]
        one.close()
        assert [problem.code for problem in problems] == ["conflict"], link
        assert "m/f" in problems[0].message and "--overwrite" in problems[0].hint
        assert (problems[0].artifact, problems[0].file) == ("a", "f")
        assert mine.read_bytes() == MINE and [row.path for row in rows] == ["m/g"]
        assert sorted(path.name for path in (desk.tree / "m").iterdir()) == ["f", "g"]
        (desk.tree / "m/g").unlink()


@pytest.mark.parametrize("link", ["auto", "hardlink", "copy"])
def test_the_same_from_another_run_is_taken(desk: Desk, link: str) -> None:
    made = plan(desk, f=NEW)
    desk.file("m/f", NEW)
    assert place(desk, made, link) == []
    assert desk.rows["m/f"].matches((desk.tree / "m/f").lstat())
    assert (desk.tree / "m/f").read_bytes() == NEW


def test_a_folder_in_the_place_of_a_file(desk: Desk) -> None:
    for link in ("auto", "copy"):
        made = plan(desk, f=NEW)
        (desk.tree / "m/f/x").mkdir(parents=True, exist_ok=True)
        assert place(desk, made, link) == ["conflict"]
        assert (desk.tree / "m/f/x").is_dir()


def replaced(desk: Desk, link: str = "auto") -> Plan:
    """A plan in which NEW replaces OLD, which we had placed."""
    desk.put(OLD)
    assert place(desk, plan(desk, f=OLD), link) == []
    made = plan(desk, f=NEW)
    assert [item.replaces for item in made.items] == [True]
    return made


@pytest.mark.parametrize("link", ["auto", "hardlink", "symlink", "copy"])
def test_what_we_placed_is_replaced(desk: Desk, link: str) -> None:
    made = replaced(desk, link)
    assert place(desk, made, link) == []
    assert (desk.tree / "m/f").read_bytes() == NEW
    assert blob(desk, OLD).read_bytes() == OLD and blob(desk, NEW).read_bytes() == NEW
    assert [path.name for path in (desk.tree / "m").iterdir()] == ["f"]


@pytest.mark.parametrize("change", ["content", "time", "inode", "gone"])
def test_what_changed_since_the_plan_is_not_replaced(desk: Desk, change: str) -> None:
    made = replaced(desk, "copy")
    path = desk.tree / "m/f"
    stat = path.stat()
    if change == "content":
        path.write_bytes(b"mine, longer")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "time":
        os.utime(path, ns=(1, 1))
    else:
        other = path.with_name("other")
        other.write_bytes(OLD)
        os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        os.replace(other, path)
        if change == "gone":
            path.unlink()
    before = path.read_bytes() if path.exists() else None
    assert place(desk, made, "copy") == ([] if change == "gone" else ["conflict"])
    assert path.read_bytes() == (NEW if before is None else before)


def test_a_link_over_another_link_of_the_same_file(desk: Desk) -> None:
    """rename(2) leaves both names where both are links of one file."""
    made = replaced(desk, "hardlink")
    (item,) = made.items
    path = desk.tree / "m/f"
    path.unlink()
    os.link(blob(desk, NEW), path)
    item.stat = os.lstat(path)
    assert place(desk, made, "hardlink") == []
    assert [one.name for one in (desk.tree / "m").iterdir()] == ["f"]


def overwriting(desk: Desk, *names: str) -> Plan:
    for name in names:
        desk.put(name.encode())
    files = [known(name, name.encode()) for name in names]
    unit, artifact, lock = desk.unit(files, {"m/": "a"})
    planner = desk.planner()
    made = planner.plan([(unit, artifact)], lock)
    planner.overwrite_conflicts(made)
    return made


@pytest.mark.parametrize("link", ["auto", "hardlink", "copy"])
def test_a_file_of_the_users_is_kept_aside(desk: Desk, link: str) -> None:
    desk.file("m/f", MINE)
    (desk.tree / "m/g").mkdir()
    desk.file("m/g/inner", b"mine too")
    made = overwriting(desk, "f", "g", "h")
    assert place(desk, made, link) == []
    assert [(desk.tree / "m" / name).read_bytes() for name in "fgh"] == [b"f", b"g", b"h"]
    assert kept(desk) == {"m/f": MINE, "m/g/inner": b"mine too"}
    (folder,) = (desk.tree / ".fetch/kept").iterdir()
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}-{os.getpid()}", folder.name)


def test_a_dangling_link_is_kept_aside(desk: Desk) -> None:
    (desk.tree / "m").mkdir()
    (desk.tree / "m/f").symlink_to("nowhere")
    made = overwriting(desk, "f")
    assert place(desk, made) == []
    assert (desk.tree / "m/f").read_bytes() == b"f"
    (found,) = (path for path in (desk.tree / ".fetch/kept").rglob("*") if path.name == "f")
    assert os.readlink(found) == "nowhere"


def test_what_was_to_be_kept_aside_may_be_gone(desk: Desk) -> None:
    mine = desk.file("m/f", MINE)
    made = overwriting(desk, "f")
    mine.unlink()
    assert place(desk, made) == [] and kept(desk) == {}


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_file_where_a_folder_must_be_is_kept_aside(desk: Desk, depth: int) -> None:
    desk.put(NEW)
    unit, artifact, lock = desk.unit([known("f", NEW)], {"x/y/z/": "a"})
    planner = desk.planner()
    parts = ["x", "y", "z"][: depth + 1]
    desk.file("/".join(parts), MINE)
    made = planner.plan([(unit, artifact)], lock)
    assert [item.action for item in made.items] == ["blocked"]
    planner.overwrite_conflicts(made)
    assert place(desk, made) == []
    assert (desk.tree / "x/y/z/f").read_bytes() == NEW
    assert kept(desk) == {"/".join(parts): MINE}


def test_the_way_is_clear(desk: Desk) -> None:
    """A conflict that is gone when its turn comes leaves nothing to keep."""
    desk.put(NEW)
    unit, artifact, lock = desk.unit([known("f", NEW)], {"x/y/": "a"})
    planner = desk.planner()
    mine = desk.file("x/y", MINE)
    made = planner.plan([(unit, artifact)], lock)
    planner.overwrite_conflicts(made)
    mine.unlink()
    mine.mkdir()
    assert place(desk, made) == [] and kept(desk) == {}


# Links of a stranger's, edits, many folders


def test_nothing_is_placed_through_a_link_that_leads_out(desk: Desk, tmp_path: Path) -> None:
    made = plan(desk, f=NEW)
    (tmp_path / "out").mkdir()
    (desk.tree / "m").symlink_to(tmp_path / "out")
    for link in ("auto", "hardlink", "copy", "symlink"):
        one = placer(desk, link)
        rows, problems = one.place(todo(made))  # type: ignore[arg-type]
        one.close()
        assert rows == [] and [problem.code for problem in problems] == ["bad-path"]
        assert (problems[0].artifact, problems[0].file) == ("a", "f")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_edited_file_is_a_copy_with_the_edit(desk: Desk) -> None:
    data = b'{"a": 1}'
    desk.put(data)
    made = desk.plan([known("f", data)], edits={"m/f": {"a": 2}})
    for link in ("hardlink", "symlink"):
        assert place(desk, made, link) == []
        path = desk.tree / "m/f"
        assert path.read_bytes() == b'{"a": 2}' and not path.is_symlink()
        row = desk.rows["m/f"]
        assert row.sha256 == sha256(b'{"a": 2}') and row.want == f"sha256:{sha256(data)}"
        assert row.edit and row.matches(path.lstat())
        assert blob(desk, data).read_bytes() == data
        path.unlink()


def test_an_edit_that_cannot_be_made_leaves_nothing(desk: Desk) -> None:
    desk.put(b"no json")
    made = desk.plan([known("f", b"no json")], edits={"m/f": {"a": 2}})
    one = placer(desk)
    rows, problems = one.place(todo(made))  # type: ignore[arg-type]
    assert rows == [] and [problem.code for problem in problems] == ["edit"]
    assert (problems[0].artifact, problems[0].file) == ("a", "f")
    assert list((desk.tree / "m").iterdir()) == []


def test_copies_are_on_disk_before_they_have_their_names(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, list[str], bool]] = []

    def noted(folder: str, files: list[str]) -> None:
        synced.append((folder, files, (desk.tree / "m/f").exists()))

    monkeypatch.setattr(desk.store, "bring_to_disk", noted)
    assert place(desk, plan(desk, f=NEW, g=OLD), "copy") == []
    assert len(synced) == 1 and synced[0][0] == str(desk.tree) and len(synced[0][1]) == 2
    assert synced[0][2] is False
    synced.clear()
    data = b'{"a": 1}'
    desk.put(data)
    made = desk.plan([known("e", data)], edits={"m/e": {"a": 2}})
    assert place(desk, made, "hardlink") == []
    assert [len(files) for _, files, _ in synced] == [1]
    synced.clear()
    assert place(desk, plan(desk, h=MINE), "hardlink") == []
    assert synced == []


def test_more_folders_than_are_held_open(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "_OPEN_FOLDERS", 2)
    before = len(os.listdir("/proc/self/fd"))
    names = [f"d{n % 5}/f{n}" for n in range(15)]
    made = plan(desk, **{name: name.encode() for name in names})
    one = placer(desk, "copy")
    rows, problems = one.place(todo(made))  # type: ignore[arg-type]
    assert problems == [] and len(rows) == 15
    assert len(os.listdir("/proc/self/fd")) == before + 2
    one.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert all((desk.tree / "m" / name).read_bytes() == name.encode() for name in names)


def test_the_stat_of_a_new_blob_is_that_of_its_links(desk: Desk) -> None:
    made = plan(desk, f=NEW)
    stat = stat_of(str(blob(desk, NEW)))
    one = placer(desk, "hardlink")
    (item,) = made.items
    (row,), _ = one.place([(item, sha256(NEW), stat)])
    one.close()
    assert row.matches(os.lstat(desk.tree / "m/f"))


def test_a_file_whose_size_is_not_known(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put(NEW)
    made = desk.plan([FileEntry("f", None, sha256(NEW)), FileEntry("g", None, sha256(NEW))])
    assert place(desk, made) == []
    assert {(desk.tree / "m" / name).read_bytes() for name in "fg"} == {NEW}
    assert not same_file(desk, desk.tree / "m/g", NEW)


@pytest.mark.parametrize("confined", [True, False])
def test_a_cache_that_the_project_chose_is_left_by_no_link(
    desk: Desk, tmp_path: Path, confined: bool
) -> None:
    desk.put(NEW)
    made = desk.plan([FileEntry("f", 3, sha256(NEW), None, True)], hub_cache=("a",))
    (tmp_path / "out").mkdir()
    desk.hub.mkdir()
    (desk.hub / "models--o--n").symlink_to(tmp_path / "out")
    one = Placer(Boundary(desk.tree), desk.store, "auto", confined_cache=confined)
    _, problems = one.place(todo(made))  # type: ignore[arg-type]
    one.close()
    assert [problem.code for problem in problems] == (["bad-path"] if confined else [])
    assert any((tmp_path / "out").iterdir()) is not confined


def test_nothing_to_place(desk: Desk) -> None:
    unit, artifact, _ = desk.unit([], {"m/": "a"})
    made = desk.planner().plan([(unit, artifact)], Lock())
    assert place(desk, made) == [] and not (desk.tree / "m").exists()
