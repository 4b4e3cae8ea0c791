"""Symlinks that come with a clone: nothing is placed through one into git, fetch or elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fetcher.fs import boundary
from fetcher.fs.boundary import OpenFolder
from fetcher.fs.private_files import private_name
from tests.conftest import Cli, write_project

# What git reads as a pointer to another repository, whose configuration it obeys.
DATA = {
    "commondir": b"../evil\n",
    "config": b"[core]\nfsmonitor = touch pwned\n",
    "w.bin": b"w" * 99,
    ".gitattributes": b"* text",
    "setup.py": b"setup()",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A project whose artifact comes from its own folder `data`, to be laid out below `models`."""
    root = tmp_path / "clone"
    (root / "data").mkdir(parents=True)
    for name, content in DATA.items():
        (root / "data" / name).write_bytes(content)
    write_project(root, "p", "artifacts:\n  a: {source: local:data}\n", "tree:\n  models/: a\n")
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


def everything(folder: Path) -> dict[str, bytes | str]:
    """All that is below a folder, links as what they say."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def refused(cli: Cli, root: Path, *arguments: str | Path) -> str:
    """What is said of a run that places nothing; the hint is in it."""
    found = cli("all", *arguments, "--json", cwd=root)
    assert found.code == 4 and found.codes <= {"bad-path", "conflict"}, found
    return " ".join(f"{one['message']} | {one['hint']}" for one in found.json["errors"])


@pytest.mark.parametrize("target", [".git", ".git/hooks", "./.git/../.git", ".git/objects"])
def test_models_is_a_link_to_git(cli: Cli, clone: Path, target: str) -> None:
    """`commondir` would land in .git: `git status` then runs what another folder says."""
    (clone / "models").symlink_to(target)
    before = everything(clone / ".git")
    assert "git" in refused(cli, clone)
    assert everything(clone / ".git") == before
    subprocess.run(["git", "status"], cwd=clone, check=True, capture_output=True)
    assert not (clone / "pwned").exists()


def test_a_link_to_a_link_to_git(cli: Cli, clone: Path) -> None:
    """The text of the link does not say `.git`."""
    (clone / "x").mkdir()
    (clone / "x/deep").symlink_to("../.git")
    (clone / "models").symlink_to("x/deep")
    before = everything(clone / ".git")
    assert "git" in refused(cli, clone)
    assert everything(clone / ".git") == before


def test_models_is_a_link_to_fetchs_own_folder(cli: Cli, clone: Path) -> None:
    """A file of upstream's would become the state that fetch believes."""
    (clone / ".fetch").mkdir()
    (clone / "models").symlink_to(".fetch")
    assert "fetch" in refused(cli, clone)
    assert not (clone / ".fetch/config").exists()


@pytest.mark.parametrize("folder", ["vendor/lib", "vendor"])
def test_models_leads_into_a_bare_repository_in_the_clone(
    cli: Cli, clone: Path, folder: str
) -> None:
    """A repository that the clone ships as plain files gets a configuration that runs."""
    subprocess.run(["git", "init", "-q", "--bare", clone / "vendor"], check=True)
    (clone / folder).mkdir(exist_ok=True)
    (clone / "models").symlink_to(folder)
    before = everything(clone / "vendor")
    assert "git repository" in refused(cli, clone)
    assert everything(clone / "vendor") == before


def test_models_leads_into_a_python_environment(cli: Cli, clone: Path) -> None:
    """A .pth or a module there runs with the next python."""
    (clone / "myenv/lib/site-packages").mkdir(parents=True)
    (clone / "myenv/pyvenv.cfg").write_text("home = /usr/bin\n")
    (clone / "models").symlink_to("myenv/lib/site-packages")
    assert "Python environment" in refused(cli, clone)
    assert os.listdir(clone / "myenv/lib/site-packages") == []


@pytest.mark.parametrize(
    ("folder", "mark"),
    [("conda/lib", "conda/conda-meta"), ("lib/python3/dist-packages/x", "lib/python3"),
     ("lib/Site-Packages", "lib"), ("myenv/bin", "myenv/pyvenv.cfg")],
)  # fmt: skip
def test_an_allowed_disk_has_a_python_environment(
    cli: Cli, clone: Path, tmp_path: Path, folder: str, mark: str
) -> None:
    """The person lets links lead to their disk, and the clone's lead to where Python looks."""
    (tmp_path / "disk" / mark).mkdir(parents=True)
    (tmp_path / "disk" / folder).mkdir(parents=True)
    assert cli("config", "allow", "links", tmp_path / "disk", cwd=clone).code == 0
    (clone / "models").symlink_to(tmp_path / "disk" / folder)
    assert "Python environment" in refused(cli, clone)
    assert everything(tmp_path / "disk") == {}


