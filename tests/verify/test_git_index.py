"""What git tracks is told from its index as `git ls-files` tells it, whatever its form."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from fetcher.verify.host import git_index
from fetcher.verify.host.git_index import ships
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = st.lists(
    st.lists(st.sampled_from(["a", ".venv", "bin", "é", "x" * 30, "a b"]), min_size=1, max_size=4),
    max_size=12,
)


def git(folder: Path, *arguments: str) -> str:
    config = ("user.name=A", "user.email=a@b", "protocol.file.allow=always")
    command = ["git", *(part for one in config for part in ("-c", one)), *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(path))
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q")
    return root


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES, st.sampled_from(["2", "3", "4"]), st.booleans(), st.booleans())
def test_every_form_of_an_index_is_read_as_git_reads_it(
    tmp_path: Path, names: list[list[str]], version: str, split: bool, intent: bool
) -> None:
    root = tmp_path / "any"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    git(root, "init", "-q")
    for parts in names:
        path = root.joinpath(*parts[:-1], f"{parts[-1]}.file")
        put(path)
    git(root, "add", "-A")
    if intent:
        put(root / "later")
        git(root, "add", "-N", "later")  # needs extended flags
    git(root, "update-index", "--index-version", version)
    if split:
        git(root, "update-index", "--split-index")
        put(root / "after")
        git(root, "add", "after")
    told = git(root, "ls-files", "-z").split("\0")[:-1]
    ours = {name.decode() for name, _ in git_index._entries(root) if name}
    assert ours == set(told)
    for name in told:
        assert ships(root / name) and ships((root / name).parent) == (root != (root / name).parent)
    assert not ships(root / ".venv/other") and not ships(root / "nowhere")


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_objects_of_both_kinds(tmp_path: Path, kind: str) -> None:
    git(tmp_path, "init", "-q", f"--object-format={kind}")
    put(tmp_path / ".venv/bin/python")
    assert not ships(tmp_path / ".venv")
    git(tmp_path, "add", "-A", "-f")
    assert ships(tmp_path / ".venv") and ships(tmp_path / ".VENV/") and not ships(tmp_path / "v")


def test_a_tracked_symlink_ships_what_it_leads_to(repository: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere/venv/bin/python")
    (repository / "envs").symlink_to(tmp_path / "elsewhere")
    assert not ships(repository / "envs/venv")
    git(repository, "add", "envs")
    assert ships(repository / "envs/venv") and not ships(tmp_path / "elsewhere/venv")


def test_a_symlink_of_the_person_s_may_lead_to_what_is_tracked(
    repository: Path, tmp_path: Path
) -> None:
    put(repository / "hidden/bin/python")
    git(repository, "add", "hidden")
    (tmp_path / "mine").symlink_to(repository / "hidden")
    assert ships(tmp_path / "mine")


def test_submodules_and_worktrees(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    put(other / ".venv/bin/python")
    git(other, "add", "-A", "-f")
    git(other, "commit", "-qm", "x")
    git(repository, "submodule", "add", "-q", str(other), "sub")
    assert ships(repository / "sub/.venv"), "the submodule's own index says so"
    assert not ships(repository / "sub/venv"), "what one makes in a submodule is one's own"
    put(repository / "f")
    git(repository, "add", "f")
    git(repository, "commit", "-qm", "x")
    git(other, "worktree", "add", "-q", str(tmp_path / "tree"))
    assert ships(tmp_path / "tree/.venv") and not ships(tmp_path / "tree/venv")


@pytest.mark.parametrize("harm", ["cut", "magic", "version", "count", "empty", "unreadable"])
def test_an_index_that_cannot_be_read_is_not_believed(repository: Path, harm: str) -> None:
    put(repository / "file")
    git(repository, "add", "file")
    index = repository / ".git/index"
    data = index.read_bytes()
    if harm == "unreadable":
        index.unlink()
        index.symlink_to(index)  # for root, no mode is unreadable
        assert not index.is_file() and not ships(repository / ".venv")
        return
    harmed = {
        "cut": data[:60],
        "magic": b"DIRT" + data[4:],
        "version": data[:4] + struct.pack(">I", 9) + data[8:],
        "count": data[:8] + struct.pack(">I", 2**31) + data[12:],
        "empty": b"",
    }
    index.write_bytes(harmed[harm])
    assert ships(repository / ".venv")


def test_without_git_nothing_is_shipped(tmp_path: Path) -> None:
    put(tmp_path / ".venv/bin/python")
    assert not ships(tmp_path / ".venv")
    assert not ships(Path(os.sep))
