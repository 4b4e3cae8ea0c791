"""What the stylegan probe costs at full size, with random weights; on CPU and on GPU if there.

`python -m benchmarks.verify_stylegan [--resolution 256] [--out benchmarks/results/stylegan.json]`
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fetcher.verify import ProbeRequest, ProbeResult, run_probes
from fetcher.verify.fingerprints import difference

from tests.verify import stylegan_files

# The same loading and the same pictures without anything around them.
_BARE = """
import sys, torch
from fetcher.verify.stylegan_net import Generator
from fetcher.verify.stylegan_sizes import generator_sizes
device = sys.argv[2]
tensors = torch.load(sys.argv[1], map_location="cpu", weights_only=True, mmap=True)
tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
net = Generator(torch, tensors, generator_sizes({n: tuple(t.shape) for n, t in tensors.items()}))
with torch.no_grad():
    for number in range(9):
        net(torch.randn(1, 512).to(device), psi=0.7, layers=8 if number > 4 else 0).cpu()
"""


def main() -> None:
    """Measure, print, and write what was found if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=256, choices=[64, 128, 256, 512, 1024])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    import torch

    devices = ["cpu", *(["cuda:0"] if torch.cuda.is_available() else [])]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "generator.pth")
        torch.save(stylegan_files.generator(torch, given.resolution, 512), file)
        found: dict[str, Any] = {
            "resolution": given.resolution,
            "file_bytes": file.stat().st_size,
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
            "torch": torch.__version__,
            "devices": {},
        }
        results = {}
        for device in devices:
            results[device] = _best(file, device, given.runs)
            found["devices"][device] = _figures(results[device], _bare(file, device, given.runs))
    if len(devices) > 1:
        one, other = (results[device].fingerprints[0] for device in devices)
        found["difference"] = difference(one, other, "float32") or "within the tolerance"
    else:
        found["difference"] = "no GPU here"
    text = json.dumps(found, indent=2)
    print(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text + "\n", "utf-8")


def _best(file: Path, device: str, runs: int) -> ProbeResult:
    request = ProbeRequest(
        "generator", "stylegan", file.parent, {file.name: file}, device=device, timeout=900
    )
    results = [run_probes([request], python=sys.executable)[0] for _ in range(runs)]
    for result in results:
        if result.state != "passed":
            raise SystemExit(f"the probe did not pass: {result.reason}")
    return min(results, key=lambda result: float(result.metrics["seconds"]))


def _bare(file: Path, device: str, runs: int) -> float:
    """Return the shortest time of a script that does the same without checks, in seconds."""
    times = []
    for _ in range(runs):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", _BARE, str(file), device], check=True)
        times.append(time.monotonic() - begun)
    return min(times)


def _figures(result: ProbeResult, bare: float) -> dict[str, Any]:
    names = ("load_seconds", "infer_seconds", "seconds", "peak_memory_bytes", "parameters")
    figures = {name: result.metrics[name] for name in (*names, "peak_gpu_memory_bytes")}
    figures["bare_script_seconds"] = round(bare, 3)
    figures["overhead"] = round(float(result.metrics["seconds"]) / bare - 1, 3)
    return figures


if __name__ == "__main__":
    main()
