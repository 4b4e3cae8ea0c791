"""The command itself: places, flags that are wrong, tokens files, TLS, its end."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.errors import UsageError
from fetcher.mirror.inventory import CLOSED, ArtifactRecord
from fetcher.server.tokens import ANONYMOUS, EVERYBODY, Tokens
from tests.kit import payload, sha256
from tests.server.conftest import MODEL, Held
from tests.server.kit import attempt, bearer, clean_environment, fetch, serving

WEIGHTS = MODEL["model.safetensors"]


@pytest.mark.parametrize("form", ["folder", "tar", "volumes"])
def test_bundles_are_served_in_place(held: Held, tmp_path: Path, form: str) -> None:
    out = tmp_path / ("b" if form == "folder" else "b.tar")
    more = ("--volume-size", "1M") if form == "volumes" else ()
    fetch(held.home, "mirror", "export", out, *more, cwd=held.root)
    paths = sorted(tmp_path.glob("b.tar.0*")) if form == "volumes" else [out]
    assert len(paths) == 1 or form == "volumes"
    (tmp_path / "tokens").write_text("ana read one-token-1\n")
    with serving(held.home, *paths, "--tokens", tmp_path / "tokens", cwd=tmp_path) as mirror:
        assert mirror.ask("/o/m/resolve/main/model.safetensors").body == WEIGHTS
        part = {"Range": "bytes=1000000-2200000"}
        answer = mirror.ask("/o/m/resolve/main/model.safetensors", headers=part)
        assert answer.body == WEIGHTS[1_000_000:2_200_001]
        several = {"Range": "bytes=0-1500000,2000000-2000009"}
        answer = mirror.ask("/o/m/resolve/main/model.safetensors", headers=several)
        assert WEIGHTS[:1_500_001] in answer.body and WEIGHTS[2_000_000:2_000_010] in answer.body
        assert mirror.ask("/o/m/resolve/main/empty.txt").body == b""
        assert mirror.ask("/api/models/o/secret").code == "RepoNotFound"
        assert "secret" not in mirror.ask("/projects/fetch.lock").json()["manifests"]["p"]


def test_a_damaged_bundle_is_noticed_where_it_is_damaged(held: Held, tmp_path: Path) -> None:
    out = tmp_path / "b.tar"
    fetch(held.home, "mirror", "export", out, cwd=held.root)
    data = bytearray(out.read_bytes())
    data[data.index(WEIGHTS[100_000:100_064])] ^= 1
    out.write_bytes(data)
    with serving(held.home, out, cwd=tmp_path) as mirror:
        assert mirror.ask("/o/m/resolve/main/model.safetensors").status == 500
        assert mirror.ask("/o/m/resolve/main/config.json").body == MODEL["config.json"]


def test_an_imported_bundle_is_in_the_store(held: Held, tmp_path: Path) -> None:
    fetch(held.home, "mirror", "export", tmp_path / "b", cwd=held.root)
    fetch(tmp_path, "mirror", "import", tmp_path / "b", cwd=tmp_path)
    (tmp_path / "tokens").write_text("ana read one-token-1\n")
    store = ("--store", tmp_path / "store")
    with serving(tmp_path, *store, "--tokens", tmp_path / "tokens", cwd=tmp_path) as mirror:
        assert mirror.ask("/o/m/resolve/main/model.safetensors").body == WEIGHTS
        assert mirror.ask("/o/secret/resolve/main/secret.txt").code == "RepoNotFound"
    with serving(tmp_path, *store, cwd=tmp_path) as mirror:
        secret = mirror.ask("/o/secret/resolve/main/secret.txt")
        assert secret.status == 200, "without tokens, whoever reaches it is its owner"
        assert mirror.ask("/api/models/o/secret").json()["private"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--store", "nowhere"], 2, "no store there"),
        (["nowhere.tar"], 2, "no bundle there"),
        ([], 2, "nothing to serve"),
        (["b", "--store", "."], 2, "exclude each other"),
        (["--require-token"], 2, "--tokens"),
        (["--tokens", "none"], 2, "none cannot be read"),
        (["--cert", "c.pem"], 2, "go together"),
        (["--cert", "c.pem", "--key", "k.pem"], 2, "c.pem"),
        (["--public-url", "mirror"], 2, "expected an http"),
        (["--host", "999.1.1.1"], 2, "no such address"),
        (["--host", "192.0.2.1"], 9, "cannot listen"),
        (["--port", "70000"], 2, "70000"),
        (["--upstream", "nonsense"], 2, "--upstream"),
        (["--access-log", "no/such/folder/log"], 2, "--access-log"),
    ],
)
def test_what_cannot_be_served(
    held: Held, tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    project = "--store" not in arguments and not {"nowhere.tar", "b"} & set(arguments)
    cwd = held.root if project and arguments else tmp_path
    done = attempt(held.home, "serve", *arguments, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "hint:" in done.stderr and "Traceback" not in done.stderr


def test_a_port_that_is_taken(held: Held) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = attempt(held.home, "serve", "--port", port, cwd=held.root)
    assert done.returncode == 9
    assert f"127.0.0.1:{port}" in done.stderr and "--port" in done.stderr


def test_tokens_are_read_again_and_never_shown(held: Held, tmp_path: Path) -> None:
    tokens, log = tmp_path / "tokens", tmp_path / "log"
    tokens.write_text("a read first-token-1\n")
    flags = ("--tokens", tokens, "--require-token", "--access-log", log)
    with serving(held.home, *flags, cwd=held.root) as mirror:
        path = "/o/m/resolve/main/config.json"
        assert mirror.ask("/healthz").status == 200
        for headers in ({}, bearer("wrong-token-1")):
            answer = mirror.ask(path, headers=headers)
            assert answer.status == 401 and "www-authenticate" in answer.headers
        assert mirror.ask("/metrics").status == 401
        assert mirror.ask(path, headers=bearer("first-token-1")).status == 200
        query = "/api/models/o/m?token=first-token-1"
        assert mirror.ask(query, headers=bearer("first-token-1")).status == 200
        tokens.write_text("a read second-token-1\n")
        time.sleep(1.1)
        assert mirror.ask(path, headers=bearer("first-token-1")).status == 401
        assert mirror.ask(path, headers=bearer("second-token-1")).status == 200
        tokens.write_text("broken line\n")
        time.sleep(1.1)
        assert mirror.ask(path, headers=bearer("second-token-1")).status == 200
        mirror.ask("/%0aforged%20line", headers=bearer("second-token-1"))
        said = mirror.greeting + "".join(mirror.said)
    text = log.read_text() + said
    assert "first-token" not in text and "second-token" not in text and "wrong" not in text
    assert f' a "GET {path}" 200 ' in text
    assert len([line for line in log.read_text().splitlines() if "forged" in line]) == 1
    assert "\nforged" not in text


@pytest.mark.parametrize(
    "line",
    ["a read", "a read x", "a write good-token-1", "a/b read good-token-1", "a read sha256:abc"],
)
def test_tokens_files_with_mistakes(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# comment\n\n{line}\n")
    with pytest.raises(UsageError) as caught:
        Tokens(path)
    assert f"{path}:3" in caught.value.message
    assert "good-token" not in caught.value.message + caught.value.hint


def test_identities(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"a read=p/x* token-of-a\nb read,upload sha256:{sha256(b'token-of-b')}\n")
    tokens = Tokens(path)
    one, two = tokens.identify("Bearer token-of-a"), tokens.identify("bearer  token-of-b")
    assert one and two and two.upload and not one.upload
    private = ArtifactRecord({"visibility": "private"})
    assert one.may_see("p/x1", private) and not one.may_see("p/y", private)
    assert two.may_see("p/y", private), "what nobody owns belongs to who may read the project"
    assert tokens.identify(None) == ANONYMOUS
    assert tokens.identify("Bearer other-token") is None


def test_private_is_its_owner_s_and_organization_for_who_is_signed_in(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    rights = {"Ana": "upload", "bob": "read", "eve": "read=p/x*", "root": "read=*"}
    path.write_text("".join(f"{name} {right} token-of-{name}\n" for name, right in rights.items()))
    tokens = Tokens(path)
    people = {name: tokens.identify(f"Bearer token-of-{name}") for name in rights}
    people["nobody"] = tokens.identify(None)

    def seen(**record: str) -> set[str]:
        return {
            name
            for name, who in people.items()
            if who and who.may_see("p/y", ArtifactRecord(record))
        }

    assert seen(visibility="public", owner="Ana") == people.keys()
    assert seen(visibility="organization", owner="Ana") == rights.keys()
    assert seen(visibility="private", owner="ana") == {"Ana", "root"}
    assert seen(visibility="private", owner="Somebody else") == {"root"}
    assert seen(visibility="private") == {"bob", "root"}
    assert seen() == seen(visibility="private"), "nothing is public because a field was left out"
    assert seen(owner="bob") == {"bob", "root"}


def test_without_tokens_whoever_reaches_the_server_is_its_owner() -> None:
    found = Tokens().identify(None)
    assert found is EVERYBODY and Tokens().identify("Bearer anything") is EVERYBODY
    assert found.may_see("p/y", ArtifactRecord({"visibility": "private"}))
    assert not found.upload
    assert not found.may_see("p/y", CLOSED), "what upstream shows to our account alone"


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command.split(), *names, "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    yield cert, key


def test_tls_and_a_public_address(held: Held, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    flags = ("--cert", cert, "--key", key, "--public-url", "https://mirror.example/models/")
    process = subprocess.Popen(
        [sys.executable, "-m", "fetcher", "serve", "--port", "0", "--access-log", "-", *flags],
        cwd=held.root,
        env=clean_environment(held.home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        greeting = "".join(iter(process.stdout.readline, "Ctrl-C ends it\n"))
        assert "HF_ENDPOINT=https://mirror.example/models\n" in greeting
        port = listening_port(process.pid)
        context = ssl.create_default_context(cafile=str(cert))
        url = f"https://127.0.0.1:{port}/api/datasets/o/d/tree/main?recursive=1&limit=2"
        with urllib.request.urlopen(url, context=context) as answer:
            link = answer.headers["Link"]
        assert link.startswith("<https://mirror.example/models/api/datasets/o/d/tree/main?")
        url = f"https://127.0.0.1:{port}/o/m/resolve/main/model.safetensors"
        with urllib.request.urlopen(url, context=context) as answer:
            assert answer.read() == WEIGHTS
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 0


def listening_port(pid: int) -> int:
    """The TCP port that a process listens on."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in found:
            return int(fields[1].partition(":")[2], 16)
    raise AssertionError("it listens nowhere")


