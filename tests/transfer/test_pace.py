"""How many connections a host gets, and which of several places delivers."""

from __future__ import annotations

import time

import pytest

from fetcher.network.rate_limit import Allowance
from fetcher.sources.base import UrlCandidate
from fetcher.transfer import hosts
from fetcher.transfer.hosts import Host, Hosts, Pace
from tests.kit import Run, entry, payload
from tests.servers.plain import FileServer

pytestmark = pytest.mark.usefixtures("hasty")


def simulate(pace: Pace, rate: object, seconds: float, start: float = 100.0) -> float:
    now = start
    while now < start + seconds:
        now += 0.5
        pace.received += int(rate(pace.limit) * 0.5)  # type: ignore[operator]
        pace.review(now, short=True)
    return now


def test_more_connections_while_that_is_faster() -> None:
    pace = Pace(32)
    simulate(pace, lambda n: 1_000_000 * n, 10)
    assert pace.limit == 32


def test_no_more_than_are_worth_it() -> None:
    pace = Pace(64)
    simulate(pace, lambda n: 1_000_000 * min(n, 8), 20)
    assert pace.limit in {8, 16}


@pytest.mark.parametrize(("processors", "begins"), [(1, 2), (2, 2), (3, 3), (64, 4)])
def test_a_near_host_begins_with_as_many_as_there_are_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, begins: int
) -> None:
    monkeypatch.setattr(hosts, "processors", lambda: processors)
    near, far = (Host(name, Pace(32)) for name in ("near", "far"))
    near.connected(hosts._NEAR_SECONDS / 2)
    far.connected(0.02)
    assert (near.pace.limit, far.pace.limit) == (begins, 4)
    # Where each has a bound of its own, more are joined all the same, and stay.
    simulate(near.pace, lambda n: 1_000_000 * n, 10)
    near.connected(hosts._NEAR_SECONDS / 2)
    assert near.pace.limit == 32


def test_a_saturated_link_keeps_few() -> None:
    pace = Pace(64)
    simulate(pace, lambda n: 50_000_000, 4)
    assert pace.limit in {4, 8}


def test_fewer_after_a_refusal() -> None:
    hosts = Hosts({}, lambda _: None, 32)
    host = hosts.get("h")
    now = simulate(host.pace, lambda n: 1_000_000 * n, 10)
    hosts.ask_to_wait(host, 1, 429)
    assert host.pace.limit == 16
    simulate(host.pace, lambda n: 1_000_000 * n, 3, now)
    assert host.pace.limit == 16, "it does not climb back at once"


def far(rate: float, seconds: float, most: int = 64) -> Pace:
    """A host 200 ms away: what new connections bring shows after eight round trips."""
    pace, now, raised = Pace(most), 100.0, [(100.0, 0)]
    pace.answered_in(0.2)
    end = now + seconds
    while now < end:
        now += 0.5
        if raised[-1][1] != pace.limit:
            raised.append((now, pace.limit))
        ready = [limit for since, limit in raised if since + 1.5 <= now]
        pace.received += int(rate * min((ready or [0])[-1], pace.limit) * 0.5)
        pace.review(now, short=True)
    return pace


def test_a_far_host_gets_some_at_once_and_more_after_their_slow_start() -> None:
    assert far(5e6, 0.5).limit == 16
    assert far(5e6, 10).limit == 64
    assert far(5e6, 10, most=8).limit == 8


def test_a_host_that_answers_at_once_begins_with_few() -> None:
    pace = Pace(64)
    pace.answered_in(0.0005)
    assert pace.limit == 4
    pace.answered_in(0.5)  # busy by now: the shortest time counts
    assert pace.limit == 4


def test_a_far_host_that_has_refused_gets_no_more_at_once() -> None:
    hosts = Hosts({}, lambda _: None, 32)
    host = hosts.get("h")
    hosts.ask_to_wait(host, 1, 429)
    host.answered_in(0.2)
    hosts.review(lambda _: True)
    assert host.pace.limit == 2


def test_no_more_requests_than_the_host_allows() -> None:
    hosts = Hosts({}, lambda _: None, 32)
    host = hosts.get("h")
    host.pace.limit = 16
    hosts.allowed(host, Allowance(5, 60))
    assert host.most() == 5
    hosts.allowed(host, Allowance(7, 60))  # an answer that was overtaken
    assert host.most() == 5 and host.not_before == 0
    hosts.allowed(host, Allowance(0, 60))
    assert host.not_before > time.monotonic() + 55
    host.allows_until = time.monotonic() - 1
    assert host.most() == 16
    hosts.allowed(host, Allowance(9, 60))
    assert host.most() == 9


def test_jobs_is_the_most() -> None:
    pace = Pace(1)
    simulate(pace, lambda n: 1_000_000 * n, 10)
    assert pace.limit == 1


def test_a_slow_place_is_overtaken(run: Run) -> None:
    data = payload(4_000_000)
    with FileServer() as slow, FileServer() as fast:
        one, other = slow.add("f.bin", data), fast.add("f.bin", data)
        slow.faults.add("f.bin", "slow", rate=100_000)
        started = time.monotonic()
        done = run.one(entry("f.bin", data), one, other)
        assert time.monotonic() - started < 30
    assert done.origin == "mirror:1"
    assert "is slow" in run.said and "going on from mirror:1" in run.said
    # What the slow one had brought was not fetched again.
    ranges = [request.headers.get("range") for request in fast.requests]
    assert len(ranges) == 1 and ranges[0] is not None
    assert run.blob(data) == data


def test_the_faster_of_two_known_places_is_asked(run: Run) -> None:
    many = [payload(200_000, seed) for seed in range(60)]
    with FileServer() as slow, FileServer() as fast:
        slow.faults.add(r"\.bin", "slow", rate=200_000)
        downloads = []
        for number, data in enumerate(many):
            urls = [server.add(f"{number}.bin", data) for server in (slow, fast)]
            downloads.append(run.download(entry(f"{number}.bin", data), *urls))
        outcome = run.get(*downloads)
    assert not outcome.failed
    assert [item.origin for item in outcome.delivered].count("mirror:1") >= 15


def test_a_named_mirror_is_not_left_for_a_faster_place(run: Run) -> None:
    many = [payload(50_000, seed) for seed in range(30)]
    with FileServer() as named, FileServer() as other:
        named.faults.add(r"\.bin", "slow", rate=500_000)
        downloads = []
        for number, data in enumerate(many):
            urls = [server.add(f"{number}.bin", data) for server in (named, other)]
            first = UrlCandidate("mirror:named", urls[0], rank=0)
            downloads.append(run.download(entry(f"{number}.bin", data), first, urls[1]))
        assert not run.get(*downloads).failed
        assert other.requests == []
