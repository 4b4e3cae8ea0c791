"""A small project against stand-in servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.e2e.secrets import Secrets
from tests.servers.hub import HubServer

WEIGHTS = bytes(range(256)) * 12_000  # 3 MB: more than is held in memory


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub with one model repository, `o/m`."""
    with HubServer() as server:
        server.add_repo(
            "o/m",
            {
                "config.json": b'{"a": 1}\n',
                "model.safetensors": WEIGHTS,
                "sub/vocab.txt": b"one\ntwo\n",
                ".gitattributes": b"*.safetensors filter=lfs\n",
            },
        )
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        assert server.errors == []
        assert server.cdn.leaks == []


@pytest.fixture
def secrets(tmp_path_factory: pytest.TempPathFactory, hermetic: Path) -> Secrets:
    """A run's secrets, given in every place there is; `leaks` and `child_leaks` search for them."""
    found = Secrets(tmp_path_factory.mktemp("secrets"))
    found.give(hermetic)
    return found


@pytest.fixture
def project(tmp_path: Path, hub: HubServer) -> Path:
    """A project that wants all of `o/m` but .gitattributes, below models/."""
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m:\n    source: hf:o/m\n    exclude: .gitattributes\n",
        "tree:\n  models/m/: m\n",
    )
    return tmp_path


def files_below(root: Path) -> dict[str, bytes]:
    """Every file of a tree but what fetch keeps for itself."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".fetch" not in path.parts
    }
