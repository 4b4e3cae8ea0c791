"""Transfers beside the peers', on the same bytes from the same nginx, in turn, several rounds.

    python -m benchmarks.transfer [--rounds 5] [--folder DIR] [--only SECTION …]

writes `benchmarks/results/transfer.json`, and from it the tables and plots.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import measure, nginx, peers, tables
from benchmarks.peers import Peer
from benchmarks.workload import Served, Workload, build

RESULTS = Path(__file__).with_name("results")
MIB = 1 << 20
SMALL = Workload("small-10000", 10_000, 20_000)
MANY = Workload("small-100000", 100_000, 20_000)
LARGE = Workload("large-2048", 1, 2048 * MIB)
EIGHT = Workload("eight-256", 8, 256 * MIB)
SERIES_FILES = [Workload("small-100", 100, 20_000), Workload("small-1000", 1000, 20_000)]
SERIES_SIZES = [Workload(f"large-{n}", 1, n * MIB) for n in (1, 16, 128, 512)]
SECTIONS = ("small", "nothing", "clone", "large", "eight", "memory", "files", "sizes")


_LARGE_MAKERS: tuple[Callable[..., Peer], ...] = (
    peers.fetch,
    peers.fetch_unsynced,
    peers.curl,
    partial(peers.curl, digest=True),
    peers.aria2c,
    peers.requests_pool,
    peers.hf_download,
    peers.copied,
    peers.hashed,
    peers.received,
)


class Bench:
    """One run: where it works, what it serves, and what it has found."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.folder = folder
        self.rounds = rounds
        self.aside = folder / "aside"
        self.found: dict[str, Any] = {}

    def serve(self, *works: Workload) -> list[Served]:
        """Build workloads below the folder."""
        return [build(work, self.folder / "served") for work in works]

    def compare(
        self,
        section: str,
        served: Served,
        contenders: Sequence[Peer],
        rounds: int = 0,
        cold: bool = True,
    ) -> None:
        """Run all contenders in turn, round after round."""
        costs: dict[str, list[measure.Cost]] = {peer.name: [] for peer in contenders}
        for number in range(rounds or self.rounds):
            for peer in contenders:
                if cold:
                    peer.clean(self.aside)
                    served.warm()
                    measure.have_memory(self.folder, served.workload.count * served.workload.size)
                os.sync()  # nobody pays for what the one before has written
                cost = measure.run(peer.argv, peer.environ, self.folder)
                costs[peer.name].append(cost)
                if cold:  # nor for the memory that it fills
                    peer.clean(self.aside)
                print(f"{section} {number + 1}: {peer.name}: {cost.seconds:.2f} s", flush=True)
        self.found[section] = {
            name: {
                "median": round(measure.median(list_), 3),
                "seconds": [round(cost.seconds, 3) for cost in list_],
                "cpu": round(sum(cost.cpu for cost in list_) / len(list_), 3),
            }
            for name, list_ in costs.items()
        }


def small(bench: Bench) -> None:
    """10,000 files of 20 kB, cold."""
    (served,) = bench.serve(SMALL)
    with nginx.serving(bench.folder / "served", [served]) as end:
        makers = (
            peers.fetch,
            peers.fetch_unsynced,
            peers.curl,
            peers.aria2c,
            peers.requests_pool,
        )
        bench.compare("small", served, [make(served, end, bench.folder) for make in makers])
        slow = peers.hf_download(served, end, bench.folder)
        found = bench.found["small"]
        bench.compare("small-hf", served, [slow], rounds=min(2, bench.rounds))
        bench.found["small"] = {**found, **bench.found.pop("small-hf")}


def nothing(bench: Bench) -> None:
    """The same with nothing to do, and 100,000 files with nothing to do."""
    served, many = bench.serve(SMALL, MANY)
    with nginx.serving(bench.folder / "served", [served, many]) as end:
        ours, theirs = (m(served, end, bench.folder) for m in (peers.fetch, peers.hf_download))
        for peer in (ours, theirs):
            peer.clean(bench.aside)
            measure.run(peer.argv, peer.environ, bench.folder)
        bench.compare("nothing", served, [ours, theirs], cold=False)
        ours.clean(bench.aside)
        theirs.clean(bench.aside)
        ours = peers.fetch(many, end, bench.folder)
        ours.clean(bench.aside)
        measure.run(ours.argv, ours.environ, bench.folder)
        bench.compare("nothing-100000", many, [ours], cold=False)
        ours.clean(bench.aside)


