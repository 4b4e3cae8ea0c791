"""Edits of JSON files: only the named keys change, and twice is once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import Failure
from fetcher.tree.json_edits import apply, expand, fingerprint

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)
EDITS = st.dictionaries(st.text(alphabet="ab01/~é", max_size=5), VALUES, max_size=3)
INDENTS = st.sampled_from([None, 1, 2, 4, "\t", "\n"])


@given(OBJECTS, EDITS, INDENTS, st.booleans())
def test_edits_set_their_keys_and_are_idempotent(
    content: dict[str, Any], values: dict[str, Any], indent: Any, escaped: bool
) -> None:
    data = json.dumps(content, indent=indent, ensure_ascii=escaped)
    try:
        raw = data.encode()
    except UnicodeEncodeError:
        return
    try:
        once = apply(raw, values, "c.json")
    except Failure as failure:
        assert failure.problem.code == "edit"
        return
    assert apply(once, values, "c.json") == once
    edited = json.loads(once)
    for key in set(content) - {name.split("/")[1] if name[:1] == "/" else name for name in values}:
        if not any(name.startswith("/") for name in values):
            assert edited[key] == content[key]
    for key, value in values.items():
        if not key.startswith("/"):
            assert edited[key] == value or any(name.startswith("/") for name in values)


@given(st.binary(max_size=60))
def test_what_is_no_object_is_a_failure(data: bytes) -> None:
    try:
        apply(data, {"a": 1}, "c.json")
    except Failure as failure:
        assert failure.problem.file == "c.json"


def test_the_file_keeps_its_looks() -> None:
    text = '{\n\t"a": "\\ud55c",\n\t"b": [\n\t\t1\n\t]\n}\n'
    assert apply(text.encode(), {"a": "한"}, "f").decode() == text
    text = '{\n   "a": "한",\n   "b": 1.5\n}'
    assert apply(text.encode(), {"b": 1.5}, "f").decode() == text
    assert apply(b'{"a": "x"}', {"a": "\u0016한\\u"}, "f") == b'{"a": "\\u0016\\ud55c\\\\u"}'
    assert apply(b'\xef\xbb\xbf{"a": 1}', {"a": 2}, "f") == b'{"a": 2}'


def test_lone_surrogates_survive() -> None:
    assert apply(b'{"a": "\\ud800"}', {"b": "x"}, "f") == b'{"a": "\\ud800", "b": "x"}'


def test_pointers() -> None:
    data = b'{"a": {"b": [1, {"c/d": 2}]}, "/x": 1}'
    values = {"/a/b/1/c~1d": 3, "/a/b/0": 9, "/new/deep": True, "plain": 1}
    assert json.loads(apply(data, values, "f")) == {
        "a": {"b": [9, {"c/d": 3}]},
        "/x": 1,
        "new": {"deep": True},
        "plain": 1,
    }


@pytest.mark.parametrize(
    "key", ["/a/2", "/a/-", "/a/²", "/a/x", "/s/t", "/a/0/x", "/a/" + "9" * 50]
)
def test_pointers_that_lead_nowhere(key: str) -> None:
    with pytest.raises(Failure, match="no place"):
        apply(b'{"a": [1, 2], "s": "text"}', {key: 1}, "f")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_files_that_cannot_be_edited(data: bytes) -> None:
    with pytest.raises(Failure, match="cannot be edited"):
        apply(data, {"a": 1}, "f")


def test_root_is_replaced_everywhere(tmp_path: Path) -> None:
    values = {"a": "{root}/x", "b": [{"c": "{root}"}], "d": 1, "{root}": "kept as a key"}
    assert expand(values, tmp_path) == {
        "a": f"{tmp_path}/x",
        "b": [{"c": str(tmp_path)}],
        "d": 1,
        "{root}": "kept as a key",
    }


def test_the_fingerprint_tells_values_and_not_their_order() -> None:
    assert fingerprint({}) == ""
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1})


@pytest.mark.parametrize("keys", [("a", "/a"), ("a", "/a/b"), ("/a/b", "/a/b/c"), ("//", "")])
def test_edits_that_would_undo_each_other_are_refused(keys: tuple[str, str]) -> None:
    with pytest.raises(Failure, match="set the same place"):
        apply(b"{}", dict.fromkeys(keys, 1), "c.json")
