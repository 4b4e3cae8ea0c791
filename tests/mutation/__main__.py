"""`python -m tests.mutation [MODULE…]`: how many changes of the code the tests notice."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.mutation.modules import MODULES
from tests.mutation.mutants import Result, run

LEAST = 90


def main() -> int:
    """Run, show a table and the survivors; 1 where fewer than 90 of 100 are killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as fs/patterns")
    parser.add_argument("--sample", type=int, default=0, help="mutants of each module; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="which sample")
    chosen = parser.parse_args()
    if unknown := set(chosen.modules) - MODULES.keys():
        parser.error(f"no such module: {', '.join(sorted(unknown))}; known: {', '.join(MODULES)}")
    results, broken = [], False
    for module in chosen.modules or MODULES:
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            try:
                result = run(Path(folder), module, chosen.sample, chosen.seed)
            except RuntimeError as error:
                print(error, file=sys.stderr)
                broken = True
                continue
            finally:
                os.chdir("/")
        results.append(result)
        _show_survivors(result)
    return _show_table(results) or int(broken)


def _show_survivors(result: Result) -> None:
    print(f"{result.module}: {result.killed} of {result.tried} killed", file=sys.stderr, flush=True)
    for mutant in result.survivors:
        print(f"\n{mutant.name}", *mutant.diff, sep="\n", flush=True)


def _percent(killed: int, tried: int) -> float:
    return 100 * killed / tried if tried else 100.0


def _show_table(results: list[Result]) -> int:
    print(
        f"\n{'module':24}{'mutants':>9}{'tried':>7}{'killed':>8}{'explained':>11}{'survived':>10}"
    )
    total = Result("all", 0, 0, [], 0)
    for one in results:
        total.made += one.made
        total.tried += one.tried
        total.survivors += one.survivors
        total.explained += one.explained
    for one in [*results, total]:
        share = _percent(one.killed, one.tried - one.explained)
        counts = f"{one.made:9,}{one.tried:7,}{one.killed:8,}{one.explained:11,}"
        print(f"{one.module:24}{counts}{len(one.survivors):10,}{share:8.1f} %")
    share = _percent(total.killed, total.tried - total.explained)
    if share < LEAST:
        print(f"fewer than {LEAST} of 100 mutants are killed", file=sys.stderr)
    return int(share < LEAST)


if __name__ == "__main__":
    sys.exit(main())