def clone(bench: Bench) -> None:
    """A second clone on the same machine: the store has everything."""
    (served,) = bench.serve(SMALL)
    with nginx.serving(bench.folder / "served", [served]) as end:
        first = peers.fetch(served, end, bench.folder)
        first.clean(bench.aside)
        measure.run(first.argv, first.environ, bench.folder)
        second = peers.fetch(served, end, bench.folder, "--offline")
        second.fresh = [path for path in first.fresh if path.name in {"data", ".fetch"}]
        bench.compare("clone", served, [second])
        first.clean(bench.aside)


def large(bench: Bench) -> None:
    """One file of 2 GiB."""
    (served,) = bench.serve(LARGE)
    with nginx.serving(bench.folder / "served", [served]) as end:
        contenders = [make(served, end, bench.folder) for make in (*_LARGE_MAKERS, peers.dumped)]
        bench.compare("large", served, contenders)


def eight(bench: Bench) -> None:
    """8 files of 256 MiB."""
    (served,) = bench.serve(EIGHT)
    with nginx.serving(bench.folder / "served", [served]) as end:
        contenders = [make(served, end, bench.folder) for make in _LARGE_MAKERS]
        bench.compare("eight", served, contenders, rounds=min(3, bench.rounds))


def memory(bench: Bench) -> None:
    """Peak memory of all processes of a command together."""
    works = bench.serve(SMALL, MANY, LARGE)
    with nginx.serving(bench.folder / "served", works) as end:
        found: dict[str, dict[str, float]] = {}
        for served in works:
            makers: list[Callable[..., Peer]] = [peers.fetch, peers.curl, peers.aria2c]
            if served.workload is not MANY:
                makers += [peers.requests_pool]
            else:
                makers = makers[:2]
            for make in makers:
                peer = make(served, end, bench.folder)
                peer.clean(bench.aside)
                used = measure.peak_memory(peer.argv, peer.environ, bench.folder)
                peer.clean(bench.aside)
                found.setdefault(served.workload.name, {})[peer.name] = round(used / 1e6, 1)
                print(f"memory: {served.workload.name}: {peer.name}: {used / 1e6:.0f} MB")
        bench.found["memory"] = found


def _series(bench: Bench, section: str, works: Sequence[Workload], slow_up_to: int) -> None:
    served_all = bench.serve(*works)
    found: dict[str, dict[str, float]] = {}
    with nginx.serving(bench.folder / "served", served_all) as end:
        for served in served_all:
            quick = served.workload.count * served.workload.size > 10**9
            contenders = [m(served, end, bench.folder) for m in (peers.fetch, peers.curl)]
            if served.workload.count <= slow_up_to:
                makers = (peers.aria2c, peers.requests_pool, peers.hf_download)
                contenders += [make(served, end, bench.folder) for make in makers]
            rounds = 1 if quick else min(3, bench.rounds)
            bench.compare("series", served, contenders, rounds)
            key = str(served.workload.count if section == "files" else served.workload.size // MIB)
            found[key] = {name: v["median"] for name, v in bench.found.pop("series").items()}
    bench.found[section] = found


def files(bench: Bench) -> None:
    """Time over the number of files of 20 kB."""
    _series(bench, "files", [*SERIES_FILES, SMALL, MANY], slow_up_to=1000)
    # What has been measured above need not be measured again.
    for name, values in bench.found.get("small", {}).items():
        bench.found["files"]["10000"].setdefault(name, values["median"])


def sizes(bench: Bench) -> None:
    """Time over the size of one file, in MiB."""
    _series(bench, "sizes", [*SERIES_SIZES, LARGE], slow_up_to=1)


def main() -> None:
    """Run the chosen sections, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to work: needs 40 GB; kept if given")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=SECTIONS)
    chosen = parser.parse_args()
    folder = (chosen.folder or Path(tempfile.mkdtemp(prefix="bench-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(folder, chosen.rounds)
    target = RESULTS / "transfer.json"
    before = json.loads(target.read_text("utf-8")) if target.exists() else {}
    bench.found = {
        **before,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": measure.machine(),
        "versions": peers.versions(),
        "rounds": chosen.rounds,
    }
    try:
        for section in chosen.only:
            globals()[section](bench)
            RESULTS.mkdir(exist_ok=True)
            target.write_text(json.dumps(bench.found, indent=1) + "\n", "utf-8")
    finally:
        shutil.rmtree(bench.aside, ignore_errors=True)
        if chosen.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    tables.write(bench.found, RESULTS)


if __name__ == "__main__":
    main()
