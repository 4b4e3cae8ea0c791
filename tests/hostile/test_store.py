"""A store that several share: what somebody says of its contents is no proof of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fetcher.fs.locks import Holder
from fetcher.fs.processes import machine
from fetcher.sources.base import FileEntry
from fetcher.store import imports
from fetcher.store.runs import Runs
from fetcher.store.store import Store
from fetcher.store.upstream_records import (
    FileStatement,
    RefStatement,
    UpstreamRecords,
    endpoints,
    needed,
)
from tests.conftest import Cli, write_project
from tests.kit import git_blob, payload, sha256
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

GOOD, EVIL = b'{"good": 1}\n', b'{"evil": 1}\n'
AsPerson = Callable[[str], Path]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo("o/m", {"config.json": GOOD, "w.bin": payload(3000)})
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of two people."""
    found = tmp_path / "shared store"
    monkeypatch.setenv("FETCH_STORE", str(found))
    return found


@pytest.fixture
def as_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Path) -> AsPerson:
    """Be somebody with a home and a clone of their own, on the one store."""

    def be(name: str) -> Path:
        home = tmp_path / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
        clone = home / "clone"
        write_project(clone, "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {m/: m}\n")
        return clone

    return be


def put_blob(store: Path, data: bytes) -> Path:
    """Lay a blob into the store as anybody may who can write there."""
    path = store / "blobs/sha256" / sha256(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o444)
    return path


def stamp(store: Path, blob: Path, git: str, named: str = "") -> None:
    """Write a line of text that says what a blob is."""
    stat = blob.stat()
    folder = store / "stamps"
    folder.mkdir(parents=True, exist_ok=True)
    line = f"{named or blob.name}\t{stat.st_size}\t{stat.st_mtime_ns}\t{stat.st_ino}\t{git}\n"
    with (folder / "99999999999999999999-ff.tsv").open("a") as stream:
        stream.write(line)


def entry(clone: Path, path: str = "config.json") -> dict[str, object]:
    lock = json.loads((clone / "fetch.lock").read_text())
    files = lock["manifests"]["p"]["m"]["files"]
    found = next(file for file in files if file["path"] == path)
    assert isinstance(found, dict)
    return found


def lie(clone: Path, digest: str, **more: object) -> None:
    """Have the lock say that this content is the one with the git id beside it."""
    path = clone / "fetch.lock"
    lock = json.loads(path.read_text())
    for file in lock["manifests"]["p"]["m"]["files"]:
        if file["path"] == "config.json":
            file["sha256"] = digest
            file["size"] = len(EVIL)
            file.pop("computed", None)
            file.update(more)
    path.write_text(json.dumps(lock, indent=2))


# Stamps


def test_a_stamp_gives_a_genuine_git_id_to_a_foreign_content(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson
) -> None:
    """One line of text in the store would put its content into every tree, and into locks."""
    stamp(store, put_blob(store, EVIL), git_blob(GOOD))
    honest = as_person("honest")
    assert cli("all", cwd=honest).code == 0
    assert (honest / "m/config.json").read_bytes() == GOOD
    assert entry(honest)["sha256"] == sha256(GOOD)
    assert cli("check", "--deep", cwd=honest).code == 0
    stamp(store, store / "blobs/sha256" / sha256(EVIL), git_blob(GOOD))
    found = cli("store", "check", "--json", cwd=honest)
    assert found.code == 4 and found.json["summary"]["false_stamps"] == 1
    assert git_blob(GOOD) in found.json["errors"][0]["message"]
    assert cli("store", "check", cwd=honest).code == 0, "it is removed"
    assert cli("all", "--offline", cwd=as_person("another")).code == 5, "nothing was locked there"


def test_a_stamp_says_that_a_changed_blob_is_sound(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson
) -> None:
    """A blob that is not what its name says would be placed without being read."""
    first = as_person("first")
    assert cli("all", cwd=first).code == 0
    blob = store / "blobs/sha256" / sha256(GOOD)
    blob.unlink()
    blob.write_bytes(EVIL)
    stamp(store, blob, git_blob(GOOD))
    second = as_person("second")
    shutil.copy(first / "fetch.lock", second / "fetch.lock")
    assert cli("all", cwd=second).code == 0
    assert (second / "m/config.json").read_bytes() == GOOD == blob.read_bytes()


