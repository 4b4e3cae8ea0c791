"""Servers as they are: what each does, and what must come out of it."""

from __future__ import annotations

import gzip
import io
import os
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from fetcher.sources.base import FileEntry
from fetcher.sources.url import Url
from fetcher.store.wrong_bytes import WrongBytes
from fetcher.transfer import connection, download, partial_file
from tests.kit import Run, entry, payload
from tests.servers.odd import CLOSE, Asked, OddServer, Reply, answer, chunked, until_closed

pytestmark = pytest.mark.usefixtures("hasty", "little")

SEGMENT = 16 << 10
SIZES = {"small": 6_000, "large": 40_000, "resumed": 44_000, "ranges": 7 * SEGMENT + 99}
ALL = tuple(SIZES)
RANGED = ("resumed", "ranges")
WHOLE = ("small", "large")
PAGE = b"<!DOCTYPE html><html><head><title>Blocked</title></head><body>no</body></html>"
ETAG = 'ETag: "one"'


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few bytes are many: a body of each kind costs next to nothing."""
    monkeypatch.setattr(partial_file, "SEGMENT", SEGMENT)
    monkeypatch.setattr(partial_file, "RANGES_FROM", 3 * SEGMENT)
    for place in (download, connection):
        monkeypatch.setattr(place, "SMALL", 8_000)


@dataclass(frozen=True)
class Row:
    """What a server does with each request for a body, and the outcome.

    `code` and `words` are of the failure, where it must fail; `most` bounds the requests.
    """

    name: str
    reply: Reply
    bodies: tuple[str, ...] = ALL
    code: str = ""
    words: str = ""
    most: int = 40
    file: str = "f.bin"


def ranged(reply: Reply) -> Reply:
    """Odd where a range is asked for, sound where none is."""
    return lambda asked: asked.plain(ETAG) if asked.span is None else reply(asked)


def refusing(status: int, *lines: str, body: bytes = b"no") -> Reply:
    return ranged(lambda asked: answer(status, *lines, body=body))


def encoded(name: str, pack: Callable[[bytes], bytes] = bytes) -> Reply:
    """The whole body under this Content-Encoding, whatever was asked for."""
    return lambda asked: asked.plain(f"Content-Encoding: {name}", body=pack(asked.data))


def twice(data: bytes) -> bytes:
    return gzip.compress(gzip.compress(data))


RANGES = [
    Row("200 with a right Content-Range", ranged(lambda a: a.part(status=200)), RANGED, most=12),
    Row(
        "200 with the whole as its Content-Range",
        ranged(lambda a: a.plain(f"Content-Range: bytes 0-{len(a.data) - 1}/{len(a.data)}")),
        RANGED,
        most=3,
    ),
    Row("200 with a wrong Content-Range", ranged(lambda a: a.part(status=200, shift=9)), RANGED),
    Row(
        "200 with a Content-Range that its body is not",
        ranged(lambda a: a.plain("Content-Range: bytes 5-9/10")),
        RANGED,
    ),
    Row(
        "206 with the whole",
        ranged(
            lambda a: a.plain(f"Content-Range: bytes 0-{len(a.data) - 1}/{len(a.data)}", status=206)
        ),
        RANGED,
    ),
    Row("206 moved", ranged(lambda a: a.part(shift=7)), RANGED),
    Row("206 that is longer", ranged(lambda a: a.part(more=900)), ("ranges",)),
    Row("206 in parts of the range", ranged(lambda a: a.first(17_000)), ("resumed",), most=3),
    Row("206 in tiny parts of the range", ranged(lambda a: a.first(50)), RANGED, most=8),
    Row("206 without Content-Range", ranged(lambda a: a.part(said="-")), RANGED),
    Row(
        "206 of unknown size",
        ranged(lambda a: a.part(said=f"bytes {a.range[0]}-{a.range[1] - 1}/*")),
        RANGED,
        most=12,
    ),
    Row(
        "206 with a Content-Range of nothing", ranged(lambda a: a.part(said="bytes 0-99/*")), RANGED
    ),
    Row(
        "206 with another size",
        ranged(lambda a: a.part(said=f"bytes {a.range[0]}-{a.range[1] - 1}/999999")),
        RANGED,
    ),
    Row(
        "206 in upper case",
        ranged(lambda a: a.part(said=f"Bytes {a.range[0]}-{a.range[1] - 1}/{len(a.data)}")),
        RANGED,
        most=12,
    ),
    Row(
        "206 with = in place of a space",
        ranged(lambda a: a.part(said=f"bytes={a.range[0]}-{a.range[1] - 1}/{len(a.data)}")),
        RANGED,
        most=12,
    ),
    Row(
        "206 in parts",
        ranged(
            lambda a: answer(
                206,
                "Content-Type: multipart/byteranges; boundary=X",
                body=b"--X\r\nContent-Range: bytes %d-%d/%d\r\n\r\n" % (*a.range, len(a.data))
                + a.data[slice(*a.range)]
                + b"\r\n--X--\r\n",
            )
        ),
        RANGED,
    ),
    Row(
        "206 for a plain request",
        lambda a: (
            a.right()
            if a.span
            else answer(206, f"Content-Range: bytes 0-{len(a.data) - 1}/{len(a.data)}", body=a.data)
        ),
        WHOLE,
    ),
    Row("Accept-Ranges: none, yet ranges", lambda a: a.right("Accept-Ranges: none")),
    Row("another ETag each time", lambda a: a.right(f'ETag: "{a.number}"')),
    Row("weak ETags", lambda a: a.right('ETag: W/"x"')),
    *(
        Row(f"{status} for a range", refusing(status), RANGED, most=6)
        for status in (400, 403, 404, 405, 406, 412, 416, 500, 501)
    ),
    Row("503 for a range", refusing(503), RANGED, most=6),
    Row("502 for a range", refusing(502), RANGED, most=8),
    Row(
        "a page for a range",
        ranged(lambda a: answer(200, "Content-Type: text/html", body=PAGE)),
        RANGED,
        most=6,
    ),
    Row(
        "a page in chunks for a range",
        ranged(lambda a: chunked(200, "Content-Type: text/html", body=PAGE)),
        RANGED,
        most=6,
    ),
    Row("204 for a range", ranged(lambda a: answer(204, length=False)), RANGED, most=6),
    Row("no answer to a range", ranged(lambda a: [CLOSE]), RANGED, most=20),
]

ENCODINGS = [
    *(
        Row(f"Content-Encoding: {name or 'nothing'}, untrue", encoded(name), most=3)
        for name in (
            "UTF-8",
            "binary",
            "aws-chunked",
            "none",
            "",
            "identity",
            "GZIP",
            "gzip",
            "x-gzip",
            "gzip, gzip",
            "br",
            "zstd",
            "deflate",
            "utf-8, aws-chunked",
        )
    ),
    *(
        Row(f"{name} put on a body", encoded(name, pack), most=4)
        for name, pack in (
            ("gzip", gzip.compress),
            ("x-gzip", gzip.compress),
            ("Gzip", gzip.compress),
            ("gzip, gzip", twice),
            ("deflate", zlib.compress),
            ("aws-chunked,gzip", gzip.compress),
        )
    ),
    Row(
        "gzip in chunks",
        lambda a: chunked(200, "Content-Encoding: gzip", body=gzip.compress(a.data)),
        most=5,
    ),
    Row(
        "gzip in chunks, untrue",
        lambda a: chunked(200, "Content-Encoding: gzip", body=a.data),
        most=5,
    ),
    Row(
        "gzip of unknown length",
        lambda a: until_closed(200, "Content-Encoding: gzip", body=gzip.compress(a.data)),
        most=5,
    ),
    Row("gzip on ranges, untrue", lambda a: a.right("Content-Encoding: gzip"), most=12),
]

LENGTHS = [
    Row("no length", lambda a: until_closed(200, body=a.data)),
    Row("chunks", lambda a: chunked(200, body=a.data)),
    Row("chunks and a length", lambda a: chunked(200, "Content-Length: 17", body=a.data)),
    Row(
        "a length that is too large",
        lambda a: [*answer(200, f"Content-Length: {len(a.data) + 50}", body=a.data), CLOSE],
        WHOLE,
    ),
    Row(
        "a length that is too small",
        lambda a: [*answer(200, f"Content-Length: {len(a.data) - 50}", body=a.data), CLOSE],
        WHOLE,
    ),
    Row("a length of 0", lambda a: [*answer(200, "Content-Length: 0", body=a.data), CLOSE], WHOLE),
    Row(
        "no number as its length",
        lambda a: [*answer(200, "Content-Length: many", body=a.data), CLOSE],
        WHOLE,
    ),
    Row("garbage after the body", lambda a: [*a.right(), b"garbage"]),
    Row("an empty body", lambda a: answer(200, body=b""), WHOLE, "size-mismatch"),
    Row("304 to whoever asks", lambda a: answer(304, length=False), WHOLE, "network", "304"),
    Row("204", lambda a: answer(204, length=False), WHOLE, "network", "204"),
]

PROTOCOL = [
    Row(
        "103 before the answer",
        lambda a: [
            b"HTTP/1.1 103 Early Hints\r\nLink: </s>\r\nContent-Encoding: gzip\r\n\r\n",
            *a.right(),
        ],
    ),
    Row("100 before the answer", lambda a: [b"HTTP/1.1 100 Continue\r\n\r\n", *a.right()]),
    Row(
        "102 twice before the answer",
        lambda a: [b"HTTP/1.1 102 Processing\r\n\r\n" * 2, *a.right()],
    ),
    Row("HTTP/1.0", lambda a: until_closed(200, body=a.data, version="1.0")),
    Row("HTTP/0.9", lambda a: [a.data, CLOSE], WHOLE, "refused", "in HTTP", most=2),
    Row("keep-alive that closes", lambda a: [*a.right(), CLOSE]),
    Row(
        "names in any case",
        lambda a: [answer(200, f"CoNtEnT-LeNgTh: {len(a.data)}", 'eTaG: "x"')[0], a.data],
    ),
    Row("folded lines", lambda a: a.right("X-Long: one\r\n two\r\n\tthree", ETAG)),
    Row("very long lines", lambda a: a.right("X-Long: " + "x" * 60_000)),
    Row("strange headers", lambda a: a.right(": empty", "X-Ctl: \x01\x7f\xff", "a b: c")),
    Row(
        "lines that are no headers",
        lambda a: a.right("nonsense"),
        WHOLE,
        "network",
        "Header without colon",
        most=2,
    ),
    Row(
        "bare line feeds",
        lambda a: [
            piece.replace(b"\r\n", b"\n") if piece.startswith(b"HTTP") else piece
            for piece in a.plain()
        ],
    ),
    Row(
        "a wild Content-Disposition",
        lambda a: a.right(
            "Content-Disposition: attachment; filename=\"../../etc/f\"; filename*=UTF-8''%00%2e"
        ),
    ),
    Row("a wrong Date", lambda a: a.right("Date: Thu, 01 Jan 1970 00:00:00 GMT", "Expires: -1")),
    Row("a status without words", lambda a: [a.plain()[0].replace(b" OK", b""), a.data]),
]


def moved(location: str) -> Reply:
    def reply(asked: Asked) -> Iterable[bytes]:
        there = asked.request.path.startswith("/there")
        to = location.replace("URL", asked.url).replace("HOST", asked.url.partition("//")[2])
        return asked.right() if there else answer(302, f"Location: {to}")

    return reply


def with_cookie(asked: Asked) -> Iterable[bytes]:
    if "pass=1" in asked.request.headers.get("cookie", ""):
        return asked.right()
    return answer(302, "Set-Cookie: pass=1; Path=/", f"Location: {asked.request.target}")


REDIRECTS = [
    Row("a path", moved("/there/f.bin")),
    Row("a name beside it", moved("there")),
    Row("a scheme-relative address", moved("//HOST/there")),
    Row("spaces", moved("/there/a b c.bin")),
    Row("letters beyond ASCII", moved("/there/\u00e9\u00fc.bin")),
    Row("a fragment", moved("/there#part")),
    Row("an upper-case scheme", moved("HTTP://HOST/there")),
    Row("no scheme", moved("HOST/there"), code="refused"),
    Row("a cookie on the way", with_cookie),
    Row(
        "a circle",
        lambda a: answer(302, f"Location: {a.url}/f.bin"),
        WHOLE,
        "refused",
        "without end",
    ),
    Row("nowhere", lambda a: answer(302), WHOLE, "refused", "without saying where"),
    Row("a page that wants a login", moved("URL/login?next=f"), WHOLE, "link-expired", "sign-in"),
    Row("another kind of address", moved("file:///etc/passwd"), WHOLE, "refused", "file"),
    Row(
        "300 with a choice",
        lambda a: answer(300, f"Location: {a.url}/there"),
        WHOLE,
        "network",
        "300",
    ),
]


def said(status: int, *lines: str, body: bytes = b"") -> Reply:
    return lambda asked: answer(status, *lines, body=body)


def passing(status: int, *lines: str) -> Reply:
    """Refused once, then as it should be."""
    return lambda a: answer(status, *lines) if a.number == 1 else a.right()


STATUSES = [
    Row("402", said(402), WHOLE, "quota", "payment", most=2),
    Row("403", said(403), WHOLE, "auth", "403", most=2),
    Row("407", said(407), WHOLE, "network", "proxy", most=2),
    Row("410", said(410), WHOLE, "not-found", "for good", most=2),
    Row("423", said(423), WHOLE, "busy", "locked", most=2),
    Row(
        "451",
        said(451, body=b'{"error": "Removed: \x1b[31mcourt order 17"}'),
        WHOLE,
        "refused",
        "court order 17",
        most=2,
    ),
    Row("508", said(508), WHOLE, "refused", "circle", most=2),
    Row("511", said(511, body=PAGE), WHOLE, "network", "sign in", most=2),
    *(
        Row(f"{status} once", passing(status), WHOLE, most=3)
        for status in (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)
    ),
    *(
        Row(f"{status}", said(status), WHOLE, "network", "certificate", most=2)
        for status in (525, 526)
    ),
    Row("530", said(530, body=b"error code: 1016"), WHOLE, "network", "530", most=2),
    Row("999", said(999), WHOLE, "network", "999", most=2),
    *(
        Row(f"Retry-After: {when}", passing(503, f"Retry-After: {when}"), WHOLE, most=3)
        for when in ("-5", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT", "0", "1e3", "0, 0")
    ),
    *(
        Row(
            f"Retry-After: {when}",
            said(503, f"Retry-After: {when}"),
            WHOLE,
            "network",
            "asks to wait",
            most=2,
        )
        for when in ("Thu, 01 Jan 2099 00:00:00 GMT", "99999999999", "86400")
    ),
]

TABLE = {
    "ranges": RANGES,
    "encodings": ENCODINGS,
    "lengths": LENGTHS,
    "protocol": PROTOCOL,
    "redirects": REDIRECTS,
    "statuses": STATUSES,
}


@pytest.mark.parametrize("subject", TABLE)
def test_what_comes_out(tmp_path: Path, subject: str) -> None:
    """All rows of a subject side by side: most of a case is waiting for its server."""
    cases = [(row, body) for row in TABLE[subject] for body in row.bodies]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: judged(tmp_path / str(n), *cases[n]), range(len(cases))))
    wrong = [
        f"{row.name}, {body}: {what}"
        for (row, body), what in zip(cases, found, strict=True)
        if what
    ]
    assert not wrong, "\n".join(wrong)


def judged(folder: Path, row: Row, body: str) -> str:
    """What is wrong with what came out, "" if nothing is."""
    run = Run(folder, jobs="3", sync="0")
    with served(row, body) as server:
        outcome = run.get(run.download(entry(row.file, server.data), f"{server.url}/{row.file}"))
    if server.errors:
        return f"the server failed: {server.errors}"
    if len(server.requests) > row.most:
        spans = [request.headers.get("range") for request in server.requests]
        return f"{len(spans)} requests: {spans}"
    if not row.code:
        if outcome.failed:
            return str(outcome.failed[0][1])
        sound = run.blob(server.data) == server.data and run.leftovers() == []
        return "" if sound else "other bytes, or something left"
    if not outcome.failed:
        return "it arrived"
    problem = outcome.failed[0][1]
    fits = problem.code == row.code and row.words in str(problem) and problem.message.isprintable()
    return "" if fits else f"{problem}, not {row.code} with {row.words!r}"


def served(row: Row, body: str) -> OddServer:
    """The row's server; of a body that is to be gone on with, the first answer breaks off."""

    def reply(asked: Asked) -> Iterable[bytes]:
        if body == "resumed" and len(server.requests) == 1:
            length = f"Content-Length: {len(asked.data)}"
            return [*answer(200, length, ETAG, body=asked.data[:22_000]), CLOSE]
        return row.reply(asked)

    server = OddServer(payload(SIZES[body], 5), reply)
    return server


