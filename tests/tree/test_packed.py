"""Files planned a folder at a time: the same as one by one, whatever stands in the tree."""

from __future__ import annotations

import io
import os
import random
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from fetcher.fs.boundary import Boundary
from fetcher.fs.safe_paths import PathClaims
from fetcher.project import lock_stream
from fetcher.project.lockfile import Lock, dumps, stream_lock
from fetcher.sources.base import FileEntry
from fetcher.tree import look_ahead, orphans, state_rows
from fetcher.tree.item_list import PackedRun
from fetcher.tree.plan import Item, Plan, downloads, space_needed
from fetcher.tree.planner import Planner
from fetcher.tree.state import State, StateReader, StateRow
from fetcher.tree.state_rows import KnownRows, Rows, StoredRows
from fetcher.tree.target_names import TargetNames
from tests.kit import sha256
from tests.tree.desk import Desk, known

NAMES = [f"{n:02d}.jpg" for n in range(12)] + [
    "HEAD",
    "README.md",
    "a",
    "A",
    "글.bin",
    "__init__.py",
]
FOLDERS = ["", "x/", "x/y/", "X/", "x-y/", "refs/"]
# What may have become of a file that was placed.
FATES = ["kept"] * 12 + ["gone", "changed", "touched", "link", "folder", "other row", "no row"]


def as_read(lock: Lock) -> Lock:
    """A lock as it is read from its file: packed."""
    found = stream_lock(io.StringIO(dumps(lock)))
    assert found is not None
    return found


def situation(desk: Desk, dice: random.Random) -> list[FileEntry]:
    """Files of an artifact, and what stands in the tree."""
    files = []
    for path in sorted({dice.choice(FOLDERS) + dice.choice(NAMES) for _ in range(30)}):
        data = path.encode() * 2
        files.append(known(path, data)._replace(executable=dice.random() < 0.05))
        target, fate = f"m/{path}", dice.choice(FATES)
        try:
            place = desk.file(target, data)
        except OSError:
            continue  # a file where a folder is to be
        stat = os.lstat(place)
        facts = stat.st_size, stat.st_mtime_ns, stat.st_ino
        digest = sha256(b"other" if fate == "other row" else data)
        edit = "e" if dice.random() < 0.03 else ""
        row = StateRow(target, *facts, digest, f"sha256:{digest}", edit, "m/a", dice.randint(0, 1))
        if fate != "no row":
            desk.rows[target] = row
        if fate == "changed":
            place.write_bytes(data + b"!")
        elif fate == "touched":
            os.utime(place, (1, 1))
        elif fate in {"gone", "link", "folder"}:
            place.unlink()
            if fate == "link":
                place.symlink_to(desk.tree.parent)
            elif fate == "folder":
                place.mkdir()
    stray = desk.file("m/x/stray.bin", b"stray")
    facts = stray.stat().st_size, stray.stat().st_mtime_ns, stray.stat().st_ino
    digest = sha256(b"stray")
    desk.rows["m/x/stray.bin"] = StateRow(
        "m/x/stray.bin", *facts, digest, f"sha256:{digest}", "", "m/a", dice.randint(0, 1)
    )
    return files


def told(items: Iterable[Item]) -> list[tuple[object, ...]]:
    return [
        (i.target, i.file, i.action, i.sha256, i.problem, i.changed_by_user, i.origin, i.found_at)
        for i in items
    ]


def rows_of(desk: Desk, stored: bool) -> Rows:
    if not stored:
        return KnownRows(desk.rows)
    state = State(desk.tree)
    state.record(desk.rows.values())
    return StoredRows(state)


def looked_ahead(desk: Desk, state: State) -> look_ahead.LookAhead:
    """A process that has looked at every file when the first one is asked for."""
    found = look_ahead.LookAhead(
        lambda: look_ahead.look(Boundary(desk.tree), StateReader(state.path), {"m/a"})
    )
    os.waitid(os.P_PID, found._pid, os.WEXITED | os.WNOWAIT)
    return found


@pytest.fixture(params=[False, True], ids=["looks itself", "looked ahead"])
def ahead(request: pytest.FixtureRequest) -> bool:
    """Whether another process looks at the tree, however few its files are."""
    if request.param and sys.platform != "linux":
        pytest.skip("on Linux alone")
    return bool(request.param)


