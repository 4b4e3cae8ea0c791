"""Finding blobs: by sha256, by git id, by both; whose they are, and what only somebody says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fetcher.fs.atomic import stat_of
from fetcher.sources.base import FileEntry
from fetcher.store import store as stores
from fetcher.store.stamps import Stamp
from fetcher.store.store import Store
from tests.kit import git_blob, sha256
from tests.store.test_store import DATA, DIGEST, put, reading

OTHER = b"another content"
GIT = git_blob(DATA)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "store")
    found.prepare()
    return found


def claim(store: Store, digest: str, git: str) -> None:
    """A line of text in the store, as anybody may write it."""
    with (store.root / "stamps/9-x.tsv").open("a") as stream:
        stream.write(f"{digest}\t1\t1\t1\t{git}\n")


def test_another_persons_blob_is_linked_into_no_tree(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store)
    assert store.has(DIGEST) and store.may_be_linked(DIGEST)
    monkeypatch.setattr(stores, "is_foreign", lambda stat: True)
    assert store.has(DIGEST) and not store.may_be_linked(DIGEST)
    assert store.may_be_linked(sha256(b"other"))


def test_a_git_id_is_computed_once_and_of_what_is_sound(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.git_blob(DIGEST) == ""
    path = Path(put(store))
    seen = reading(monkeypatch)
    assert store.git_blob(DIGEST) == git_blob(DATA) == store.git_blob(DIGEST)
    assert len(seen) == 1
    assert store.by_git_blob(git_blob(DATA)) == DIGEST
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    assert store.git_blob(DIGEST) == "" and not path.exists()
    assert store.by_git_blob(git_blob(DATA)) is None


def test_a_blob_that_changes_while_its_git_id_is_computed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(put(store))
    monkeypatch.setattr(store, "has", lambda sha256: True)
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    assert store.git_blob(DIGEST) == "" and not path.exists(), "set aside"
    assert store.git_blob(DIGEST) == "", "it is gone"


def test_large_blobs_have_their_git_id_when_it_is_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store)
    for most, known in ((len(DATA), git_blob(DATA)), (len(DATA) - 1, "")):
        monkeypatch.setattr(stores, "GIT_SIZES", most)
        fresh = Store(store.root)
        assert fresh.prove(DIGEST)
        stamp = fresh.stamp_of(DIGEST)
        assert stamp is not None and stamp.git_blob == known
        assert fresh.git_blob(DIGEST) == git_blob(DATA)


def test_whether_a_blob_is_what_was_read(store: Store) -> None:
    path = Path(put(store))
    assert store.is_proven(DIGEST, path.stat()) is True
    assert store.is_proven(sha256(b"other"), path.stat()) is False
    os.utime(path, (1, 1))
    assert store.is_proven(DIGEST, path.stat()) is False
    other = path.with_name("x" * 64)
    other.mkdir()
    assert not store.prove("x" * 64) and other.is_dir(), "what is no file is not read"


@pytest.mark.parametrize("known", [GIT, ""])
@pytest.mark.parametrize(("file", "found"), [
    (FileEntry("f", None, DIGEST), True),
    (FileEntry("f", len(DATA), DIGEST), True),
    (FileEntry("f", len(DATA) + 1, DIGEST), False),
    (FileEntry("f", len(DATA), DIGEST, GIT, computed=True), True),
    (FileEntry("f", len(DATA), DIGEST, "0" * 40, computed=True), False),
    (FileEntry("f", len(DATA), DIGEST, "0" * 40), True),  # the manifest states the sha256
    (FileEntry("f", len(DATA), DIGEST, "0" * 40, lfs=True, computed=True), True),
    (FileEntry("f", None, None, GIT), True),
    (FileEntry("f", len(DATA), None, GIT), True),
    (FileEntry("f", len(DATA) + 1, None, GIT), False),
    (FileEntry("f", None, None, "0" * 40), False),
    (FileEntry("f", None, "0" * 64), False),
    (FileEntry("f", None, None), False),
    (FileEntry("f", len(DATA), None), False),
])  # fmt: skip
def test_a_blob_is_all_that_a_files_digests_say(
    store: Store, file: FileEntry, found: bool, known: str
) -> None:
    put(store, DATA, known)
    put(store, OTHER, git_blob(OTHER))
    if not known:  # somebody says so, who may be right
        claim(store, DIGEST, GIT)
    assert store.find(file) == (DIGEST if found else None)


def test_of_what_is_only_said_the_true_one_is_found(store: Store) -> None:
    put(store)
    put(store, OTHER)
    for digest in ("0" * 64, sha256(OTHER), DIGEST):
        claim(store, digest, GIT)
    assert sorted(store.claimed_by_git(GIT)) == sorted(["0" * 64, sha256(OTHER), DIGEST])
    assert store.by_git_blob(GIT) == DIGEST
    assert store.claimed_by_git(GIT)[0] == DIGEST, "what is known comes first, and once"
    assert sorted(store.claimed_by_git(GIT)) == sorted(["0" * 64, sha256(OTHER), DIGEST])
    assert store.claimed_by_git("0" * 40) == [] and store.by_git_blob("0" * 40) is None
    claim(store, DIGEST, "0" * 40)
    store.refresh()
    assert store.by_git_blob("0" * 40) is None


def test_a_store_with_no_blob_is_empty(tmp_path: Path, store: Store) -> None:
    assert Store(tmp_path / "no store").is_empty() is True and store.is_empty() is True
    before = len(os.listdir("/proc/self/fd"))
    put(store)
    assert store.is_empty() is False and len(os.listdir("/proc/self/fd")) == before


def test_another_persons_blob_is_read_again_when_its_ctime_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(put(store))
    seen = reading(monkeypatch)
    stat = path.stat()
    store._stamps.proven[DIGEST] = Stamp(stat.st_size, stat.st_mtime_ns, stat.st_ino, "", 1)
    assert store.has(DIGEST) and seen == [], "of one's own it says nothing"
    monkeypatch.setattr(stores, "is_foreign", lambda stat: True)
    assert store.has(DIGEST) and seen == [str(path)]


def test_who_is_slower_is_given_the_stat_of_what_is_there(store: Store) -> None:
    put(store)
    path = store.temporary()
    Path(path).write_bytes(DATA)
    assert store.commit(path, DIGEST) == stat_of(store.blob_path(DIGEST))
