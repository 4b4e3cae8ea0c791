"""What other runs leave in a store: stamps, proven files, partial downloads; and who takes them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fetcher.config.settings import FROM_PROJECT, Settings, Value
from fetcher.errors import Failure
from fetcher.fs.atomic import stat_of
from fetcher.fs.private_files import run_id
from fetcher.fs.processes import machine
from fetcher.store import stamps as stamp_files
from fetcher.store import store as stores
from fetcher.store.stamps import Stamp, StampFiles
from fetcher.store.store import Store
from tests.kit import git_blob, sha256
from tests.store.test_store import DATA, DIGEST, left_by, put, reading

OTHER = b"another content"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def dead() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def proven(folder: Path, data: bytes, pid: int, host: str = "", digest: str = "") -> Path:
    """A file that a run had proven when it died."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest or sha256(data)}.{host or machine()}.{pid}-0a1b0a1b0a1b-7.tmp"
    path.write_bytes(data)
    return path


# Making a store


def test_a_new_store_is_an_oci_image_layout(store: Store) -> None:
    store.prepare()
    assert (store.root / "oci-layout").read_bytes() == b'{"imageLayoutVersion": "1.0.0"}'
    import json

    assert json.loads((store.root / "index.json").read_bytes()) == stores.INDEX
    (store.root / "index.json").write_bytes(b"mine")
    (store.root / "oci-layout").write_bytes(b"mine too")
    Store(store.root).prepare()
    assert (store.root / "index.json").read_bytes() == b"mine"
    assert (store.root / "oci-layout").read_bytes() == b"mine too"


def test_a_store_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file")
    with pytest.raises(Failure, match=r"preparing the store .*/store"):
        Store(tmp_path / "store").prepare()


def test_the_store_of_the_settings(tmp_path: Path) -> None:
    for sync in ("true", "false"):
        values = {"store": Value(str(tmp_path / "s"), "environment"), "sync": Value(sync, "test")}
        found = Store.of(Settings(tmp_path, values), readonly=True)
        assert (found.root, found.readonly) == (tmp_path / "s", True)
        assert found.durable is (sync == "true")
    assert Store.of(Settings(tmp_path, values)).readonly is False


@pytest.mark.parametrize("origin", sorted(FROM_PROJECT))
def test_a_store_that_the_project_chose_is_no_link(tmp_path: Path, origin: str) -> None:
    root, project = tmp_path / "store", tmp_path / "project"
    chosen = {"store": Value(str(root), origin)}
    ours = {"store": Value(str(root), "environment")}
    for folder in ("blobs/sha256", "partial", "stamps"):
        (root / folder).mkdir(parents=True)
    assert Store.of(Settings(tmp_path, chosen)).is_ours is False
    assert Store.of(Settings(project, ours)).is_ours is True
    for name in ("index.json", "blobs/x", "partial/x", "stamps/x.tsv", "projects"):
        (root / name).symlink_to(tmp_path)
        with pytest.raises(Failure, match=f"{root}/(./)?{name} is a symlink"):
            Store.of(Settings(tmp_path, chosen))
        Store.of(Settings(project, ours))
        (root / name).unlink()
    Store.of(Settings(tmp_path, chosen))


# Stamps


def test_a_damaged_line_costs_the_others_nothing(store: Store) -> None:
    store.prepare()
    good = {letter: letter * 64 for letter in "abcdef"}
    lines = [
        f"{good['a']}\t1\t2\t3\t\n",
        f"{good['a'].upper()}\t1\t2\t3\t\n",
        f"{good['b']}\t1\t2\t3\t{'0' * 40}\n",
        f"{good['c']}\t1\t2\t3\n",
        f"{good['c']}\t1\t2\t3\t\t\n",
        f"{good['d']}\t1\t2\t3\tno-id\n",
        f"{good['d']}\t1\t2\tx\t\n",
        f"{good['e']}\t4\t5\t6\t\n",
        f"{good['f']}\t1\t2\t3\t",  # still being written
    ]
    (store.root / "stamps/1-a.tsv").write_text("".join(lines), "ascii")
    assert StampFiles(store.root / "stamps").read() == {
        good["a"]: Stamp(1, 2, 3, ""),
        good["b"]: Stamp(1, 2, 3, "0" * 40),
        good["e"]: Stamp(4, 5, 6, ""),
    }


def test_the_latest_stamp_counts_and_a_git_id_stays(store: Store) -> None:
    store.prepare()
    digest = "a" * 64
    for name, line in (
        ("1-a", f"{digest}\t1\t1\t1\t{'0' * 40}\n"),
        ("3-a", f"{digest}\t3\t3\t3\t\n"),
        ("2-a", f"{digest}\t2\t2\t2\t\n"),
    ):
        (store.root / f"stamps/{name}.tsv").write_text(line, "ascii")
    assert StampFiles(store.root / "stamps").read() == {digest: Stamp(3, 3, 3, "0" * 40)}


