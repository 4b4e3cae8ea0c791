"""Two clones of one repository, each on branches of its own, day after day.

After each step a clone's tree is what a fresh clone of its branch gets, and the person's own files.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import Cli
from tests.e2e import test_reconcile
from tests.servers.hub import HubServer

NAMES = ("config.json", "model.bin", "s/one.txt", "s/two.txt")
IDS = "abcd"


class Clone:
    """One person's clone, with its own files in it."""

    def __init__(self, folder: Path, origin: Path, cli: Cli, hub: HubServer, seed: int) -> None:
        self.folder, self.cli, self.hub = folder, cli, hub
        self.random = random.Random(seed)
        self.mine: dict[str, bytes] = {}
        git(folder.parent, "clone", "-q", str(origin), str(folder))
        (folder / ".git/info/exclude").write_text("*.mine\n")  # never shared
        # The lines of docs/commands.md.
        driver = f"'{Path(sys.executable).with_name('fetch')}' lock --merge-driver %O %A %B"
        git(folder, "config", "merge.fetch-lock.driver", driver)

    def read(self) -> tuple[dict[str, dict[str, object]], dict[str, str]]:
        """Artifacts, and targets by artifact."""
        manifest = yaml.safe_load((self.folder / "manifests/p.yaml").read_text())
        layout = yaml.safe_load((self.folder / "layouts/p.yaml").read_text())
        return manifest["artifacts"], {name: path for path, name in layout["tree"].items()}

    def write(self, artifacts: dict[str, dict[str, object]], targets: dict[str, str]) -> None:
        """Manifest and layout, written as a person would."""
        write(self.folder, artifacts, targets)

    def rename(self) -> None:
        """An artifact gets another id."""
        artifacts, targets = self.read()
        old, new = self.random.choice(sorted(artifacts)), self.random.choice("wxyz")
        if new not in artifacts:
            artifacts[new], targets[new] = artifacts.pop(old), targets.pop(old)
            self.write(artifacts, targets)

    def narrow(self) -> None:
        """Fewer files of one."""
        artifacts, targets = self.read()
        artifacts[self.random.choice(sorted(artifacts))]["files"] = ["model.bin"]
        self.write(artifacts, targets)

    def widen(self) -> None:
        """All files again."""
        artifacts, targets = self.read()
        artifacts[self.random.choice(sorted(artifacts))].pop("files", None)
        self.write(artifacts, targets)

    def move(self) -> None:
        """Another target."""
        artifacts, targets = self.read()
        name = self.random.choice(sorted(targets))
        targets[name] = f"models/{name}-{self.random.randrange(100)}/"
        self.write(artifacts, targets)

    def swap(self) -> None:
        """Two exchange their targets."""
        artifacts, targets = self.read()
        if len(targets) > 1:
            one, two = self.random.sample(sorted(targets), 2)
            targets[one], targets[two] = targets[two], targets[one]
            self.write(artifacts, targets)

    def remove(self) -> None:
        """By the command."""
        artifacts, _ = self.read()
        if len(artifacts) > 1:
            name = self.random.choice(sorted(artifacts))
            assert self.fetch("remove", name, "--yes") == 0

    def add(self) -> None:
        """One comes, or comes again."""
        artifacts, targets = self.read()
        name = self.random.choice(IDS)
        if name not in artifacts:
            artifacts[name] = {"source": f"hf:o/{name}", "exclude": [".gitattributes"]}
            targets[name] = f"models/{name}/"
            if len(set(targets.values())) == len(targets):
                self.write(artifacts, targets)

    def update(self) -> None:
        """Upstream publishes, and the lock follows."""
        artifacts, _ = self.read()
        publish(self.hub, self.random.choice(IDS), self.random)
        assert self.fetch("update", self.random.choice(sorted(artifacts))) == 0

    def roll_back(self) -> None:
        """The project's files of some commits ago."""
        commits = git(self.folder, "log", "--format=%H").split()
        git(self.folder, "checkout", "-q", self.random.choice(commits[:5]), "--", ".")

    def own(self) -> None:
        """A file of the person's beside what was placed."""
        _, targets = self.read()
        path = f"{self.random.choice(sorted(targets.values()))}{len(self.mine)}.mine"
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(b"mine")
        self.mine[path] = b"mine"

    def branch(self) -> None:
        """To the other branch, with what is committed."""
        name = self.random.choice(["main", "dev"])
        if name not in git(self.folder, "branch", "--format=%(refname:short)").split():
            git(self.folder, "branch", "-q", name)
        git(self.folder, "checkout", "-q", name)

    def share(self) -> None:
        """Take what the other has pushed on this branch, merge, push."""
        branch = git(self.folder, "branch", "--show-current").strip()
        git(self.folder, "fetch", "-q", "origin")
        if branch in git(self.folder, "ls-remote", "--heads", "origin"):
            merged = git(self.folder, "merge", "-q", f"origin/{branch}", check=False)
            self.settle("CONFLICT" in merged)
        git(self.folder, "push", "-q", "origin", branch)

    def settle(self, conflict: bool) -> None:
        """Make one project of what git has merged line by line.

        Conflicts of words are ended by taking the other's, those of the lock by the command.
        """
        for name in git(self.folder, "diff", "--name-only", "--diff-filter=U").split():
            if name != "fetch.lock":
                git(self.folder, "checkout", "-q", "--theirs", "--", name, check=False)
        artifacts, targets = self.read()
        both = artifacts.keys() & targets.keys()
        if both != artifacts.keys() | targets.keys():
            self.write({n: artifacts[n] for n in both}, {n: targets[n] for n in both})
        if conflict and "<<<<<<<" in (self.folder / "fetch.lock").read_text():
            assert self.fetch("check") == 7, "a lock with conflict markers is told"
            assert self.fetch("lock", "--resolve", "theirs") == 0
        git(self.folder, "add", "-u")  # what is ignored is theirs, until the next run
        git(self.folder, "commit", "-q", "--allow-empty", "-m", "merged")

    def fetch(self, *words: str) -> int:
        """A command in this clone."""
        return self.cli(*words, cwd=self.folder).code

    def commit(self) -> None:
        """All that git takes by itself."""
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "--allow-empty", "-m", "step")


