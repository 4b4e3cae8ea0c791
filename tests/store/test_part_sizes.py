"""Partial downloads count by the bytes that are on disk, not by how far they reach."""

from __future__ import annotations

import os
from pathlib import Path

from fetcher.store import gc, usage
from fetcher.store.demands import demands
from fetcher.store.store import Store


def test_a_part_with_holes(tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    part = tmp_path / "partial" / f"{'a' * 32}.far.1.0a-1b.part"
    with part.open("wb") as stream:
        stream.write(b"x" * 100)
        stream.truncate(1 << 30)
    assert 0 < usage.measure(Store(tmp_path)).partial.bytes < 1 << 20
    os.utime(part, (0, 0))
    done = gc.sweep(Store(tmp_path), demands(Store(tmp_path)), dry_run=True)
    assert done.leftovers == 1 and 0 < done.bytes < 1 << 20
