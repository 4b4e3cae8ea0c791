"""Whatever is wrong with a form, a Korean page says it in Korean."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from fetcher.register.draft import Draft, from_json
from fetcher.register.form import FIELDS, FormField
from fetcher.web.i18n import Translator
from tests.web.korean import HANGUL, english_in

KOREAN, ENGLISH = Translator("ko"), Translator("en")

VALUES = [
    *("bell \x07", "two\nlines", "[unclosed", "{a: [}", "a: b: c", "-", "x", "-1", "0", "007"),
    *("1.5", "1e999", "yes", "~", "null", "''", "{}", "[]", "[a, a]", "[a, b]", "[1, 2, 3]"),
    *("[~]", "[{a: b}]", "[[a]]", "{1: 2}", "a=1, a=2", "a=1e999", "x, expected text"),
    *("../x", "/x", "a//b", "con.txt", "a.", ".git/x", "C:x", "a\\b", "x" * 300, "y" * 5000),
    *("a{1..0}.bin", "{0..99999999}", "a{1..2", "a{b..c}", "a{{1,2},3}", "[!", "[b-a]", "~/x"),
    *("{x: {size: -1}}", "{x: {sha256: 00}}", "{x: {nope: 1}}", "{x: {md5: 1, sise: 2}}"),
    *("{'*.bin': {}}", "{'../x': {}}", "{x: 1}", "default_steps=x", "guidance_scale=[1]"),
    *("negative_prompt=[1]", "max_size=[1]", "supports_i2i=yes", "default_size=[0, -3]"),
    *("hf:o/small", "파일", "값 (값)", "100000000000000000000", "a b", "\u202e"),
    "image_compression",
]  # fmt: skip


def check(text: str) -> str:
    """The message in Korean, which is all Korean."""
    made = KOREAN.say(text)
    assert HANGUL.search(made), (text, made)
    assert not english_in(made), (text, made, english_in(made))
    assert ENGLISH.say(text) == text
    return made


@pytest.mark.parametrize("item", FIELDS, ids=lambda item: item.key)
def test_every_wrong_value_of_every_field(item: FormField) -> None:
    told = set()
    for text in VALUES:
        told |= {check(words) for words in Draft().set_text(item, text)}
    for value in (None, True, 7, -1.5, "", "x", [], [1], ["a", "a"], {}, {"a": [1]}, [[None]],
                  {"a": {"b": "c"}}, "\x00", {"\n": 1}, 10**30):  # fmt: skip
        told |= {check(words) for words in Draft().set_value(item.key, value)}
    assert told


@pytest.mark.parametrize("key", ["source", "mirrors", "probe", "aliases", "count", "nmae", "io"])
def test_every_wrong_value_of_json(key: str) -> None:
    sources: list[Any] = [
        *(7, [], [1], {}, {"type": "x"}, {"type": 1}, {"type": "hugingface"}, {"type": "pypi"}),
        *(
            {"type": "huggingface"},
            {"type": "mirror"},
            {"type": "github", "repo": "a/b", "ref": "x", "release": "y"},
        ),
        *(
            {"type": "url", "url": text}
            for text in ("x", "http://a:b@c/", "https://github.com/a/b")
        ),
        *({"type": "local", "path": ""}, {"type": "huggingface", "repo": "a b", "path": "../x"}),
        *("hf:x:y:z", "github:x", "x:y", "genforce:x", "pypi:x", "http://"),
    ]
    told = set()
    for value in [*sources, *([value] for value in sources), {"size": "x"}, {"sise": 1}]:
        errors = from_json({"name": "X", key: value})[0].errors
        told |= {check(words) for words in itertools.chain(*errors.values())}
    assert told


def test_a_value_that_looks_like_a_message_stays_a_value() -> None:
    value = "x, expected a list (is needed); is taken"
    told = Draft().set_value("requires_auth", value)
    assert [check(words) for words in told] == [
        "입력한 값: 'x, expected a list (is needed); is taken'. 필요한 값: true 또는 false"
    ]
    assert KOREAN.say("something new went wrong") == "something new went wrong"