TEXT = b'{"layers": ' + b"1" * 9_000 + b"}"
ZIPPED = io.BytesIO()
with zipfile.ZipFile(ZIPPED, "w") as _archive:
    _archive.writestr("w", payload(12_000, 3))
UNPROVEN = [
    # name, encoding, what is sent, what must be there
    ("c.json", "gzip", gzip.compress(TEXT), TEXT),
    ("c.json", "deflate", zlib.compress(TEXT), TEXT),
    ("c.json", "gzip, gzip", twice(TEXT), TEXT),
    ("c.json", "gzip", TEXT, TEXT),
    ("c.json", "br", TEXT, TEXT),
    ("c.json", "UTF-8", TEXT, TEXT),
    ("c.json", "aws-chunked", TEXT, TEXT),
    ("c.json.gz", "gzip", gzip.compress(TEXT, mtime=0), gzip.compress(TEXT, mtime=0)),
    ("c.tgz", "x-gzip", gzip.compress(TEXT, mtime=0), gzip.compress(TEXT, mtime=0)),
    ("c.zip", "gzip", ZIPPED.getvalue(), ZIPPED.getvalue()),
    ("c.zip", "gzip", gzip.compress(ZIPPED.getvalue()), ZIPPED.getvalue()),
    ("c.npz", "deflate", ZIPPED.getvalue(), ZIPPED.getvalue()),
    ("c.bin", "gzip", gzip.compress(payload(9_000, 8)), payload(9_000, 8)),
]


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("small", [True, False])
def test_encodings_of_what_no_digest_proves(tmp_path: Path, sized: bool, small: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if small:
            for place in (download, connection):
                patch.setattr(place, "SMALL", 1 << 20)
        for n, (name, encoding, sent, there) in enumerate(UNPROVEN):
            run = Run(tmp_path / str(n), sync="0")
            with OddServer(sent, encoded(encoding)) as server:
                wanted = FileEntry(name, len(there) if sized else None)
                outcome = run.get(run.download(wanted, f"{server.url}/{name}"))
            assert outcome.failed == [], (name, encoding)
            assert run.blob(there) == there, (name, encoding)
            assert len(server.requests) <= 3


@pytest.mark.parametrize("length", ["7", "99999999999999", "0", "-1", "many", "", "405", "closed"])
def test_what_head_says_is_a_hint(tmp_path: Path, length: str) -> None:
    data = payload(6_000, 5)

    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.request.method != "HEAD":
            return asked.right()
        if length == "closed":
            return [CLOSE]
        lines = [f"Content-Length: {length}"] if length else []
        return answer(405 if length == "405" else 200, *lines, length=False)[:1]

    run = Run(tmp_path, sync="0")
    with OddServer(data, reply) as server:
        source = Url(f"{server.url}/f.bin")
        outcome = run.fetch(source, list(run.resolve(source).values()))
    assert outcome.failed == [] and run.blob(data) == data
    assert [request.method for request in server.requests] == ["HEAD", "GET"]


@pytest.mark.parametrize("refusal", [0, 429, 503, -1])
def test_a_server_that_bears_two_connections(tmp_path: Path, refusal: int) -> None:
    """Beyond two at a time it closes the connection (0), refuses it (-1), or answers so."""
    guard, busy = threading.Lock(), 0

    def reply(asked: Asked) -> Iterable[bytes]:
        nonlocal busy
        with guard:
            busy += 1
            crowded = busy > 2
        try:
            if crowded and refusal >= 0:
                return answer(refusal) if refusal else [CLOSE]
            time.sleep(0.01)
            return asked.right(ETAG)
        finally:
            with guard:
                busy -= 1

    data = payload(12 * SEGMENT, 5)
    run = Run(tmp_path, jobs="6", sync="0")
    with OddServer(data, reply, bears=2 if refusal < 0 else 0) as server:
        files = [entry("f.bin", data)] + [entry(f"{i}.bin", data) for i in range(3)]
        outcome = run.get(*(run.download(one, f"{server.url}/{one.path}") for one in files))
    assert outcome.failed == [] and server.errors == []
    assert run.blob(data) == data


def test_a_place_that_lies_is_left_alone_for_a_while(tmp_path: Path) -> None:
    """Over the places of a run, runs and processes: the record lies in the store."""
    data, other = payload(6_000, 5), payload(6_000, 6)
    lying = True

    def reply(asked: Asked) -> Iterable[bytes]:
        honest = not lying or asked.request.path == "/honest"
        return asked.plain(body=data if honest else other)

    wanted = entry("f.bin", data)
    with OddServer(data, reply) as server:
        url = f"{server.url}/f.bin?signature="

        def asked_in(run: Run, *paths: str, fails: str = "") -> int:
            before = len(server.requests)
            download = run.download(wanted, *(f"{server.url}/{path}" for path in paths))
            failed = run.get(download).failed
            assert bool(failed) == bool(fails), failed
            assert not fails or fails in str(failed[0][1]), failed
            return len(server.requests) - before

        run = Run(tmp_path)
        # Twice, and each other address of the same host once.
        assert asked_in(run, "a?s=1", "a?s=2", "b", "c", fails="delivered sha256") == 4
        for _ in range(3):
            run.fresh_network()
            assert asked_in(run, "a?s=3", "b", "c", fails="not asked again so soon") == 0
        # Another content of the same place, or the content at another place, is another matter.
        run.one(entry("g.bin", other), url)
        lying = False
        assert asked_in(run, "a", fails="FETCH_WRONG_BYTES_MINUTES=0") == 0
        assert asked_in(run, "a", "honest") == 1
        # By hand, or when its time is over.
        assert asked_in(Run(tmp_path, wrong_bytes_minutes="0"), "a") == 1
        for record in (tmp_path / "store/wrong").iterdir():
            os.utime(record, (0, time.time() - 301))
        assert asked_in(Run(tmp_path), "a") == 1


def test_records_of_wrong_bytes_are_few_and_harmless(tmp_path: Path) -> None:
    known = WrongBytes(tmp_path, 60)
    assert not known and known.ago("a", "sha256:1") is None
    known.keep("a", "sha256:1")
    assert known and (known.ago("a", "sha256:1") or 0) < 10
    assert known.ago("a", "sha256:2") is known.ago("b", "sha256:1") is None
    (record,) = (tmp_path / "wrong").iterdir()
    assert record.read_bytes() == b""
    os.utime(record, (0, time.time() + 9999))  # a clock that was set back
    assert known.ago("a", "sha256:1") is None
    os.utime(record, (0, time.time() - 61))
    assert not WrongBytes(tmp_path, 60)
    known.keep("b", "sha256:1")
    assert len(list((tmp_path / "wrong").iterdir())) == 1
    (tmp_path / "file").touch()
    WrongBytes(tmp_path / "file", 60).keep("a", "x")  # what cannot be written is not kept
