"""What is wrong with fetch.lock, or is asked of it: the hint, followed, mends it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.hints.desk import Desk, about
from tests.servers.hub import HubServer


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@about("restore {name} from git, or delete it and run `fetch lock`")
def test_a_lock_that_cannot_be_read(desk: Desk, project: Path) -> None:
    desk.fetch("all")
    lock = project / "fetch.lock"
    lock.write_text("{")
    desk.fails("check")
    lock.unlink()
    desk.follow("restore {name} from git, or delete it")
    desk.fetch("check")


@about(
    "run `fetch lock`, look at the difference",
    "run `fetch lock` where there is a network",
    "run `{command}`, or `fetch lock`",
    "files:         not resolved yet",
)
def test_what_is_not_locked(desk: Desk, project: Path) -> None:
    lock = project / "fetch.lock"
    desk.fails("all", "--locked")
    desk.follow("run `fetch lock`, look at the difference")
    desk.fetch("all", "--locked")
    lock.unlink()
    desk.fails("lock", "--check")
    lock.unlink(missing_ok=True)
    desk.fetch("show", "m")
    desk.follow("files:         not resolved yet")
    lock.unlink()
    desk.fails("all", "--offline")
    desk.follow("run `fetch lock` where there is a network")
    desk.fetch("all", "--offline")
    lock.unlink()
    desk.fails("check")
    for number in (0, 1):
        desk.follow("run `{command}`, or `fetch lock`", number)
        desk.fetch("check")
    desk.fetch("all", "--locked")


@about(
    "`fetch lock --resolve ours` (or theirs)",
    "`fetch lock --resolve ours`, or theirs",
    "next: fetch lock --check, git add",
    "name two files instead",
)
def test_locks_that_say_two_things(desk: Desk, project: Path, hub: HubServer) -> None:
    desk.fetch("lock")
    lock = project / "fetch.lock"
    before = lock.read_text()
    hub.add_commit("o/m", {"config.json": b"{}\n"})
    desk.fetch("lock", "--update", "m")
    hub.add_commit("o/m", {"config.json": b"{ }\n"})
    after = lock.read_text()
    marked = []
    for old, new in zip(before.splitlines(), after.splitlines(), strict=True):
        marked += [old] if old == new else ["<<<<<<< HEAD", old, "=======", new, ">>>>>>> x"]
    lock.write_text("\n".join(marked) + "\n")
    desk.fails("check")
    desk.follow("`fetch lock --resolve ours` (or theirs)", 0)
    assert lock.read_text() == before
    desk.follow("next: fetch lock --check, git add")
    desk.follow("`fetch lock --resolve ours` (or theirs)", 1, NAME="m")
    assert lock.read_text() not in (before, after)
    base = lock.read_text()
    for name, text in (("base", base), ("ours", before), ("theirs", after)):
        (project / name).write_text(text)
    desk.fetch("lock", "--merge-driver", "base", "ours", "theirs", code=1)
    lock.write_text((project / "ours").read_text())
    desk.follow("`fetch lock --resolve ours`, or theirs")
    assert lock.read_text() == before
    lock.rename(project / "OLD_LOCK")
    lock.write_text(after)
    (project / ".git").write_text("gitdir: nowhere")
    (project / "NEW_LOCK").write_text(after)
    desk.fails("diff", "main")
    desk.follow("name two files instead")


@about("one of both is wrong: `fetch diff` shows")
def test_a_lock_that_contradicts_a_pin(desk: Desk, project: Path) -> None:
    git(project, "init", "-q")
    desk.fetch("lock")
    git(project, "add", "fetch.lock")
    git(project, "commit", "-qm", "x")
    manifest, lock = project / "manifests/p.yaml", project / "fetch.lock"
    digest = json.loads(lock.read_text())["manifests"]["p"]["m"]["files"]
    one = next(file for file in digest if file["path"] == "model.safetensors")
    manifest.write_text(
        manifest.read_text().replace(
            "    exclude: .gitattributes\n",
            f"    files: {{model.safetensors: {{sha256: {one['sha256']}}}}}\n",
        )
    )
    desk.fetch("lock")
    lock.write_text(lock.read_text().replace(one["sha256"], "0" * 64))
    desk.fails("check")
    desk.follow("one of both is wrong: `fetch diff` shows", 0)
    desk.follow("one of both is wrong: `fetch diff` shows", 1)
    desk.fetch("all")
    desk.fetch("check", "--deep")
