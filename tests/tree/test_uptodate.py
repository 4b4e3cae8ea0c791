"""A seal says "nothing to do" only where that is so."""

from __future__ import annotations

import os
import sqlite3
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fetcher.errors import Failure
from fetcher.reporting import envelope
from fetcher.store.store import Store
from fetcher.tree import planner, uptodate
from fetcher.tree.state import State
from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

FILES = {f"{folder}/{n}.txt": f"{folder} {n}\n" for folder in ("a", "b/c") for n in range(5)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  x: {source: 'local:source'}\n",
        "root: out\ntree:\n  data/: x\n",
    )
    return tmp_path


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows whenever a plan is made."""
    made: list[int] = []
    original = planner.Planner.plan

    def plan(self: planner.Planner, *arguments: object) -> object:
        made.append(1)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(planner.Planner, "plan", plan)
    return made


@pytest.fixture
def complete(project: Path, cli: Cli, plans: list[int]) -> Path:
    assert cli("all").code == 0
    plans.clear()
    return project


@pytest.mark.parametrize("command", ["all", "status", "check"])
def test_nothing_to_do_needs_no_plan(
    complete: Path, cli: Cli, plans: list[int], command: str
) -> None:
    assert cli(command).code == 0
    assert plans == []


@pytest.mark.parametrize("command", ["status", "check"])
def test_the_same_is_shown_without_a_seal(complete: Path, cli: Cli, command: str) -> None:
    with_seal = cli(command).out
    with sqlite3.connect(complete / ".fetch/state.db") as db:
        db.execute("DELETE FROM seals")
    db.close()
    assert cli(command).out == with_seal


def touch(path: Path) -> None:
    os.utime(path, ns=(1, time.time_ns() + 10))


def replace_folder(root: Path) -> None:
    os.rename(root / "out/data/b", root / "elsewhere")
    (root / "out/data/b").write_text("")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is changed": lambda root: (root / "out/data/a/1.txt").write_text("other"),
    "a file is touched": lambda root: touch(root / "out/data/b/c/4.txt"),
    "a file is gone": lambda root: (root / "out/data/a/1.txt").unlink(),
    "a folder is gone": lambda root: os.rename(root / "out/data/b", root / "elsewhere"),
    "a folder is a file": replace_folder,
    "the manifest": lambda root: (root / "manifests/p.yaml").open("a").write("# more\n"),
    "the layout": lambda root: (root / "layouts/p.yaml").open("a").write("# more\n"),
    "another manifest": lambda root: write_project(
        root, "q", "artifacts:\n  y: {source: 'local:source'}\n", "tree: {more/: y}\n"
    ),
    "the lock": lambda root: (root / "fetch.lock").open("a").write("\n"),
    "the settings": lambda root: (root / "fetch.yaml").write_text("jobs: 3\n"),
    "the variables": lambda root: (root / ".env").write_text("FETCH_JOBS=3\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_breaks_it(complete: Path, cli: Cli, plans: list[int], change: str) -> None:
    CHANGES[change](complete)
    cli("status")
    assert plans == [1]


def test_it_is_made_again(complete: Path, cli: Cli, plans: list[int]) -> None:
    for _ in range(3):
        (complete / "out/data/a/1.txt").unlink()
        assert cli("all").code == 0
        assert len(plans) == 1
        assert cli("all").code == 0 and cli("check").code == 0
        assert len(plans) == 1
        plans.clear()


def test_a_moved_clone_has_none(complete: Path, cli: Cli, plans: list[int]) -> None:
    moved = complete.with_name(complete.name + "-moved")
    os.rename(complete, moved)
    complete.mkdir()
    assert cli("all", cwd=moved).code == 0
    assert plans == [1]


@pytest.mark.parametrize(
    "flags",
    [["--deep"], ["--strict"], ["--only", "x"], ["--junit", "r.xml"]],
    ids=lambda flags: str(flags[0]),
)
def test_a_closer_look_is_taken(
    complete: Path, cli: Cli, plans: list[int], flags: list[str]
) -> None:
    assert cli("check", *flags).code == 0
    assert plans == [1]


def test_another_selection_is_another_seal(complete: Path, cli: Cli, plans: list[int]) -> None:
    for _ in range(2):
        assert cli("all", "--only", "x").code == 0
    assert len(plans) == 1
    assert cli("all").code == 0
    assert len(plans) == 1


def test_all_manifests_by_name_are_all_manifests(
    complete: Path, cli: Cli, plans: list[int]
) -> None:
    names = [path.stem for path in (complete / "manifests").iterdir()]
    for command in (["all"], ["all", *names], ["status", *names], ["status"], ["check", *names]):
        assert cli(*command).code == 0
    assert plans == [], "one seal serves all of them"
    (complete / "manifests" / "other.yaml").write_text("manifest: other\nartifacts: {}\n")
    cli("all", *names)
    assert plans, "now they are not all"


def test_optional_artifacts_that_are_not_there_are_still_shown(
    project: Path, cli: Cli, plans: list[int]
) -> None:
    text = (project / "manifests/p.yaml").read_text()
    (project / "manifests/p.yaml").write_text(
        text + "  y: {source: 'local:source', files: [a/1.txt], optional: true}\n"
    )
    layout = project / "layouts/p.yaml"
    layout.write_text(layout.read_text() + "  more/: y\n")
    assert cli("all").code == 0
    plans.clear()
    assert cli("all").code == 0 and plans == []
    assert "y (optional)" in cli("status").out and plans == [1]


def test_what_an_older_lock_left_is_still_named(complete: Path, cli: Cli) -> None:
    (complete / "source/a/1.txt").rename(complete / "source/a/README.md")
    assert cli("all").code == 0
    assert cli("all", "--update").code == 0
    (complete / "source/a/README.md").unlink()
    for _ in range(2):
        assert "README.md" in cli("all", "--update").out
        assert "README.md" in cli("check").out


def test_a_symlinked_tree_is_looked_at(project: Path, cli: Cli, plans: list[int]) -> None:
    for _ in range(2):
        assert cli("all", "--link", "symlink").code == 0
    assert len(plans) == 2


def test_a_damaged_seal_is_none(complete: Path, cli: Cli, plans: list[int]) -> None:
    for column, value in (("numbers", b"x"), ("names", "one"), ("numbers", None)):
        with sqlite3.connect(complete / ".fetch/state.db") as db:
            db.execute(f"UPDATE sealed SET {column} = ?", (value,))
        db.close()
        assert cli("all").code == 0
    assert len(plans) == 3


def test_only_the_last_are_kept(tmp_path: Path) -> None:
    state = State(tmp_path)
    for number in range(9):
        state.save_seal(f"m{number}", "{}", [("f", "n", b"")], [(0, "n", "n", b"")], 3)
        state.save_seal(f"m{number}", "{}", [("f", "n", b"")], [(0, "n", "n", b"")], 3)
    with sqlite3.connect(state.path) as db:
        assert db.execute("SELECT mark FROM seals ORDER BY id").fetchall() == [
            ("m6",),
            ("m7",),
            ("m8",),
        ]
        for table in ("sealed", "sealed_files"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (3,)
    db.close()
    state.close()


def test_entries_of_any_size_fit() -> None:
    entry = uptodate._ENTRY.pack(2**64 - 1, -(2**63), 2**64 - 1)
    assert uptodate._ENTRY.unpack(entry) == (2**64 - 1, -(2**63), 2**64 - 1)


# What a sealed run reports, it would report without the seal.

RICH = """artifacts:
  plain: {name: Plain, source: 'local:source', files: ['a/*.txt']}
  trained: {source: 'local:source', files: ['b/c/*.txt'], writable: true}
  config: {source: 'local:config'}
  more: {source: 'local:source', files: [a/0.txt], optional: true}
