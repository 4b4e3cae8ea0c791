"""`fetch diff`: two locks, in words and JSON, out of git and out of files."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fetcher.project import git_revision
from fetcher.project.lockfile import Lock, LockedArtifact, dumps
from fetcher.sources.base import FileEntry
from tests.conftest import Cli, write_project

A, B, C = "a" * 64, "b" * 64, "c" * 64
ONE, TWO = "1" * 40, "2" * 40
MODEL = LockedArtifact(
    "hf:o/m@main",
    ONE,
    "",
    (
        FileEntry("gone.bin", 1, A),
        FileEntry("same.bin", 2, B),
        FileEntry("small.txt", 3, None, ONE),
        FileEntry("w.bin", 4, A),
    ),
)
NEWER = replace(
    MODEL,
    revision=TWO,
    files=(
        FileEntry("new.bin", 5, C),
        FileEntry("same.bin", 2, B),
        FileEntry("small.txt", 3, C, ONE, computed=True),
        FileEntry("w.bin", 6, B),
    ),
)
OTHER = LockedArtifact("hf:o/n@main", ONE, "", (FileEntry("x", 1, A),))
OLD = Lock({("p", "m"): MODEL, ("p", "old"): OTHER})
NEW = Lock({("p", "m"): NEWER, ("p", "new"): OTHER})


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"},
    )
    return done.stdout


def commit(root: Path) -> str:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x", "--allow-empty")
    return git(root, "rev-parse", "HEAD").strip()


def put(root: Path, lock: Lock) -> Path:
    path = root / "fetch.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(lock))
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A project below a repository's root, with the old lock committed and the new one there."""
    root = tmp_path / "repo/sub"
    write_project(
        root,
        "p",
        "artifacts:\n  m: {source: hf:o/m}\n  old: {source: hf:o/n}\n  new: {source: hf:o/n}\n",
        "tree: {m/: m, old/: old, new/: new}\n",
    )
    git(tmp_path, "init", "-q", "repo")
    put(root, OLD)
    commit(root)
    put(root, NEW)
    return root


def test_the_last_commit_and_the_working_tree(repository: Path, cli: Cli) -> None:
    result = cli("diff", cwd=repository)
    assert result.code == 0 and result.err == ""
    assert "CONTRADICTS" not in result.out
    assert [line.split("  ")[0] for line in result.out.splitlines() if line[0] != " "] == [
        "changed p/m",
        "added p/new",
        "removed p/old",
        "HEAD -> fetch.lock: different in 3 artifacts, 6 files",
    ]
    for line in (
        f"  revision  {ONE} -> {TWO}",
        "  removed gone.bin  1 B (1)",
        "  added new.bin  5 B (5)",
        "  learned small.txt  3 B (3)",
        "  changed w.bin  4 B (4) -> 6 B (6)",
        f"      sha256   {A} -> {B}",
    ):
        assert line in result.out.splitlines(), (line, result.out)
    assert "same.bin" not in result.out


def test_json(repository: Path, cli: Cli) -> None:
    found = cli("diff", "--json", cwd=repository).json
    assert found["ok"] and found["exit_code"] == 0
    summary = found["summary"]
    assert (summary["artifacts"], summary["files"], summary["contradictions"]) == (3, 6, 0)
    assert (summary["added_files"], summary["removed_files"]) == (2, 2)
    assert (summary["changed_files"], summary["learned_files"]) == (1, 1)
    states = {row["id"]: row["state"] for row in found["results"]}
    assert states == {"m": "changed", "new": "added", "old": "removed"}
    (model,) = [row for row in found["results"] if row["id"] == "m"]
    assert (model["old"]["revision"], model["new"]["revision"]) == (ONE, TWO)
    (changed,) = [file for file in model["files"] if file["state"] == "changed"]
    assert (changed["path"], changed["old"]["sha256"], changed["new"]["size"]) == ("w.bin", A, 6)


def test_nothing_differs_and_exit_codes(repository: Path, cli: Cli) -> None:
    assert cli("diff", "--exit-code", cwd=repository).code == 4
    assert cli("diff", "--exit-code", "--json", cwd=repository).codes == {"difference"}
    put(repository, OLD)
    result = cli("diff", "--exit-code", cwd=repository)
    assert result.code == 0
    assert result.out == "nothing differs between HEAD and fetch.lock\n"


