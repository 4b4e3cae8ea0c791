"""Whatever is wrong with a form, a Korean page says it in Korean."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fetcher
from fetcher.register.draft import Draft, from_json
from fetcher.register.form import FIELDS, FormField
from fetcher.web.i18n import Translator
from fetcher.web.messages import HOLE, translated
from fetcher.web.phrases import PHRASES
from tests.web.korean import HANGUL, english_in

KOREAN, ENGLISH = Translator("ko"), Translator("en")
PACKAGE = Path(fetcher.__file__).parent

# What the modules say that a form's values, or its checkpoint's repository, come to.
MODULES = [
    *("schema.py", "manifest.py", "layout.py", "crosscheck.py", "paths.py", "patterns.py"),
    *("yamledit.py", "network.py", "web/adding.py", "web/uploads.py", "web/api.py", "web/jobs.py"),
    *(f"register/{name}.py" for name in ("changes", "checkpoint", "nodes", "placing", "record")),
    *("register/session.py", "register/upstream.py", "sources/__init__.py", "sources/base.py"),
    *("sources/addresses.py", "sources/github.py", "sources/huggingface.py"),
]
# Said where no form leads: files that the command line alone reads, mirrors, what is downloaded.
ELSEWHERE = {
    "a signature needs either key, or certificates, or identity and issuer",
    "there is no such call: see /-/api/openapi.json",
    "expected Content-Type: application/json",
    "the body is no JSON",
}
TELLING = {
    "problem": (1, 2),
    "at": (2, 3),
    "Failure": (1, 2),
    "UsageError": (0, 1),
    "BadPath": (0,),
    "BadPattern": (0,),
    "ValueError": (0,),
    "Wrong": (1,),
    "refusal": (1,),
}
# What may stand in a hole of an f-string: a name, a value in quotes, a number, words.
LOGIN = "set HF_TOKEN or run `hf auth login`"
SAMPLES = ("'x'", "o/x", "7", "is empty", "text", "", "ref 'x'", "two files fall on", LOGIN)

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
    made = translated(text, KOREAN)
    assert HANGUL.search(made) and "값을 확인하세요" not in made, (text, made)
    assert not english_in(made), (text, made, english_in(made))
    assert translated(text, ENGLISH) == text
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
    text = "found 'x, expected a list (is needed); is taken', expected true or false"
    assert check(text) == (
        "입력한 값: 'x, expected a list (is needed); is taken'. 필요한 값: true 또는 false"
    )
    unknown = "something new went wrong"
    assert translated(unknown, KOREAN) == f"값을 확인하세요: {unknown}"
    assert translated("x: " * 600, KOREAN).startswith("값을 확인하세요")


def test_the_phrases_agree_with_one_another() -> None:
    for english, korean in PHRASES.items():
        assert {*HOLE.findall(english)} == {*HOLE.findall(korean)}, english
        own = english in {"io", "params"} or not re.search(r"[a-z]{2}", HOLE.sub("", english))
        assert own or HANGUL.search(korean), english


def _texts(node: ast.expr) -> Iterator[str]:
    """What an expression may say, with samples in its holes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from ("".join(parts) for parts in itertools.product(
            list(_texts(node.left)), list(_texts(node.right))))  # fmt: skip
    elif isinstance(node, ast.JoinedStr):
        parts = [
            [part.value] if isinstance(part, ast.Constant)
            else ["'x'"] if part.conversion == ord("r")  # type: ignore[attr-defined]
            else SAMPLES
            for part in node.values
        ]  # fmt: skip
        yield from ("".join(map(str, chosen)) for chosen in itertools.product(*parts))


def _said(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Every message that a module makes: the line, and what it may come to."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        for index in TELLING.get(name, ()):
            if index < len(node.args) and (texts := list(_texts(node.args[index]))):
                yield node.lineno, texts


def _is_told(text: str) -> bool:
    made = translated(text, KOREAN)
    return bool(HANGUL.search(made)) and "값을 확인하세요" not in made and not english_in(made)


@pytest.mark.parametrize("name", MODULES)
def test_no_module_says_what_has_no_korean(name: str) -> None:
    untold = [
        (line, texts[0])
        for line, texts in _said(PACKAGE / name)
        if not any(text == "" or _is_told(text) for text in texts) and texts[0] not in ELSEWHERE
    ]
    assert not untold, untold
