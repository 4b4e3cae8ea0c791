"""Many commands in one process, as a notebook or a server has them: nothing is left open."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.kit import wait_for
from tests.servers.hub import HubServer

DESCRIPTORS = Path("/proc/self/fd")
COMMANDS = (
    ["all"],
    ["outdated"],
    ["lock", "--update", "m"],
    ["access"],
    ["update", "--dry-run"],
    ["check", "--deep"],
    ["plan"],
    ["status"],
    ["get", "hf:o/m", "config.json", "--to", "got"],
    ["add", "hf:o/m", "--dry-run"],
    ["mirror", "have"],
    ["store", "du"],
    ["gc"],
)


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="nothing tells what is open")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_command_again_and_again(
    project: Path, hub: HubServer, cli: Cli, command: list[str]
) -> None:
    def is_open() -> int:
        gc.collect()
        return len(os.listdir(DESCRIPTORS))

    def run(number: int) -> None:
        if command == ["all"]:  # there is something to do
            hub.add_commit("o/m", {"config.json": f'{{"a": {number}}}\n'.encode()})
            assert cli("update").code == 0
        assert cli(*command).code == 0

    assert cli("all").code == 0
    run(0)
    before = is_open()
    for number in range(1, 4):
        run(number)
    wait_for(lambda: is_open() <= before)