def test_revisions_and_files(repository: Path, cli: Cli, tmp_path: Path) -> None:
    first = git(repository, "rev-parse", "HEAD").strip()
    commit(repository)
    git(repository, "tag", "v1")
    assert "nothing differs" in cli("diff", cwd=repository).out
    assert "nothing differs" in cli("diff", "v1", cwd=repository).out
    for old, new in ((first, "v1"), ("HEAD~1", "HEAD"), (first[:10], "fetch.lock")):
        assert "changed p/m" in cli("diff", old, new, cwd=repository).out
    elsewhere = put(tmp_path / "elsewhere", OLD)
    for name in (elsewhere, elsewhere.parent):
        assert "changed p/m" in cli("diff", name, cwd=repository).out
        assert "nothing differs" in cli("diff", name, first, cwd=repository).out
    for text in ("nobody", "HEAD:fetch.lock", "a b", "\x1b[31m"):
        wrong = cli("diff", text, cwd=repository)
        assert wrong.code == 2 and "hint:" in wrong.err and "\x1b" not in wrong.err


def test_without_a_lock_or_a_commit_or_a_repository(tmp_path: Path, cli: Cli) -> None:
    write_project(tmp_path, "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {m/: m}\n")
    put(tmp_path, Lock({("p", "m"): MODEL}))
    alone = cli("diff")
    assert alone.code == 2 and "fetch diff OLD_LOCK NEW_LOCK" in alone.err
    assert "nothing differs" in cli("diff", "fetch.lock", "fetch.lock").out
    git(tmp_path, "init", "-q")
    assert "added p/m" in cli("diff").out  # nothing is committed yet
    (tmp_path / "fetch.lock").rename(tmp_path / "away")
    commit(tmp_path)
    (tmp_path / "away").rename(tmp_path / "fetch.lock")
    assert "added p/m" in cli("diff").out
    (tmp_path / "fetch.lock").unlink()
    assert "nothing differs" in cli("diff").out


def test_a_broken_lock_is_named(repository: Path, cli: Cli) -> None:
    (repository / "fetch.lock").write_text("{")
    result = cli("diff", cwd=repository)
    assert result.code == 7 and "fetch.lock cannot be read" in result.err


def test_a_lock_without_end_is_not_read(
    repository: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_revision, "MAX_BYTES", 100)
    for arguments in (["HEAD"], ["fetch.lock"]):
        result = cli("diff", *arguments, cwd=repository)
        assert result.code == 7 and "fetch.lock" in result.err and "larger" in result.err
    os.mkfifo(repository / "pipe")
    assert cli("diff", "pipe", cwd=repository).code == 2


def test_what_is_not_shown_is_told_to_differ(repository: Path, cli: Cli) -> None:
    """Queries may hold secrets, so they are not shown; yet they decide what comes."""
    before = replace(OTHER, source="https://example.org/get?file=a&key=secret")
    put(repository, Lock({("p", "m"): before}))
    commit(repository)
    put(repository, Lock({("p", "m"): replace(before, source="https://example.org/get?file=b")}))
    result = cli("diff", cwd=repository)
    assert "https://example.org/get (its query or its end differs)" in result.out
    assert "secret" not in result.out


def test_contradictions_come_first(repository: Path, cli: Cli) -> None:
    manifest = repository / "manifests/p.yaml"
    manifest.write_text(
        f"manifest: p\nartifacts:\n  m:\n    source: hf:o/m@{ONE}\n  new: {{source: hf:o/other}}\n"
        "  old: {source: hf:o/n}\n"
    )
    pinned = replace(NEWER, source=f"hf:o/m@{ONE}")
    put(repository, Lock({("p", "m"): pinned, ("p", "new"): OTHER}))
    result = cli("diff", cwd=repository)
    first, second, third, hint, *_ = result.out.splitlines()
    assert result.code == 0 and first == "!!! fetch.lock CONTRADICTS THE MANIFEST"
    assert second.startswith("!!! manifests/p.yaml:4: revision: ")
    assert ONE in second and TWO in second
    assert third.startswith("!!! p/new: its source is hf:o/n@main there and hf:o/other@main in")
    assert "fetch lock --update m" in hint
    found = cli("diff", "--json", "--exit-code", cwd=repository).json
    assert found["exit_code"] == 4 and found["exit_codes"] == [4, 7]
    assert [row["kind"] for row in found["results"][:3]] == [
        "contradiction",
        "outdated",
        "artifact",
    ]
    # At a revision, its own manifests count, whatever the working tree has.
    bad = commit(repository)
    manifest.write_text("manifest: p\nartifacts:\n  m: {source: hf:o/m}\n")
    assert "!!! manifests/p.yaml:3: revision" in cli("diff", bad, bad, cwd=repository).out
    alone = cli("diff", bad, bad, "--exit-code", cwd=repository)
    assert alone.code == 7 and "nothing differs" in alone.out


