"""Who uses a store: records of projects that are here, elsewhere, moved, or made up."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fetcher.fs.atomic import write_atomically
from fetcher.fs.processes import machine
from fetcher.store import project_records as module
from fetcher.store.project_records import (
    ID,
    ProjectRecord,
    id_of,
    record_of,
    records,
    remember,
    see,
)

NEEDS = ["a" * 64, "git:" + "b" * 40]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store/projects").mkdir(parents=True)
    return tmp_path / "store"


def only(store: Path) -> ProjectRecord:
    (found,) = records(store)
    return found


def aged(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def test_a_project_and_what_it_needs_are_remembered(store: Path, root: Path) -> None:
    before = time.time()
    remember(store, root, NEEDS)
    found = only(store)
    assert (found.root, found.machine, found.is_here) == (root, machine(), True)
    assert re.fullmatch("[0-9a-f]{32}", found.id) and (root / ID).read_text() == f"{found.id}\n"
    assert found.needs() == set(NEEDS) and found.seen >= before - 1
    assert found.path == record_of(store, root).path
    assert re.fullmatch(r"[0-9a-f]{24}\.json", found.path.name)
    assert json.loads(found.path.read_text()) == {
        "root": str(root), "id": found.id, "machine": machine()}  # fmt: skip
    assert sorted(path.suffix for path in found.path.parent.iterdir()) == [".json", ".needs"]


def test_what_a_project_needs_changes(store: Path, root: Path) -> None:
    remember(store, root, NEEDS)
    first = only(store)
    aged(first.path, 5000)
    inodes = {path: path.stat().st_ino for path in first.path.parent.iterdir()}
    remember(store, root, NEEDS)
    assert only(store).id == first.id and only(store).seen > time.time() - 60
    assert {path: path.stat().st_ino for path in first.path.parent.iterdir()} == inodes
    remember(store, root, [])
    assert only(store).needs() == set() and only(store).path == first.path
    first.forget()
    assert list(records(store)) == [] and list(first.path.parent.iterdir()) == []
    first.forget()


def test_what_it_needs_is_kept_before_the_record_counts(
    store: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def noted(path: Path, data: bytes) -> None:
        order.append(path.suffix)
        write_atomically(path, data)

    monkeypatch.setattr(module, "write_atomically", noted)
    remember(store, root, NEEDS)
    assert order == [".needs", ".json"]


def test_one_path_may_be_several_projects(
    store: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another container, or made anew, it is another one; a copy stands elsewhere."""
    remember(store, root, NEEDS)
    first = only(store)
    shutil.copytree(root, root.parent / "copy")
    remember(store, root.parent / "copy", [])
    shutil.rmtree(root)
    root.mkdir()
    assert not first.is_here
    remember(store, root, ["c" * 64])
    found = list(records(store))
    assert len(found) == 3 and [one.path for one in found] == sorted(one.path for one in found)
    assert [one.root for one in found if one.is_here and one.root == root] == [root]
    monkeypatch.setattr(module, "machine", lambda: "another")
    remember(store, root, [])
    assert len(list(records(store))) == 4
    assert first.needs() == set(NEEDS)


@pytest.mark.parametrize("text", [
    "", "x" * 32, "a" * 31, "a" * 33, "A" * 32, "a" * 32 + "\nb", "a" * 64, "\xff" * 32,
    " " * 200 + "a" * 32,
])  # fmt: skip
def test_what_is_no_id(root: Path, text: str) -> None:
    assert id_of(root) == ""
    (root / ID).parent.mkdir()
    (root / ID).write_bytes(text.encode("latin-1"))
    assert id_of(root) == ""


@pytest.mark.parametrize("text", ["a" * 32, "a" * 32 + "\n", " " + "0" * 32 + "\r\n"])
def test_what_is_an_id(root: Path, text: str) -> None:
    (root / ID).parent.mkdir()
    (root / ID).write_text(text, newline="")
    assert id_of(root) == text.strip()


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_an_id_is_a_file(root: Path, what: str) -> None:
    """A clone may hold anything in its place: nothing hangs, nothing is written through it."""
    path = root / ID
    path.parent.mkdir()
    (root.parent / "precious").write_text("mine")
    if what == "link":
        path.symlink_to(root.parent / "precious")
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert id_of(root) == ""
    assert (root.parent / "precious").read_text() == "mine"


def test_a_clone_that_cannot_be_written_is_known_by_its_path(store: Path, root: Path) -> None:
    (root / ".fetch").write_bytes(b"a file in the way")
    remember(store, root, NEEDS)
    found = only(store)
    assert (found.id, found.needs(), found.is_here) == ("", set(NEEDS), True)
    shutil.rmtree(root)
    assert not found.is_here


