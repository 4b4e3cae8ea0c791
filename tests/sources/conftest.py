from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import watchdog
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with watchdog(90):
        yield


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("fetcher.network.retry", "fetcher.transfer.engine", "fetcher.transfer.hosts"):
        monkeypatch.setattr(f"{place}.backoff", lambda attempt: 0.01)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer(page_size=3) as server:
        yield server
        assert server.errors == [] and server.cdn.errors == []
        assert server.cdn.leaks == []


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHubServer]:
    with GitHubServer(tmp_path / "repos") as server:
        yield server
        assert server.errors == []
        assert server.downloads.leaks == []


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server
        assert server.errors == []
