"""The Hugging Face cache that projects share gets what the person's own Hub says, and no claim.

In each test an honest project uses the cache beside a dishonest one, and the real clients read it.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fetcher.sources.base import Listing
from fetcher.store.store import Store
from fetcher.store.upstream_records import UpstreamRecords
from tests.conftest import Cli, Result, write_project
from tests.kit import git_blob, payload, sha256, tensors
from tests.oracles import CLIENTS, client
from tests.server.kit import serving
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

WEIGHTS, EVIL = tensors(3000, 1), tensors(3000, 2)
CONFIG, EVIL_CONFIG = b'{"a": 1}\n', b'{"a": 2}\n'
FILES = {"config.json": CONFIG, "w.safetensors": WEIGHTS}
READ = """
import json, pathlib, sys
from huggingface_hub import snapshot_download
folder = pathlib.Path(snapshot_download("o/m", revision=sys.argv[1] or None))
found = {path.relative_to(folder).as_posix(): path.read_bytes().hex()
         for path in folder.rglob("*") if path.is_file()}
print(json.dumps(found))
"""


def nowhere() -> str:
    """An address at which nobody answers."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def commit(hub: HubServer) -> str:
    return hub.add_repo("o/m", FILES)


@pytest.fixture
def mirror() -> Iterator[FileServer]:
    """The liar's own server."""
    with FileServer() as server:
        yield server


@dataclass
class Cache:
    """The cache that everybody shares."""

    hub: Path

    @property
    def root(self) -> Path:
        return self.hub / "models--o--m"

    def ref(self, name: str = "main") -> str:
        path = self.root / "refs" / name
        return path.read_text() if path.exists() else ""

    def contents(self) -> set[bytes]:
        return {path.read_bytes() for path in self.hub.rglob("*") if path.is_file()}

    def read(self, revision: str = "", path: str = "") -> dict[str, bytes]:
        """What the real client gives to whoever loads by id, without network."""
        found = json.loads(client(READ, revision, path=path, HF_HUB_OFFLINE="1"))
        return {name: bytes.fromhex(data) for name, data in found.items()}


@pytest.fixture
def cache(hermetic: Path) -> Cache:
    return Cache(hermetic / "huggingface/hub")


def project(root: Path, source: str = "hf:o/m", more: str = "", tree: str = "{m/: m}") -> Path:
    manifest = f"artifacts:\n  m:\n    source: '{source}'\n{more}"
    write_project(root, "p", manifest, f"tree: {tree}\nhub_cache: [m]\n")
    return root


def stated(files: dict[str, bytes], mirror: FileServer) -> str:
    """Digests, and a server of one's own that has what they say."""
    lines = "".join(
        f"      {name}: {{size: {len(data)}, sha256: {sha256(data)}}}\n"
        for name, data in files.items()
    )
    url = ""
    for name, data in files.items():
        url = mirror.add(name, data).rpartition("/")[0]
    return f"    files:\n{lines}    mirrors: ['{url}/']\n"


def lock_of(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "fetch.lock").read_text())
    return found


def tamper(root: Path, change: Callable[[dict[str, Any], dict[str, dict[str, Any]]], None]) -> None:
    """Change the one entry of a lock, and its files by path."""
    lock = lock_of(root)
    entry = lock["manifests"]["p"]["m"]
    change(entry, {file["path"]: file for file in entry["files"]})
    (root / "fetch.lock").write_text(json.dumps(lock, indent=2))


def messages(result: Result) -> str:
    return " ".join(error["message"] + " " + error["hint"] for error in result.json["errors"])


# (a) A manifest with digests and a mirror of its own


