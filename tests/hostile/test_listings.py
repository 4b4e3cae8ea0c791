"""Listings of a hub that have no end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fetcher.errors import Failure
from fetcher.network.session import Response
from fetcher.sources.base import Request
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace
from fetcher.sources.pages import MAX_ENTRIES, Pages

COMMIT = "a" * 40


class Server:
    """Stands for the network: a hub's answers without the wire, on which they take hours."""

    hub = "https://hub.invalid"

    def __init__(self, answer: Callable[[int], tuple[Any, dict[str, str]]]) -> None:
        self.asked = 0
        self._answer = answer

    def rewrite(self, url: str) -> str:
        return url

    def get_json(self, url: str, headers: Any = ()) -> Response:
        self.asked += 1
        body, more = self._answer(self.asked)
        return _Made(200, more, b"", url, body)

    request = get_json


class _Made(Response):
    def __init__(self, status: int, headers: dict[str, str], body: bytes, url: str, value: Any):
        super().__init__(status, headers, body, url)
        object.__setattr__(self, "value", value)

    def json(self) -> Any:
        return self.value  # type: ignore[attr-defined]


def file(name: str) -> dict[str, object]:
    return {"type": "file", "path": name, "size": 1, "oid": "b" * 40}


def following(number: int) -> dict[str, str]:
    return {"link": f'<https://hub.invalid/api/next?cursor={number}>; rel="next"'}


@pytest.mark.parametrize("entries", [0, 1, 10])
def test_pages_with_fresh_names_for_ever(entries: int) -> None:
    """A hub whose every page names a next one, with few files that no page had before."""
    server = Server(lambda n: ([file(f"{n}/{i}") for i in range(entries)], following(n)))
    source = HuggingFace("owner/name", revision=COMMIT)
    with pytest.raises(Failure, match="never ends") as caught:
        source.resolve(Request(), server)  # type: ignore[arg-type]
    assert server.asked < 20_000
    assert "path" in caught.value.hint


def test_folders_of_folders_for_ever() -> None:
    """A GitHub that cannot list the whole, and whose every folder holds two more, for long."""

    class Folders(Server):
        def get_json(self, url: str, headers: Any = (), **_: Any) -> Response:
            self.depth = int(url.rpartition("/")[2][:2], 16) if "recursive" not in url else 0
            return super().get_json(url, headers)

        request = get_json

    def answer(number: int) -> tuple[Any, dict[str, str]]:
        trees = [
            {"type": "tree", "path": f"d{i}", "sha": f"{server.depth + 1:02x}{number:038x}"}
            for i in (0, 1)
        ]
        return {"tree": trees if server.depth < 60 else [], "truncated": number == 1}, {}

    server = Folders(answer)
    source = GitHub("owner/name", "00" * 20)
    with pytest.raises(Failure, match="never ends"):
        source.resolve(Request(), server)  # type: ignore[arg-type]
    assert server.asked < 20_000


def test_a_listing_with_more_than_there_can_be() -> None:
    """Full pages, one after the other, until the memory is full."""
    counted = Pages("hf:owner/name")
    with pytest.raises(Failure, match="more than 12,000,000"):
        for _ in range(20_000):
            counted.add(1000)


def test_a_listing_that_trickles() -> None:
    """A page every ten minutes, each just in time for the deadline of one request."""
    now = [0.0]
    counted = Pages("hf:owner/name", lambda: now[0])
    with pytest.raises(Failure, match="minutes"):
        for _ in range(10):
            now[0] += 590
            counted.add(1000)


def test_ten_million_files_are_a_listing() -> None:
    """Beside it: an honest dataset of ten million files, at the pace of a hub that limits us."""
    now = [0.0]
    counted = Pages("hf:owner/name", lambda: now[0])
    for _ in range(10_000):
        now[0] += 1.2  # a thousand requests in five minutes, and some retries
        counted.add(1000)
    assert MAX_ENTRIES > 10_000_000


def test_a_tree_of_many_small_folders_is_a_listing() -> None:
    """Beside it: a repository of a hundred thousand files, ten in each folder."""
    counted = Pages("github:owner/name")
    for _ in range(10_000):
        counted.add(11)
