"""What was placed once and is not wanted any more: moved, set aside, named, taken away."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.conftest import Cli, Result, write_project
from tests.e2e.conftest import WEIGHTS, files_below
from tests.servers.hub import HubServer

ALL = "artifacts:\n  m:\n    source: hf:o/m\n    exclude: .gitattributes\n"
OTHER = bytes(reversed(WEIGHTS))


def placed(project: Path) -> dict[str, bytes]:
    """The tree's files but manifests, layouts, lock and what fetch keeps for itself."""
    return {
        path: data
        for path, data in files_below(project).items()
        if not path.startswith(("manifests/", "layouts/", ".fetch/")) and path != "fetch.lock"
    }


def orphans(result: Result) -> dict[str, str]:
    return {entry["path"]: entry["why"] for entry in result.json["orphans"]}


def kept(project: Path) -> dict[str, bytes]:
    folder = project / ".fetch/kept"
    return {
        path.relative_to(folder).as_posix().partition("/")[2]: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def manifest(project: Path, text: str, layout: str = "tree:\n  models/m/: m\n") -> None:
    write_project(project, "p", text, layout)


def test_a_moved_target_is_moved_and_nothing_is_fetched(
    project: Path, cli: Cli, hub: HubServer, hermetic: Path
) -> None:
    assert cli("all").code == 0
    before = len(hub.requests) + len(hub.cdn.requests)
    inode = (project / "models/m/model.safetensors").stat().st_ino
    shutil.rmtree(hermetic / "store")  # the tree alone has it now
    manifest(project, ALL, "tree:\n  weights/here/: m\n")
    planned = cli("plan", "--json")
    assert planned.json["summary"]["to_download_files"] == 0
    assert set(orphans(planned).values()) == {"moved"}
    assert "models/m/ → weights/here/ (3 files)" in cli("plan").out
    result = cli("all")
    assert result.code == 0 and "moved: models/m/ → weights/here/ (3 files)" in result.out
    assert len(hub.requests) + len(hub.cdn.requests) == before
    assert sorted(placed(project)) == [
        "weights/here/config.json",
        "weights/here/model.safetensors",
        "weights/here/sub/vocab.txt",
    ]
    assert (project / "weights/here/model.safetensors").stat().st_ino == inode
    assert not (project / "models").exists(), "empty folders go as well"
    assert cli("check", "--deep", "--strict").code == 0
    assert cli("all").out.count("moved") == 0


def test_a_file_where_a_folder_is_wanted_makes_way(project: Path, cli: Cli, hub: HubServer) -> None:
    only = "artifacts:\n  m:\n    source: hf:o/m\n    files: [model.safetensors]\n"
    manifest(project, only, "tree:\n  weights: m/model.safetensors\n")
    assert cli("all").code == 0
    before = len(hub.cdn.requests)
    manifest(project, only, "tree:\n  weights/: m\n")
    assert cli("all").code == 0
    assert list(placed(project)) == ["weights/model.safetensors"]
    manifest(project, only, "tree:\n  weights: m/model.safetensors\n")
    assert cli("all").code == 0
    assert placed(project) == {"weights": WEIGHTS}
    assert len(hub.cdn.requests) == before
    assert cli("check", "--strict").code == 0


def test_what_a_loader_would_read_is_moved_aside_at_once(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    assert cli("all").code == 0
    hub.add_repo(
        "o/m",
        {
            "config.json": b'{"a": 1}\n',
            "model-00001-of-00002.safetensors": OTHER,
            "model-00002-of-00002.safetensors": WEIGHTS[:1000],
            "model.safetensors.index.json": b"{}",
            "sub/vocab.txt": b"one\ntwo\n",
            "README.md": b"# m\n",
            ".gitattributes": b"*.safetensors filter=lfs\n",
        },
    )
    result = cli("all", "--update")
    assert result.code == 0, result.err
    assert "moved aside to .fetch/kept/" in result.out and "model.safetensors" in result.out
    assert kept(project) == {"models/m/model.safetensors": WEIGHTS}
    assert "models/m/model.safetensors" not in placed(project)
    assert cli("check", "--strict").code == 0


def test_a_narrower_choice_leaves_what_no_loader_reads_until_it_is_pruned(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    assert cli("all").code == 0
    manifest(project, ALL + "    files: [model.safetensors, config.json]\n")
    result = cli("all", "--json")
    assert result.code == 0
    assert orphans(result) == {"models/m/sub/vocab.txt": "unlisted"}
    for command in ("all", "plan", "status", "check"):
        told = cli(command)
        assert told.code == 0
        assert "models/m/sub/vocab.txt" in told.out and "fetch prune" in told.out, command
    strict = cli("check", "--strict", "--json")
    assert strict.code == 4
    assert [f["target"] for f in strict.json["results"]] == ["models/m/sub/vocab.txt"], "once"
    asked = cli("prune", "--dry-run", "--json")
    assert orphans(asked) == {"models/m/sub/vocab.txt": "unlisted"}
    assert (project / "models/m/sub/vocab.txt").exists()
    done = cli("prune")
    assert done.code == 0 and "taken away: models/m/sub/vocab.txt" in done.out
    assert not (project / "models/m/sub").exists()
    assert cli("check", "--strict").code == 0
    assert "everything" in cli("prune").out


def test_an_artifact_that_is_not_declared_any_more(project: Path, cli: Cli, hub: HubServer) -> None:
    two = ALL + "  n:\n    source: hf:o/m\n    files: [config.json]\n"
    manifest(project, two, "tree:\n  models/m/: m\n  other/: n\n")
    assert cli("all").code == 0
    manifest(project, ALL)
    result = cli("all", "--json")
    assert orphans(result) == {"other/config.json": "removed"}
    assert cli("check").code == 0
    assert cli("all", "--prune").code == 0
    assert not (project / "other").exists()


def test_a_manifest_that_is_gone_takes_its_files_and_its_lock_along(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    write_project(
        project,
        "q",
        "artifacts:\n  n:\n    source: hf:o/m\n    files: [model.safetensors]\n",
        "tree:\n  other/: n\n",
    )
    assert cli("all").code == 0
    (project / "manifests/q.yaml").unlink()
    (project / "layouts/q.yaml").unlink()
    assert orphans(cli("plan", "--json")) == {"other/model.safetensors": "removed"}
    assert orphans(cli("all", "--json")) == {"other/model.safetensors": "removed"}
    assert orphans(cli("all", "--json")) == {"other/model.safetensors": "removed"}, "still told"
    assert cli("prune", "--yes").code == 0
    assert not (project / "other").exists()
    assert '"q/n"' not in (project / "fetch.lock").read_text()
    assert orphans(cli("all", "--json")) == {}


def test_a_renamed_artifact_keeps_its_files(project: Path, cli: Cli, hub: HubServer) -> None:
    assert cli("all").code == 0
    before = len(hub.cdn.requests)
    manifest(project, ALL.replace("  m:", "  mm:"), "tree:\n  models/other/: mm\n")
    result = cli("all", "--json")
    assert result.code == 0
    assert {entry["state"] for entry in result.json["orphans"]} == {"moved"}
    assert len(hub.cdn.requests) == before
    assert all(path.startswith("models/other/") for path in placed(project))


@pytest.mark.parametrize("how", ["all", "prune"])
def test_a_changed_file_is_kept(project: Path, cli: Cli, hub: HubServer, how: str) -> None:
    manifest(project, ALL + "    writable: true\n")
    assert cli("all").code == 0
    trained = project / "models/m/model.safetensors"
    trained.write_bytes(b"trained for a week")
    manifest(project, ALL + "    writable: true\n    files: [config.json]\n")
    result = cli("all", "--json")
    assert result.code == 0
    assert trained.read_bytes() == b"trained for a week", "nothing of theirs goes by itself"
    assert "it was changed" in cli("prune", "--dry-run").out
    assert cli(*{"all": ["all", "--prune"], "prune": ["prune", "-y"]}[how]).code == 0
    assert kept(project) == {"models/m/model.safetensors": b"trained for a week"}
    assert not trained.exists()


def test_a_clone_that_was_copied_still_knows_its_files(
    project: Path, cli: Cli, hub: HubServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert cli("all").code == 0
    copy = tmp_path_factory.mktemp("copies") / "project"
    shutil.copytree(project, copy)
    manifest(copy, ALL, "tree:\n  weights/: m\n")
    result = cli("all", cwd=copy)
    assert result.code == 0 and "moved: " in result.out
    assert not (copy / "models").exists() and kept(copy) == {}


def test_files_that_fetch_did_not_place_are_never_touched(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    assert cli("all").code == 0
    mine = project / "models/m/notes.txt"
    mine.write_text("mine")
    manifest(project, ALL, "tree:\n  weights/: m\n")
    assert cli("all", "--prune").code == 0
    assert cli("prune", "-y").code == 0
    assert mine.read_text() == "mine"


def test_what_a_selection_leaves_out_is_no_orphan(project: Path, cli: Cli, hub: HubServer) -> None:
    more = "  n:\n    source: hf:o/m\n    optional: true\n    files: [config.json]\n"
    two = f"{ALL}    groups: [a]\n{more}"
    manifest(project, two, "tree:\n  models/m/: m\n  other/: n\n")
    assert cli("all", "--include-optional").code == 0
    for options in (["--only", "m"], ["--skip", "n"], ["--group", "a"], ["m"], ["n"], []):
        result = cli("all", "--prune", "--json", *options)
        assert result.code == 0 and result.json.get("orphans", []) == []
    assert (project / "other/config.json").exists()


def test_an_interrupted_or_failed_update_sets_nothing_aside(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    assert cli("all").code == 0
    hub.add_repo(
        "o/m",
        {
            "config.json": b"{}\n",
            "model-1.safetensors": OTHER,
            ".gitattributes": b"*.safetensors filter=lfs\n",
        },
    )
    hub.cdn.stop()
    assert cli("all", "--update").code == 3
    assert (project / "models/m/model.safetensors").read_bytes() == WEIGHTS
    assert kept(project) == {}


def test_a_state_that_lists_other_files_takes_nothing_away(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    """What a clone ships as its state may name any path: none is followed out, none of the
    project's own files is taken."""
    import sqlite3

    assert cli("all").code == 0
    outside = project.parent / "outside.txt"
    outside.write_text("x")
    (project / "away").symlink_to(project.parent)
    names = ["../outside.txt", str(outside), "away/outside.txt", ".git/config", "fetch.lock"]
    names += ["manifests/p.yaml", ".fetch/state.db", "fetch.yaml"]
    (project / ".git").mkdir()
    (project / ".git/config").write_text("x")
    (project / "fetch.yaml").write_text("{}\n")
    database = sqlite3.connect(project / ".fetch/state.db")
    for name in names:
        there = os.lstat(os.path.join(project, name))
        database.execute(
            "INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?,?,?)",
            (name, there.st_size, there.st_mtime_ns, there.st_ino, "0" * 64, "", "", "p/gone", 1),
        )
    database.commit()
    database.close()
    cli("all", "--prune")
    cli("prune", "-y")
    for name in names:
        assert os.path.lexists(os.path.join(project, name)), name


# Thirty days


class Life:
    """A project whose manifest, layout and source change from day to day."""

    def __init__(self, hub: HubServer, project: Path, seed: int) -> None:
        self.hub, self.project, self.random = hub, project, random.Random(seed)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.places: dict[str, str] = {}
        self.narrow: dict[str, list[str]] = {}
        self.mine: dict[str, bytes] = {}
        for name in ("a", "b"):
            self.publish(name)
            self.places[name] = f"models/{name}"

    def publish(self, name: str) -> None:
        """Another revision of a repository."""
        chosen = self.random.sample(["config.json", "model.bin", "s/one.txt", "s/two.txt"], 3)
        files = {path: self.random.randbytes(self.random.randint(1, 3000)) for path in chosen}
        self.repos[name] = files
        self.hub.add_repo(f"o/{name}", dict(files))
        self.narrow.pop(name, None)

    def day(self) -> str:
        """Something changes."""
        act = self.random.choice(
            ["publish", "move", "swap", "narrow", "widen", "drop", "add", "mine"]
        )
        names = sorted(self.places)
        name = self.random.choice(names)
        if act == "publish":
            self.publish(name)
        elif act == "move":
            to = self.random.choice(["models", "x/y", "models/z", "w"]) + f"/{name}"
            if to not in self.places.values():
                self.places[name] = to
        elif act == "swap" and len(names) > 1:
            one, two = self.random.sample(names, 2)
            self.places[one], self.places[two] = self.places[two], self.places[one]
        elif act == "narrow":
            self.narrow[name] = self.random.sample(sorted(self.repos[name]), 1)
        elif act == "widen":
            self.narrow.pop(name, None)
        elif act == "drop" and len(names) > 1:
            del self.places[name]
        elif act == "add":
            new = self.random.choice("abcd")
            if new not in self.places:
                if new not in self.repos:
                    self.publish(new)
                self.places[new] = f"models/{new}-{self.random.randrange(10**6)}"
        elif act == "mine":
            path = f"{self.places[name]}/mine-{len(self.mine)}.txt"
            self.mine[path] = b"mine"
            (self.project / path).parent.mkdir(parents=True, exist_ok=True)
            (self.project / path).write_bytes(b"mine")
        self.write()
        return act

    def write(self) -> None:
        """Manifest and layout of today."""
        text, tree = "artifacts:\n", "tree:\n"
        for name, place in self.places.items():
            text += f"  {name}:\n    source: hf:o/{name}\n    exclude: .gitattributes\n"
            if name in self.narrow:
                text += f"    files: {self.narrow[name]}\n"
            tree += f"  {place}/: {name}\n"
        write_project(self.project, "p", text, tree)

    def expected(self) -> dict[str, bytes]:
        """What a fresh clone would get, and the person's own files."""
        found = dict(self.mine)
        for name, place in self.places.items():
            for path in self.narrow.get(name, self.repos[name]):
                found[f"{place}/{path}"] = self.repos[name][path]
        return found


@pytest.mark.parametrize("seed", range(4))
def test_thirty_days(tmp_path: Path, cli: Cli, hub: HubServer, seed: int) -> None:
    life = Life(hub, tmp_path, seed)
    life.write()
    for day in range(30):
        result = cli("all", "--update", "--prune")
        assert result.code == 0, (day, result.err)
        assert placed(tmp_path) == life.expected(), day
        assert cli("check", "--deep").code == 0
        strict = cli("check", "--strict", "--json")
        extra = {finding["target"] for finding in strict.json["results"]}
        assert extra <= set(life.mine), day
        assert orphans(cli("status", "--json")) == {}
        life.day()
