"""What fills the disk: the store by project and artifact, what could go, and why the rest stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetcher.fs.private_files import unique_name
from fetcher.fs.processes import machine
from fetcher.store import part_notes
from fetcher.store.store import Store
from tests.conftest import Cli, write_project
from tests.kit import sha256

DAY = 24 * 3600
SHARED, LARGE = b"s" * 50_000, b"l" * 900_000


def make(root: Path, name: str, own: bytes = b"", more: str = "") -> Path:
    """A project with an artifact of its own and one that others have too."""
    folder = root / name
    for place, data in (("own", own or name.encode() * 30_000), ("shared", SHARED)):
        (folder / place).mkdir(parents=True)
        (folder / place / f"{place}.bin").write_bytes(data)
    write_project(
        folder,
        name,
        f"artifacts:\n  own: {{source: 'local:own'}}\n  common: {{source: 'local:shared'}}\n{more}",
        "tree: {a/: own, b/: common}\n",
    )
    return folder


Later = Callable[[float], None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Move time on by so many seconds, counted from the start."""
    now = time.time

    def move(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: now() + seconds)

    return move


@pytest.fixture
def store(hermetic: Path) -> Path:
    return hermetic / "store"


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def begun(store: Path, key: str, data: bytes, mark: str = "", age: float = 0) -> Path:
    """A partial download that a process left."""
    label, run = Store.label_of(key), f"{'0' * 12}-{os.urandom(4).hex()}{mark}"
    path = store / "partial" / f"{label}.{machine()}.{dead_pid()}.{run}.part"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def on_disk(folder: Path) -> int:
    """What `du` counts, by itself: blocks, each inode once."""
    seen = {}
    for path in [folder, *folder.rglob("*")]:
        stat = path.lstat()
        seen[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
    return sum(seen.values())


def groups(told: Any, **wanted: object) -> list[dict[str, Any]]:
    found = told["summary"]["groups"]
    return [one for one in found if all(one[name] == value for name, value in wanted.items())]


def test_the_store_is_told_by_project_and_artifact(tmp_path: Path, cli: Cli, store: Path) -> None:
    one, two = make(tmp_path, "one", LARGE), make(tmp_path, "two")
    for folder in (one, two):
        assert cli("all", cwd=folder).code == 0
    part = begun(store, "sha256:" + "a" * 64, b"")
    with part.open("rb+") as stream:  # a range in its middle is all that is there
        stream.seek(40 << 20)
        stream.write(os.urandom(8192))
        stream.truncate(1 << 30)
    (store / "blobs/sha256/README").write_bytes(b"not ours")
    (store / "damaged").mkdir()
    blob = store / "blobs/sha256" / sha256(SHARED)
    os.link(blob, store / "damaged" / f"{blob.name}.1")  # counted once
    two.rename(tmp_path / "elsewhere")
    told = cli("store", "du", "--json").json
    summary = told["summary"]
    assert summary["disk_bytes"] == on_disk(store)
    assert sum(kind["disk_bytes"] for kind in summary["kinds"].values()) == on_disk(store)
    assert (summary["parts"], summary["part_bytes"] < 1 << 20) == (1, True)
    assert summary["kinds"]["strangers"]["files"] == 1
    first, second = told["results"]
    assert first["project"] == str(one) and first["state"] == "here"
    assert (first["blobs"], first["bytes"]) == (2, len(LARGE) + len(SHARED))
    assert (first["shared_bytes"], first["freed_bytes"]) == (len(SHARED), len(LARGE))
    assert [(a["artifact"], a["bytes"], a["freed_bytes"]) for a in first["artifacts"]] == [
        ("one/own", len(LARGE), len(LARGE)),
        ("one/common", len(SHARED), 0),
    ]
    assert second["state"] == "absent" and second["seen"] > time.time() - 60
    assert [a["artifact"] for a in second["artifacts"]] == ["two/own", "two/common"]
    words = cli("store", "du").out
    assert f"{two}" in words and "not here, last seen" in words and "one/common" in words
    for amount in ("950.0 kB", "900.0 kB", "50.0 kB"):
        assert amount in words
    listed = cli("store", "ls", "--json").json
    assert [one["size"] for one in listed["results"]] == [len(LARGE), 90_000, len(SHARED)]
    assert listed["results"][0]["files"] == ["one/own/own.bin"]
    assert listed["results"][2]["needed_by"] == sorted([str(one), str(two)], key=str)
    assert listed["summary"]["bytes"] == len(LARGE) + 90_000 + len(SHARED)
    assert f"{two} (not here, last seen" in cli("store", "ls").out
    some = cli("store", "ls", "two/own", "--json").json["results"]
    assert [one["size"] for one in some] == [90_000]
    assert len(cli("store", "ls", one, "--json").json["results"]) == 2
    wrong = cli("store", "ls", "nothing")
    assert wrong.code == 2 and "`fetch store du` shows them" in wrong.err


def test_what_comes_back_is_what_no_other_tree_has(tmp_path: Path, cli: Cli) -> None:
    """A file that somebody linked elsewhere keeps its bytes, whatever becomes of the project."""
    one = make(tmp_path, "one", LARGE)
    assert cli("all", "--link", "hardlink", cwd=one).code == 0
    assert cli("store", "du", "--json").json["results"][0]["freed_bytes"] == len(LARGE + SHARED)
    os.link(one / "a/own.bin", tmp_path / "mine.bin")
    assert cli("store", "du", "--json").json["results"][0]["freed_bytes"] == len(SHARED)


def test_what_goes_is_named_with_who_needed_it(
    tmp_path: Path, cli: Cli, store: Path, later: Later
) -> None:
    """What `remove` and `prune` leave in the store; a dry run and a sweep say the same."""
    one = make(tmp_path, "one", LARGE)
    assert cli("all", "--link", "hardlink", cwd=one).code == 0
    assert cli("remove", "own", "-y", cwd=one).code == 0
    new = cli("gc", "--dry-run", cwd=one).out
    assert "stays: 1 blob nobody needs, but came within the last hour" in new
    later(2 * 3600)
    dry = cli("gc", "--dry-run", "--json", cwd=one).json
    (group,) = groups(dry, goes=True)
    assert (group["of"], group["why"], group["artifact"]) == ("blobs", "unneeded", "one/own")
    assert group["project"] == str(one) and group["bytes"] == group["freed_bytes"] == len(LARGE)
    assert abs(group["since"] - time.time()) < 3 * 3600
    words = cli("gc", "--dry-run", cwd=one).out
    assert f"no project needs it since {one} let go of one/own" in words
    assert "would go: 1 blob, 900.0 kB" in words
    # The next run notes it, so that it is known when the record does not say it any more.
    assert cli("all", cwd=one).code == 0
    assert groups(cli("gc", "--dry-run", "--json", cwd=one).json, goes=True)[0]["project"] == str(
        one
    )
    real = cli("gc", "--json", cwd=one).json
    assert real["summary"]["groups"] == groups(real)
    assert {**real["summary"], "dry_run": True, "strangers": 0} == dry["summary"] | {
        "groups": real["summary"]["groups"]
    }
    assert groups(cli("gc", "--json", cwd=one).json) == []
    assert not list((store / "released").iterdir()), "nobody can ask any more"


def test_bytes_that_trees_still_have_are_not_called_free(
    tmp_path: Path, cli: Cli, later: Later
) -> None:
    one = make(tmp_path, "one", LARGE)
    assert cli("all", "--link", "hardlink", cwd=one).code == 0
    assert cli("remove", "own", "-y", "--keep-files", cwd=one).code == 0
    later(2 * 3600)
    told = cli("gc", "--dry-run", "--json", cwd=one).json["summary"]
    assert (told["blobs"], told["bytes"], told["linked_bytes"]) == (1, 0, len(LARGE))
    assert told["linked_in"] == [{"folder": str(one), "files": 1, "bytes": len(LARGE)}]
    words = cli("gc", cwd=one).out
    assert f"come back only when the files go that share these bytes, in {one} (900.0 kB)" in words
    assert (one / "a/own.bin").read_bytes() == LARGE


def test_who_is_not_here_counts_until_a_day_that_is_said(
    tmp_path: Path, cli: Cli, store: Path, later: Later
) -> None:
    one = make(tmp_path, "one")
    assert cli("all", cwd=one).code == 0
    one.rename(tmp_path / "unmounted")
    dry = cli("gc", "--dry-run", "--json").json["results"]
    (found,) = [entry for entry in dry if entry["project"] == str(one)]
    assert found["until"] == pytest.approx(found["seen"] + 90 * DAY, abs=2)
    words = cli("gc", "--dry-run").out
    day = time.strftime("%Y-%m-%d", time.localtime(found["until"]))
    assert f"it counts until {day}; to let go of it: {found['forget']}" in words
    later(2 * 3600)
    assert cli(*found["forget"].split()[1:]).code == 0, "the command that is named works"
    assert not list((store / "blobs/sha256").iterdir())


def test_to_prove_a_blob_is_no_use_of_it(tmp_path: Path, cli: Cli, store: Path) -> None:
    one = make(tmp_path, "one")
    assert cli("all", cwd=one).code == 0
    blobs = list((store / "blobs/sha256").iterdir())
    for blob in blobs:
        os.utime(blob, (1000, 1000))
    assert cli("store", "check").code == 0
    if sys.platform == "linux":
        assert {blob.stat().st_atime for blob in blobs} == {1000}


@pytest.mark.parametrize(
    "text", ["30", "d", "30x", "-1d", "1.5d", "", "30 d", "1m", "٣d", "9999999d"]
)
def test_what_is_no_age(cli: Cli, text: str) -> None:
    result = cli("gc", f"--older-than={text}")
    assert result.code == 2 and "a whole number and h, d or w" in result.err


def test_only_what_was_not_used_for_so_long(
    tmp_path: Path, cli: Cli, store: Path, later: Later
) -> None:
    """Made, linked, read or needed: each counts as use, also where the blob's times are old."""
    one = make(tmp_path, "one", LARGE)
    assert cli("all", "--link", "copy", cwd=one).code == 0
    blob = store / "blobs/sha256" / sha256(LARGE)
    later(20 * DAY)
    assert cli("remove", "own", "-y", cwd=one).code == 0
    assert cli("all", cwd=one).code == 0  # it notes that it was let go of, 20 days after
    os.utime(blob, (1, 1))
    later(30 * DAY)
    told = cli("gc", "--older-than", "2w", "--dry-run", "--json", cwd=one).json
    (group,) = groups(told, of="blobs")
    assert (group["goes"], group["why"]) == (False, "recent")
    assert group["until"] == pytest.approx(group["used"] + 14 * DAY, abs=2)
    assert "within --older-than" in cli("gc", "--older-than", "2w", cwd=one).out and blob.exists()
    later(35 * DAY)
    assert cli("gc", "--older-than", "336h", cwd=one).code == 0 and not blob.exists()


def test_partial_downloads_stay_only_if_somebody_can_go_on_with_them(
    tmp_path: Path, cli: Cli, store: Path
) -> None:
    """Each kind at once: wanted, of a project that is away, already here, superseded, without a
    digest, with our note, too long, empty, in use, of nobody."""
    one = make(tmp_path, "one", LARGE)
    away = make(tmp_path, "away")
    for folder in (one, away):
        assert cli("all", cwd=folder).code == 0
    away.rename(tmp_path / "unmounted")
    blobs = store / "blobs/sha256"
    for digest in (sha256(LARGE), sha256(b"away" * 30_000)):
        (blobs / digest).unlink()  # so that it is wanted
    kept = {
        "wanted": begun(store, f"sha256:{sha256(LARGE)}", LARGE[:5000]),
        "away": begun(store, f"sha256:{sha256(b'away' * 30_000)}", b"x" * 5000),
        "noted": begun(store, "http://x a/b http://x/b", b"n" * 5000, "-0"),
        "nobody's": begun(store, "sha256:" + "d" * 64, b"x" * 5000),
    }
    note = part_notes.PartNote(5000, sha256(b"n" * 5000), '"tag"', "x")
    part_notes.write(str(kept["noted"]), note)
    useless = {
        "in-store": begun(store, f"sha256:{sha256(SHARED)}", SHARED[:5000]),
        "unprovable": begun(store, "http://x a/c http://x/c", b"x" * 5000, "-0"),
        "empty": begun(store, "sha256:" + "e" * 64, b""),
        "superseded": begun(store, f"sha256:{'f' * 64}", b"x" * 5000),
    }
    released = store / "released/some.tsv"
    released.parent.mkdir(exist_ok=True)
    released.write_text(json.dumps({"root": "/x"}) + f"\n{int(time.time())} {'f' * 64} one/own\n")
    living = store / "partial" / f"{'a' * 32}.{machine()}.{os.getppid()}.{'0' * 12}-0000.part"
    living.write_bytes(b"x" * 5000)
    stale = begun(store, "sha256:" + "c" * 64, b"x" * 5000, age=8 * DAY)
    dry = cli("gc", "--dry-run", "--json", cwd=one).json
    goes = {group["why"]: group for group in groups(dry, of="partial", goes=True)}
    assert goes.keys() == {*useless, "stale"}
    assert dry["summary"]["leftovers"] == 5 and all(path.exists() for path in useless.values())
    stays = groups(dry, of="partial", goes=False)
    assert {(group["why"], group["project"]) for group in stays} == {
        ("resumable", str(one)),
        ("resumable", str(away)),
        ("resumable", ""),
        ("in-use", ""),
    }
    words = cli("gc", "--dry-run", cwd=one).out
    assert f"one/own of {one} can go on with it, until" in words
    assert "a running process has it" in words and "its content is in the store" in words
    assert cli("gc", "--json", cwd=one).json["summary"]["leftovers"] == 5
    assert all(path.exists() for path in (*kept.values(), living))
    assert not any(path.exists() for path in (*useless.values(), stale))
    assert cli("gc", "--partial", "--older-than", "1d", cwd=one).code == 0
    assert all(path.exists() for path in kept.values())
    assert cli("gc", "--partial", cwd=one).code == 0
    assert list((store / "partial").iterdir()) == [living]
    assert part_notes.read(str(kept["noted"])) is None


def test_whose_a_partial_download_is_moves_with_the_lock(
    tmp_path: Path, cli: Cli, store: Path
) -> None:
    """What a killed run was getting, before and after it wrote the lock, and when the lock has
    moved on without a run."""
    one = make(tmp_path, "one", LARGE)
    assert cli("all", "--link", "copy", cwd=one).code == 0
    (store / "blobs/sha256" / sha256(LARGE)).unlink()
    begun(store, f"sha256:{sha256(LARGE)}", LARGE[:5000])
    lock, text = one / "fetch.lock", (one / "fetch.lock").read_text()
    lock.unlink()

    def told() -> tuple[str, str]:
        (group,) = groups(cli("gc", "--dry-run", "--json", cwd=one).json, of="partial")
        return group["why"], group["artifact"]

    assert told() == ("resumable", "one/own"), "the record tells of a run without a lock"
    lock.write_text(text.replace(sha256(LARGE), "0" * 64))
    assert told() == ("superseded", "")
    lock.write_text(text)
    assert told() == ("resumable", "one/own")
    lock.write_text("{")
    assert told() == ("resumable", "one/own"), "a lock that cannot be read"
    lock.write_text(text)
    (store / "blobs/sha256" / sha256(LARGE)).write_bytes(LARGE)
    assert told() == ("in-store", "one/own")


def test_what_runs_left_and_what_was_set_aside(
    tmp_path: Path, cli: Cli, store: Path, later: Later
) -> None:
    one = make(tmp_path, "one")
    assert cli("all", cwd=one).code == 0
    host, pid = machine(), dead_pid()
    name = f"{host}.{pid}-{'0' * 12}-0.tmp"
    for place in (f"partial/{name}", f"projects/.x.json.{name}", f".index.json.{name}"):
        (store / place).write_bytes(b"half")
    folder = store / "partial" / f"{host}.{pid}-{'0' * 12}-1.tmp"
    folder.mkdir()
    (folder / "0").write_bytes(b"four")
    worker = store / "partial" / f"{host}.{pid}-{'0' * 12}-2.tmp"
    worker.mkdir()
    (worker / f"{sha256(b'proven')}.{name}").write_bytes(b"proven")
    mine = store / "partial" / unique_name()
    mine.write_bytes(b"mine")
    (store / "damaged").mkdir()
    damaged = store / "damaged" / f"{'a' * 64}.0000"
    damaged.write_bytes(b"wrong")
    (store / "blobs/sha256" / ("b" * 64)).mkdir()
    (store / "blobs/sha256" / ("c" * 64)).symlink_to(one)
    dry = cli("gc", "--dry-run", "--json", cwd=one).json
    assert [group["files"] for group in groups(dry, of="unfinished", why="left")] == [4]
    assert [group["bytes"] for group in groups(dry, of="unfinished", why="proven")] == [6]
    (aside,) = groups(dry, of="damaged")
    assert aside["goes"] is False and aside["until"] > time.time() + 6 * DAY
    assert dry["summary"]["strangers"] == 1, "a folder has no bytes"
    assert "set aside for you to look at" in cli("gc", "--dry-run", cwd=one).out
    assert cli("store", "du", "--json").json["summary"]["damaged_bytes"] == 5
    assert cli("gc", "--json", cwd=one).json["summary"]["leftovers"] == 4
    assert mine.exists() and damaged.exists() and not folder.exists()
    assert not list(store.rglob(f"*{name}")) and not worker.exists()
    assert (store / "blobs/sha256" / sha256(b"proven")).read_bytes() == b"proven"
    later(8 * DAY)
    assert cli("gc", cwd=one).code == 0 and not damaged.exists()
    assert (one / "a/own.bin").exists()


def test_a_run_that_uses_the_store_is_named(tmp_path: Path, cli: Cli, store: Path) -> None:
    from fetcher.store.runs import Runs

    one = make(tmp_path, "one")
    assert cli("all", cwd=one).code == 0
    with Runs(store, lambda _: None):
        words = cli("gc", "--dry-run", cwd=one)
        assert f"in use: PID {os.getpid()} on" in words.out and words.code == 0
        assert len(cli("gc", "--dry-run", "--json", cwd=one).json["summary"]["running"]) == 1
    assert cli("gc", "--dry-run", "--json", cwd=one).json["summary"]["running"] == []


def test_a_store_that_is_not_there_or_no_folder(tmp_path: Path, cli: Cli, store: Path) -> None:
    for command in (("gc",), ("gc", "--dry-run"), ("store", "du"), ("store", "ls")):
        assert cli(*command).code == 0
    store.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(store)
    store.write_bytes(b"")
    for command in (("gc", "--dry-run"), ("store", "du"), ("store", "ls")):
        assert cli(*command).code in {0, 9}, command
    assert store.read_bytes() == b""


# .fetch/kept


def test_what_was_kept_is_named_and_goes_when_it_is_said(
    tmp_path: Path, cli: Cli, later: Later
) -> None:
    one = make(tmp_path, "one", LARGE)
    assert cli("all", cwd=one).code == 0
    before = cli("status", "--json", cwd=one).json["summary"]
    assert before["kept_files"] == before["kept_bytes"] == 0
    (one / "a/own.bin").unlink()
    (one / "a/own.bin").write_bytes(b"my own" * 20_000)
    assert cli("all", "--overwrite", cwd=one).code == 0
    assert cli("all", cwd=one).code == 0
    status = cli("status", cwd=one).out
    assert ".fetch/kept: 1 file, 120.0 kB" in status and "`fetch prune --kept`" in status
    assert cli("status", "--json", cwd=one).json["summary"]["kept_bytes"] == 120_000
    assert f"{one}/.fetch/kept: 1 file, 120.0 kB" in cli("gc", "--dry-run").out
    (told,) = cli("gc", "--dry-run", "--json").json["summary"]["kept_folders"]
    assert (told["root"], told["freed_bytes"]) == (str(one), 120_000)
    dry = cli("prune", "--kept", "--dry-run", cwd=one)
    assert dry.code == 0 and "would remove 1 file, 120.0 kB" in dry.out
    assert cli("prune", "--kept", "--older-than", "1d", "-y", cwd=one).code == 0
    assert list((one / ".fetch/kept").iterdir())
    later(2 * DAY)
    gone = cli("prune", "--kept", "--older-than", "1d", "-y", "--json", cwd=one).json
    assert (gone["summary"]["files"], gone["summary"]["freed_bytes"]) == (1, 120_000)
    assert not (one / ".fetch/kept").exists()
    assert "nothing of that lies in" in cli("prune", "--kept", cwd=one).out
    assert cli("prune", "--kept", "one", cwd=one).code == 2
    assert cli("prune", "--older-than", "1d", cwd=one).code == 2


def test_what_a_clone_has_for_kept_leads_nowhere(tmp_path: Path, cli: Cli) -> None:
    """A clone may bring `.fetch/kept` as a link: nothing behind it is counted or removed."""
    one = make(tmp_path, "one")
    assert cli("all", cwd=one).code == 0
    precious = tmp_path / "precious/20260101T000000-1"
    precious.mkdir(parents=True)
    (precious / "x").write_bytes(b"mine")
    (one / ".fetch/kept").symlink_to(tmp_path / "precious")
    assert cli("status", "--json", cwd=one).json["summary"]["kept_files"] == 0
    assert cli("prune", "--kept", "-y", cwd=one).code == 0
    (one / ".fetch/kept").unlink()
    (one / ".fetch/kept").mkdir()
    (one / ".fetch/kept/20260101T000000-1").symlink_to(precious)
    assert cli("prune", "--kept", "-y", cwd=one).code == 0
    assert (precious / "x").read_bytes() == b"mine"
