"""Large bodies in ranges: put together right, continued range by range, or in one stream again."""

from __future__ import annotations

import itertools
import random
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pycurl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import Failure
from fetcher.store import part_map
from fetcher.store.store import Part
from fetcher.transfer import hosts, receivers
from fetcher.transfer import partial_file as bodies
from fetcher.transfer.body_writer import BodyWriter
from fetcher.transfer.connection import Connection
from fetcher.transfer.download import Download
from fetcher.transfer.partial_file import PartialFile
from tests.kit import Run, entry, payload, sha256, wait_for
from tests.servers.plain import FileServer
from tests.servers.wire import Request

SEGMENT = 256 << 10
DATA = payload(20 * SEGMENT + 12_345, 7)

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


@pytest.fixture
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SEGMENT", SEGMENT)
    monkeypatch.setattr(bodies, "RANGES_FROM", 2 * SEGMENT)


def spans(files: FileServer) -> list[tuple[int, int]]:
    found = []
    for request in files.requests:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if match:
            found.append((int(match[1]), int(match[2] or len(DATA) - 1) + 1))
    return found


def sent(files: FileServer) -> int:
    return sum(request.bytes_sent for request in files.requests)


def test_every_byte_is_asked_for_once(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", DATA)
    assert run.one(entry("f.bin", DATA), url).downloaded == len(DATA)
    asked = sorted(spans(files))
    assert len(asked) == 21 and asked[0][0] == 0 and asked[-1][1] == len(DATA)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(asked))
    assert run.blob(DATA) == DATA and run.leftovers() == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count buffers otherwise")
@pytest.mark.parametrize("near", [True, False])
def test_little_waits_in_the_system_where_the_server_is_near(
    run: Run, files: FileServer, monkeypatch: pytest.MonkeyPatch, near: bool
) -> None:
    monkeypatch.setattr(hosts, "_NEAR_SECONDS", 10 if near else 0)
    url = files.add("f", DATA)
    sizes: set[int] = set()

    def held(connection: Connection) -> bool:
        going_on = flush(connection)
        number = connection.curl.getinfo(pycurl.ACTIVESOCKET)
        if connection.begun and number >= 0:
            sock = socket.socket(fileno=number)
            sizes.add(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
            sock.detach()
        return going_on

    flush = Connection.flush
    monkeypatch.setattr(Connection, "flush", held)
    run.one(entry("f", DATA), url)
    assert run.blob(DATA) == DATA
    assert sizes
    if near:
        assert sizes == {_bounded()}
    else:
        assert _bounded() not in sizes


def _bounded() -> int:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receivers.NEAR_BUFFER)
        return one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def test_slow_connections_are_joined_by_others(run: Run, files: FileServer) -> None:
    """Each connection has its own rate: together they are faster."""
    files.faults.add("f.bin", "slow", rate=600_000)
    run.one(entry("f.bin", DATA), files.add("f.bin", DATA))
    brought: Counter[tuple[str, int]] = Counter()
    for request in files.requests:
        brought[request.client] += request.bytes_sent
    assert len(brought) > 2 and max(brought.values()) < 0.7 * len(DATA)


@pytest.mark.parametrize("reset", [True, False])
def test_cuts_at_random_bytes(run: Run, files: FileServer, reset: bool) -> None:
    rng = random.Random(3)
    url = files.add("f.bin", DATA)
    for _ in range(100):
        files.faults.add("f.bin", "cut", n=rng.randrange(20_000, SEGMENT), times=1, reset=reset)
    run.one(entry("f.bin", DATA), url)
    assert run.blob(DATA) == DATA and run.leftovers() == []
    if not reset:  # a reset throws away what was on its way
        assert sent(files) < len(DATA) * 1.05


