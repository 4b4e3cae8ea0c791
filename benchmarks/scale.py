"""What commands cost that look at a tree of very many files.

    python -m benchmarks.scale [--files 1000000] [--rounds 3] [--folder DIR]

makes trees of one artifact and of a thousand (see `benchmarks.million`), and looks at them without
a seal: no run has told that all is there. Once more with one, with and without `--json`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import measure
from benchmarks.million import make

_COMMANDS = ("status", "check", "plan", "status --json")
_SEALED = ("all", "all --json", "status", "status --json")


def _row(folder: Path, label: str, command: str, rounds: int) -> str:
    """Medians of one command in a tree, as a row of a table."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    environ = {**os.environ, "HOME": str(home), "FETCH_STORE": str(home / "store")}
    argv = [sys.executable, "-m", "fetcher", *command.split()]
    costs = [measure.run(argv, environ, folder) for _ in range(rounds)]
    peak = measure.peak_memory(argv, environ, folder)
    cpu = statistics.median(cost.cpu for cost in costs)
    return f"| {label} | {command} | {measure.median(costs):.2f} | {cpu:.2f} | {peak / 1e6:.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work: needs an inode for each file")
    chosen = parser.parse_args()
    folder = (chosen.folder or Path(tempfile.mkdtemp(prefix="bench-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    print("| tree | command | seconds | processor seconds | peak, MB |\n|---|---|---|---|---|")
    try:
        for artifacts in (1, 1000):
            each = max(1, chosen.files // artifacts)
            tree, label = folder / f"tree-{artifacts}", f"{artifacts:,} × {each:,}"
            make(tree, artifacts, each)
            for command in _COMMANDS:
                print(_row(tree, label, command, chosen.rounds), flush=True)
            _row(tree, label, "all", 1)  # seals it
            for command in _SEALED:
                print(_row(tree, f"{label}, sealed", command, chosen.rounds), flush=True)
            shutil.rmtree(tree)
    finally:
        if chosen.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
