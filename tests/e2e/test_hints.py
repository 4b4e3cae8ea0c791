"""What a server says to HEAD is a hint: no file whose bytes can be had depends on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, write_project
from tests.kit import checkpoint, sha256
from tests.servers.base import Server
from tests.servers.plain import FileServer
from tests.servers.wire import Refused, Request, Response

DATA = checkpoint(1_300_000)
NAME = "w.pth"
DIGEST = f"files: {{{NAME}: {{sha256: {sha256(DATA)}}}}}"

HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "denied": ("status", {"code": 403}),
    "login": ("status", {"code": 401}),
    "absent": ("status", {"code": 404}),
    "not-allowed": ("status", {"code": 405}),
    "broken": ("status", {"code": 500}),
    "busy": ("status", {"code": 503, "retry_after": 900}),
    "page": ("html", {}),
    "cut off": ("drop", {}),
    "lost": ("redirect", {"to": "/w.pth"}),
    "elsewhere": ("redirect", {"to": "http://127.0.0.1:9/"}),
    "downgrade": ("redirect", {"to": "ftp://127.0.0.1/x"}),
    "silent": ("delay", {"s": 60.0}),
    "longer": ("status", {"code": 200, "headers": {"Content-Length": "99000000000000"}}),
    "shorter": ("status", {"code": 200, "body": "x" * 7}),
}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetcher.network.session.HINT_SECONDS", 0.5)


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        server.add(NAME, DATA)
        yield server


def declare(root: Path, url: str, more: str = "") -> None:
    source = f"artifacts:\n  w:\n    source: {url}\n" + (f"    {more}\n" if more else "")
    write_project(root, "p", source, "tree:\n  models/: w\n")


def locked(root: Path) -> dict[str, Any]:
    lock = json.loads((root / "fetch.lock").read_text())
    (file,) = lock["manifests"]["p"]["w"]["files"]
    return dict(file)


@pytest.mark.parametrize("more", ["", DIGEST], ids=["unknown", "digest"])
@pytest.mark.parametrize("head", HEADS)
def test_a_file_whose_get_works(
    cli: Cli, tmp_path: Path, files: FileServer, head: str, more: str
) -> None:
    kind, params = HEADS[head]
    files.faults.add("HEAD", kind, **params)
    declare(tmp_path, f"{files.url}/{NAME}", more)
    result = cli("lock")
    assert result.code == 0, result.err
    result = cli("all", "--json")
    assert result.code == 0, result.err
    assert (tmp_path / "models" / NAME).read_bytes() == DATA
    assert locked(tmp_path)["size"] == len(DATA) and "size_hint" not in locked(tmp_path)
    assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0
    assert cli("check", "--deep").code == 0


def test_a_hint_is_shown_as_a_size_and_locked_as_a_hint(
    cli: Cli, tmp_path: Path, files: FileServer
) -> None:
    declare(tmp_path, f"{files.url}/{NAME}")
    assert cli("lock").code == 0
    assert locked(tmp_path)["size_hint"] is True and locked(tmp_path)["size"] == len(DATA)
    assert cli("plan", "--json").json["summary"]["bytes"] == len(DATA)
    assert cli("all", "--locked").code == 0


def test_a_server_that_lets_us_wait_is_asked_once(
    cli: Cli, tmp_path: Path, files: FileServer
) -> None:
    names = [f"{n}.pth" for n in range(5)]
    for name in names:
        files.add(name, DATA + name.encode())
    files.faults.add("HEAD", "delay", s=60.0)
    declare(tmp_path, f"{files.url}/", f"files: [{', '.join(names)}]")
    assert cli("all").code == 0
    assert len(files.matching("HEAD")) == 1


def test_what_the_store_has_needs_no_server(cli: Cli, tmp_path: Path, files: FileServer) -> None:
    declare(tmp_path, f"{files.url}/{NAME}", DIGEST)
    assert cli("all").code == 0
    (tmp_path / "models" / NAME).unlink()
    (tmp_path / "fetch.lock").unlink()
    files.stop()
    assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0
    assert (tmp_path / "models" / NAME).read_bytes() == DATA


@pytest.mark.parametrize("more", ["", DIGEST], ids=["unknown", "digest"])
def test_what_is_adopted_needs_no_server(cli: Cli, tmp_path: Path, more: str) -> None:
    declare(tmp_path, f"http://127.0.0.1:9/{NAME}", more)
    (tmp_path / "by-hand").write_bytes(DATA)
    assert cli("adopt", "by-hand", "--as", f"w/{NAME}").code == 0
    assert cli("all", "--offline").code == 0
    assert (tmp_path / "models" / NAME).read_bytes() == DATA


@pytest.mark.parametrize("gone", ["down", "denied", "absent"])
def test_what_a_mirror_has_needs_no_source(
    cli: Cli, tmp_path: Path, files: FileServer, gone: str
) -> None:
    with FileServer() as first:
        if gone == "denied":
            first.faults.add("", "status", code=403)
        address = "http://127.0.0.1:9" if gone == "down" else first.url
        mirrors = f"mirrors: ['{files.url}/{NAME}']\n    {DIGEST}"
        declare(tmp_path, f"{address}/{NAME}", mirrors)
        result = cli("all")
        assert result.code == 0, result.err
    assert (tmp_path / "models" / NAME).read_bytes() == DATA


class CookieServer(Server):
    """Lets in whoever has the cookie that it gives with the answer to HEAD."""

    def respond(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(body=DATA, headers={"Set-Cookie": "pass=7; Path=/; HttpOnly"})
        if request.headers.get("cookie") != "pass=7":
            raise Refused(Response.page("Sign in", "Please.", 403))
        return Response(body=DATA)


def test_cookies_of_the_hint_are_kept_for_their_own_host(cli: Cli, tmp_path: Path) -> None:
    with CookieServer() as server, FileServer() as other:
        other.add("x.pth", DATA[:-1])
        write_project(
            tmp_path,
            "p",
            f"artifacts:\n  w: {{source: '{server.url}/{NAME}'}}\n"
            f"  x: {{source: '{other.url}/x.pth'}}\n",
            "tree:\n  models/: [w, x]\n",
        )
        result = cli("all")
        assert result.code == 0, result.err
        assert all("cookie" not in request.headers for request in other.requests)


# Names that the server gives

NAMES = {
    'attachment; filename="weights.pth"': "weights.pth",
    "attachment; filename=weights.pth": "weights.pth",
    "attachment; filename*=UTF-8''%EA%B0%80.pth; filename=\"x.pth\"": "가.pth",
    'attachment; filename="../../etc/cron.d/weights.pth"': "weights.pth",
    'attachment; filename="C:\\\\x\\\\weights.pth"': "weights.pth",
    'attachment; filename=".."': "get",
    'attachment; filename="a\x01b"': "get",
    'attachment; filename="con"': "get",
    "attachment": "get",
}


@pytest.mark.parametrize("header", NAMES)
@pytest.mark.parametrize("by_get", [False, True])
def test_a_name_from_the_server_where_the_address_has_none(
    cli: Cli, tmp_path: Path, header: str, by_get: bool
) -> None:
    with FileServer() as server:
        server.add("get", DATA, headers={"Content-Disposition": header})
        if by_get:
            server.faults.add("HEAD", "status", code=405)
        declare(tmp_path, f"'{server.url}/get?id=7'")
        result = cli("all")
        assert result.code == 0, result.err
    found = [path.name for path in (tmp_path / "models").iterdir()]
    assert found == [NAMES[header]]


def test_a_name_in_the_address_is_the_projects_own(
    cli: Cli, tmp_path: Path, files: FileServer
) -> None:
    files.add("n.pth", DATA, headers={"Content-Disposition": "attachment; filename=other.pth"})
    declare(tmp_path, f"{files.url}/n.pth?download=1")
    assert cli("all").code == 0
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["n.pth"]