def test_a_stamp_of_another_run_is_believed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(Store(store.root))
    seen = reading(monkeypatch)
    store.believe(DIGEST, stat_of(store.blob_path(DIGEST)))
    assert store.has(DIGEST) and seen == []
    assert store.by_git_blob(git_blob(DATA)) is None
    store.close()
    assert not list((store.root / "stamps").iterdir()), "it is the other run's to write"


@pytest.mark.parametrize("part", ["size", "mtime", "inode"])
def test_whatever_differs_from_the_stamp_has_the_blob_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    path = put(store)
    seen = reading(monkeypatch)
    stat = os.stat(path)
    size, mtime, inode = stat.st_size, stat.st_mtime_ns, stat.st_ino
    changed = {"size": (size + 1, mtime, inode), "mtime": (size, mtime + 1, inode),
               "inode": (size, mtime, inode + 1)}[part]  # fmt: skip
    store._stamps.proven[DIGEST] = Stamp(*changed, "")
    assert store.has(DIGEST) and seen == [path]


def test_a_size_is_asked_of_an_unchanged_blob(store: Store) -> None:
    put(store)
    assert store.has(DIGEST, len(DATA)) and not store.has(DIGEST, len(DATA) + 1)
    assert not store.has(DIGEST, 0)


def test_a_link_or_folder_is_no_blob(store: Store, tmp_path: Path) -> None:
    store.prepare()
    (tmp_path / "x").write_bytes(DATA)
    path = Path(store.blob_path(DIGEST))
    path.symlink_to(tmp_path / "x")
    assert not store.has(DIGEST)
    path.unlink()
    path.mkdir()
    assert not store.has(DIGEST) and path.is_dir()


def test_git_ids_are_known_as_soon_as_they_are(store: Store) -> None:
    assert store.by_git_blob(git_blob(OTHER)) is None
    put(store, OTHER, git_blob(OTHER))
    assert store.by_git_blob(git_blob(OTHER)) == sha256(OTHER)


def test_refreshing_shows_what_others_made(store: Store) -> None:
    assert not store.stamp_of(DIGEST) and store.by_git_blob(git_blob(DATA)) is None
    other = Store(store.root)
    put(other, DATA, git_blob(DATA))
    other.close()
    assert store.by_git_blob(git_blob(DATA)) is None
    store.refresh()
    assert store.stamp_of(DIGEST) and store.by_git_blob(git_blob(DATA)) == DIGEST


def test_a_read_only_store_writes_no_stamps(store: Store) -> None:
    put(store)
    store.root.joinpath("stamps").mkdir(exist_ok=True)
    readonly = Store(store.root, readonly=True)
    assert readonly.has(DIGEST)
    readonly.close()
    assert not list((store.root / "stamps").iterdir())


def test_stamps_are_flushed_once_and_into_one_file(store: Store) -> None:
    store.flush()
    assert not store.root.exists()
    put(store)
    store.flush()
    store.flush()
    put(store, OTHER)
    store.flush()
    (path,) = (store.root / "stamps").iterdir()
    assert re.fullmatch(r"\d{20}-[0-9a-f]{8}\.tsv", path.name)
    assert [line.split("\t")[0] for line in path.read_text().splitlines()] == [
        DIGEST,
        sha256(OTHER),
    ]
    store.close()
    put(store, b"third")
    store.close()
    assert len(list((store.root / "stamps").iterdir())) == 2


def test_only_quiet_files_are_merged_and_only_where_there_are_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamp_files, "_MAX_FILES", 2)
    stamps = store.root / "stamps"

    def another(data: bytes, age: float) -> None:
        one = Store(store.root)
        put(one, data)
        one.flush()
        path = one._stamps.hints._path
        assert path is not None
        moment = time.time() - age
        os.utime(path, (moment, moment))

    another(b"1", 3700)
    another(b"2", 3700)
    another(b"3", 3500)
    put(store, b"4")
    store.close()
    assert len(list(stamps.iterdir())) == 4, "two quiet ones are not many"
    another(b"5", 3700)
    put(store, b"6")
    store.close()
    names = sorted(path.name for path in stamps.iterdir())
    assert len(names) == 4 and sum(name.endswith(".merged.tsv") for name in names) == 1
    fresh = Store(store.root)
    assert {sha256(b"%d" % n) for n in range(1, 7)} == set(fresh._stamps.proven)


# Blobs


