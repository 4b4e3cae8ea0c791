"""What a clone sets is named, gets no login of the person's, and never outranks what they set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fetcher.config import project_choices
from fetcher.config.settings import load
from fetcher.errors import Failure
from fetcher.mirror.locations import opened
from fetcher.network.session import Network
from tests.conftest import Cli, write_project
from tests.kit import sha256
from tests.servers.base import Server
from tests.servers.plain import FileServer
from tests.servers.wire import Request, Response

DATA = b"weights" * 50
NETRC = "machine 127.0.0.1 login me password secret\n"
BASIC = "Basic bWU6c2VjcmV0"


class Wary(Server):
    """Wants a login for everything, and remembers what it was sent."""

    def respond(self, request: Request) -> Response:
        if "authorization" in request.headers or "X-Amz-Signature" in request.target:
            return Response.text("thank you", 404)
        return Response.text("who are you?", 401, WWW_Authenticate='Basic realm="all"')

    def sent(self) -> set[str]:
        """Every Authorization that came, and signatures in addresses."""
        found = {request.headers.get("authorization", "") for request in self.requests}
        found |= {r.target for r in self.requests if "X-Amz-Signature" in r.target}
        return found - {""}


@pytest.fixture
def wary() -> Iterator[Wary]:
    with Wary() as server:
        yield server
        assert server.errors == []


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@dataclass
class Clone:
    """A clone, and the person's own file."""

    root: Path
    own: Path

    def says(self, text: str, name: str = "fetch.yaml") -> None:
        (self.root / name).write_text(text)

    def network(self) -> Network:
        self.said: list[str] = []
        return Network(load(self.root), self.said.append)


