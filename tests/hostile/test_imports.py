"""Bundles, tags and keys of several sites in one store; honest use beside."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fetcher.bundle.blob_import import ImportResult
from fetcher.bundle.import_claims import ImportChoice, NewClaims, accept
from fetcher.config.settings import Settings
from fetcher.mirror.oci_documents import Contents
from fetcher.mirror.oci_registry import Registry, parse_reference, signed_blobs
from fetcher.mirror.remote_folder import RemoteFolder
from fetcher.network.session import Network
from fetcher.sources.base import Candidate
from fetcher.store.store import Store
from tests.bundle.conftest import keys  # noqa: F401
from tests.hostile.test_claims import EVIL, EXTRA, FILES, Shared, genuine, shared  # noqa: F401
from tests.kit import git_blob, sha256
from tests.server.kit import attempt, serving
from tests.servers.registry import PROGRAM, registry

Keys = Callable[[str], Path]
COMMIT, LATER = "c" * 40, "f" * 40
NEWER = {**FILES, "config.json": b'{"a": 2}\n'}
needs_registry = pytest.mark.skipif(PROGRAM is None, reason="docker-registry is not installed")


class Air:
    """A site without internet, and those who send it bundles."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.work = home / "work"
        self.work.mkdir(parents=True)

    def bundle(
        self, name: str, files: dict[str, bytes], commit: str = COMMIT, manifest: str = "p"
    ) -> Path:
        """What a sender of this name makes of a lock with these files of hf:o/m."""
        sender = Shared(self.home / f"from-{name}", None, commit)  # type: ignore[arg-type]
        root = sender.claiming(manifest, files)
        out = self.home / f"{name}.tar"
        done = attempt(sender.home, "mirror", "export", out, cwd=root)
        assert done.returncode == 0, done.stderr
        return out

    def run(self, *arguments: str | Path, code: int = 0, **more: str) -> str:
        """Everything that a command at the site says."""
        done = attempt(self.home, *arguments, cwd=self.work, **more)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def take(self, *arguments: str | Path, code: int = 0, **more: str) -> str:
        return self.run("mirror", "import", *arguments, code=code, **more)

    def served(self, revision: str = "main", path: str = "config.json") -> tuple[int, bytes]:
        with serving(self.home, "--store", self.home / "store", cwd=self.work) as mirror:
            answer = mirror.ask(f"/o/m/resolve/{revision}/{path}")
            return answer.status, answer.body


@pytest.fixture
def air(tmp_path: Path) -> Air:
    return Air(tmp_path / "air")


def test_an_imported_bundle_is_shown_as_a_claim(air: Air) -> None:
    """The honest case: imported by name, served by its sources' names, said to be a claim."""
    said = air.take(air.bundle("b", FILES))
    assert "claims to hold hf:o/m@main" in said
    with serving(air.home, "--store", air.home / "store", cwd=air.work) as mirror:
        for path, data in FILES.items():
            answer = mirror.ask(f"/o/m/resolve/main/{path}")
            assert answer.body == data and answer.headers["x-fetch-word"] == "claim"
        assert mirror.ask("/projects/fetch.lock").status == 200
    again = air.take(air.home / "b.tar")
    assert "replaces" not in again and "is not what it was" not in again


def test_two_sites_that_contradict_each_other_are_refused(air: Air) -> None:
    """A second site's bundle has other bytes for a path of the same commit."""
    true, false = air.bundle("true", FILES), air.bundle("false", EVIL, manifest="q")
    for bundles in ((true, false), (false, true)):
        said = air.take(*bundles, code=4)
        assert "true.tar" in said and "false.tar" in said and "two contents" in said
    assert "two contents" in air.run("mirror", "check", *bundles, code=4)
    assert not (air.home / "store/imported").exists()
    air.take(true)
    said = air.take(false, code=4)
    assert "false.tar" in said and "true.tar" in said and "--replace" in said
    assert air.served() == (200, FILES["config.json"])
    blobs = {path.name for path in (air.home / "store/blobs/sha256").iterdir()}
    assert sha256(EVIL["config.json"]) not in blobs
    air.take(false, "--replace")  # the hint, for those who trust the second one more
    assert air.served() == (200, EVIL["config.json"])
    assert "true.tar" in air.take(true, code=4)


