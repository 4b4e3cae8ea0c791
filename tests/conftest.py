"""Every test is hermetic: its own store, caches and home, no token, no host but this one."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from fetcher.commands import run

# At a desk new examples are tried every time; in CI the same ones, so that a change is judged by
# itself. A busy machine is no failure.
hypothesis.settings.register_profile("desk", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
# Under a mutant the first example that fails is enough.
hypothesis.settings.register_profile(
    "mutation",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=30,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "desk")

# What is compiled here is kept, whatever the environment says: else every process that collects
# the tests compiles them anew, for as long as all else that it does to begin.
sys.dont_write_bytecode = False

_KEPT = {"PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONPATH"}
# Several tests run at once, on small matrices: threads of one would wait for those of another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
_KEPT.add("OMP_NUM_THREADS")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of heavy tests first: what is short comes last, when workers wait for each other.

    A file's tests stay together, as they share what is made for them.
    """
    heavy = {item.path for item in items if item.get_closest_marker("heavy")}
    items.sort(key=lambda item: item.path not in heavy)


_MADE: Counter[str] = Counter()  # how many folders of a name there are


def _new_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """As `factory.mktemp`, which looks through all that was made before: thousands of folders."""
    while True:
        path = factory.getbasetemp() / f"{name}{_MADE[name]}"
        _MADE[name] += 1
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return path


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own, named as pytest's own fixture names it."""
    return _new_folder(tmp_path_factory, re.sub(r"\W", "_", request.node.name)[:30])


@pytest.fixture(autouse=True)
def hermetic(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own; returns it."""
    home = _new_folder(tmp_path_factory, "home")
    for name in list(os.environ):
        if name not in _KEPT and not name.startswith(("PIP_", "PYTEST", "COV", "FETCH_TEST")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("FETCH_STORE", str(home / "store"))
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    return home


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python code in this process cannot leave the machine (libcurl and children still could)."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "local"
        if host not in {"127.0.0.1", "::1", "localhost", "local"}:
            raise AssertionError(f"a test reached for {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@dataclass
class Result:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    @property
    def codes(self) -> set[str]:
        """The error codes of the JSON report."""
        return {error["code"] for error in self.json["errors"]}


Cli = Callable[..., Result]


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """Run `fetch ARGS…` in this process, in the folder `cwd` (default: tmp_path)."""

    def call(*arguments: str | Path, cwd: Path | None = None) -> Result:
        with monkeypatch.context() as patch:
            patch.chdir(cwd or tmp_path)
            capsys.readouterr()
            code = run([str(argument) for argument in arguments])
            captured = capsys.readouterr()
        if code == 1:
            print(captured.err, file=sys.stderr)
        return Result(code, captured.out, captured.err)

    yield call


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a text file below tmp_path."""

    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    return put


def write_project(root: Path, name: str, manifest: str, layout: str) -> None:
    """A project with one manifest and its layout, given without their first line."""
    for folder, text in (
        ("manifests", f"manifest: {name}\n{manifest}"),
        ("layouts", f"layout: {name}\n{layout}"),
    ):
        path = root / folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
