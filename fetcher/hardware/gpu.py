"""Which graphics cards this machine has: nvidia-smi is asked, else the project's torch."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fetcher.verify.host import child_process
from fetcher.verify.host.environment import interpreter

_SECONDS = 60

# Runs under the project's interpreter: torch is never imported into this process.
_ASK_TORCH = """
import json, torch
found = []
if torch.cuda.is_available():
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        found.append([about.name, about.total_memory])
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Gpu:
    """One graphics card: its name, its memory in bytes, and who says so."""

    name: str
    memory: int
    origin: str


def detect(python: str | None = None, *, ask_torch: bool = True) -> list[Gpu]:
    """The cards of this machine, the largest first; empty where there is none."""
    found = _nvidia_smi() or (_torch(interpreter(python)) if ask_torch else [])
    return sorted(found, key=lambda card: -card.memory)


def _output(command: list[str]) -> str:
    try:
        done = child_process.run(command, timeout=_SECONDS)
    except OSError:
        return ""
    return done.out if done.status == 0 else ""


def _nvidia_smi() -> list[Gpu]:
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    cards = []
    for line in _output(query).splitlines():
        name, _, memory = line.rpartition(",")
        if name and memory.strip().isdecimal():  # "[N/A]" where the memory is the machine's own
            cards.append(Gpu(name.strip(), int(memory) * 1024**2, "nvidia-smi"))
    return cards


def _torch(python: str) -> list[Gpu]:
    try:
        found = json.loads(_output([python, "-c", _ASK_TORCH]) or "[]")
        return [Gpu(str(name), int(memory), "torch") for name, memory in found]
    except (ValueError, TypeError):
        return []
