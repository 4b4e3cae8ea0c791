"""`fetch lock --check`, `--resolve` and `--merge-driver`, the latter as git itself runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fetcher.project import lockfile
from fetcher.project.lockfile import Lock, LockedArtifact, dumps
from fetcher.sources.base import FileEntry
from tests.conftest import Cli, write_project

A, B, C = "a" * 64, "b" * 64, "c" * 64
ONE, TWO, THREE = "1" * 40, "2" * 40, "3" * 40
MODEL = LockedArtifact(
    "hf:o/m@main", ONE, "", (FileEntry("s.txt", 3, None, ONE), FileEntry("w.bin", 1, A))
)
OTHER = LockedArtifact("hf:o/n@main", ONE, "", (FileEntry("x", 1, A),))
NEWER, OTHERWISE = (
    replace(MODEL, revision=revision, files=(FileEntry("w.bin", 1, digest),))
    for revision, digest in ((TWO, B), (THREE, C))
)
LEARNED = replace(MODEL, files=(FileEntry("s.txt", 3, B, ONE, computed=True), MODEL.files[1]))
BASE = {("p", "a"): OTHER, ("p", "m"): MODEL, ("p", "z"): OTHER}
Entries = dict[tuple[str, str], LockedArtifact]


class Repository:
    """A repository with a lock, in which the documented lines were typed, or not."""

    def __init__(self, root: Path, driver: bool) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q", "-b", "main")
        if driver:
            command = f"{sys.executable} -m fetcher lock --merge-driver %O %A %B"
            self.git("config", "merge.fetch-lock.driver", command)
            (root / ".gitattributes").write_text("fetch.lock merge=fetch-lock\n")
        self.commit(BASE)

    def git(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=check,
            env={**os.environ, "HOME": str(self.root), "GIT_CONFIG_NOSYSTEM": "1"},
        )

    @property
    def path(self) -> Path:
        return self.root / "fetch.lock"

    def commit(self, entries: Entries) -> None:
        self.path.write_text(dumps(Lock(dict(entries))))
        self.git("add", "-A")
        self.git("commit", "-qm", "x")

    def merge(self, ours: Entries, theirs: Entries) -> subprocess.CompletedProcess[str]:
        """Two branches, each with a lock of its own, merged."""
        self.git("checkout", "-qb", "other")
        self.commit(theirs)
        self.git("checkout", "-q", "main")
        self.commit(ours)
        return self.git("merge", "-q", "other", check=False)

    @property
    def lock(self) -> Entries:
        return lockfile.read(self.root).artifacts


def changed(**entries: LockedArtifact | None) -> Entries:
    """The base with other entries; None takes one out."""
    found = {**BASE, **{("p", name): item for name, item in entries.items()}}
    return {key: item for key, item in found.items() if item is not None}


MERGED = [
    # what each side changes; what is there afterwards
    ({"a": NEWER}, {"z": NEWER}, {"a": NEWER, "z": NEWER}),
    ({"a": NEWER}, {"m": NEWER}, {"a": NEWER, "m": NEWER}),  # neighbours: git finds a conflict
    ({"n": OTHER}, {"o": OTHER}, {"n": OTHER, "o": OTHER}),  # both add at one place
    ({"a": None}, {"m": None}, {"a": None, "m": None}),
    ({"m": NEWER}, {"m": NEWER}, {"m": NEWER}),
    ({"m": LEARNED}, {"m": NEWER}, {"m": NEWER}),  # one learned a digest, the other moved on
    ({"m": NEWER}, {"m": LEARNED}, {"m": NEWER}),
    ({"m": LEARNED}, {"m": None}, {"m": None}),
    ({"n": LEARNED}, {"n": MODEL}, {"n": LEARNED}),  # both added it, one knows more
]
CONFLICTS = [
    ({"m": NEWER}, {"m": OTHERWISE}),
    ({"m": NEWER, "a": NEWER}, {"m": None, "z": NEWER}),
    ({"z": None}, {"z": NEWER}),
    ({"n": NEWER}, {"n": OTHERWISE}),
]


@pytest.mark.parametrize(("ours", "theirs", "result"), MERGED)
def test_the_driver_merges_entry_by_entry(
    tmp_path: Path,
    ours: dict[str, LockedArtifact | None],
    theirs: dict[str, LockedArtifact | None],
    result: dict[str, LockedArtifact | None],
) -> None:
    repository = Repository(tmp_path / "r", driver=True)
    done = repository.merge(changed(**ours), changed(**theirs))
    assert done.returncode == 0, done.stdout + done.stderr
    assert repository.lock == changed(**result)
    assert repository.path.read_text() == dumps(Lock(changed(**result)))


@pytest.mark.parametrize("driver", [True, False])
@pytest.mark.parametrize(("ours", "theirs"), CONFLICTS)
def test_conflicts_are_named_and_resolved(
    tmp_path: Path,
    cli: Cli,
    driver: bool,
    ours: dict[str, LockedArtifact | None],
    theirs: dict[str, LockedArtifact | None],
) -> None:
    repository = Repository(tmp_path / "r", driver)
    done = repository.merge(changed(**ours), changed(**theirs))
    assert done.returncode == 1
    (name,) = ours.keys() & theirs.keys()
    write_project(repository.root, "p", "artifacts: {m: {source: hf:o/m}}\n", "tree: {m/: m}\n")
    for command in (["all"], ["status"], ["lock"], ["lock", "--check"], ["update"], ["diff"]):
        told = cli(*command, cwd=repository.root)
        assert told.code == 7 and "fetch.lock has git's conflict markers: " in told.err
        assert f"p/{name}" in told.err and "fetch lock --resolve ours" in told.err
    if driver:
        assert f"p/{name}: both sides changed it" in done.stdout + done.stderr
        assert f"conflict markers: p/{name}\n" in told.err, "and names no other"
        assert repository.path.read_text().count("<<<<<<< ") == 1
    text = repository.path.read_text()
    clean = [{**ours, **theirs, name: side[name]} for side in (ours, theirs)]
    for side, expected in zip(("ours", "theirs"), clean, strict=True):
        repository.path.write_text(text)
        result = cli("lock", "--resolve", side, cwd=repository.root)
        assert result.code == 0, result.err
        assert f"p/{name}: taken from {side}" in result.out
        assert repository.lock == changed(**expected)
    assert cli("lock", "--resolve", "ours", cwd=repository.root).code == 2, "it has none any more"
    repository.git("add", "-A")
    repository.git("commit", "-qm", "merged")


@pytest.mark.parametrize(("ours", "theirs"), CONFLICTS)
def test_markers_without_git(
    tmp_path: Path,
    cli: Cli,
    ours: dict[str, LockedArtifact | None],
    theirs: dict[str, LockedArtifact | None],
) -> None:
    """A file that was sent, or a clone without its index: the text is what there is."""
    for driver in (True, False):
        repository = Repository(tmp_path / f"r{driver}", driver)
        repository.merge(changed(**ours), changed(**theirs))
        place = tmp_path / f"away{driver}"
        place.mkdir()
        (place / "fetch.yaml").write_text("")
        (place / "fetch.lock").write_text(repository.path.read_text())
        assert cli("lock", "--resolve", "theirs", cwd=place).code == 0
        (name,) = ours.keys() & theirs.keys()
        assert lockfile.read(place).artifacts.get(("p", name)) == theirs[name]


def test_rebase_and_criss_cross(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r", driver=True)
    repository.git("checkout", "-qb", "other")
    repository.commit(changed(z=NEWER))
    repository.git("checkout", "-q", "main")
    repository.commit(changed(m=NEWER))
    repository.git("checkout", "-q", "other")
    repository.git("rebase", "-q", "main")
    assert repository.lock == changed(z=NEWER, m=NEWER)


def test_what_the_driver_cannot_read_is_merged_by_lines(tmp_path: Path, cli: Cli) -> None:
    """A side of a newer version, or one that is no lock: nothing of either is lost."""
    repository = Repository(tmp_path / "r", driver=True)
    repository.git("checkout", "-qb", "other")
    newer = dumps(Lock(changed(m=NEWER))).replace("fetch.lock/1", "fetch.lock/2")
    repository.path.write_text(newer)
    repository.git("commit", "-qam", "x")
    repository.git("checkout", "-q", "main")
    repository.commit(changed(m=OTHERWISE))
    done = repository.git("merge", "-q", "other", check=False)
    assert done.returncode == 1 and "upgrade fetch" in done.stdout + done.stderr
    text = repository.path.read_text()
    assert TWO in text and THREE in text and "<<<<<<< ours" in text


def test_only_one_thing_at_a_time(tmp_path: Path, cli: Cli) -> None:
    write_project(tmp_path, "p", "artifacts: {m: {source: hf:o/m}}\n", "tree: {m/: m}\n")
    (tmp_path / "x").write_text("")
    for flags in (
        ["--check", "--update", "m"],
        ["--check", "--resolve", "ours"],
        ["--resolve", "ours", "p"],
        ["--merge-driver", "x", "x", "gone"],
    ):
        assert cli("lock", *flags).code == 2


# --check


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A project that nothing of was fetched, with a lock that fits."""
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: hf:o/m}\n  a: {source: hf:o/n, optional: true}\n",
        "tree: {m/: m, a/: a}\n",
    )
    (tmp_path / "fetch.lock").write_text(dumps(Lock({("p", "m"): MODEL, ("p", "a"): OTHER})))
    return tmp_path