def test_a_damaged_blob_is_set_aside_under_a_name_of_its_own(store: Store) -> None:
    for _ in range(2):
        path = Path(put(store))
        path.chmod(0o644)
        path.write_bytes(b"damaged")
        assert not store.has(DIGEST) and not path.exists()
    names = [path.name for path in (store.root / "damaged").iterdir()]
    assert len(names) == 2
    assert all(re.fullmatch(rf"{DIGEST}\.[0-9a-f]{{8}}", name) for name in names)


def test_a_blob_that_cannot_be_moved_is_not_trusted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(put(store))
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    (store.root / "damaged").write_bytes(b"a file in the way")
    assert not store.has(DIGEST) and path.exists()


def test_every_blob_is_listed_and_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [b"%d" % n for n in range(5)]
    for data in contents:
        put(store, data)
    for name in ("x", "a" * 63, "A" * 64, "a" * 65):
        (store.blobs / name).write_bytes(b"")
    found = dict(store.digests())
    assert set(found) == set(map(sha256, contents))
    assert all(stat.st_size == 1 for stat in found.values())
    # One that goes while they are listed is passed over.
    iterator = store.digests()
    first = next(iterator)[0]
    for name in set(found) - {first}:
        if len(list(store.blobs.iterdir())) > 6:
            os.unlink(store.blobs / name)
    assert {name for name, _ in iterator} <= set(found)


class Gone:
    """A directory entry whose file was removed meanwhile."""

    name = "0" * 64

    def stat(self, follow_symlinks: bool) -> os.stat_result:
        raise FileNotFoundError


def test_a_blob_that_was_removed_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store)
    scandir = os.scandir

    class Entries:
        def __enter__(self) -> list[object]:
            return [Gone(), *scandir(store.blobs)]

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", lambda _: Entries())
    assert [name for name, _ in store.digests()] == [DIGEST]


def test_a_blob_is_published_read_only_and_stamped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = reading(monkeypatch)
    path = put(store, DATA, git_blob(DATA))
    assert os.stat(path).st_mode & 0o222 == 0
    assert store._stamps.proven[DIGEST].git_blob == git_blob(DATA)
    inode = os.stat(path).st_ino
    put(store)  # again: the first one stays, as links of it may be being made
    assert os.stat(path).st_ino == inode and not list(store.partial.iterdir()) and seen == []
    os.chmod(path, 0o644)
    Path(path).write_bytes(b"damaged")
    put(store)
    assert Path(path).read_bytes() == DATA and store.has(DIGEST)


def test_a_blob_where_renaming_cannot_keep_what_is_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "rename_new", lambda source, target: False)
    path = put(store)
    assert Path(path).read_bytes() == DATA and store.has(DIGEST)
    inode = os.stat(path).st_ino
    put(store)
    assert os.stat(path).st_ino == inode and not list(store.partial.iterdir())


# What dead processes had proven


def test_what_a_dead_process_had_proven_is_taken_over(store: Store, dead: int) -> None:
    store.prepare()
    first, second = proven(store.partial, DATA, dead), proven(store.partial, OTHER, dead)
    assert Store(store.root, readonly=True).recover() == 0 and first.exists()
    assert store.recover() == 2
    assert not first.exists() and not second.exists()
    fresh = Store(store.root)
    assert set(fresh._stamps.proven) == {DIGEST, sha256(OTHER)}, "others may see it at once"
    assert fresh.has(DIGEST) and Path(fresh.blob_path(DIGEST)).read_bytes() == DATA
    assert store.recover() == 0


def test_nothing_is_recovered_where_nothing_is(store: Store) -> None:
    assert store.recover() == 0 and not store.root.exists()
    store.prepare()
    assert store.recover() == 0


def test_what_is_not_what_its_name_says_is_removed(store: Store, dead: int) -> None:
    store.prepare()
    wrong = proven(store.partial, b"half", dead, digest=DIGEST)
    right = proven(store.partial, OTHER, dead)
    assert store.recover() == 1
    assert not wrong.exists() and not right.exists()
    assert not Path(store.blob_path(DIGEST)).exists()
    assert [path.name for path in store.partial.iterdir()] == []


def test_what_living_processes_have_stays(store: Store) -> None:
    """Our own, another's on this machine, one's on another machine that wrote just now."""
    store.prepare()
    own = Path(store.temporary(DIGEST))
    own.write_bytes(DATA)
    assert run_id() in own.name
    parent = proven(store.partial, DATA, os.getppid())
    far = proven(store.partial, DATA, 1, host="elsewhere")
    unnamed = store.partial / "not-ours.tmp"
    unnamed.write_bytes(b"x")
    assert store.recover() == 0
    assert own.exists() and parent.exists() and far.exists() and unnamed.exists()
    old = time.time() - 25 * 3600
    os.utime(far, (old, old))
    assert store.recover() == 1 and not far.exists() and parent.exists()


