"""Entries are added to YAML that people wrote; everything else stays as it stands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import UsageError
from fetcher.yamldoc.edit import diff, dump, plain, put
from fetcher.yamldoc.nodes import parse

FILE = """\
# the project's models
manifest: demo   # its name

artifacts:
  # the first one
  one:
    source: hf:o/one        # pinned below
    files: [a, b,
      c]

  two:
    source: hf:o/two
    description: |
      Several lines,

      one of them empty.
    # a last word on two

# after everything
title: Demo
"""


def value_of(text: str) -> Any:
    document = parse(text.encode(), "f")
    assert document.root is not None and document.problems == [], document.problems
    return plain(document.root, document)


def test_an_entry_is_inserted_and_nothing_else_moves() -> None:
    record = {"name": "Three", "source": {"type": "huggingface", "repo": "o/3"}, "tags": ["x"]}
    after = put(FILE, ["artifacts"], "three", record, "f")
    added = (
        "\n  three:\n    name: Three\n    source: {type: huggingface, repo: o/3}\n    tags: [x]\n"
    )
    assert after == FILE.replace("last word on two\n", "last word on two\n" + added)
    assert "\n-" not in diff(FILE, after, "f")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ["a", "b"]),
        ("# only a comment\nx: 1\n", ["a"]),
        ("# only a comment", ["a"]),
        ("a: {}\n", ["a"]),
        ("a: {x: 1}  # why\n", ["a"]),
        ("a:\n  b:\n    x: 1", ["a", "b"]),
        ("a:\n- 1\nb: 2\n", ["c"]),
        ("a:\n    wide:\n        x: 1\nz: 2\n", ["a"]),
        ("? a\n: {x: 1}\n", ["a"]),
        ("a:\r\n  x: 1\r\n", ["a"]),
    ],
)
def test_every_style_takes_an_entry(text: str, path: list[str]) -> None:
    after = put(text, path, "new key", {"v": [1, "no", None]}, "f")
    found = value_of(after)
    for step in path:
        found = found[step]
    assert found["new key"] == {"v": [1, "no", None]}
    for comment in ("# only a comment", "# why"):
        assert (comment in after) == (comment in text)


def test_a_key_that_is_there_is_changed_and_comments_stay() -> None:
    after = put(FILE, ["artifacts"], "one", {"source": "hf:o/other"}, "f")
    assert value_of(after)["artifacts"]["one"] == {"source": "hf:o/other"}
    for comment in ("# the project's models", "# its name", "# after everything"):
        assert comment in after


def test_a_broken_file_is_left_alone() -> None:
    with pytest.raises(UsageError, match="cannot be changed"):
        put("a: [1\n", ["b"], "c", 1, "f")


KEYS = st.text(min_size=1, max_size=8).filter(lambda k: k.isprintable() and k == k.strip())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(max_size=12).filter(lambda text: text.isprintable())
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), KEYS, VALUES)
def test_what_is_put_is_read_again(before: dict[str, Any], key: str, value: Any) -> None:
    text = dump({"top": before}) if before else "top: {}\n"
    after = value_of(put(text, ["top"], key, value, "f"))
    assert after == {"top": {**before, key: value}}
