"""HTML and SVG without templates: every text is escaped unless it was made here.

Reports are written where the pages' template engine (the extra `serve`) is not installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from fetcher.fs.safe_paths import printable

_VOID = {"meta", "img"}


class Html(str):
    """Markup that is sound as it stands; template engines take it so, too."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def text(value: object) -> Html:
    """A value's text, escaped; control characters are shown as what they are."""
    if isinstance(value, Html):
        return value
    # Attributes stand in double quotes, so that an apostrophe ends nothing.
    return Html(escape(printable(str(value)), quote=False).replace('"', "&quot;"))


def join(parts: Iterable[object]) -> Html:
    """Parts in a row; what is no markup is escaped."""
    return Html("".join(map(text, parts)))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. Of attributes, `_` stands for `-`, and one that is None or "" is left out.

    Where a name is Python's own, it has a `_` at its end: `class_="n"`.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None and value != ""
    )
    if name in _VOID:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{join(children)}</{name}>")


def lines(several: str) -> Html:
    """Text of several lines, for `pre`."""
    return Html("\n".join(map(text, several.splitlines())))


def table(heads: Iterable[Html], rows: Iterable[Html]) -> Html:
    """A table that scrolls by itself; `heads` are `th`, `rows` are `tr`."""
    head, body = tag("tr", *heads), join(rows)
    inner = (tag("thead", head) if "<th" in head else "", tag("tbody", body))
    return tag("div", tag("table", *inner), class_="scroll")


def document(title: str, style: str, *body: object) -> str:
    """A page that needs nothing else: no script, no network, which its own policy forbids too.

    `style` is CSS of ours.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(style)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', *body), lang='en')}\n"
