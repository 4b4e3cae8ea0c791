"""Unpacking against unzip and sha256sum: python -m benchmarks.archives [--small] [--rounds N]

A zip of many files is taken by `fetch all` from a folder beside the project, into an empty store
and tree, and by `unzip -q` followed by `sha256sum` of every file. The rounds alternate; the fastest
of each counts. `fetch` syncs what it places; nobody does that by hand.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

_MANIFEST = """manifest: bench
artifacts:
  set: {name: many files, source: "local:data", unpack: true}
"""
_LAYOUT = "layout: bench\ntree:\n  set/: set\n"


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="a tenth of the files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="where to work; 4 GB free")
    options = parser.parse_args()
    count = 2000 if options.small else 20_000
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="archives-") as name:
        root = Path(name)
        _make(root, count)
        ours, theirs = [], []
        for _ in range(options.rounds):
            theirs.append(_by_hand(root))
            ours.append(_by_fetch(root, count))
        ratio = min(ours) / min(theirs)
        print(
            f"{count:,} files: fetch all {min(ours):.2f} s, unzip and sha256sum "
            f"{min(theirs):.2f} s: {ratio:.2f}"
        )


def _make(root: Path, count: int) -> None:
    """A project whose archive has `count` files of 50 kB, which compress to a half."""
    for folder in ("manifests", "layouts", "data"):
        (root / "project" / folder).mkdir(parents=True)
    (root / "project/manifests/bench.yaml").write_text(_MANIFEST)
    (root / "project/layouts/bench.yaml").write_text(_LAYOUT)
    chance = random.Random(1)
    with zipfile.ZipFile(root / "project/data/set.zip", "w", zipfile.ZIP_DEFLATED, True, 1) as made:
        for number in range(count):
            data = chance.randbytes(25_000).hex().encode()
            made.writestr(f"set/{number // 1000:02d}/{number:05d}.txt", data)


def _by_hand(root: Path) -> float:
    target = root / "by-hand"
    shutil.rmtree(target, ignore_errors=True)
    began = time.perf_counter()
    subprocess.run(["unzip", "-q", root / "project/data/set.zip", "-d", target], check=True)
    subprocess.run(
        "find . -type f -print0 | xargs -0 sha256sum > ../sums", shell=True, cwd=target, check=True
    )
    return time.perf_counter() - began


def _by_fetch(root: Path, count: int) -> float:
    for name in ("store", "project/set", "project/.fetch"):
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "project/fetch.lock").unlink(missing_ok=True)
    env = {**os.environ, "FETCH_STORE": str(root / "store")}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "fetcher", "all", "--quiet"],
        cwd=root / "project",
        env=env,
        check=True,
    )
    took = time.perf_counter() - began
    assert sum(1 for path in (root / "project/set").rglob("*") if path.is_file()) == count
    return took


if __name__ == "__main__":
    main()
