"""Against a real server: HTTP/2, TLS with a company's own certificate, IPv6, ranges."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.nginx import Line
from fetcher.transfer import partial_file as bodies
from tests.kit import Run, entry, payload
from tests.servers.nginx import PROGRAM, Nginx
from tests.transfer.test_worker_pool import Batch

pytestmark = [
    pytest.mark.usefixtures("hasty"),
    pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed"),
]

SMALL = {f"{n:03}.bin": payload(900 + n, n) for n in range(400)}
LARGE = payload(9_000_000, 11)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    root = tmp_path_factory.mktemp("served")
    for name, data in {**SMALL, "large.bin": LARGE}.items():
        (root / name).write_bytes(data)
    os.chmod(root, 0o755)
    for folder in (root, *root.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            os.chmod(folder, folder.stat().st_mode | 0o055)
    with Nginx(tmp_path_factory.mktemp("nginx"), root) as server:
        yield server


@pytest.fixture
def trusted(nginx: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(nginx.certificate))


@pytest.mark.usefixtures("trusted")
def test_many_files_share_a_connection_of_http2(nginx: Nginx, run: Run) -> None:
    batch = Batch(SMALL, {name: [f"{nginx.http2}/{name}"] for name in SMALL})
    seen = len(nginx.log)
    found = batch.get(run.root)
    assert found["used"] and not found["failed"]
    lines = nginx.log[seen:]
    assert len(lines) == len(SMALL) and {line.protocol for line in lines} == {"HTTP/2.0"}
    assert len({line.connection for line in lines}) <= 32
    assert batch.all_there(run.store)


@pytest.mark.usefixtures("trusted")
def test_https_without_http2(nginx: Nginx, run: Run) -> None:
    batch = Batch(SMALL, {name: [f"{nginx.https}/{name}"] for name in SMALL})
    seen = len(nginx.log)
    assert not batch.get(run.root)["failed"]
    lines = nginx.log[seen:]
    assert {line.protocol for line in lines} == {"HTTP/1.1"}
    assert len({line.connection for line in lines}) <= 32
    assert batch.all_there(run.store)


@pytest.mark.parametrize("where", ["plain", "http2", "https"])
def test_a_large_file_in_ranges(
    nginx: Nginx, run: Run, where: str, trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SEGMENT", 1 << 20)
    monkeypatch.setattr(bodies, "RANGES_FROM", 2 << 20)
    run.fresh_network()
    seen = len(nginx.log)
    run.one(entry("large.bin", LARGE), f"{getattr(nginx, where)}/large.bin")
    assert run.blob(LARGE) == LARGE
    assert [line.status for line in nginx.log[seen:]] == [206] * 9


def test_ranges_from_afar_do_not_share_what_one_connection_gets(
    nginx: Nginx, run: Run, trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SEGMENT", 1 << 20)
    monkeypatch.setattr(bodies, "RANGES_FROM", 2 << 20)
    run.fresh_network()
    seen = len(nginx.log)
    with Line(round_trip=40, rate=2).before(urlsplit(nginx.http2).port or 0) as port:
        started = time.monotonic()
        run.one(entry("large.bin", LARGE), f"https://127.0.0.1:{port}/large.bin")
        seconds = time.monotonic() - started
    assert run.blob(LARGE) == LARGE
    assert len({line.connection for line in nginx.log[seen:]}) >= 8
    assert 0.5 < seconds < 3, "one connection alone takes 4.5 s"


def test_small_files_from_afar_do_not_wait_for_each_other(
    nginx: Nginx, run: Run, trusted: None
) -> None:
    seen = len(nginx.log)
    with Line(round_trip=200, rate=0).before(urlsplit(nginx.http2).port or 0) as port:
        batch = Batch(SMALL, {name: [f"https://127.0.0.1:{port}/{name}"] for name in SMALL})
        started = time.monotonic()
        found = batch.get(run.root)
        seconds = time.monotonic() - started
    assert found["used"] and not found["failed"] and batch.all_there(run.store)
    lines = nginx.log[seen:]
    assert {line.protocol for line in lines} == {"HTTP/2.0"}
    assert len({line.connection for line in lines}) <= 32
    assert 0.8 < seconds < 4, "16 at a time take 5 s"


def test_an_unknown_certificate_is_refused_and_named(nginx: Nginx, run: Run) -> None:
    problem = run.fails(entry("large.bin", LARGE), f"{nginx.https}/large.bin")
    host = nginx.https.removeprefix("https://")
    assert problem.message.startswith(f"{host}: TLS failed")
    assert "SSL_CERT_FILE" in problem.hint


def test_ipv6(nginx: Nginx, run: Run) -> None:
    if not nginx.ipv6:
        pytest.skip("this machine has no IPv6")
    run.one(entry("large.bin", LARGE), f"{nginx.six}/large.bin")
    assert run.blob(LARGE) == LARGE


def test_a_name_that_does_not_resolve_is_named(run: Run) -> None:
    problem = run.fails(entry("f", b"x"), "http://no-such-host.invalid/f")
    assert problem.message == "no-such-host.invalid: the name does not resolve"


def test_a_port_that_nobody_listens_at_is_named(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    problem = run.fails(entry("f", b"x"), f"http://127.0.0.1:{port}/f")
    assert problem.message.startswith(f"127.0.0.1:{port}: no connection")
