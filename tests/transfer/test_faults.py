"""The engine against every fault that a server can show; the tree is right or nothing is there."""

from __future__ import annotations

import random
import socket
import time

import pytest

from fetcher.sources.base import FileEntry, PathCandidate, UrlCandidate
from tests.kit import Run, entry, git_blob, payload, sha256
from tests.servers.plain import FileServer

SMALL, LARGE = payload(30_000), payload(3_000_000, 2)
SIZES = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])

pytestmark = pytest.mark.usefixtures("hasty")


@SIZES
def test_a_sound_server_is_asked_once(run: Run, files: FileServer, data: bytes) -> None:
    done = run.one(entry("f.bin", data), files.add("f.bin", data))
    assert run.blob(data) == data
    assert (done.downloaded, done.size, done.origin) == (len(data), len(data), "url")
    assert [request.method for request in files.requests] == ["GET"]
    assert run.leftovers() == []


@SIZES
def test_a_git_blob_id_proves_a_file(run: Run, files: FileServer, data: bytes) -> None:
    url = files.add("f.bin", data)
    assert run.one(FileEntry("f.bin", len(data), None, git_blob(data)), url).sha256 == sha256(data)
    assert run.fails(FileEntry("f.bin", len(data), None, "0" * 40), url).code == "digest-mismatch"
    assert run.one(FileEntry("g.bin", None, None, git_blob(data)), url).sha256 == sha256(data)


@SIZES
def test_cut_many_times(run: Run, files: FileServer, data: bytes) -> None:
    url = files.add("f.bin", data)
    cuts = random.Random(3)
    for _ in range(40):
        files.faults.add("f.bin", "cut", n=cuts.randrange(17_000, 200_000), times=1, reset=False)
    run.one(entry("f.bin", data), url)
    assert run.blob(data) == data
    sent = sum(request.bytes_sent for request in files.requests)
    assert sent <= len(data) * 1.05
    assert run.leftovers() == []


def test_200_cuts_at_random_bytes(run: Run, files: FileServer) -> None:
    contents = {f"f{i}": payload(random.Random(i).randrange(1, 400_000), i) for i in range(60)}
    downloads = [
        run.download(entry(name, data), files.add(name, data)) for name, data in contents.items()
    ]
    cuts = random.Random(4)
    for _ in range(200):
        files.faults.add(r"/f\d", "cut", n=cuts.randrange(0, 300_000), times=1, after=1)
    outcome = run.get(*downloads)
    assert outcome.failed == []
    assert all(run.blob(data) == data for data in contents.values())


@pytest.mark.parametrize("fault", ["ignore_range", "gzip"])
@SIZES
def test_mended_after_a_cut(run: Run, files: FileServer, data: bytes, fault: str) -> None:
    url = files.add("f.bin", data)
    files.faults.add("f.bin", "cut", n=20_000, times=1)
    files.faults.add("f.bin", fault, after=1)
    run.one(entry("f.bin", data), url)
    assert run.blob(data) == data


@SIZES
def test_compressed_answers_are_undone(run: Run, files: FileServer, data: bytes) -> None:
    url = files.add("f.bin", data)
    files.faults.add("f.bin", "gzip")
    run.one(entry("f.bin", data), url)
    assert run.blob(data) == data


