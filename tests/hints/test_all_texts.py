"""Every text that names a command line is followed by a test, or stands in a table."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter

import pytest

import tests.hints
from tests.hints import not_followed
from tests.hints.desk import Desk, about, followed_texts, text_of, texts
from tests.hints.not_followed import DESCRIPTION, DISK, LIVE, MODELS, OPEN, OTHER, SERVES

TABLES = (DESCRIPTION, DISK, LIVE, MODELS, OPEN, OTHER, SERVES)


def followed() -> set[str]:
    for module in pkgutil.iter_modules(tests.hints.__path__):
        if module.name.startswith("test_"):
            importlib.import_module(f"tests.hints.{module.name}")
    return set(followed_texts())


def test_every_text_is_followed_or_in_one_table() -> None:
    counted = Counter([*followed(), *(text for table in TABLES for text in table)])
    assert not [text for text in texts() if not counted[text]], "follow it in tests/hints"
    assert not [text for text, count in counted.items() if count > 1], "take it out of the table"
    assert not set(counted) - set(texts()), "nobody says this any more"


def test_what_could_be_followed_becomes_less() -> None:
    assert len(OPEN) <= not_followed.AT_MOST


def test_a_text_that_is_not_said_or_not_followed_fails(desk: Desk) -> None:
    part = "`fetch config` shows every setting"

    @about(part)
    def nothing(desk: Desk) -> None:
        desk.fetch("config")

    with pytest.raises(AssertionError, match="not followed"):
        nothing(desk=desk)
    with pytest.raises(AssertionError, match="was not said"):
        desk.follow(part)
    assert text_of(part) in texts()
