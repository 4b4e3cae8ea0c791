"""What the README says of the benchmarks is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import far, tables

ROOT = Path(__file__).parents[1]


def test_the_readme_shows_the_measured_table() -> None:
    found = json.loads((ROOT / "benchmarks/results/transfer.json").read_text("utf-8"))
    table = tables.table(found)
    assert table.count("\n") >= 4
    assert table in (ROOT / "README.md").read_text("utf-8")
    assert table in (ROOT / "benchmarks/results/transfer.md").read_text("utf-8")
    assert table in (ROOT / "docs/comparison.md").read_text("utf-8")


def test_the_comparison_shows_the_measured_far_servers() -> None:
    found = json.loads((ROOT / "benchmarks/results/far.json").read_text("utf-8"))
    table = far.table(found)
    assert table.count("\n") == 1 + len(found["rows"])
    assert table in (ROOT / "docs/comparison.md").read_text("utf-8")
    assert table in (ROOT / "benchmarks/results/far.md").read_text("utf-8")
