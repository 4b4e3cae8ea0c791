"""Where a listing goes on, and when it is told to go on for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.errors import Failure
from fetcher.network.session import Response
from fetcher.sources.pages import Pages, next_link, onward
from tests.kit import Run

HERE = "https://mirror.example/hf/api/models/o/r/tree/main?recursive=true"
NEXT = "https://mirror.example/hf/api/models/o/r/tree/main?cursor=abc"


@pytest.mark.parametrize(
    ("link", "found"),
    [
        (f'<{NEXT}>; rel="next"', NEXT),
        (f"<{NEXT}>;rel=next", NEXT),
        (f'<{NEXT}>; title="x"; rel="prev NEXT"', NEXT),
        (f'<{HERE}>; rel="first", <{NEXT}>; rel="next"', NEXT),
        ('<?cursor=abc>; rel="next"', NEXT),
        # The Hub's own address, passed on by a mirror; and what a proxy makes of its own.
        ('<https://huggingface.co/api/models/o/r/tree/main?cursor=abc>; rel="next"', NEXT),
        ('<http://mirror.example/hf/api/models/o/r/tree/main?cursor=abc>; rel="next"', NEXT),
        ('<https://inner:8080/hf/api/models/o/r/tree/main?cursor=abc>; rel="next"', NEXT),
        ('<https://inner/x/hf/api/models/o/r/tree/main?cursor=abc>; rel="next"', NEXT),
        ('</api/models/o/r/tree/main?cursor=abc>; rel="next"', NEXT),
        ('<//user:secret@evil/api/models/o/r/tree/main?cursor=abc>; rel="next"', NEXT),
        (f'<{NEXT}>; rel="prev"', ""),
        (f'<{NEXT}>; rel="nextly"', ""),
        ("next", ""),
        ("", ""),
    ],
)
def test_where_a_listing_goes_on(tmp_path: Path, link: str, found: str) -> None:
    answer = Response(200, {"link": link}, b"[]", HERE)
    assert next_link(answer, Run(tmp_path).network, "hf:o/r") == found


def test_another_path_of_the_same_host_is_its_own_choice(tmp_path: Path) -> None:
    network = Run(tmp_path).network
    assert onward(HERE, "/pages/2", network, "x") == "https://mirror.example/pages/2"


@pytest.mark.parametrize("link", ["https://evil/other?cursor=1", "https://evil/main?cursor=1"])
def test_another_listing_of_another_host_is_refused(tmp_path: Path, link: str) -> None:
    with pytest.raises(Failure, match="another host"):
        onward(HERE, link, Run(tmp_path).network, "x")


def test_a_place_of_the_persons_own_rules_is_followed(tmp_path: Path) -> None:
    run = Run(tmp_path, rewrite="https://huggingface.co=http://127.0.0.1:9/m")
    asked = "http://127.0.0.1:9/m/api/models/o/r/tree/main"
    link = "https://huggingface.co/api/models/o/r/tree/main?cursor=1"
    assert run.network.rewrite(onward(asked, link, run.network, "x")) == f"{asked}?cursor=1"


def test_a_page_that_comes_again_ends_the_listing() -> None:
    pages = Pages("hf:o/r")
    for mark in (b"one", b"two"):
        pages.add(3, mark)
    pages.add(0, b"none")
    pages.add(0, b"none")  # empty pages have their own bound
    with pytest.raises(Failure, match="never ends: page 5 is one that came before") as caught:
        pages.add(3, b"one")
    assert caught.value.problem.code == "refused"
