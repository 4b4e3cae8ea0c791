"""Manifests: every mistake has a place; what is accepted keeps its promises, and reads back."""

from __future__ import annotations

from fetcher.fs.safe_paths import check_relative
from fetcher.project import manifest
from fetcher.sources.base import FileEntry
from fetcher.yamldoc import edit, nodes
from tests.fuzz.kit import Target, seed, yaml_files
from tests.fuzz.targets.yaml_tree import WORDS


def check(data: bytes) -> None:
    document = nodes.parse(data, "m.yaml")
    found = manifest.decode(document)
    for problem in document.problems:
        assert problem.line >= 1 and problem.column >= 1 and problem.message
    if document.problems or found is None:
        return
    assert found.artifacts.keys() == found.declared
    for artifact in found.artifacts.values():
        assert artifact.source.describe() and artifact.selection is not None
        for name, entry in (artifact.request.known or {}).items():
            assert isinstance(entry, FileEntry) and check_relative(name) == name
            assert entry.size is None or 0 <= entry.size < 2**63
    _reads_back(document, found)


def _reads_back(document: nodes.Document, found: manifest.Manifest) -> None:
    """Written by our own writer, it says the same."""
    assert document.root is not None
    value = edit.plain(document.root, document)
    if document.problems:  # too large a number, where only Json() looks
        return
    again = nodes.parse(edit.dump(value, 3).encode("utf-8", "surrogatepass"), "m.yaml")
    second = manifest.decode(again)
    assert not again.problems and second is not None, again.problems
    assert second.artifacts == found.artifacts, (second.artifacts, found.artifacts)


WORDS_OF_MANIFESTS = [
    *(
        "manifest: ",
        "artifacts:\n",
        "  a:\n",
        "    source: ",
        "{type: ",
        "huggingface",
        "repo: o/m",
    ),
    *(
        "files: ",
        "{size: ",
        "sha256: ",
        "exclude: ",
        "count: ",
        "optional: true",
        "groups: ",
        "mirrors: ",
    ),
    *(
        "probe: {type: ",
        "io: ",
        "aliases: ",
        "signature: ",
        "hf:o/m",
        "github:o/r",
        "url:https://a/b",
    ),
    *(
        "local:x",
        "pypi:a==1:b",
        "metrics: ",
        "min_vram: 8G",
        "params: ",
        "combinations: ",
        "name: ",
    ),
]
TARGET = Target(
    check,
    [
        seed("manifest: m\nartifacts:\n  a: {source: 'hf:o/m', files: ['*.bin', 'x_{0..3}'], count: 4}\n"),
        seed(
            "manifest: m\nartifacts:\n  a:\n    source: {type: github, repo: o/r, ref: main}\n"
            "    files: {a.bin: {size: 1, sha256: " + "0" * 64 + "}, b: }\n    groups: g\n"
            "    probe: {type: causal-lm, base: b, x: 1.0}\n    io: {resolution: [1, 2]}\n"
        ),
    ],
    [*WORDS, *WORDS_OF_MANIFESTS],
    also=lambda: yaml_files("manifests", "tests/data"),
)  # fmt: skip
