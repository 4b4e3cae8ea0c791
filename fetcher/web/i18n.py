"""The language of a page, and its texts in that language."""

from __future__ import annotations

import re

from fetcher import i18n
from fetcher.i18n import LANGUAGES, translated

NAMES = {"en": "English", "ko": "한국어"}


class Translator:
    """Gives texts in one language: `t("Search")`, `t("Page {page}", page=3)`."""

    def __init__(self, language: str) -> None:
        self.language = language

    @property
    def other(self) -> str:
        """The other language."""
        return next(name for name in LANGUAGES if name != self.language)

    def __call__(self, template: str, **values: object) -> str:
        """A text of the pages."""
        return translated(i18n.t(template, **values), self.language)

    def n(self, one: str, many: str, count: int, **values: object) -> str:
        """A text of the pages about so many things."""
        return translated(i18n.n(one, many, count, **values), self.language)

    def say(self, message: str) -> str:
        """A message of the rest of the program."""
        return translated(message, self.language)


def preferred(accept: str | None) -> str:
    """The language that an Accept-Language header likes best; English if it likes neither."""
    best, chosen = 0.0, LANGUAGES[0]
    for part in (accept or "").split(",")[:20]:
        found = re.fullmatch(r"([A-Za-z]+)(?:-[\w-]+)?(?:\s*;\s*q=([\d.]{1,5}))?", part.strip())
        if not found or found[1].lower() not in LANGUAGES:
            continue
        try:
            quality = float(found[2] or 1)
        except ValueError:
            continue
        if quality > best:
            best, chosen = quality, found[1].lower()
    return chosen