def test_what_another_person_has_proven_is_found_and_read(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson
) -> None:
    """Honest use: the second one downloads nothing, though their stamps are no proof for them."""
    first = as_person("first")
    assert cli("all", cwd=first).code == 0
    second = as_person("second")
    found = cli("all", "--json", cwd=second).json
    assert found["summary"]["downloaded_files"] == 0 and found["summary"]["reused_files"] == 2
    assert (second / "m/config.json").read_bytes() == GOOD


def test_a_lock_says_that_a_foreign_content_was_stated(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson
) -> None:
    """Only the manifest may state a digest that the source does not have at that path."""
    clone = as_person("honest")
    assert cli("lock", cwd=clone).code == 0
    lie(clone, sha256(EVIL), computed=False)
    put_blob(store, EVIL)
    assert cli("all", cwd=clone).code == 4 and not (clone / "m/config.json").exists()


def test_a_lock_gives_a_genuine_git_id_to_a_foreign_content(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson, tmp_path: Path
) -> None:
    """What an older version learned from a false stamp would stay in the lock for ever."""
    clone = as_person("honest")
    assert cli("lock", cwd=clone).code == 0
    lie(clone, sha256(EVIL))
    put_blob(store, EVIL)
    found = cli("all", cwd=clone)
    assert found.code == 4 and not (clone / "m/config.json").exists(), found
    (clone / "m").mkdir(exist_ok=True)
    (clone / "m/config.json").write_bytes(EVIL)
    deep = cli("check", "--deep", cwd=clone)
    assert deep.code == 4 and git_blob(GOOD) in deep.err and "lock --update m" in deep.err
    out = cli("mirror", "export", tmp_path / "out", cwd=clone)
    assert out.code == 4 and "contradicts itself" in out.err, out
    (tmp_path / "evil").write_bytes(EVIL)
    adopted = cli("adopt", tmp_path / "evil", cwd=clone)
    assert adopted.code == 4 and git_blob(GOOD) in adopted.err
    found = cli("store", "check", "--json", cwd=clone)
    assert found.code == 4 and found.json["summary"]["false_entries"] == 1
    # What the hints say, helps.
    (clone / "m/config.json").unlink()
    assert cli("lock", "--update", "m", cwd=clone).code == 0
    assert entry(clone).get("sha256") is None
    assert cli("all", cwd=clone).code == 0
    assert (clone / "m/config.json").read_bytes() == GOOD
    assert cli("check", "--deep", cwd=clone).code == 0
    assert cli("store", "check", cwd=clone).code == 0


def test_what_an_older_version_placed_by_a_false_stamp_is_found_and_healed(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson
) -> None:
    """Lock, tree and state agree about a content that the source never had."""
    clone = as_person("honest")
    assert cli("all", cwd=clone).code == 0
    lie(clone, sha256(EVIL))
    put_blob(store, EVIL)
    (clone / "m/config.json").unlink()
    (clone / "m/config.json").write_bytes(EVIL)
    assert cli("check", "--deep", cwd=clone).code == 4
    assert cli("lock", "--update", "m", cwd=clone).code == 0
    assert cli("all", "--overwrite", cwd=clone).code == 0
    assert (clone / "m/config.json").read_bytes() == GOOD
    assert cli("check", "--deep", cwd=clone).code == 0


def test_learned_digests_stay_where_they_are_proven(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson
) -> None:
    """Honest use: an update that changes another file keeps what was computed here."""
    clone = as_person("honest")
    assert cli("all", cwd=clone).code == 0
    hub.add_commit("o/m", {"new.json": b"{}"})
    assert cli("lock", "--update", "m", cwd=clone).code == 0
    assert entry(clone)["sha256"] == sha256(GOOD)