def test_a_clone_of_somebody_elses_is_known_by_its_path(
    store: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(module, "write_own", refuse)
    remember(store, root, NEEDS)
    assert (only(store).id, only(store).needs()) == ("", set(NEEDS))


def test_what_an_older_version_wrote_of_a_path_is_replaced(store: Path, root: Path) -> None:
    old = store / "projects" / f"{module._short(str(root))}.json"
    old.write_text(json.dumps({"root": str(root)}))
    found = only(store)
    assert (found.id, found.machine, found.needs(), found.is_here) == ("", "", None, True)
    remember(store, root, NEEDS)
    assert not old.exists() and only(store).needs() == set(NEEDS)


@pytest.mark.parametrize(("text", "needs"), [
    (b"", set()),
    (b"\n\n", set()),
    (b"a" * 64, {"a" * 64}),
    (b"a" * 64 + b" " + b"b" * 64, set()),
    (b"a" * 63 + b"\n" + b"A" * 64 + b"\ngit:" + b"b" * 39 + b"\n../../etc\n" + b"c" * 64 + b"\n",
     {"c" * 64}),
    (b"git:" + b"b" * 40 + b"\n" + b"d" * 65 + b"\n", {"git:" + "b" * 40}),
    (b"\xff", None),
])  # fmt: skip
def test_what_is_read_as_needs(
    store: Path, root: Path, text: bytes, needs: set[str] | None
) -> None:
    remember(store, root, [])
    only(store).path.with_suffix(".needs").write_bytes(text)
    assert only(store).needs() == needs


# Being seen


@pytest.mark.parametrize(("age", "again"), [
    (0, False), (86_000, False), (86_800, True), (-86_000, False), (-86_800, True),
])  # fmt: skip
def test_a_project_is_seen_once_a_day(store: Path, root: Path, age: int, again: bool) -> None:
    remember(store, root, NEEDS)
    path = only(store).path
    aged(path, age)
    before = path.stat().st_mtime
    assert see(store, root) is True
    assert (path.stat().st_mtime != before) is again
    assert not again or abs(path.stat().st_mtime - time.time()) < 60


def test_a_whole_day_is_long_enough(
    store: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(store, root, NEEDS)
    path = only(store).path
    os.utime(path, (1_000_000, 1_000_000))
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0 + 86_400)
    see(store, root)
    assert path.stat().st_mtime != 1_000_000


def test_a_project_that_a_store_does_not_know(
    store: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert see(store, root) is False, "it could be remembered"
    for folder in (store / "projects", root):
        monkeypatch.setattr(os, "access", lambda path, how, bad=folder: Path(path) != bad)
        assert see(store, root) is True, "it could not"
    asked: list[int] = []

    def writable(path: Path, how: int) -> bool:
        asked.append(how)
        return True

    monkeypatch.setattr(os, "access", writable)
    assert see(store, root) is False and asked == [os.W_OK, os.W_OK]


def test_a_record_that_cannot_be_looked_at_is_let_be(
    store: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(store, root, NEEDS)
    aged(only(store).path, 100_000)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "utime", refuse)
    assert see(store, root) is True


# Records that are none


@pytest.mark.parametrize("text", [
    "", "[]", "{}", '{"root": 1}', '{"root": "/x", "id": 1}', '{"root": "/x", "machine": []}',
    '{"id": "a"}', "null", "\xff",
])  # fmt: skip
def test_what_is_no_record_hides_no_other(store: Path, root: Path, text: str) -> None:
    for name in ("0", "f" * 30):
        (store / f"projects/{name}.json").write_bytes(text.encode("latin-1"))
    (store / "projects/1.needs").write_text("x")
    (store / "projects/2.json").symlink_to("nowhere")
    os.mkfifo(store / "projects/3.json")
    remember(store, root, NEEDS)
    assert only(store).root == root


def test_an_id_that_is_none_is_not_compared(store: Path, tmp_path: Path) -> None:
    about = {"root": str(tmp_path / "gone"), "id": "../x", "machine": "m"}
    (store / "projects/0.json").write_text(json.dumps(about))
    found = only(store)
    assert (found.id, found.machine, found.is_here) == ("", "m", False)


def test_a_store_without_projects(tmp_path: Path, root: Path) -> None:
    assert list(records(tmp_path / "no store")) == []
    assert see(tmp_path / "no store", root) is True
    remember(tmp_path / "no store", root, NEEDS)
    assert only(tmp_path / "no store").needs() == set(NEEDS)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=200))
def test_any_bytes_as_a_record(data: bytes, store: Path) -> None:
    (store / "projects/0.json").write_bytes(data)
    (store / "projects/0.needs").write_bytes(data)
    for found in records(store):
        assert isinstance(found.root, Path) and isinstance(found.needs() or set(), set)
