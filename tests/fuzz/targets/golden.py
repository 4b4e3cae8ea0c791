"""fetch.golden.json: what is read is written and read as the same."""

from __future__ import annotations

from fetcher.errors import InvalidDocument
from fetcher.probes import golden
from tests.fuzz.kit import ROOT, Target, scratch, seed


def check(data: bytes) -> None:
    root = scratch() / "golden"
    root.mkdir(exist_ok=True)
    (root / golden.NAME).write_bytes(data)
    try:
        found = golden.read(root)
    except InvalidDocument as error:
        assert all(item.line >= 1 and item.hint for item in error.found)
        return
    golden.write(root, found)
    assert golden.read(root) == found


TARGET = Target(
    check,
    [
        seed('{"schema": "fetch.golden/1", "probes": {"m/a": {"t": {"float32": {"options": "x", '
             '"outputs": {"o": {"shape": [1], "mean": 0.5, "std": 1, "low": 0, "high": 1, '
             '"samples": [0.1, 2]}}}}}}}'),
        seed('{"schema": "fetch.golden/1", "probes": {}}'),
    ],
    ['"probes": {', '"outputs": {', '"shape": [', '"samples": [', "1e999", "NaN", "-Infinity", "null",
     "9" * 400, '"tolerance": 1', '"\\ud800"', "[" * 40, "{}", "true", '"options": []', "<<<<<<< "],
    also=lambda: [(ROOT / "fetch.golden.json").read_bytes()[:4000]],
)  # fmt: skip