@pytest.mark.parametrize("folder", [".", "blobs/sha256", "stamps", "new"])
def test_an_allowed_disk_has_the_store(
    cli: Cli, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """Store and models share a disk, and the clone's link would place records into the store."""
    store = tmp_path / "disk/store"
    monkeypatch.setenv("FETCH_STORE", str(store))
    assert cli("all", cwd=clone).code == 0
    assert cli("config", "allow", "links", tmp_path / "disk", cwd=clone).code == 0
    shutil.rmtree(clone / "models")
    (store / folder).mkdir(exist_ok=True, parents=True)
    before = everything(store / folder)
    (clone / "models").symlink_to(store / folder)
    assert "store" in refused(cli, clone)
    left = everything(store / folder)
    assert {name for name in left if Path(name).name in DATA} == set()
    assert set(before) <= set(left)


def test_a_project_that_is_an_environment(cli: Cli, clone: Path) -> None:
    """No attack: `python -m venv .` in the clone; what is the environment's stays its own."""
    (clone / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (clone / "lib/deeper").mkdir(parents=True)
    assert cli("all", cwd=clone).code == 0
    layout = "tree:\n  models/: a\n  lib/deeper/: a\n"
    write_project(clone, "p", "artifacts:\n  a: {source: local:data}\n", layout)
    assert "Python environment" in refused(cli, clone)
    assert os.listdir(clone / "lib/deeper") == []


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_models_leads_out_of_the_clone(
    cli: Cli, clone: Path, tmp_path: Path, overwrite: tuple[str, ...]
) -> None:
    """Files of the person's are replaced, or new ones stand where they are run."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "config").write_text("mine")
    (clone / "models").symlink_to(home)
    said = refused(cli, clone, *overwrite)
    assert str(clone / "models") in said and str(home) in said
    assert everything(home) == {"config": b"mine"}


def test_a_persons_own_link_is_allowed_by_the_hint(
    cli: Cli, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attack: models on another disk. What the hint says makes every command work."""
    disk = tmp_path / "a disk" / "models"
    disk.mkdir(parents=True)
    (clone / "models").symlink_to(disk)
    said = refused(cli, clone)
    assert f"fetch config allow links '{disk}'" in said
    assert cli("config", "allow", "links", disk, cwd=clone).code == 0
    assert cli("all", cwd=clone).code == 0
    assert everything(disk) == DATA
    assert cli("all", cwd=clone).code == 0
    for command_line in (["status"], ["check"], ["check", "--deep"], ["plan"], ["gc"]):
        assert cli(*command_line, cwd=clone).code == 0, command_line
    assert cli("mirror", "export", tmp_path / "bundle", cwd=clone).code == 0
    (disk / "w.bin").unlink()
    (disk / "w.bin").write_bytes(b"changed")
    assert cli("all", cwd=clone).code == 4
    assert cli("all", "--overwrite", cwd=clone).code == 0
    assert everything(disk) == DATA
    kept = list((clone / ".fetch/kept").rglob("w.bin"))
    assert [path.read_bytes() for path in kept] == [b"changed"]
    assert cli("config", "deny", "links", disk, cwd=clone).code == 0
    assert cli("all", cwd=clone).code == 4, "a seal does not outlive the permission"
    monkeypatch.setenv("FETCH_ALLOW_LINKS", str(disk.parent))
    assert cli("all", cwd=clone).code == 0
    monkeypatch.delenv("FETCH_ALLOW_LINKS")
    assert cli("all", cwd=clone).code == 4


def test_a_link_on_the_allowed_disk_leads_no_further(
    cli: Cli, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The allowed folder has a link out of it, into a repository of the person's."""
    disk, repository = tmp_path / "disk", tmp_path / "repository"
    disk.mkdir()
    subprocess.run(["git", "init", "-q", repository], check=True)
    (disk / "models").symlink_to(repository / ".git")
    (clone / "models").symlink_to(disk / "models")
    monkeypatch.setenv("FETCH_ALLOW_LINKS", str(disk))
    before = everything(repository)
    refused(cli, clone)
    monkeypatch.setenv("FETCH_ALLOW_LINKS", str(tmp_path))
    assert "git" in refused(cli, clone), "nobody wants models in there, whatever is allowed"
    assert everything(repository) == before


def test_links_within_the_clone_work(cli: Cli, clone: Path) -> None:
    """No attack: `models -> weights/v1`, as many projects have it."""
    (clone / "weights/v1").mkdir(parents=True)
    (clone / "models").symlink_to("weights/v1")
    assert cli("all", cwd=clone).code == 0
    assert everything(clone / "weights/v1") == DATA
    assert cli("status", "--json", cwd=clone).json["results"][0]["state"] == "complete"


@pytest.mark.parametrize("into", ["out", "out/deeper", "sub/out"])
def test_into_is_a_link_of_the_clone(cli: Cli, clone: Path, tmp_path: Path, into: str) -> None:
    """The documents say `fetch all --into out`, and the clone has `out -> ~`."""
    home = tmp_path / "home"
    home.mkdir()
    (clone / "sub").mkdir()
    (clone / "out").symlink_to(home)
    (clone / "sub/out").symlink_to("../.git")
    said = refused(cli, clone, "--into", into)
    assert "symlink" in said or "git" in said
    assert everything(home) == {}
    assert not (clone / ".git/models").exists()


def test_into_may_be_a_link_of_the_persons(cli: Cli, clone: Path, tmp_path: Path) -> None:
    """No attack: --into names a link that is not the clone's."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "here").symlink_to("disk")
    assert cli("all", "--into", tmp_path / "here", cwd=clone).code == 0
    assert everything(tmp_path / "disk/models") == DATA


def test_kept_files_do_not_leave_the_tree(cli: Cli, clone: Path, tmp_path: Path) -> None:
    """`.fetch/kept` leads elsewhere: --overwrite would put the person's files there."""
    out = tmp_path / "out"
    out.mkdir()
    (clone / ".fetch").mkdir()
    (clone / ".fetch/kept").symlink_to(out)
    (clone / "models").mkdir()
    (clone / "models/w.bin").write_bytes(b"the person's")
    assert cli("all", "--overwrite", cwd=clone).code == 4
    assert everything(out) == {} and (clone / "models/w.bin").read_bytes() == b"the person's"


def test_a_listing_makes_no_repository(cli: Cli, clone: Path) -> None:
    """Upstream's names make models/ a bare repository, whose hooks run in `cd models; git log`."""
    for name in ("HEAD", "objects/info/x", "refs/heads/main", "hooks/post-checkout"):
        (clone / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / "data" / name).write_text("x")
    assert "git repository" in refused(cli, clone)
    assert not (clone / "models").exists()
    (clone / "data/objects/info/x").unlink()
    said = refused(cli, clone, "--update")
    assert "git repository" in said, "commondir says where the objects are"
    (clone / "data/commondir").unlink()
    assert cli("all", "--update", cwd=clone).code == 0, "a file may be called HEAD"
    assert (clone / "models/HEAD").exists()


def test_what_git_reads_is_told_in_json(cli: Cli, clone: Path) -> None:
    """The refusal names the artifact and the file, for scripts too."""
    (clone / "models").symlink_to(".git")
    error = json.loads(cli("all", "--json", cwd=clone).out)["errors"][0]
    assert error["artifact"] == "a" and error["file"] in DATA


@pytest.mark.parametrize("way", ["copy", "hardlink", "auto"])
def test_a_link_that_comes_while_files_are_placed(
    cli: Cli, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Something swaps models/ for a link after it was judged, before each file gets its name."""
    if not boundary._can_hold():
        pytest.skip("folders cannot be held open here")
    home = tmp_path / "home"
    home.mkdir()
    (home / "w.bin").write_text("mine")
    at = OpenFolder.at

    def swapped_then_at(self: OpenFolder, name: str) -> str:
        if (clone / "models").is_dir() and not (clone / "models").is_symlink():
            (clone / "models").rename(clone / f"was{len(os.listdir(clone))}")
            (clone / "models").symlink_to(home)
        return at(self, name)

    monkeypatch.setattr(OpenFolder, "at", swapped_then_at)
    for _ in range(3):
        cli("all", "--link", way, "--overwrite", cwd=clone)
        (clone / "models").unlink() if (clone / "models").is_symlink() else None
        (clone / "models").mkdir(exist_ok=True)
        (clone / "models/w.bin").write_text("in the way")
    assert everything(home) == {"w.bin": b"mine"}


def test_a_link_to_a_device_is_no_folder_to_allow(cli: Cli, clone: Path) -> None:
    """A configuration file that is a link to /dev/zero: the hint does not speak of /dev."""
    (clone / "fetch.yaml").unlink(missing_ok=True)
    (clone / "fetch.yaml").symlink_to("/dev/zero")
    found = cli("all", cwd=clone)
    assert found.code == 4 and "/dev/zero" in found.err
    assert "allow links" not in found.err and "remove it" in found.err


def test_a_fifo_in_place_of_settings(cli: Cli, clone: Path) -> None:
    """Whoever reads `.env` would wait for ever."""
    os.mkfifo(clone / ".env")
    found = cli("all", cwd=clone)
    assert found.code == 2 and "it is a FIFO" in found.err and "hint: replace it" in found.err


def test_what_a_dead_run_left_beside_the_lock_goes(cli: Cli, tmp_path: Path) -> None:
    """No attack: the machine went down while fetch.lock got its name, and the name came through."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/w.bin").write_bytes(b"w")
    write_project(tmp_path, "p", "artifacts:\n  a: {source: local:data}\n", "tree:\n  m/: a\n")
    assert cli("all").code == 0
    gone = subprocess.Popen(["true"])
    gone.wait()
    name = private_name("fetch.lock").replace(f".{os.getpid()}-", f".{gone.pid}-")
    os.link(tmp_path / "fetch.lock", tmp_path / name)
    shutil.rmtree(tmp_path / ".fetch")
    subprocess.run([sys.executable, "-m", "fetcher", "all"], cwd=tmp_path, check=True)
    assert name not in os.listdir(tmp_path)
