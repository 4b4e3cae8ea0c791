"""The published JSON Schemas: current, and of one mind with the loader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetcher.project import layout, manifest
from fetcher.yamldoc.nodes import parse
from fetcher.yamldoc.schema import Json
from tests.conftest import Cli
from tests.json_schemas import check_schema, is_valid

ROOT = Path(__file__).parents[2]
MODULES: dict[str, Any] = {"manifest": manifest, "layout": layout}


@pytest.mark.parametrize("kind", [*MODULES, "settings"])
def test_the_published_schema_is_current(kind: str, cli: Cli) -> None:
    published = (ROOT / "docs" / f"{kind}.schema.json").read_text("utf-8")
    assert published == cli("schema", kind).out, "run `make schemas`"
    check_schema(json.loads(published))


def verdicts(kind: str, text: str) -> tuple[bool, bool]:
    """Whether the loader and the schema take a document; the schema sees it as YAML 1.2 does."""
    document = parse(text.encode(), "f")
    assert document.root is not None
    value = Json().decode(document.root, document)
    assert not document.problems
    MODULES[kind].decode(document)
    return not document.problems, is_valid(value, MODULES[kind].json_schema())


def shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


FILES = [
    *ROOT.glob("manifests/*.yaml"),
    *ROOT.glob("layouts/*.yaml"),
    *ROOT.glob("tests/data/projects/*/manifests/*.yaml"),
    *ROOT.glob("tests/data/projects/*/layouts/*.yaml"),
]


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_the_project_s_own_files(path: Path) -> None:
    assert verdicts(path.parent.name[:-1], path.read_text("utf-8")) == (True, True)


def artifact(fields: str) -> str:
    return f"manifest: m\nartifacts:\n  a: {{{fields}}}\n"


GOOD_ARTIFACTS = [
    "source: hf:o/n",
    "source: {type: huggingface, repo: o/n, revision: 1.0, repo_type: dataset, path: a/b}",
    "source: {type: github, repo: o/n, ref: 20240101}",
    "source: {type: github, repo: o/n, release: 2.0}",
    "source: {type: url, url: 'https://h/x'}",
    "source: {type: local, path: 5}",
    "source: hf:o/n, mirrors: [pypi:a==1, {type: pypi, package: a==1.0, path: x}]",
    "source: hf:o/n, mirrors: []",
    "source: hf:o/n, files: [a, 1, true, 2.5]",
    "source: hf:o/n, files: {a: {size: 0}, b: ~, c: {}}",
    "source: hf:o/n, exclude: a",
    "source: hf:o/n, exclude: [a, b]",
    "source: hf:o/n, groups: 2024",
    "source: hf:o/n, name: no, title: x".replace(", title: x", ""),
    "source: hf:o/n, name: 2024-01-01, owner: 12:30, license: 1.0, tags: [1, a]",
    "source: hf:o/n, parameters: 1300000000",
    "source: hf:o/n, parameters: 1.3B, min_vram: 8 GiB",
    "source: hf:o/n, probe: {type: x, anything: [1, {a: ~}]}",
    "source: hf:o/n, params: {default_steps: 3, extra: yes}",
    "source: hf:o/n, io: {resolution: [256, 256], input_range: [-1, 1.5]}",
    "source: hf:o/n, attributes: {a: 1, b: [~]}",
    "source: hf:o/n, count: 3, optional: true, writable: false",
    'source: hf:o/n, description: "two\\nlines"',
]
BAD_ARTIFACTS = [
    "",
    "source: ~",
    "source: ''",
    "source: hf",
    "source: 5",
    "source: []",
    "source: {}",
    "source: {type: nope, repo: o/n}",
    "source: {type: huggingface}",
    "source: {type: huggingface, repo: o/n, ref: x}",
    "source: {type: huggingface, repo: 'a b'}",
    "source: {type: huggingface, repo: o/n, repo_type: models}",
    "source: {type: pypi, package: a==1}",
    "source: hf:o/n, mirrors: hf:o/n",
    "source: hf:o/n, mirrors: [{type: pypi, package: a}]",
    "source: hf:o/n, files: []",
    "source: hf:o/n, files: {}",
    "source: hf:o/n, files: a",
    "source: hf:o/n, files: [a, a]",
    "source: hf:o/n, files: [[a]]",
    "source: hf:o/n, files: ['']",
    "source: hf:o/n, files: {a: 5}",
    "source: hf:o/n, files: {a: {size: -1}}",
    "source: hf:o/n, files: {a: {size: '1'}}",
    "source: hf:o/n, files: {a: {sha256: abc}}",
    "source: hf:o/n, files: {a: {md5: abc}}",
    "source: hf:o/n, count: 0",
    "source: hf:o/n, count: '3'",
    "source: hf:o/n, count: 1.5",
    "source: hf:o/n, optional: yes",
    "source: hf:o/n, optional: 1",
    "source: hf:o/n, kind: thing",
    "source: hf:o/n, task: '??'",
    "source: hf:o/n, groups: [a, a]",
    "source: hf:o/n, groups: [a b]",
    "source: hf:o/n, name: [a]",
    "source: hf:o/n, name: ''",
    'source: hf:o/n, name: "a\\tb"',
    "source: hf:o/n, name: ~",
    "source: hf:o/n, min_vram: 12:30",
    "source: hf:o/n, probe: {}",
    "source: hf:o/n, io: {resolution: [256]}",
    "source: hf:o/n, io: {resolution: [1, 2, 3]}",
    "source: hf:o/n, io: {input_range: [a, b]}",
    "source: hf:o/n, interface: fly",
    "source: hf:o/n, params: {default_steps: 0}",
    "source: hf:o/n, unknown: 1",
]


@pytest.mark.parametrize("fields", GOOD_ARTIFACTS)
def test_both_take_an_artifact(fields: str) -> None:
    assert verdicts("manifest", artifact(fields)) == (True, True)


@pytest.mark.parametrize("fields", BAD_ARTIFACTS)
def test_both_refuse_an_artifact(fields: str) -> None:
    assert verdicts("manifest", artifact(fields)) == (False, False)


A = "artifacts: {a: {source: 'hf:o/n'}}"
GOOD: list[tuple[str, str]] = [
    ("manifest", f"manifest: 2025\n{A}"),
    ("manifest", f"manifest: m\ntitle: 1.5\nlayout: 7\n{A}"),
    ("layout", "layout: m\ntree: {}"),
    ("layout", "layout: 1\ntree: {a: {b: {c/: [x, y/z], d: 5}}, ./: x}"),
    ("layout", "layout: m\nroot: a/b/\ntree: {}\nhub_cache: a\nwritable: [a/]\nedits: {x: {a: ~}}"),
]
BAD: list[tuple[str, str]] = [
    ("manifest", "[]"),
    ("manifest", "manifest: m"),
    ("manifest", A),
    ("manifest", "manifest: m\nartifacts: {}"),
    ("manifest", "manifest: m\nartifacts: []"),
    ("manifest", "manifest: m\nartifacts: {a: hf:o/n}"),
    ("manifest", "manifest: m\nartifacts: {a b: {source: 'hf:o/n'}}"),
    ("manifest", f"manifest: a b\n{A}"),
    ("manifest", f"manifest: m\nlayout: ../x\n{A}"),
    ("manifest", f"manifest: m\nextra: 1\n{A}"),
    ("layout", "a"),
    ("layout", "layout: m"),
    ("layout", "tree: {}"),
    ("layout", "layout: m\ntree: []"),
    ("layout", "layout: m\ntree: {a: ~}"),
    ("layout", "layout: m\ntree: {a: ''}"),
    ("layout", "layout: m\ntree: {a/: []}"),
    ("layout", "layout: m\ntree: {a/: [[b]]}"),
    ("layout", "layout: m\ntree: {a: {b: 'x y/z'}}"),
    ("layout", "layout: m\ntree: {}\nhub_cache: [a, a]"),
    ("layout", "layout: m\ntree: {}\nhub_cache: [{}]"),
    ("layout", "layout: m\ntree: {}\nedits: [a]"),
    ("layout", "layout: m\ntree: {}\nedits: {a: {}}"),
    ("layout", "layout: m\ntree: {}\nedits: {a: b}"),
    ("layout", "layout: m\ntree: {}\nwritable: {a: b}"),
    ("layout", "layout: m\ntree: {}\nroots: a"),
]


@pytest.mark.parametrize(("kind", "text"), GOOD)
def test_both_take_a_document(kind: str, text: str) -> None:
    assert verdicts(kind, text) == (True, True)


@pytest.mark.parametrize(("kind", "text"), BAD)
def test_both_refuse_a_document(kind: str, text: str) -> None:
    assert verdicts(kind, text) == (False, False)


def test_every_field_is_explained() -> None:
    def walk(schema: Any, check: Callable[[dict[str, Any]], None]) -> None:
        if isinstance(schema, dict):
            check(schema)
            for value in schema.values():
                walk(value, check)
        elif isinstance(schema, list):
            for value in schema:
                walk(value, check)

    def explained(schema: dict[str, Any]) -> None:
        for name, value in schema.get("properties", {}).items():
            assert "const" in value or value.get("description"), name

    for module in MODULES.values():
        walk(module.json_schema(), explained)
