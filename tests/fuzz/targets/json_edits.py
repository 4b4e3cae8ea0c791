"""Edits of placed JSON files: done twice is done once, and nothing else changes."""

from __future__ import annotations

import json

from fetcher.errors import Failure
from fetcher.tree import json_edits
from tests.fuzz.kit import Target, parts_of, seed, text_of


def check(data: bytes) -> None:
    key, file = parts_of(data, 2)
    values: dict[str, object] = {text_of(key): "new"}
    try:
        once = json_edits.apply(file, values, "c.json")
    except Failure as failure:
        assert failure.problem.code == "edit"
        return
    assert json_edits.apply(once, values, "c.json") == once
    if not text_of(key).startswith("/"):
        before = json.loads(file.decode("utf-8-sig"))
        before.pop(text_of(key), None)
        after = json.loads(once)
        assert after.pop(text_of(key)) == "new"
        assert repr(after) == repr(before)


TARGET = Target(
    check,
    [
        seed("path", '{\n  "path": "old",\n  "b": [1, {"c": 2}]\n}\n'),
        seed("/b/1/c", '{"b": [1, {"c": 2}], "\u00fc": null}'),
        seed("/a~1b/~0", "{}"),
    ],
    ["/", "/0", "/-", "~1", "~0", "{", "}", "[", "]", '"a": ', "null", "1e999", "NaN", "\\ud800", "\n\t",
     "\ufeff", "9" * 20, "[" * 40, '"path"', ", "],
    longest=1000,
)  # fmt: skip
