"""Projects: which files belong together, and everything wrong in them said at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetcher.errors import InvalidDocument, UsageError
from fetcher.project.layout import placements
from fetcher.project.project import Project, Selection, Unit, artifacts_of, find_root
from fetcher.sources.base import FileEntry
from tests.conftest import Cli, write_project

Write = Callable[[str, str], Path]
SIBLINGS = Path(__file__).parents[1] / "data" / "projects" / "siblings"

ARTIFACTS = "artifacts:\n  a: {source: 'hf:o/a'}\n"
TREE = "tree: {x/: a}\n"

# One mistake of a kind for every line marked with the column that its message must have.
BAD_MANIFEST = """\
manifest: bad
titel: Misspelled                                     # 1
artifacts:
  typed:
    source: hf:owner/typed
    count: three                                      # 12
    files: [a.bin, ../b.bin]                          # 20
  sourced:
    source: {type: hugginface, repo: owner/name}      # 20
  digested:
    source: gh:owner/digested
    files:
      w.pt: {sha256: 12ab}                            # 22
    optional: no                                      # 15
  named:
    source: hf:owner/named
    files: [w.pt, v.pt]
  named:                                              # 3
    source: hf:owner/other
  homeless:                                           # 3
    source: hf:owner/homeless
"""
BAD_LAYOUT = """\
layout: bad
root: bad
tree:
  one:
    w.pt: named/w.pt
    W.pt: named/v.pt                                  # 5
    v.pt: named/u.pt                                  # 11
  two: {x.pt: stranger/x.pt}                          # 15
  /three: named/w.pt                                  # 3
  four/: [typed, sourced, digested]
hub_cache: [digested]
edits:
  five/config.json: {path: "{root}"}                  # 3
