from __future__ import annotations

import gzip
import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.plain import FileServer

from .client import ask

BODY = bytes(range(256)) * 1000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "disk.bin").write_bytes(BODY)
    with FileServer({"/a.bin": BODY, "/disk.bin": tmp_path / "disk.bin", "/empty": b""}) as found:
        yield found
        assert found.errors == []


@pytest.mark.parametrize("name", ["a.bin", "disk.bin"])
def test_whole_file(server: FileServer, name: str) -> None:
    answer = ask(f"{server.url}/{name}")
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["content-length"] == str(len(BODY))
    assert answer.headers["accept-ranges"] == "bytes"
    logged = server.requests[-1]
    assert (logged.method, logged.path, logged.status) == ("GET", f"/{name}", 200)
    assert logged.bytes_sent == len(BODY)


def test_head_has_the_headers_and_no_body(server: FileServer) -> None:
    answer = ask(server.url + "/a.bin", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(BODY))
    assert server.requests[-1].bytes_sent == 0


def test_empty_and_missing_files(server: FileServer) -> None:
    assert ask(server.url + "/empty").headers["content-length"] == "0"
    assert ask(server.url + "/nothing").status == 404


@pytest.mark.parametrize("name", ["a.bin", "disk.bin"])
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("0-0", 0, 1),
        ("5-99", 5, 100),
        ("1000-", 1000, None),
        ("-7", -7, None),
        ("9-9999999", 9, None),
    ],
)
def test_range(server: FileServer, name: str, asked: str, start: int, stop: int | None) -> None:
    answer = ask(f"{server.url}/{name}", headers={"Range": f"bytes={asked}"})
    part = BODY[start:stop]
    first = start % len(BODY)
    assert (answer.status, answer.body) == (206, part)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(BODY)}"


def test_range_out_of_reach(server: FileServer) -> None:
    answer = ask(server.url + "/a.bin", headers={"Range": f"bytes={len(BODY)}-"})
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{len(BODY)}"


def test_several_ranges_get_the_whole(server: FileServer) -> None:
    assert ask(server.url + "/a.bin", headers={"Range": "bytes=0-1,5-6"}).status == 200


def test_conditions(server: FileServer) -> None:
    url = server.url + "/a.bin"
    etag = ask(url, "HEAD").headers["etag"]
    ranged = {"Range": "bytes=9-"}
    assert ask(url, headers={**ranged, "If-Range": etag}).status == 206
    assert ask(url, headers={**ranged, "If-Range": '"other"'}).body == BODY
    assert ask(url, headers={"If-None-Match": etag}).status == 304


def test_connection_is_kept(server: FileServer) -> None:
    line = http.client.HTTPConnection("127.0.0.1", server.port)
    for name in ("/a.bin", "/disk.bin", "/nothing", "/a.bin"):
        line.request("GET", name)
        line.getresponse().read()
    line.close()
    assert server.connections == 1
    assert len({request.client for request in server.requests}) == 1


def test_small_files_are_fast(server: FileServer) -> None:
    server.add("/small", b"x" * 1000)
    question = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        got = 0
        line.sendall(question)
        once = len(line.recv(1 << 16))
        for _ in range(20):
            line.sendall(question * 50)
            while got < once * 50:
                got += len(line.recv(1 << 16))
            got = 0
    assert len(server.requests) == 1001
    assert time.perf_counter() - start < 20


def test_log_has_query_and_headers(server: FileServer) -> None:
    ask(server.url + "/nothing%20here?a=1&b=%2F", headers={"X-Some": "Thing"})
    logged = server.requests[-1]
    assert logged.path == "/nothing here"
    assert logged.query == {"a": "1", "b": "/"}
    assert logged.headers["x-some"] == "Thing"
    assert server.matching(r"GET /nothing%20here\?a=1") == [logged]


def test_proxy_form_of_the_address(server: FileServer) -> None:
    line = http.client.HTTPConnection("127.0.0.1", server.port)
    line.request("GET", "http://far.example/a.bin?x=1")
    assert line.getresponse().read() == BODY
    line.close()
    assert server.requests[-1].query == {"x": "1"}


def test_authorization(server: FileServer) -> None:
    url = server.add("/closed", b"secret", authorization="Basic dTpw")
    assert ask(url).status == 401
    assert ask(url, headers={"Authorization": "Basic dTpw"}).body == b"secret"
    assert server.requests[-1].token == "p"


# faults


def test_status_fault_comes_so_many_times(server: FileServer) -> None:
    fault = server.faults.add(
        "GET /a.bin", "status", times=2, code=429, retry_after=7, ratelimit='"api";r=0;t=5'
    )
    answers = [ask(server.url + "/a.bin") for _ in range(3)]
    assert [answer.status for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert answers[0].headers["ratelimit"] == '"api";r=0;t=5'
    assert fault.hits == 2
    assert ask(server.url + "/disk.bin").status == 200


def test_fault_after_some_requests(server: FileServer) -> None:
    server.faults.add(lambda request: request.path == "/a.bin", "status", times=1, after=1)
    assert [ask(server.url + "/a.bin").status for _ in range(3)] == [200, 503, 200]


@pytest.mark.parametrize("reset", [False, True])
def test_cut(server: FileServer, reset: bool) -> None:
    server.faults.add("a.bin", "cut", times=1, n=1000, reset=reset)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)) as caught:
        ask(server.url + "/a.bin")
    if isinstance(caught.value, http.client.IncompleteRead):
        assert caught.value.partial == BODY[:1000]
    assert server.requests[-1].bytes_sent == 1000
    assert ask(server.url + "/a.bin").body == BODY


