"""Whether a plan fits its disks."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from fetcher.sources.base import FileEntry
from fetcher.tree import disk_space
from fetcher.tree.disk_space import Room, room_for
from tests.tree.desk import Desk


class _Usage(NamedTuple):
    free: int


def told(room: Room) -> list[tuple[str, str]]:
    return [(problem.code, problem.message) for problem in room.problems()]


@pytest.mark.parametrize("seed", range(30))
def test_a_glance_says_what_a_close_look_says(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many disks hold a plan twice over, and nothing else is asked of them."""
    dice = random.Random(seed)
    desk = Desk(tmp_path)
    files = [
        FileEntry(f"{number}.bin", dice.choice([None, 10, 1000]), f"{number % 5:064x}")
        for number in range(dice.randint(1, 20))
    ]
    plan = desk.plan(files, writable=dice.random() < 0.5)
    most = 2 * sum(file.size or 0 for file in files) + disk_space._MARGIN
    glances = 0
    for free in (0, most // 2, most - 1, most, most + 1, 1 << 40):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: _Usage(free))
        for link in ("copy", "auto"):
            glance = told(room_for(plan, desk.store.root, link))
            with monkeypatch.context() as patch:
                patch.setattr(disk_space._Disks, "surely_hold", lambda *_: False)
                assert told(room_for(plan, desk.store.root, link)) == glance
            glances += not glance
    assert glances