@pytest.mark.parametrize("path", CLIENTS)
def test_foreign_bytes_at_a_genuine_commit(
    tmp_path: Path,
    cli: Cli,
    hub: HubServer,
    commit: str,
    mirror: FileServer,
    cache: Cache,
    path: str,
) -> None:
    """The Hub is there; what fails the stated digest would lead on to the liar's mirror."""
    bad = project(tmp_path / "bad", f"hf:o/m@{commit}", stated({"w.safetensors": EVIL}, mirror))
    result = cli("all", "--json", cwd=bad)
    assert result.code == 4 and result.codes == {"digest-mismatch"}
    assert sha256(EVIL) in messages(result) and sha256(WEIGHTS) in messages(result)
    assert mirror.requests == [] and EVIL not in cache.contents()
    assert not (bad / "m/w.safetensors").exists()
    good = project(tmp_path / "good")
    assert cli("all", cwd=good).code == 0
    assert cache.read(path=path) == FILES


@pytest.mark.parametrize("gone", ["unreachable", "offline", "listing"])
def test_foreign_bytes_where_the_hub_does_not_answer(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, mirror: FileServer, cache: Cache,
    monkeypatch: pytest.MonkeyPatch, gone: str,
) -> None:  # fmt: skip
    """Nobody contradicts the liar's mirror: the tree gets what is stated, the cache nothing."""
    bad = project(tmp_path / "bad", f"hf:o/m@{commit}", stated({"w.safetensors": EVIL}, mirror))
    with monkeypatch.context() as patch:
        if gone == "listing":
            hub.repos.clear()
        else:
            patch.setenv("HF_ENDPOINT", nowhere())
            patch.setattr("fetcher.network.session.PATIENCE", 0.0)
        result = cli("all", "--json", *(["--offline"] if gone == "offline" else []), cwd=bad)
    if gone != "offline":
        assert result.code == 4 and result.codes == {"unproven"}, result.err
        assert (bad / "m/w.safetensors").read_bytes() == EVIL
        assert "mirror import" in messages(result) and "--from" in messages(result)
    assert EVIL not in cache.contents() and not cache.root.exists()


def test_foreign_bytes_that_are_in_the_store_already(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, mirror: FileServer, cache: Cache
) -> None:
    """Nothing is downloaded: a first run, with no word of the cache, has brought the bytes."""
    (tmp_path / "evil").write_bytes(EVIL)
    bad = project(tmp_path / "bad", f"hf:o/m@{commit}", stated({"w.safetensors": EVIL}, mirror))
    assert cli("adopt", tmp_path / "evil", cwd=bad).code == 0
    result = cli("all", "--json", cwd=bad)
    assert result.code == 4 and result.codes == {"digest-mismatch"}, result.err
    assert sha256(EVIL) in messages(result) and sha256(WEIGHTS) in messages(result)
    assert (bad / "m/w.safetensors").read_bytes() == EVIL  # the clone may have what it likes
    assert EVIL not in cache.contents()


def test_a_file_that_the_commit_does_not_have(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, mirror: FileServer, cache: Cache
) -> None:
    """An extra modeling_x.py beside genuine weights; the genuine ones are placed all the same."""
    code = b"import os\n"
    more = stated({"w.safetensors": WEIGHTS, "modeling_x.py": code}, mirror)
    bad = project(tmp_path / "bad", f"hf:o/m@{commit}", more)
    result = cli("all", "--json", cwd=bad)
    assert result.code == 4 and "unproven" in result.codes
    assert "modeling_x.py" in messages(result)
    assert cache.read(commit) == {"w.safetensors": WEIGHTS}


def test_at_a_branch_a_mirror_may_have_what_is_stated(
    tmp_path: Path, cli: Cli, hub: HubServer, mirror: FileServer
) -> None:
    """No attack: the branch has moved on, and the mirror keeps what the manifest states."""
    hub.add_repo("o/m", FILES)
    hub.add_commit("o/m", {"w.safetensors": EVIL})
    more = stated({"w.safetensors": WEIGHTS}, mirror)
    write_project(tmp_path, "p", f"artifacts:\n  m:\n    source: hf:o/m\n{more}", "tree: {m/: m}\n")
    result = cli("all")
    assert result.code == 0, result.err
    assert (tmp_path / "m/w.safetensors").read_bytes() == WEIGHTS
    assert re.search(f"sha256 {sha256(EVIL)} instead of {sha256(WEIGHTS)}; taking it", result.err)