def test_a_clone_brings_a_store_with_stamps(
    cli: Cli, hub: HubServer, as_person: AsPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project's own store would say of its contents whatever the project likes."""
    clone = as_person("honest")
    monkeypatch.delenv("FETCH_STORE")
    (clone / "fetch.yaml").write_text("store: theirs\n")
    stamp(clone / "theirs", put_blob(clone / "theirs", EVIL), git_blob(GOOD))
    (clone / "theirs/blobs/sha256" / sha256(payload(3000))).write_bytes(b"x" * 3000)
    stamp(clone / "theirs", clone / "theirs/blobs/sha256" / sha256(payload(3000)), "")
    assert cli("all", cwd=clone).code == 0
    assert (clone / "m/config.json").read_bytes() == GOOD
    assert (clone / "m/w.bin").read_bytes() == payload(3000)


def test_stamps_in_a_cache_that_others_may_write_are_no_proof(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson
) -> None:
    """The folder of the person's own stamps, made by somebody before them."""
    clone = as_person("honest")
    evil = put_blob(store, EVIL)
    name = hashlib.sha256(os.fsencode(os.path.realpath(store))).hexdigest()[:24]
    own = Path.home() / ".cache/fetch/stamps" / name
    own.parent.mkdir(parents=True)
    stamp(own.parent, evil, git_blob(GOOD))
    (own.parent / "stamps").rename(own)
    own.chmod(0o777)
    assert cli("all", cwd=clone).code == 0
    assert (clone / "m/config.json").read_bytes() == GOOD


# Links


def test_a_symlink_is_adopted_as_a_hard_link(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson, tmp_path: Path
) -> None:
    """The link itself would be the blob, and whatever it leads to later its content."""
    clone = as_person("honest")
    assert cli("lock", cwd=clone).code == 0
    (tmp_path / "real").write_bytes(payload(3000))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert cli("adopt", tmp_path / "link", "--link", "hardlink", cwd=clone).code == 0
    blob = store / "blobs/sha256" / sha256(payload(3000))
    assert not blob.is_symlink() and blob.samefile(tmp_path / "real")
    assert Store(store).has(blob.name)
    assert cli("all", cwd=clone).code == 0


@pytest.mark.parametrize("how", ["group", "everybody", "owner"])
def test_a_file_that_others_may_write_is_adopted_by_copy(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson, tmp_path: Path, how: str
) -> None:
    """Whoever may write the file would change the blob, and every tree that shares it."""
    clone = as_person("honest")
    assert cli("lock", cwd=clone).code == 0
    path = tmp_path / "theirs"
    path.write_bytes(payload(3000))
    if how == "owner":
        if os.name != "posix" or os.geteuid():
            pytest.skip("needs root")
        os.chown(path, 12345, 12345)
    else:
        path.chmod(0o664 if how == "group" else 0o646)
    assert cli("adopt", path, "--link", "hardlink", cwd=clone).code == 0
    blob = store / "blobs/sha256" / sha256(payload(3000))
    assert blob.read_bytes() == payload(3000) and not blob.samefile(path)


@pytest.mark.parametrize("said", ["nobody", "project", "person"])
def test_a_file_of_the_hub_cache_becomes_one_with_every_tree(
    cli: Cli,
    hub: HubServer,
    store: Path,
    as_person: AsPerson,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
) -> None:
    """Another program's file would be made read-only, and change with a tree; only if asked."""
    clone = as_person("honest")
    assert cli("lock", cwd=clone).code == 0
    cache = Path.home() / "huggingface/hub/models--o--m/blobs"
    cache.mkdir(parents=True)
    held = cache / sha256(payload(3000))
    held.write_bytes(payload(3000))
    held.chmod(0o644)
    if said == "project":
        (clone / "fetch.yaml").write_text("link: hardlink\n")
    elif said == "person":
        monkeypatch.setenv("FETCH_LINK", "hardlink")
    found = cli("all", "--json", cwd=clone)
    assert found.code == 0
    sources = {f["path"]: f["source"] for f in found.json["artifacts"][0]["files"]}
    assert sources["w.bin"] == "hf-cache"
    assert held.samefile(clone / "m/w.bin") is (said == "person")
    assert bool(held.stat().st_mode & 0o200) is (said != "person")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
def test_a_blob_of_another_person_is_linked_into_a_tree(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson
) -> None:
    """Its owner may write it whatever its mode, set its times back, and so change the tree."""
    clone = as_person("honest")
    assert cli("lock", cwd=clone).code == 0
    blob = put_blob(store, payload(3000))
    os.chown(blob, 12345, 12345)
    assert cli("all", cwd=clone).code == 0
    tree = clone / "m/w.bin"
    assert tree.read_bytes() == payload(3000) and not tree.samefile(blob)
    stat = blob.stat()
    with blob.open("r+b") as stream:
        stream.write(b"evil")
    os.utime(blob, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not Store(store).has(blob.name), "ctime tells"
    assert tree.read_bytes() == payload(3000)


# Partial downloads


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


def url_project(root: Path, url: str) -> None:
    write_project(root, "p", f"artifacts:\n  m: {{source: {url!r}}}\n", "tree: {m/: m}\n")


def left_part(store: Path, server: FileServer, clone: Path, cli: Cli) -> Path:
    """A download of the person's own, of which the process was killed."""
    assert cli("lock", cwd=clone).code == 0
    server.faults.add("w.bin", "slow", rate=12_000_000, times=1)
    before = len(server.requests)
    child = subprocess.Popen([sys.executable, "-m", "fetcher", "all"], cwd=clone)
    deadline = time.monotonic() + 60
    while not any(request.bytes_sent > 9_000_000 for request in server.requests[before:]):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.wait()
    server.faults.clear()
    (part,) = (store / "partial").glob("*.part")
    assert part.stat().st_size > 4_000_000
    return part


@pytest.mark.parametrize("how", ["another's", "with an old note", "changed"])
def test_a_partial_file_of_foreign_bytes_waits_for_a_download_without_a_digest(
    cli: Cli, files: FileServer, store: Path, as_person: AsPerson, how: str
) -> None:
    """Its beginning would become the beginning of the next person's first download."""
    data = payload(16_000_000, 3)
    url = files.add("w.bin", data, etag='"v1"')
    attacker = as_person("attacker")
    url_project(attacker, url)
    part = left_part(store, files, attacker, cli)
    if how == "changed":
        honest = attacker  # the person's own, into which somebody wrote
    else:
        honest = as_person("honest")
        url_project(honest, url)
    with part.open("r+b") as stream:
        stream.write(b"evil")
    if how == "with an old note":
        Path(f"{part}.etag").write_text('"v1"')
    assert cli("all", cwd=honest).code == 0
    assert (honest / "m/w.bin").read_bytes() == data
    assert not list((store / "partial").glob("*.part"))


def test_a_persons_own_partial_file_is_gone_on_with(
    cli: Cli, files: FileServer, store: Path, as_person: AsPerson
) -> None:
    """Honest use: what this person's runs have noted proves the beginning."""
    data = payload(16_000_000, 3)
    clone = as_person("honest")
    url_project(clone, files.add("w.bin", data, etag='"v1"'))
    left_part(store, files, clone, cli)
    found = cli("all", "--json", cwd=clone)
    assert found.code == 0 and found.json["summary"]["downloaded_bytes"] < 13_000_000
    assert (clone / "m/w.bin").read_bytes() == data


def test_many_wrong_partial_files_of_one_digest(
    cli: Cli, files: FileServer, store: Path, as_person: AsPerson
) -> None:
    """Each would cost a whole download, one after the other."""
    data = payload(8_000_000, 3)
    url = files.add("w.bin", data)
    clone = as_person("honest")
    known = f"{{size: {len(data)}, sha256: {sha256(data)}}}"
    write_project(
        clone,
        "p",
        f"artifacts:\n  m: {{source: {url!r}, files: {{w.bin: {known}}}}}\n",
        "tree: {m/: m}\n",
    )
    label = Store.label_of(f"sha256:{sha256(data)}")
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    (store / "partial").mkdir(parents=True)
    for n in range(20):
        name = f"{label}.{machine()}.{child.pid}.0a-{n:x}b.part"
        (store / "partial" / name).write_bytes(b"evil" * 1_000_000)
    assert cli("all", cwd=clone).code == 0
    assert (clone / "m/w.bin").read_bytes() == data
    assert len(files.requests) <= 2


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("how", ["owner", "group", "a second name"])
def test_a_partial_file_that_another_may_write_becomes_a_blob(
    store: Path, how: str, tmp_path: Path
) -> None:
    """Whoever holds it open would change the blob after it is proven."""
    shared = Store(store)
    shared.prepare()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    path = store / "partial" / f"{Store.label_of('k')}.{machine()}.{child.pid}.0a-1b.part"
    path.write_bytes(b"half")
    if how == "owner":
        os.chown(path, 12345, 12345)
    elif how == "group":
        path.chmod(0o664)
    else:
        os.link(path, tmp_path / "another name")
    with path.open("r+b") as held:
        part = shared.claim_part("k")
        assert part.size == 4
        held.write(b"evil")
        held.flush()
    assert Path(part.path).read_bytes() == b"half"
    assert not os.stat(part.path).st_mode & 0o022


# gc


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Have it be so many days later: the change times of blobs cannot be set."""
    now = time.time

    def move(days: float) -> None:
        monkeypatch.setattr(time, "time", lambda: now() + days * 86_400)

    return move


Later = Callable[[float], None]


def blobs(store: Path) -> set[str]:
    return {path.name for path in (store / "blobs/sha256").iterdir()}


def own_project(folder: Path, data: bytes) -> Path:
    """A project with one file of its own."""
    folder.mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "data/w.bin").write_bytes(data)
    write_project(folder, "p", "artifacts:\n  a: {source: local:data}\n", "tree: {m/: a}\n")
    return folder


def test_the_same_path_in_two_containers(
    cli: Cli, store: Path, tmp_path: Path, later: Later
) -> None:
    """gc in one of them would take what the other needs: its links would dangle."""
    here = tmp_path / "work"
    own_project(here, b"one")
    assert cli("all", "--link", "symlink", cwd=here).code == 0
    here.rename(tmp_path / "elsewhere")  # what the other container has there
    own_project(here, b"two")
    assert cli("all", cwd=here).code == 0
    later(2)
    found = cli("gc", cwd=here)
    assert found.code == 0 and blobs(store) == {sha256(b"one"), sha256(b"two")}
    assert f"{here}: not here, last seen" in found.out and "needs 1 blob, 3 B" in found.out
    here.rename(tmp_path / "second")
    (tmp_path / "elsewhere").rename(here)
    assert (here / "m/w.bin").read_bytes() == b"one"
    assert cli("gc", cwd=here).code == 0 and len(blobs(store)) == 2


def test_a_project_that_is_not_mounted_here(
    cli: Cli, store: Path, tmp_path: Path, later: Later
) -> None:
    """ "I cannot see it" would be read as "nobody needs it"; it counts for a stated time."""
    away = own_project(tmp_path / "disk/work", b"one")
    assert cli("all", "--link", "symlink", cwd=away).code == 0
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    here = tmp_path / "here"
    here.mkdir()
    later(80)
    dry = cli("gc", "--dry-run", "--json", cwd=here).json
    (project,) = [one for one in dry["results"] if one["project"] == str(away)]
    assert (project["state"], project["blobs"], project["bytes"]) == ("absent", 1, 3)
    assert cli("gc", cwd=here).code == 0 and blobs(store) == {sha256(b"one")}
    listed = cli("store", "ls", "--json", cwd=here).json["results"]
    assert listed[0]["needed_by"] == [str(away)]
    assert cli("gc", "--forget", "nobody", cwd=here).code == 2
    later(100)
    assert cli("gc", "--absent-days", "365", cwd=here).code == 0 and blobs(store)
    assert cli("gc", cwd=here).code == 0 and not blobs(store)


@pytest.mark.parametrize("by", ["path", "id"])
def test_a_project_that_is_gone_is_let_go_by_name(
    cli: Cli, store: Path, tmp_path: Path, later: Later, by: str
) -> None:
    """Honest use: what gc prints frees the space of a clone that was deleted."""
    for name in ("a", "b"):
        assert cli("all", cwd=own_project(tmp_path / name, name.encode())).code == 0
    later(2)
    shutil.rmtree(tmp_path / "a")
    said = cli("gc", cwd=tmp_path / "b").out
    command = said.partition("fetch gc --forget ")[2].split()[0]
    name = str(tmp_path / "a") if by == "path" else command
    assert cli("gc", "--forget", name, "--dry-run", cwd=tmp_path / "b").code == 0
    assert len(blobs(store)) == 2
    assert cli("gc", "--forget", name, cwd=tmp_path / "b").code == 0
    assert blobs(store) == {sha256(b"b")}


def test_a_new_clone_stands_where_an_old_one_was(
    cli: Cli, store: Path, tmp_path: Path, later: Later
) -> None:
    """Letting go of the old ones by their path would take what the new one needs."""
    for content in (b"one", b"two", b"three"):
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        assert cli("all", "--link", "symlink", cwd=own_project(tmp_path / "a", content)).code == 0
    here = own_project(tmp_path / "b", b"b")
    assert cli("all", cwd=here).code == 0
    assert "nobody needs, but came within the last hour" not in cli("gc", cwd=here).out
    later(2)
    said = cli("gc", cwd=here).out
    assert f"{tmp_path / 'a'}: 2 projects that are not here" in said, "one line for both"
    command = said.partition("fetch gc --forget ")[2].split()[0]
    assert cli("gc", "--forget", command, cwd=here).code == 0
    assert blobs(store) == {sha256(b"three"), sha256(b"b")}
    assert (tmp_path / "a/m/w.bin").read_bytes() == b"three"
    refused = cli("gc", "--forget", tmp_path / "a", cwd=here)
    assert refused.code == 2 and "it is here" in refused.err


def test_what_nobody_needs_and_is_new_is_said_to_stay(
    cli: Cli, store: Path, tmp_path: Path, later: Later
) -> None:
    """Honest use: who lets go of a clone at once would wonder why no space comes free."""
    for name in ("a", "b"):
        assert cli("all", cwd=own_project(tmp_path / name, name.encode())).code == 0
    shutil.rmtree(tmp_path / "a")
    said = cli("gc", "--forget", tmp_path / "a", cwd=tmp_path / "b")
    assert said.code == 0 and "1 blob nobody needs, but came within the last hour" in said.out
    assert len(blobs(store)) == 2
    later(1)
    assert cli("gc", cwd=tmp_path / "b").code == 0 and blobs(store) == {sha256(b"b")}


@pytest.mark.parametrize("text", ["{", "<<<<<<< ours\n{}\n=======\n", "[]", '{"schema": 9}'])
def test_one_broken_lock_stops_nobodys_gc(
    cli: Cli, store: Path, tmp_path: Path, later: Later, text: str
) -> None:
    """A half-merged lock would keep everybody's disk full; what it needed last still counts."""
    for name in ("a", "b"):
        assert cli("all", cwd=own_project(tmp_path / name, name.encode())).code == 0
    later(2)
    (tmp_path / "a/fetch.lock").write_text(text)
    put_blob(store, b"nobody's")
    stray = store / "blobs/sha256" / sha256(b"nobody's")
    later(4)
    found = cli("gc", cwd=tmp_path / "b")
    assert found.code == 0 and not stray.exists(), found
    assert blobs(store) == {sha256(b"a"), sha256(b"b")}
    assert "its fetch.lock cannot be read" in found.out


def test_an_older_version_wrote_only_a_path(
    cli: Cli, store: Path, tmp_path: Path, later: Later
) -> None:
    """What such a project needs that is not here nobody knows: nothing goes before it is named."""
    assert cli("all", cwd=own_project(tmp_path / "b", b"b")).code == 0
    put_blob(store, b"theirs")
    (store / "projects/0123.json").write_text(json.dumps({"root": str(tmp_path / "gone")}))
    later(2)
    found = cli("gc", cwd=tmp_path / "b")
    assert found.code == 7 and len(blobs(store)) == 2 and "nothing is removed" in found.err
    assert cli("gc", "--forget", tmp_path / "gone", cwd=tmp_path / "b").code == 0
    assert blobs(store) == {sha256(b"b")}


def test_a_copy_of_a_project_counts_by_itself(
    cli: Cli, store: Path, tmp_path: Path, later: Later
) -> None:
    """`cp -r` takes the id along: the copy's needs would stand for the original's."""
    one = own_project(tmp_path / "one", b"one")
    assert cli("all", "--link", "symlink", cwd=one).code == 0
    shutil.copytree(one, tmp_path / "two", symlinks=True)
    (tmp_path / "two/data/w.bin").write_bytes(b"two")
    assert cli("all", "--update", "--overwrite", cwd=tmp_path / "two").code == 0
    one.rename(tmp_path / "away")
    later(2)
    assert cli("gc", cwd=tmp_path / "two").code == 0
    assert blobs(store) == {sha256(b"one"), sha256(b"two")}


def test_a_project_in_daily_use_with_nothing_to_do_stays_known(
    cli: Cli, store: Path, tmp_path: Path, later: Later
) -> None:
    """Honest use: runs that find all done are seen, too, by those who cannot see the project."""
    here = own_project(tmp_path / "one", b"one")
    assert cli("all", cwd=here).code == 0
    (record,) = (store / "projects").glob("*.json")
    os.utime(record, (1, 1))
    assert cli("all", cwd=here).code == 0
    assert time.time() - record.stat().st_mtime < 60
    record.unlink()  # the store was made anew
    assert cli("all", cwd=here).code == 0 and record.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"root": 1}', '{"root": "/x", "id": {}}', '{"root": "\\u0000"}', "\xff" * 9]
)
def test_a_record_that_is_none(
    cli: Cli, store: Path, tmp_path: Path, later: Later, text: str
) -> None:
    """Anybody who shares the store may write one: gc neither breaks nor removes more for it."""
    here = own_project(tmp_path / "one", b"one")
    assert cli("all", cwd=here).code == 0
    (store / "projects/0123.json").write_bytes(text.encode("latin-1"))
    (store / "projects/0123.needs").write_text("../../etc\n")
    later(2)
    assert cli("gc", cwd=here).code == 0 and blobs(store) == {sha256(b"one")}