def test_a_lock_that_says_more_than_the_images_is_no_way_around(air: Air) -> None:
    """A bundle's lock, which is what is kept of it, claims what its images do not."""
    air.take(air.bundle("true", FILES))
    store = Store(air.home / "store")
    result: dict[str, list[str]] = {}
    for name, data in (("lie", EVIL), ("fair", FILES)):
        files = [{"path": p, "size": len(d), "sha256": sha256(d)} for p, d in data.items()]
        entry = {"source": "hf:o/m@main", "revision": COMMIT, "files": files}
        lock = {"schema": "fetch.lock/1", "manifests": {"q": {"m": entry}}}
        contents = Contents(name.encode(), documents={"fetch.lock": json.dumps(lock).encode()})
        found = ImportResult()
        accept([NewClaims.of(contents, name, None, store)], store, ImportChoice(), found)
        result[name] = [problem.message for problem in found.problems]
    assert result["fair"] == []
    assert "true.tar" in result["lie"][0] and "two contents for config.json" in result["lie"][0]


def test_a_project_that_contradicts_a_bundle_is_named(air: Air) -> None:
    """A project of the site claims other bytes for a commit that a bundle brings."""
    site = Shared(air.home, None, COMMIT)  # type: ignore[arg-type]
    root = site.claiming("thief", EVIL)
    said = air.take(air.bundle("true", FILES))
    assert str(root) in said and "true.tar" in said and "two contents for config.json" in said
    assert air.served() == (200, FILES["config.json"])
    assert str(root) in air.run("store", "check", code=4)
    # Beside it: a lock that knows no more than git ids yet.
    entry = {"path": "config.json", "git_blob": git_blob(FILES["config.json"]), "size": 9}
    lock = json.loads((root / "fetch.lock").read_text())
    lock["manifests"]["thief"]["m"]["files"] = [entry]
    (root / "fetch.lock").write_text(json.dumps(lock))
    assert "two contents" not in air.take(air.home / "true.tar")


def test_an_update_is_named_and_a_rollback_refused(air: Air) -> None:
    """An older bundle, sound and complete, is replayed over the newer one."""
    old, new = air.bundle("old", FILES), air.bundle("new", NEWER, LATER)
    air.take(old)
    assert "p/m:" in (said := air.take(new)) and "replaces what" in said and "old.tar" in said
    assert air.served() == (200, NEWER["config.json"])
    assert air.served(COMMIT) == (200, FILES["config.json"]), "by commit, as before"
    copied = air.home / "another-name.tar"
    shutil.copy(old, copied)
    for bundle in (old, copied):
        said = air.take(bundle, code=4)
        assert "is older than" in said and "new.tar" in said and "--replace" in said
    for path in (air.home / "store/imported").rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))  # no file's time counts
    assert air.served() == (200, NEWER["config.json"])
    assert "is older" not in air.take(new), "the latest may be taken again"
    air.take(old, "--replace")
    assert air.served() == (200, FILES["config.json"])


def test_who_signed_first_is_who_signs(air: Air, keys: Keys) -> None:  # noqa: F811
    """Somebody without the key sends an update of what a signed bundle brought."""
    site, thief = keys("site"), keys("thief")
    first = air.bundle("first", FILES)
    air.run("mirror", "sign", first, "--key", site)
    air.take(first, "--verify-key", site.with_suffix(".pub"))
    update = air.bundle("update", NEWER, LATER)
    assert "is not signed with its key" in air.take(update, code=4)
    air.run("mirror", "sign", update, "--key", thief)
    said = air.take(update, "--verify-key", thief.with_suffix(".pub"), code=4)
    assert "first.tar" in said and "update.tar" in said
    air.run("mirror", "sign", update, "--key", site)
    air.take(update, "--verify-key", site.with_suffix(".pub"))
    assert air.served() == (200, NEWER["config.json"])


