"""Links that run out while bytes come: another one is asked for, once for all ranges."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from fetcher.errors import Failure
from fetcher.network.session import Network
from fetcher.sources.base import Candidate, DeferredCandidate, FileEntry, UrlCandidate
from fetcher.transfer import partial_file as bodies
from fetcher.transfer import recovery
from fetcher.transfer.download import MAX_RENEWALS
from fetcher.transfer.engine import Engine
from fetcher.transfer.inbox import Addressed, Answer
from fetcher.ui.progress import Progress
from tests.kit import Run, entry, payload, wait_for
from tests.servers.links import LinkServer, Rules
from tests.servers.plain import FileServer
from tests.servers.wire import Request, Response

SEGMENT = 256 << 10
DATA = payload(20 * SEGMENT + 12_345, 7)
SMALL = payload(40_000, 8)

pytestmark = pytest.mark.usefixtures("hasty", "small_cells")

CHILD = f"""
import sys
from pathlib import Path
from fetcher.transfer import partial_file as body
body.SEGMENT, body.RANGES_FROM = {SEGMENT}, {2 * SEGMENT}
from fetcher.sources.base import FileEntry
from tests.kit import Run
root, url, size, digest = sys.argv[1:]
Run(Path(root)).one(FileEntry("f.bin", int(size), digest), url)
"""

Place = Callable[[LinkServer, str], Candidate]


@pytest.fixture
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SEGMENT", SEGMENT)
    monkeypatch.setattr(bodies, "RANGES_FROM", 2 * SEGMENT)


@pytest.fixture
def server() -> Iterator[LinkServer]:
    with LinkServer() as server:
        yield server
        assert server.errors == []


def redirected(server: LinkServer, name: str) -> Candidate:
    return UrlCandidate("url", f"{server.url}/{name}")


def given_by_an_api(server: LinkServer, name: str) -> Candidate:
    def prepare(network: Network) -> UrlCandidate:
        answer = network.request(f"{server.url}/api/{name}")
        return UrlCandidate("url", answer.body.decode())

    return DeferredCandidate("url", prepare)


def of_a_listing(server: LinkServer, name: str) -> Candidate:
    """As a record's API gives links: all at once, remembered for the run."""

    def listed(network: Network) -> str:
        return network.request(f"{server.url}/api/{name}").body.decode()

    def prepare(network: Network) -> UrlCandidate:
        return UrlCandidate("url", network.once(name, lambda: listed(network), links=True))

    return DeferredCandidate("url", prepare)


def after(count: int, then: Callable[[], None]) -> Callable[[], None]:
    """What calls `then` when it is called for the so-manieth time."""
    calls = itertools.count(1)

    def called() -> None:
        if next(calls) == count:
            then()

    return called


PLACES = [redirected, given_by_an_api, of_a_listing]


RUN_OUT = Rules(seconds=0.1)  # again and again
ONCE = Rules(uses=1)


@pytest.mark.parametrize(
    ("place", "rules", "slow", "most"),
    [
        *((place, RUN_OUT, 1_500_000, 40) for place in PLACES),
        *((place, ONCE, 0, 24) for place in PLACES),
        (redirected, Rules(seconds=0.1, status=401), 1_500_000, 40),
        (given_by_an_api, Rules(seconds=0.1, status=400), 1_500_000, 40),
        (of_a_listing, Rules(seconds=0.1, status=410, query=""), 1_500_000, 40),
        (given_by_an_api, Rules(uses=3), 0, 24),
        (redirected, Rules(one_range=True, delay=0.02), 0, 24),
    ],
)
def test_links_run_out(
    run: Run, server: LinkServer, place: Place, rules: Rules, slow: int, most: int
) -> None:
    server.add("f.bin", DATA)
    server.rules = rules
    if slow:
        server.faults.add("GET /link", "slow", rate=slow)
    assert run.one(entry("f.bin", DATA), place(server, "f.bin")).downloaded == len(DATA)
    assert run.blob(DATA) == DATA and run.leftovers() == []
    assert 1 < server.asked <= most
    brought = sum(r.bytes_sent for r in server.matching("GET /link") if r.status in {200, 206})
    assert brought < len(DATA) * 1.02


def test_one_asks_for_all_ranges(run: Run, server: LinkServer) -> None:
    """All ranges meet the end of the link at once; its origin is slow to make another."""
    server.add("f.bin", DATA)
    server.faults.add("GET /link", "slow", rate=1_500_000)
    server.hook("GET /link", after(6, server.expire), times=6)
    server.rules.delay = 0.3
    run.one(entry("f.bin", DATA), redirected(server, "f.bin"))
    assert server.asked == 2 and run.blob(DATA) == DATA