# Runs


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("whose", ["ours", "another's", "ours, but all may write"])
def test_the_run_of_another_person_says_what_is_there(store: Path, whose: str) -> None:
    """Who waits for a content would take any blob in its place, unread."""
    (store / "runs").mkdir(parents=True)
    key, digest = f"git:{git_blob(GOOD)}", sha256(EVIL)
    with Runs(store, print) as runs:
        path = store / f"runs/{machine()}.{os.getpid()}.{'0' * 12}.run"
        line = "\t".join([digest, git_blob(GOOD), "1", "2", "3"])
        path.write_text(f"{Holder.here().dump()}\n= {key}\t{line}\n")
        if whose == "another's":
            os.chown(path, 12345, 12345)
        elif whose != "ours":
            path.chmod(0o666)
        runs.look()
        found = runs.published(key)
        assert (found is not None and found.sha256 == digest) is (whose == "ours")
    # Of one's own run too, the git id is computed.
    put_blob(store, EVIL)
    assert Store(store).by_git_blob(git_blob(GOOD)) is None


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("owner", [0, 12345])
def test_a_proven_file_of_another_persons_dead_run_becomes_a_blob(store: Path, owner: int) -> None:
    """It is right when it is read; whoever owns it changes it afterwards."""
    shared = Store(store)
    shared.prepare()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    left = store / f"partial/{sha256(EVIL)}.{machine()}.{child.pid}-0a1b0a1b0a1b-7.tmp"
    left.write_bytes(EVIL)
    os.chown(left, owner, owner)
    assert shared.recover() == (1 if owner == 0 else 0)
    assert shared.has(sha256(EVIL)) is (owner == 0)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("how", ["owner", "mode"])
