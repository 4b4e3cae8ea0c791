from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import Run, watchdog
from tests.servers.plain import FileServer


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with watchdog(90):
        yield


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server
        assert server.errors == []


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries are short."""
    for place in ("network.retry", "transfer.engine", "transfer.hosts", "transfer.recovery"):
        monkeypatch.setattr(f"fetcher.{place}.backoff", lambda attempt: 0.01)
