"""What is recorded: a small project, a Hub on the loopback that has its files, and the commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import write_project
from tests.servers import weights
from tests.servers.hub import HubServer

MANIFEST = """artifacts:
  encoder:
    name: Sentence encoder
    license: Apache-2.0
    source: hf:acme/sentence-encoder
    probe: {type: state-dict}
  generator:
    name: Face generator
    license: MIT
    source: hf:acme/face-generator
    probe: {type: state-dict}
  faces:
    name: Portraits
    kind: dataset
    license: CC-BY-4.0
    source: hf:datasets/acme/faces
    probe: {type: image-dataset, mode: RGB}
"""
LAYOUT = """tree:
  models:
    encoder/: encoder
    gan.safetensors: generator/model.safetensors
  data/faces/: faces
"""
SPOILED = "models/gan.safetensors"
MEGABYTES = {"encoder": 48, "generator": 20}
PICTURES = 240


@dataclass(frozen=True)
class Step:
    """A line that is typed: an argument list of fetch, or a shell's line; and its exit code."""

    line: str
    code: int = 0


STEPS = (
    Step("fetch plan"),
    Step("fetch all"),
    Step("fetch status"),
    Step("fetch verify"),
    Step(f"printf x | dd of={SPOILED} seek=9 conv=notrunc status=none"),
    Step("fetch check --deep", 4),
    Step("fetch all --overwrite"),
    Step("fetch check --deep"),
)


def _tensors(megabytes: int, seed: int) -> bytes:
    """A safetensors file of about that size, the same each time."""
    import numpy as np
    from safetensors.numpy import save

    drawn = np.random.default_rng(seed)
    return bytes(save({f"layer.{n}": drawn.random((512, 512), "f4") for n in range(megabytes)}))


@contextmanager
def hub(rate: int) -> Iterator[HubServer]:
    """A Hub with the project's repositories; large files come with `rate` bytes a second."""
    with HubServer() as found:
        one, two = (_tensors(size, n) for n, size in enumerate(MEGABYTES.values()))
        words = {"config.json": b'{"hidden_size": 512}\n', "tokenizer.json": b"{}\n" * 90}
        found.add_repo("acme/sentence-encoder", {**words, "model.safetensors": one})
        found.add_repo("acme/face-generator", {"model.safetensors": two})
        pictures = {f"{n:06}.jpg": weights.jpeg(n, 12_000) for n in range(PICTURES)}
        found.add_repo("acme/faces", pictures, "dataset")
        if rate:
            found.cdn.faults.add("GET", "slow", rate=rate, n=20_000)
        yield found


def project(root: Path) -> None:
    """The project as somebody has just cloned it."""
    write_project(root, "demo", MANIFEST, LAYOUT)


def environment(home: Path, hub: HubServer, language: str) -> dict[str, str]:
    """Nothing of whoever records: a home, a store and a cache of its own."""
    kept = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    return {
        **kept,
        "HOME": str(home),
        "FETCH_STORE": str(home / "store"),
        "HF_HOME": str(home / "huggingface"),
        "HF_ENDPOINT": hub.url,
        "FETCH_LANG": language,
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
    }


def arguments(step: Step) -> list[str]:
    """How a step is started."""
    if step.line.startswith("fetch "):
        return [sys.executable, "-m", "fetcher", *step.line.split()[1:]]
    # Placed files are read-only; root need not say so.
    return ["/bin/sh", "-c", f"chmod u+w {SPOILED} && {step.line}"]
