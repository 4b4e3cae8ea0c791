"""Threads that receive side by side, between two turns of the loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pycurl
import pytest

from fetcher.transfer.lanes import Lane, Lanes
from tests.kit import payload
from tests.servers.plain import FileServer

SIZE = 3_000_000


class Body:
    """A connection that keeps what comes, and notes who took it."""

    def __init__(self, url: str) -> None:
        self.chunks: list[bytes] = []
        self.taken: list[bytes] = []
        self.threads: set[str] = set()
        self.odd = False
        self.broken = False
        self.curl = pycurl.Curl()
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.WRITEFUNCTION, self.chunks.append)

    def absorb(self) -> bool:
        if self.broken:
            raise RuntimeError("no such luck")
        self.threads.add(threading.current_thread().name)
        if not self.odd:
            self.taken += self.chunks
            self.chunks.clear()
        return not self.odd


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    made = Lanes()
    made._others = made._others or [Lane()]  # a machine with one core
    made.all = [made.own, *made._others]
    yield made
    made.end_threads()
    made.close()


@pytest.fixture
def url(files: FileServer) -> str:
    return files.add("/a.bin", payload(SIZE))


def begin(lanes: Lanes, url: str, count: int) -> list[Body]:
    bodies = [Body(url) for _ in range(count)]
    for body in bodies:
        lane = lanes.choose()
        lane.multi.add_handle(body.curl)
        lane.direct[body] = None
    return bodies


def let_go(lanes: Lanes) -> None:
    for lane in lanes.all:
        for body in list(lane.direct):
            assert isinstance(body, Body)
            lane.multi.remove_handle(body.curl)
        lane.direct.clear()


def test_bodies_are_spread_and_come_whole(lanes: Lanes, url: str) -> None:
    bodies = begin(lanes, url, 2 * len(lanes.all))
    assert {len(lane.direct) for lane in lanes.all} == {2}
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(sum(map(len, body.taken)) < SIZE for body in bodies):
        lanes.turn(len(bodies))
    assert [b"".join(body.taken) for body in bodies] == [payload(SIZE)] * len(bodies)
    assert {name for body in bodies for name in body.threads} == {"MainThread", "receiver"}
    let_go(lanes)


def test_nothing_moves_between_two_turns(lanes: Lanes, url: str) -> None:
    bodies = begin(lanes, url, 2 * len(lanes.all))
    lanes.turn(len(bodies))
    before = [sum(map(len, body.taken)) for body in bodies]
    time.sleep(0.05)
    assert [sum(map(len, body.taken)) for body in bodies] == before
    let_go(lanes)


def test_what_is_odd_ends_the_turn(lanes: Lanes, url: str) -> None:
    bodies = begin(lanes, url, 1)
    bodies[0].odd = True
    deadline = time.monotonic() + 20
    while not bodies[0].chunks and time.monotonic() < deadline:
        lanes.turn(1)
    assert bodies[0].taken == [] and 0 < sum(map(len, bodies[0].chunks)) <= SIZE
    let_go(lanes)


@pytest.mark.parametrize("lane", [0, 1])
def test_what_breaks_a_lane_is_told_and_leaves_all_still(lanes: Lanes, url: str, lane: int) -> None:
    bodies = begin(lanes, url, len(lanes.all))
    bodies[lane].broken = True
    with pytest.raises(RuntimeError, match="no such luck"):
        for _ in range(1000):
            lanes.turn(len(bodies))
    let_go(lanes)
    # Nothing of that turn is taken for the next one's.
    bodies = begin(lanes, url, len(lanes.all))
    for _ in range(3):
        lanes.turn(len(bodies))
    let_go(lanes)


def test_ctrl_c_amid_a_turn_leaves_all_still(
    lanes: Lanes, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = begin(lanes, url, 2 * len(lanes.all))

    def interrupted(until: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lanes.own, "turn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lanes.turn(len(bodies))
    before = [len(body.taken) for body in bodies]
    time.sleep(0.05)
    assert [len(body.taken) for body in bodies] == before
    let_go(lanes)
