"""YAML: where it is accepted, the tree is the one that PyYAML composes, and it is bounded."""

from __future__ import annotations

import yaml

from fetcher.yamldoc import nodes
from fetcher.yamldoc.nodes import Node
from tests.fuzz.kit import Target, seed, yaml_files


def check(data: bytes) -> None:
    document = nodes.parse(data, "f.yaml")
    lines = (
        data.count(b"\n")
        + data.count(b"\r")
        + data.count(b"\xc2\x85")
        + data.count(b"\xe2\x80")
        + 2
    )
    for problem in document.problems:
        assert problem.message and 1 <= problem.line <= lines, problem
    if document.root is None:
        assert document.problems
        return
    assert document.root.size <= nodes.MAX_NODES and document.root.height <= nodes.MAX_DEPTH
    if not document.problems:
        try:
            composed = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.CSafeLoader)
        except yaml.composer.ComposerError:  # an anchor twice, which YAML allows
            return
        _same(document.root, composed, 0)


def _same(ours: Node, theirs: yaml.Node | None, depth: int) -> None:
    assert theirs is not None and depth <= nodes.MAX_DEPTH
    if isinstance(theirs, yaml.ScalarNode):
        assert (ours.kind, ours.text) == ("scalar", theirs.value)
    elif isinstance(theirs, yaml.SequenceNode):
        assert ours.kind == "sequence" and len(ours.items) == len(theirs.value)
        for mine, other in list(zip(ours.items, theirs.value, strict=True))[:20]:
            _same(mine, other, depth + 1)
    else:
        assert isinstance(theirs, yaml.MappingNode) and ours.kind == "mapping"
        assert len(ours.pairs) == len(theirs.value)
        for (key, value), (other, more) in list(zip(ours.pairs, theirs.value, strict=True))[:20]:
            _same(key, other, depth + 1)
            _same(value, more, depth + 1)


WORDS = ["- ", ": ", "? ", "&a ", "*a", "!!str ", "!x ", "<<: ", "|", ">", "---\n", "...\n", "{", "}",
         "[", "]", "\n  ", "'", '"', "#", "%YAML 1.1\n", "no", "~", "12:30", "\u2028", "\ufeff", "\t",
         "\x85", ", ", "0o7", "1e3", "2020-01-01"]  # fmt: skip
TARGET = Target(
    check,
    [
        seed("a: 1\nb: [x, 'y', \"z\"]\n"),
        seed("a: &x {b: c}\nd: *x\n"),
        seed("? a\n: b\n"),
        seed("a: |\n  text\n  more\nb: >-\n  folded\n"),
    ],
    WORDS,
    longest=2000,
    also=lambda: yaml_files("layouts", "examples"),
)
