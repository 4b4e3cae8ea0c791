"""Hubs that count requests: the run says how long it takes, and asks for no more than it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer

ONE = "artifacts:\n  m:\n    source: hf:o/many\n"
TREE = "tree:\n  many/: m\n"


def refused(hub: HubServer) -> int:
    return sum(request.status == 429 for request in hub.requests)


@pytest.fixture
def many(project: Path, hub: HubServer) -> Path:
    """49 small files, some of them in LFS."""
    files = {f"f{n:02}.txt": b"%d" % n for n in range(40)}
    files |= {f"g{n:02}.safetensors": b"w%d" % n for n in range(9)}
    hub.add_repo("o/many", files)
    write_project(project, "p", ONE, TREE)
    return project


def test_a_run_tells_before_it_begins_and_is_never_refused(
    many: Path, hub: HubServer, cli: Cli
) -> None:
    hub.limit("resolvers", 30, window=3)
    planned = cli("plan")
    assert "allows 30 requests in 3 s (29 are left): 49 files take at least" in planned.out
    found = cli("all", "--json")
    assert found.code == 0, found.err
    assert "allows 30 requests in 3 s" in found.err and "49 files take at least" in found.err
    summary = found.json["summary"]
    assert summary["downloaded_files"] == 49 and summary["seconds"] < 20
    assert 1 <= summary["limited_seconds"] <= summary["seconds"] + 3
    assert refused(hub) == 0


def test_a_limit_that_is_not_met_is_not_spoken_of(many: Path, hub: HubServer, cli: Cli) -> None:
    hub.limit("resolvers", 100, window=60)
    found = cli("all", "--json")
    assert found.code == 0 and "take at least" not in found.err
    assert "limited_seconds" not in found.json["summary"] and refused(hub) == 0