@pytest.mark.parametrize("seed", range(40))
def test_a_folder_at_a_time_is_the_same_as_one_by_one(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    dice = random.Random(seed)
    desk = Desk(tmp_path)
    files = situation(desk, dice)
    layout = dice.choice([{"m/": "a"}, {"/": "a"}, {"m/": "a", "n/": "a"}])
    unit, artifact, lock = desk.unit(files, layout)
    monkeypatch.setattr(lock_stream, "_BLOCK", dice.choice([500, 1 << 20]))
    monkeypatch.setattr(state_rows, "_SLACK", dice.choice([1, 1000]))
    monkeypatch.setattr(state_rows, "_MANY", dice.choice([2, 1000]))
    monkeypatch.setattr(look_ahead, "PIECE", dice.choice([1, 3, 1000]))
    quick, look = dice.random() < 0.5, dice.random() < 0.5

    def plan(lock: Lock, stored: bool) -> Plan:
        rows = rows_of(desk, stored)
        one = looked_ahead(desk, State(desk.tree)) if ahead and stored else None
        planner = Planner(
            Boundary(desk.tree), desk.store, rows, desk.hub, quick, only_look=look, ahead=one
        )
        return planner.plan([(unit, artifact)], lock)

    single, packed = plan(lock, False), plan(as_read(lock), True)
    assert any(packed.artifacts[0].items.packed())
    assert told(packed.items) == told(single.items)
    assert packed.problems() == single.problems()
    for one, other in zip(single.artifacts, packed.artifacts, strict=True):
        assert one.state == other.state
        assert +one.items.actions() == other.items.actions()
        assert one.items.bytes() == other.items.bytes()
        assert told(other.items[3:7]) == told(one.items)[3:7] and len(one.items) == len(other.items)
        assert told([other.items[-1]]) == told([one.items[-1]])
    assert downloads(packed.to_do()) == downloads(single.to_do())
    for link in ("copy", "symlink", "auto"):
        needs = [space_needed(p.to_do(), (), link, same_disk=True) for p in (packed, single)]
        assert needs[0] == needs[1]
    found = [
        orphans.find(made, rows_of(desk, stored), [unit], known_lock, quick=quick)
        for made, stored, known_lock in ((single, False, lock), (packed, True, as_read(lock)))
    ]
    assert found[0] == found[1]
    targets = {item.target for item in single.items}
    assert all(target in TargetNames(packed) for target in targets)
    assert "m/x/stray.bin" not in TargetNames(packed)


def test_a_fresh_clone_is_packed_where_nobody_acts_on_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    files = [known(f"x/{n}.bin", b"%d" % (n // 2)) for n in range(8)]
    unit, artifact, lock = desk.unit(files, {"m/": "a"})
    for look in (True, False):
        planner = desk.planner()
        planner.only_look = look
        plan = planner.plan([(unit, artifact)], as_read(lock))
        assert bool(list(plan.singular())) is not look
        assert plan.actions() == {"get"} and len(downloads(plan.to_do())) == 4
        assert space_needed(plan.to_do(), (), "auto", same_disk=True) == (4, 0)
        plan.artifacts[0].withhold()
        assert plan.actions() == {"withheld"} and not plan.to_get()


def test_two_artifacts_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    own = [known(f"{n}.bin", b"%d" % n) for n in range(5)]
    for others, problems in (
        ([known("2.bin", b"2")], 0),  # the same content, wanted twice
        ([known("2.bin", b"else")], 1),
        ([known("2.BIN", b"2")], 1),
        ([known("2.bin/x", b"2")], 1),
        ([known("7.bin", b"7")], 0),
    ):
        unit, artifact, lock = desk.unit(own, {"m/": "a"})
        other, second, more = desk.unit(others, {"m/": "b"}, id="b")
        lock.artifacts |= more.artifacts
        wanted = [(unit, artifact), (other, second)]
        packed = desk.planner().plan(wanted, as_read(lock))
        single = desk.planner().plan(wanted, lock)
        assert told(packed.items) == told(single.items)
        assert packed.problems() == single.problems() and len(packed.problems()) == problems


@pytest.mark.parametrize("seed", range(30))
def test_names_claimed_together_are_claimed_as_one_by_one(seed: int) -> None:
    dice = random.Random(seed)
    together, single = PathClaims(), PathClaims()
    for _ in range(25):
        folder = dice.choice(["", "a", "A", "a/b", "a/00.jpg", "글"])
        names = sorted({dice.choice(NAMES) for _ in range(dice.randint(1, 4))})
        paths = [f"{folder}/{name}" if folder else name for name in names]
        one_by_one = [single.claim(path) for path in paths]
        if not together.claim_names(folder, names):
            assert [together.claim(path) for path in paths] == one_by_one
        else:
            assert one_by_one == [None] * len(names)
        for path in (*paths, "a/x", "A/00.JPG", "a/b"):
            assert together.has(path) == single.has(path)


def test_rows_are_the_same_in_memory_and_in_the_database(tmp_path: Path) -> None:
    dice = random.Random(1)
    desk = Desk(tmp_path)
    situation(desk, dice)
    known, stored = rows_of(desk, False), rows_of(desk, True)
    paths = sorted({*desk.rows, "m/nothing", "\udcff"} - {"\udcff"})
    assert bool(known) is bool(stored) is True
    assert [known.get(p) for p in paths] == [stored.get(p) for p in paths]
    assert list(known.batch(paths)) == list(stored.batch(paths))
    assert sorted(known.each()) == sorted(stored.each())
    assert known.owners() == stored.owners() and set(known.placed()) == set(stored.placed())
    assert known.count_in_tree() == stored.count_in_tree()
    keys = {row.want for row in desk.rows.values()}
    for some in (keys, set(list(keys)[:3]), {"git:" + "0" * 40}):
        assert known.with_contents(some).keys() == stored.with_contents(some).keys()
    assert stored.get("\udcff") is None
    assert not StoredRows(State(tmp_path / "none"))


def test_a_run_makes_its_items_as_they_are_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    unit, artifact, lock = desk.unit([known("1", b"1"), known("2", b"2")], {"m/": "a"})
    plan = desk.planner().plan([(unit, artifact)], as_read(lock))
    (piece,) = plan.artifacts[0].items.pieces()
    assert isinstance(piece, PackedRun) and len(piece) == 2
    assert all(one is other for one, other in zip(piece, piece, strict=True))  # they are to be got
