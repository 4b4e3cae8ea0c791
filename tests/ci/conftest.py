"""A checkout of fetch as others name it, a Hub on the loopback, and the tools that judge."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import WEIGHTS
from tests.servers.hub import HubServer

ROOT = Path(__file__).parents[2]
LIBRARIES = [path for path in sys.path if path.endswith("site-packages")]
# pip builds fetch itself, with the libraries that are here.
PIP = {
    "PYTHONPATH": os.pathsep.join(LIBRARIES),
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "1",
    "PIP_NO_COMPILE": "1",
}
PACKAGE_FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
MANIFEST = "artifacts:\n  m:\n    source: hf:o/m\n    exclude: .gitattributes\n"


def tool_path(name: str) -> Path:
    """A program of the environment that the tests run in, or of one whose libraries it sees."""
    folders = [Path(sys.executable).parent, *(Path(path).parents[2] / "bin" for path in LIBRARIES)]
    return next(folder / name for folder in folders if (folder / name).exists())


def use_libraries(environment: Path) -> None:
    """Let an environment into which fetch was installed have the libraries that are here."""
    (installed,) = environment.glob("lib/python*/site-packages")
    assert (installed / "fetcher").is_dir()
    (installed / "libraries.pth").write_text("\n".join(LIBRARIES))


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the action: what it runs, and what it installs."""
    folder = tmp_path_factory.mktemp("action")
    for name in (
        "action.yml",
        ".pre-commit-hooks.yaml",
        "setup.cfg",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    ):
        shutil.copy(ROOT / name, folder)
    for name in ("ci", "fetcher", "verify", "manifests", "layouts"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


@pytest.fixture(scope="session")
def machine(action: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUNNER_TEMP of a machine on which the first step has installed fetch, once for all tests.

    pip builds and installs fetch itself; the libraries are those that are here.
    """
    temporary = tmp_path_factory.mktemp("machine")
    env = {
        **os.environ,
        **PIP,
        "RUNNER_TEMP": str(temporary),
        "GITHUB_ACTION_PATH": str(action),
        "GITHUB_OUTPUT": str(temporary / "output"),
    }
    subprocess.run([sys.executable, action / "ci/github_action.py", "prepare"], env=env, check=True)
    (installed,) = (temporary / "fetch-action").glob("lib/python*/site-packages")
    assert (installed / "fetcher").is_dir()
    (installed / "libraries.pth").write_text("\n".join(LIBRARIES))
    return temporary


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo("o/m", {"config.json": b'{"a": 1}\n', "model.safetensors": WEIGHTS})
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
