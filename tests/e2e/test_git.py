"""`git add .` takes no weights, and nothing of the person's is touched: with git itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not there")

MANIFEST = "artifacts:\n  m:\n    source: hf:o/m\n    exclude: .gitattributes\n"


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", root, "-c", "user.name=x", "-c", "user.email=x@x", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def staged(root: Path) -> set[str]:
    git(root, "add", ".")
    return set(git(root, "ls-files").split())


OURS = {"manifests/p.yaml", "layouts/p.yaml", "fetch.lock", ".gitignore"}


def test_git_takes_no_weights(project: Path, cli: Cli, hub: HubServer) -> None:
    assert cli("all").code == 0
    assert not (project / ".gitignore").exists(), "no repository"
    git(project, "init", "-q")
    (project / ".gitignore").write_bytes(b"# mine \xff\r\n*.log\r\n!keep.log")
    assert cli("all", "--dry-run").code == 0
    assert (project / ".gitignore").read_bytes() == b"# mine \xff\r\n*.log\r\n!keep.log"
    assert cli("all").code == 0, "a repository came to be"
    text = (project / ".gitignore").read_bytes()
    assert text.startswith(b"# mine \xff\r\n*.log\r\n!keep.log\r\n") and b"/models/m/\r\n" in text
    assert staged(project) == OURS
    assert cli("all").code == 0 and (project / ".gitignore").read_bytes() == text
    (project / ".gitignore").unlink()
    assert cli("all").code == 0 and staged(project) == OURS, "it was taken away by somebody"
    assert cli("check", "--strict").code == 0


def test_the_block_follows_the_tree(project: Path, cli: Cli, hub: HubServer) -> None:
    git(project, "init", "-q")
    assert cli("all").code == 0
    write_project(
        project, "q", MANIFEST.replace("  m:", "  n:"), "tree:\n  other/n.json: n/config.json\n"
    )
    assert cli("all", "q").code == 0, "the lines of p stay"
    assert staged(project) == OURS | {"manifests/q.yaml", "layouts/q.yaml"}
    (project / "manifests/q.yaml").unlink()
    (project / "layouts/q.yaml").unlink()
    assert cli("all").code == 0
    assert (project / "other/n.json").exists()
    assert staged(project) == OURS, "an orphan is no more to be taken than before"
    assert cli("prune", "--yes").code == 0
    assert "other" not in (project / ".gitignore").read_text()
    assert cli("remove", "m", "--yes").code == 0
    assert not (project / ".gitignore").read_text().strip()


def test_what_git_tracks_is_not_hidden(project: Path, cli: Cli, hub: HubServer) -> None:
    git(project, "init", "-q")
    assert cli("lock").code == 0
    mine, theirs = project / "models/m/notes.md", project / "models/m/config.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    theirs.write_text('{"a": 1}\n')
    git(project, "add", "models")
    found = cli("all")
    assert found.code == 0, found.err
    assert "git tracks what fetch places: models/m/config.json" in found.err
    assert "git rm --cached" in found.err
    lines = (project / ".gitignore").read_text().splitlines()
    assert "/models/m/" not in lines and "/models/m/model.safetensors" in lines
    (project / "models/m/more.md").write_text("mine too")
    assert staged(project) >= {"models/m/notes.md", "models/m/more.md"}
    assert "models/m/model.safetensors" not in staged(project)


def test_it_can_be_turned_off(project: Path, cli: Cli, hub: HubServer) -> None:
    git(project, "init", "-q")
    (project / "fetch.yaml").write_text("gitignore: false\n")
    assert cli("all").code == 0 and cli("all").code == 0
    assert not (project / ".gitignore").exists()


def test_a_link_is_not_followed_out(
    project: Path, cli: Cli, hub: HubServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    git(project, "init", "-q")
    place = tmp_path_factory.mktemp("elsewhere") / "file"
    place.write_text("private")
    for target in (place, project / ".git/info/exclude", place.parent / "none"):
        (project / ".gitignore").symlink_to(target)
        before = target.read_text() if target.exists() else None
        found = cli("all")
        assert found.code == 0 and ".gitignore is not kept in step" in found.err
        assert (target.read_text() if target.exists() else None) == before
        (project / ".gitignore").unlink()


def test_init_says_what_to_commit(tmp_path: Path, cli: Cli) -> None:
    assert "commit to git" not in cli("init", "a").out
    git(tmp_path, "init", "-q", "b")
    assert "commit to git: fetch.yaml" in cli("init", "b").out