@pytest.mark.parametrize("path", CLIENTS)
def test_the_name_is_the_hub_s_not_the_manifest_s(
    tmp_path: Path,
    cli: Cli,
    hub: HubServer,
    commit: str,
    mirror: FileServer,
    cache: Cache,
    path: str,
) -> None:
    """No attack: a manifest states the sha256 of a small file, whose blob has its git id."""
    honest = project(tmp_path, f"hf:o/m@{commit}", stated(FILES, mirror))
    result = cli("all", cwd=honest)
    assert result.code == 0, result.err
    blobs = {path.name for path in (cache.root / "blobs").iterdir()}
    assert blobs == {git_blob(CONFIG), sha256(WEIGHTS)}
    assert cache.read(commit, path) == FILES


# (b) A lock with a genuine git id and a foreign sha256


def bring(file: Path) -> None:
    """Have the shared store hold a content, as any honest project's might."""
    Store(Path(os.environ["FETCH_STORE"])).add_file(str(file), sha256(file.read_bytes()))


@pytest.mark.parametrize("where", ["store", "tree", "mirror"])
@pytest.mark.parametrize("path", CLIENTS)
def test_a_genuine_git_id_with_a_foreign_sha256(
    tmp_path: Path,
    cli: Cli,
    hub: HubServer,
    mirror: FileServer,
    cache: Cache,
    path: str,
    where: str,
) -> None:
    """The genuine blob would be unlinked and replaced: everybody's snapshots would change."""
    hub.add_repo("o/m", FILES)
    good = project(tmp_path / "good")
    assert cli("all", cwd=good).code == 0
    blob = cache.root / "blobs" / git_blob(CONFIG)
    before = blob.stat()
    url = mirror.add("config.json", EVIL_CONFIG).rpartition("/")[0]
    bad = project(tmp_path / "bad", more=f"    mirrors: ['{url}/']\n")
    (bad / "fetch.lock").write_bytes((good / "fetch.lock").read_bytes())
    tamper(bad, lambda _, files: files["config.json"].update(sha256=sha256(EVIL_CONFIG)))
    if where != "mirror":
        (tmp_path / "evil").write_bytes(EVIL_CONFIG)
        assert cli("adopt", tmp_path / "evil", cwd=bad).code == 4, "only half of what is locked"
        bring(tmp_path / "evil")
    if where == "tree":
        (bad / "m").mkdir(exist_ok=True)
        (bad / "m/config.json").write_bytes(EVIL_CONFIG)
    result = cli("all", "--json", cwd=bad)
    assert result.code == 4, result.err
    said = messages(result)
    assert git_blob(CONFIG) in said and (
        sha256(EVIL_CONFIG) in said or git_blob(EVIL_CONFIG) in said
    )
    assert EVIL_CONFIG not in cache.contents()
    assert blob.stat().st_ino == before.st_ino and cache.read(path=path) == FILES


def test_a_true_blob_outlives_what_a_lock_says_of_a_new_commit(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache
) -> None:
    """The lie stands at another commit of the liar's, below the same blobs."""
    good = project(tmp_path / "good")
    assert cli("all", cwd=good).code == 0
    bad = project(tmp_path / "bad")
    (bad / "fetch.lock").write_bytes((good / "fetch.lock").read_bytes())
    (tmp_path / "evil").write_bytes(EVIL_CONFIG)

    def change(entry: dict[str, Any], files: dict[str, dict[str, Any]]) -> None:
        entry["revision"] = "e" * 40
        files["config.json"].update(sha256=sha256(EVIL_CONFIG), size=len(EVIL_CONFIG))

    tamper(bad, change)
    bring(tmp_path / "evil")
    assert cli("all", cwd=bad).code != 0
    assert not (cache.root / "snapshots" / ("e" * 40)).exists()
    assert cache.ref() == commit and cache.read() == FILES


