"""Elements made without templates: what is text stays text."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from fetcher.fs.safe_paths import printable
from fetcher.reporting.html import Html, document, join, table, tag, text


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_elements() -> None:
    assert tag("td", 1, class_="n", title=None) == '<td class="n">1</td>'
    assert tag("meta", http_equiv="a") == '<meta http-equiv="a">'
    assert tag("b", tag("i", "<"), "&") == "<b><i>&lt;</i>&amp;</b>"
    assert text(Html("<b>")) == "<b>" and text("<b>") == "&lt;b&gt;"
    assert join(["<", Html("<br>")]) == "&lt;<br>"
    assert "<thead" not in table([], [tag("tr", tag("td", "x"))])


@given(st.text(), st.text())
def test_whatever_a_text_holds_it_opens_no_element(inside: str, attribute: str) -> None:
    seen = _Seen()
    seen.feed(tag("p", inside, title=attribute))
    seen.close()
    (found,) = seen.tags
    assert found[0] == "p" and found[1].get("title", "") == printable(attribute)
    assert "".join(seen.words) == printable(inside)


def test_a_document_runs_nothing() -> None:
    page = document("a<b", "p > b { color: red }", tag("p", "</body><script>"))
    assert page.startswith("<!doctype html>") and "default-src 'none'" in unescape(page)
    assert "p > b {" in page and "<script" not in page and "<title>a&lt;b</title>" in page