def test_a_lock_that_fits(locked: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody is asked
    names = sorted(locked.rglob("*"))
    result = cli("lock", "--check")
    assert result.code == 0
    assert result.out == "fetch.lock is what the manifests want: 2 artifacts\n"
    assert sorted(locked.rglob("*")) == names, "nothing is written"
    assert cli("lock", "--check", "--json").json["summary"]["artifacts"] == 2


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (
            "m: {source: hf:o/m}\n  a: {source: hf:o/n}\n  b: {source: hf:o/b}",
            "p/b: it has no entry",
        ),
        ("m: {source: 'hf:o/m@v2'}\n  a: {source: hf:o/n}", "p/m: its source is hf:o/m@main"),
        ("m: {source: hf:o/m, files: ['*.bin']}\n  a: {source: hf:o/n}", "p/m: it was written for"),
        ("m: {source: hf:o/m}", "p/a: it is in fetch.lock, and its manifest has it no more"),
        ("m: {source: hf:o/m, count: 3}\n  a: {source: hf:o/n}", "the manifest states 3"),
    ],
)
def test_a_lock_that_does_not_fit(locked: Path, cli: Cli, manifest: str, told: str) -> None:
    targets = "".join(f", {name}/: {name}" for name in "ab" if f"{name}: " in manifest)
    write_project(locked, "p", f"artifacts:\n  {manifest}\n", "tree: {m/: m" + targets + "}\n")
    before = (locked / "fetch.lock").read_text()
    result = cli("lock", "--check")
    assert result.code == 7 and told in result.err and "hint: " in result.err
    assert (locked / "fetch.lock").read_text() == before
    found = cli("lock", "--check", "--json").json
    assert found["exit_code"] == 7 and {error["code"] for error in found["errors"]} <= {
        "lock",
        "lock-mismatch",
    }