def test_a_compressed_bomb_is_bounded(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", bytes(200_000_000))
    files.faults.add("f.bin", "gzip")
    wanted = entry("f.bin", SMALL)
    assert run.fails(wanted, url).code == "size-mismatch"


@pytest.mark.parametrize("kind", ["flip", "truncate", "overlong"])
@SIZES
def test_damage_on_the_way_is_mended(run: Run, files: FileServer, data: bytes, kind: str) -> None:
    url = files.add("f.bin", data)
    files.faults.add("f.bin", kind, times=1)
    run.one(entry("f.bin", data), url)
    assert run.blob(data) == data
    assert run.leftovers() == []


@pytest.mark.parametrize("kind", ["flip", "truncate", "overlong"])
@SIZES
def test_a_liar_is_refused(run: Run, files: FileServer, data: bytes, kind: str) -> None:
    url = files.add("f.bin", data)
    files.faults.add("f.bin", kind)
    problem = run.fails(entry("f.bin", data), url)
    assert problem.code == ("digest-mismatch" if kind == "flip" else "size-mismatch")
    assert problem.exit_code == 4
    assert len(files.requests) <= 3
    assert not list(run.store.digests())


@pytest.mark.parametrize("length", ["none", "wrong"])
@pytest.mark.parametrize("kind", ["truncate", "overlong"])
@SIZES
def test_wrong_lengths(run: Run, files: FileServer, data: bytes, kind: str, length: str) -> None:
    url = files.add("f.bin", data)
    files.faults.add("f.bin", kind, length=length)
    if (kind, length) == ("overlong", "wrong"):  # libcurl stops where the header says
        run.one(entry("f.bin", data), url)
        assert run.blob(data) == data
    elif kind == "truncate" and (data is LARGE or length == "wrong"):
        # each try brings half of the rest, until the rest is small: enough tries or none
        outcome = run.get(run.download(entry("f.bin", data), url))
        assert outcome.delivered or outcome.failed[0][1].exit_code in {3, 4}
    else:
        assert run.fails(entry("f.bin", data), url).exit_code == 4


def test_another_length_is_refused_before_the_body(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", payload(30_000_000))
    assert run.fails(entry("f.bin", LARGE), url).code == "size-mismatch"
    assert sum(request.bytes_sent for request in files.requests) < 15_000_000


@SIZES
def test_a_page_is_never_weights(run: Run, files: FileServer, data: bytes) -> None:
    url = files.add("f.bin", data)
    files.faults.add("f.bin", "html")
    by_hand = UrlCandidate(
        "genforce", url, cookies=True, manual_hint="fetch adopt X --as {artifact}/f"
    )
    for wanted in (entry("f.bin", data), FileEntry("f.bin", len(data)), FileEntry("f.bin")):
        problem = run.fails(wanted, by_hand)
        assert problem.code == "not-a-file"
        assert "Sign in" in problem.message
        assert problem.hint == "fetch adopt X --as art/f"
    assert not list(run.store.digests())


def test_a_redirect_to_a_sign_in_page(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", SMALL)
    for target in (
        "https://login.microsoftonline.com/common/oauth2/authorize?x=1",
        f"{files.url}/login?return=f",
        f"{files.url}/_layouts/15/Authenticate.aspx?Source=f",
    ):
        files.faults.clear()
        files.faults.add("f.bin", "redirect", to=target)
        assert run.fails(FileEntry("f.bin"), url).code == "link-expired"
    files.faults.clear()
    files.faults.add("/old", "redirect", to=files.add("signing/login-weights.bin", SMALL))
    run.one(entry("f.bin", SMALL), files.url + "/old")


@SIZES
def test_a_storm_passes(run: Run, files: FileServer, data: bytes) -> None:
    urls = [files.add(f"f{i}", data + bytes([i])) for i in range(12)]
    # So many that all of them may hit one file, and it still has tries left.
    files.faults.add("GET", "status", code=503, times=6)
    files.faults.add("GET", "status", code=429, times=5, after=3)
    files.faults.add("GET", "status", code=429, retry_after=1, times=4, after=10)
    downloads = [run.download(entry(f"f{i}", data + bytes([i])), url) for i, url in enumerate(urls)]
    assert run.get(*downloads).failed == []


def test_retry_after_is_obeyed(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", SMALL)
    files.faults.add("f.bin", "status", code=429, retry_after=2, times=1)
    started = time.monotonic()
    run.one(entry("f.bin", SMALL), url)
    assert time.monotonic() - started >= 2
    assert "asks to wait 2 s (HTTP 429)" in run.said
    assert len(files.requests) == 2


def test_a_wait_beyond_reason_is_said(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", SMALL)
    files.faults.add("f.bin", "status", code=429, retry_after=4000)
    problem = run.fails(entry("f.bin", SMALL), url)
    assert "asks to wait 4000 s" in problem.message and problem.exit_code == 3


@pytest.mark.parametrize("retry_after", [None, 0])
@pytest.mark.parametrize("code", [429, 500, 503])
def test_refusal_for_ever_ends(
    run: Run, files: FileServer, code: int, retry_after: int | None
) -> None:
    url = files.add("f.bin", SMALL)
    files.faults.add("f.bin", "status", code=code, retry_after=retry_after)
    assert run.fails(entry("f.bin", SMALL), url).code == "network"
    assert len(files.requests) < 40


def test_redirect_loops_end(run: Run, files: FileServer) -> None:
    files.faults.add("/a", "redirect", to=files.url + "/a")
    assert run.fails(entry("a", SMALL), files.url + "/a").code == "refused"
    assert len(files.requests) <= 12


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "gopher://x:70/", "http://[::1", "http://a b/", "ftp://h/x", ""],
)
def test_hostile_redirects(run: Run, files: FileServer, target: str) -> None:
    files.faults.add("/a", "redirect", to=target)
    assert run.fails(entry("a", SMALL), files.url + "/a").code in {"refused", "network"}


def test_a_redirect_with_letters_beyond_ascii(run: Run, files: FileServer) -> None:
    files.add("größe", SMALL)
    files.faults.add("/a", "redirect", to="/gr%C3%B6%C3%9Fe")
    run.one(entry("a", SMALL), files.url + "/a")
    files.faults.clear()
    files.faults.add("/a", "redirect", to="/gr\xf6")
    assert run.fails(entry("a", SMALL), files.url + "/a").code == "not-found"


def test_an_address_with_letters_beyond_ascii(run: Run, files: FileServer) -> None:
    files.add("größe", SMALL)
    run.one(entry("a", SMALL), files.url + "/größe")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_next_place_is_taken_within_seconds(run: Run, files: FileServer) -> None:
    downloads = []
    bad = f"http://127.0.0.1:{closed_port()}"
    for i in range(20):
        data = payload(1000, i)
        downloads.append(
            run.download(entry(f"f{i}", data), f"{bad}/f{i}", files.add(f"f{i}", data))
        )
    started = time.monotonic()
    outcome = run.get(*downloads)
    assert outcome.failed == [] and time.monotonic() - started < 10
    assert {done.origin for done in outcome.delivered} == {"mirror:1"}
    assert run.said.count("taking it from mirror:1") == 1


def test_a_name_that_does_not_resolve(run: Run, files: FileServer) -> None:
    run.one(entry("f", SMALL), "http://nowhere.invalid/f", files.add("f", SMALL))
    assert "nowhere.invalid: the name does not resolve" in run.said


def test_all_reasons_are_told(run: Run, files: FileServer) -> None:
    lie = files.add("lie", SMALL[:-1] + b"x")
    bad = f"http://127.0.0.1:{closed_port()}/f"
    problem = run.fails(entry("f", SMALL), bad, lie, files.url + "/gone")
    assert problem.code == "digest-mismatch"
    for part in ("no connection", "sha256", "not there (HTTP 404)"):
        assert part in problem.message


def test_a_lying_mirror_leaves_nothing_behind(run: Run, files: FileServer) -> None:
    lie = files.add("lie", LARGE[:-1] + b"x")
    done = run.one(entry("f", LARGE), lie, files.add("f", LARGE))
    assert done.origin == "mirror:1" and run.blob(LARGE) == LARGE
    assert run.leftovers() == []


def test_a_damaged_local_file_is_not_read_twice(run: Run, files: FileServer) -> None:
    (run.root / "bad").write_bytes(b"x" + LARGE[1:])
    local = PathCandidate("local", str(run.root / "bad"))
    absent = PathCandidate("local", str(run.root / "absent"))
    folder = PathCandidate("local", str(run.root))
    done = run.one(entry("f", LARGE), local, absent, folder, files.add("f", LARGE))
    assert done.origin == "mirror:3"
    assert (run.root / "bad").exists() and run.leftovers() == []


@pytest.mark.heavy
@SIZES
def test_a_stalled_connection_is_cut(
    run: Run, files: FileServer, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fetcher.network.curl.STALL_SECONDS", 1)
    url = files.add("f.bin", data)
    first = files.add("first", SMALL)
    run = Run(run.root, jobs="1")
    # the second request goes over a connection that is used again: that must not look like a host
    # that cannot be reached
    files.faults.add("f.bin", "stall", n=0, times=1)
    files.faults.add("f.bin", "stall", n=20_000, times=1, after=1)
    outcome = run.get(
        run.download(entry("first", SMALL), first), run.download(entry("f", data), url)
    )
    assert outcome.failed == []
    assert run.blob(data) == data


def test_dropped_connections(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", SMALL)
    files.faults.add("f.bin", "drop", times=3)
    run.one(entry("f.bin", SMALL), url)
    files.faults.add("f.bin", "drop")
    other = entry("f.bin", SMALL + b"1")
    assert run.fails(other, url).code == "network"


def test_without_size_or_digest_the_first_use_is_trusted(run: Run, files: FileServer) -> None:
    for data in (SMALL, LARGE):
        done = run.one(FileEntry("f"), files.add("f", data))
        assert (done.sha256, done.size) == (sha256(data), len(data))
    assert run.fails(FileEntry("f"), files.add("f", b"")).code == "not-a-file"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n"
    for wanted in (FileEntry("f"), entry("f", SMALL)):
        problem = run.fails(wanted, files.add("f", pointer))
        assert problem.code == "not-a-file" and "hf:, github: or git:" in problem.hint
    run.one(FileEntry("page.html"), files.add("page.html", b"<!doctype html><html></html>"))


def test_empty_files(run: Run, files: FileServer) -> None:
    run.one(entry("f", b""), files.add("f", b""))
    run.one(FileEntry("g", 0, None, git_blob(b"")), files.url + "/f")
    problem = run.fails(entry("f", LARGE), files.url + "/f")
    assert problem.code in {"size-mismatch", "network"}


def test_error_pages_of_any_length(run: Run, files: FileServer) -> None:
    for data in (SMALL, LARGE):
        for code in (404, 403, 500):
            files.faults.clear()
            files.faults.add("/f", "status", code=code, body="x" * 5_000_000)
            problem = run.fails(entry("f", data), files.url + "/f")
            assert f"HTTP {code}" in problem.message, problem


def test_limit_rate_roughly_holds(run: Run, files: FileServer) -> None:
    run = Run(run.root, limit_rate="2M")
    data = payload(4_000_000)
    started = time.monotonic()
    run.one(entry("f", data), files.add("f", data))
    assert 1.0 < time.monotonic() - started < 20


def test_offline_asks_nobody(run: Run, files: FileServer) -> None:
    run = Run(run.root, offline="1")
    assert run.fails(entry("f", SMALL), files.add("f", SMALL)).code == "offline"
    assert files.requests == []


def test_no_candidate_at_all(run: Run) -> None:
    assert run.fails(entry("f", SMALL)).code == "offline"