def test_many_files_at_once(run: Run, server: LinkServer) -> None:
    files = {f"{n}.bin": payload(2 * SEGMENT + n, n) for n in range(8)}
    files |= {f"small{n}.bin": payload(30_000, n) for n in range(8)}
    server.rules.seconds = 0.1
    server.faults.add("GET /link", "slow", rate=1_500_000)
    for name, data in files.items():
        server.add(name, data)
    wanted = [run.download(entry(n, d), redirected(server, n)) for n, d in files.items()]
    outcome = run.get(*wanted)
    assert not outcome.failed and len(outcome.delivered) == 16
    for data in files.values():
        assert run.blob(data) == data


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("data", [SMALL, DATA])
@pytest.mark.parametrize("status", [401, 403, 410])
def test_links_that_never_work(
    run: Run, server: LinkServer, place: Place, data: bytes, status: int
) -> None:
    server.add("f.bin", data)
    server.rules = Rules(dead=True, status=status)
    problem = run.fails(entry("f.bin", data), place(server, "f.bin"))
    assert problem.code == "link-expired" and f"HTTP {status}" in problem.message
    assert "Request has expired" in problem.message and "token" not in problem.hint
    assert "/f.bin" in problem.message and "Signature" not in problem.message
    # A range may be what is refused: then the whole is asked for, once.
    assert server.asked == server.refused == MAX_RENEWALS + (2 if data is DATA else 1)


def test_links_that_refuse_ranges_alone(run: Run, files: FileServer) -> None:
    """Whatever link is asked for."""
    url, landed = files.add("f.bin", DATA), files.add("signed/f.bin", DATA)
    answer = files.respond

    def respond(request: Request) -> Response:
        if not request.path.startswith("/signed"):
            return Response.redirect(f"{landed}?X-Amz-Signature={len(files.requests)}")
        if "range" in request.headers:
            return Response.text("Request has expired", 403)
        return answer(request)

    files.respond = respond  # type: ignore[method-assign]
    run.one(entry("f.bin", DATA), url)
    assert run.blob(DATA) == DATA and len(files.requests) < 30


@pytest.mark.parametrize("place", PLACES)
def test_links_that_stop_to_work(run: Run, server: LinkServer, place: Place) -> None:
    """What came is kept for a run on a better day, which gets links of its own."""

    def end() -> None:
        server.expire()
        server.rules.dead = True

    run = Run(run.root, jobs="2")  # of 13 ranges that begin, no more are under way at the end
    server.add("f.bin", DATA)
    server.faults.add("GET /link", "slow", rate=1_500_000)
    server.hook("GET /link", after(13, end), times=13)
    problem = run.fails(entry("f.bin", DATA), place(server, "f.bin"))
    assert problem.code == "link-expired" and server.asked < 20
    server.rules.dead = False
    before = len(server.requests)
    run.fresh_network()
    run.one(entry("f.bin", DATA), place(server, "f.bin"))
    again = sum(r.bytes_sent for r in server.requests[before:])
    assert again < len(DATA) / 2 and run.blob(DATA) == DATA


def test_another_place_is_taken(run: Run, server: LinkServer) -> None:
    server.add("f.bin", DATA)
    server.rules.dead = True
    with LinkServer() as other:
        other.add("f.bin", DATA)
        got = run.one(entry("f.bin", DATA), redirected(server, "f.bin"), redirected(other, "f.bin"))
    assert got.origin == "url" and run.blob(DATA) == DATA


@pytest.mark.parametrize(("ends", "said"), [(1_577_836_800, "ended at"), (1 << 33, "is refused")])
def test_a_link_of_the_manifest(run: Run, server: LinkServer, ends: int, said: str) -> None:
    """Nobody but who made it can renew it."""
    server.add("f.bin", SMALL)
    url = server.make("/f.bin") + f"&Expires={ends}&Signature=secret"
    server.expire()
    problem = run.fails(entry("f.bin", SMALL), url)
    assert problem.code == "link-expired" and said in problem.message
    assert "manifest" in problem.hint and "secret" not in problem.message
    assert len(server.requests) == 1


def test_a_killed_run_is_continued_by_another_link(run: Run, server: LinkServer) -> None:
    server.add("f.bin", DATA)
    server.faults.add("GET /link", "slow", rate=1_000_000)
    file = entry("f.bin", DATA)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(run.root), f"{server.url}/f.bin",
         str(len(DATA)), str(file.sha256)],
    )  # fmt: skip
    wait_for(lambda: sum(r.bytes_sent for r in list(server.requests)) > len(DATA) / 2)
    child.kill()
    child.wait()
    server.faults.clear()
    server.expire()
    before = len(server.requests)
    run.one(file, redirected(server, "f.bin"))
    again = sum(r.bytes_sent for r in server.requests[before:])
    assert again < len(DATA) * 0.7 and run.blob(DATA) == DATA and run.leftovers() == []


