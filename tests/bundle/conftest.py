"""A small project with everything fetched, and what carries it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Cli, Result, write_project
from tests.e2e.conftest import hub, project
from tests.kit import payload

__all__ = ["hub", "project"]

WEIGHTS = payload(1_300_000)
FILES = {
    "model/config.json": b"{}",  # the same bytes as an OCI document has
    "model/model.safetensors": WEIGHTS,
    "model/empty.txt": b"",
    "set/a.jpg": payload(3000, 2),
    "set/b.jpg": payload(512, 3),
    "set/twin.jpg": payload(512, 3),
}
MANIFEST = """artifacts:
  model:
    name: A model
    license: Apache-2.0
    visibility: private
    source: local:data/model
  set:
    name: A set
    kind: dataset
    source: local:data/set
"""
LAYOUT = "tree:\n  models/m/: model\n  sets/s/: set\n"
TREE = {
    "models/m/config.json": FILES["model/config.json"],
    "models/m/model.safetensors": WEIGHTS,
    "models/m/empty.txt": b"",
    "sets/s/a.jpg": FILES["set/a.jpg"],
    "sets/s/b.jpg": FILES["set/b.jpg"],
    "sets/s/twin.jpg": FILES["set/twin.jpg"],
}


@dataclass
class Site:
    """A machine: its folder, its store, and `fetch` on it."""

    root: Path
    cli: Cli
    monkeypatch: pytest.MonkeyPatch

    @property
    def store(self) -> Path:
        return self.root / "store"

    def fetch(self, *arguments: str | Path, cwd: Path | None = None) -> Result:
        folder = cwd or self.root
        folder.mkdir(parents=True, exist_ok=True)
        with self.monkeypatch.context() as patch:
            patch.setenv("FETCH_STORE", str(self.store))
            return self.cli(*arguments, cwd=folder)

    def blobs(self) -> list[str]:
        """Digests in the store."""
        folder = self.store / "blobs/sha256"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def tree(self, root: Path | None = None) -> dict[str, bytes]:
        """What was placed."""
        top = root or self.root
        return {
            path.relative_to(top).as_posix(): path.read_bytes()
            for name in ("models", "sets")
            for path in (top / name).rglob("*")
            if path.is_file()
        }

    def leftovers(self) -> list[str]:
        folder = self.store / "partial"
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []


@pytest.fixture
def site(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Site]:
    """Make a machine of this name."""
    return lambda name: Site(tmp_path / name, cli, monkeypatch)


@pytest.fixture
def home(site: Callable[[str], Site]) -> Site:
    """The connected machine, with everything fetched."""
    found = site("home")
    write_project(found.root, "p", MANIFEST, LAYOUT)
    for name, data in FILES.items():
        path = found.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert found.fetch("all").code == 0
    return found


@pytest.fixture
def keys(tmp_path: Path) -> Callable[[str], Path]:
    """Make a pair of keys NAME.pem and NAME.pub."""

    def make(name: str) -> Path:
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        for command in (
            ["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", private],
            ["openssl", "ec", "-in", private, "-pubout", "-out", public],
        ):
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
        return private

    return make


def exported(home: Site, form: str, *arguments: str | Path) -> Path:
    """A bundle of the project as a folder, a tar, or volumes."""
    out = home.root.parent / {"folder": "bundle", "tar": "b.tar", "volumes": "v.tar"}[form]
    more = ["--volume-size", "1M"] if form == "volumes" else []
    result = home.fetch("mirror", "export", out, *more, *arguments)
    assert result.code == 0, result.err
    return out
