"""What is released: a wheel that anybody can build again, and tests with stated versions."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _tracked() -> list[str]:
    found = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip("not a git checkout")
    return [name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def _build(where: Path, umask: str, time: int) -> str:
    """The wheel's sha256, built from a copy whose files are of this time."""
    for name in _tracked():
        if name.startswith(("tests/", "docs/")):
            continue
        target = where / "copy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        os.utime(target, (time, time))
    installed = where / "copy" / ".venv-test" / ".installed"
    installed.parent.mkdir(parents=True)
    installed.touch()
    make = f"umask {umask}; make wheel TEST={Path(sys.executable).parent} DIST={where}/dist"
    environ = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(
        ["sh", "-c", make], cwd=where / "copy", capture_output=True, text=True, env=environ,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = (where / "dist").glob("*.whl")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_the_wheel_is_the_same_wherever_it_is_built(tmp_path: Path) -> None:
    """Another folder, another umask, files of another time."""
    first = _build(tmp_path / "one", "022", 1_600_000_000)
    assert _build(tmp_path / "another", "077", 1_650_000_000) == first


def test_every_package_that_tests_name_has_a_stated_version() -> None:
    locked = (ROOT / "constraints-test.txt").read_text()
    stated = {re.split("==", line)[0].lower() for line in locked.splitlines() if "==" in line}
    text = (ROOT / "setup.cfg").read_text()
    for section in ("install_requires =", "test ="):
        block = re.split(r"\n(?=[^ \n])", text[text.index(f"\n{section}") + 1 :])[0]
        for line in block.splitlines()[1:]:
            name = re.sub(r"[-_.]+", "-", re.split(r"[<>=\[;! ]", line.strip())[0].lower())
            assert not name or name.startswith(("%", "#")) or name in stated, name
