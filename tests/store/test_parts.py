"""Partial downloads: whose they are, who goes on with them, and what is left beside them."""

from __future__ import annotations

import os
import stat as stats
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.fs.private_files import unique_name
from fetcher.fs.processes import machine
from fetcher.store import store as stores
from fetcher.store.store import Store
from tests.kit import sha256
from tests.store.test_store import DATA, DIGEST, left_by


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "store")
    found.prepare()
    return found


@pytest.fixture(scope="module")
def dead() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def living() -> Iterator[int]:
    """A process that still runs."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child.pid
    child.communicate(b"\n")


def mode_of(path: str | Path) -> int:
    return stats.S_IMODE(os.lstat(path).st_mode)


def no_reflinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "reflink", lambda source, target: False)


def another_may_write(path: Path, how: str) -> None:
    """Have a partial file be one that somebody else can change while we go on with it."""
    if how == "linked":
        os.link(path, path.with_name("theirs"))
    else:
        path.chmod({"group": 0o664, "all": 0o646}[how])


HOW = ["linked", "group", "all"]


# Going on with what is there


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("reflinks", [True, False])
def test_what_another_may_write_is_copied_where_a_digest_will_tell(
    store: Store, dead: int, monkeypatch: pytest.MonkeyPatch, how: str, reflinks: bool
) -> None:
    """Through a second name, or an open file, it would change under a blob's name."""
    if reflinks:
        monkeypatch.setattr(
            stores, "reflink", lambda source, target: bool(Path(target).write_bytes(b"half"))
        )
        monkeypatch.setattr(stores, "copy", lambda *_: pytest.fail("it was shared"))
    else:
        no_reflinks(monkeypatch)
    path = left_by(store, "k", machine(), dead, b"half")
    Path(f"{path}.map").write_bytes(b"ranges")
    another_may_write(path, how)
    inode = path.stat().st_ino
    part = store.claim_part("k")
    assert (part.size, part.was) == (4, str(path))
    assert Path(part.path).read_bytes() == b"half" and os.stat(part.path).st_ino != inode
    assert Path(f"{part.path}.map").read_bytes() == b"ranges"
    assert not path.exists() and not Path(f"{path}.map").exists()
    assert mode_of(part.path) & 0o022 == 0 and mode_of(part.path) & 0o600 == 0o600
    assert os.stat(part.path).st_nlink == 1


@pytest.mark.parametrize("how", HOW)
def test_what_another_may_write_is_left_where_nothing_will_tell(
    store: Store, dead: int, how: str
) -> None:
    path = left_by(store, "k", machine(), dead, b"evil")
    another_may_write(path, how)
    part = store.claim_part("k", anyone=False)
    assert (part.size, part.was) == (0, "") and Path(part.path).read_bytes() == b""
    assert path.read_bytes() == b"evil"


def test_a_smaller_one_of_our_own_is_gone_on_with(store: Store, dead: int) -> None:
    theirs = left_by(store, "k", machine(), dead, b"evil and long")
    theirs = theirs.rename(theirs.with_name(theirs.name.replace(".0a-1b.", ".0a-2b.")))
    theirs.chmod(0o666)
    mine = left_by(store, "k", machine(), dead, b"half")
    part = store.claim_part("k", anyone=False)
    assert (part.size, part.was) == (4, str(mine)) and theirs.exists()


def test_our_own_is_renamed(store: Store, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "copy", lambda *_: pytest.fail("it may be large"))
    path = left_by(store, "k", machine(), dead, b"half")
    for ending in (".etag", ".map"):
        Path(f"{path}{ending}").write_bytes(b"x")
    inode = path.stat().st_ino
    part = store.claim_part("k", anyone=False)
    assert os.stat(part.path).st_ino == inode and part.was == str(path)
    left = sorted(item.name for item in store.partial.iterdir())
    assert left == sorted([Path(part.path).name, f"{Path(part.path).name}.map"])


@pytest.mark.parametrize(("source", "mode"), [(0o666, 0o644), (0o662, 0o640), (0o620, 0o600)])
def test_a_copy_is_as_private_as_it_was(
    store: Store, dead: int, monkeypatch: pytest.MonkeyPatch, source: int, mode: int
) -> None:
    no_reflinks(monkeypatch)
    path = left_by(store, "k", machine(), dead)
    path.chmod(source)
    before = os.umask(0)
    try:
        assert mode_of(store.claim_part("k").path) == mode
    finally:
        os.umask(before)


def test_a_copy_that_fails_leaves_nothing(
    store: Store, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: str, target: str) -> None:
        Path(target).write_bytes(b"ha")
        raise OSError(28, "No space left on device")

    no_reflinks(monkeypatch)
    monkeypatch.setattr(stores, "copy", full)
    path = left_by(store, "k", machine(), dead)
    path.chmod(0o666)
    part = store.claim_part("k")
    assert part.size == 0 and Path(part.path).read_bytes() == b"" and path.read_bytes() == b"half"


