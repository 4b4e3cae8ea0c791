"""The store: stamps are hints, names are promises."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import Failure
from fetcher.fs.atomic import digests_of
from fetcher.fs.processes import alive, machine
from fetcher.store.stamps import StampFiles, Stamps
from fetcher.store.store import _IN_USE, Store
from tests.kit import git_blob, payload, sha256

DATA = payload(5000)
DIGEST = sha256(DATA)


def put(store: Store, data: bytes = DATA, git: str = "") -> str:
    store.prepare()
    path = store.temporary()
    Path(path).write_bytes(data)
    store.commit(path, sha256(data), git)
    return store.blob_path(sha256(data))


def reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which blobs are read for their digest."""
    seen: list[str] = []

    def counted(path: str, git: bool) -> tuple[str, str]:
        seen.append(path)
        return digests_of(path, git)

    monkeypatch.setattr("fetcher.store.store.digests_of", counted)
    return seen


def own(store: Store) -> Path:
    """Where the person's own stamps of a store are."""
    found = Stamps(store.root).own
    assert found is not None
    return found.folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_an_absent_store_holds_nothing_and_is_not_made(store: Store) -> None:
    assert not store.has(DIGEST) and store.by_git_blob("0" * 40) is None
    assert not list(store.digests()) and not list(store.parts())
    store.close()
    assert not store.root.exists()