def test_what_another_person_wrote_in_a_hubs_name_says_nothing(store: Path, how: str) -> None:
    """Statements and listings in the store that somebody else put there, or may change."""
    records = UpstreamRecords(store, "https://hub.example")
    commit = "a" * 40
    file = FileEntry("x", 3, sha256(EVIL), None, True)
    records.add("model", "o/m", [RefStatement("main", commit, False), FileStatement(commit, file)])
    records.add_listing("model", "o/m", commit, [file])
    assert records.read("model", "o/m").at(commit) and endpoints(store) == [records.url]
    for path in records.folder("model", "o/m").iterdir():
        if how == "owner":
            os.chown(path, 12345, 12345)
        else:
            path.chmod(0o666)
    found = records.read("model", "o/m")
    assert not found.refs and not found.commits() and not endpoints(store)
    kept = [file.sha256 for file in needed(Store(store))]
    assert kept == [sha256(EVIL)], "gc keeps what others' servers need"
    records.add("model", "o/m", [RefStatement("main", "b" * 40, False)])
    if how == "owner":  # theirs has the name that earlier versions gave it, ours its own
        folder = records.folder("model", "o/m")
        (folder / f"said.{os.geteuid()}.jsonl").rename(folder / "said.jsonl")
    records.add("model", "o/m", [RefStatement("v1", "c" * 40, False)])
    assert "v1" in records.read("model", "o/m").refs or how == "mode"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives files away")
