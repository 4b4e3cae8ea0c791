"""Pages in HTML as Markdown: their text, links, code and tables; scripts and styles are left out.

A line stands where it stood as far as there is room, so that remarks name lines of the page.
"""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from urllib.parse import urljoin

_SKIPPED = {"script", "style", "template", "nav", "footer", "svg", "head", "noscript", "button"}
_BLOCKS = {"p", "div", "section", "article", "ul", "ol", "blockquote", "details", "summary", "dl"}
_VOID = {"br", "img", "hr", "input", "meta", "link", "source", "wbr", "col", "area", "base"}


def as_markdown(text: str, address: str = "") -> str:
    """A page's text as Markdown; links are completed by the page's own address."""
    found = _Page(address)
    found.feed(text)
    found.close()
    return found.text()


class _Page(HTMLParser):
    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.out: list[str] = [""]
        self.skipped: list[str] = []
        self.table = 0
        self.pre: list[str] | None = None
        self.language = ""
        self.code = False
        self.links: list[str] = []

    def text(self) -> str:
        """All that was read."""
        return "\n".join(line.rstrip() for line in self.out) + "\n"

    def _say(self, text: str) -> None:
        self.out[-1] += text

    def _block(self) -> None:
        """An empty line, and then the line of the source if it is still to come."""
        if self.table:
            return
        if self.out[-1].strip():
            self.out.append("")
        if len(self.out) > 1 and self.out[-2].strip():
            self.out.append("")
        while len(self.out) < self.getpos()[0]:
            self.out.append("")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin of what is kept or left out."""
        if tag in _VOID:
            self._void(tag)
        elif self.skipped or tag in _SKIPPED:
            self.skipped.append(tag)
        elif self.pre is not None:
            self._language(dict(attrs))
        elif tag == "table" or self.table:
            self._in_table(tag, dict(attrs))
        elif tag == "pre":
            self._block()
            self.pre, self.language = [], ""
            self._language(dict(attrs))
        elif re.fullmatch(r"h[1-6]", tag):
            self._block()
            self._say("#" * int(tag[1]) + " ")
        elif tag == "li":
            self._block()
            self._say("* ")
        elif tag in _BLOCKS:
            self._block()
        elif tag == "a":
            self.links.append(self._address(dict(attrs).get("href")))
            self._say("[")
        elif tag in {"code", "tt", "kbd", "samp"}:
            self._say("`")
            self.code = True

    def _language(self, attributes: dict[str, str | None]) -> None:
        named = attributes.get("class") or attributes.get("lang") or ""
        found = re.search(r"(?:language|lang|highlight-source|source|brush:)-?\s*(\w+)", named)
        if found:
            self.language = {"shell": "bash"}.get(found[1], found[1])

    def _void(self, tag: str) -> None:
        if self.skipped or tag not in {"br", "hr"}:
            return
        if self.pre is not None:
            self.pre.append("\n")
        elif self.table:
            self._say("<br>")
        else:
            self.out.append("")

    def _in_table(self, tag: str, attributes: dict[str, str | None]) -> None:
        if tag == "table":
            if not self.table:
                self._block()
            self.table += 1
        kept = ""
        if tag == "a":
            kept = f' href="{escape(self._address(attributes.get("href")))}"'
        for name in ("rowspan", "colspan"):
            if span := attributes.get(name):
                kept += f' {name}="{escape(span)}"'
        if tag in {"table", "tr", "td", "th", "a", "code", "tt"}:
            self._say(f"<{tag}{kept}>")

    def _address(self, href: str | None) -> str:
        try:
            return urljoin(self.address, (href or "").strip())
        except ValueError:
            return ""

    def handle_endtag(self, tag: str) -> None:
        """End of it."""
        if self.skipped:
            if tag in self.skipped:
                while self.skipped.pop() != tag:
                    pass
        elif self.pre is not None:
            if tag == "pre":
                body = "".join(self.pre).strip("\n")
                self.pre = None
                self.out[-1] += f"```{self.language}"
                self.out += [*body.splitlines(), "```", ""]
        elif self.table:
            if tag in {"table", "tr", "td", "th", "a", "code", "tt"}:
                self._say(f"</{tag}>")
            if tag == "table":
                self.table -= 1
                self._block()
        elif tag == "a" and self.links:
            target = re.sub(r"[\s<>()]", "", self.links.pop())
            self._say(f"]({target})")
        elif tag in {"code", "tt", "kbd", "samp"} and self.code:
            self._say("`")
            self.code = False
        elif tag in _BLOCKS or tag == "li" or re.fullmatch(r"h[1-6]", tag):
            self._block()

    def handle_data(self, data: str) -> None:
        """Text."""
        if self.skipped:
            return
        if self.pre is not None:
            self.pre.append(data)
        elif self.table:
            self._say(escape(re.sub(r"\s+", " ", data), quote=False))
        else:
            text = re.sub(r"\s+", " ", data)
            self._say(text if self.code else re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text))