def git(folder: Path, *words: str, check: bool = True) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GIT_EDITOR": "true"},
    )
    assert done.returncode == 0 or not check, (words, done.stdout, done.stderr)
    return done.stdout


def write(folder: Path, artifacts: dict[str, dict[str, object]], targets: dict[str, str]) -> None:
    for kind, text in (
        ("manifests", {"manifest": "p", "artifacts": artifacts}),
        ("layouts", {"layout": "p", "tree": {path: name for name, path in targets.items()}}),
    ):
        (folder / kind).mkdir(exist_ok=True)
        (folder / kind / "p.yaml").write_text(yaml.safe_dump(text))


def placed(folder: Path) -> dict[str, bytes]:
    """The tree without git's files."""
    found = test_reconcile.placed(folder)
    return {path: data for path, data in found.items() if not path.startswith(".git")}


def publish(hub: HubServer, name: str, chance: random.Random) -> None:
    chosen = ["model.bin", *chance.sample(sorted(set(NAMES) - {"model.bin"}), 2)]
    files = {path: chance.randbytes(chance.randint(1, 3000)) for path in chosen}
    hub.add_repo(f"o/{name}", files)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(2))
def test_two_clones(tmp_path: Path, cli: Cli, hub: HubServer, seed: int) -> None:
    chance = random.Random(seed)
    for name in IDS:
        publish(hub, name, chance)
    origin, first = tmp_path / "origin.git", tmp_path / "first"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(origin))
    git(tmp_path, "init", "-q", "-b", "main", str(first))
    plain: dict[str, object] = {"exclude": [".gitattributes"]}
    artifacts = {name: {"source": f"hf:o/{name}", **plain} for name in "ab"}
    write(first, artifacts, {name: f"models/{name}/" for name in "ab"})
    (first / ".gitattributes").write_text("fetch.lock merge=fetch-lock\n")
    assert cli("all", cwd=first).code == 0
    git(first, "add", "-A")
    git(first, "commit", "-q", "-m", "begun")
    git(first, "push", "-q", str(origin), "main")
    clones = [Clone(tmp_path / name, origin, cli, hub, seed) for name in ("one", "two")]
    acts = ["rename", "narrow", "widen", "move", "swap", "remove", "add", "update", "roll_back",
            "own", "branch", "share", "share"]  # fmt: skip
    for step in range(30):
        clone, act = chance.choice(clones), chance.choice(acts)
        getattr(clone, act)()
        where = (step, act, clone.folder.name)
        result = cli("all", "--prune", cwd=clone.folder)
        assert result.code == 0, (where, result.err)
        clone.commit()
        expected = fresh(tmp_path, clone, cli)
        assert placed(clone.folder) == {**expected, **clone.mine}, where
        assert cli("check", "--deep", cwd=clone.folder).code == 0, where
        assert git(clone.folder, "status", "--porcelain") == "", where
    for clone in clones:  # what stands beside is the person's, and nothing else
        strict = cli("check", "--strict", "--json", cwd=clone.folder)
        assert {finding["target"] for finding in strict.json["results"]} <= set(clone.mine)


def fresh(tmp_path: Path, clone: Clone, cli: Cli) -> dict[str, bytes]:
    """What another clone of the same branch gets."""
    folder = tmp_path / "fresh"
    git(tmp_path, "clone", "-q", str(clone.folder), str(folder))
    for path in clone.mine:
        (folder / path).unlink(missing_ok=True)
    assert cli("all", "--locked", cwd=folder).code == 0
    found = placed(folder)
    shutil.rmtree(folder)
    return {path: data for path, data in found.items() if path not in clone.mine}
