"""What is released: a wheel that anybody can build again, and tests with stated versions."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools import release_check

ROOT = Path(__file__).resolve().parent.parent


def _tracked() -> list[str]:
    found = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip("not a git checkout")
    return [name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def _build(where: Path, umask: str, time: int) -> Path:
    """The wheel, built from a copy whose files are of this time."""
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
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(tmp_path_factory.mktemp("wheel") / "one", "022", 1_600_000_000)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_wheel_is_the_same_wherever_it_is_built(wheel: Path, tmp_path: Path) -> None:
    """Another folder, another umask, files of another time."""
    assert _digest(_build(tmp_path / "another", "077", 1_650_000_000)) == _digest(wheel)


def test_the_wheel_has_all_of_the_packages_and_nothing_else(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name.startswith("model_fetcher-")
    assert release_check.wheel_differs(wheel, ROOT) == []
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for kind in ("py.typed", ".mo", "quickstart.yaml", "templates/add.html", "LICENSE"):
            assert any(name.endswith(kind) for name in names), kind
        lacking = tmp_path / wheel.name
        with zipfile.ZipFile(lacking, "w") as other:
            for name in names:
                if not name.endswith("py.typed"):
                    other.writestr(name, archive.read(name))
            other.writestr("tests/test_x.py", "")
    assert release_check.wheel_differs(lacking, ROOT) == [
        f"{wheel.name} lacks fetcher/py.typed",
        f"{wheel.name} has tests/test_x.py besides",
    ]


@pytest.mark.heavy
def test_what_is_installed_from_the_wheel_works(wheel: Path, tmp_path: Path) -> None:
    """The release check's own project, with the files of the wheel alone."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", tmp_path / "lib", wheel], check=True)
    start = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'lib')!r}); import fetcher.__main__ as m"
    )
    own = f"assert m.__file__.startswith({str(tmp_path)!r}); sys.argv[0] = 'fetch'; m.main()"
    release_check.try_fetch([sys.executable, "-c", f"{start}; {own}"], tmp_path)


@pytest.mark.heavy
def test_the_sdist_has_what_builders_and_testers_need(wheel: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in _tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, tmp_path], cwd=copy, capture_output=True, check=True
    )
    (sdist,) = tmp_path.glob("*.tar.gz")
    assert release_check.sdist_differs(sdist) == []


def test_the_image_is_small_runs_fetch_and_not_as_root() -> None:
    lines = release_check.container_lines((ROOT / "Containerfile").read_text())
    stages = [rest for name, rest in lines if name == "FROM"]
    assert len(stages) == 2 and all("-slim" in stage for stage in stages)
    last = lines[max(at for at, (name, _) in enumerate(lines) if name == "FROM") :]
    assert [rest for name, rest in last if name in {"USER", "ENTRYPOINT"}] == ["1000", '["fetch"]']
    runs = [rest for name, rest in lines if name == "RUN" and "pip install" in rest]
    assert runs and all("--no-cache-dir" in rest for rest in runs)
    # What a build needs is let through, and nothing that a clone gathers.
    through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    needed = {top.rstrip("/") for top in release_check.PLACES}
    assert through == needed | {"setup.cfg", "pyproject.toml", "README.md", "LICENSE"}


def test_every_package_that_tests_name_has_a_stated_version() -> None:
    locked = (ROOT / "constraints-test.txt").read_text()
    stated = {re.split("==", line)[0].lower() for line in locked.splitlines() if "==" in line}
    text = (ROOT / "setup.cfg").read_text()
    for section in ("install_requires =", "test ="):
        block = re.split(r"\n(?=[^ \n])", text[text.index(f"\n{section}") + 1 :])[0]
        for line in block.splitlines()[1:]:
            name = re.sub(r"[-_.]+", "-", re.split(r"[<>=\[;! ]", line.strip())[0].lower())
            assert not name or name.startswith(("%", "#")) or name in stated, name
