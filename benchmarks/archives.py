"""Unpacking against unzip and tar with sha256sum: python -m benchmarks.archives [--small]

An archive of many files is taken by `fetch all` from a folder beside the project, into an empty
store and tree, and by `unzip` or `tar` followed by `sha256sum` of every file. The rounds alternate;
the median of each counts, of wall time and of processor time. `fetch` syncs what it places; nobody
does that by hand.

Then one member of a zip of 2 GB on nginx: what the server has sent, beside the member's own bytes.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import Cost
from benchmarks.nginx import serving

_MANIFEST = """manifest: bench
artifacts:
  set: {{name: many files, source: "{source}", unpack: {unpack}}}
"""
_LAYOUT = "layout: bench\ntree:\n  set/: set\n"
_MEMBER = 5 << 20
_BY_HAND = {
    "zip": ("unzip", "-q", "{archive}", "-d", "{target}"),
    "tar.gz": ("tar", "-xzf", "{archive}", "-C", "{target}"),
    "tar.zst": ("tar", "-I", "zstd", "-xf", "{archive}", "-C", "{target}"),
}


def main() -> None:
    """Measure, and print a line for each format and one for the member."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="a tenth of the bytes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=[*_BY_HAND, "member"])
    parser.add_argument("--dir", type=Path, help="where to work; 6 GB free")
    options = parser.parse_args()
    chosen = options.only or [*_BY_HAND, "member"]
    count = 2000 if options.small else 20_000
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="archives-") as name:
        os.chmod(name, 0o755)  # nginx reads it as nobody
        root = Path(name)
        if any(kind in _BY_HAND for kind in chosen):
            _make_files(root / "files", count)
        for kind in chosen:
            if kind != "member":
                print(_unpacking(root, kind, count, options.rounds), flush=True)
        shutil.rmtree(root / "files", ignore_errors=True)
        if "member" in chosen:
            print(_one_member(root, (200 << 20) if options.small else (2 << 30)), flush=True)


def _make_files(folder: Path, count: int) -> None:
    """Files of 50 kB, which compress to a half."""
    chance = random.Random(1)
    for number in range(count):
        path = folder / f"set/{number // 1000:02d}/{number:05d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(25_000).hex().encode())


def _project(root: Path, source: str, unpack: str = "true") -> Path:
    project = root / "project"
    shutil.rmtree(project, ignore_errors=True)
    for folder in ("manifests", "layouts", "data"):
        (project / folder).mkdir(parents=True)
    (project / "manifests/bench.yaml").write_text(_MANIFEST.format(source=source, unpack=unpack))
    (project / "layouts/bench.yaml").write_text(_LAYOUT)
    return project


def _unpacking(root: Path, kind: str, count: int, rounds: int) -> str:
    archive = _project(root, "local:data") / f"data/set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
            for path in sorted((root / "files").rglob("*.txt")):
                made.write(path, path.relative_to(root / "files"))
    else:
        packer = "gzip -1" if kind == "tar.gz" else "zstd -q -3"
        tar = ("tar", "-I", packer, "-cf", archive, "-C", root / "files", "set")
        subprocess.run(tar, check=True)
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(_by_hand(root, archive, _BY_HAND[kind]))
        ours.append(_by_fetch(root, count))
    (mine, cpu), (other, other_cpu) = _medians(ours), _medians(theirs)
    return (
        f"{kind}, {count:,} files: fetch all {mine:.2f} s ({cpu:.2f} of a processor), "
        f"{_BY_HAND[kind][0]} and sha256sum {other:.2f} s ({other_cpu:.2f}): "
        f"{mine / other:.2f} ({cpu / other_cpu:.2f})"
    )


def _medians(costs: Sequence[Cost]) -> tuple[float, float]:
    return statistics.median(c.seconds for c in costs), statistics.median(c.cpu for c in costs)


def _cost(work: Callable[[], object]) -> Cost:
    """What the processes that `work` runs cost."""

    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before, began = cpu(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - began, cpu() - before)


def _by_hand(root: Path, archive: Path, command: Sequence[str]) -> Cost:
    target = root / "by-hand"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    unpack = [word.format(archive=archive, target=target) for word in command]
    hash_all = "find . -type f -print0 | xargs -0 sha256sum > ../sums"

    def work() -> None:
        subprocess.run(unpack, check=True)
        subprocess.run(hash_all, shell=True, cwd=target, check=True)

    took = _cost(work)
    shutil.rmtree(target)
    return took


def _by_fetch(root: Path, count: int) -> Cost:
    for name in ("store", "project/set", "project/.fetch"):
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "project/fetch.lock").unlink(missing_ok=True)
    took = _fetch_all(root)
    assert sum(1 for path in (root / "project/set").rglob("*") if path.is_file()) == count
    return took


def _fetch_all(root: Path) -> Cost:
    return _cost(
        lambda: subprocess.run(
            [sys.executable, "-m", "fetcher", "all", "--quiet"],
            cwd=root / "project",
            env={**os.environ, "FETCH_STORE": str(root / "store")},
            check=True,
        )
    )


def _one_member(root: Path, size: int) -> str:
    """One member of a zip of `size` bytes, by ranges."""
    shutil.rmtree(root / "store", ignore_errors=True)
    web = root / "web"
    web.mkdir()
    noise = random.Random(2).randbytes(_MEMBER)
    with zipfile.ZipFile(web / "large.zip", "w") as made:
        for number in range(size // _MEMBER):
            made.writestr(f"{number:04d}.bin", noise)
    log = root / "access.log"
    with serving(web, (), log) as url:
        _project(root, f"{url}/large.zip", "{members: 0030.bin}")
        took = _fetch_all(root)
    sent = sum(int(found) for found in re.findall(r'" 206 (\d+) ', log.read_text()))
    placed = (root / "project/set/0030.bin").stat().st_size
    return (
        f"one member of {placed:,} bytes of a zip of {size >> 20:,} MiB: {sent:,} bytes sent "
        f"({sent / placed:.3f}), {took.seconds:.2f} s"
    )


if __name__ == "__main__":
    main()
