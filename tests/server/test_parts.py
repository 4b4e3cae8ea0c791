"""Small parts alone: ranges, cards, repositories, metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.fs.extents import Extent
from fetcher.mirror.inventory import HeldArtifact, SourceFields
from fetcher.server.cards import card_of
from fetcher.server.claims import assembled
from fetcher.server.files import disposition, media_type
from fetcher.server.http import Content, HttpRequest
from fetcher.server.hub_json import CardJson
from fetcher.server.metrics import Metrics
from fetcher.server.ranges import wanted
from fetcher.sources.base import FileEntry

SPEC = st.one_of(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda p: f"{p[0]}-{p[1]}"),
    st.integers(0, 40).map(lambda n: f"{n}-"),
    st.integers(0, 40).map(lambda n: f"-{n}"),
    st.text(alphabet="0123456789-, ab=", max_size=8),
)


@given(st.lists(SPEC, min_size=1, max_size=5), st.integers(0, 30))
def test_ranges_are_within_the_content_and_apart(specs: list[str], size: int) -> None:
    found = wanted("bytes=" + ",".join(specs), None, '"x"', size)
    if found is None:
        return
    covered = [index for start, stop in found for index in range(start, stop)]
    assert all(0 <= start < stop <= size for start, stop in found)
    assert len(covered) == len(set(covered))


@given(st.text(max_size=60))
def test_whatever_a_range_header_says(text: str) -> None:
    for found in (wanted(text, None, '"x"', 10), wanted("bytes=" + text, text, '"x"', 10)):
        assert found is None or all(0 <= start < stop <= 10 for start, stop in found)


def card(tmp_path: Path, data: bytes) -> CardJson:
    path = tmp_path / "README.md"
    path.write_bytes(data)
    return card_of(Content("0" * 64, len(data), (Extent(str(path), 0, len(data)),)))


def test_cards(tmp_path: Path) -> None:
    found = card(tmp_path, b"---\nlibrary_name: peft\nbase_model: o/m\nother: {a: 1}\n---\ntext")
    assert found == {
        "library_name": "peft",
        "cardData": {"library_name": "peft", "base_model": "o/m"},
    }


BOMB = b"a: &a [x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefghij"
)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no front",
        b"---\nlicense: mit\n",
        b"---\n- a\n---\n",
        b"---\n" + BOMB + b"tags: *j\n---\n",
        b"---\nlicense: \xff\xfe\n---\n",
        b"---\nlicense: {a: b}\ntags: [[a]]\npipeline_tag: [a]\n---\n",
    ],
    ids=["empty", "none", "open", "list", "bomb", "no text", "other shapes"],
)
def test_cards_that_say_nothing(tmp_path: Path, data: bytes) -> None:
    assert not {"pipeline_tag", "library_name"} & card(tmp_path, data).keys()


def held(revision: str, *files: FileEntry, **origin: str) -> HeldArtifact:
    fields = {"type": "huggingface", "repo": "o/m", **origin}
    return HeldArtifact("p", "a", "hf:o/m", SourceFields(fields), revision, files)


FILE = FileEntry("a.txt", 3, "1" * 64, "2" * 40)


def test_a_revision_that_is_no_commit_gets_one() -> None:
    one = assembled("model", "o/m", [held("main", FILE)])
    again = assembled("model", "o/m", [held("main", FILE)])
    other = assembled("model", "o/m", [held("main", FILE._replace(sha256="3" * 64))])
    assert one.refs == again.refs != other.refs
    assert len(one.refs["main"]) == 40


def test_the_latest_lock_says_where_a_branch_stands() -> None:
    first, second = "a" * 40, "b" * 40
    repo = assembled("model", "o/m", [held(first, FILE), held(second, FILE)])
    assert repo.refs == {"main": second}
    assert repo.find(first[:7]) is repo.snapshots[first]
    assert repo.find("c" * 7) is None


def test_paths_of_a_hostile_bundle_are_left_out() -> None:
    repo = assembled("model", "o/m", [held("a" * 40, FILE, path="../..")])
    assert repo.snapshots["a" * 40].files == {}


def test_nothing_becomes_a_page_of_this_server() -> None:
    kinds = {media_type(name) for name in ("a.html", "a.svg", "a.js", "a.xml", "a", "a.HTM")}
    assert kinds == {"application/octet-stream"}
    assert '"' not in disposition('x"; filename=evil').split("filename=", 1)[1][1:-2]
    assert disposition("\udcff\n.txt").isascii()


def test_metrics_escape_what_they_show() -> None:
    metrics = Metrics()
    metrics.add("fetch_requests_total", part='a"b\n\\', method="GET", status="200")
    assert 'part="a\\"b\\n\\\\"' in metrics.text()


def test_a_request_s_own_address() -> None:
    request = HttpRequest("GET", "/", host="h:1", scheme="https")
    assert request.base == "https://h:1"
    assert HttpRequest("GET", "/", host="h/x").base == ""
    assert HttpRequest("GET", "/", host="h", public_url="http://p/q").base == "http://p/q"