@pytest.fixture
def clone(tmp_path: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A clone beside a person who has logins everywhere."""
    root, own = tmp_path / "clone", hermetic / "config.yaml"
    root.mkdir()
    monkeypatch.setenv("FETCH_CONFIG", str(own))
    (hermetic / ".netrc").write_text(NETRC)
    (hermetic / "huggingface").mkdir()
    (hermetic / "huggingface/token").write_text("hf_login")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "mine-and-nobody-s")
    return Clone(root, own)


def a_file(root: Path, url: str, more: str = "") -> None:
    write_project(
        root,
        "p",
        f"artifacts:\n  w:\n    source: {url}\n"
        f"    files: {{w.bin: {{sha256: {sha256(DATA)}, size: {len(DATA)}}}}}\n{more}",
        "tree:\n  models/: w\n",
    )


# Named


def test_every_choice_is_named_once_and_no_secret_shown(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoint, mirrors, rewrite, key, caches, hosts and tokens of a clone."""
    monkeypatch.delenv("FETCH_STORE")
    clone.says(
        "hf_endpoint: https://u:pw@evil.example?q=hush\nmirrors: [https://m.example, /srv/x y]\n"
        "rewrite: https://a=https://b\nverify_key: k.pem\nstore: st\njobs: 3\n"
    )
    clone.says("HF_TOKEN=hf_theirs\nGH_HOST=g.example\nHF_HUB_CACHE=c\n", ".env")
    line = project_choices.sentence(project_choices.choices(load(clone.root)))
    assert line == (
        "this project's fetch.yaml sets store: st; mirrors: https://m.example /srv/x y; "
        "rewrite: https://a=https://b; verify_key: k.pem; hf_endpoint: https://evil.example; "
        "this project's .env sets hf_token; hub_cache: c; github_host: g.example"
    )


@pytest.mark.parametrize("command", ["all", "lock", "plan", "access", "doctor", "add hf:o/m"])
def test_commands_that_use_the_network_say_what_the_project_chose(
    clone: Clone, cli: Cli, files: FileServer, command: str
) -> None:
    """An endpoint of the clone's, for commands whose output says nothing of it by itself."""
    a_file(clone.root, files.add("w.bin", DATA))
    clone.says(f"hf_endpoint: {files.url}/hub\n")
    result = cli(*command.split(), "--json", cwd=clone.root)
    note = f"note: this project's fetch.yaml sets hf_endpoint: {files.url}/hub\n"
    assert result.err.count(note) == 1, result.err
    if not result.json["errors"] or command != "add hf:o/m":
        (chosen,) = result.json["project_settings"]
        expected = {"name": "hf_endpoint", "value": f"{files.url}/hub", "origin": "fetch.yaml"}
        assert chosen == expected


def test_a_run_with_nothing_to_do_and_a_look_say_nothing_of_the_network(
    clone: Clone, cli: Cli, files: FileServer
) -> None:
    """No noise where nothing is asked; --quiet does not hide a warning."""
    a_file(clone.root, files.add("w.bin", DATA))
    clone.says("mirrors: [https://m.invalid]\nhf_endpoint: https://e.invalid\n")
    assert "sets mirrors" in cli("all", "--quiet", cwd=clone.root).err
    again = cli("all", cwd=clone.root)
    assert again.code == 0 and "sets" not in again.err
    for command in ("status", "check", "tree", "verify"):
        assert "sets" not in cli(command, cwd=clone.root).err, command


def test_a_cache_of_the_project_s_is_named_by_what_looks_into_it(
    clone: Clone, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Hub cache or store in the clone, by which files are told to be there."""
    monkeypatch.delenv("FETCH_STORE")
    a_file(clone.root, "http://127.0.0.1:9/w.bin")
    clone.says("HF_HUB_CACHE=cache\n", ".env")
    clone.says("store: st\nmirrors: [https://m.invalid]\n")
    note = "this project's fetch.yaml sets store: st; this project's .env sets hub_cache: cache\n"
    for command in ("status", "check", "verify", "tree"):
        assert cli(command, cwd=clone.root).err.count(note) == 1, command
    for command in ("gc", "store du"):
        assert "fetch.yaml sets store: st\n" in cli(*command.split(), cwd=clone.root).err, command


def test_what_the_person_set_is_not_the_project_s(
    clone: Clone, cli: Cli, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone that would replace the person's endpoint, mirrors, key, offline and rewrite."""
    a_file(clone.root, files.add("w.bin", DATA))
    clone.own.write_text(f"mirrors: [{files.url}/mine]\nverify_key: /mine.pem\noffline: true\n")
    monkeypatch.setenv("HF_ENDPOINT", "https://mine.example")
    monkeypatch.setenv("FETCH_REWRITE", "https://x=https://y")
    theirs = "mirrors: [https://evil]\nverify_key: evil.pem\noffline: false\nxet: 1\n"
    clone.says(f"{theirs}hf_endpoint: https://evil\nrewrite: https://x=https://evil\n")
    clone.says("FETCH_VERIFY_KEY=e.pem\nHF_ENDPOINT=https://evil\nFETCH_OFFLINE=0\n", ".env")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    found = load(clone.root)
    assert found.mirrors == (f"{files.url}/mine",) and found.verify_key == Path("/mine.pem")
    assert found.offline and found.hf_endpoint == "https://mine.example" and not found.xet
    assert found.rewrite == (("https://x", "https://y"),)
    assert project_choices.choices(found) == []
    assert "sets" not in cli("all", cwd=clone.root).err


def test_the_python_api_warns(clone: Clone, files: FileServer) -> None:
    """A script that fetches in a clone: the warning is on stderr without any logging set up."""
    a_file(clone.root, files.add("w.bin", DATA))
    clone.says("mirrors: [https://m.invalid]\n")
    code = "import fetcher; print(fetcher.fetch(quiet=True).ok, fetcher.path('w'))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=clone.root,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("True")
    assert done.stderr.count("this project's fetch.yaml sets mirrors: https://m.invalid") == 1


# Logins


def test_a_mirror_of_the_project_s_gets_no_login_until_the_person_names_it(
    clone: Clone, cli: Cli, wary: Wary
) -> None:
    """A host of the person's netrc named as a mirror by the clone; the hint is then followed."""
    a_file(clone.root, "http://127.0.0.1:9/w.bin")
    clone.says(f"mirrors: [{wary.url}/store]\n")
    result = cli("all", cwd=clone.root)
    assert wary.requests and wary.sent() == set()
    assert result.err.count("your login for 127.0.0.1") == 1, result.err
    assert f"as FETCH_MIRRORS, or in {clone.own}" in result.err
    clone.own.write_text(f"mirrors: [{wary.url}/store]\n")
    result = cli("all", cwd=clone.root)
    assert wary.sent() == {BASIC} and "your login" not in result.err


@pytest.mark.parametrize("setting", ["hf_endpoint", "rewrite"])
def test_an_endpoint_and_a_rewrite_get_no_login(
    clone: Clone, wary: Wary, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests for the Hub that the clone leads to a host of the person's netrc."""
    value = {"hf_endpoint": wary.url, "rewrite": f"https://huggingface.co={wary.url}"}[setting]
    clone.says(f"{setting}: {value}\n")
    network = clone.network()
    network.request(f"{network.hub}/api/models/o/m")
    assert len(wary.requests) == 1 and wary.sent() == set()
    monkeypatch.setenv({"hf_endpoint": "HF_ENDPOINT", "rewrite": "FETCH_REWRITE"}[setting], value)
    network = clone.network()
    network.request(f"{network.hub}/api/models/o/m")
    assert len(wary.sent()) == 1


def test_sources_keep_their_logins(clone: Clone, wary: Wary) -> None:
    """The honest use of netrc: a source's own host, which no setting of the project's names."""
    clone.says("mirrors: [https://elsewhere.invalid]\n")
    clone.network().request(f"{wary.url}/w.bin")
    assert wary.sent() == {BASIC}


def test_a_registry_of_the_project_s_gets_no_docker_login(
    clone: Clone, hermetic: Path, wary: Wary
) -> None:
    """`docker login` of the person, and a mirror that the clone names at that host."""
    (hermetic / ".netrc").unlink()
    host = f"127.0.0.1:{wary.port}"
    (hermetic / ".docker").mkdir()
    auths = {"auths": {host: {"auth": "bWU6c2VjcmV0"}}}
    (hermetic / ".docker/config.json").write_text(json.dumps(auths))
    location = f"oci://{host}/models:v1"
    clone.says(f"mirrors: [{location}]\n")
    headers = opened(location, clone.network())._registry.headers  # type: ignore[attr-defined]
    with pytest.raises(Failure) as caught:
        headers()
    assert "the project chose this mirror" in caught.value.hint and wary.sent() == set()
    clone.own.write_text(f"mirrors: [{location}]\n")
    registry = opened(location, clone.network())._registry  # type: ignore[attr-defined]
    assert registry.headers() == [("Authorization", BASIC)]


def test_a_bucket_of_the_project_s_is_asked_without_keys(
    clone: Clone, hermetic: Path, wary: Wary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket of an attacker's, which would learn and bill the person's account."""
    pytest.importorskip("obstore")
    (hermetic / ".netrc").unlink()
    monkeypatch.setenv("AWS_ENDPOINT_URL", wary.url)
    clone.says("mirrors: ['s3://evil-bucket/some+where']\n")
    for theirs in (True, False):
        if not theirs:
            clone.own.write_text("mirrors: ['s3://evil-bucket/some+where']\n")
        network = clone.network()
        folder = opened("s3://evil-bucket/some+where", network)._folder  # type: ignore[attr-defined]
        try:
            folder.get("index.json")
        except Failure as failure:
            assert ("the project chose this bucket" in (failure.hint or "")) == theirs
        url = folder.candidate("a" * 64).prepare(network).url
        address = f"{wary.url}/evil-bucket/some%2Bwhere/blobs/sha256/{'a' * 64}"
        assert url.partition("?")[0] == address and ("Signature" in url) == (not theirs)
        assert bool(wary.sent()) == (not theirs)


def test_a_manifest_s_mirror_is_the_project_s(clone: Clone, wary: Wary, hermetic: Path) -> None:
    """The same registry under `mirrors:` of an artifact, where the person set other mirrors."""
    (hermetic / ".netrc").unlink()
    host = f"127.0.0.1:{wary.port}"
    (hermetic / ".docker").mkdir()
    auths = {"auths": {host: {"auth": "bWU6c2VjcmV0"}}}
    (hermetic / ".docker/config.json").write_text(json.dumps(auths))
    clone.own.write_text("mirrors: [https://mine.invalid]\n")
    place = opened(f"oci://{host}/models", clone.network())
    with pytest.raises(Failure):
        place._registry.headers()  # type: ignore[attr-defined]
    assert wary.sent() == set()


def test_a_token_in_the_person_s_env_file_goes_to_no_endpoint_of_the_clone(
    clone: Clone, wary: Wary, hermetic: Path
) -> None:
    """The README says "put your token into .env", and fetch.yaml names the endpoint."""
    clone.says("HF_TOKEN=hf_mine\n", ".env")
    clone.says(f"hf_endpoint: {wary.url}\n")
    network = clone.network()
    network.request(f"{network.hub}/api/x")
    assert wary.requests and wary.sent() == set() and load(clone.root).hf_token == ""
    # The same file names both: whoever wrote the token chose where it goes.
    clone.says(f"HF_TOKEN=hf_mine\nHF_ENDPOINT={wary.url}\n", ".env")
    network = clone.network()
    network.request(f"{network.hub}/api/x")
    assert wary.sent() == {"Bearer hf_mine"}


def test_a_refusal_of_the_project_s_endpoint_says_how_to_allow_it(
    clone: Clone, cli: Cli, wary: Wary
) -> None:
    """`hf auth login` would not help: the hint says what does."""
    write_project(clone.root, "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {m/: m}\n")
    clone.says(f"hf_endpoint: {wary.url}\n")
    result = cli("access", cwd=clone.root)
    assert "the project chose this endpoint" in result.out + result.err
    assert f"as HF_ENDPOINT, or in {clone.own}" in result.out + result.err
    clone.own.write_text(f"hf_endpoint: {wary.url}\n")
    cli("access", cwd=clone.root)
    assert wary.sent() == {"Bearer hf_login"}


def test_variables_of_an_env_file_are_settings_and_nothing_else(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies, authorities, PATH, netrc and the person's file are never read from .env."""
    text = "HTTPS_PROXY=http://evil\nSSL_CERT_FILE=/evil.pem\nPATH=/evil\nNETRC=evil\nHOME=/evil\n"
    clone.says(f"{text}FETCH_CONFIG=evil.yaml\nAWS_ENDPOINT_URL=http://evil\n", ".env")
    before = dict(os.environ)
    network = clone.network()
    assert network.proxy("https://x.example") == "" and "evil" not in network.trust().file
    assert dict(os.environ) == before and project_choices.choices(network.settings) == []


@pytest.mark.parametrize("named", ["own.yaml", "./own.yaml", "sub/../own.yaml"])
def test_a_persons_file_by_no_whole_path(
    cli: Cli, clone: Clone, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """The person's variable names a file by where they stand: each clone could bring its own."""
    clone.says("allow: {links: [/], local: [/]}\n", "own.yaml")
    monkeypatch.setenv("FETCH_CONFIG", named)
    for command in (["config"], ["plan"], ["config", "allow", "links", "/tmp/x"]):
        found = cli(*command, cwd=clone.root)
        assert found.code == 2 and f"FETCH_CONFIG={named} is no whole path" in found.err, found
    monkeypatch.setenv("FETCH_CONFIG", str(clone.root.parent / "own.yaml"))
    assert cli("config", cwd=clone.root).code == 0, "what the hint says, helps"
