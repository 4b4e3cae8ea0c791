"""Bundles against tar and sha256sum: python -m benchmarks.bundle [--small] [--rounds N]

Export is compared with `tar cf` of the same files, import with `tar xf` followed by `sha256sum`.
The rounds alternate, so that what else the machine does falls on both; the fastest of each
counts. Nothing is synced in between, as nobody does it by hand, but for what `fetch` itself
syncs.
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
from collections.abc import Callable
from pathlib import Path

_MANIFEST = """manifest: bench
artifacts:
  set: {name: small files, source: "local:data/set"}
  model: {name: one large file, source: "local:data/model"}
"""
_LAYOUT = "layout: bench\ntree:\n  set/: set\n  model/: model\n"


def main() -> None:
    """Measure, and print one line for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="a hundredth of the files and bytes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="where to work; 10 GB free")
    options = parser.parse_args()
    count, large = (100, 20 << 20) if options.small else (10_000, 2 << 30)
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="bundle-") as name:
        bench = Bench(Path(name), count, large)
        bench.compare("export", "tar cf", bench.export, bench.tar, options.rounds)
        bench.compare("import", "tar xf, sha256sum", bench.take, bench.untar, options.rounds)
        bench.delta()


class Bench:
    """A project with everything fetched, below `root`."""

    def __init__(self, root: Path, count: int, large: int) -> None:
        self.root, self.project = root, root / "project"
        self.bundle, self.plain = root / "bundle.tar", root / "plain.tar"
        chance = random.Random(1)
        for folder in ("manifests", "layouts", "data/set", "data/model"):
            (self.project / folder).mkdir(parents=True)
        (self.project / "manifests/bench.yaml").write_text(_MANIFEST)
        (self.project / "layouts/bench.yaml").write_text(_LAYOUT)
        for number in range(count):
            path = self.project / f"data/set/{number:05d}.jpg"
            path.write_bytes(chance.randbytes(20_000))
        with (self.project / "data/model/model.safetensors").open("wb") as stream:
            for _ in range(large >> 20):
                stream.write(chance.randbytes(1 << 20))
        print(f"{count:,} files of 20 kB and one of {large / 2**30:.2f} GiB", flush=True)
        self.fetch("all", "--quiet")

    def fetch(self, *arguments: str | Path, store: str = "store") -> None:
        """Run `fetch` in the project."""
        subprocess.run(
            [sys.executable, "-m", "fetcher", *map(str, arguments)],
            cwd=self.project,
            env={**os.environ, "FETCH_STORE": str(self.root / store)},
            stderr=subprocess.DEVNULL,
            check=True,
        )

    def compare(
        self,
        label: str,
        other: str,
        ours: Callable[[], float],
        theirs: Callable[[], float],
        rounds: int,
    ) -> None:
        """Run both in turn, and print the fastest of each and their ratio."""
        times = [(ours(), theirs()) for _ in range(rounds)]
        best, peer = (min(column) for column in zip(*times, strict=True))
        print(f"{label:<8}{best:7.2f} s   {other}{peer:7.2f} s   ratio {best / peer:.2f}")

    def _timed(self, work: Callable[[], object]) -> float:
        os.sync()
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    def export(self) -> float:
        """Seconds to export."""
        self.bundle.unlink(missing_ok=True)
        return self._timed(lambda: self.fetch("mirror", "export", self.bundle, "--quiet"))

    def tar(self) -> float:
        """Seconds of tar for the same files."""
        self.plain.unlink(missing_ok=True)
        command = ["tar", "cf", str(self.plain), "-C", str(self.project / "data"), "."]
        seconds = self._timed(lambda: subprocess.run(command, check=True))
        self.plain.unlink()
        return seconds

    def take(self) -> float:
        """Seconds to import into an empty store."""
        command = ("mirror", "import", self.bundle, "--quiet")
        seconds = self._timed(lambda: self.fetch(*command, store="site"))
        shutil.rmtree(self.root / "site")
        return seconds

    def untar(self) -> float:
        """Seconds to unpack the bundle and to check what was unpacked."""
        folder = self.root / "unpacked"
        folder.mkdir()

        def work() -> None:
            subprocess.run(["tar", "xf", self.bundle, "-C", folder], check=True)
            command = ["sha256sum", "--quiet", "-c", "SHA256SUMS"]
            subprocess.run(command, cwd=folder, check=True)

        seconds = self._timed(work)
        shutil.rmtree(folder)
        return seconds

    def delta(self) -> None:
        """What a delta after one changed file consists of."""
        (self.project / "data/set/00000.jpg").write_bytes(b"changed")
        self.fetch("all", "--quiet", "--update")
        target = self.root / "delta.tar"
        self.fetch("mirror", "export", target, "--since", self.bundle, "--quiet")
        names = subprocess.run(["tar", "tf", target], capture_output=True, text=True, check=True)
        count = names.stdout.count("blobs/")
        print(f"delta after one changed file: {count} blobs, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
