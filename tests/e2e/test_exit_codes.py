"""One fault has one exit code, whichever command meets it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer

LAYOUT = "tree:\n  models/m/: m\n"
MINE = "artifacts:\n  m:\n    source: hf:o/m\n    exclude: .gitattributes\n"

Fault = Callable[[Path, HubServer, pytest.MonkeyPatch], None]


def wrong_manifest(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    write_project(root, "p", "artifacts:\n  m: {sorce: 'hf:o/m'}\n", LAYOUT)


def wrong_layout(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    write_project(root, "p", MINE, "tree:\n  models/m/: n\n")


def wrong_setting(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FETCH_JOBS", "many")


def broken_lock(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    (root / "fetch.lock").write_text("{")


def lock_of_a_newer_version(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    lock = json.loads((root / "fetch.lock").read_text())
    (root / "fetch.lock").write_text(json.dumps({**lock, "schema": "fetch.lock/99"}))


def merge_conflict(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    text = (root / "fetch.lock").read_text()
    (root / "fetch.lock").write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")


def twins(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    hub.add_commit("o/m", {"Config.json": b"1"})
    (root / "fetch.lock").unlink()


def reserved(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    hub.add_commit("o/m", {"aux.py": b"1"})
    (root / "fetch.lock").unlink()


def gated(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    hub.repos["model", "o/m"].gated = "manual"
    shutil.rmtree(root / "models")
    shutil.rmtree(os.environ["FETCH_STORE"])
    (root / "fetch.lock").unlink()


def gone(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    del hub.repos["model", "o/m"]
    (root / "fetch.lock").unlink()


def no_revision(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    write_project(root, "p", MINE.replace("hf:o/m", "hf:o/m@nowhere"), LAYOUT)


def no_such_file(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    write_project(root, "p", MINE + "    files: [nothing.bin]\n", LAYOUT)


def offline(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    (root / "fetch.lock").unlink()
    patch.setenv("FETCH_OFFLINE", "1")


def down(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    (root / "fetch.lock").unlink()
    patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def changed(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    (root / "models/m/config.json").unlink()
    (root / "models/m/config.json").write_text("mine")


def locked_twins(root: Path, hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    """As `twins`, but the lock has them: see `test_one_fault_has_one_exit_code`."""
    hub.add_commit("o/m", {"Config.json": b"1"})


EVERY = ("status", "tree", "show m", "verify", "check", "outdated", "mirror export out", "access")
CHANGING = ("plan", "lock", "update", "all")  # the last ones: they write
DOCUMENTS = (*EVERY, "list", *CHANGING)
WITH_LOCK = tuple(name for name in (*EVERY, *CHANGING) if name != "access")
ASKING = ("plan", "lock", "update", "all")
PLACING = ("plan", "all")

# The fault's code, and the commands that meet it; to the others it is no matter.
FAULTS: list[tuple[Fault, int, tuple[str, ...]]] = [
    (wrong_manifest, 2, DOCUMENTS),
    (wrong_layout, 2, DOCUMENTS),
    (wrong_setting, 2, tuple(name for name in (*EVERY, *CHANGING) if name != "show m")),
    (broken_lock, 7, WITH_LOCK),
    (lock_of_a_newer_version, 7, WITH_LOCK),
    (merge_conflict, 7, WITH_LOCK),
    (twins, 4, PLACING),
    (locked_twins, 4, ("check", "mirror export out", *PLACING)),
    (reserved, 4, ("plan", "lock", "update", "all")),
    (gated, 6, ("access", *PLACING)),
    (gone, 6, ("access", *ASKING)),
    (no_revision, 3, ASKING),
    (no_such_file, 3, ASKING),
    (offline, 5, ("access", *ASKING)),
    (down, 3, ("access", *ASKING)),
    (changed, 4, ("check", *PLACING)),
]


@pytest.mark.parametrize(("fault", "code", "met"), FAULTS, ids=[f[0].__name__ for f in FAULTS])
def test_one_fault_has_one_exit_code(
    project: Path,
    cli: Cli,
    hub: HubServer,
    hermetic: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    code: int,
    met: tuple[str, ...],
) -> None:
    assert cli("all").code == 0
    fault(project, hub, monkeypatch)
    if fault is locked_twins:
        assert cli("lock", "--update", "m").code == 0
    lock = project / "fetch.lock"
    before = lock.read_bytes() if lock.exists() else None
    found = {}
    for command in (*DOCUMENTS[: len(EVERY) + 1], *CHANGING):
        found[command] = cli(*command.split()).code
        lock.unlink(missing_ok=True)
        if before is not None:
            lock.write_bytes(before)
    assert {name: found[name] for name in met} == dict.fromkeys(met, code)
    # What looks only at what is there may miss the lock, or find nothing wrong.
    assert {found[name] for name in found if name not in met} <= {0, 7}
