"""Both languages say everything, and the pages say nothing that is not in the table."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

import fetcher.web
from fetcher.register.form import FIELDS
from fetcher.web.i18n import WORDS, Translator, preferred

FOLDER = Path(fetcher.web.__file__).parent


def _holes(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_every_key_is_there_in_both_languages() -> None:
    for key, texts in WORDS.items():
        assert len(texts) == 2 and all(text.strip() for text in texts), key
        assert _holes(texts[0]) == _holes(texts[1]), key
    same = {key for key, (english, korean) in WORDS.items() if english == korean}
    assert same <= {"footer", "digest", "type.huggingface", "type.github"}
    korean = re.compile(r"[가-힣]")
    untold = {key for key, texts in WORDS.items() if not korean.search(texts[1])} - same
    assert not untold - {"on_benchmark"}, untold


def test_every_key_that_is_used_is_there() -> None:
    used = set()
    for path in [*FOLDER.glob("*.py"), *FOLDER.glob("templates/*.html")]:
        used |= set(re.findall(r"""\bt\(\s*["']([\w.]+)["']\s*[,)]""", path.read_text("utf-8")))
    assert len(used) > 80 and used <= WORDS.keys(), used - WORDS.keys()
    for item in FIELDS:
        assert WORDS[f"f.{item.key}"] and WORDS[f"h.{item.key}"]


def test_templates_hold_no_text_of_their_own() -> None:
    for path in FOLDER.glob("templates/*.html"):
        text = re.sub(r"{% macro described.*?endmacro %}", "", path.read_text("utf-8"))
        text = re.sub(r"{[%{].*?[%}]}|{#.*?#}", "", text, flags=re.DOTALL)
        text = re.sub(r"<(title|h1)>[^<]*fetch[^<]*</\1>", "", text)
        words = re.findall(r"[A-Za-z가-힣]{3,}", re.sub(r"<[^>]*>", " ", text))
        assert set(words) <= {"fetch"}, (path.name, words)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("ko", "ko"),
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en-GB, ko;q=0.5", "en"),
        ("de, fr;q=0.9, ko;q=0.1", "ko"),
        ("en;q=0.2,ko;q=0.3", "ko"),
        ("ko;q=0, en;q=0", "en"),
        ("ko;q=1.2.3, \x00, ;;;,", "en"),
        (",".join(["x"] * 50_000), "en"),
    ],
)
def test_the_language_that_a_browser_likes(header: str | None, language: str) -> None:
    assert preferred(header) == language
    assert Translator(language).other != language
