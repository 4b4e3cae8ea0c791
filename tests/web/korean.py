"""Finding English in a message that shall be Korean."""

from __future__ import annotations

import re

from fetcher.project.fields import DESCRIPTION, TASKS
from fetcher.register.form import EXTRA, FIELDS
from fetcher.sources import BUILT_IN
from fetcher.web.phrases import PHRASES

HANGUL = re.compile(r"[가-힣]")
_WORD = re.compile(r"[A-Za-z][\w-]+")
# English in a Korean message: names of the format, and what the Korean of a phrase has itself.
NAMED = {
    *(word for korean in PHRASES.values() for word in _WORD.findall(korean)),
    *(
        word
        for item in FIELDS
        for text in (*item.choices, item.key)
        for word in _WORD.findall(text)
    ),
    *(*EXTRA, *DESCRIPTION["params"].type.fields, *TASKS),  # type: ignore[attr-defined]
    *(name for kind in BUILT_IN for name in (kind.type, *kind.fields)),
    *("md5", "sise"),
}


# A value in quotes, an address, a cut value, an id that is proposed.
_OWN = re.compile(
    r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S+/\S+|\S+…|예: \S+$|\S+은\(는\) 쓸 수 있"
)


def english_in(text: str, own: str = "") -> set[str]:
    """Words of a message that are in English; `own` is somebody's value, that it may begin with."""
    text = _OWN.sub(" ", text.removeprefix(own))
    return {*_WORD.findall(text)} - NAMED
