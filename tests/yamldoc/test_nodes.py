"""YAML as a tree with places: nothing is changed silently, nothing hostile gets further."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from fetcher.yamldoc import nodes
from fetcher.yamldoc.nodes import Document, Node, parse


def places(data: bytes | str) -> list[str]:
    raw = data.encode() if isinstance(data, str) else data
    return [f"{p.line}:{p.column}: {p.message}" for p in parse(raw, "f").problems]


def texts(node: Node) -> object:
    if node.kind == "mapping":
        return {key.text: texts(value) for key, value in node.pairs}
    return [texts(item) for item in node.items] if node.kind == "sequence" else node.text


def root_of(document: Document) -> Node:
    assert document.root is not None, document.problems
    return document.root


YAMLISH = st.text(alphabet="ab:-?[]{},&*!|>'\"%@` \n\t#\\<~0.é\ufeff\x85\u2028", max_size=60)


@given(st.one_of(st.binary(max_size=80), YAMLISH.map(str.encode)))
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfea\x00")
@example(b"a: \xc3")
@example(b"a: |\n\n\n")
def test_any_bytes_give_a_tree_or_problems_inside_the_file(data: bytes) -> None:
    document = parse(data, "f")
    assert document.root is not None or document.problems
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    lines = re.split(r"[\n\r\x85\u2028\u2029]", text)
    for problem in document.problems:
        assert 1 <= problem.line <= len(lines) + 1
        assert 1 <= problem.column <= len(text) + 2
        assert problem.message


@pytest.mark.parametrize(
    "text", ["no", "yes", "on", "12:30", "12:30:45", "2024-01-01", "1e5", "010", "0x1F", "1_000"]
)
def test_scalars_stay_as_they_stand(text: str) -> None:
    assert texts(root_of(parse(f"a: {text}".encode(), "f"))) == {"a": text}


def test_lines_and_columns_count_from_one() -> None:
    root = root_of(parse('top:\n  한글: [x, "y", {z: w}]\n'.encode(), "f"))
    inner = root.pairs[0][1]
    key, value = inner.pairs[0]
    assert (key.line, key.column) == (2, 3)
    assert (value.line, value.column) == (2, 7)
    assert [(item.line, item.column) for item in value.items] == [(2, 8), (2, 11), (2, 16)]
    assert [item.quoted for item in value.items[:2]] == [False, True]


def test_a_byte_order_mark_is_no_text() -> None:
    assert texts(root_of(parse(b"\xef\xbb\xbfa: b", "f"))) == {"a": "b"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\nb: 2\na: 3\n", ["3:1: duplicate key 'a': it already stands in line 1"]),
        ("a: {x: 1, 'x': 2}", ["1:11: duplicate key 'x': it already stands in line 1"]),
        ("b: &b {x: 1}\na:\n  <<: *b\n", ["3:3: merge keys (<<) are not supported"]),
        ("? [a]\n: 1\n", ["1:3: a key must be text, found a list"]),
        ("{{x}}: 1\n", ["1:1: a key must be text, found a mapping"]),
        ("a: !!int 3\n", ["1:4: tag 'tag:yaml.org,2002:int' is not allowed"]),
        (
            "a: !!python/object:os.system x",
            ["1:4: tag 'tag:yaml.org,2002:python/object:os.system'"],
        ),
        ("a: 1\n---\nb: 2\n", ["2:1: a second document starts here"]),
        ("a: *nope\nb: 1\nb: 2", ["1:4: alias *nope has no finished", "3:1: duplicate key 'b'"]),
        ("a: &x [*x]\n", ["1:8: alias *x has no finished anchor"]),
        ("a: 1\n\tb: 2\n", ["2:1: not valid YAML: "]),
        ("a: [1, 2\nb: 3\n", ["2:2: not valid YAML: "]),
        ("a: b: c\n", ["1:5: not valid YAML: mapping values are not allowed"]),
        ("é: 1\na: \x00", ["2:4: not valid YAML: unacceptable character #x0000"]),
        ("", ["1:1: the file is empty"]),
        ("# only a comment\n", ["1:1: the file is empty"]),
    ],
)
def test_mistakes_have_their_place(text: str, found: list[str]) -> None:
    have = places(text)
    assert len(have) == len(found)
    for message, start in zip(have, found, strict=True):
        assert message.startswith(start)


def test_bytes_that_are_no_text_have_their_place() -> None:
    assert places(b"a: 1\n\xc3\xa9: \xff") == ["2:4: not UTF-8 text"]
    assert places(b"\xff\xfea\x00") == ["1:1: not UTF-8 text"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\tb: 1", "not with tabs"),
        ("files: [*.pt]", "quotes"),
        ("a: @x", "quotes"),
        ("a: `x`", "quotes"),
        ("a: b: c", ""),
    ],
)
def test_hints_for_common_slips(text: str, hint: str) -> None:
    [problem] = parse(text.encode(), "f").problems
    assert hint in problem.hint


def test_aliases_that_blow_up_are_stopped() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    [message] = places("\n".join(lines))
    assert "stands for more than 2,000,000 nodes" in message


def test_aliases_cannot_nest_deeper_than_text() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60)]
    [message] = places("\n".join(lines))
    assert "nests deeper than 40 levels" in message


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 5000 + "a", "{a: " * 3000, "? " * 3000])
def test_deep_nesting_is_stopped(text: str) -> None:
    [message] = places(text)
    assert "nested deeper than 40 levels" in message


def test_huge_files_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nodes, "MAX_BYTES", 1024**2)
    path = tmp_path / "huge.yaml"
    with path.open("wb") as stream:
        stream.truncate(10 * 1024**3)
    [problem] = nodes.read(path).problems
    assert "larger than 1 MiB" in problem.message


def test_many_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MAX_NODES", 100)
    assert places("[" + "a, " * 200 + "]") == ["1:299: more than 100 nodes"]


def test_unreadable_files_are_problems(tmp_path: Path) -> None:
    assert "No such file" in nodes.read(tmp_path / "none.yaml", "none.yaml").problems[0].message
    assert "a folder, not a file" in nodes.read(tmp_path).problems[0].message


def test_the_pure_python_parser_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: 1\na: 2\nb: &x {c: *x}\nd: !t e\n? {}\n: 1\n"
    with_c = places(text)
    monkeypatch.setattr(nodes, "_loader", lambda: yaml.SafeLoader)
    assert places(text) == with_c
    assert len(with_c) == 4
    assert "not valid YAML" in places("a: \x07")[0]


def test_describe_says_what_was_found() -> None:
    root = root_of(parse(b"[{}, [], {a: 1}, [1], ~, '', null, 'no', '~']", "f"))
    assert [item.describe() for item in root.items] == [
        "an empty mapping",
        "an empty list",
        "a mapping",
        "a list",
        "nothing",
        "''",
        "nothing",
        "'no'",
        "'~'",
    ]
    assert len(Node("scalar", 1, 1, "x" * 1000).describe()) < 70
