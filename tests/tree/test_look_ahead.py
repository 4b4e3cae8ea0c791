"""A process that looks at half of a tree, from its end on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fetcher.project.file_table import FileTable, Run
from fetcher.tree import look_ahead
from fetcher.tree.look_ahead import Folder, LookAhead
from fetcher.tree.recognise import Judged, judge
from fetcher.tree.state import State, StateRow
from fetcher.tree.state_rows import KnownRows, Rows, StoredRows
from tests.kit import sha256, wait_for
from tests.tree.desk import Desk, known
from tests.tree.test_packed import as_read

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="on Linux alone")


class Tree:
    """Folders of a tree, some files of which are not as they were."""

    def __init__(self, desk: Desk, names: int = 300) -> None:
        self.root = str(desk.tree)
        self.rows: dict[str, StateRow] = {}
        files = []
        for number in range(names):
            path = f"{number % 7}/한 글/{number:03d}.bin"
            files.append(known(path, path.encode()))
            place = desk.file(path, path.encode())
            stat = place.stat()
            facts = stat.st_size, stat.st_mtime_ns, stat.st_ino
            digest = sha256(path.encode())
            row = StateRow(path, *facts, digest, f"sha256:{digest}", "", "m/a", 1)
            if number % 50:
                self.rows[path] = row
            if number % 40 == 3:
                place.unlink()
            if number % 30 == 5:
                os.utime(place, ns=(0, -5))
        _, _, lock = desk.unit(files, {"/": "a"})
        (locked,) = as_read(lock).artifacts.values()
        assert isinstance(locked.files, FileTable)
        self.folders = [
            Folder(piece.folder, piece) for piece in locked.files.pieces if isinstance(piece, Run)
        ]

    def judge(self, rows: Rows) -> Callable[[Folder], Judged]:
        return lambda folder: judge(self.root, rows, *folder)

    def look(self, rows: Rows | None = None) -> LookAhead:
        chosen: Rows = KnownRows(self.rows) if rows is None else rows
        return LookAhead(self.folders, lambda: self.judge(chosen.elsewhere()))

    def itself(self) -> list[tuple[int, list[int]]]:
        return [plain(one) for one in map(self.judge(KnownRows(self.rows)), self.folders)]


def plain(found: Judged | None) -> tuple[int, list[int]]:
    assert found is not None
    return found.met, [*found.unlike]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(Desk(tmp_path))


@pytest.mark.parametrize("stored", [False, True])
def test_it_says_the_same(tree: Tree, stored: bool) -> None:
    state = State(Path(tree.root))
    state.record(tree.rows.values())
    looking = tree.look(StoredRows(state) if stored else None)
    wait_for(lambda: looking.has_looked_at(0))
    assert [plain(looking.judged(folder)) for folder in tree.folders] == tree.itself()
    assert any(unlike for _, unlike in tree.itself())
    assert looking.judged(tree.folders[-1]) is None, "all were asked for"
    assert len(state.rows()) == len(tree.rows), "what is open here can still be read"


def test_folders_may_be_left_out(tree: Tree) -> None:
    looking = tree.look()
    wait_for(lambda: looking.has_looked_at(0))
    for number in (2, 5, 6):
        assert plain(looking.judged(tree.folders[number])) == tree.itself()[number]
    assert looking.judged(tree.folders[1]) is None, "it is past that"
    looking.close()


def test_files_of_another_list_are_nobodys(tree: Tree, tmp_path: Path) -> None:
    other = Tree(Desk(tmp_path / "other"))
    with_same_names = tree.look()
    wait_for(lambda: with_same_names.has_looked_at(0))
    assert with_same_names.judged(other.folders[0]) is None
    with_same_names.close()


def test_the_two_meet(tree: Tree) -> None:
    """What is not told yet is looked at here, and all that follows a folder that is."""
    wall = os.pipe()

    def judge_slowly() -> Callable[[Folder], Judged]:
        look = tree.judge(KnownRows(tree.rows))

        def after_a_sign(folder: Folder) -> Judged:
            if folder.run is tree.folders[3].run:
                os.read(wall[0], 1)
            return look(folder)

        return after_a_sign

    looking = LookAhead(tree.folders, judge_slowly)
    wait_for(lambda: looking.has_looked_at(4))
    found = [looking.judged(folder) for folder in tree.folders]
    assert found[:4] == [None] * 4
    assert [plain(one) for one in found[4:]] == tree.itself()[4:]
    with pytest.raises(ChildProcessError):
        os.waitpid(looking._pid, 0)


@pytest.mark.parametrize("how", ["killed", "raises", "no database"])
def test_one_that_ends_early_is_done_without(tree: Tree, how: str) -> None:
    def nothing() -> Callable[[Folder], Judged]:
        if how == "no database":
            return tree.judge(StoredRows(State(Path(tree.root) / "none")).elsewhere())
        if how == "raises":
            raise KeyError("a fault")
        signal.pause()
        raise AssertionError

    looking = LookAhead(tree.folders, nothing)
    if how == "killed":
        os.kill(looking._pid, signal.SIGKILL)
    else:
        os.waitid(os.P_PID, looking._pid, os.WEXITED | os.WNOWAIT)
    assert [looking.judged(folder) for folder in tree.folders] == [None] * len(tree.folders)
    looking.close()
    looking.close()


def test_where_no_process_can_be_had_nobody_looks_ahead(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(look_ahead, "FEWEST", 1)
    monkeypatch.setattr(look_ahead, "processors", lambda: 2)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(os, "fork", none)
    before = os.listdir("/proc/self/fd")
    with caplog.at_level("INFO"):
        assert look_ahead.begin(tree.folders, lambda: tree.judge(KnownRows(tree.rows))) is None
    assert "no process looks ahead" in caplog.text
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("why", ["", "few files", "another thread", "one processor"])
def test_when_it_is_not_worth_a_process(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(look_ahead, "FEWEST", 301 if why == "few files" else 300)
    monkeypatch.setattr(look_ahead, "processors", lambda: 1 if why == "one processor" else 2)
    monkeypatch.setattr(threading, "active_count", lambda: 2 if why == "another thread" else 1)
    found = look_ahead.begin(tree.folders, lambda: tree.judge(KnownRows(tree.rows)))
    assert (found is None) is bool(why)
    if found is not None:
        found.close()


def test_it_ends_when_nobody_needs_it(tree: Tree) -> None:
    """More is unlike than a pipe holds: it waits to be read, and is ended in the midst."""
    folder = tree.folders[0]

    def much() -> Callable[[Folder], Judged]:
        return lambda _: Judged(0, range(100_000))

    looking = LookAhead([folder] * 3, much)
    looking.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(looking._pid, 0)


def test_a_long_answer_comes_whole(tree: Tree) -> None:
    folder = tree.folders[0]
    looking = LookAhead([folder] * 2, lambda: lambda _: Judged(7, range(100_000)))
    wait_for(lambda: looking.has_looked_at(0))
    assert plain(looking.judged(folder)) == (7, [*range(100_000)])
    assert plain(looking.judged(folder)) == (7, [*range(100_000)])
