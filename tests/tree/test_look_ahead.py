"""A process that looks at a tree from its end on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fetcher.fs.boundary import Boundary
from fetcher.project.file_table import FileTable, Run
from fetcher.tree import look_ahead
from fetcher.tree.look_ahead import Answer, Folder, LookAhead, judge_all, look, mark
from fetcher.tree.recognise import Judged, Piece, judge
from fetcher.tree.state import State, StateReader, StateRow
from fetcher.tree.state_rows import StoredRows
from tests.kit import sha256, wait_for
from tests.tree.desk import Desk, known
from tests.tree.test_packed import as_read

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="on Linux alone")

OWNERS = {"m/a"}


class Tree:
    """Folders of a tree, some files of which are not as they were."""

    def __init__(self, desk: Desk, names: int = 300) -> None:
        self.root = str(desk.tree)
        self.state = State(desk.tree)
        self.asked: list[Piece] = []  # of this process
        files, rows = [], []
        for number in range(names):
            path = f"{number % 7}/한 글/{number:03d}.bin"
            files.append(known(path, path.encode()))
            place = desk.file(path, path.encode())
            stat = place.stat()
            facts = stat.st_size, stat.st_mtime_ns, stat.st_ino
            digest = sha256(path.encode())
            if number % 50:
                rows.append(
                    StateRow(path, *facts, digest, f"sha256:{digest}", "", "m/a", number % 2)
                )
            if number % 40 == 3:
                place.unlink()
            if number % 30 == 5:
                os.utime(place, ns=(0, -5))
        self.state.record(rows)
        _, _, lock = desk.unit(files, {"/": "a"})
        (locked,) = as_read(lock).artifacts.values()
        assert isinstance(locked.files, FileTable)
        self.folders = [
            Folder(piece.folder, piece) for piece in locked.files.pieces if isinstance(piece, Run)
        ]

    def judge(self, piece: Piece) -> Judged:
        self.asked.append(piece)
        return judge(self.root, StoredRows(self.state), piece)

    def look(self) -> Iterator[Answer]:
        return look(Boundary(Path(self.root)), StateReader(self.state.path), OWNERS)

    def itself(self) -> list[tuple[int, list[int]]]:
        pieces = [Piece(path, run.names, run.sha256) for path, run in self.folders]
        return [plain(judge(self.root, StoredRows(self.state), piece)) for piece in pieces]

    def judged(self, ahead: LookAhead) -> list[tuple[int, list[int]]]:
        found = judge_all(self.folders, ahead, self.judge)
        return [plain(found[path, id(run)]) for path, run in self.folders]


def plain(found: Judged) -> tuple[int, list[int]]:
    return found.met, [*found.unlike]


def ended(looking: LookAhead) -> None:
    """When that process has ended by itself."""
    os.waitid(os.P_PID, looking._pid, os.WEXITED | os.WNOWAIT)


def is_gone(looking: LookAhead) -> bool:
    try:
        os.waitpid(looking._pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(Desk(tmp_path))


@pytest.mark.parametrize("piece", [1, 7, 11, 1000])
def test_it_says_the_same(tree: Tree, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(look_ahead, "PIECE", piece)
    looking = LookAhead(tree.look)
    ended(looking)
    assert tree.judged(looking) == tree.itself()
    assert any(unlike for _, unlike in tree.itself())
    assert {*map(len, [one.names for one in tree.asked])} <= {*range(1, piece + 1)}
    assert len(tree.state.rows()) == 294, "what is open here can still be read"


def test_what_is_recorded_needs_no_look_here(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """But where rows are missing: six of the 300, of pieces of one file each."""
    monkeypatch.setattr(look_ahead, "PIECE", 1)
    looking = LookAhead(tree.look)
    ended(looking)
    tree.judged(looking)
    assert [one.names[0] for one in tree.asked] == [
        "000.bin",
        "050.bin",
        "100.bin",
        "150.bin",
        "200.bin",
        "250.bin",
    ]


def test_folders_may_be_left_out(tree: Tree) -> None:
    looking = LookAhead(tree.look)
    ended(looking)
    right = tree.itself()
    tree.folders = [tree.folders[number] for number in (2, 5, 6)]
    assert tree.judged(looking) == [right[number] for number in (2, 5, 6)]


def test_runs_of_one_folder_are_cut_as_it_meets_them(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock is read in blocks: a folder's files come in several runs."""
    monkeypatch.setattr(look_ahead, "PIECE", 10)
    right, cut = [], []
    for (path, run), (_, unlike) in zip(tree.folders, tree.itself(), strict=True):
        for start, stop in ((0, 4), (4, 21), (21, len(run))):
            digests = run.sha256[32 * start : 32 * stop]
            part = Run(run.folder, run.names[start:stop], run.sizes[start:stop], digests)
            cut.append(Folder(path, part))
            right.append([index - start for index in unlike if start <= index < stop])
    met = sum(met for met, _ in tree.itself())
    tree.folders = cut
    looking = LookAhead(tree.look)
    ended(looking)
    found = tree.judged(looking)
    assert [unlike for _, unlike in found] == right
    assert sum(met for met, _ in found) == met
    assert len(tree.asked) < 20, "most was known"