def test_a_try_that_others_have_made_needless(
    run: Run, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A range is cut off, and fetched by another connection before its own next try is due."""
    monkeypatch.setattr("fetcher.transfer.recovery.backoff", lambda attempt: 1.5)
    url, slow = files.add("f.bin", DATA), files.add("slow", DATA[:300_000])
    files.faults.add("f.bin", "cut", n=SEGMENT // 2, times=1, after=2)
    files.faults.add("slow", "slow", rate=120_000)
    outcome = run.get(
        run.download(entry("f.bin", DATA), url), run.download(entry("slow", DATA[:300_000]), slow)
    )
    assert not outcome.failed and len(outcome.delivered) == 2
    assert sent(files) < (len(DATA) + 300_000) * 1.05
    assert run.blob(DATA) == DATA and run.leftovers() == []


def test_a_server_without_ranges_sends_it_in_one_stream(run: Run, files: FileServer) -> None:
    run.one(entry("f.bin", DATA), files.add("f.bin", DATA, ranges=False))
    assert run.blob(DATA) == DATA and len(files.requests) == 1


def test_ranges_that_end_in_the_middle(run: Run, files: FileServer) -> None:
    """One of several servers behind a name ignores ranges: what is there is begun anew."""
    url = files.add("f.bin", DATA)
    files.faults.add("f.bin", "ignore_range", after=5)
    run.one(entry("f.bin", DATA), url)
    assert run.blob(DATA) == DATA and run.leftovers() == []


def test_wrong_ranges_are_refused(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", DATA)
    answer = files.respond

    def respond(request: Request) -> object:
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if span and int(span[1]) > 3 * SEGMENT:
            request.headers["range"] = f"bytes=0-{SEGMENT - 1}"
        return answer(request)

    files.respond = respond  # type: ignore[method-assign,assignment]
    run.one(entry("f.bin", DATA), url)
    assert run.blob(DATA) == DATA


def test_a_flipped_byte_is_found(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", DATA)
    files.faults.add("f.bin", "flip", times=1, after=4)
    run.one(entry("f.bin", DATA), url)
    assert run.blob(DATA) == DATA and run.leftovers() == []


def test_a_lie_is_told(run: Run, files: FileServer) -> None:
    wrong = entry("f.bin", DATA)._replace(sha256=sha256(b"other"))
    assert run.fails(wrong, files.add("f.bin", DATA)).code == "digest-mismatch"
    assert run.leftovers() == []


@pytest.mark.heavy
def test_kills_at_random_moments(run: Run, files: FileServer) -> None:
    """Whatever a killed process had written down, the next one does not ask for."""
    url = files.add("f.bin", DATA)
    files.faults.add("f.bin", "slow", rate=900_000)
    arguments = [str(run.root), url, str(len(DATA)), sha256(DATA)]
    rng = random.Random(1)
    there: list[tuple[int, int]] = []
    recorded = 0
    for kill in range(30):
        before = len(files.requests)
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments], cwd=Path(__file__).parents[2]
        )
        if kill < 8:
            wait_for(partial(_begun, files, before, child))
            time.sleep(rng.random() * 0.4)
            child.kill()
        killed = child.wait(60) != 0
        asked = spans(files)[before:]
        assert not [pair for pair in itertools.product(asked, there) if _overlap(*pair)]
        if not killed:
            break
        there = _recorded(run)
        recorded += bool(there)
    assert recorded
    assert run.blob(DATA) == DATA
    assert run.leftovers() == []


def _begun(files: FileServer, before: int, child: subprocess.Popen[bytes]) -> bool:
    return len(files.requests) > before or child.poll() is not None


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])


def _recorded(run: Run) -> list[tuple[int, int]]:
    """The ranges that the record beside the partial file says are there."""
    records = [path for path in run.store.partial.iterdir() if path.name.endswith(".map")]
    if not records:
        return []
    numbers = part_map.counts(records[0].read_bytes())
    return [(i * SEGMENT, i * SEGMENT + number) for i, number in enumerate(numbers) if number]


def test_a_part_of_one_stream_goes_on_in_ranges(run: Run, files: FileServer) -> None:
    part = run.store.claim_part("sha256:" + sha256(DATA))
    Path(part.path).write_bytes(DATA[: 3 * SEGMENT + 100])
    run.store.leave_part(part)
    run.one(entry("f.bin", DATA), files.add("f.bin", DATA))
    assert min(spans(files)) == (3 * SEGMENT + 100, 4 * SEGMENT)
    assert run.blob(DATA) == DATA


@pytest.mark.parametrize("note", [b"", b"fetchmap", b"x" * 200])
def test_a_damaged_record_means_that_nothing_counts(
    run: Run, files: FileServer, note: bytes
) -> None:
    part = run.store.claim_part("sha256:" + sha256(DATA))
    Path(part.path).write_bytes(b"\0" * len(DATA))
    Path(part.path + ".map").write_bytes(note)
    run.store.leave_part(part)
    run.one(entry("f.bin", DATA), files.add("f.bin", DATA))
    assert run.blob(DATA) == DATA and run.leftovers() == []


@given(data=st.data())
def test_what_is_recorded_is_there(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever order ranges come in, and wherever the process ends: a reload knows just that."""
    path = tmp_path_factory.mktemp("p") / "f.part"
    path.write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "SEGMENT", 100)
        patch.setattr(bodies, "RANGES_FROM", 1)
        content = payload(data.draw(st.integers(1, 950)))
        hasher = BodyWriter()
        download = Download("a", entry("f", content), [])
        body = PartialFile(download, Part(str(path), 0), hasher)
        body.prepare()
        while not body.complete:
            if data.draw(st.booleans()):  # the process ends
                there = [segment.got for segment in body.segments]
                body.close()
                body = PartialFile(download, Part(str(path), 0), hasher)
                assert [segment.got for segment in body.segments] == there
            segment = data.draw(st.sampled_from([c for c in body.segments if not c.whole]))
            assert segment.stop is not None
            size = data.draw(st.integers(1, segment.stop - segment.at))
            body.write(segment, [content[segment.at : segment.at + size]])
            if data.draw(st.booleans()):
                body.settle()
                assert content.startswith(path.read_bytes()[: body.frontier])
        body.settle()
        assert path.read_bytes() == content
        assert body.finish() is not None
        hasher.close()


def test_a_part_that_cannot_be_opened_is_told(run: Run) -> None:
    download = Download("a", entry("f", DATA), [])
    with pytest.raises(Failure, match="opening"):
        PartialFile(download, Part(str(run.root / "absent"), 0), BodyWriter())