def test_a_projects_key_is_not_put_before_the_persons(air: Air, keys: Keys) -> None:  # noqa: F811
    """A clone's fetch.yaml and .env name the key of whoever made the bundle that it wants."""
    site, thief = keys("site"), keys("thief")
    bundle = air.bundle("b", FILES)
    air.run("mirror", "sign", bundle, "--key", thief)
    shutil.copy(thief.with_suffix(".pub"), air.work / "thief.pub")
    (air.work / "fetch.yaml").write_text("verify_key: thief.pub\n")
    (air.work / ".env").write_text("FETCH_VERIFY_KEY=thief.pub\n")
    own = air.home / "config.yaml"
    own.write_text(f"verify_key: {site.with_suffix('.pub')}\n")
    for command in (("import",), ("check",)):
        said = air.run("mirror", *command, bundle, code=4, FETCH_CONFIG=str(own))
        assert "made by another key" in said
    more = {"FETCH_VERIFY_KEY": str(site.with_suffix(".pub"))}
    assert "made by another key" in air.take(bundle, code=4, **more)
    # By itself a project's key narrows: what is not signed with it is refused.
    air.take(bundle)
    other = air.bundle("other", NEWER, LATER, "q")
    assert "signature" in air.take(other, code=4)


def test_a_source_that_was_heard_outweighs_a_bundle(shared: Shared) -> None:  # noqa: F811
    """A bundle claims a file that the source did not list at that commit."""
    shared.honest()
    sender = Shared(shared.home / "sender", shared.hub, shared.commit)
    root = sender.claiming("q", {**FILES, "modeling_x.py": EXTRA})
    out = shared.home / "b.tar"
    assert attempt(sender.home, "mirror", "export", out, cwd=root).returncode == 0
    work = shared.home / "work"
    work.mkdir()
    more = {"HF_ENDPOINT": shared.hub.url}
    done = attempt(shared.home, "mirror", "import", out, cwd=work, **more)
    assert done.returncode == 4 and "modeling_x.py" in done.stderr and shared.hub.url in done.stderr
    with shared.whole() as mirror:
        genuine(mirror, shared.commit, FILES)
    # Beside it: one that keeps to what was listed.
    root = sender.claiming("r", FILES)
    assert attempt(sender.home, "mirror", "export", out, "--overwrite", cwd=root).returncode == 0
    done = attempt(shared.home, "mirror", "import", out, cwd=work, **more)
    assert done.returncode == 0, done.stderr


def test_bundles_in_place_that_contradict_each_other(air: Air) -> None:
    """Two bundles are served as they lie; one has other bytes and one file more."""
    true = air.bundle("true", FILES)
    false = air.bundle(
        "false", {**FILES, "config.json": EVIL["config.json"], "x.py": EXTRA}, manifest="q"
    )
    for bundles in ((true, false), (false, true)):
        with serving(air.home, *bundles, cwd=air.work) as mirror:
            answer = mirror.ask(f"/o/m/resolve/{COMMIT}/config.json")
            said = answer.headers["x-error-message"]
            assert answer.status == 409 and str(true) in said and str(false) in said
            assert mirror.ask(f"/o/m/resolve/{COMMIT}/x.py").status == 409
            whole = mirror.ask(f"/o/m/resolve/{COMMIT}/model.safetensors")
            assert whole.body == FILES["model.safetensors"], "what both claim alike"
            assert str(true) in mirror.greeting and str(false) in mirror.greeting
    with serving(air.home, true, cwd=air.work) as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]


def test_a_delta_takes_the_place_of_its_base(air: Air) -> None:
    """The honest case: a base and its delta, served as they lie or imported together."""
    base = air.bundle("base", FILES)
    sender = Shared(air.home / "from-base", None, LATER)  # type: ignore[arg-type]
    root = sender.claiming("p", NEWER)
    delta = air.home / "delta.tar"
    export = ("mirror", "export", delta, "--since", base)
    assert attempt(sender.home, *export, cwd=root).returncode == 0
    with serving(air.home, base, delta, cwd=air.work) as mirror:
        for path, data in NEWER.items():
            assert mirror.ask(f"/o/m/resolve/main/{path}").body == data
            assert mirror.ask(f"/files/p/m/{path}").body == data
        assert LATER in mirror.ask("/projects/fetch.lock").body.decode()
        assert mirror.ask(f"/o/m/resolve/{COMMIT}/config.json").body == FILES["config.json"]
    air.take(base, delta)
    assert air.served() == (200, NEWER["config.json"])
    assert air.served(path="model.safetensors") == (200, NEWER["model.safetensors"])