def test_a_manifest_that_cannot_be_read_is_said(repository: Path, cli: Cli) -> None:
    (repository / "manifests/p.yaml").write_text("artifacts: [")
    result = cli("diff", cwd=repository)
    assert result.code == 0 and "not compared with its manifest: p: " in result.out
    assert "changed p/m" in result.out


def test_a_hostile_lock_is_safe_to_show(repository: Path, cli: Cli) -> None:
    """The lock has names that move the cursor or turn text around, and no end."""
    many = tuple(FileEntry(f"f{number:06}" + "x" * 200, 1, A) for number in range(20_000))
    evil = LockedArtifact("hf:o/m\u202e\x9b31m@main", "\u2066" * 5000, "", many)
    lock = {("p", "m"): evil, **{("p", f"x{number}"): OTHER for number in range(3000)}}
    put(repository, Lock(lock))
    result = cli("diff", cwd=repository)
    assert result.code == 0 and "and 19,97" in result.out and "more artifacts" in result.out
    assert not {"\u202e", "\x9b", "\u2066"} & set(result.out)
    assert len(result.out) < 60_000
    assert len(cli("diff", "--json", cwd=repository).json["results"]) > 3000


@pytest.mark.parametrize("how", ["fsmonitor", "hooks", "textconv", "promisor", "pager", "alias"])
def test_a_clones_git_settings_run_nothing(
    repository: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The clone came as an archive, with settings and hooks of git that name programs."""
    trap, mark = tmp_path / "trap", tmp_path / "mark"
    trap.write_text(f"#!/bin/sh\ntouch {mark}\n")
    trap.chmod(0o755)
    top = repository.parent
    settings = {
        "fsmonitor": [("core.fsmonitor", str(trap))],
        "hooks": [("core.hooksPath", str(tmp_path / "hooks"))],
        "textconv": [("diff.x.textconv", str(trap)), ("filter.x.smudge", str(trap))],
        "promisor": [
            ("core.repositoryformatversion", "1"),
            ("extensions.partialClone", "evil"),
            ("remote.evil.url", f"ext::{trap}"),
            ("remote.evil.promisor", "true"),
            ("protocol.ext.allow", "always"),
        ],
        "pager": [("core.pager", str(trap)), ("pager.cat-file", str(trap))],
        "alias": [("alias.cat-file", f"!{trap}"), ("alias.rev-parse", f"!{trap}")],
    }[how]
    (tmp_path / "hooks").mkdir()
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (tmp_path / "hooks" / name).symlink_to(trap)
    (top / ".gitattributes").write_text("* diff=x filter=x\n")
    for name, value in settings:
        git(top, "config", name, value)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_SSH_COMMAND", str(trap))
    if how == "promisor":  # the lock's own object is not there: git would ask the remote for it
        blob = git(repository, "rev-parse", "HEAD:./fetch.lock").strip()
        (top / ".git/objects" / blob[:2] / blob[2:]).unlink()
        lacks = cli("diff", cwd=repository)
        assert lacks.code == 7 and "fetch.lock at HEAD" in lacks.err and "git fetch" in lacks.err
    else:
        assert "changed p/m" in cli("diff", cwd=repository).out
    assert not mark.exists()


def test_replaced_objects_do_not_deceive(repository: Path, cli: Cli) -> None:
    """The clone has a replacement ref, so that git itself shows another lock than is committed."""
    old = git(repository, "rev-parse", "HEAD:./fetch.lock").strip()
    new = git(repository, "hash-object", "-w", "fetch.lock").strip()
    git(repository, "replace", old, new)
    assert json.loads(git(repository, "show", "HEAD:./fetch.lock"))["manifests"]["p"]["new"]
    assert "changed p/m" in cli("diff", cwd=repository).out


def test_markdown(repository: Path, cli: Cli) -> None:
    result = cli("diff", "--markdown", cwd=repository)
    assert result.code == 0 and result.err == ""
    lines = result.out.splitlines()
    assert lines[0] == "### `HEAD` → `fetch.lock`"
    assert "3 artifacts, 6 files." in lines
    (model,) = [line for line in lines if line.startswith("| changed `p/m`")]
    assert f"`{ONE[:12]}` → `{TWO[:12]}`" in model
    assert "1 added, 1 removed, 1 changed, 1 learned, 11 B of new content" in model
    assert (
        f"| `w.bin` | changed | 4 B (4) -> 6 B (6) | `sha256:{A[:12]}` → `sha256:{B[:12]}` |"
        in lines
    )
    for number, line in enumerate(lines[:-1]):  # every row has its table's columns
        if line.startswith("|---"):
            columns = line.count("|")
            rows = [row for row in lines[number + 1 :][:20] if row.startswith("|")][:1]
            assert all(row.replace("\\|", "").count("|") == columns for row in rows)
    put(repository, OLD)
    assert "Nothing differs." in cli("diff", "--markdown", cwd=repository).out
    assert cli("diff", "--markdown", "--json", cwd=repository).code == 2


def test_markdown_renders_nothing_of_a_lock(repository: Path, cli: Cli) -> None:
    """Names that are links, mentions, HTML and table cells."""
    evil = "![x](http://evil)|@all`</details>``<img src=x>"
    entry = replace(OTHER, source=f"hf:{evil}", revision=evil, files=(FileEntry("a`b", 1, A),))
    put(repository, Lock({("p", "m"): entry}))
    out = cli("diff", "--markdown", cwd=repository).out
    shown = evil.replace("|", "\\|")
    assert out.count(shown) >= 2 and out.count("```" + shown[:4]) >= 1
    bare = out
    for fence in ("```", "``", "`"):
        bare = "".join(bare.split(fence)[::2])
    assert "@all" not in bare and "<img" not in bare and "http" not in bare


def test_licence_and_gate_of_both_sides(repository: Path, cli: Cli) -> None:
    manifest = repository / "manifests/p.yaml"
    one = "manifest: p\nartifacts:\n  m: {source: hf:o/m, license: MIT}\n"
    manifest.write_text(one)
    put(repository, OLD)
    commit(repository)
    manifest.write_text(one.replace("MIT", "Apache-2.0, requires_auth: true"))
    put(repository, NEW)
    result = cli("diff", cwd=repository)
    assert "  licence   MIT -> Apache-2.0" in result.out
    assert "  gate      open -> a login is needed" in result.out
    (row,) = [r for r in cli("diff", "--json", cwd=repository).json["results"] if r["id"] == "m"]
    assert [(term["what"], term["old"], term["new"]) for term in row["terms"]] == [
        ("license", "MIT", "Apache-2.0"),
        ("gate", "open", "requires_auth"),
    ]
    markdown = cli("diff", "--markdown", cwd=repository).out
    assert "**licence**: `MIT -> Apache-2.0`<br>**gate**: open -> a login" in markdown


def test_a_digest_that_is_not_known_any_more_is_no_change(repository: Path, cli: Cli) -> None:
    learned = replace(MODEL, files=(FileEntry("s", 3, C, ONE, computed=True),))
    put(repository, Lock({("p", "m"): learned}))
    commit(repository)
    put(repository, Lock({("p", "m"): replace(MODEL, files=(FileEntry("s", 3, None, ONE),))}))
    out = cli("diff", cwd=repository).out
    assert "  forgotten s  3 B (3)" in out and f"      sha256   {C} -> -" in out
    put(repository, Lock({("p", "m"): replace(MODEL, files=(FileEntry("s", 3),))}))
    assert "  changed s  3 B (3)" in cli("diff", cwd=repository).out, "no digest is left of it"
