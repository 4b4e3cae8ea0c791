"""`make crash`: all classes of crashes, and a table of how they went.

`python -m tests.crash [--limit N] [--seed N] [--kind KIND] [SCENARIO…]`
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.crash import scenarios, shim
from tests.crash.bench import Bench
from tests.crash.classes import KINDS, Tally, try_scenario

_ROW = "{:26} {:13} {:>7} {:>7} {:>9} {:>8}"
_SHOWN = 3


def main() -> int:
    """Run, print, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="tests.crash", description=__doc__)
    parser.add_argument("--limit", type=int, default=100_000, help="points of each class")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("scenario", nargs="*", help="; ".join(m.__name__ for m in _makers([])))
    chosen = parser.parse_args()
    if why := shim.missing():
        print(f"not possible here: {why}")
        return 0
    tallies: list[Tally] = []

    def told(tally: Tally) -> None:
        tallies.append(tally)
        print(
            _ROW.format(
                tally.scenario,
                tally.kind,
                tally.all_points,
                tally.tried,
                len(tally.wrong),
                f"{tally.seconds:.0f} s",
            ),
            flush=True,
        )
        for label, wrong in tally.wrong[:_SHOWN]:
            print(f"    {label}: {wrong[0]}")

    print(_ROW.format("command", "class", "points", "tried", "failures", "took"))
    with tempfile.TemporaryDirectory(dir=_quick_disk()) as folder, Bench(Path(folder)) as bench:
        for maker in _makers(chosen.scenario):
            kinds = tuple(chosen.kind or KINDS)
            try_scenario(bench, maker, kinds, chosen.limit, chosen.seed, told)
    for kind in KINDS:
        mine = [tally for tally in tallies if tally.kind == kind]
        tried, failed = sum(t.tried for t in mine), sum(len(t.wrong) for t in mine)
        print(_ROW.format("all", kind, sum(t.all_points for t in mine), tried, failed, ""))
    return int(any(tally.wrong for tally in tallies))


def _makers(names: list[str]) -> list[scenarios.Maker]:
    return [maker for maker in scenarios.MAKERS if not names or maker.__name__ in names]


def _quick_disk() -> str | None:
    """In memory, where thousands of boxes cost no disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