def test_a_small_body_that_was_cut_goes_on_by_another_link(run: Run, server: LinkServer) -> None:
    """The rest of it is a range, of a link whose time is over."""
    server.add("f.bin", SMALL)
    server.faults.add("GET /link", "cut", n=20_000, times=1)
    server.rules.uses = 1
    run.one(entry("f.bin", SMALL), redirected(server, "f.bin"))
    assert run.blob(SMALL) == SMALL and server.asked == 2


@pytest.mark.parametrize("place", PLACES)
def test_a_body_without_a_digest_goes_on_by_another_link(
    run: Run, server: LinkServer, place: Place
) -> None:
    """Its validator tells that it is the same, also in a later run."""
    server.add("f.bin", DATA)
    server.rules.uses = 1
    server.faults.add("GET /link", "cut", n=2_000_000, times=1)
    server.faults.add("GET /link", "cut", n=1_000_000, after=1, times=1)
    got = run.one(FileEntry("f.bin"), place(server, "f.bin"))
    assert got.downloaded == len(DATA) and run.blob(DATA) == DATA
    brought = [r for r in server.matching("GET /link") if r.status in {200, 206}]
    assert [r.headers.get("range") for r in brought] == [
        None, "bytes=2000000-", "bytes=3000000-",
    ]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_faults_beside(run: Run, server: LinkServer, place: Place) -> None:
    """Cuts, storms and links that end, all at once."""
    server.add("f.bin", DATA)
    server.rules = Rules(seconds=0.2)
    server.faults.add("GET /link", "slow", rate=2_000_000)
    server.faults.add("GET /link", "cut", n=100_000, after=4, times=3)
    server.faults.add("GET /link", "status", code=503, after=9, times=1)
    server.faults.add("GET /(api|f)", "status", code=500, after=1, times=2)
    run.one(entry("f.bin", DATA), place(server, "f.bin"))
    assert run.blob(DATA) == DATA and run.leftovers() == []


def test_a_link_that_ends_after_one_range_is_not_for_one_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time was over: the next one serves all ranges that are left."""
    monkeypatch.setattr(recovery, "_YOUNG_LINK_SECONDS", 0.0)

    class Ending(LinkServer):
        def respond(self, request: Request) -> Response:
            answer = super().respond(request)
            if request.path.startswith("/link") and answer.status in {200, 206} and self.asked == 1:
                self.expire()
            return answer

    with Ending() as server:
        server.add("/f.bin", DATA)
        run.one(entry("f.bin", DATA), f"{server.url}/f.bin")
        assert server.asked <= 3 and server.errors == []


def test_an_address_that_is_refused_too_late_harms_nothing(run: Run) -> None:
    """One connection asked for a link while others brought the rest of the file."""
    asked, go_on = threading.Event(), threading.Event()

    def prepare(_: Network) -> UrlCandidate:
        asked.set()
        go_on.wait(30)
        raise Failure("network", "the API has gone")

    candidate = DeferredCandidate("url", prepare)
    download = run.download(entry("f.bin", DATA), candidate)
    run.store.prepare()
    with Engine(run.network, run.store, Progress(run.stream, quiet=True)) as engine:
        engine._backends.take(download, candidate)
        assert asked.wait(30)
        download.settled = True
        engine._backends._handled.clear()  # as when its digest is known
        go_on.set()
        while engine._backends.pending:
            engine._hear(engine._backends.answers(0.1))
        assert engine.failed == [] and not engine._queue


def test_nobody_minds_that_it_was_settled_before_it_was_asked(run: Run, server: LinkServer) -> None:
    """The thread begins when its digest is known already: no fault of ours is told."""
    server.add("f.bin", DATA)
    started, go_on = threading.Event(), threading.Event()

    def busy() -> None:
        started.set()
        go_on.wait(30)

    candidate = given_by_an_api(server, "f.bin")
    download = run.download(entry("f.bin", DATA), candidate)
    run.store.prepare()
    with Engine(run.network, run.store, Progress(run.stream, quiet=True)) as engine:
        backends = engine._backends
        for _ in range(4):
            backends._threads.submit(busy)
        assert started.wait(30)
        backends.take(download, candidate)
        backends._handled.clear()
        go_on.set()
        found: list[Answer] = []
        while not found:
            found += backends.answers(0.1)
        assert [type(one) for one in found] == [Addressed]
