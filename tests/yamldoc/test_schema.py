"""Decoding by types: what is read, what is refused, and that a mistake is noted once."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.yamldoc.nodes import parse
from fetcher.yamldoc.schema import (
    INVALID,
    Boolean,
    Field,
    Integer,
    Json,
    ListOf,
    MapOf,
    Number,
    Raw,
    Record,
    Text,
    Type,
    node_of,
)


def read(kind: Type, text: str) -> tuple[Any, list[str]]:
    document = parse(text.encode(), "f")
    if document.root is None:
        return INVALID, [str(problem) for problem in document.problems]
    value = kind.decode(document.root, document)
    return value, [f"{p}{' | ' + p.hint if p.hint else ''}" for p in document.problems]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Text(), "no", "no"),
        (Text(), "12:30", "12:30"),
        (Text(), "2024-01-01", "2024-01-01"),
        (Text(), "1.10", "1.10"),
        (Text(), "'~'", "~"),
        (Text(), "오로라", "오로라"),
        (Text(multiline=True), "|\n  a\n  b\n", "a\nb\n"),
        (Text(choices=("on", "off")), "on", "on"),
        (Integer(), "0", 0),
        (Integer(), "+7", 7),
        (Integer(), "9223372036854775807", 2**63 - 1),
        (Number(), "7", 7),
        (Number(), "-0.5", -0.5),
        (Number(), "1e3", 1000.0),
        (Number(), ".5", 0.5),
        (Boolean(), "true", True),
        (Boolean(), "FALSE", False),
        (Json(), "[1, 1.5, no, true, ~, '1', 2024-01-01, 010, .inf]", "see below"),
        (ListOf(Text(), or_one=True), "a", ("a",)),
        (ListOf(Text(), or_one=True), "[a, b]", ("a", "b")),
        (ListOf(Text()), "[]", ()),
        (MapOf(Text(), Integer()), "{a: 1}", {"a": 1}),
    ],
)
def test_values(kind: Type, text: str, value: Any) -> None:
    if value == "see below":
        value = [1, 1.5, "no", True, None, "1", "2024-01-01", "010", ".inf"]
    assert read(kind, text) == (value, [])


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Text(), "", "f:1:1: the file is empty"),
        (Text(), "~", "f:1:1: found nothing, expected text"),
        (Text(), "''", "f:1:1: found '', expected text"),
        (Text(), "[a]", "f:1:1: found a list, expected text"),
        (Text(), '"a\\nb"', "control characters"),
        (Text(choices=("model", "dataset")), "modell", "one of model, dataset | did you mean 'mod"),
        (Integer(), "1.0", "found '1.0', expected a whole number of at least 0"),
        (Integer(), "'5'", "found '5'"),
        (Integer(), "0o17", "found '0o17'"),
        (Integer(), "0x10", "found '0x10'"),
        (Integer(), "1_000", "found '1_000'"),
        (Integer(), "12:30", "found '12:30'"),
        (Integer(), "2024-01-01", "found '2024-01-01'"),
        (Integer(), "010", "a leading 0 means octal"),
        (Integer(), "٣", "found '٣'"),
        (Integer(), "9" * 19, "at least 0"),
        (Integer(1, 256), "0", "a whole number from 1 to 256"),
        (Integer(), "-1", "found '-1'"),
        (Number(), "1e999", "found '1e999', expected a number"),
        (Number(), "9" * 5000, "expected a number"),
        (Number(), "007", "expected a number"),
        (Number(), ".nan", "expected a number"),
        (Boolean(), "no", "found 'no', expected true or false | write false"),
        (Boolean(), "On", "write true"),
        (Boolean(), "1", "found '1', expected true or false"),
        (Boolean(), "'true'", "found 'true'"),
        (Json(), "{a: [1e999]}", "f:1:6: '1e999' is too large a number | put quotes around it"),
        (Json(), "9" * 5000, "too large a number"),
        (ListOf(Text()), "a", "found 'a', expected a list of items, each text"),
        (ListOf(Integer(1), length=2), "[256]", "a list of 1 items, expected a list of 2 items"),
        (ListOf(Text(), unique=True), "[a, b, a]", "f:1:8: 'a' is listed twice, first in line 1"),
        (MapOf(Text(), Text(), filled=True), "{}", "found an empty mapping, expected a mapping wi"),
    ],
)
def test_mistakes(kind: Type, text: str, message: str) -> None:
    value, [found] = read(kind, text)
    assert value is INVALID
    assert message in found


RECORD = Record(
    "a thing",
    {
        "source": Field(Text(), "where from", required=True),
        "count": Field(Integer(), "how many"),
        "deep": Field(Record("a deep thing", {"x": Field(Integer(), "x", required=True)}), "deep"),
    },
)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("{source: a, count: 1}", []),
        ("{count: 1}", ["f:1:1: a thing needs the key 'source' | where from"]),
        ("{sorce: a}", ["f:1:2: a thing has no key 'sorce' | did you mean 'source'?"]),
        (
            "{zzz: a}",
            [
                "f:1:2: a thing has no key 'zzz' | known keys: source, count, deep",
                "f:1:1: a thing needs the key 'source' | where from",
            ],
        ),
        ("{source: a, deep: {}}", ["f:1:19: a deep thing needs the key 'x' | x"]),
        ("[]", ["f:1:1: found an empty list, expected a mapping"]),
        ("{<<: {source: a}}", ["f:1:2: merge keys (<<) are not supported | write the keys out"]),
        ("{source: !x a}", ["f:1:10: tag '!x' is not allowed | remove the tag"]),
        ("{source: *x}", ["f:1:10: alias *x has no finished anchor"]),
        ("{source: a, source: b}", ["f:1:13: duplicate key 'source'"]),
        ("{count: 1, ? [] : 1}", ["f:1:14: a key must be text, found an empty list"]),
    ],
)
def test_records_note_each_mistake_once(text: str, messages: list[str]) -> None:
    value, found = read(RECORD, text)
    assert len(found) == len(messages)
    assert all(have.startswith(start) for have, start in zip(found, messages, strict=True))
    assert (value is INVALID) == bool(messages)


def test_a_record_gives_what_is_right_beside_what_is_wrong() -> None:
    document = parse(b"{source: a, count: x}", "f")
    assert document.root is not None
    assert RECORD.read(document.root, document) == ({"source": "a"}, False)


def test_raw_is_the_node_itself() -> None:
    document = parse(b"{a: 1}", "f")
    assert document.root is not None
    assert Raw().decode(document.root, document) is document.root
    assert node_of(document.root, "a").text == "1"
    assert node_of(document.root, "b") is document.root


@given(st.text(alphabet="0123456789.eE+-_x~yno", max_size=25))
def test_bare_scalars_become_what_json_can_hold(text: str) -> None:
    for kind in (Json(), Number(), Integer()):
        value, problems = read(ListOf(kind), f"[{text}]")
        assert (value is INVALID) == bool(problems)
        if value is not INVALID:
            json.dumps(value, allow_nan=False)
            assert all(not isinstance(item, float) or math.isfinite(item) for item in value)
