"""Homes that are not there, users without a name, and umasks: a run leaves what they allow."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import write_project

NAMELESS = "import os\nos.getuid = os.geteuid = lambda: 54321\n"
COMMANDS = (
    *("--help", "--version", "plan", "status", "check", "list", "show small", "tree", "config"),
    *("doctor", "gc", "store du", "lock", "report", "runtime", "all", "all --from ~/none"),
    *(
        "adopt files",
        "add local:~/x --yes",
        "mirror export out/b",
        "mirror pull oci://127.0.0.1:1/x",
    ),
)
# Of those: what writes into the store, the tree or the person's own files, or names a home.
THAT_WRITE = ("plan", "lock", "all", "all --from ~/none", "gc", "doctor", "mirror export out/b")
HOMES = {"none": {}, "a device": {"HOME": "/dev/null"}, "not there": {"HOME": "/proc/none"}}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    write_project(
        root, "p", "artifacts: {small: {source: 'local:files'}}\n", "tree: {out/: small}\n"
    )
    (root / "files").mkdir()
    (root / "files/small.txt").write_text("small")
    (root / "files/large.bin").write_bytes(b"x" * 3_000_000)
    return root


def run(
    root: Path, command: str, more: Mapping[str, str], umask: int = -1
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fetcher", *command.split()],
        cwd=root,
        env={"PATH": os.environ["PATH"], **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        umask=umask,
    )


@pytest.mark.parametrize(
    ("home", "user", "commands"),
    [
        ("none", "known", THAT_WRITE),
        ("none", "nameless", COMMANDS),
        # Where HOME says something, a user's name can only be lacking.
        ("a device", "nameless", COMMANDS),
        ("not there", "nameless", THAT_WRITE),
    ],
    ids=["none-known", "none-nameless", "a device-nameless", "not there-nameless"],
)
def test_every_command_works_or_says_what_to_set(
    tmp_path: Path, clone: Path, home: str, user: str, commands: tuple[str, ...]
) -> None:
    """A container whose user has no name, no home, or one that is not to be written."""
    more = dict(HOMES[home])
    if user == "nameless":
        (tmp_path / "site").mkdir()
        (tmp_path / "site/sitecustomize.py").write_text(NAMELESS)
        more["PYTHONPATH"] = str(tmp_path / "site")
    elif home == "none":
        more["FETCH_STORE"] = str(tmp_path / "store")  # the tests' own home stays clean
    for command in commands:
        done = run(clone, command, more)
        told = done.stdout + done.stderr
        assert done.returncode != 1 and "Traceback" not in told, (command, told)
        if "no home directory" in told:
            assert "set FETCH_STORE" in told, told
    assert not (clone / "~").exists()
    # What the hint says works.
    done = run(clone, "all", {**more, "FETCH_STORE": str(tmp_path / "store")})
    assert done.returncode == 0, done.stderr
    assert (clone / "out/small.txt").read_text() == "small"


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o002, 0o027])
def test_the_umask_holds_for_every_file(tmp_path: Path, clone: Path, umask: int) -> None:
    """Whatever its size and kind, no file may be read or written by more than the umask lets."""
    more = {"HOME": str(tmp_path / "home"), "FETCH_STORE": str(tmp_path / "store")}
    before = set(tmp_path.rglob("*"))
    for command in ("all", "all --link copy", "check", "verify", "mirror export bundle.tar"):
        done = run(clone, command, more, umask)
        assert done.returncode in {0, 8}, (command, done.stderr)
    made = {path for path in tmp_path.rglob("*") if not path.is_symlink()} - before
    assert len(made) > 15
    for path in made:
        mode = stat.S_IMODE(path.stat().st_mode)
        allowed = (0o777 if path.is_dir() else 0o666) & ~umask
        if "stamps" in path.parts and ".cache" in path.parts:
            assert mode in {0o700, 0o600, allowed}, path  # nobody else's
            continue
        read_only = "blobs" in path.parts or "out" in path.parts
        if path.is_file() and read_only and mode & 0o200 == 0:
            assert mode == allowed & ~0o222, (path, oct(mode))
        else:
            assert mode == allowed, (path, oct(mode))


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="needs rights to give up")
@pytest.mark.parametrize("known", [True, False])
def test_a_tree_that_cannot_be_written_is_whole_all_the_same(clone: Path, known: bool) -> None:
    """Honest: models in an image that is mounted read-only, copied there so that nothing is known
    of their times; nothing has to be written to see that all is there."""
    more = {"FETCH_STORE": str(clone.parent / "store"), "HOME": "/proc/none"}
    assert run(clone, "all", more).returncode == 0
    image = clone.parent / "image"
    shutil.copytree(clone, image, copy_function=shutil.copyfile)
    if not known:
        shutil.rmtree(image / ".fetch")
    for path in (image, *image.rglob("*"), *(clone.parent / "store").rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    # The owner may not override modes any longer, as nobody may on a read-only disk.
    capabilities = "-dac_override,-fowner,-dac_read_search"
    for command in ("all", "all --offline", "check --deep", "status", "plan"):
        done = subprocess.run(
            ["setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities, "--",
             sys.executable, "-m", "fetcher", *command.split()],
            cwd=image, env={"PATH": os.environ["PATH"], **more}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout, done.stderr)
