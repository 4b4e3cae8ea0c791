"""`make quickstart`: two small real models, fetched, laid out, and loaded.

Says what it downloads before it does, shows every step, does nothing twice. It runs in the
environment that it fills, and needs the standard library alone.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = Path(sys.prefix)
FETCH = ENVIRONMENT / "bin" / "fetch"
# PyTorch's own index of builds without CUDA.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
FORMER_NAME = "fetcher"
# Megabytes that come over the line, as measured on Linux with x86-64.
FETCH_MB, MODELS_MB, LIBRARIES_MB, CPU_TORCH_MB, CUDA_TORCH_MB = 25, 94, 100, 190, 3000
NEXT = (
    ("{fetch} tree quickstart", "what stands where"),
    ("{fetch} check quickstart --deep", "every byte against its digest"),
    ("{fetch} init ../my-project", "a project of your own; then `fetch` there"),
)


class Torch(NamedTuple):
    """Which build of PyTorch pip is to install: its requirement, where from, its size."""

    requirement: str
    source: str  # the index to ask; "": pip's own settings
    said: str
    megabytes: int


class StepError(Exception):
    """A step failed, and has said itself why."""


class Steps:
    """The steps, numbered; each says how long it took."""

    def __init__(self, total: int) -> None:
        self.total, self.number = total, 0

    def begin(self, text: str, there: bool = False) -> None:
        self.number += 1
        end = ": there already" if there else ""
        print(f"\n[{self.number}/{self.total}] {text}{end}", flush=True)

    def run(self, *command: str | Path) -> None:
        """Run a program that shows its own progress. Raises StepError."""
        began = time.monotonic()
        # (What is tracked in the clone stays as it is.)
        environ = {**os.environ, "FETCH_GITIGNORE": "false"}
        words = [str(word) for word in command]
        code = subprocess.run(words, cwd=ROOT, env=environ, check=False).returncode
        if code:
            raise StepError(f"step {self.number} of {self.total} failed (exit code {code})")
        print(f"      took {time.monotonic() - began:.0f} s", flush=True)


def pip(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]


class Stamp:
    """What was installed for one purpose, and from which statement of it."""

    def __init__(self, name: str, *stated: str) -> None:
        self._path = ENVIRONMENT / f".{name}-installed"
        facts = [str(ROOT), sys.version, *stated]
        files = [ROOT / name for name in ("setup.cfg", "pyproject.toml", "constraints.txt")]
        text = "\0".join([*facts, *(path.read_text("utf-8") for path in files)])
        self._digest = hashlib.sha256(text.encode()).hexdigest()

    def holds(self, distribution: str) -> bool:
        try:
            metadata.version(distribution)
            return self._path.read_text() == self._digest
        except (OSError, metadata.PackageNotFoundError):
            return False

    def set(self) -> None:
        self._path.write_text(self._digest)


def requirements_of(extra: str) -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    return [line for line in config["options.extras_require"][extra].splitlines() if line.strip()]


def choose_torch() -> Torch:
    """The build without CUDA, where an index has it: probes run on any device, and it is small."""
    found = re.search(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert found is not None
    version = found[1]
    if platform.system() != "Linux":
        return Torch(f"torch=={version}", "", "PyTorch", CPU_TORCH_MB)
    for index in ("", CPU_INDEX):
        if f"{version}+cpu" in versions_in(index):
            return Torch(f"torch=={version}+cpu", index, "PyTorch (CPU build)", CPU_TORCH_MB)
    said = "PyTorch with CUDA (no index here has its CPU build)"
    return Torch(f"torch=={version}", "", said, CUDA_TORCH_MB)


def versions_in(index: str) -> list[str]:
    """Versions of PyTorch that pip finds; none where nobody answers."""
    where = ["--index-url", index, "--retries", "0", "--timeout", "10"] if index else []
    done = subprocess.run(
        pip("index", "versions", "torch", *where), capture_output=True, text=True, check=False
    )
    listed = re.search(r"^Available versions: (.*)$", done.stdout, re.M)
    return listed[1].split(", ") if listed else []


def models_are_there() -> bool:
    done = subprocess.run(
        [FETCH, "status", "quickstart", "--json"], cwd=ROOT, capture_output=True, check=False
    )
    try:
        results = json.loads(done.stdout)["results"]
    except (ValueError, KeyError):
        return False
    return bool(results) and all(one["state"] == "complete" for one in results)


def announce(parts: Sequence[tuple[str, str, int]]) -> None:
    """What will be downloaded: (what, where to, megabytes; 0: it is there already)."""
    total = sum(size for _, _, size in parts)
    if not total:
        print("\nNothing is to be downloaded: all of it is there already.")
        return
    print(f"\nThis downloads about {size_of(total)}, less what pip and fetch have in their caches:")
    for what, where, size in parts:
        print(f"  {size_of(size) if size else 'there':>7}  {what}, into {where}")


def size_of(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def install_fetch(steps: Steps, there: bool, stamp: Stamp) -> None:
    steps.begin("install fetch and its libraries", there)
    if there:
        return
    if any(one.name == FORMER_NAME for one in metadata.distributions()):
        # The name that fetch had: both would own the same files.
        steps.run(*pip("uninstall", "--yes", FORMER_NAME))
    steps.run(*pip("install", "-c", "constraints.txt", "-e", "."))
    stamp.set()


def install_probes(steps: Steps, torch: Torch | None, stamp: Stamp) -> None:
    what = torch.said if torch else "PyTorch"
    steps.begin(f"install {what} and sentence-transformers", torch is None)
    if torch is None:
        return
    print("      (pip says nothing while it unpacks: a minute or two)", flush=True)
    if torch.source:
        # Alone: nothing else is to come from that index.
        steps.run(*pip("install", "--no-deps", "--index-url", torch.source, torch.requirement))
    others = [line for line in requirements_of("sentence-transformer") if line[:5] != "torch"]
    steps.run(*pip("install", "-c", "constraints.txt", torch.requirement, *others))
    stamp.set()


def quickstart(loading: bool) -> None:
    """All of it. Raises StepError."""
    own, probes = Stamp("fetch"), Stamp("probes")
    has_fetch = own.holds("model-fetcher") and FETCH.exists()
    has_models = has_fetch and models_are_there()
    torch = None
    if loading and not (probes.holds("torch") and probes.holds("sentence-transformers")):
        print("looking where PyTorch's CPU build can be had ...", flush=True)
        torch = choose_torch()
    name = ENVIRONMENT.name
    parts = [
        ("fetch and its libraries", name, 0 if has_fetch else FETCH_MB),
        ("two models", "quickstart/", 0 if has_models else MODELS_MB),
    ]
    if loading:
        if torch and torch.megabytes == CUDA_TORCH_MB:
            print("(`make quickstart LOAD=no` leaves PyTorch out, and loads nothing)")
        parts += [
            (torch.said if torch else "PyTorch", name, torch.megabytes if torch else 0),
            ("sentence-transformers and what it needs", name, LIBRARIES_MB if torch else 0),
        ]
    announce(parts)
    steps = Steps(4 if loading else 2)
    install_fetch(steps, has_fetch, own)
    steps.begin("fetch two models: FaceNet MTCNN from GitHub, MiniLM from the Hugging Face Hub")
    steps.run(FETCH, "all", "quickstart")
    if loading:
        install_probes(steps, torch, probes)
        steps.begin("load both models, and run each once")
        steps.run(FETCH, "verify", "quickstart", "--python", sys.executable)


def tell_what_next(seconds: float) -> None:
    fetch = FETCH.relative_to(ROOT) if FETCH.is_relative_to(ROOT) else FETCH
    print(f"\nDone in {seconds:.0f} s. To try next:\n")
    for command, what in NEXT:
        print(f"  {command.format(fetch=fetch):<42}  {what}")
    print(f"\n`. {ENVIRONMENT.name}/bin/activate` makes it plain `fetch`; README.md goes on.")


def main() -> int:
    parser = argparse.ArgumentParser(description="Two small real models, fetched and loaded.")
    parser.add_argument("--without-loading", action="store_true", help="install no PyTorch")
    chosen = parser.parse_args()
    began = time.monotonic()
    loaded = "" if chosen.without_loading else ", and loaded"
    print(f"Two small models are fetched, laid out in ./quickstart{loaded}.")
    try:
        quickstart(not chosen.without_loading)
    except StepError as error:
        print(f"\n{error}. What is there stays: `make quickstart` goes on.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: `make quickstart` goes on", file=sys.stderr)
        return 130
    tell_what_next(time.monotonic() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
