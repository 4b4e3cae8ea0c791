"""Files through hf_xet itself, from a storage that it has filled; plain HTTP after any fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.errors import Failure
from fetcher.sources.base import FileEntry, UrlCandidate, XetCandidate
from fetcher.sources.huggingface import XET_LEAST, HuggingFace
from fetcher.transfer import xet
from tests.kit import Got, Run, payload, sha256
from tests.servers.cas import Cas
from tests.servers.hub import HubServer

pytest.importorskip("hf_xet")

WEIGHTS = payload(XET_LEAST + 12345)
SECOND = payload(XET_LEAST, seed=2)
FILES = {"config.json": b"{}", "w.safetensors": WEIGHTS, "small.safetensors": payload(5000)}
TOKEN = "hf_secretsecret"


@pytest.fixture(scope="module")
def filled() -> Iterator[Cas]:
    with Cas() as cas:
        for data in (WEIGHTS, SECOND):
            cas.add(sha256(data), data)
        yield cas


@pytest.fixture
def cas(filled: Cas) -> Iterator[Cas]:
    """The storage, with what a test does to it undone."""
    token, files = filled.token, dict(filled.files)
    filled.requests.clear()
    yield filled
    assert filled.errors == []
    filled.token, filled.files = token, files
    filled.faults.clear()


@pytest.fixture
def hub(cas: Cas) -> Iterator[HubServer]:
    with HubServer() as server:
        server.cas = cas
        server.add_repo("o/r", FILES, xet=True)
        yield server
        assert server.errors == [] and server.cdn.errors == []
        assert server.cdn.leaks == []


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("fetcher.network.retry", "fetcher.transfer.engine", "fetcher.transfer.hosts"):
        monkeypatch.setattr(f"{place}.backoff", lambda attempt: 0.01)
    monkeypatch.setitem(xet._CONFIG, "client.retry_base_delay", "10ms")
    monkeypatch.setitem(xet._CONFIG, "client.retry_max_attempts", 1)


def run_of(tmp_path: Path, hub: HubServer, **more: str) -> Run:
    return Run(tmp_path, **{"hf_endpoint": hub.url, "xet": "1", **more})


def fetch(run: Run, source: HuggingFace | None = None) -> Got:
    source = source or HuggingFace("o/r")
    return run.fetch(source, list(run.resolve(source).values()))


def origins(got: Got) -> dict[str, str]:
    """Where each file came from; all must have arrived."""
    assert got.failed == [], got.failed
    return {done.download.file.path: done.origin for done in got.delivered}


PLAIN = dict.fromkeys(FILES, "huggingface")


def test_a_large_file_comes_through_xet_and_is_proven(
    tmp_path: Path, hub: HubServer, cas: Cas
) -> None:
    run = run_of(tmp_path, hub)
    got = fetch(run)
    assert origins(got) == {**PLAIN, "w.safetensors": "xet"}
    assert run.blob(WEIGHTS) == WEIGHTS and run.leftovers() == []
    assert any("/xorbs/" in request.path for request in cas.requests)
    assert not [request for request in hub.cdn.requests if sha256(WEIGHTS) in request.path]
    (large,) = [done for done in got.delivered if done.download.file.path == "w.safetensors"]
    assert large.downloaded == len(WEIGHTS)


@pytest.mark.parametrize(
    "more",
    [{"xet": "auto"}, {"xet": "0"}, {"limit_rate": "900M"}],
    ids=str,
)
def test_plain_http_unless_it_is_wanted(
    tmp_path: Path, hub: HubServer, cas: Cas, more: dict[str, str]
) -> None:
    assert origins(fetch(run_of(tmp_path, hub, **more))) == PLAIN
    assert cas.requests == [] and not hub.matching("xet-read-token")


def test_a_repository_that_is_not_in_xet(tmp_path: Path, hub: HubServer, cas: Cas) -> None:
    hub.add_repo("o/plain", FILES)
    run = run_of(tmp_path, hub)
    assert origins(fetch(run, HuggingFace("o/plain"))) == PLAIN
    assert cas.requests == [] and run.said == ""


def test_a_renamed_repository(tmp_path: Path, hub: HubServer) -> None:
    run = run_of(tmp_path, hub)
    source = HuggingFace("o/r")
    found = list(run.resolve(source).values())
    hub.move_repo("o/r", "o/new")
    assert origins(run.fetch(source, found))["w.safetensors"] == "xet"


def test_the_hubs_token_is_for_the_hub_alone(tmp_path: Path, hub: HubServer, cas: Cas) -> None:
    hub.add_repo("o/secret", FILES, private=True, gated="manual", xet=True)
    hub.add_token(TOKEN, private=["o/secret"], approved=["o/secret"])
    hub.xet_lifetime = 30  # too short: asked for again, by hf_xet as well
    run = run_of(tmp_path, hub, hf_token=TOKEN)
    assert origins(fetch(run, HuggingFace("o/secret")))["w.safetensors"] == "xet"
    assert not [request for request in cas.requests if request.token == TOKEN]
    asked = hub.matching("xet-read-token")
    assert len(asked) >= 2 and all(request.token == TOKEN for request in asked)


def test_a_gate_is_told_of_as_without_xet(tmp_path: Path, hub: HubServer) -> None:
    hub.add_repo("o/gated", FILES, gated="manual", xet=True)
    got = fetch(run_of(tmp_path, hub), HuggingFace("o/gated"))
    assert {problem.code for _, problem in got.failed} == {"gated"}


def test_one_token_for_all_files_of_a_revision(tmp_path: Path, hub: HubServer, cas: Cas) -> None:
    hub.add_commit("o/r", {"second.safetensors": SECOND})
    assert origins(fetch(run_of(tmp_path, hub)))["second.safetensors"] == "xet"
    assert len(hub.matching("xet-read-token")) == 1


# Faults: the file comes by plain HTTP, and the person is told why


def falls_back(run: Run, *words: str) -> None:
    assert origins(fetch(run)) == PLAIN
    assert run.blob(WEIGHTS) == WEIGHTS and run.leftovers() == []
    for word in words:
        assert word in run.said, run.said
    assert "Signature" not in run.said and "secret" not in run.said


def test_a_storage_that_lies(tmp_path: Path, hub: HubServer, cas: Cas) -> None:
    cas.replace(sha256(WEIGHTS), sha256(SECOND))
    falls_back(run_of(tmp_path, hub), "taking it from huggingface")


def test_a_storage_that_refuses_the_token(tmp_path: Path, hub: HubServer, cas: Cas) -> None:
    hub.xet_headers = {"X-Xet-Access-Token": "another"}
    falls_back(run_of(tmp_path, hub), "401", "taking it from huggingface")


def test_a_storage_that_is_not_there_is_waited_for_once(tmp_path: Path, hub: HubServer) -> None:
    hub.xet_headers = {"X-Xet-Cas-Url": "http://127.0.0.1:9"}
    hub.add_commit("o/r", {"second.safetensors": SECOND})
    run = run_of(tmp_path, hub)
    source = HuggingFace("o/r")
    assert set(origins(fetch(run, source)).values()) == {"huggingface"}
    assert run.said.count("Xet storage 127.0.0.1:9") == 1
    began = time.monotonic()
    storage = xet.XetStorage(run.network, run.store)
    (file,) = [f for f in run.resolve(source).values() if f.path == "w.safetensors"]
    candidate = run.candidates(source, file)[0]
    assert isinstance(candidate, XetCandidate)
    for _ in range(20):
        with pytest.raises(Failure, match=r"Xet storage 127\.0\.0\.1:9"):
            storage.fetch(candidate, file)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "endpoint",
    ["local:///etc", "local://{root}", "memory://", "file:///etc", "ftp://127.0.0.1", "127.0.0.1",
     "", "http://", "https://[", "http://a\\b"],
)  # fmt: skip
def test_a_hub_cannot_choose_files_of_this_machine(
    tmp_path: Path, hub: HubServer, cas: Cas, endpoint: str
) -> None:
    hub.xet_headers = {"X-Xet-Cas-Url": endpoint.format(root=tmp_path)}
    falls_back(run_of(tmp_path, hub), "taking it from huggingface")
    assert cas.requests == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("X-Xet-Access-Token", value) for value in ("", "one two", "é")),
        *(("X-Xet-Token-Expiration", value) for value in ("", "soon", "-5", "1e9", "9" * 30)),
    ],
)
def test_a_token_that_is_none(tmp_path: Path, hub: HubServer, header: str, value: str) -> None:
    hub.xet_headers = {header: value}
    falls_back(run_of(tmp_path, hub), "no sound token")


def test_a_hub_without_the_route(tmp_path: Path, hub: HubServer) -> None:
    hub.cas = None
    falls_back(run_of(tmp_path, hub), "HTTP 404")


@pytest.mark.parametrize("state", ["absent", "old"])
def test_without_hf_xet(
    tmp_path: Path, hub: HubServer, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    import types

    there = None if state == "absent" else types.ModuleType("hf_xet")
    monkeypatch.setitem(sys.modules, "hf_xet", there)
    run = run_of(tmp_path, hub)
    falls_back(run, "pip install")
    assert not hub.matching("xet-read-token")


def test_a_storage_that_sends_nothing_is_given_up(
    tmp_path: Path, hub: HubServer, cas: Cas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xet, "_STALLED", 0.5)
    cas.hook("/xorbs/", lambda: time.sleep(3))
    falls_back(run_of(tmp_path, hub), "no byte")


def test_an_interrupted_run_ends_at_once(tmp_path: Path, hub: HubServer, cas: Cas) -> None:
    run = run_of(tmp_path, hub)
    source = HuggingFace("o/r")
    (file,) = [f for f in run.resolve(source).values() if f.path == "w.safetensors"]
    storage = xet.XetStorage(run.network, run.store)
    run.store.prepare()
    release = threading.Event()
    cas.hook("/xorbs/", lambda: release.wait(20))
    (candidate, _) = run.candidates(source, file)
    assert isinstance(candidate, XetCandidate)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            storage.fetch(candidate, file)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not any("/xorbs/" in request.path for request in list(cas.requests)):
        time.sleep(0.01)
    began = time.monotonic()
    storage.stop()
    thread.join()
    release.set()
    assert time.monotonic() - began < 5 and "interrupted" in str(raised[0])
    assert run.leftovers() == [] and storage.received == 0


def test_offline_nothing_is_asked(tmp_path: Path, hub: HubServer, cas: Cas) -> None:
    run = run_of(tmp_path, hub)
    found = list(run.resolve(HuggingFace("o/r")).values())
    asked = len(hub.requests)
    offline = run_of(tmp_path / "other", hub, offline="1")
    offline.revision = run.revision
    got = offline.fetch(HuggingFace("o/r"), found)
    assert {problem.code for _, problem in got.failed} == {"offline"}
    assert len(hub.requests) == asked and cas.requests == []


def test_which_files_are_candidates(tmp_path: Path, hub: HubServer) -> None:
    network = run_of(tmp_path, hub).network
    source = HuggingFace("o/r", "dataset", "refs/pr/1", "sub")
    large = FileEntry("a b.bin", XET_LEAST, "a" * 64, None, True)
    first, second = source.candidates("", large, network)
    assert first == XetCandidate(
        "xet",
        f"{hub.url}/datasets/o/r/resolve/refs%2Fpr%2F1/sub/a%20b.bin",
        f"{hub.url}/api/datasets/o/r/xet-read-token/refs%2Fpr%2F1",
    )
    assert isinstance(second, UrlCandidate) and second.url == first.url
    for other in (large._replace(size=XET_LEAST - 1), large._replace(lfs=False)):
        assert len(source.candidates("", other, network)) == 1
