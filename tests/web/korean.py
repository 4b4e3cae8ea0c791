"""Finding English in a message that shall be Korean."""

from __future__ import annotations

import re

from fetcher.project.fields import DESCRIPTION
from fetcher.project.spellings import TASKS
from fetcher.register.form import EXTRA, FIELDS
from fetcher.sources import built_in
from tests.i18n.catalog import read, texts

HANGUL = re.compile(r"[가-힣]")
_WORD = re.compile(r"[A-Za-z][\w-]+")
_HOLE = re.compile(r"\{\w+[^{} ]*\}")
_TOLD = [_HOLE.sub("", text) for item in read("ko") for text in texts(item.string)]
# English in a Korean message: names of the format, and what the catalog itself keeps.
NAMED = {
    *(word for text in _TOLD for word in _WORD.findall(text)),
    *(
        word
        for item in FIELDS
        for text in (*item.choices, item.key)
        for word in _WORD.findall(text)
    ),
    *(*EXTRA, *DESCRIPTION["params"].type.fields, *TASKS),  # type: ignore[attr-defined]
    *(name for kind in built_in() for name in (kind.type, *kind.fields)),
    *("md5", "sise"),
    *("sha1", "sha512", "crc32", "crc32c"),
}


# A value in quotes, an address, a cut value, an id that is proposed.
_OWN = re.compile(
    r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S+/\S+|\S+…|예: \S+$|\S+은\(는\) 쓸 수 있"
)


def english_in(text: str, own: str = "") -> set[str]:
    """Words of a message that are in English; `own` is somebody's value, that it may begin with."""
    text = _OWN.sub(" ", text.removeprefix(own))
    return {*_WORD.findall(text)} - NAMED