def test_no_lock_at_all_and_one_artifact_alone(locked: Path, cli: Cli) -> None:
    write_project(
        locked,
        "p",
        "artifacts:\n  m: {source: hf:o/m}\n  a: {source: hf:o/other}\n",
        "tree: {m/: m, a/: a}\n",
    )
    assert cli("lock", "--check", "p/m").code == 0
    assert cli("lock", "--check", "p/a").code == 7
    (locked / "fetch.lock").unlink()
    result = cli("lock", "--check")
    assert result.code == 7 and "p/m: it has no entry" in result.err
    assert not (locked / "fetch.lock").exists()


def test_entries_of_a_manifest_that_is_not_there_are_told(locked: Path, cli: Cli) -> None:
    lock = Lock({("p", "m"): MODEL, ("p", "a"): OTHER, ("nowhere", "x"): OTHER})
    (locked / "fetch.lock").write_text(dumps(lock))
    result = cli("lock", "--check")
    assert result.code == 0 and "entries of nowhere, and no such manifest" in result.err


def test_a_newer_lock_says_upgrade(locked: Path, cli: Cli) -> None:
    text = (locked / "fetch.lock").read_text().replace("fetch.lock/1", "fetch.lock/12")
    (locked / "fetch.lock").write_text(text)
    for command in (["all"], ["lock"], ["lock", "--check"], ["outdated"], ["status"], ["diff"]):
        result = cli(*command)
        if command != ["diff"]:  # needs a repository
            assert result.code == 7 and "upgrade fetch" in result.err
            assert "delete" not in result.err
    assert (locked / "fetch.lock").read_text() == text


def test_what_init_says_sets_the_driver_up(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines are typed as they stand there; they are those of the documentation."""
    repository = Repository(tmp_path / "r", driver=False)
    told = cli("init", cwd=repository.root).out.splitlines()
    lines = [line.strip() for line in told if "merge" in line and "fetch-lock" in line]
    assert len(lines) == 2
    docs = (Path(__file__).parents[2] / "docs/commands.md").read_text()
    assert "\n".join(lines) in docs
    program = tmp_path / "bin/fetch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fetcher "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for line in lines:
        subprocess.run(["sh", "-c", line], cwd=repository.root, check=True)
    repository.git("add", "-A")
    repository.git("commit", "-qm", "driver")
    done = repository.merge(changed(a=NEWER), changed(m=NEWER))
    assert done.returncode == 0, done.stderr
    assert repository.lock == changed(a=NEWER, m=NEWER)
    assert "merge" not in cli("init", tmp_path / "alone").out, "where there is no repository"
