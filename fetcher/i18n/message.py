"""A message: English text that keeps the template and the values it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

# What is kept as it is; everything else is kept as the text that it comes to.
_PLAIN = (str, int, float, bool, type(None))


class Shown(str):
    """The text of a value that is no text itself, and its repr for `{value!r}`."""

    __slots__ = ("_repr",)
    _repr: str

    def __new__(cls, text: str, shown: str) -> Shown:
        """`shown` is the value's repr."""
        made = super().__new__(cls, text)
        made._repr = shown
        return made

    def __repr__(self) -> str:
        return self._repr

    def __reduce__(self) -> tuple[Any, ...]:
        return Shown, (str.__str__(self), self._repr)


class Message(str):
    """English text; `template` and `values` are what another language is made from.

    `plural` is the template for several, "" where nothing is counted; `values["count"]` decides.
    """

    __slots__ = ("plural", "template", "values")
    template: str
    plural: str
    values: Mapping[str, object]

    def __new__(cls, template: str, plural: str, values: Mapping[str, object]) -> Message:
        """Format the template that the count asks for."""
        chosen = plural if plural and values.get("count") != 1 else template
        # Without values a template is the text itself: braces in it mean nothing.
        made = super().__new__(cls, chosen.format(**values) if values else chosen)
        made.template, made.plural, made.values = template, plural, values
        return made

    def __str__(self) -> str:
        # str(error) of an exception that was raised with a message gives the message, whole.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Message, (self.template, self.plural, self.values)

    def having(self, **values: object) -> Message:
        """The same message with other values."""
        kept = {name: _kept(value) for name, value in values.items()}
        return Message(self.template, self.plural, {**self.values, **kept})

    def __copy__(self) -> Message:
        return self

    def __deepcopy__(self, memo: object) -> Message:
        return self


def _kept(value: object) -> object:
    if type(value) in _PLAIN or isinstance(value, Message | Shown):
        return value
    text = str(value)
    return text if isinstance(text, Message) else Shown(text, repr(value))


# These say `str`: a message may stand wherever a text may, and most variables hold either.


def t(template: str, /, **values: object) -> str:
    """A Message. `template` is a literal with `{names}`, formatted as by str.format."""
    return Message(template, "", {name: _kept(value) for name, value in values.items()})


def n(one: str, many: str, count: int, /, **values: object) -> str:
    """A Message about `count` things: `one` for exactly 1; both templates may have `{count}`."""
    kept = {name: _kept(value) for name, value in values.items()}
    return Message(one, many, {**kept, "count": count})


def join(parts: Iterable[str], separator: str = ", ") -> str:
    """Messages and texts in a row, as one message."""
    named = {f"p{number}": _kept(part) for number, part in enumerate(parts)}
    between = separator.replace("{", "{{").replace("}", "}}")
    return Message(between.join(f"{{{name}}}" for name in named), "", named)


class _Plural(TypedDict, total=False):
    plural: str


class Parts(_Plural):
    """A message as JSON has it; `plural` only where something is counted."""

    template: str
    values: Mapping[str, object]


def parts_of(text: str) -> Parts:
    """A message taken apart; a plain text is a template itself."""
    if not isinstance(text, Message):
        return {"template": str(text), "values": {}}
    found: Parts = {"template": text.template, "values": _jsonable(text.values)}
    if text.plural:
        found["plural"] = text.plural
    return found


def _jsonable(values: Mapping[str, object]) -> dict[str, object]:
    return {
        name: {"text": str.__str__(value), **parts_of(value)}
        if isinstance(value, Message)
        else str.__str__(value)
        if isinstance(value, str)
        else value
        for name, value in values.items()
    }
