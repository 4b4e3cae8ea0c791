"""fetch serve beside nginx: the same files, the same clients, in turns.

    python -m benchmarks.serve [--files 10000] [--large 2GiB] [--rounds 1] [--folder DIR]

Prints ratios: the machine does not matter much then, whatever else it does.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import nginx
from benchmarks.workload import Served, Workload, build
from fetcher.project.lockfile import Lock, LockedArtifact, dumps
from fetcher.sources.base import FileEntry
from fetcher.store.store import Store

_CLIENTS = 64


def hold(root: Path, served: list[Served]) -> Path:
    """A project and a store that hold the workloads; returns the project."""
    project, store = root / "project", Store(root / "store")
    (project / "manifests").mkdir(parents=True, exist_ok=True)
    lock, lines = Lock(), ["manifest: bench", "artifacts:"]
    for item in served:
        work = item.workload
        files = []
        for entry in item.entries:
            sha256, size = str(entry["sha256"]), int(str(entry["size"]))
            if not store.has(sha256):
                store.add_file(str(item.files / str(entry["path"])), sha256, link=True)
            lfs = size >= 10 << 20
            git = None if lfs else str(entry["git"])
            files.append(FileEntry(str(entry["path"]), size, sha256, git, lfs))
        lock.artifacts["bench", work.name] = LockedArtifact(
            f"hf:{work.repo}@main", work.commit, "", tuple(sorted(files))
        )
        lines.append(f"  {work.name}: {{source: 'hf:{work.repo}'}}")
    store.close()
    (project / "manifests/bench.yaml").write_text("\n".join(lines) + "\n")
    (project / "fetch.lock").write_text(dumps(lock))
    return project


@contextmanager
def serving(project: Path, store: Path) -> Iterator[tuple[str, int]]:
    """`fetch serve`; yields its URL and process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fetcher", "serve", "--port", "0"],
        cwd=project,
        env={**os.environ, "FETCH_STORE": str(store)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r" at (http\S+)", process.stdout.readline())
    if found is None:
        raise SystemExit("fetch serve did not start")
    try:
        yield found[1], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def most_memory(pid: int) -> int:
    """The most bytes that a process ever had in memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", text)[0]) * 1024


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def hf_download(url: str, work: Workload) -> None:
    """The Hub's own client, from an empty cache."""
    hf = Path(sys.executable).with_name("hf")
    with tempfile.TemporaryDirectory(prefix="bench-hf-") as home:
        environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": home}
        environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
        subprocess.run(
            [hf, "download", work.repo, "--quiet"],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        count = sum(1 for path in Path(home).rglob("snapshots/**/*") if path.is_file())
        assert count == work.count, f"{count} of {work.count} files"


def curl_one(url: str, work: Workload) -> None:
    """One file to nowhere."""
    address = f"{url}/{work.repo}/resolve/main/{work.paths()[0]}"
    subprocess.run(["curl", "-sSf", "-o", os.devnull, address], check=True)


def curl_many(url: str, work: Workload) -> None:
    """64 clients at once, each with a range of its own; any error ends the benchmark."""
    address = f"{url}/{work.repo}/resolve/main/{work.paths()[0]}"
    share = work.size // _CLIENTS
    running = [
        subprocess.Popen(
            ["curl", "-sSf", "-o", os.devnull, "-r", f"{n * share}-{(n + 1) * share - 1}", address]
        )
        for n in range(_CLIENTS)
    ]
    if any(process.wait() for process in running):
        raise SystemExit("a client failed")


def compare(
    name: str, size: int, urls: dict[str, str], work: Callable[[str], object], rounds: int
) -> None:
    """Run something against each server in turns, and print the ratio."""
    times: dict[str, list[float]] = {server: [] for server in urls}
    for _ in range(rounds):
        for server, url in urls.items():
            times[server].append(seconds(lambda url=url: work(url)))  # type: ignore[misc]
    best = {server: statistics.median(found) for server, found in times.items()}
    figures = ", ".join(
        f"{server} {found:.2f} s ({size / found / 1e9:.2f} GB/s)" for server, found in best.items()
    )
    print(f"{name}: {best['fetch serve'] / best['nginx']:.2f} x nginx ({figures})", flush=True)


def main() -> None:
    """Build the workloads, start both servers, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=2 << 30, help="bytes of the large file")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    root = chosen.folder or Path(tempfile.mkdtemp(prefix="bench-serve-"))
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)  # nginx reads as another user
    small = Workload(f"small-{chosen.files}", chosen.files, chosen.size)
    large = Workload(f"large-{chosen.large}", 1, chosen.large)
    try:
        served = [build(small, root), build(large, root)]
        project = hold(root, served)
        with nginx.serving(root, served) as one, serving(project, root / "store") as (two, pid):
            urls = {"nginx": one, "fetch serve": two}
            curl_one(two, large)  # into the page cache, for both
            compare("one file", large.bytes, urls, lambda u: curl_one(u, large), 5)
            compare("64 clients", large.bytes, urls, lambda u: curl_many(u, large), 3)
            name = f"hf download of {small.count:,} files"
            compare(name, small.bytes, urls, lambda u: hf_download(u, small), chosen.rounds)
            print(f"fetch serve's memory: {most_memory(pid) / 1e6:.0f} MB at most")
    finally:
        if chosen.folder is None:
            shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