"""


def marked(name: str, text: str) -> list[str]:
    return [
        f"{name}:{number}:{line.rpartition('# ')[2]}:"
        for number, line in enumerate(text.splitlines(), 1)
        if "# " in line
    ]


def test_every_mistake_in_one_run(cli: Cli, write: Write, tmp_path: Path) -> None:
    write("manifests/bad.yaml", BAD_MANIFEST)
    write("layouts/bad.yaml", BAD_LAYOUT)
    expected = marked("manifests/bad.yaml", BAD_MANIFEST) + marked("layouts/bad.yaml", BAD_LAYOUT)
    before = sorted(tmp_path.rglob("*"))
    for arguments in (["all"], ["all", "bad"], ["lock"], ["plan"], ["status"], ["check"]):
        result = cli(*arguments)
        assert result.code == 2
        lines = [line for line in result.err.splitlines() if not line.startswith("hint: ")]
        assert sorted(line.split(" ")[0] for line in lines) == sorted(expected)
    report = cli("all", "--json")
    assert report.code == report.json["exit_code"] == 2
    assert report.codes == {"invalid-document"}
    assert len(report.json["errors"]) == len(expected) == 13
    assert sorted(tmp_path.rglob("*")) == before


def test_ten_mistakes_of_one_kind_are_ten_messages(cli: Cli, write: Write) -> None:
    files = "".join(f"      f{number}: {{size: many}}\n" for number in range(10))
    write(
        "manifests/m.yaml",
        f"manifest: m\nartifacts:\n  a:\n    source: hf:o/a\n    files:\n{files}",
    )
    write("layouts/m.yaml", "layout: m\ntree: {x/: a}\n")
    result = cli("all")
    assert result.code == 2
    for number in range(10):
        assert f"manifests/m.yaml:{6 + number}:18: found 'many', expected a whole" in result.err


def problems(project: Path, *names: str) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        Project(project).load(names)
    return [f"{item} | {item.hint}" for item in caught.value.found]


def test_a_layout_that_is_not_there(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("layouts/common.yaml", f"layout: common\n{TREE}")
    write("manifests/m.yaml", f"manifest: m\nlayout: comon\n{ARTIFACTS}")
    assert problems(tmp_path) == [
        "manifests/m.yaml:2:9: layout 'comon' is not there | did you mean 'common'?"
    ]
    write("manifests/m.yaml", f"manifest: m\n{ARTIFACTS}")
    assert problems(tmp_path) == [
        "manifests/m.yaml:1:1: layout 'm' is not there | write layouts/m.yaml: where the files go"
    ]
    write("manifests/m.yaml", f"manifest: m\nlayout: ../common\n{ARTIFACTS}")
    [found] = problems(tmp_path)
    assert found.startswith("manifests/m.yaml:2:9: found '../common', expected an id")


def test_two_manifests_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, "a", ARTIFACTS, TREE)
    (tmp_path / "manifests" / "b.yaml").write_text(f"title: x\nmanifest: a\n{ARTIFACTS}")
    [found] = problems(tmp_path)
    assert found.startswith("manifests/b.yaml:2:11: manifest 'a' is already in manifests/a.yaml")


def test_problems_of_all_files_come_together_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, "a", ARTIFACTS + "x: 1\n", TREE)
    write_project(tmp_path, "b", ARTIFACTS, TREE + "y: 1\n")
    (tmp_path / "manifests" / "c.yaml").write_text("a: [\n")
    project = Project(tmp_path)
    for _ in range(2):
        with pytest.raises(InvalidDocument) as caught:
            project.load()
        places = [str(item).split(" ")[0] for item in caught.value.found]
        assert places == ["layouts/b.yaml:3:1:", "manifests/a.yaml:4:1:", "manifests/c.yaml:2:1:"]


def test_manifests_by_name_and_by_path(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path, "mine", ARTIFACTS, TREE)
    write("elsewhere/one.yml", f"manifest: one\n{ARTIFACTS}")
    write("elsewhere/layouts/one.yaml", "not: looked at\n")
    write("layouts/one.yml", f"layout: one\n{TREE}")
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path)
    assert [unit.manifest.name for unit in project.load()] == ["mine"]
    assert [unit.manifest.name for unit in project.load(["mine", "manifests/mine.yaml"])] == [
        "mine"
    ]
    assert [unit.manifest.name for unit in project.load(["elsewhere/one.yml"])] == ["one"]
    assert [unit.manifest.name for unit in project.load(["quickstart"])] == ["quickstart"]
    assert project.names()[0] == "mine" and "quickstart" in project.names()
    assert {unit.manifest.name for unit in project.load_everything()} >= {"mine", "quickstart"}
    for name, hint in (
        ("quikstart", "quickstart"),
        ("zzz", "there are: mine"),
        ("a/b.yaml", "path"),
    ):
        with pytest.raises(UsageError) as caught:
            project.load([name])
        assert hint in caught.value.hint
    with pytest.raises(UsageError, match="no manifests"):
        Project(tmp_path / "elsewhere").load()


def test_the_root_is_the_nearest_folder_that_looks_like_a_project(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "a" / "fetch.yaml").touch()
    (tmp_path / "manifests").mkdir()
    assert find_root(deep) == tmp_path / "a"
    assert find_root(tmp_path) == tmp_path


def test_what_lies_above_a_clone_is_not_the_project(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    (clone / "src").mkdir(parents=True)
    (tmp_path / "manifests").mkdir()
    assert find_root(clone / "src") == tmp_path
    (clone / ".git").mkdir()
    assert find_root(clone / "src") == clone / "src"
    (clone / "fetch.lock").touch()
    assert find_root(clone / "src") == clone


def test_a_left_over_lock_makes_no_project_of_its_sub_folders(tmp_path: Path) -> None:
    (tmp_path / "fetch.lock").touch()
    (tmp_path / "new").mkdir()
    assert find_root(tmp_path / "new") == tmp_path / "new"
    assert find_root(tmp_path) == tmp_path


def load_siblings() -> dict[str, Unit]:
    return {unit.manifest.name: unit for unit in Project(SIBLINGS).load()}


def targets(unit: Unit, artifact: str, *listing: str) -> dict[str, str]:
    """Where the files go: those that the manifest names, else those of `listing`."""
    wanted = unit.manifest.artifacts[artifact]
    names = wanted.literal_names if wanted.literal_names is not None else listing
    found, wrong = placements(unit.layout, wanted, [FileEntry(name) for name in names])
    assert wrong == []
    return {item.target: item.file.path for item in found}


def test_sibling_projects_need_no_code() -> None:
    siblings = load_siblings()
    v2, compare = siblings["ohlora-v2"], siblings["compare"]
    assert list(targets(v2, "llm-output")) == [
        "llm/models/output/config.json",
        *(f"llm/models/output/model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)),
    ]
    assert targets(v2, "llm-memory", "config.json", "1_Pooling/config.json") == {
        "llm/models/memory/config.json": "config.json",
        "llm/models/memory/1_Pooling/config.json": "1_Pooling/config.json",
    }
    assert targets(v2, "generator") == {
        "llm/run.py.weights": "eval/mean.npy",
        "stylegan/stylegan_vectorfind_v6/vectorfind_v6.pth": "gen/vectorfind_v6.pth",
        "stylegan/stylegan_vectorfind_v6/vectorfind_v7.pth": "gen/vectorfind_v7.pth",
        "stylegan/models/v7.pt": "gen/vectorfind_v7.pth",
    }
    assert list(targets(v2, "cnn-folds")) == [f"cnn/models/fold_{n}.pth" for n in (0, 1, 2, 4)]
    assert [path.rpartition("_")[2] for path in targets(v2, "hand-picked")] == [
        f"{number:04}.png" for number in (1, 2, 3, 7, 11, 12)
    ]
    assert targets(v2, "link-only") == {"final_product/segmentation.pt": "segmentation.pth"}
    assert targets(v2, "20250526") == {"scores/all_scores.csv": "scores.csv"}
    assert v2.layout.is_writable("llm/models/summary/adapter_model.safetensors")
    assert targets(compare, "generator-v7") == {"generator.ckpt": "vectorfind_v7.pth"}
    assert targets(compare, "tools", "weights/a", "weights/sub/b", "extra/c", "README.md") == {
        "left/a": "weights/a",
        "left/sub/b": "weights/sub/b",
        "right/b": "weights/sub/b",
        "right/c": "extra/c",
    }


def test_every_count_of_a_sibling_is_that_of_its_names() -> None:
    for unit in load_siblings().values():
        for artifact in unit.manifest.artifacts.values():
            if artifact.count and artifact.literal_names:
                assert len(artifact.literal_names) == artifact.count


def picked(*, optional: bool = False, **options: Any) -> list[str]:
    text = (
        "manifest: m\nartifacts:\n"
        "  a: {source: 'hf:o/a', groups: runtime, aliases: [first]}\n"
        "  b: {source: 'hf:o/b', optional: true, groups: [runtime, training]}\n"
        "  c: {source: 'hf:o/c'}\n"
    )
    from fetcher.project import manifest as manifests
    from fetcher.project.layout import Layout
    from fetcher.yamldoc.nodes import parse

    manifest = manifests.decode(parse(text.encode(), "m"))
    assert manifest is not None
    units = [Unit(manifest, Layout("m", "m"))]
    selection = Selection(optional=optional, **options)
    selection.check(units)
    return [artifact.id for _, artifact in artifacts_of(units, selection)]


CHOICES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["a", "c"]),
    ({"optional": True}, ["a", "b", "c"]),
    # An optional artifact is taken where it is named; a glob names nothing.
    ({"only": ("b",)}, ["b"]),
    ({"only": ("*",)}, ["a", "c"]),
    ({"only": ("*",), "optional": True}, ["a", "b", "c"]),
    ({"only": ("first",)}, ["a"]),
    ({"only": ("*", "b")}, ["a", "b", "c"]),
    ({"exact": {"m": {"b"}}}, ["b"]),
    ({"exact": {"m": {"a", "b"}}, "skip": ("a",)}, ["b"]),
    ({"exact": {"other": {"b"}}}, ["a", "c"]),
    # Whoever asks for a group gets all of it, and nothing else.
    ({"groups": ("runtime",)}, ["a", "b"]),
    ({"groups": ("training",)}, ["b"]),
    ({"groups": ("runtime",), "optional": True}, ["a", "b"]),
    ({"groups": ("runtime", "training")}, ["a", "b"]),
    ({"groups": ("runtime",), "skip": ("b",)}, ["a"]),
    # Several of them narrow each other.
    ({"groups": ("runtime",), "only": ("a", "c")}, ["a"]),
    ({"groups": ("runtime",), "only": ("*",)}, ["a", "b"]),
    ({"groups": ("training",), "exact": {"m": {"b"}}}, ["b"]),
    ({"skip": ("a", "b")}, ["c"]),
    ({"skip": ("*",)}, []),
    ({"skip": ("b",), "optional": True}, ["a", "c"]),
    ({"only": ("*",), "skip": ("c",)}, ["a"]),
]


@pytest.mark.parametrize(("options", "expected"), CHOICES)
def test_selections(options: dict[str, Any], expected: list[str]) -> None:
    assert picked(**options) == expected


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"only": ("x*",)}, r"--only x\*: no such artifact", "there are"),
        ({"skip": ("firts",)}, "--skip firts: no such artifact", "'first'"),
        ({"groups": ("runtme",)}, "--group runtme: no such group", "'runtime'"),
        ({"only": ("c",), "groups": ("runtime",)}, "--only c --group runtime: no artifact", "drop"),
        ({"only": ("a",), "skip": ("a",)}, "--only a --skip a: no artifact is left", "drop"),
        ({"only": ("b*",)}, r"--only b\*: what that chooses is optional", "--only b"),
    ],
)
def test_selections_of_nothing(options: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        picked(**options)
    assert hint in caught.value.hint


def test_a_group_of_optional_artifacts_is_fetched_and_looked_at(cli: Cli, tmp_path: Path) -> None:
    more = {"a": "", "b": ", optional: true, groups: [g]", "c": ", groups: [g]"}
    artifacts = "".join(
        f"  {name}: {{source: 'local:s', files: [{name}.bin]{fields}}}\n"
        for name, fields in more.items()
    )
    write_project(tmp_path, "p", f"artifacts:\n{artifacts}", "tree:\n  m/: [a, b, c]\n")
    (tmp_path / "s").mkdir()
    for name in more:
        (tmp_path / f"s/{name}.bin").write_text(name)

    def there() -> list[str]:
        return sorted(path.name for path in (tmp_path / "m").iterdir())

    assert cli("all", "--group", "g").code == 0 and there() == ["b.bin", "c.bin"]
    assert cli("all").code == 0 and there() == ["a.bin", "b.bin", "c.bin"]
    assert cli("check").code == 0
    assert {row["state"] for row in cli("status", "--json").json["artifacts"]} == {"complete"}
