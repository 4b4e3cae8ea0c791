"""Layouts: what is accepted places every file below the root, and no two on one path."""

from __future__ import annotations

from fetcher.fs.globs import BadPattern
from fetcher.fs.safe_paths import BadPath, PathClaims, check_relative
from fetcher.project import layout
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry
from fetcher.sources.huggingface import HuggingFace
from fetcher.yamldoc import nodes
from tests.fuzz.kit import Target, seed, yaml_files
from tests.fuzz.targets.yaml_tree import WORDS

FILES = [FileEntry(path, 1) for path in ("a.bin", "sub/b.bin", "sub/deep/c")]


def check(data: bytes) -> None:
    document = nodes.parse(data, "l.yaml")
    found = layout.decode(document)
    for problem in document.problems:
        assert problem.line >= 1 and problem.column >= 1 and problem.message
    if document.problems or found is None:
        return
    if found.root:
        _is_below(found.root)
    claims, turns = PathClaims(), dict[str, set[str]]()
    listed = {turn.target for turn in found.turns}
    for entry in found.entries:
        if not entry.folder:
            _is_below(entry.target)
            theirs = turns.setdefault(entry.target, set())
            if not (theirs and entry.target in listed and entry.artifact not in theirs):
                assert claims.claim(entry.target) is None
            theirs.add(entry.artifact)
        artifact = Artifact(entry.artifact, "m", HuggingFace("o/m"))
        placed, problems = layout.placements(found, artifact, FILES)
        assert all(item.code == "layout-mismatch" and item.message for item in problems)
        for one in placed:
            _is_below(one.target)
            try:
                found.is_writable(one.target)
            except BadPattern as error:
                raise AssertionError("accepted, and cannot be used") from error


def _is_below(path: str) -> None:
    try:
        check_relative(path)
    except BadPath as error:
        raise AssertionError(f"{path!r} {error}") from error


TARGET = Target(
    check,
    [
        seed("layout: l\nroot: r\ntree:\n  d:\n    x.pt: a/a.bin\n  e/: a\n  f/: [a/sub, b]\n"),
        seed("layout: l\ntree:\n  ./: a\nhub_cache: [a]\nwritable: ['d/*', 'e/']\n"
             "edits:\n  d/c.json: {/a/0: '{root}/x', b: [1, null]}\n"),
    ],
    [*WORDS, "layout: ", "tree:\n", "root: ", "hub_cache: ", "edits: ", "writable: ", "./: ", "/: ",
     "a/sub", "../", ".git", "{root}", "~/", "CON"],
    longest=1500,
    also=lambda: yaml_files("layouts", "tests/data"),
)  # fmt: skip