def test_two_people_hear_the_same_listing(
    store: Path, hub: HubServer, as_person: AsPerson, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Honest use: a colleague's run does not take away what the Hub has said to mine."""
    assert cli("all", "p", "--quiet", cwd=as_person("ana")).code == 0
    (mine,) = store.glob("upstream/*/*/*.pages")
    before = mine.read_bytes()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert cli("all", "p", "--quiet", cwd=as_person("ben")).code == 0
    monkeypatch.undo()
    assert mine.read_bytes() == before and len(list(store.glob("upstream/*/*/*.pages"))) == 2


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives files away")
def test_an_import_that_somebody_else_wrote_down(store: Path) -> None:
    """Whoever may write into the store says that its owner took in a bundle, signed, at last."""
    record = imports.ImportRecord("demo", "1" * 64, "https://evil.example", key="2" * 64)
    imports.keep(Store(store), record, {"fetch.lock": b"{}"}, again=False)
    assert [found.name for found in imports.records(store)] == ["demo"]
    os.chown(store / "imported/demo/fetch.lock", 12345, 12345)
    assert imports.records(store) == []
    assert imports.records(store, anybodys=True), "gc may let go of it"


def test_a_lock_that_lost_its_git_ids(
    cli: Cli, hub: HubServer, store: Path, as_person: AsPerson
) -> None:
    """An older version learned a false sha256, or a merge drops what contradicts it: lock, tree
    and state agree, and only what the Hub has said does not."""
    clone = as_person("honest")
    assert cli("all", cwd=clone).code == 0
    assert not [x for x in cli("doctor", "--json", cwd=clone).json["results"] if _of_lock(x)]
    assert cli("check", "--deep", cwd=clone).code == 0
    (clone / "evil").write_bytes(EVIL)
    Store(store).add_file(str(clone / "evil"), sha256(EVIL))
    lock = clone / "fetch.lock"
    made = json.loads(lock.read_text())
    made["manifests"]["p"]["m"]["files"][0] = {
        "path": "config.json",
        "size": len(EVIL),
        "sha256": sha256(EVIL),
    }
    lock.write_text(json.dumps(made))
    assert cli("all", cwd=clone).code == 0
    assert (clone / "m/config.json").read_bytes() == EVIL
    deep = cli("check", "--deep", cwd=clone)
    assert deep.code == 4 and hub.url in deep.err and "fetch lock --update m" in deep.err
    (note,) = [x for x in cli("doctor", "--json", cwd=clone).json["results"] if _of_lock(x)]
    assert "fetch lock --update m, then fetch all" in note["text"]
    assert cli("lock", "--update", "m", cwd=clone).code == 0
    assert cli("all", cwd=clone).code == 0 and cli("check", "--deep", cwd=clone).code == 0
    assert (clone / "m/config.json").read_bytes() == GOOD


def _of_lock(diagnostic: dict[str, str]) -> bool:
    return diagnostic["subject"] == "fetch.lock"
