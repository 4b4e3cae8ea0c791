"""Bodies that a thread of their own receives, from servers that are near."""

from __future__ import annotations

import errno
import io
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetcher.network.outgoing import Outgoing
from fetcher.transfer import hosts, receivers
from fetcher.transfer import partial_file as bodies
from fetcher.transfer.partial_file import PartialFile
from fetcher.transfer.receivers import Channel, Reception, Span
from tests.kit import Run, entry, payload, sha256, wait_for
from tests.servers.odd import CLOSE, Asked, OddServer, Reply, answer, chunked, until_closed
from tests.servers.plain import FileServer
from tests.servers.tls import TlsServer

SEGMENT = 256 << 10
COUNT = 20
DATA = payload(COUNT * SEGMENT + 12_345, 7)

pytestmark = pytest.mark.usefixtures("hasty", "small_cells")


@pytest.fixture
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SEGMENT", SEGMENT)
    monkeypatch.setattr(bodies, "RANGES_FROM", 2 * SEGMENT)
    monkeypatch.setattr(hosts, "_NEAR_SECONDS", 10)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Reception]:
    """All receptions, as they begin."""
    found: list[Reception] = []
    run = Reception.run

    def noted(reception: Reception, buffer: memoryview) -> None:
        found.append(reception)
        run(reception, buffer)

    monkeypatch.setattr(Reception, "run", noted)
    return found


# Through the engine


def test_all_but_the_first_ranges_are_received(
    run: Run, files: FileServer, seen: list[Reception]
) -> None:
    """libcurl asks first; the others follow over connections that are used again."""
    url = files.add("f.bin", DATA)
    done = run.one(entry("f.bin", DATA), url)
    assert run.blob(DATA) == DATA and done.downloaded == len(DATA)
    assert len(seen) >= COUNT - 6 and all(one.whole for one in seen)
    asked = sorted((one.span.start, one.span.stop) for one in seen)
    assert len(set(asked)) == len(asked) and asked[-1][1] == len(DATA)
    assert len(files.requests) == COUNT + 1
    assert files.connections <= 12 < len(files.requests)
    agents = {request.headers["user-agent"] for request in files.requests}
    assert len(agents) == 1 and all("accept-encoding" in r.headers for r in files.requests)


def test_whole_bodies_are_received(run: Run, files: FileServer, seen: list[Reception]) -> None:
    """Too small for ranges, too large for memory, from a server that has no ranges."""
    made = {f"{n}.bin": payload(1_100_000 + n, n) for n in range(12)}
    downloads = [
        run.download(entry(name, data), files.add(name, data, ranges=False))
        for name, data in made.items()
    ]
    bodies.RANGES_FROM = 1 << 40
    outcome = run.get(*downloads)
    assert outcome.failed == [] and len(files.requests) == len(made)
    assert all(run.blob(data) == data for data in made.values())
    assert seen and all(one.whole and not one.span.ranged for one in seen)