"""
RICH_LAYOUT = """root: out
tree:
  plain/: plain
  trained/: trained
  settings.json: config/c.json
  more/: more
edits:
  settings.json: {base: '{root}/plain'}
"""


@pytest.fixture
def rich(project: Path) -> Path:
    (project / "config").mkdir()
    (project / "config/c.json").write_text('{"base": null, "한글": "é\\u007f"}')
    write_project(project, "p", RICH, RICH_LAYOUT)
    return project


def reported(cli: Cli, *command: str) -> str:
    """The JSON of a command, without its seconds."""
    result = cli(*command, "--json")
    assert result.code == 0, result.err
    seconds = result.json["summary"]["seconds"]
    assert f'"seconds": {seconds}' in result.out
    return result.out.replace(f'"seconds": {seconds}', '"seconds": 0', 1)


def without_seals(root: Path) -> None:
    with sqlite3.connect(root / ".fetch/state.db") as db:
        db.execute("DELETE FROM seals")
    db.close()


@pytest.mark.parametrize(
    "command", [["all"], ["all", "--include-optional"], ["status"], ["check"]], ids=" ".join
)
def test_a_sealed_report_is_that_of_the_plan(
    rich: Path, cli: Cli, plans: list[int], command: list[str]
) -> None:
    assert cli("all", "--include-optional").code == 0
    assert cli("all").code == 0
    plans.clear()
    with_seal = reported(cli, *command)
    assert command[0] != "all" or plans == []
    without_seals(rich)
    plans.clear()
    assert reported(cli, *command) == with_seal
    assert plans == [1]


@pytest.mark.parametrize("command", ["all", "status", "check"])
def test_without_optional_artifacts_no_report_needs_a_plan(
    complete: Path, cli: Cli, plans: list[int], command: str
) -> None:
    with_seal = reported(cli, command)
    assert plans == []
    without_seals(complete)
    assert reported(cli, command) == with_seal


def test_the_first_report_after_a_run_is_sealed_and_right(
    rich: Path, cli: Cli, plans: list[int]
) -> None:
    """What the run itself learned is in the seal, as it is in the lock."""
    assert cli("all").code == 0
    plans.clear()
    with_seal = reported(cli, "all")
    assert plans == []
    without_seals(rich)
    assert reported(cli, "all") == with_seal


def test_an_artifact_in_the_hugging_face_cache_has_no_seal_and_the_same_report(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add_repo("o/m", {"config.json": b"{}"})
        write_project(
            tmp_path, "p", "artifacts:\n  m: {source: 'hf:o/m'}\n", "tree: {}\nhub_cache: [m]\n"
        )
        assert cli("all").code == 0
        first = reported(cli, "all")
        assert reported(cli, "all") == first


def test_sizes_that_nobody_knew_are_in_the_seal(tmp_path: Path, cli: Cli) -> None:
    with FileServer({"/f.bin": b"some bytes"}) as server:
        write_project(
            tmp_path,
            "p",
            f"artifacts:\n  f: {{source: '{server.url}/f.bin'}}\n",
            "tree:\n  data/: f\n",
        )
        assert cli("all").code == 0
        with_seal = reported(cli, "all")
        assert '"bytes": 10,' in with_seal and '"size": 10,' in with_seal
        without_seals(tmp_path)
        assert reported(cli, "all") == with_seal


def test_many_files_are_reported_in_order(
    tmp_path: Path, cli: Cli, plans: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uptodate, "_CHUNK", 7)
    monkeypatch.setattr(envelope, "_BATCH", 3)
    for number in range(30):
        path = tmp_path / f"source/{number % 3}/{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  x: {source: 'local:source'}\n  y: {source: 'local:source/0'}\n",
        "tree:\n  x/: x\n  y/: y\n",
    )
    assert cli("all").code == 0
    plans.clear()
    with_seal = reported(cli, "all")
    assert plans == [] and with_seal.count('"path"') == 40
    without_seals(tmp_path)
    assert reported(cli, "all") == with_seal


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM sealed_files",
        "UPDATE sealed_files SET facts = x'00'",
        "UPDATE sealed_files SET paths = 'one'",
        "UPDATE sealed_files SET targets = NULL",
        "UPDATE sealed_files SET artifact = 9",
        "UPDATE seals SET found = '[]'",
        "UPDATE seals SET found = replace(found, '\"name\"', '\"label\"')",
        "DELETE FROM sealed WHERE rowid = (SELECT min(rowid) FROM sealed)",
    ],
)
def test_a_damaged_report_is_made_anew(
    complete: Path, cli: Cli, plans: list[int], damage: str
) -> None:
    expected = reported(cli, "all")
    assert plans == []
    with sqlite3.connect(complete / ".fetch/state.db") as db:
        assert db.execute(damage).rowcount > 0
    db.close()
    assert reported(cli, "all") == expected
    assert plans == [1]
    assert reported(cli, "all") == expected
    assert plans == [1], "and sealed again"


def test_what_is_in_an_archive_has_to_be_known(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that could not even begin had nothing to do, and sealed that."""
    folder = tmp_path / "packed"
    folder.mkdir()
    with zipfile.ZipFile(folder / "d.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  z: {source: 'local:packed', files: [d.zip], unpack: true}\n",
        "tree:\n  z/: z\n",
    )
    with monkeypatch.context() as patch:
        patch.setattr(Store, "prepare", _fails)
        assert cli("all").code == 9
    assert cli("all").code == 0
    assert (tmp_path / "z/a.txt").read_text() == "a"


def _fails(_: Store) -> None:
    raise Failure("disk-space", "full")
