"""A desk, and what stands on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle.conftest import keys
from tests.conftest import Cli
from tests.e2e.conftest import hub, project
from tests.hints.desk import Desk
from tests.servers.plain import FileServer
from tests.verify.conftest import plugin_path, plugins

__all__ = ["hub", "keys", "plugin_path", "plugins", "project"]


@pytest.fixture
def desk(tmp_path: Path, cli: Cli) -> Desk:
    """Where hints are followed."""
    return Desk(tmp_path, cli)


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server
