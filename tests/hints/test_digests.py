"""Where two places say two things of one content: the hint, followed, lets the source decide."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.conftest import WEIGHTS
from tests.hints.desk import Desk, about
from tests.hostile.test_hub_cache import EVIL as OTHER_WEIGHTS
from tests.hostile.test_hub_cache import project as cached
from tests.hostile.test_store import EVIL, lie, put_blob, stamp
from tests.kit import git_blob, sha256
from tests.servers.hub import HubServer

CONFIG = b'{"a": 1}\n'


@about(
    "what the manifest or fetch.lock states is wrong",
    "ask the source again: fetch lock --update {id}",
    "do not trust this fetch.lock: `fetch lock --update {id}`",
    "it is removed; run `fetch check --deep`",
)
def test_a_lock_with_two_digests_of_two_contents(desk: Desk, project: Path, hermetic: Path) -> None:
    store = hermetic / "store"
    desk.fetch("lock")
    lie(project, sha256(EVIL))
    blob = put_blob(store, EVIL)
    desk.fails("all")
    desk.follow("what the manifest or fetch.lock states is wrong", NAME="m")
    desk.fetch("all")
    assert (project / "models/m/config.json").read_bytes() == CONFIG
    lie(project, sha256(EVIL))
    desk.fails("mirror", "export", "b")
    desk.follow("ask the source again: fetch lock --update {id}")
    desk.fetch("mirror", "export", "b")
    lie(project, sha256(EVIL))
    (project / "models/m/config.json").unlink()
    (project / "models/m/config.json").write_bytes(EVIL)
    desk.fails("check", "--deep")
    desk.follow("do not trust this fetch.lock: `fetch lock --update {id}`")
    desk.fetch("all", "--overwrite")
    desk.fetch("check", "--deep")
    stamp(store, blob, git_blob(CONFIG))
    desk.fails("store", "check")
    desk.follow("it is removed; run `fetch check --deep`")
    desk.fetch("store", "check")


@about(
    "ask the source again: fetch lock --update {id}, then fetch all",
    "{count:,} more such; `fetch check --deep` names all",
)
def test_a_lock_that_the_hub_contradicts(desk: Desk, project: Path, hub: HubServer) -> None:
    weights = {f"{n}.safetensors": WEIGHTS[: 2_000_000 + n] for n in range(7)}
    hub.add_repo("o/m", weights)
    desk.fetch("all")
    path = project / "fetch.lock"
    genuine = path.read_text()
    lock = json.loads(genuine)
    for number, file in enumerate(lock["manifests"]["p"]["m"]["files"]):
        file["sha256"] = f"{number:x}" * 64
    path.write_text(json.dumps(lock))
    desk.fetch("doctor")
    desk.follow("{count:,} more such; `fetch check --deep` names all", code=4)
    desk.fetch("doctor")
    for number in (0, 1):
        desk.follow("ask the source again: fetch lock --update {id}, then fetch all", number)
    assert json.loads(path.read_text()) == json.loads(genuine)
    desk.fetch("check", "--deep")


@about("do not trust this project's digests")
def test_a_cache_that_others_share(desk: Desk, hub: HubServer, hermetic: Path) -> None:
    hub.add_repo("o/m", {"w.safetensors": WEIGHTS})
    root = cached(desk.root / "p")
    desk.fetch("lock", cwd=root)
    lock = json.loads((root / "fetch.lock").read_text())
    file = lock["manifests"]["p"]["m"]["files"][-1]
    file |= {"sha256": sha256(OTHER_WEIGHTS), "size": len(OTHER_WEIGHTS)}
    (root / "fetch.lock").write_text(json.dumps(lock))
    put_blob(hermetic / "store", OTHER_WEIGHTS)
    desk.fails("all", cwd=root)
    desk.follow("do not trust this project's digests")
    desk.fetch("all", "--overwrite", cwd=root)
    desk.fetch("check", "--deep", cwd=root)
    assert (root / "m/w.safetensors").read_bytes() == WEIGHTS
