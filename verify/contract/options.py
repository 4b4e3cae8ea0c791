"""Checks of a manifest's probe options that several probes share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.dtypes import FLOATING, is_floating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fetcher.verify.contract.foreign import ProbeOptions

    Key = str | int  # of a mapping or a list


@dataclass(frozen=True)
class Problem:
    """What is wrong with one option of a manifest's `probe:`; `option` is its key.

    `path` leads to the place inside the option's value. `unknown`: the probe has no such option,
    so that the key is wrong and not its value. An option that the manifest has not is lacking.
    """

    option: str
    message: str
    hint: str = ""
    unknown: bool = False
    path: tuple[Key, ...] = ()

    def __str__(self) -> str:
        return f"{self.option}: {self.message}" + (f"; {self.hint}" if self.hint else "")


class _Inside(str):
    """What is wrong inside a value, with the way there."""

    path: tuple[Key, ...]


def inside(message: str, *path: Key) -> str:
    """Return what a rule says of a part of its value: the way there is kept for the place."""
    if not message:
        return ""
    told = _Inside(message)
    told.path = (*path, *getattr(message, "path", ()))
    return told


_LONGEST = 240  # characters of a message
_FAR = 0.3  # of difflib's ratio: a name so much less like the word than the nearest was not meant


def nearest(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return up to three of `known` that `word` may have meant, best first.

    One that is far nearer than the others stands alone.
    """
    import difflib  # most manifests have no mistake

    def ratio(name: str) -> float:
        return difflib.SequenceMatcher(None, name, word).ratio()

    found = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return tuple(name for name in found if ratio(name) > ratio(found[0]) - _FAR)


def check_options(
    options: ProbeOptions, rules: Mapping[str, Callable[[Any], str]]
) -> list[Problem]:
    """Apply to each option its rule, which returns what is wrong with the value, or ''.

    What every probe takes (`GENERAL`) may be there too; a probe's own rule for it goes before.
    """
    rules = {**GENERAL, **rules}
    problems = []
    for option, value in options.items():
        if option not in rules:
            hint = _meant(nearest(str(option), rules), rules)
            problems.append(Problem(str(option), "no such option", hint, unknown=True))
        elif message := rules[option](value):
            path = getattr(message, "path", ())
            problems.append(Problem(str(option), _short(message), path=path))
    return problems


def _short(message: str) -> str:
    """Return a message that fits on a screen, though it may show a long value."""
    return message if len(message) <= _LONGEST else message[: _LONGEST - 1] + "…"


def _meant(close: tuple[str, ...], known: Iterable[str]) -> str:
    if close:
        return f"did you mean {close[0]!r}?"
    return "valid ones: " + ", ".join(sorted(known))


def is_count(value: Any) -> bool:
    """Tell whether `value` is an integer of 0 or more; YAML's true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def text(value: Any) -> str:
    """Rule: a string that is not empty."""
    return "" if isinstance(value, str) and value else f"expected a string, found {value!r}"


def texts(value: Any) -> str:
    """Rule: a string, or a list of strings, none of them empty."""
    values = value if isinstance(value, list) and value else [value]
    for number, item in enumerate(values):
        if not isinstance(item, str) or not item:
            told = f"expected a string or a list of strings, found {item!r}"
            return inside(told, number) if values is value else told
    return ""


def positive(value: Any) -> str:
    """Rule: an integer of 1 or more."""
    return "" if is_count(value) and value else f"expected a whole number above 0, found {value!r}"


def flag(value: Any) -> str:
    """Rule: true or false."""
    return "" if isinstance(value, bool) else f"expected true or false, found {value!r}"


def count(value: Any) -> str:
    """Rule: an integer of 0 or more, or a mapping with `min`, `max` or both."""
    if is_count(value):
        return ""
    if isinstance(value, dict) and value and set(value) <= {"min", "max"}:
        for key, bound in value.items():
            if not is_count(bound):
                told = f"min and max must be whole numbers of 0 or more, found {bound!r}"
                return inside(told, key)
        if value.get("min", 0) > value.get("max", value.get("min", 0)):
            return f"min {value['min']} is above max {value['max']}"
        return ""
    return f"expected a whole number or {{min: …, max: …}}, found {value!r}"


def whole(value: Any) -> str:
    """Rule: an integer of 0 or more."""
    return "" if is_count(value) else f"expected a whole number of 0 or more, found {value!r}"


def number(value: Any) -> str:
    """Rule: a number."""
    sound = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "" if sound else f"expected a number, found {value!r}"


def between(low: int, high: int) -> Callable[[Any], str]:
    """Return the rule: an integer from `low` to `high`."""

    def rule(value: Any) -> str:
        if is_count(value) and low <= value <= high:
            return ""
        return f"expected a whole number from {low} to {high}, found {value!r}"

    return rule


def one_of(*known: str) -> Callable[[Any], str]:
    """Return the rule: one of these words."""

    def rule(value: Any) -> str:
        return "" if value in known else f"expected {' or '.join(known)}, found {value!r}"

    return rule


def as_list(value: str | list[str]) -> list[str]:
    """Return the list that a string-or-list option stands for."""
    return [value] if isinstance(value, str) else list(value)


_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT])(?:(i?)B)?")
_GLOBAL = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_MOST = 2**63  # bytes
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}


def memory_bytes(text_: str) -> int | None:
    """Return the bytes that `8G`, `500MB` or `24GiB` stands for; None if it is no such size."""
    match = _MEMORY.fullmatch(text_)
    if match is None:
        return None
    unit = 1024 if match[3] else 1000
    size = float(match[1]) * unit ** _POWERS[match[2]]
    return int(size) if size < _MOST else None


def _memory(value: Any) -> str:
    sound = isinstance(value, str) and memory_bytes(value)
    return "" if sound else f"expected memory such as 8G, found {value!r}"


def seconds(value: Any) -> str:
    """Rule: a number above 0."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "" if number and value > 0 else f"expected seconds above 0, found {value!r}"


def dtype(value: Any) -> str:
    """Rule: a number type that models are loaded with."""
    if is_floating(value):
        return ""
    return f"expected one of {', '.join(FLOATING)}, found {value!r}"


def _trust(value: Any) -> str:
    return "" if value == "project" else f"the only value is 'project', found {value!r}"


def _allowed_globals(value: Any) -> str:
    if not isinstance(value, dict) or not value:
        return f"expected a mapping from sha256 to names of globals, found {value!r}"
    for digest, names in value.items():
        if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            told = f"expected a file's sha256 (64 lower-case hex digits), found {digest!r}"
            return inside(told, str(digest))
        if not isinstance(names, list) or not all(
            isinstance(name, str) and _GLOBAL.fullmatch(name) for name in names
        ):
            told = f"expected a list of names such as argparse.Namespace, found {names!r}"
            return inside(told, digest)
    return ""


# What every probe takes: the runner and `weights` see to these, not the probes.
GENERAL: Mapping[str, Callable[[Any], str]] = {
    "dtype": dtype,
    "timeout": seconds,
    "memory": _memory,
    "trust": _trust,
    "allow_globals": _allowed_globals,
}