def test_what_was_wrong_before_is_not_taken_again(store: Store, dead: int) -> None:
    path = left_by(store, "k", machine(), dead)
    part = store.claim_part("k", anew=True)
    assert (part.size, part.was) == (0, "") and path.exists()
    assert store.claim_part("k").size == 4


def test_a_new_part_is_for_nobody_else_to_write(store: Store) -> None:
    before = len(os.listdir("/proc/self/fd"))
    mask = os.umask(0)
    try:
        part = store.claim_part("k")
    finally:
        os.umask(mask)
    assert mode_of(part.path) == 0o644 and len(os.listdir("/proc/self/fd")) == before


def test_a_link_that_comes_between_look_and_use_is_not_taken(
    store: Store, dead: int, tmp_path: Path
) -> None:
    path = left_by(store, "k", machine(), dead)
    assert list(store._orphans()) == [store.label_of("k")]
    path.unlink()
    (tmp_path / "private").write_bytes(b"private")
    path.symlink_to(tmp_path / "private")
    part = store.claim_part("k")
    assert part.size == 0 and Path(part.path).read_bytes() == b""
    assert (tmp_path / "private").read_bytes() == b"private"


def test_what_vanishes_while_it_is_looked_for_hides_no_other(
    store: Store, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = left_by(store, "k", machine(), dead)
    gone = path.with_name(path.name.replace(".0a-1b.", ".0a-2b."))
    owner = (store.label_of("k"), machine(), dead)
    monkeypatch.setattr(store, "parts", lambda: iter([(gone, owner), (path, owner)]))
    assert store._orphans() == {store.label_of("k"): [(4, str(path))]}
    store.refresh()
    assert store.orphaned_parts() == [path]
    assert [there for there, _ in store.begun()] == [path]


def test_a_folder_of_that_name_is_no_part(store: Store, dead: int) -> None:
    folder = left_by(store, "k", machine(), dead)
    folder.unlink()
    folder.mkdir()
    file = left_by(store, "l", machine(), dead)
    assert list(store._orphans()) == [store.label_of("l")]
    assert file.exists() and store.claim_part("k").size == 0


# Who has left it


def test_whose_parts_nobody_writes_any_more(store: Store, dead: int, living: int) -> None:
    gone = left_by(store, "gone", machine(), dead)
    theirs = left_by(store, "theirs", machine(), living)
    ours = Path(store.claim_part("ours").path)
    young, old = left_by(store, "young", "far", 1), left_by(store, "old", "far", 1)
    os.utime(young, (time.time() - 590,) * 2)
    os.utime(old, (time.time() - 610,) * 2)
    os.utime(theirs, (1, 1))
    os.utime(ours, (1, 1))
    assert set(store.orphaned_parts()) == {gone, old}
    store.refresh()
    assert {one for found in store._orphans().values() for _, one in found} == {str(gone), str(old)}
    stores._IN_USE.discard(str(ours))
    assert ours in store.orphaned_parts(), "of an earlier transfer, that ended"


def test_ten_minutes_are_not_yet_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 10_000.0)
    assert not store._orphaned(("x", "far", 1), 10_000.0 - 600)
    assert store._orphaned(("x", "far", 1), 10_000.0 - 601)


