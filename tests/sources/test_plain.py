"""What is particular to plain URLs, share links, FTP and local folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fetcher.sources.base import FileEntry, Request
from fetcher.sources.fetch_mirror import FetchMirror
from fetcher.sources.genforce import GenForce
from fetcher.sources.local import Local
from fetcher.sources.url import Url
from tests.kit import Run, checkpoint, entry
from tests.servers.ftp import FtpServer
from tests.servers.plain import FileServer
from tests.servers.sharepoint import SharePointServer

DATA = checkpoint(1_300_000)
ZOO = GenForce("stylegan_celeba_partial256")


@pytest.mark.parametrize("status", [200, 403, 404])
@pytest.mark.parametrize("mode", ["expired", "login"])
def test_a_share_link_that_no_longer_works(tmp_path: Path, mode: str, status: int) -> None:
    with SharePointServer() as server:
        server.add_share(ZOO.url(), "w.pth", DATA)
        run = Run(tmp_path, rewrite=server.rewrite)
        found = list(run.resolve(ZOO).values())
        server.set_mode(ZOO.url(), mode, status)
        for file in (found[0], found[0]._replace(size=len(DATA)), entry(found[0].path, DATA)):
            problem = run.fetch(ZOO, [file]).failed[0][1]
            assert problem.code in {"link-expired", "not-a-file"} and problem.exit_code == 3
            assert problem.hint.startswith(f"open {ZOO.url()} in a browser, then: fetch adopt ")
            assert problem.hint.endswith(f"--as art/{found[0].path}")
        assert not list(run.store.digests())


def test_cookies_do_not_outlive_their_file(tmp_path: Path) -> None:
    with SharePointServer() as server:
        server.add_share(ZOO.url(), "w.pth", DATA)
        run = Run(tmp_path, rewrite=server.rewrite, jobs="1")
        file = next(iter(run.resolve(ZOO).values()))
        share = ZOO.candidates("", file, run.network)
        other = entry("other", b"x")
        run.get(run.download(file, *share), run.download(other, server.url + "/other"))
        assert "cookie" in server.matching("Documents")[0].headers
        assert "cookie" not in server.matching("/other")[0].headers


def test_a_share_link_is_resumed(tmp_path: Path) -> None:
    with SharePointServer() as server:
        server.add_share(ZOO.url(), "w.pth", DATA)
        server.faults.add("Documents", "cut", n=1_000_000, times=1)
        run = Run(tmp_path, rewrite=server.rewrite)
        done = run.fetch(ZOO, list(run.resolve(ZOO).values())).delivered[0]
        assert done.downloaded == len(DATA)


def test_ftp_resumes(tmp_path: Path) -> None:
    with FtpServer() as server:
        url = server.add("d/w.bin", DATA)
        server.cut_after = 500_000
        run = Run(tmp_path)
        done = run.one(entry("w.bin", DATA), url)
        assert done.downloaded == len(DATA)
        assert [c for c in server.commands if c.startswith("REST")] == [
            "REST 500000", "REST 1000000",
        ]  # fmt: skip


def test_a_url_and_its_names(tmp_path: Path, files: FileServer) -> None:
    run = Run(tmp_path)
    files.add("a b.bin", DATA)
    files.add("get", DATA)
    assert list(run.resolve(Url(f"{files.url}/a%20b.bin"))) == ["a b.bin"]
    assert list(run.resolve(Url(f"{files.url}/get?id=5"), "w.bin")) == ["w.bin"]
    for url in (files.url, f"{files.url}/..", f"{files.url}/a%2Fb%5C", f"{files.url}/%00"):
        assert list(run.resolve(Url(url))) == ["download"]
    assert run.refused(Url(f"{files.url}/f"), "a", "b").code == "missing-upstream"
    assert run.refused(Url(f"{files.url}/d/"), "*.bin").code == "missing-upstream"


def test_sizes_come_from_sound_answers_only(tmp_path: Path, files: FileServer) -> None:
    url = files.add("f", DATA)
    run = Run(tmp_path)
    assert run.resolve(Url(url))["f"].size == len(DATA)
    for fault, more in (("html", {}), ("status", {"code": 405}), ("status", {"code": 403})):
        files.faults.clear()
        files.faults.add("HEAD", fault, **more)
        assert run.resolve(Url(url))["f"].size is None
    known = {"f": FileEntry("f", 7)}
    files.requests.clear()
    assert Url(url).resolve(Request(("f",), (), known), run.network).files[0].size == 7
    assert files.requests == []


def test_passwords_come_from_netrc_and_stay_with_their_host(
    tmp_path: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = files.add("f", DATA, authorization="Basic bWU6c2VjcmV0")
    run = Run(tmp_path)
    assert run.fails(entry("f", DATA), url).code == "auth"
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    run.fresh_network()
    run.one(entry("f", DATA), url)
    with FileServer() as other:
        other.add("f", DATA[:-1])
        files.faults.add("/f", "redirect", to=other.url.replace("127.0.0.1", "localhost") + "/f")
        run.one(entry("f", DATA[:-1]), url)
        assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("default login me password secret\n", False),
        ("machine LOCALHOST\n  login me\n  password secret\n", True),
        ("machine elsewhere login me password secret\n", False),
        ("", False),
    ],
)
def test_the_netrc_file_in_the_home_folder(
    tmp_path: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch, text: str, sent: bool
) -> None:
    url = files.add("f", DATA).replace("127.0.0.1", "localhost")
    (tmp_path / ".netrc").write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    Run(tmp_path).one(entry("f", DATA), url)
    assert files.requests[0].headers.get("authorization") == (
        "Basic bWU6c2VjcmV0" if sent else None
    )


def test_a_proxy_is_used(
    tmp_path: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", files.url.replace("//", "//me:secret@"))
    files.add("f", DATA)
    run = Run(tmp_path)
    run.one(entry("f", DATA), "http://far.invalid/f")
    assert files.requests[0].target == "http://far.invalid/f"
    assert files.requests[0].headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    problem = Run(tmp_path).fails(entry("g", DATA[1:]), "http://far.invalid/f")
    assert problem.code == "network" and "secret" not in problem.message


def test_local_folders_with_odd_things_in_them(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/w.bin").write_bytes(b"x")
    (folder / "broken").symlink_to("nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
    run = Run(tmp_path)
    assert list(run.resolve(Local("d"))) == ["sub/w.bin"]
    assert list(run.resolve(Local(str(folder / "sub/w.bin")))) == ["w.bin"]
    assert run.refused(Local("nowhere")).code == "not-found"
    (folder / "a\nb").write_bytes(b"x")
    assert run.refused(Local("d")).code == "bad-path"


def test_a_local_file_that_changes_after_the_lock(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"one")
    run = Run(tmp_path)
    found = list(run.resolve(Local("w")).values())
    (tmp_path / "w").write_bytes(b"two")
    problem = run.fetch(Local("w"), found).failed[0][1]
    assert problem.code == "digest-mismatch" and run.leftovers() == []


@pytest.mark.parametrize("location", ["http://[", "http://", "x://"])
def test_mirrors_that_cannot_be(tmp_path: Path, location: str) -> None:
    run = Run(tmp_path)
    run.revision = ""
    mirror = FetchMirror(location)
    assert mirror.describe()
    assert run.fetch(mirror, [entry("f", b"x")]).failed[0][1].code == "refused"
