"""`to:` in an artifact: the layout that it stands for, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetcher.project import manifest as manifests
from fetcher.project.crosscheck import cross_check
from fetcher.project.layout import Layout, add_targets, decode, placements
from fetcher.sources.base import FileEntry
from fetcher.yamldoc.nodes import Document, parse
from tests.conftest import Cli, write_project

SOURCES = {
    "whole": "source: hf:o/whole",
    "pair": "source: hf:o/pair, files: [a.bin, sub/b.bin]",
    "one": "source: gh:o/one, files: [x.pth]",
}
NAMES = {"whole": ["c", "d/e"], "pair": ["a.bin", "sub/b.bin"], "one": ["x.pth"]}


def written(to: dict[str, str]) -> tuple[manifests.Manifest, Document]:
    lines = [
        f"  {name}: {{{fields}{', to: ' + json.dumps(to[name]) if name in to else ''}}}\n"
        for name, fields in SOURCES.items()
    ]
    document = parse(f"manifest: m\nartifacts:\n{''.join(lines)}".encode(), "m.yaml")
    manifest = manifests.decode(document)
    assert manifest is not None
    return manifest, document


def outcome(layout: Layout, manifest: manifests.Manifest, *documents: Document) -> object:
    """What stands where, or what is wrong, without the places in the documents."""
    if problems := {p.message for document in documents for p in document.problems}:
        return problems
    found = {}
    for artifact in manifest.artifacts.values():
        files = [FileEntry(name) for name in NAMES[artifact.id]]
        entries, wrong = placements(layout, artifact, files)
        found[artifact.id] = (entries, [problem.code for problem in wrong])
    return found


PATHS = st.sampled_from(
    ["./", "m/", "m", "m/deep/", "a/b.bin", "m/a.bin", "M/", "m/sub", "../x",
     "$DIR/", "m//x", "m/x.pth"]
)  # fmt: skip


@given(st.fixed_dictionaries(dict.fromkeys(SOURCES, PATHS)))
@example({"whole": "m/", "pair": "./", "one": "m"})
@example({"whole": "m/deep/", "pair": "./", "one": "m"})
@example({"whole": "./", "pair": "m/sub", "one": "m"})
def test_it_equals_the_layout_that_it_stands_for(to: dict[str, str]) -> None:
    manifest, document = written(to)
    own = Layout("m", "m.yaml", has_tree=True)
    if not document.problems:
        add_targets(own, manifest, document)
        cross_check(manifest, own, document, document)

    folders: dict[str, list[str]] = {}
    for name, path in to.items():
        folders.setdefault(path, []).append(name)
    text = "".join(
        f"  {json.dumps(path)}: {json.dumps(names if len(names) > 1 else names[0])}\n"
        for path, names in folders.items()
    )
    plain, plain_doc = written({})
    layout_doc = parse(f"layout: m\ntree:\n{text}".encode(), "l.yaml")
    layout = decode(layout_doc)
    assert layout is not None
    if not layout_doc.problems:
        cross_check(plain, layout, plain_doc, layout_doc)

    mine = outcome(own, manifest, document)
    theirs = outcome(layout, plain, plain_doc, layout_doc)
    if isinstance(theirs, dict):
        assert mine == theirs
    else:
        assert isinstance(mine, set)  # both refuse


def project(root: Path, artifacts: str, layout: str = "") -> None:
    write_project(root, "p", f"artifacts:\n{artifacts}", layout or "tree: {}\n")
    if not layout:
        (root / "layouts/p.yaml").unlink()
    (root / "s/sub").mkdir(parents=True)
    for name in ("x.bin", "sub/y.bin"):
        (root / "s" / name).write_text(name)


def test_a_project_needs_no_layout(cli: Cli, tmp_path: Path) -> None:
    project(
        tmp_path,
        "  all: {source: 'local:s', to: models/}\n"
        "  one: {source: 'local:s', files: [x.bin], to: weights/renamed.pth}\n",
    )
    result = cli("all", "--json")
    assert result.code == 0, result.err
    for name in ("models/x.bin", "models/sub/y.bin", "weights/renamed.pth"):
        assert (tmp_path / name).is_file()
    assert not (tmp_path / "layouts/p.yaml").exists()
    shown = cli("tree").out
    assert "weights/" in shown and "renamed.pth  (one/x.bin)" in shown and "y.bin" in shown
    assert cli("check", "--deep").code == 0 and cli("status").code == 0
    assert cli("all", "--json").json["summary"]["placed_files"] == 0


def test_both_for_one_artifact_is_an_error_that_names_both_lines(cli: Cli, tmp_path: Path) -> None:
    project(
        tmp_path,
        "  all: {source: 'local:s', to: models/}\n  b: {source: 'local:s'}\n",
        "tree:\n  other/: all\n  b/: b\n",
    )
    result = cli("plan")
    assert result.code == 2
    assert (
        "manifests/p.yaml:3:32: 'all' says where it stands, and layouts/p.yaml:3:11" in result.err
    )


def test_some_in_the_layout_and_some_beside_their_source(cli: Cli, tmp_path: Path) -> None:
    project(
        tmp_path,
        "  all: {source: 'local:s', to: models/}\n  b: {source: 'local:s', files: [x.bin]}\n",
        "root: top\ntree:\n  b/: b\n",
    )
    assert cli("all").code == 0
    assert (tmp_path / "top/models/sub/y.bin").is_file() and (tmp_path / "top/b/x.bin").is_file()


S = "source: 'local:s'"


@pytest.mark.parametrize(
    ("artifacts", "layout", "message"),
    [
        (f"  a: {{{S}, to: m/}}\n  b: {{{S}}}\n", "", "4:3: artifact 'b' has no place"),
        (
            f"  a: {{{S}, files: [x], to: m/f}}\n  b: {{{S}, files: [x], to: m/f}}\n",
            "",
            "4:42: two files fall on 'm/f'",
        ),
        (f"  a: {{{S}, files: [x, y], to: m}}\n", "", "3:45: artifact 'a' has 2 files"),
        ("  a: {source: 'local:s', to: ../m/}\n", "", "3:30: '../m/' leads out"),
        ("  a: {source: 'local:s', to: '${HOME}/m/'}\n", "", "3:30: '${HOME}/m/' has '${HOME}'"),
        ("  a: {source: 'local:s', to: {nowhere: m/}}\n", "", "3:31: places has no key 'nowhere'"),
        ("  a: {source: 'local:s', to: []}\n", "", "3:30: found an empty list, expected a path"),
        (f"  a: {{{S}, to: m/}}\n", "tree:\n  m/x: zzz\n", "3:8: manifest 'p' has no artifact"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(
    cli: Cli, tmp_path: Path, artifacts: str, layout: str, message: str
) -> None:
    project(tmp_path, artifacts, layout)
    result = cli("plan")
    assert result.code == 2 and message in result.err, result.err


def test_a_named_layout_that_is_not_there_is_still_missed(cli: Cli, tmp_path: Path) -> None:
    project(tmp_path, "  a: {source: 'local:s', to: m/}\n")
    path = tmp_path / "manifests/p.yaml"
    path.write_text(path.read_text().replace("artifacts:", "layout: other\nartifacts:"))
    assert "layout 'other' is not there" in cli("plan").err


def test_entries_of_the_manifest_are_entries_of_the_layout() -> None:
    manifest, document = written({"whole": "m/", "pair": "p/", "one": "o"})
    layout = Layout("m", "m.yaml", has_tree=True)
    add_targets(layout, manifest, document)
    plain = decode(parse(b"layout: m\ntree: {m/: whole, p/: pair, o: one}\n", "l.yaml"))
    assert plain is not None

    def bare(found: Layout) -> list[object]:
        return [e._replace(line=0, column=0, file="") for e in found.entries]

    assert bare(layout) == bare(plain)