def test_on_windows_age_alone_tells(
    store: Store, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert not store._orphaned(("x", machine(), dead), time.time())
    assert store._orphaned(("x", machine(), dead), time.time() - 601)
    assert store._orphaned(("x", machine(), os.getpid()), time.time())
    assert not store._orphaned(("x", "far", os.getpid()), time.time()), "a number of that machine"


def test_what_a_partial_download_takes_of_the_disk(store: Store, dead: int) -> None:
    path = left_by(store, "k", machine(), dead, b"x" * 10_000)
    left_by(store, "l", machine(), dead, b"")
    with path.open("rb+") as stream:  # ranges in its middle are not there yet
        stream.truncate(1 << 30)
    found = dict(store.begun())
    assert found[path] == path.stat().st_blocks * 512 < 1 << 20
    assert sorted(found.values())[0] == 0 and len(found) == 2


def test_where_nobody_tells_of_blocks_its_length_counts(
    store: Store, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = left_by(store, "k", machine(), dead, b"x" * 1536)

    class NoBlocks:
        """What Windows says of a file."""

        st_size = 1536 + 1

    monkeypatch.setattr(store, "parts", lambda: iter([(path, ("x", "far", 1))]))
    monkeypatch.setattr(Path, "stat", lambda self: NoBlocks())
    assert [size for _, size in store.begun()] == [1536]


# What is beside it


@pytest.mark.parametrize("ending", [".map", ".etag"])
def test_notes_on_parts_that_are_gone_go(store: Store, dead: int, living: int, ending: str) -> None:
    lone = Path(f"{left_by(store, 'lone', machine(), dead)}{ending}")
    kept = [Path(f"{left_by(store, 'kept', machine(), dead)}{ending}")]
    kept.append(Path(f"{left_by(store, 'living', machine(), living)}{ending}"))
    kept.append(Path(f"{left_by(store, 'young', 'far', 1)}{ending}"))
    old = Path(f"{left_by(store, 'old', 'far', 1)}{ending}")
    kept += [store.partial / f"odd.part{ending}", store.partial / f"x{ending}"]
    for path in (lone, old, *kept):
        path.write_bytes(b"1")
        part = path.with_name(path.name.removesuffix(ending))
        if path is not kept[0] and part.suffix == ".part":
            part.unlink(missing_ok=True)
    os.utime(old, (time.time() - 610,) * 2)
    (store.partial / f"aa.{machine()}.{dead}.0a-1b.part{ending}").mkdir()  # cannot be unlinked
    assert store.recover() == 0
    assert not lone.exists() and not old.exists()
    assert all(path.exists() for path in kept)


def test_dropping_a_part_drops_what_is_beside_it(store: Store) -> None:
    part, other = store.claim_part("k"), store.claim_part("l")
    for path in (part.path, other.path):
        for ending in (".map", ".etag"):
            Path(path + ending).write_bytes(b"1")
    store.drop_part(part)
    assert len(list(store.partial.iterdir())) == 3 and part.path not in stores._IN_USE
    assert other.path in stores._IN_USE


# Private files


def test_a_private_file_has_a_digest_only_where_it_is_known(store: Store) -> None:
    shape = unique_name().rpartition("-")[0]
    for path, start in (
        (store.temporary(), shape),
        (store.temporary(DIGEST), f"{DIGEST}.{shape}"),
        (store.private_folder(), shape),
    ):
        assert Path(path).parent == store.partial and Path(path).name.startswith(start)
    assert stores.private_prefix("") == "" and stores.private_prefix("ab") == "ab."


def test_recovery_goes_on_past_what_it_cannot_have(
    store: Store, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [b"%d" % number for number in range(4)]
    paths = []
    for data in contents:
        paths.append(store.partial / f"{sha256(data)}.{machine()}.{dead}-0a1b0a1b0a1b-7.tmp")
        paths[-1].write_bytes(data)
    rename, first = os.rename, list[str]()

    def taken(source: str, target: str) -> None:
        if not first:
            first.append(source)
            raise FileNotFoundError(source)
        rename(source, target)

    monkeypatch.setattr(os, "rename", taken)
    assert store.recover() == 3


def test_what_a_dead_process_had_not_proven_goes(tmp_path: Path, dead: int) -> None:
    """A store that this run has made nothing in yet."""
    partial = tmp_path / "another/partial"
    partial.mkdir(parents=True)
    half = partial / f"{machine()}.{dead}-0a1b0a1b0a1b-7.tmp"
    half.write_bytes(b"half")
    assert Store(tmp_path / "another").recover() == 0 and not half.exists()


def test_another_persons_proven_file_is_not_taken(
    store: Store, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.partial / f"{DIGEST}.{machine()}.{dead}-0a1b0a1b0a1b-7.tmp"
    path.write_bytes(DATA)
    monkeypatch.setattr(stores, "is_foreign", lambda stat: True)
    assert store.recover() == 0 and path.exists()
    monkeypatch.setattr(stores, "is_foreign", lambda stat: False)
    assert store.recover() == 1 and not path.exists()


def test_what_is_not_taken_is_told_as_such(store: Store, dead: int) -> None:
    path = left_by(store, "k", machine(), dead)
    path.chmod(0o666)
    mine = str(store.partial / "mine")
    assert Store._take_part(str(path), mine, False) is False and path.exists()
    path.unlink()
    path.symlink_to("nowhere")
    assert Store._take_part(str(path), mine, True) is False and not os.path.exists(mine)


def test_what_is_taken_over_keeps_the_digest_in_its_name(
    store: Store, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever dies while taking it over loses it for nobody."""
    path = store.partial / f"{DIGEST}.{machine()}.{dead}-0a1b0a1b0a1b-7.tmp"
    path.write_bytes(DATA)
    taken: list[str] = []
    rename = os.rename

    def noted(source: str, target: str) -> None:
        taken.append(Path(target).name)
        rename(source, target)

    monkeypatch.setattr(os, "rename", noted)
    assert store.recover() == 1 and taken[0].startswith(f"{DIGEST}.")
