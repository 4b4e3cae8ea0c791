"""A crowd of processes that run mixed commands on one store and a few clones; some are killed."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import write_project
from tests.servers.hub import HubServer

FETCH = (sys.executable, "-m", "fetcher")
# gc that does not spare the blobs of the last hour: what it takes, nobody may need.
GC = (
    sys.executable,
    "-c",
    "import sys; from fetcher.store import gc; gc.YOUNG_SECONDS = 0; "
    "from fetcher.__main__ import main; sys.exit(main())",
    "gc",
)
FILES = {f"{n:02}.bin": bytes([n]) * (900 + 37 * n) for n in range(40)}
LARGE = {"large.safetensors": random.Random(5).randbytes(3 << 20)}
SPANS = {"p": "{00..24}", "q": "{15..39}"}
CLONES = 4


def expected(name: str) -> dict[str, bytes]:
    """What must stand in a clone, by path."""
    low, high = SPANS[name][1:-1].split("..")
    chosen = {f"{n:02}.bin" for n in range(int(low), int(high) + 1)}
    found = {file: data for file, data in FILES.items() if file in chosen} | LARGE
    return {f"{name}/many/{file}": data for file, data in found.items()}


@dataclass
class Crowd:
    """Clones, a store, a bundle of it, and what went wrong."""

    root: Path
    hub: HubServer
    clones: list[Path] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ran: dict[str, int] = field(default_factory=dict)
    killed: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self) -> None:
        """Make the clones; the bundle and the loose files come from a site of their own."""
        self.hub.add_repo("o/many", {**FILES, **LARGE})
        for number in range(CLONES):
            clone = self.root / f"clone{number}"
            self._declare(clone)
            self.clones.append(clone)
        site = self.root / "site"
        self._declare(site)
        own = {**os.environ, "FETCH_STORE": str(self.root / "site-store")}
        for arguments in (("all", "--quiet"), ("mirror", "export", str(self.root / "bundle"))):
            done = subprocess.run(
                [*FETCH, *arguments], cwd=site, env=own, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
        shutil.copytree(site / "p", self.root / "loose")

    @staticmethod
    def _declare(clone: Path) -> None:
        for name, span in SPANS.items():
            write_project(
                clone,
                name,
                "artifacts:\n  many:\n    source: hf:o/many\n"
                f"    files: ['{span}.bin', large.safetensors]\n",
                f"root: {name}\ntree: {{many/: many}}\n",
            )

    def commands(self, chance: random.Random, worker: int) -> tuple[tuple[str, ...], set[int]]:
        """One command line, and the exit codes that are right for it at any moment."""
        out = str(self.root / f"export{worker}")
        link = chance.choice(("auto", "copy", "hardlink"))
        return chance.choice(
            (
                ((*FETCH, "all", "--link", link), {0}),
                ((*FETCH, "all"), {0}),
                ((*FETCH, "all", "p", "--json"), {0}),
                ((*FETCH, "lock"), {0}),
                ((*FETCH, "plan"), {0}),
                ((*FETCH, "status"), {0, 4}),  # 4: not all is there yet
                ((*FETCH, "check", "--deep"), {0, 4, 7}),  # 7: no lock yet
                (
                    (*FETCH, "adopt", str(self.root / "loose")),
                    {0, 4},
                ),  # 4: no lock, so nothing is wanted
                ((*FETCH, "mirror", "export", out), {0, 2, 4, 7}),  # what is not there is told
                ((*FETCH, "mirror", "import", str(self.root / "bundle")), {0}),
                ((*FETCH, "verify", "p"), {0, 2, 4, 7}),
                ((*FETCH, "store", "check"), {0}),
                ((*FETCH, "store", "du"), {0}),
                ((*FETCH, "gc", "--dry-run"), {0}),
                (GC, {0}),
                ((*GC, "--forget-imports"), {0}),
            )
        )

    def work(self, worker: int, seed: int, until: float) -> None:
        """Run one command after the other until the time is over."""
        chance = random.Random(seed * 1000 + worker)
        while time.monotonic() < until and len(self.wrong) < 5:
            command, right = self.commands(chance, worker)
            self._run(command, right, chance)
            shutil.rmtree(self.root / f"export{worker}", ignore_errors=True)

    def _run(self, command: tuple[str, ...], right: set[int], chance: random.Random) -> None:
        clone = chance.choice(self.clones)
        process = subprocess.Popen(
            command,
            cwd=clone,
            env=dict(os.environ),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        kill = chance.random() < 0.1
        try:
            said, _ = process.communicate(timeout=chance.uniform(0.1, 6) if kill else 300)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            if not kill:
                self._note(f"no end after 300 s: {command}\n{said[-2000:]}")
            with self._guard:
                self.killed += 1
            return
        word = " ".join(command[command.index("gc") :] if "gc" in command else command[3:5])
        with self._guard:
            self.ran[word] = self.ran.get(word, 0) + 1
        if process.returncode not in right or "Traceback" in said:
            self._note(f"{word} in {clone.name}: exit {process.returncode}\n{said[-3000:]}")

    def _note(self, text: str) -> None:
        with self._guard:
            self.wrong.append(text)

    def run(self, workers: int, seconds: float, seed: int) -> None:
        """Let them all work."""
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self.work, args=(number, seed, until))
            for number in range(workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