def test_behind_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[Reception]) -> None:
    with TlsServer(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        run = Run(tmp_path)
        run.one(entry("f.bin", DATA), server.add("f.bin", DATA))
        assert run.blob(DATA) == DATA and len(server.requests) == COUNT + 1
    assert len(seen) >= COUNT - 6 and all(one.whole for one in seen)
    assert all(one.request.url.startswith("https") for one in seen)


@pytest.mark.parametrize("why", ["far", "no digest", "a limit", "a proxy"])
def test_where_only_libcurl_will_do(
    run: Run,
    files: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    seen: list[Reception],
    why: str,
) -> None:
    file, url = entry("f.bin", DATA), files.add("f.bin", DATA)
    if why == "far":
        monkeypatch.setattr(hosts, "_NEAR_SECONDS", 0)
    elif why == "no digest":
        file = file._replace(sha256="")
    elif why == "a limit":
        run = Run(run.root, limit_rate="1G")
    else:
        monkeypatch.setenv("http_proxy", files.url)
        run.fresh_network()
        url = "http://models.invalid/f.bin"
    run.one(file, url)
    assert run.blob(DATA) == DATA and seen == []
    if why == "a proxy":
        assert {request.target for request in files.requests} == {url}


def test_credentials_go_along_to_their_own_origin_alone(
    tmp_path: Path, files: FileServer, seen: list[Reception]
) -> None:
    """The ranges that receivers ask for, where a redirect has led, go without."""
    with FileServer() as store:
        there = store.add("cdn.bin", DATA)
        files.add("f.bin", DATA, authorization="Bearer secret")
        files.faults.add("f.bin", "redirect", to=there)
        run = Run(tmp_path)
        run.network._tokens[("http", "127.0.0.1", files.port)] = "secret"
        run.one(entry("f.bin", DATA), f"{files.url}/f.bin")
        assert run.blob(DATA) == DATA and len(seen) >= COUNT - 6
        assert all("authorization" not in request.headers for request in store.requests)
        assert {r.headers["authorization"] for r in files.requests} == {"Bearer secret"}
        assert all(one.whole for one in seen)


def test_a_login_is_sent_with_each_range(
    run: Run, files: FileServer, seen: list[Reception]
) -> None:
    url = files.add("f.bin", DATA, authorization="Bearer secret")
    run.network._tokens[("http", "127.0.0.1", files.port)] = "secret"
    run.one(entry("f.bin", DATA), url)
    assert run.blob(DATA) == DATA and len(seen) >= COUNT - 6
    assert {request.headers["authorization"] for request in files.requests} == {"Bearer secret"}


# What servers answer instead


def _cut(asked: Asked, at: int) -> Iterable[bytes]:
    head, body = asked.part()
    return [head, body[:at], CLOSE]


ODD: dict[str, Reply] = {
    "the whole": lambda a: a.plain(),
    "another range": lambda a: a.part(shift=SEGMENT),
    "a longer one": lambda a: a.part(more=5_000),
    "a shorter one": lambda a: a.first(100_000),
    "another size": lambda a: a.part(said=f"bytes {a.range[0]}-{a.range[1] - 1}/99"),
    "no Content-Range": lambda a: a.part(said="-"),
    "chunks": lambda a: chunked(
        206,
        f"Content-Range: bytes {a.range[0]}-{a.range[1] - 1}/{len(DATA)}",
        body=DATA[slice(*a.range)],
    ),
    "an untrue encoding": lambda a: a.part("Content-Encoding: gzip"),
    "no length": lambda a: until_closed(
        206,
        f"Content-Range: bytes {a.range[0]}-{a.range[1] - 1}/{len(DATA)}",
        body=DATA[slice(*a.range)],
    ),
    "404": lambda a: answer(404, body=b"gone"),
    "503": lambda a: answer(503, "Retry-After: 0", body=b"busy"),
    "429": lambda a: answer(429, body=b"busy"),
    "a redirect": lambda a: answer(302, f"Location: {a.url}/there"),
    "no HTTP": lambda a: [b"SSH-2.0-OpenSSH\r\n", CLOSE],
    "nothing": lambda a: [CLOSE],
    "a head without an end": lambda a: [b"HTTP/1.1 206 Partial Content\r\nContent-Ra", CLOSE],
    "103 ahead of it": lambda a: [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", *a.part()],
    "a length that is no number": lambda a: a.part("Content-Length: many"),
    "two lengths": lambda a: a.part("Content-Length: 7", "Content-Length: 262144"),
    "a cut in the head's buffer": lambda a: _cut(a, 100),
    "a cut": lambda a: _cut(a, 200_001),
    "a last byte that is missing": lambda a: _cut(a, len(a.part()[1]) - 1),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("times", [1, 4])
def test_whatever_else_comes_is_left_to_libcurl(
    run: Run, seen: list[Reception], name: str, times: int
) -> None:
    """A few ranges that are answered so, among others that are not: all comes, and once."""
    lock, left = threading.Lock(), [times]

    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.span is None or "there" in asked.request.path:
            return asked.right()
        with lock:
            odd = bool(seen) and left[0] > 0
            left[0] -= odd
        return ODD[name](asked) if odd else asked.right()

    with OddServer(DATA, reply) as server:
        run.one(entry("f.bin", DATA), f"{server.url}/f.bin")
        assert run.blob(DATA) == DATA and run.leftovers() == []
        assert len(server.requests) <= COUNT + 1 + (3 if name == "a redirect" else 2) * times
    assert any(not one.whole for one in seen)
    assert left[0] < times  # fewer, where it goes on in one stream, or elsewhere


def test_a_host_that_is_odd_again_and_again_is_left_to_libcurl(
    run: Run, seen: list[Reception]
) -> None:
    def reply(asked: Asked) -> Iterable[bytes]:
        ours = any(asked.span == (one.span.start, one.span.stop) for one in seen)
        first = sum(r.headers.get("range") == asked.request.headers.get("range")
                    for r in list(server.requests)) == 1  # fmt: skip
        return answer(500, body=b"not you") if ours and first else asked.right()

    with OddServer(DATA, reply) as server:
        run.one(entry("f.bin", DATA), f"{server.url}/f.bin")
        assert run.blob(DATA) == DATA
    assert hosts._TOO_ODD <= len(seen) <= hosts._TOO_ODD + 4


def test_wrong_bytes_are_told_as_ever(run: Run, files: FileServer, seen: list[Reception]) -> None:
    files.faults.add("f.bin", "flip", at=10)
    problem = run.fails(entry("f.bin", DATA), files.add("f.bin", DATA))
    assert problem.code == "digest-mismatch" and any(one.whole for one in seen)


def test_a_full_disk_is_told(
    run: Run, files: FileServer, seen: list[Reception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartialFile, "write_now", full)
    problem = run.fails(entry("f.bin", DATA), files.add("f.bin", DATA))
    assert problem.code == "disk-space" and seen and not any(one.whole for one in seen)


# One by one


class Sink:
    """What a reception gives; `gate` holds it in the middle of a piece."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.gate = threading.Event()
        self.gate.set()
        self.going_on = True

    def take(self, data: memoryview) -> bool:
        self.gate.wait(10)
        self.data += data
        return self.going_on


def reception(
    url: str, sink: Sink, span: tuple[int, int] | None = None, channel: Channel | None = None
) -> Reception:
    start, stop = span or (0, len(DATA))
    asked = Span(start, stop, len(DATA), span is not None)
    return Reception(Outgoing(url, ()), asked, sink.take, channel, 5, ssl.create_default_context)


def begun(one: Reception) -> threading.Thread:
    thread = threading.Thread(target=one.run, args=(memoryview(bytearray(100_000)),))
    thread.start()
    return thread


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_byte_once_and_in_order(data: st.DataObject) -> None:
    """Whatever the pieces are in which a server sends, and the buffer that they come into."""
    size = data.draw(st.integers(1, 500_000), "size")
    body = DATA[:size]
    cuts = sorted(data.draw(st.sets(st.integers(0, size), max_size=5), "cuts"))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    stream = head + body
    joined = data.draw(st.booleans(), "the head comes with the body")
    at = [0, *([] if joined else [len(head)]), *(len(head) + cut for cut in cuts), len(stream)]
    room = data.draw(st.integers(io.DEFAULT_BUFFER_SIZE, 300_000), "room")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.recv(1 << 16)
            for start, stop in itertools.pairwise(at):
                sock.sendall(stream[start:stop])

    thread = threading.Thread(target=serve)
    thread.start()
    sink = Sink()
    one = Reception(
        Outgoing(f"http://127.0.0.1:{listener.getsockname()[1]}/f", ()),
        Span(0, size, size, False),
        sink.take,
        None,
        5,
        ssl.create_default_context,
    )
    one.run(memoryview(bytearray(room)))
    assert one.whole and sink.data == body
    assert one.channel is not None
    one.channel.http.close()
    thread.join(5)
    listener.close()


def test_what_has_come_is_given_before_more_comes(files: FileServer) -> None:
    """A process that is killed, and who looks on, have what came so far."""
    gate = threading.Event()
    files.faults.add("f.bin", "stall", n=30_000, s=60, until=gate)
    sink = Sink()
    thread = begun(reception(files.add("f.bin", DATA), sink))
    wait_for(lambda: len(sink.data) == 30_000, 5)
    time.sleep(3 * receivers._FILLING_SECONDS)
    assert thread.is_alive()  # silence is no fault for a while
    gate.set()
    thread.join(20)
    assert sink.data == DATA


def test_silence_ends_it(files: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "STALL_SECONDS", 0.3)
    files.faults.add("f.bin", "stall", n=30_000, s=10)
    sink = Sink()
    one = reception(files.add("f.bin", DATA), sink)
    begun(one).join(5)
    assert len(sink.data) == 30_000 and not one.whole and one.channel is None


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/f"


def test_one_that_waits_for_an_answer_is_cut(silent: str) -> None:
    sink = Sink()
    one = reception(silent, sink)
    thread = begun(one)
    wait_for(lambda: one._socket is not None)
    one.cut()
    thread.join(5)
    assert not thread.is_alive() and one.channel is None and not sink.data


def test_one_that_was_cut_before_it_began_asks_nothing(files: FileServer) -> None:
    sink = Sink()
    one = reception(files.add("f.bin", DATA), sink)
    one.cut()
    begun(one).join(5)
    assert files.requests == [] and not sink.data and not one.whole


def test_nothing_is_given_after_the_cut(files: FileServer) -> None:
    """`cut` waits for the piece that is being written, and no other follows."""
    sink = Sink()
    sink.gate.clear()
    one = reception(files.add("f.bin", DATA), sink)
    thread = begun(one)
    wait_for(lambda: bool(files.requests) and one._guard.locked())
    cutting = threading.Thread(target=one.cut)
    cutting.start()
    cutting.join(0.2)
    assert cutting.is_alive()
    sink.gate.set()
    cutting.join(5)
    there = bytes(sink.data)
    thread.join(5)
    assert not thread.is_alive() and bytes(sink.data) == there and len(there) <= 100_000
    assert not one.whole and DATA.startswith(there)


def test_who_wants_no_more_gets_no_more(files: FileServer) -> None:
    sink = Sink()
    sink.going_on = False
    one = reception(files.add("f.bin", DATA), sink)
    begun(one).join(5)
    assert 0 < len(sink.data) <= 100_000 and not one.whole and one.channel is None


def test_a_connection_is_used_again_or_made_anew(files: FileServer) -> None:
    """A server may have closed it meanwhile: that is no fault."""
    url = files.add("f.bin", DATA)
    channel: Channel | None = None
    for n in range(4):
        if n == 2:
            assert channel is not None
            channel.http.sock.shutdown(socket.SHUT_RDWR)
        sink = Sink()
        one = reception(url, sink, (n * 1000, n * 1000 + 500), channel)
        begun(one).join(5)
        assert one.whole and sink.data == DATA[n * 1000 : n * 1000 + 500]
        channel = one.channel
    assert files.connections == 2 and channel is not None
    channel.http.close()


def _ended(made: receivers.Receivers, count: int) -> list[Reception]:
    found: list[Reception] = []
    end = time.monotonic() + 10
    while len(found) < count and time.monotonic() < end:
        made.wait(0.1)
        found += made.ended()
    return found


def test_receivers_tell_of_each_end_once(files: FileServer) -> None:
    url = files.add("f.bin", DATA)
    made, sinks = receivers.Receivers(2), [Sink() for _ in range(5)]
    for sink in sinks:
        made.begin(reception(url, sink))
    assert len(made) == 5
    found = _ended(made, 5)
    assert len(set(found)) == 5 and all(one.whole for one in found)
    assert all(sink.data == DATA for sink in sinks)
    assert len(made) == 0 and made.ended() == []
    made.close()
    for one in found:
        assert one.channel is not None
        one.channel.http.close()


def test_what_was_cut_is_not_told(files: FileServer, silent: str) -> None:
    made = receivers.Receivers(2)
    kept, gone = reception(files.add("f.bin", DATA), Sink()), reception(silent, Sink())
    made.begin(gone)
    made.begin(kept)
    made.cut(gone)
    assert _ended(made, 1) == [kept]
    made.wait(0.1)
    assert made.ended() == [] and len(made) == 0
    made.close()


def test_closing_ends_what_is_under_way(silent: str) -> None:
    def threads() -> int:  # other servers' come and go
        return sum(one.name.startswith("receiver") for one in threading.enumerate())

    made = receivers.Receivers(3)
    for _ in range(3):
        made.begin(reception(silent, Sink()))
    wait_for(lambda: threads() == 3)
    began = time.monotonic()
    made.close()
    assert time.monotonic() - began < 5 and threads() == 0


def test_digests_are_of_what_came(run: Run, files: FileServer) -> None:
    done = run.one(entry("f.bin", DATA), files.add("f.bin", DATA))
    assert done.sha256 == sha256(DATA)
