"""Settings by which language models write."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.verify.wrong import Case
from tests.verify.wrong.causal_lm import model, settings, write

FILE = "generation_config.json"
RIGHT = model()
_LEAVE = "generation settings leave words"


def _set(what: str, says: str = "", **values: Any) -> Case:
    return Case("causal-lm", what, model(settings(FILE, **values)), RIGHT, says)


_ending = partial(settings, FILE, stop_strings=["\n\n"])

CASES = [
    Case("causal-lm", "strings that end a text", model(_ending())),
    Case(
        "causal-lm",
        "a generation_config.json that is a list",
        model(write(FILE, "[]")),
        says="is not a table of settings",
    ),
    _set("an end of the text that is no number", "does not write", eos_token_id="</s>"),
    _set("a repetition penalty below zero", "does not write", repetition_penalty=-1.0),
    _set("nearly all words are bad words", _LEAVE, bad_words_ids=[[n] for n in range(1, 500)]),
    _set("no text begins with a word", _LEAVE, begin_suppress_tokens=list(range(1, 511))),
    _set("a temperature of zero", do_sample=True, temperature=0.0),
    _set("no word twice", no_repeat_ngram_size=1),
    _set("one token to write", max_new_tokens=1),
    _set("texts of 500 tokens at least", min_length=500),
    _set("guidance by what is not wanted", guidance_scale=10.0),
    _set("another last token", forced_eos_token_id=7),
]