def test_forwarded_headers_where_they_are_trusted(held: Held) -> None:
    with serving(held.home, "--trust-forwarded", cwd=held.root) as mirror:
        told = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "m.example"}
        told["X-Forwarded-Prefix"] = "/models"
        path = "/api/datasets/o/d/tree/main?recursive=1&limit=2"
        link = mirror.ask(path, headers=told).headers["link"]
        assert link.startswith("<https://m.example/models/api/datasets/")
        told["X-Forwarded-Host"] = "m.example/<script>"
        assert mirror.ask(path, headers=told).headers["link"].startswith("</api/")


def test_downloads_that_run_are_finished_before_the_end(held: Held, tmp_path: Path) -> None:
    data = payload(1 << 20, 5) * 30
    (tmp_path / "store/blobs/sha256").mkdir(parents=True)
    (tmp_path / "store/blobs/sha256" / sha256(data)).write_bytes(data)
    with serving(held.home, "--store", tmp_path / "store", cwd=tmp_path) as mirror:
        answer = urllib.request.urlopen(f"{mirror.url}/blobs/sha256/{sha256(data)}")
        begun = answer.read(1000)
        mirror.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        with pytest.raises(OSError):
            while time.monotonic() < deadline:  # until it takes no more
                mirror.ask("/healthz")
                time.sleep(0.05)
        assert begun + answer.read() == data
        answer.close()


def test_slow_clients_cost_no_memory(held: Held, tmp_path: Path) -> None:
    """Bodies that are proven on their way wait in the kernel, not in the server."""
    data = payload(1 << 20, 6) * 80
    (tmp_path / "store/blobs/sha256").mkdir(parents=True)
    (tmp_path / "store/blobs/sha256" / sha256(data)).write_bytes(data)
    with serving(held.home, "--store", tmp_path / "store", cwd=tmp_path) as mirror:
        before = mirror.memory()
        slow = [
            urllib.request.urlopen(f"{mirror.url}/blobs/sha256/{sha256(data)}") for _ in range(8)
        ]
        time.sleep(1)
        assert mirror.memory() - before < 120 << 20
        for answer in slow:
            answer.close()
        assert mirror.ask("/healthz").status == 200
