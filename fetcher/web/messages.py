"""What the rest of the program says in English of a form's values, in Korean for Korean pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice

from fetcher.web.i18n import Translator
from fetcher.web.phrases import PHRASES

# A phrase's holes: <q> a value in quotes, <n> a number, <l> names with commas, <u> an address,
# <p> another phrase, <x> anything.
HOLE = re.compile(r"<([qnlupx])(\d?)>")
_PATTERNS = {
    "q": r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"",
    "n": r"[\d.,]+",
    "l": r"[\w.-]+(?:, [\w.-]+)*",
    "u": r"[^\s;]+",
    "p": r".+",
    "x": r".+",
}
# Bounds, so that no value makes this slow.
_LONGEST = 2000
_DEEPEST = 6
_CUTS = 6


def translated(text: str, t: Translator) -> str:
    """A message in the page's language; one that is not known stands behind words of the page."""
    if t.language == "en":
        return text
    return _korean(text) or t("wrong_value", words=text)


@lru_cache(maxsize=1)
def _phrases() -> list[tuple[re.Pattern[str], str]]:
    """Every phrase as a pattern, those with more words of their own first."""
    ordered = sorted(PHRASES.items(), key=lambda item: -len(HOLE.sub("", item[0])))
    return [(re.compile(_pattern(english), re.DOTALL), korean) for english, korean in ordered]


def _pattern(english: str) -> str:
    parts = []
    position = 0
    for hole in HOLE.finditer(english):
        parts.append(re.escape(english[position : hole.start()]))
        parts.append(f"(?P<{hole[1]}{hole[2]}>{_PATTERNS[hole[1]]})")
        position = hole.end()
    return "".join([*parts, re.escape(english[position:])])


@lru_cache(maxsize=4096)
def _korean(text: str, depth: int = 0) -> str | None:
    """The text in Korean, None if it is made of phrases that are not known."""
    if depth > _DEEPEST or len(text) > _LONGEST:
        return None
    if (hinted := next(_joined(text, _with_hint(text), depth), None)) is not None:
        return hinted
    for pattern, korean in _phrases():
        found = pattern.fullmatch(text)
        if found and (made := _filled(korean, found, depth)) is not None:
            return made
    return next(_joined(text, _cut(text), depth), None)


def _filled(korean: str, found: re.Match[str], depth: int) -> str | None:
    values = dict(found.groupdict())
    for name, value in values.items():
        if name[0] == "p":
            values[name] = _korean(value, depth + 1)
    if None in values.values():
        return None
    return HOLE.sub(lambda hole: str(values[hole[1] + hole[2]]), korean)


Cut = tuple[str, str, str]


def _joined(text: str, cuts: Iterable[Cut], depth: int) -> Iterator[str]:
    """The text where both of its parts are known; one that a colon follows is somebody's value."""
    for first, middle, second in cuts:
        after = _korean(second, depth + 1)
        before = first if middle == ": " else _korean(first, depth + 1)
        if before is not None and after is not None:
            yield f"{before}{middle}{after}" + (")" if middle == " (" else "")


def _with_hint(text: str) -> Iterator[Cut]:
    """A message and the hint in brackets at its end."""
    if text.endswith(")"):
        for found in islice(re.finditer(r" \(", text), _CUTS):
            yield text[: found.start()], " (", text[found.end() : -1]


def _cut(text: str) -> Iterator[Cut]:
    """Two messages, and what a message is about in front of it."""
    for middle in ("; ", ": "):
        for found in islice(re.finditer(middle, text), _CUTS):
            yield text[: found.start()], middle, text[found.end() :]