@needs_registry
def test_a_tag_that_moves_is_named(air: Air, tmp_path: Path) -> None:
    """Somebody moves a registry's tag to another bundle, and back again."""
    (tmp_path / "registry").mkdir()
    with registry(tmp_path / "registry") as host:
        tag = f"oci://{host}/team/models:stable"
        old, new = air.bundle("old", FILES), air.bundle("new", NEWER, LATER)
        pushed = air.run("mirror", "push", old, tag)
        assert f"pull it by {tag}@sha256:" in pushed and "stood at" not in pushed
        first = air.run("mirror", "pull", tag)
        digest = first.partition("index sha256:")[2][:12]
        assert "is not what it was" not in air.run("mirror", "pull", tag)
        assert f"{tag} stood at index sha256:{digest}" in air.run("mirror", "push", new, tag)
        said = air.run("mirror", "pull", tag)
        assert f"{tag} is not what it was: index sha256:{digest}" in said
        whole = said.partition("is not what it was: index ")[2].partition(" ")[0]
        air.run("mirror", "push", old, tag)
        said = air.run("mirror", "pull", tag, code=4)
        assert "is older than" in said
        assert air.served() == (200, NEWER["config.json"])
        air.run("mirror", "pull", f"{tag}@{whole}", "--replace")  # by what it was, wherever it is
        assert air.served() == (200, FILES["config.json"])
        missing = f"{tag}@sha256:{'0' * 64}"
        assert "is not there" in air.run("mirror", "pull", missing, code=3)
        assert "leave out" in air.run("mirror", "push", old, missing, code=2)


class MovingFolder(RemoteFolder):
    """A web server's folder that is replaced by another one once its index was read."""

    def __init__(self, first: Path, then: Path) -> None:
        self.label = "moving"
        self.folders = [first, then]
        self.asked = 0

    def get(self, name: str) -> bytes | None:
        if name == "index.json":
            self.asked += 1
        path = self.folders[self.asked > 1] / name
        return path.read_bytes() if path.is_file() else None

    def candidate(self, sha256: str) -> Candidate:
        raise NotImplementedError


def test_what_was_proven_is_what_is_used(air: Air, keys: Keys) -> None:  # noqa: F811
    """What lies at an address is another bundle once the signature was found to hold."""
    site = keys("site")
    folders = []
    for name, files in (("true", FILES), ("false", EVIL)):
        air.bundle(name, files)
        sender = air.home / f"from-{name}"
        folders.append(air.home / name)
        export = ("mirror", "export", folders[-1])
        assert attempt(sender, *export, cwd=sender / "p").returncode == 0
    air.run("mirror", "sign", folders[0], "--key", site)
    moving = MovingFolder(*folders)
    signed = moving.signed_blobs(site.with_suffix(".pub"))
    assert moving.contents().payload().keys() <= signed


@needs_registry
def test_a_tag_that_moves_while_it_is_proven(air: Air, tmp_path: Path, keys: Keys) -> None:  # noqa: F811
    """A registry's tag stands at another bundle once the signature was found to hold."""
    site = keys("site")
    (tmp_path / "registry").mkdir()
    with registry(tmp_path / "registry") as host:
        tag = f"oci://{host}/team/models:stable"
        true, false = air.bundle("true", FILES), air.bundle("false", EVIL)
        air.run("mirror", "sign", true, "--key", site)
        air.run("mirror", "push", true, tag)
        place = Registry(parse_reference(tag), Network(Settings(tmp_path), lambda _: None))
        signed = signed_blobs(place, site.with_suffix(".pub"))
        air.run("mirror", "push", false, tag)
        assert place.contents().payload().keys() <= signed
