"""What `fetch verify` costs over a bare script, and what running probes at once gains.

Run where `make quickstart` was run, under an interpreter that has fetch and sentence-transformers:

    python benchmarks/verify_overhead.py [--rounds N]

Both do the same load and the same inference with MiniLM. Rounds alternate, so that a busy machine
slows both; wall-clock and CPU seconds are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import os, sys
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu").eval()
vectors = model.encode(SENTENCES, convert_to_tensor=True, show_progress_bar=False)
assert vectors.shape == (9, 384)
"""
SENTENCES = """[
    "A man is playing the guitar.", "Someone plays a guitar.", "The weather is lovely today.",
    "It is sunny and warm outside.", "How do I reset my password?",
    "I forgot my password and need a new one.", "The stock market fell sharply.",
    "He bought three new printers.", "Penguins live in the southern hemisphere.",
]"""
COPIES = 4


def timed(command: list[str], folder: Path, fails: bool = False) -> tuple[float, float]:
    """Run a command to its end; returns its wall-clock and CPU seconds, children included.

    Unless it `fails` by design, an exit status that is not 0 ends this process.
    """
    begun, before = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    spent, after = time.perf_counter() - begun, os.times()
    if done.returncode != 0 and not fails:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    cpu = (after[2] - before[2]) + (after[3] - before[3])
    return spent, cpu


def project(folder: Path, model: Path, copies: int) -> None:
    """A project of `copies` artifacts that all are the model."""
    artifacts, tree = [], []
    for number in range(copies):
        artifacts.append(
            f"  minilm-{number}:\n    source: local:{model}\n"
            "    probe: {type: sentence-transformer}\n"
        )
        tree.append(f"  m{number}/: minilm-{number}\n")
    for kind, body in (("manifest", f"artifacts:\n{''.join(artifacts)}"), ("layout", "tree:\n")):
        path = folder / f"{kind}s/p.yaml"
        path.parent.mkdir()
        path.write_text(f"{kind}: p\n{body}{''.join(tree) if kind == 'layout' else ''}")
    subprocess.run([sys.executable, "-m", "fetcher", "all"], cwd=folder, check=True)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, default=Path("quickstart/all-MiniLM-L6-v2"))
    options = parser.parse_args()
    model = options.model.resolve()
    os.environ["FETCH_ALLOW_LOCAL"] = str(model)  # it lies outside the projects that are made
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder, model, COPIES)
        bare = [sys.executable, "-c", BARE.replace("SENTENCES", SENTENCES), str(model)]
        verify = [sys.executable, "-m", "fetcher", "verify", "--device", "cpu"]
        one = [*verify, "minilm-0"]
        measured: dict[str, list[tuple[float, float]]] = {"bare": [], "verify": []}
        for command in (bare, one):  # bytecode, the page cache
            timed(command, folder)
        for _ in range(options.rounds):
            measured["bare"].append(timed(bare, folder))
            measured["verify"].append(timed(one, folder))
        for label, jobs in (("four in sequence", ["--jobs", "1"]), ("four at once", [])):
            rounds = max(1, options.rounds // 2)
            measured[label] = [timed([*verify, *jobs], folder) for _ in range(rounds)]
    medians = {
        label: {
            "wall_seconds": round(statistics.median(wall for wall, _ in times), 2),
            "cpu_seconds": round(statistics.median(cpu for _, cpu in times), 2),
        }
        for label, times in measured.items()
    }
    over = {
        key: round(100 * (medians["verify"][key] / medians["bare"][key] - 1), 1)
        for key in ("wall_seconds", "cpu_seconds")
    }
    print(json.dumps({"medians": medians, "overhead_percent": over, "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