@pytest.mark.parametrize(("age", "taken"), [(23 * 3600, 0), (25 * 3600, 1)])
def test_a_far_machine_has_a_day(store: Store, age: float, taken: int) -> None:
    store.prepare()
    far = proven(store.partial, DATA, 1, host="elsewhere")
    os.utime(far, (time.time() - age,) * 2)
    assert store.recover() == taken


def test_a_link_among_them_is_not_followed(store: Store, dead: int, tmp_path: Path) -> None:
    store.prepare()
    (tmp_path / "mine").write_bytes(DATA)
    link = store.partial / f"{DIGEST}.{machine()}.{dead}-0a1b0a1b0a1b-7.tmp"
    link.symlink_to(tmp_path / "mine")
    other = proven(store.partial, OTHER, dead)
    assert store.recover() == 1 and not other.exists()
    assert (tmp_path / "mine").read_bytes() == DATA and link.is_symlink()


def test_the_folder_of_a_dead_process_is_emptied(store: Store, dead: int) -> None:
    store.prepare()
    folder = store.partial / f"{machine()}.{dead}-0a1b0a1b0a1b-3.tmp"
    proven(folder, DATA, dead)
    proven(folder, OTHER, dead)
    assert store.recover() == 2
    assert not folder.exists() and store.has(DIGEST) and store.has(sha256(OTHER))
    live = store.partial / f"{machine()}.{os.getppid()}-0a1b0a1b0a1b-3.tmp"
    inside = proven(live, DATA, dead)
    assert store.recover() == 0 and inside.exists()


def test_names_of_ours_tell_digest_and_owner(store: Store) -> None:
    store.prepare()
    name = Path(store.private_folder()).name
    found = stores._PRIVATE.fullmatch(name)
    assert found and (found[1], found[2], int(found[3])) == (None, machine(), os.getpid())
    found = stores._PRIVATE.fullmatch(Path(store.temporary(DIGEST)).name)
    assert found and (found[1], found[2]) == (DIGEST, machine())


# Partial downloads


def test_the_notes_of_a_part_go_with_it(store: Store, dead: int) -> None:
    path = left_by(store, "k", machine(), dead, b"half")
    notes = {".etag": b'"tag"', ".map": b"ranges"}
    for ending, text in notes.items():
        Path(f"{path}{ending}").write_bytes(text)
    part = store.claim_part("k")
    assert part.size == 4 and Path(part.path).read_bytes() == b"half" and not path.exists()
    assert Path(part.path + ".map").read_bytes() == b"ranges"
    assert not Path(part.path + ".etag").exists(), "nothing proves what older versions noted"
    assert not any(Path(f"{path}{ending}").exists() for ending in notes)
    store.drop_part(part)
    assert list(store.partial.iterdir()) == []


def test_a_part_of_ours_carries_our_name(store: Store) -> None:
    part = store.claim_part("k")
    assert part.size == 0 and Path(part.path).read_bytes() == b""
    ((path, owner),) = store.parts()
    assert str(path) == part.path
    assert owner == (store.label_of("k"), machine(), os.getpid())
    assert run_id() in path.name and part.path in stores._IN_USE
    assert len(store.label_of("k")) == 32 and store.label_of("k") != store.label_of("l")
    store.leave_part(part)
    assert part.path not in stores._IN_USE and path.exists()


def test_a_link_in_place_of_a_part_is_not_taken(store: Store, dead: int, tmp_path: Path) -> None:
    path = left_by(store, "k", machine(), dead)
    path.unlink()
    (tmp_path / "mine").write_bytes(b"private")
    path.symlink_to(tmp_path / "mine")
    small = left_by(store, "k", machine(), dead + 1 if dead < 2**22 else dead - 1, b"1")
    small.rename(small.with_name(small.name.replace(".0a-1b.", ".0a-2b.")))
    part = store.claim_part("k")
    assert part.size <= 1 and path.is_symlink()
    assert (tmp_path / "mine").read_bytes() == b"private"


def test_a_part_that_another_run_took_first(store: Store, dead: int) -> None:
    path = left_by(store, "k", machine(), dead)
    assert store._orphans()[store.label_of("k")] == [(4, str(path))]
    path.unlink()
    part = store.claim_part("k")
    assert part.size == 0 and Path(part.path).exists()


def test_a_part_that_is_being_written_here_is_nobody_elses(store: Store) -> None:
    part = store.claim_part("k")
    Path(part.path).write_bytes(b"half")
    other = Store(store.root)
    assert other.claim_part("k").size == 0 and Path(part.path).read_bytes() == b"half"
    store.leave_part(part)
    other.refresh()
    assert other.claim_part("k").size == 4
