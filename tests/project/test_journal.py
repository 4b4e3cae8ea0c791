"""Several files change together: all or none."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fetcher.fs import atomic, boundary
from fetcher.fs.processes import machine
from fetcher.project.journal import NAME, take_back, write_together
from fetcher.project.project import Project

BEFORE = {"manifests/p.yaml": "one\n", "layouts/p.yaml": None}
AFTER = {"manifests/p.yaml": "two\n", "layouts/p.yaml": "three\n"}
KILLED = """
import json, os, sys
from pathlib import Path
from fetcher.project import journal
put, left = journal._put, [int(sys.argv[2])]
def some(root, path, text):
    if not left[0]:
        os._exit(9)
    left[0] -= 1
    put(root, path, text)
journal._put = some
journal.write_together(Path(sys.argv[1]), json.loads(sys.argv[3]))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("manifests", "layouts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "manifests/p.yaml").write_text("one\n")
    return tmp_path


def texts(root: Path) -> dict[str, str | None]:
    paths = {name: root / name for name in BEFORE}
    return {name: path.read_text() if path.exists() else None for name, path in paths.items()}


def test_all_is_written(root: Path) -> None:
    write_together(root, AFTER)
    assert texts(root) == AFTER and not (root / NAME).exists()


@pytest.mark.parametrize("written", [0, 1])
def test_a_killed_process_changes_nothing(root: Path, written: int) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED, str(root), str(written), json.dumps(AFTER)], check=False
    )
    assert (root / NAME).exists()
    Project(root)
    assert texts(root) == BEFORE and not (root / NAME).exists()


def test_a_living_process_is_left_alone(root: Path) -> None:
    (root / "layouts/p.yaml").write_text("three\n")
    owner = [machine(), os.getppid(), "0" * 12]
    steps = [[name, BEFORE[name], AFTER[name]] for name in AFTER]
    (root / NAME).write_text(json.dumps({"owner": owner, "steps": steps}))
    take_back(root)
    assert texts(root)["layouts/p.yaml"] == "three\n" and (root / NAME).exists()


@pytest.mark.parametrize("stuck", [False, True], ids=["once", "for good"])
def test_a_full_disk_changes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, stuck: bool
) -> None:
    real, calls = atomic.write_atomically, [0]

    def full(path: Path, data: bytes) -> None:
        calls[0] += 1
        if calls[0] == 2 or (stuck and calls[0] > 2):
            raise OSError(errno.ENOSPC, "full")
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(boundary, "write_atomically", full)
        with pytest.raises(OSError, match="full"):
            write_together(root, AFTER)
    if stuck:  # not even what was there could be written back: the next command does
        monkeypatch.setattr("fetcher.fs.private_files.run_id", lambda: "f" * 12)
        Project(root)
    assert texts(root) == BEFORE and not (root / NAME).exists()


@pytest.mark.parametrize(
    "path",
    ["../outside", "/etc/x", "manifests/../../outside", ".git/config", "a.py", "fetch.lock", ""],
)
def test_a_clone_cannot_have_other_files_written(root: Path, path: str) -> None:
    outside = root.parent / "outside"
    outside.write_text("mine")
    owner = [machine(), 1 << 22, "0" * 12]
    steps = [[path, "evil", "mine"]]
    (root / NAME).write_text(json.dumps({"owner": owner, "steps": steps}))
    before = sorted(root.rglob("*"))
    Project(root)
    assert outside.read_text() == "mine"
    assert sorted(root.rglob("*")) == [item for item in before if item.name != NAME]


def test_no_link_is_followed(root: Path) -> None:
    outside = root.parent / "elsewhere"
    outside.mkdir()
    (outside / "p.yaml").write_text("mine")
    (root / "manifests/p.yaml").unlink()
    (root / "manifests").rmdir()
    (root / "manifests").symlink_to(outside)
    owner = [machine(), 1 << 22, "0" * 12]
    steps = [["manifests/p.yaml", "evil", "mine"]]
    (root / NAME).write_text(json.dumps({"owner": owner, "steps": steps}))
    take_back(root)
    assert (outside / "p.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"owner": 3, "steps": []}', '{"owner": ["a", "b", "c"], "steps": [3]}'],
)
def test_a_damaged_journal_is_removed(root: Path, text: str) -> None:
    (root / NAME).write_text(text)
    Project(root)
    assert not (root / NAME).exists() and texts(root) == BEFORE