def test_cut_before_the_first_byte(server: FileServer) -> None:
    server.faults.add("a.bin", "cut")
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(server.url + "/a.bin")
    assert caught.value.partial == b""


def test_drop(server: FileServer) -> None:
    server.faults.add("a.bin", "drop")
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server.url + "/a.bin")


def test_stall_then_goes_on(server: FileServer) -> None:
    server.faults.add("a.bin", "stall", n=500, s=0.2, times=1)
    start = time.monotonic()
    assert ask(server.url + "/a.bin").body == BODY
    assert time.monotonic() - start > 0.2


def test_stall_ends_with_the_server() -> None:
    with FileServer({"/a": BODY}) as server:
        server.faults.add("/a", "stall", n=10)
        with pytest.raises(TimeoutError):
            ask(server.url + "/a", timeout=0.2)
        start = time.monotonic()
    assert time.monotonic() - start < 10


def test_slow_and_delay(server: FileServer) -> None:
    server.add("/short", b"x" * 300)
    server.faults.add("short", "slow", rate=1000)
    server.faults.add("empty", "delay", s=0.2)
    for name in ("short", "empty"):
        start = time.monotonic()
        ask(f"{server.url}/{name}")
        assert 0.15 < time.monotonic() - start < 20


def test_flip(server: FileServer) -> None:
    server.faults.add("disk.bin", "flip", at=70_000)
    answer = ask(server.url + "/disk.bin")
    assert [i for i, byte in enumerate(answer.body) if byte != BODY[i]] == [70_000]
    part = ask(server.url + "/disk.bin", headers={"Range": "bytes=0-9"})
    assert part.body == BODY[:10]


def test_flip_without_a_place_is_in_the_middle(server: FileServer) -> None:
    server.faults.add("a.bin", "flip")
    answer = ask(server.url + "/a.bin")
    assert len(answer.body) == len(BODY)
    assert answer.body != BODY


def test_truncate(server: FileServer) -> None:
    server.faults.add("a.bin", "truncate", n=100, times=1)
    assert ask(server.url + "/a.bin").body == BODY[:100]
    server.faults.add("a.bin", "truncate", n=100, length="none", times=1)
    answer = ask(server.url + "/a.bin")
    assert "content-length" not in answer.headers
    assert answer.body == BODY[:100]
    server.faults.add("a.bin", "truncate", n=100, length="wrong", times=1)
    with pytest.raises(http.client.IncompleteRead):
        ask(server.url + "/a.bin")


def test_overlong(server: FileServer) -> None:
    server.faults.add("a.bin", "overlong", extra=b"more", times=1)
    assert ask(server.url + "/a.bin").body == BODY + b"more"
    server.faults.add("a.bin", "overlong", extra=b"more", length="none", times=1)
    assert ask(server.url + "/a.bin").body == BODY + b"more"


def test_ignore_range(server: FileServer) -> None:
    server.faults.add("a.bin", "ignore_range")
    answer = ask(server.url + "/a.bin", headers={"Range": "bytes=100-"})
    assert (answer.status, answer.body) == (200, BODY)


def test_gzip(server: FileServer) -> None:
    server.faults.add("a.bin", "gzip")
    answer = ask(server.url + "/a.bin")
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body) == BODY


def test_html_and_redirect(server: FileServer) -> None:
    server.faults.add("a.bin", "html")
    page = ask(server.url + "/a.bin")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert b"Sign in" in page.body
    server.faults.add("disk.bin", "redirect", to="http://127.0.0.1:9/x", code=307)
    moved = ask(server.url + "/disk.bin")
    assert (moved.status, moved.headers["location"]) == (307, "http://127.0.0.1:9/x")


def test_body_faults_leave_heads_and_errors_alone(server: FileServer) -> None:
    fault = server.faults.add("", "cut", n=1)
    assert ask(server.url + "/a.bin", "HEAD").status == 200
    assert ask(server.url + "/nothing").status == 404
    assert fault.hits == 0


def test_wrong_parameters_are_refused(server: FileServer) -> None:
    with pytest.raises(TypeError, match="takes"):
        server.faults.add("x", "cut", bytes=3)
    with pytest.raises(TypeError, match="needs"):
        server.faults.add("x", "redirect")
    with pytest.raises(KeyError):
        server.faults.add("x", "unheard")


def test_hook_runs_before_the_answer_is_sent(server: FileServer) -> None:
    seen: list[int] = []
    server.hook("a.bin", lambda: seen.append(len(server.requests)), times=1)
    ask(server.url + "/a.bin")
    ask(server.url + "/a.bin")
    assert seen == [1]


def test_folder(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b.txt").write_bytes(b"text")
    server.add_folder(tmp_path, "/files/")
    assert ask(server.url + "/files/sub/a%20b.txt").body == b"text"
