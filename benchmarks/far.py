"""Transfers from far servers: TLS and HTTP/2 behind a line with delay and a bound per connection.

    python -m benchmarks.far [--rounds 3] [--folder DIR] [--quick] [--only small large …]

writes `benchmarks/results/far.json` and the table `far.md`. The delay and the bound decide, not
the machine: what it states as the line's ceiling is what the relay alone passes on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import measure, nginx, peers
from benchmarks.nginx import Line
from benchmarks.transfer import MIB, RESULTS, Bench
from benchmarks.workload import Workload, build

# Round trip in ms, MB/s of each connection.
LINES = (Line(20, 40), Line(100, 20), Line(200, 5))
_WORKS = {
    "small": (Workload("small-10000", 10_000, 20_000), Workload("small-2000", 2_000, 20_000)),
    "large": (Workload("large-1024", 1, 1024 * MIB), Workload("large-256", 1, 256 * MIB)),
}
_MAKERS = (peers.fetch, partial(peers.aria2c, connections=16), peers.curl, peers.hf_download)
_PEERS = ("aria2c", "curl --parallel", "hf download")
_MOST = 16  # connections of the peer that uses most


def _ceiling(root: Path, folder: Path) -> float:
    """What the relay passes on without delay or bound, in MB/s: nothing is faster than that."""
    work = build(Workload("large-256", 1, 256 * MIB), root)
    with nginx.serving(root, [work], line=Line(0, 0)) as end:
        url = f"{end}/{work.workload.repo}/resolve/main/{work.entries[0]['path']}"
        argv = ["curl", "--silent", "--fail", "--cacert", os.environ["SSL_CERT_FILE"]]
        argv += ["--output", "/dev/null", "--write-out", "%{speed_download}", url]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=folder)
    return float(done.stdout) / 1e6


def _measure(bench: Bench, kind: str, line: Line, work: Workload, skip: set[str]) -> dict[str, Any]:
    """All tools in turn on one workload over one line."""
    (served,) = bench.serve(work)
    with nginx.serving(bench.folder / "served", [served], line=line) as end:
        contenders = [make(served, end, bench.folder) for make in _MAKERS]
        chosen = [peer for peer in contenders if peer.name not in skip]
        bench.compare("far", served, chosen)
    found: dict[str, Any] = bench.found.pop("far")
    waits = work.count / 1000 * line.round_trip / 1000  # pages of the listing, one after the other
    limit = work.bytes / (line.rate * 1e6 * _MOST) + waits
    return {
        "line": [line.round_trip, line.rate],
        "work": work.name,
        "kind": kind,
        "limit": round(limit, 2),
        "tools": found,
    }


def table(found: dict[str, Any]) -> str:
    """How many times as long as `fetch all` each tool takes, as a Markdown table."""
    lines = [
        "| work | round trip | each connection | 16 connections need | fetch all | "
        + " | ".join(_PEERS)
        + " |",
        "|---|---|---|---|---|" + "---|" * len(_PEERS),
    ]
    for row in found["rows"]:
        ours = row["tools"]["fetch all"]["median"]
        medians = [row["tools"].get(name, {}).get("median") for name in _PEERS]
        cells = [f"{one / ours:.1f} ×" if one else "–" for one in medians]
        trip, rate = row["line"]
        lines.append(
            f"| {row['work']} | {trip:g} ms | {rate:g} MB/s | {row['limit']:.1f} s "
            f"| {ours:.1f} s | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all rows, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work: needs 8 GB; kept if given")
    parser.add_argument("--quick", action="store_true", help="2,000 files, and 256 MiB")
    parser.add_argument("--only", nargs="*", choices=_WORKS, default=list(_WORKS))
    parser.add_argument("--lines", nargs="*", type=int, help="round trips", default=[])
    parser.add_argument("--skip", nargs="*", choices=_PEERS, default=[])
    chosen = parser.parse_args()
    folder = (chosen.folder or Path(tempfile.mkdtemp(prefix="bench-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(dict.fromkeys(peers.TRUST, str(nginx.certificate(folder / "served"))))
    bench = Bench(folder, chosen.rounds)
    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": measure.machine(),
        "versions": peers.versions(),
        "rounds": chosen.rounds,
        "ceiling": round(_ceiling(folder / "served", folder)),
        "rows": [],
    }
    try:
        for line in LINES:
            if chosen.lines and line.round_trip not in chosen.lines:
                continue
            for kind in chosen.only:
                work = _WORKS[kind][chosen.quick]
                found["rows"].append(_measure(bench, kind, line, work, set(chosen.skip)))
    finally:
        shutil.rmtree(bench.aside, ignore_errors=True)
        if chosen.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "far.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    text = table(found)
    (RESULTS / "far.md").write_text(_heading(found) + text + "\n", "utf-8")
    print(text)


def _heading(found: dict[str, Any]) -> str:
    machine, rounds = found["machine"], found["rounds"]
    told = "one round" if rounds == 1 else f"medians of {rounds} rounds"
    return (
        "# Far servers\n\n"
        f"{found['date']}, {told}, {machine['cores']} cores; "
        f"the relay itself passes on {found['ceiling']} MB/s.\n\n"
    )


if __name__ == "__main__":
    main()
