"""Labels in both languages, and pages that say nothing past the catalog."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fetcher.web
from fetcher.register.form import FIELDS
from fetcher.web import labels
from fetcher.web.catalog_view import FACETS
from fetcher.web.i18n import Translator, preferred

FOLDER = Path(fetcher.web.__file__).parent


def test_every_label_is_korean() -> None:
    tables = (labels.STATES, labels.FACETS, labels.FACTS, labels.OWN_FIELDS, labels.HELP)
    told = [text for table in tables for text in table.values()]
    told += [*labels.STEPS, *(item.label for item in FIELDS)]
    korean = Translator("ko")
    assert {text for text in told if not re.search(r"[가-힣]", korean.say(text))} == set()
    assert all(Translator("en").say(text) == text for text in told)
    assert labels.HELP.keys() == {item.key for item in FIELDS}
    assert labels.FACETS.keys() == set(FACETS)


def test_counting_in_both_languages() -> None:
    english, korean = Translator("en"), Translator("ko")
    forms = ("{count} artifact", "{count} artifacts")
    assert english.n(*forms, 1) == "1 artifact" and english.n(*forms, 0) == "0 artifacts"
    assert korean.n(*forms, 1) == "1개 항목" and korean.n(*forms, 2) == "2개 항목"


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