def test_files_of_two_lists_may_stand_mixed(tree: Tree) -> None:
    path, run = tree.folders[0]
    odd, even = (
        Run(
            run.folder,
            run.names[first::2],
            run.sizes[first::2],
            b"".join([*run.digests()][first::2]),
        )
        for first in (0, 1)
    )
    unlike = tree.itself()[0][1]
    tree.folders = [Folder(path, odd), Folder(path, even)]
    looking = LookAhead(tree.look)
    ended(looking)
    found = [indices for _, indices in tree.judged(looking)]
    assert found == [[i // 2 for i in unlike if i % 2 == first] for first in (0, 1)]


def test_others_files_are_not_looked_at(tree: Tree) -> None:
    told = [*look(Boundary(Path(tree.root)), StateReader(tree.state.path), {"m/b"})]
    assert told == []


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a/../x"])
def test_nothing_outside_is_looked_at(tree: Tree, path: str) -> None:
    """A state may have come with a clone."""
    digest = sha256(b"x")
    before = len([*tree.look()])
    tree.state.record([StateRow(path, 1, 2, 3, digest, f"sha256:{digest}", "", "m/a", 1)])
    assert len([*tree.look()]) == before


def test_a_folder_that_leads_out_is_not_looked_at(tree: Tree, tmp_path: Path) -> None:
    """The state and the link may both have come with a clone."""
    (tmp_path / "away").mkdir()
    (Path(tree.root) / "out").symlink_to(tmp_path / "away")
    digest = sha256(b"x")
    before = len([*tree.look()])
    tree.state.record([StateRow("out/x", 1, 2, 3, digest, f"sha256:{digest}", "", "m/a", 1)])
    assert len([*tree.look()]) == before


@pytest.mark.parametrize("wrong", ["not hex", "ab", "0" * 100_000, 5, None, b"\xff"])
def test_damaged_rows_are_passed_over(tree: Tree, wrong: object) -> None:
    before = {name for name, _ in tree.look()}
    path = f"{tree.folders[2].path}{tree.folders[2].run.names[3]}"
    tree.state._write(
        lambda db: db.execute("UPDATE files SET sha256 = ? WHERE path = ?", (wrong, path))
    )
    assert len(before & {name for name, _ in tree.look()}) == 6
    looking = LookAhead(tree.look)
    ended(looking)
    assert tree.judged(looking) == tree.itself()
    assert 3 in tree.itself()[2][1]


def test_the_two_meet(tree: Tree) -> None:
    """What is not told yet is looked at here, and nothing that follows a folder that is."""
    wall = os.pipe()

    def look_slowly() -> Iterator[Answer]:
        for number, answer in enumerate(tree.look()):
            if number == 3:
                os.read(wall[0], 1)
            yield answer

    looking = LookAhead(look_slowly)
    wait_for(lambda: looking.told() == 3)
    told = [path for path, _ in tree.folders[4:]]
    known = [n for n, (met, _) in enumerate(tree.itself()) if met == len(tree.folders[n].run)]
    assert tree.judged(looking) == tree.itself()
    assert [one.folder for one in tree.asked if one.folder in told] == [
        tree.folders[n].path for n in range(4, 7) if n not in known
    ]
    assert is_gone(looking) is any(n in known for n in range(4, 7))
    looking.close()
    assert is_gone(looking)


@pytest.mark.parametrize("how", ["killed", "raises", "no database"])
def test_one_that_ends_early_is_done_without(tree: Tree, how: str) -> None:
    def nothing() -> Iterator[Answer]:
        if how == "no database":
            return look(Boundary(Path(tree.root)), StateReader(Path(tree.root) / "none"), OWNERS)
        if how == "raises":
            raise KeyError("a fault")
        signal.pause()
        raise AssertionError

    looking = LookAhead(nothing)
    if how == "killed":
        os.kill(looking._pid, signal.SIGKILL)
    else:
        ended(looking)
    assert tree.judged(looking) == tree.itself()
    looking.close()
    looking.close()
    assert is_gone(looking)


@pytest.fixture
def may_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_ahead, "processors", lambda: 2)
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.mark.usefixtures("may_begin")
def test_where_no_process_can_be_had_nobody_looks_ahead(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", none)
    before = os.listdir("/proc/self/fd")
    with caplog.at_level("INFO"):
        assert look_ahead.begin(Boundary(Path(tree.root)), tree.state, OWNERS) is None
    assert "no process looks ahead" in caplog.text
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.usefixtures("may_begin")
@pytest.mark.parametrize("why", ["", "nothing recorded", "another thread", "one processor"])
def test_when_it_is_not_worth_a_process(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "one processor":
        monkeypatch.setattr(look_ahead, "processors", lambda: 1)
    if why == "another thread":
        monkeypatch.setattr(threading, "active_count", lambda: 2)
    if why == "nothing recorded":
        tree.state.forget([*tree.state.rows()])
    found = look_ahead.begin(Boundary(Path(tree.root)), tree.state, OWNERS)
    assert (found is None) is bool(why)
    if found is not None:
        found.close()


def many(indices: Sequence[int], answers: int) -> list[Answer]:
    return [(b"%032d" % number, indices) for number in range(answers)]


def test_it_ends_when_nobody_needs_it() -> None:
    """It waits to be read, and is ended in the midst."""
    looking = LookAhead(lambda: many(range(1_000_000), 3))
    looking.close()
    assert is_gone(looking)


def test_it_does_not_wait_for_whoever_reads_later(tmp_path: Path) -> None:
    """More is told than a pipe holds, and it goes on looking."""

    def look() -> Iterator[Answer]:
        yield from many(range(1000), 2000)
        (tmp_path / "done").touch()

    looking = LookAhead(look)
    wait_for((tmp_path / "done").exists)
    wait_for(lambda: looking.told() == 2000)
    looking.close()


def test_it_ends_by_itself_when_nobody_reads_any_more() -> None:
    looking = LookAhead(lambda: many(range(1_000_000), 3))
    os.close(looking._reader)
    looking._reader = -1
    ended(looking)
    os.waitpid(looking._pid, 0)


def test_a_long_answer_comes_whole(tree: Tree) -> None:
    piece = Piece("a/", ["x"], b"0" * 32)
    looking = LookAhead(lambda: [(mark(piece), range(1_000_000))])
    wait_for(lambda: looking.told() == 1)
    found = looking.judged(piece)
    assert found is not None and plain(found) == (1, [*range(1_000_000)])