# (c) An endpoint, a rewriting or a mirror of the clone's


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fetch.yaml", "hf_endpoint: {url}\n"),
        (".env", "HF_ENDPOINT={url}\n"),
        ("fetch.yaml", "rewrite: https://huggingface.co={url}\n"),
    ],
)
def test_an_endpoint_of_the_clone_s(
    tmp_path: Path, cli: Cli, cache: Cache, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """The clone brings a Hub that says of o/m what it likes. The hint leads to where it works."""
    bad = project(tmp_path / "bad")
    with HubServer() as own:
        own.add_repo("o/m", {"w.safetensors": EVIL})
        (bad / name).write_text(text.format(url=own.url))
        result = cli("all", "--json", cwd=bad)
        assert result.code == 4 and result.codes == {"unproven"}, result.err
        assert (bad / "m/w.safetensors").read_bytes() == EVIL
        assert not cache.root.exists()
        variable = "FETCH_REWRITE" if "rewrite" in text else "HF_ENDPOINT"
        assert variable in messages(result)
        value = f"https://huggingface.co={own.url}" if "rewrite" in text else own.url
        monkeypatch.setenv(variable, value)  # the person trusts it
        assert cli("all", cwd=bad).code == 0
        assert cache.read() == {"w.safetensors": EVIL}


def test_a_clone_s_endpoint_and_a_cache_below_the_clone(
    tmp_path: Path, cli: Cli, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attack: a project with a Hub and a cache of its own harms nobody else."""
    monkeypatch.delenv("HF_HOME")
    own = project(tmp_path / "own")
    with HubServer() as server:
        commit = server.add_repo("o/m", FILES)
        (own / ".env").write_text(f"HF_ENDPOINT={server.url}\nHF_HUB_CACHE=hub\n")
        result = cli("all", cwd=own)
    assert result.code == 0, result.err
    mine = Cache(own / "hub")
    assert mine.ref() == commit and WEIGHTS in mine.contents() and not cache.root.exists()


def test_a_mirror_that_the_clone_s_settings_name(
    tmp_path: Path, cli: Cli, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers as a Hub does, in fetch.yaml's `mirrors`."""
    monkeypatch.setenv("HF_ENDPOINT", nowhere())
    monkeypatch.setattr("fetcher.network.session.PATIENCE", 0.0)
    with HubServer() as own, FileServer() as plain:
        commit = own.add_repo("o/m", {"w.safetensors": EVIL})
        more = stated({"w.safetensors": EVIL}, plain)
        bad = project(tmp_path / "bad", f"hf:o/m@{commit}", more)
        (bad / "fetch.yaml").write_text(f"mirrors: ['{own.url}']\n")
        result = cli("all", "--json", cwd=bad)
        assert result.code == 4 and "unproven" in result.codes, result.err
        assert not cache.root.exists()
        (bad / "fetch.yaml").unlink()
        assert cli("all", "--from", own.url, cwd=bad).code == 0  # the person's word
        assert cache.read(commit) == {"w.safetensors": EVIL}


def test_a_store_of_the_clone_s_with_records(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, mirror: FileServer, cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The clone ships a store in which the Hub is said to have said it."""
    monkeypatch.delenv("FETCH_STORE")
    bad = project(tmp_path / "bad", f"hf:o/m@{commit}", stated({"w.safetensors": EVIL}, mirror))
    (bad / "fetch.yaml").write_text("store: st\n")
    lfs = {"oid": sha256(EVIL), "size": len(EVIL)}
    page = [{"type": "file", "path": "w.safetensors", "size": len(EVIL), "lfs": lfs}]
    lie = Listing(hub.url, "model", "o/m", commit, "main", "", (json.dumps(page).encode(),), False)
    UpstreamRecords(bad / "st", hub.url).add_pages(lie)
    UpstreamRecords.of_bundles(bad / "st").add_pages(lie)
    hub.repos.clear()
    assert cli("all", cwd=bad).code == 4
    assert EVIL not in cache.contents()


def test_a_store_of_the_clone_s_with_stamps(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The clone ships a store in which foreign bytes lie under genuine digests, stamped as read."""
    monkeypatch.delenv("FETCH_STORE")
    bad = project(tmp_path / "bad")
    (bad / "fetch.yaml").write_text("store: st\n")
    store = Store(bad / "st")
    store.prepare()
    for name, data in (("w", WEIGHTS), ("c", CONFIG)):
        path = store.blobs / sha256(data)
        path.write_bytes(payload(len(data), 7))
        stat, git = path.stat(), git_blob(data) if name == "c" else ""
        line = f"{sha256(data)}\t{stat.st_size}\t{stat.st_mtime_ns}\t{stat.st_ino}\t{git}\n"
        (bad / "st/stamps" / f"{name}.tsv").write_text(line)
    cli("all", cwd=bad)
    assert not {payload(len(data), 7) for data in FILES.values()} & cache.contents()
    good = project(tmp_path / "good")
    assert cli("all", cwd=good).code == 0 and cache.read() == FILES


# Refs


def test_a_commit_that_is_pinned_moves_no_branch(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache
) -> None:
    """A project pins an old commit: whoever loads by id alone goes on with theirs."""
    newer = hub.add_commit("o/m", {"config.json": EVIL_CONFIG})
    honest = project(tmp_path / "honest")
    assert cli("all", cwd=honest).code == 0 and cache.ref() == newer
    pinned = project(tmp_path / "pinned", f"hf:o/m@{commit}")
    assert cli("all", cwd=pinned).code == 0
    assert cache.ref() == newer and cache.read()["config.json"] == EVIL_CONFIG
    assert cache.read(commit) == FILES


def test_a_commit_of_nobody_s_branch(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache
) -> None:
    """A pull request on the Hub, which anybody can open, is a commit of the repository; a lock
    says that main is there."""
    hub.set_ref("o/m", "refs/pr/1", commit)
    theirs = hub.add_commit("o/m", {"w.safetensors": EVIL}, "refs/pr/1")
    bad = project(tmp_path / "bad")
    assert cli("lock", cwd=bad).code == 0

    def change(entry: dict[str, Any], files: dict[str, dict[str, Any]]) -> None:
        entry["revision"] = theirs
        files["w.safetensors"].update(sha256=sha256(EVIL), size=len(EVIL))

    tamper(bad, change)
    result = cli("all", "--json", cwd=bad)
    assert result.code == 4 and result.codes == {"unproven"}, result.err
    assert "main was ever at" in messages(result)
    assert cache.ref() == "" and cache.read(theirs)["w.safetensors"] == EVIL
    assert cli("all", "--update", cwd=bad).code == 0  # as the hint says
    assert cache.ref() == commit and cache.read() == FILES


def test_an_old_lock_of_a_branch_that_has_moved_on(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache, hermetic: Path
) -> None:
    """No attack: a colleague's lock of last month, on a machine that has never seen main."""
    root = project(tmp_path)
    assert cli("lock", cwd=root).code == 0
    newer = hub.add_commit("o/m", {"config.json": EVIL_CONFIG})
    os.rename(hermetic / "store", hermetic / "another machine's store")
    assert cli("all", cwd=root).code == 0
    assert cache.ref() == commit and cache.read() == FILES
    other = project(tmp_path / "other")
    assert cli("all", cwd=other).code == 0 and cache.ref() == newer
    (root / "m/config.json").unlink()  # and the old one does not move it back
    assert cli("all", cwd=root).code == 0 and cache.ref() == newer


# What was said before, bundles and mirrors of the person's


def test_what_the_hub_said_before_is_known_without_network(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache
) -> None:
    """No attack: a second project, and a train."""
    write_project(tmp_path / "one", "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {m/: m}\n")
    assert cli("all", cwd=tmp_path / "one").code == 0 and not cache.root.exists()
    two = project(tmp_path / "two")
    (two / "fetch.lock").write_bytes((tmp_path / "one/fetch.lock").read_bytes())
    hub.stop()
    result = cli("all", "--offline", cwd=two)
    assert result.code == 0, result.err
    assert cache.ref() == commit and cache.read() == FILES


@pytest.mark.parametrize("way", ["import", "from"])
@pytest.mark.parametrize("path", CLIENTS)
def test_a_site_without_network(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache, hermetic: Path,
    monkeypatch: pytest.MonkeyPatch, way: str, path: str,
) -> None:  # fmt: skip
    """No attack: the operator carries a bundle in. Without their word the cache gets nothing."""
    outside = project(tmp_path / "outside")
    assert cli("all", cwd=outside).code == 0
    bundle = tmp_path / "carried.tar"
    assert cli("mirror", "export", bundle, cwd=outside).code == 0
    os.rename(cache.hub, tmp_path / "outside's cache")
    monkeypatch.setenv("FETCH_STORE", str(hermetic / "inside"))
    monkeypatch.delenv("HF_ENDPOINT")
    inside = project(tmp_path / "inside")
    (inside / "fetch.lock").write_bytes((outside / "fetch.lock").read_bytes())
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    assert cli("adopt", *(tmp_path / name for name in FILES), cwd=inside).code == 0
    result = cli("all", "--offline", "--json", cwd=inside)
    assert result.code == 4 and result.codes == {"unproven"}, result.err
    assert not cache.root.exists() and (inside / "m/config.json").read_bytes() == CONFIG
    if way == "import":
        assert cli("mirror", "import", bundle, cwd=inside).code == 0
    options = ["--from", bundle] if way == "from" else []
    result = cli("all", "--offline", *options, cwd=inside)
    assert result.code == 0, result.err
    assert cache.ref() == commit and cache.read(path=path) == FILES


def test_bundles_that_contradict_each_other(
    tmp_path: Path, cli: Cli, cache: Cache, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sites' bundles say different things of one commit: the second is refused; one that takes
    the place of the first does so in the cache as well."""
    same = "d" * 40
    for name, data in (("one", WEIGHTS), ("two", EVIL)):
        with HubServer() as server:
            server.add_repo("o/m", {"w.safetensors": data}, sha=same)
            monkeypatch.setenv("HF_ENDPOINT", server.url)
            monkeypatch.setenv("FETCH_STORE", str(hermetic / name))
            site = project(tmp_path / name)
            assert cli("all", cwd=site).code == 0
            assert cli("mirror", "export", tmp_path / f"{name}.tar", cwd=site).code == 0
        os.rename(cache.hub, tmp_path / f"cache of {name}")
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setenv("FETCH_STORE", str(hermetic / "inside"))
    inside = project(tmp_path / "inside")
    (inside / "fetch.lock").write_bytes((tmp_path / "two/fetch.lock").read_bytes())
    both = tmp_path / "one.tar", tmp_path / "two.tar"
    assert cli("mirror", "import", *both).code == 4
    assert cli("mirror", "import", both[0]).code == 0
    assert cli("mirror", "import", both[1]).code == 4
    assert not cache.root.exists()
    assert cli("mirror", "import", both[1], "--replace").code == 0
    result = cli("all", "--offline", "--json", cwd=inside)
    assert result.code == 0, result.err
    (placed,) = cache.root.rglob("w.safetensors")
    assert placed.read_bytes() == EVIL


@pytest.mark.parametrize("variable", ["HF_ENDPOINT", "FETCH_MIRRORS"])
def test_a_mirror_server_that_the_person_named(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache, hermetic: Path,
    monkeypatch: pytest.MonkeyPatch, variable: str,
) -> None:  # fmt: skip
    """No attack: `fetch serve` inside, as the endpoint or as a mirror; the Hub is far away."""
    outside = project(tmp_path / "outside", more="    visibility: public\n")
    assert cli("all", cwd=outside).code == 0
    os.rename(cache.hub, tmp_path / "outside's cache")
    inside = project(tmp_path / "inside", more="    visibility: public\n")
    (inside / "fetch.lock").write_bytes((outside / "fetch.lock").read_bytes())
    with serving(hermetic, cwd=outside) as server:
        monkeypatch.setenv("FETCH_STORE", str(hermetic / "inside"))
        monkeypatch.setenv("HF_ENDPOINT", nowhere())
        monkeypatch.setenv(variable, server.url)
        result = cli("all", cwd=inside)
    assert result.code == 0, result.err
    assert cache.ref() == commit and cache.read() == FILES


# The cache as a place to take from


def test_what_is_taken_from_the_cache_is_read(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache
) -> None:
    """A blob under a genuine name, of the genuine size, with other bytes."""
    blob = cache.root / "blobs" / sha256(WEIGHTS)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(payload(len(WEIGHTS), 9))
    root = project(tmp_path)
    result = cli("all", cwd=root)
    assert result.code == 0, result.err
    assert (root / "m/w.safetensors").read_bytes() == WEIGHTS
    assert cache.read() == FILES


def test_requests_are_few(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache, hermetic: Path
) -> None:
    """One listing for a commit, none where it was read before, nothing for a run of no use."""
    first = project(tmp_path / "first")
    assert cli("all", cwd=first).code == 0

    def listings() -> int:
        return len([request for request in hub.requests if "/tree/" in request.path])

    assert listings() == 1
    before = len(hub.requests)
    assert cli("all", cwd=first).code == 0 and len(hub.requests) == before
    os.rename(hermetic / "store", hermetic / "another machine's")
    os.rename(cache.hub, tmp_path / "another's cache")
    second = project(tmp_path / "second")
    (second / "fetch.lock").write_bytes((first / "fetch.lock").read_bytes())
    assert cli("all", cwd=second).code == 0
    assert listings() == 2 and cache.read() == FILES


# What an older version let in


def spoil(cache: Cache, commit: str, theirs: str) -> dict[str, Path]:
    """What each of the older faults has left; the paths that are wrong."""
    blob = cache.root / "blobs" / git_blob(CONFIG)
    blob.chmod(0o644)
    blob.unlink()
    blob.write_bytes(EVIL_CONFIG)  # (b): a genuine name, foreign bytes
    snapshot = cache.root / "snapshots" / commit
    evil = cache.root / "blobs" / sha256(EVIL)
    evil.write_bytes(EVIL)
    weights = snapshot / "w.safetensors"
    weights.unlink()
    weights.symlink_to(f"../../blobs/{sha256(EVIL)}")  # (a): true blobs at a foreign commit
    extra = snapshot / "modeling_x.py"
    extra.symlink_to(f"../../blobs/{sha256(EVIL)}")
    ref = cache.root / "refs/main"
    ref.write_text(theirs)
    return {"blob": blob, "weights": weights, "extra": extra, "ref": ref}


@pytest.mark.parametrize("path", CLIENTS)
def test_what_an_older_version_let_in_is_found_and_healed(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache, path: str
) -> None:
    """Blobs, snapshots and refs are named, with what to remove; then `fetch all` heals."""
    root = project(tmp_path)
    assert cli("all").code == 0
    clean = cli("check", "--deep", "--json")
    assert clean.code == 0
    notes = [found["text"] for found in cli("doctor", "--json").json["results"]]
    assert not any("then run `fetch all`" in text for text in notes)
    hub.set_ref("o/m", "refs/pr/1", commit)
    theirs = hub.add_commit("o/m", {"w.safetensors": EVIL}, "refs/pr/1")
    spoiled = spoil(cache, commit, theirs)
    deep = cli("check", "--deep", "--json")
    assert deep.code == 4
    for name in ("blob", "weights", "extra"):
        assert str(spoiled[name]) in messages(deep), name
    notes = [found["text"] for found in cli("doctor", "--json").json["results"]]
    for wrong in spoiled.values():
        assert any(f"remove {wrong}, then run `fetch all`" in text for text in notes), wrong
    for wrong in spoiled.values():
        wrong.unlink()
    assert cli("all", cwd=root).code == 0
    assert cache.read(path=path) == FILES and cache.ref() == commit
    assert cli("check", "--deep").code == 0


def test_a_name_that_leads_nowhere(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache
) -> None:
    """A branch that leads to a commit of which the cache has nothing: who loads by id fails."""
    project(tmp_path)
    assert cli("all").code == 0
    ref = cache.root / "refs/main"
    ref.write_text("7" * 40)
    deep = cli("check", "--deep", "--json")
    assert deep.code == 4 and f"remove {ref}, then run `fetch all`" in messages(deep)
    ref.unlink()
    assert cli("all").code == 0 and cache.ref() == commit
    ref.write_text("7" * 40)
    fetched = project(tmp_path / "other")
    assert cli("all", cwd=fetched).code == 0 and cache.ref() == commit, "mended unasked, too"


def test_what_denies_a_file_that_the_commit_has(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache
) -> None:
    """The client's note that there is no such file: it would load without it, and say nothing."""
    project(tmp_path)
    assert cli("all").code == 0
    note = cache.root / ".no_exist" / commit / "config.json"
    note.parent.mkdir(parents=True)
    note.touch()
    (note.parent / "tokenizer.json").touch()  # honest: the repository has none
    deep = cli("check", "--deep", "--json")
    assert deep.code == 4 and f"remove {note}, then run `fetch all`" in messages(deep)
    assert "tokenizer.json" not in messages(deep)
    note.unlink()
    assert cli("all").code == 0 and cli("check", "--deep").code == 0


def test_a_commit_that_the_hub_never_had(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, cache: Cache
) -> None:
    """A snapshot of nobody's commit, of contents whose names are true, for who pins it."""
    project(tmp_path)
    assert cli("all").code == 0
    made_up = cache.root / "snapshots" / ("8" * 40)
    made_up.mkdir()
    (made_up / "w.safetensors").symlink_to(f"../../blobs/{sha256(WEIGHTS)}")
    found = [item["text"] for item in cli("doctor", "--json").json["results"]]
    assert any(f"remove {made_up}, then run `fetch all`" in text for text in found)


def test_a_conflict_in_the_cache_says_which_of_two_is_true(
    tmp_path: Path, cli: Cli, hub: HubServer, commit: str, mirror: FileServer, cache: Cache
) -> None:
    """`--overwrite` is no hint where the cache is right, and heals nothing where it is wrong."""
    good = project(tmp_path / "good")
    assert cli("all", cwd=good).code == 0
    lie = stated({"config.json": EVIL_CONFIG}, mirror)
    bad = project(tmp_path / "bad", f"hf:o/m@{commit}", lie)
    (tmp_path / "evil").write_bytes(EVIL_CONFIG)
    adopted = Store(Path(os.environ["FETCH_STORE"]))
    adopted.add_file(str(tmp_path / "evil"), sha256(EVIL_CONFIG))
    told = messages(cli("all", "--json", cwd=bad))
    assert sha256(EVIL_CONFIG) in told and git_blob(CONFIG) in told
    assert "left as it is" in told and "--overwrite" not in told
    assert cache.read() == FILES

    blob = cache.root / "blobs" / git_blob(CONFIG)
    blob.chmod(0o644)
    blob.unlink()
    blob.write_bytes(EVIL_CONFIG)
    fresh = project(tmp_path / "fresh")
    told = messages(cli("all", "--json", cwd=fresh))
    assert f"remove {blob}, then run `fetch all`" in told and "--overwrite" not in told
    blob.unlink()
    assert cli("all", cwd=fresh).code == 0 and cache.read() == FILES
