"""What stands where others can write: in the shared cache, behind a link, on a server."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fetcher.operations import reconcile
from fetcher.operations.workspace import Workspace
from fetcher.project.resolve import Resolution
from fetcher.tree.plan import Plan
from tests.conftest import write_project
from tests.hints.desk import Desk, about
from tests.hostile.test_hub_cache import FILES, Cache
from tests.hostile.test_hub_cache import project as cached
from tests.kit import sha256
from tests.oracles import client
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer
from tests.servers.registry import PROGRAM, registry


@about(
    "remove {path}, then run `fetch all`",
    "{count:,} more such; `fetch check --deep` reads all",
)
def test_what_the_shared_cache_has_under_false_names(
    desk: Desk, hub: HubServer, hermetic: Path
) -> None:
    commit = hub.add_repo("o/m", FILES)
    root = cached(desk.root)
    desk.fetch("all")
    cache = Cache(hermetic / "huggingface/hub")
    snapshot = cache.root / "snapshots" / commit
    strange = [snapshot / f"modeling_{number}.py" for number in range(8)]
    for path in strange:
        path.symlink_to(os.readlink(snapshot / "config.json"))
    desk.fetch("doctor")
    desk.follow("{count:,} more such; `fetch check --deep` reads all", code=4)
    for _ in strange:
        said = desk.said("remove {path}, then run `fetch all`")
        Path(said.values["path"]).unlink()
        desk.follow("remove {path}, then run `fetch all`")
        if not any(map(os.path.lexists, strange)):
            break
        desk.fetch("check", "--deep", code=4)
    desk.fetch("check", "--deep", cwd=root)


@about("look at it, then run again, with --overwrite to replace it")
def test_a_file_that_comes_into_being_meanwhile(
    desk: Desk, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = project / "models/m/config.json"
    bring = reconcile.bring

    def amid_the_run(space: Workspace, plan: Plan) -> None:
        bring(space, plan)
        theirs.parent.mkdir(parents=True)
        theirs.write_bytes(b"theirs")

    with monkeypatch.context() as patched:
        patched.setattr(reconcile, "bring", amid_the_run)
        desk.fails("all")
    assert theirs.read_bytes() == b"theirs"
    desk.again("look at it, then run again, with --overwrite", "--overwrite")
    assert theirs.read_bytes() == b'{"a": 1}\n'
    kept = [path.read_bytes() for path in (project / ".fetch/kept").rglob("config.json*")]
    assert kept == [b"theirs"]


@about("if you want it there: export {variable}={real}, or fetch config allow links")
def test_a_store_that_is_a_link(
    desk: Desk, project: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FETCH_STORE")
    away = hermetic / "away"
    away.mkdir()
    (project / "store").symlink_to(away)
    (project / "fetch.yaml").write_text("store: store\n")
    desk.fails("all")
    desk.follow("if you want it there: export {variable}={real}, or fetch config allow links")
    desk.fetch("all")
    assert any(path.read_bytes() == b'{"a": 1}\n' for path in away.rglob("sha256/*"))


def asks_for_all(project: Path, hermetic: Path, place: str, key: Path) -> tuple[str | Path, ...]:
    """What asks a place for everything, as nothing of it is here any more."""
    shutil.rmtree(project / "models")
    shutil.rmtree(hermetic / "store")
    return "all", "--from", place, "--verify-key", key.with_suffix(".pub")


@about("sign the bundle before it is put there: fetch mirror sign")
def test_a_place_whose_bundle_is_not_signed(
    desk: Desk, project: Path, files: FileServer, keys: Callable[[str], Path], hermetic: Path
) -> None:
    key = keys("release")
    desk.fetch("all")
    desk.fetch("mirror", "export", "b")
    files.add_folder(project / "b", "/b")
    asked = asks_for_all(project, hermetic, f"{files.url}/b", key)
    desk.fails(*asked)
    desk.follow("sign the bundle before it is put there", more=["b", "--key", key])
    files.add_folder(project / "b", "/b")
    desk.fetch(*asked)


@about("check repository and tag; fetch mirror push makes it")
def test_a_registry_that_has_nothing_yet(desk: Desk, project: Path, tmp_path: Path) -> None:
    if PROGRAM is None:
        pytest.skip("no registry here")
    desk.fetch("all")
    desk.fetch("mirror", "export", "b")
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry(folder) as host:
        place = f"oci://{host}/a/b"
        desk.fails("mirror", "pull", place)
        desk.follow("check repository and tag; fetch mirror push makes it", more=["b", place])
        desk.fetch("mirror", "pull", place)


@about("was it made by `fetch mirror export`? copy it again")
def test_a_bundle_that_is_none(desk: Desk, project: Path) -> None:
    desk.fetch("all")
    desk.fetch("mirror", "export", "b")
    before = (project / "b/index.json").read_bytes()
    index = json.loads(before)
    index["manifests"] *= 2
    after = json.dumps(index).encode()
    (project / "b/index.json").write_bytes(after)
    sums = project / "b/SHA256SUMS"
    sums.write_text(sums.read_text().replace(sha256(before), sha256(after)))
    said = "was it made by `fetch mirror export`? copy it again"
    desk.fails("mirror", "import", "b", "--project", "other")
    desk.follow(said, more=["b", "--overwrite"])
    desk.fetch("mirror", "import", "b", "--project", "other")


@about("{text}; has files of {ours}{more}: `fetch all` takes them from there")
def test_a_cache_that_has_them(desk: Desk, hub: HubServer) -> None:
    names = "abcdefg"
    lines = "".join(f"  {name}: {{source: 'hf:o/m', files: [config.json]}}\n" for name in names)
    tree = "".join(f"  {name}/: {name}\n" for name in names)
    write_project(desk.root, "p", f"artifacts:\n{lines}", f"tree:\n{tree}")
    desk.fetch("lock")
    client("from huggingface_hub import snapshot_download; snapshot_download('o/m')", path="")
    bodies = len([one for one in hub.requests if "/resolve/" in one.path])
    desk.fetch("doctor")
    desk.follow("{text}; has files of {ours}{more}: `fetch all` takes them from there")
    assert len([one for one in hub.requests if "/resolve/" in one.path]) == bodies
    assert (desk.root / "g/config.json").read_bytes() == b'{"a": 1}\n'


@about("run `fetch lock --update {id}`")
def test_nothing_is_known_after_resolving(
    desk: Desk, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("fetcher.operations.workspace.resolve", lambda *_: Resolution())
        desk.fails("all")
    desk.follow("run `fetch lock --update {id}`")
    desk.fetch("all")


def test_a_place_that_asks_who_one_is(
    desk: Desk, project: Path, files: FileServer, keys: Callable[[str], Path], hermetic: Path
) -> None:
    key = keys("release")
    desk.fetch("all")
    desk.fetch("mirror", "export", "b")
    desk.fetch("mirror", "sign", "b", "--key", key)
    login = base64.b64encode(b"me:secret").decode()
    for path in (project / "b").rglob("*"):
        if path.is_file():
            name = path.relative_to(project).as_posix()
            files.add(name, path, authorization=f"Basic {login}")
    asked = asks_for_all(project, hermetic, f"{files.url}/b", key)
    assert "put a login for its host into ~/.netrc" in desk.fails(*asked).err
    (hermetic / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (hermetic / ".netrc").chmod(0o600)
    desk.fetch(*asked)
