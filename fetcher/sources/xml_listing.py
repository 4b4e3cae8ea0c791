"""Listings in XML, as object stores answer with: flat rows, read without what XML could do."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote
from xml.parsers import expat

_DEEPEST = 12


class Rows(NamedTuple):
    """The texts of each row by their tags, and those that stand outside of rows."""

    rows: list[dict[str, str]]
    outside: dict[str, str]


class _Wrong(ValueError):
    pass


def rows(body: bytes, tag: str) -> Rows:
    """Every element `tag` with the texts inside, by the inner elements' names without namespace.

    Raises ValueError for what is no XML, has a document type (which entities come from), or is
    nested deeper than a listing is.
    """
    found: list[dict[str, str]] = []
    outside: dict[str, str] = {}
    stack: list[str] = []
    texts: list[str] = []
    state = {"row": 0, "encoded": 0}

    def start(name: str, attributes: dict[str, str]) -> None:
        stack.append(name.rpartition(":")[2])
        texts.clear()
        state["encoded"] = int(attributes.get("Encoded") == "true")
        if len(stack) > _DEEPEST:
            raise _Wrong("it is nested too deep")
        if stack[-1] == tag and not state["row"]:
            state["row"] = len(stack)
            found.append({})

    def end(name: str) -> None:
        text = "".join(texts)
        row = found[-1] if state["row"] else outside
        if state["row"] == len(stack):
            state["row"] = 0
        else:
            row.setdefault(stack[-1], unquote(text) if state["encoded"] else text)
        stack.pop()
        texts.clear()

    def doctype(*_: object) -> None:
        raise _Wrong("it has a document type")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = texts.append
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    return Rows(found, outside)