def test_a_stamp_saves_the_reading(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = reading(monkeypatch)
    path = put(store)
    assert oct(os.stat(path).st_mode & 0o777) == "0o444"
    assert store.has(DIGEST, len(DATA)) and not store.has(DIGEST, 1)
    store.close()
    assert Store(store.root).has(DIGEST)
    assert seen == []


def test_a_blob_without_a_stamp_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = reading(monkeypatch)
    put(store)
    fresh = Store(store.root)  # the stamp was never flushed
    assert fresh.has(DIGEST) and fresh.has(DIGEST)
    fresh.close()
    assert Store(store.root).has(DIGEST)
    assert len(seen) == 1


def test_a_blob_changed_through_a_hard_link_is_set_aside(store: Store, tmp_path: Path) -> None:
    path = put(store)
    os.link(path, tmp_path / "tree")
    os.chmod(path, 0o644)
    with (tmp_path / "tree").open("r+b") as stream:
        stream.write(b"edited")
    os.utime(path, ns=(1, 1))
    assert not store.has(DIGEST)
    assert not Path(path).exists()
    assert (tmp_path / "tree").read_bytes().startswith(b"edited")
    assert [p.name.split(".")[0] for p in (store.root / "damaged").iterdir()] == [DIGEST]


def test_a_touched_but_sound_blob_stays(store: Store) -> None:
    path = put(store)
    os.utime(path, ns=(1, 1))
    assert store.has(DIGEST)
    store.close()
    assert Store(store.root).has(DIGEST)


def test_a_change_during_the_reading_is_not_stamped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(store)
    os.utime(path, ns=(1, 1))

    def slow(name: str, git: bool) -> tuple[str, str]:
        found = digests_of(name, git)
        os.chmod(name, 0o644)
        Path(name).write_bytes(b"edited meanwhile")
        return found

    monkeypatch.setattr("fetcher.store.store.digests_of", slow)
    store.has(DIGEST)
    monkeypatch.undo()
    assert not store.has(DIGEST)


def test_a_read_only_store_moves_nothing(store: Store) -> None:
    path = put(store)
    store.close()
    os.chmod(path, 0o644)
    Path(path).write_bytes(b"other")
    assert not Store(store.root, readonly=True).has(DIGEST)
    assert Path(path).exists()
    assert not (store.root / "damaged").exists()


def test_by_git_blob(store: Store) -> None:
    put(store, DATA, git_blob(DATA))
    store.close()
    fresh = Store(store.root)
    assert fresh.by_git_blob(git_blob(DATA)) == DIGEST
    os.utime(fresh.blob_path(DIGEST), ns=(1, 1))
    # read again, stamped without the git id: that is still known
    assert fresh.by_git_blob(git_blob(DATA)) == DIGEST
    fresh.close()
    other = Store(store.root)
    other.prove(DIGEST)
    other.close()
    assert Store(store.root).by_git_blob(git_blob(DATA)) == DIGEST
    os.unlink(store.blob_path(DIGEST))
    assert Store(store.root).by_git_blob(git_blob(DATA)) is None


DAMAGE = [
    b"",
    b"\n\n",
    b"\xff\xfe",
    b"\0" * 100,
    b"x\t1\t2\t3\t\n",
    DIGEST.encode() + b"\t1\t2\n",
    DIGEST.encode() + b"\ta\tb\tc\t\n",
    DIGEST.encode() + b"\t1\t2\t3\tabc\n",
    b"../../etc/passwd\t1\t2\t3\t" + b"0" * 40 + b"\n",
    DIGEST.encode() + b"\t1\t2\t3\t" + b"0" * 40,
]


@pytest.mark.parametrize("text", DAMAGE)
def test_damaged_stamps_cost_a_reading_only(store: Store, text: bytes) -> None:
    put(store)
    store.flush()
    (store.root / "stamps/99999999999999999999-ff.tsv").write_bytes(text)
    fresh = Store(store.root)
    assert fresh.has(DIGEST)
    assert fresh.by_git_blob("0" * 40) is None


@given(st.binary(max_size=300))
def test_any_bytes_as_stamps(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    store = Store(tmp_path_factory.mktemp("s"))
    store.prepare()
    (store.root / "stamps/1-a.tsv").write_bytes(text)
    assert all(len(name) == 64 for name in StampFiles(store.root / "stamps").read())


def test_merging_stamps_with_a_live_writer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetcher.store.stamps._MAX_FILES", 3)
    seen = reading(monkeypatch)
    live = Store(store.root)
    put(live, b"first", git_blob(b"first"))
    live.flush()
    for i in range(20):
        for path in [*(store.root / "stamps").iterdir(), *own(store).iterdir()]:
            os.utime(path, (1, 1))  # all have been quiet for hours
        one = Store(store.root)
        put(one, b"%d" % i)
        one.close()
    assert len(list((store.root / "stamps").iterdir())) <= 6
    assert len(list(own(store).iterdir())) <= 6
    put(live, b"last")
    live.close()
    fresh = Store(store.root)
    assert all(fresh.has(sha256(data)) for data in (b"first", b"last", b"3"))
    assert fresh.by_git_blob(git_blob(b"first")) == sha256(b"first")
    assert seen == []


def test_merging_while_another_process_merges(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fetcher.store.stamps._MAX_FILES", 0)
    put(store)
    stat = Path.stat

    def vanished(self: Path, **named: bool) -> os.stat_result:
        if self.suffix == ".tsv":
            raise FileNotFoundError(self)
        return stat(self, **named)

    monkeypatch.setattr(Path, "stat", vanished)
    store.close()


def test_stamps_that_cannot_be_written_are_no_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        store.close()
    assert Store(store.root).has(DIGEST)


def test_two_writers_of_one_blob(store: Store) -> None:
    other = Store(store.root)
    put(store)
    put(other)
    store.close()
    other.close()
    assert Store(store.root).has(DIGEST)


@pytest.mark.parametrize("link", [True, False])
def test_add_file(store: Store, tmp_path: Path, link: bool) -> None:
    path = tmp_path / "mine"
    path.write_bytes(DATA)
    os.chmod(path, 0o640)
    store.add_file(str(path), DIGEST, link)
    assert store.has(DIGEST)
    assert os.stat(path).st_mode & 0o777 == 0o640
    assert os.stat(path).st_nlink == (2 if link else 1)
    store.add_file(str(path), DIGEST, link)
    with pytest.raises(Failure, match="changed while it was read"):
        store.add_file(str(path), "0" * 64, link)
    assert list((store.root / "partial").iterdir()) == []


def test_add_file_from_another_file_system(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_bytes(DATA)

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    store.add_file(str(tmp_path / "mine"), DIGEST, link=True)
    assert store.has(DIGEST)


# Partial downloads


def left_by(store: Store, key: str, host: str, pid: int, data: bytes = b"half") -> Path:
    label = hashlib.sha256(key.encode()).hexdigest()[:32]
    path = store.root / "partial" / f"{label}.{host}.{pid}.0a-1b.part"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_dead_process_part_is_claimed_once(store: Store) -> None:
    left_by(store, "k", machine(), dead_pid())
    Path(str(next(store.parts())[0]) + ".map").write_text("ranges")
    part = store.claim_part("k")
    assert part.size == 4 and Path(part.path + ".map").read_text() == "ranges"
    assert store.claim_part("k").size == 0
    assert store.claim_part("other").size == 0


def test_a_live_process_part_is_left_alone(store: Store) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        path = left_by(store, "k", machine(), child.pid)
        os.utime(path, (1, 1))
        assert store.claim_part("k").size == 0 and path.exists()
    finally:
        child.communicate(b"\n")
    assert Store(store.root).claim_part("k").size == 4, "the next run takes it"


def test_another_machine_part_is_claimed_when_it_is_old(store: Store) -> None:
    path = left_by(store, "k", "elsewhere", 1)
    assert store.claim_part("k").size == 0
    os.utime(path, (time.time() - 601,) * 2)
    assert Store(store.root).claim_part("k").size == 4


def test_the_largest_part_is_claimed(store: Store) -> None:
    left_by(store, "k", machine(), dead_pid(), b"1")
    left_by(store, "k", machine(), dead_pid(), b"22222")
    assert store.claim_part("k").size == 5


def test_our_own_parts_are_claimed_only_when_left(store: Store) -> None:
    part = store.claim_part("k")
    Path(part.path).write_bytes(b"12")
    assert store.claim_part("k").size == 0
    store.leave_part(part)
    again = store.claim_part("k")
    assert again.size == 2
    store.drop_part(again)
    assert not Path(again.path).exists() and again.path not in _IN_USE
    # a dead process of long ago had our number
    left_by(store, "k2", machine(), os.getpid())
    assert Store(store.root).claim_part("k2").size == 4


def test_odd_names_among_the_parts(store: Store) -> None:
    store.prepare()
    for name in ("x.part", "a.b.99999999999999999999.ff.part", "a.b.-1.ff.part", "..1.f.part"):
        (store.root / "partial" / name).write_bytes(b"")
    assert store.claim_part("k").size == 0
    assert alive(os.getpid())


@pytest.mark.parametrize("durable", [True, False])
def test_files_are_brought_to_disk_unless_that_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        "fetcher.store.store.sync_filesystem", lambda folder, files: synced.append(folder)
    )
    Store(tmp_path, durable=durable).bring_to_disk("f", ["f/a"])
    assert synced == (["f"] if durable else [])
