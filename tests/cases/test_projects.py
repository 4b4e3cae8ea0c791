"""Real projects' facts as manifests and layouts: trees exactly as their pages say.

A case that needs what is not there yet has a line `lacks`, and is expected to fail until it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fetcher.fs.patterns import expand
from tests.cases.world import World, content, world
from tests.conftest import Cli, write_project
from tests.e2e.conftest import files_below

PROJECTS = Path(__file__).parent / "projects"
NAMES = sorted(path.stem for path in PROJECTS.glob("*.yaml"))
PACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".7z")


@dataclass
class Case:
    """One project: its documents, what its sites have, and the tree that its page shows."""

    name: str
    facts: Mapping[str, Any]

    @property
    def tree(self) -> dict[str, bytes]:
        """Every file by its path, and its bytes."""
        found: dict[str, bytes] = {}
        for paths, sources in self.facts["tree"].items():
            made = dict(zip(expand(paths), expand(sources), strict=True))
            found |= {path: content(source, path) for path, source in made.items()}
        return found


def case_of(name: str) -> Case:
    return Case(name, yaml.safe_load((PROJECTS / f"{name}.yaml").read_text("utf-8")))


def _parameters() -> Iterator[Any]:
    for name in NAMES:
        lacks = case_of(name).facts.get("lacks")
        marks = [pytest.mark.xfail(reason=lacks, strict=True)] if lacks else []
        yield pytest.param(name, marks=marks, id=name)


@pytest.fixture
def sites(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("git")) as found:
        yield found


def documents_of(root: Path) -> dict[str, bytes]:
    kept = files_below(root)
    return {name: kept[name] for name in kept if name.startswith(("manifests/", "layouts/"))}


def tree_of(root: Path) -> dict[str, bytes]:
    skipped = ("manifests/", "layouts/", "fetch.lock", ".gitignore")
    return {name: data for name, data in files_below(root).items() if not name.startswith(skipped)}


@pytest.mark.parametrize("name", list(_parameters()))
def test_a_project_is_set_up_as_its_page_says(
    name: str, sites: World, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(name)
    for item in case.facts["serves"]:
        sites.serve(item if isinstance(item, dict) else {"at": item})
    for key, value in sites.environment.items():
        monkeypatch.setenv(key, value)
    root = tmp_path / "first"
    told = sites.told
    write_project(root, name, told(case.facts["manifest"]), told(case.facts["layout"]))
    expected = {told(path): data for path, data in case.tree.items()}
    chosen = ("all", name, "--include-optional", "--json")

    made = cli(*chosen, cwd=root)
    assert made.code == 0, made.out
    assert tree_of(root) == expected
    again = cli(*chosen, cwd=root)
    assert again.code == 0 and again.json["summary"]["downloaded_bytes"] == 0, again.out
    checked = cli("check", name, "--deep", "--include-optional", "--json", cwd=root)
    assert checked.code == 0, checked.out
    kept = set(case.facts.get("keeps", ()))
    assert [path for path in tree_of(root) if path.endswith(PACKED) and path not in kept] == []
    _travels(case, root, expected, tmp_path, cli, monkeypatch)


def _travels(
    case: Case,
    root: Path,
    expected: Mapping[str, bytes],
    tmp_path: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bundle gives the same tree at a site without network and with a store of its own."""
    bundle = tmp_path / "bundle.tar"
    packed = cli("mirror", "export", bundle, case.name, "--include-optional", cwd=root)
    assert packed.code == 0, packed.err
    away = tmp_path / "away"
    for path, data in {**documents_of(root), "fetch.lock": files_below(root)["fetch.lock"]}.items():
        (away / path).parent.mkdir(parents=True, exist_ok=True)
        (away / path).write_bytes(data)
    monkeypatch.setenv("FETCH_STORE", str(tmp_path / "store-away"))
    taken = cli(
        "all", case.name, "--include-optional", "--offline", "--from", bundle, "--json", cwd=away
    )
    assert taken.code == 0, taken.out
    assert tree_of(away) == expected


def test_there_are_enough_of_them() -> None:
    assert len(NAMES) >= 23
