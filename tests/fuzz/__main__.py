"""`python -m tests.fuzz [NAME…] --seconds N`: fuzz one target, or all in turn."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz import engine, kit


def main() -> int:
    """Run what was asked for; 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(kit.names()))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--corpus", type=Path, help="folder of what was learnt, one a target")
    parser.add_argument("--chance", action="store_true", help="without atheris")
    flags = parser.parse_args()
    if unknown := set(flags.names) - set(kit.names()):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(kit.names())}")
    by_chance = flags.chance or not engine.is_guided()
    if by_chance and not flags.chance:
        print("atheris is not installed: inputs are changed by chance, unguided by coverage")
    wanted = flags.names or kit.names()
    if len(wanted) == 1 and not by_chance:
        _here(wanted[0], flags.seconds, flags.corpus)
    total, failed = 0, []
    for name in wanted:
        started = time.monotonic()
        done, sound = _apart(name, flags.seconds, flags.corpus, by_chance)
        total += done
        spent = max(time.monotonic() - started, 0.001)
        verdict = "" if sound else "  FOUND SOMETHING: see tests/fuzz/cases/" + name
        print(f"{name:18} {done:>12,} executions {done / spent:>9,.0f}/s{verdict}", flush=True)
        if not sound:
            failed.append(name)
    print(f"{'all':18} {total:>12,} executions")
    return 1 if failed else 0


def _here(name: str, seconds: int, corpus: Path | None) -> None:
    engine.guided(name, seconds, corpus / name if corpus else engine.corpus_of(name))


def _apart(name: str, seconds: int, corpus: Path | None, by_chance: bool) -> tuple[int, bool]:
    """A target in a process of its own: (executions, whether nothing was found)."""
    if by_chance:
        try:
            return engine.by_chance(name, seconds, os.getpid()), True
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}")
            return 0, False
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds)]
    if corpus:
        command += ["--corpus", str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    counted = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:], file=sys.stderr)
    return int(counted[1]) if counted else 0, done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
