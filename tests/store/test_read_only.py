"""Reading never needs writing: stores and trees that this user may not write to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.e2e.conftest import files_below

SOMEBODY = 65534  # owns the colleague's store, where this is root
# Root without these is held by owners and modes as anybody is.
RIGHTS = "-dac_override,-dac_read_search,-fowner"


def fetch(
    folder: Path, store: Path, home: Path, *arguments: str, code: str = ""
) -> tuple[int, str, str]:
    """Run `fetch` as a user whom modes bind."""
    command = [sys.executable, *(("-c", code) if code else ("-m", "fetcher")), *arguments]
    if os.geteuid() == 0:
        command = ["setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}", *command]
    environment = {**os.environ, "FETCH_STORE": str(store), "HOME": str(home)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def shared(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A colleague's store, which holds all of a project's contents; gives that project."""
    if sys.platform == "win32" or (os.geteuid() == 0 and not shutil.which("setpriv")):
        pytest.skip("modes say nothing here")
    monkeypatch.setenv("FETCH_STORE", str(tmp_path / "store"))
    folder = tmp_path / "theirs"
    write_project(folder, "p", "artifacts:\n  a: {source: 'local:data'}\n", "tree: {models/: a}\n")
    (folder / "data").mkdir()
    for number in range(5):
        (folder / f"data/{number}.bin").write_bytes(bytes([number]) * 5000)
    assert cli("all", cwd=folder).code == 0
    return folder


def seal_off(folder: Path) -> None:
    """It is somebody else's, whom all may read."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
        if os.geteuid() == 0:
            os.chown(path, SOMEBODY, SOMEBODY)


def ours(shared: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A clone and a home of our own."""
    mine, home = tmp_path / "mine", tmp_path / "our-home"
    home.mkdir()
    shutil.copytree(shared, mine, ignore=shutil.ignore_patterns("models", ".fetch"))
    shutil.rmtree(mine / "data")
    return mine, home


@pytest.mark.parametrize("link", ["auto", "copy", "symlink"])
def test_a_colleagues_store_is_read(shared: Path, tmp_path: Path, link: str) -> None:
    mine, home = ours(shared, tmp_path)
    seal_off(tmp_path / "store")
    before = sorted(path.name for path in (tmp_path / "store").rglob("*"))
    code, out, err = fetch(mine, tmp_path / "store", home, "all", "--json", "--link", link)
    assert code == 0, out + err
    assert json.loads(out)["errors"] == []
    assert files_below(mine / "models") == files_below(shared / "models")
    code, out, err = fetch(mine, tmp_path / "store", home, "all")
    assert code == 0, out + err
    assert sorted(path.name for path in (tmp_path / "store").rglob("*")) == before


@pytest.mark.parametrize(
    "command",
    [
        ["all"],
        ["all", "--offline"],
        ["plan"],
        ["status"],
        ["check"],
        ["check", "--deep"],
        ["list"],
        ["show", "a"],
        ["store", "du"],
        ["store", "ls"],
        ["store", "check"],
        ["gc", "--dry-run"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("known", [True, False], ids=["state", "no-state"])
def test_a_tree_that_is_complete_is_read(
    shared: Path, tmp_path: Path, command: list[str], known: bool
) -> None:
    """A clone on a read-only disk, with and without what fetch knew of it."""
    home = tmp_path / "our-home"
    home.mkdir()
    if not known:
        shutil.rmtree(shared / ".fetch")
        shutil.rmtree(tmp_path / "store/stamps")
    seal_off(tmp_path / "store")
    seal_off(shared)
    code, out, err = fetch(shared, tmp_path / "store", home, *command)
    assert code == 0, out + err
    assert "Traceback" not in err


def test_what_has_to_be_written_is_said(shared: Path, tmp_path: Path) -> None:
    """The hint is followed, and works."""
    mine, home = ours(shared, tmp_path)
    store = tmp_path / "store"
    blob = next((store / "blobs/sha256").iterdir())
    blob.unlink()
    (mine / "data").mkdir()
    for number in range(5):
        (mine / f"data/{number}.bin").write_bytes(bytes([number]) * 5000)
    seal_off(store)
    code, _, err = fetch(mine, store, home, "all")
    assert code == 9
    assert str(store) in err and "set FETCH_STORE to another folder" in err
    code, out, err = fetch(mine, home / "store", home, "all")
    assert code == 0, out + err


HASTY = "import sys; from fetcher.store import gc; gc.YOUNG_SECONDS = -60\n"
HASTY += "from fetcher.commands import run; sys.exit(run(sys.argv[1:]))"


@pytest.mark.parametrize("how", ["modes", "file system"])
def test_what_may_not_be_removed_is_said_once(shared: Path, tmp_path: Path, how: str) -> None:
    """Five blobs that nobody needs: a dry run promises none of them, and gc names one problem."""
    store, home = tmp_path / "store", tmp_path / "our-home"
    home.mkdir()
    (shared / "fetch.lock").unlink()
    if how == "file system":
        if os.geteuid() != 0 or sys.platform != "linux":
            pytest.skip("only root mounts")
        mount = ["mount", "--bind", str(store), str(store)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("nothing can be mounted here")
        subprocess.run(["mount", "-o", "remount,bind,ro", str(store)], check=True)
    else:
        seal_off(store)
    try:
        for command in (["gc", "--dry-run", "--json"], ["gc", "--json"]):
            code, out, err = fetch(shared, store, home, *command, code=HASTY)
            told = json.loads(out)
            assert told["summary"]["blobs"] == 0 and told["summary"]["kept"] == 5, err
            (group,) = told["summary"]["groups"]
            assert (group["why"], group["files"], group["goes"]) == ("not-yours", 5, False)
            assert (code, len(told["errors"])) == ((9, 1) if "--dry-run" not in command else (0, 0))
        assert "removing 5 files, such as" in told["errors"][0]["message"]
    finally:
        if how == "file system":
            subprocess.run(["umount", str(store)], check=True)
    assert len(list((store / "blobs/sha256").iterdir())) == 5


@pytest.mark.parametrize(
    "command", [["gc"], ["gc", "--dry-run"], ["store", "du"], ["store", "ls"]], ids=" ".join
)
def test_a_store_that_may_not_be_listed_is_no_empty_one(
    shared: Path, tmp_path: Path, command: list[str]
) -> None:
    home = tmp_path / "our-home"
    home.mkdir()
    blobs = tmp_path / "store/blobs/sha256"
    seal_off(tmp_path / "store")
    blobs.chmod(0o711)
    code, out, err = fetch(shared, tmp_path / "store", home, *command)
    assert code == 9 and f"reading the store {blobs}" in err and out == ""
    assert len(list(blobs.iterdir())) == 5
