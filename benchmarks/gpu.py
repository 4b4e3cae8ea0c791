"""What a GPU does with each kind of model: the rows of docs/tried.md that want one.

    python -m benchmarks.gpu [--small] [--device cuda:0] [--out FOLDER]

One command, in a clone, with the extra `verify` installed. It makes models of true shapes with
random weights (gpu_models.py; nothing is downloaded), 4.8 GB, or with --small a few kilobytes, and
tries

- every probe on the CPU and then on the GPU: the fingerprints of both must agree, as golden values
  do;
- the models in an application: load, first and later inference, and what `unload_all` gives back;
- a StyleGAN generator by itself;
- a pipeline in 8 bits (if bitsandbytes is installed), and one on a card that is too small for it.

It prints a Markdown table, and leaves it with the figures as gpu.md and gpu.json in FOLDER. Exit
code: 0 all passed, 1 something failed, 2 a library is missing, 3 there is no such GPU.
`--device cpu` takes the same way without one; what needs one is then told as not tried.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetcher.verify import ProbeRequest, ProbeResult, run_probes
from fetcher.verify.contract.fingerprints import difference
from fetcher.verify.loaders import LoadError, diffusion, is_memory
from fetcher.verify.nets.stylegan_net import Generator
from fetcher.verify.nets.stylegan_sizes import generator_sizes

from benchmarks.gpu_models import files_of, make
from fetcher.models import ModelManager

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import ProbeOptions

LIBRARIES = ("accelerate", "diffusers", "peft", "sentence_transformers", "torch", "transformers")
PASSED, FAILED, NOT_TRIED = "passed", "failed", "not tried"
_LATER = 5  # inferences after the first, of which the median counts
_PROMPT = "오늘은 날씨가 좋아서"
# Random weights foretell nothing and tell no meanings apart.
PROBES: Mapping[str, tuple[str, ProbeOptions]] = {
    "stylegan": ("stylegan", {}),
    "language-model": ("causal-lm", {"max_loss": False}),
    "adapter": ("causal-lm", {"base": "language-model", "max_loss": False}),
    "sentence-encoder": ("sentence-transformer", {"pairs": False}),
}


@dataclass
class Row:
    """One trial of one model. Times in seconds, peak memory in bytes; None where not measured."""

    model: str
    trial: str
    device: str
    state: str = PASSED
    note: str = ""
    load_seconds: float | None = None
    first_seconds: float | None = None
    later_seconds: float | None = None
    peak_bytes: int | None = None


class Card:
    """A device, and what torch holds on it."""

    def __init__(self, device: str) -> None:
        import torch

        self.torch = torch
        self.device = device
        self.is_gpu = device.startswith("cuda")

    @property
    def name(self) -> str:
        """What is written on it."""
        return str(self.torch.cuda.get_device_name(self.device)) if self.is_gpu else "CPU"

    def begin(self) -> None:
        """Let go of what nobody holds any more, and forget the peak so far."""
        gc.collect()
        if self.is_gpu:
            self.torch.cuda.empty_cache()
            self.torch.cuda.reset_peak_memory_stats(self.device)

    @property
    def peak(self) -> int | None:
        """Bytes held at most since `begin`; of a CPU it is not known."""
        return int(self.torch.cuda.max_memory_allocated(self.device)) if self.is_gpu else None

    @property
    def held(self) -> int:
        """Bytes that tensors take now."""
        return int(self.torch.cuda.memory_allocated(self.device)) if self.is_gpu else 0

    def timed(self, act: Callable[[], Any]) -> tuple[float, Any]:
        """How long something takes, until the GPU has done it."""
        began = time.perf_counter()
        result = act()
        if self.is_gpu:
            self.torch.cuda.synchronize(self.device)
        return time.perf_counter() - began, result

    def infer(self, row: Row, act: Callable[[], Any]) -> None:
        """Note the first inference, the median of later ones, and the peak."""
        row.first_seconds = self.timed(act)[0]
        row.later_seconds = statistics.median(self.timed(act)[0] for _ in range(_LATER))
        row.peak_bytes = self.peak


def missing() -> str:
    """What cannot be imported, in words; "" if all is there."""
    lacking = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(lacking)}; pip install '.[verify]'" if lacking else ""


def no_gpu(device: str) -> str:
    """Why a device cannot be used, in words; "" if it can."""
    import torch

    if not device.startswith("cuda"):
        return ""
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        return f"torch {torch.__version__} is built for CPUs: install one for your GPU's driver"
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no GPU: is there a driver, does `nvidia-smi` work?"
    number = int(device.partition(":")[2] or 0)
    there = torch.cuda.device_count()
    return "" if number < there else f"there is no {device}: torch sees {there} GPU(s)"


def _probed(root: Path, device: str) -> list[ProbeResult]:
    folder = root / "models"
    requests = []
    for name, (kind, options) in PROBES.items():
        base = options.get("base")
        related = {str(base): files_of(folder / str(base))} if base else {}
        requests.append(
            ProbeRequest(
                name, kind, folder, files_of(folder / name), options,
                device=device, timeout=1800, related=related,
            )
        )  # fmt: skip
    return run_probes(requests, python=sys.executable)


def probes(root: Path, card: Card) -> Iterator[Row]:
    """`fetch verify` on the CPU, on the device, and whether both have found the same."""
    reference = _probed(root, "cpu")
    for result in reference:
        yield _of_probe(result, "probe", "cpu")
    for first, result in zip(reference, _probed(root, card.device), strict=True):
        row = _of_probe(result, "probe, as on the CPU", card.device)
        if row.state == PASSED:
            differs = differences(first, result)
            count = len(result.fingerprints)
            row.state = FAILED if differs else PASSED
            row.note = "; ".join(differs) or f"{count} fingerprints agree"
        yield row


def differences(first: ProbeResult, other: ProbeResult) -> list[str]:
    """Where the outputs on two devices differ by more than their number types allow."""
    if not first.fingerprints or len(first.fingerprints) != len(other.fingerprints):
        counts = f"{len(first.fingerprints)} fingerprints, then {len(other.fingerprints)}"
        return [f"no comparison: {counts}"]
    dtypes = (first.metrics["dtype"], other.metrics["dtype"])
    pairs = zip(first.fingerprints, other.fingerprints, strict=True)
    found = ((one.name, difference(one, two, *dtypes)) for one, two in pairs)
    return [f"{name}: {told}" for name, told in found if told]


def _of_probe(result: ProbeResult, trial: str, device: str) -> Row:
    metrics = result.metrics
    row = Row(result.artifact, trial, device, note=result.reason)
    row.state = PASSED if result.state == "passed" else FAILED
    row.load_seconds, row.first_seconds = metrics["load_seconds"], metrics["infer_seconds"]
    on_gpu = device.startswith("cuda")
    row.peak_bytes = metrics["peak_gpu_memory_bytes" if on_gpu else "peak_resident_bytes"]
    return row


def applications(root: Path, card: Card) -> Iterator[Row]:
    """The models in an application of one's own, one after the other, and their memory after it."""
    os.environ["MODEL_DEVICE"] = card.device
    manager = ModelManager(root)
    try:
        for name in ("language-model", "adapter", "sentence-encoder"):
            yield _application(manager, name, card)
    finally:
        manager.close()


def _application(manager: ModelManager, name: str, card: Card) -> Row:
    row = Row(name, "in Python", card.device)
    card.begin()
    before = card.held
    if name == "sentence-encoder":
        row.load_seconds, encoder = card.timed(lambda: manager.get_embedding_model(name))
        card.infer(row, lambda: encoder.embed_query(_PROMPT))
    else:
        row.load_seconds, chat = card.timed(lambda: manager.get_chat_model(name))
        card.infer(row, lambda: chat.invoke(_PROMPT, max_new_tokens=16, temperature=0))
    taken = card.held - before
    freed = manager.unload_all()
    left = card.held - before
    if not card.is_gpu:
        row.note = f"unload_all gave back {_mib(freed.resident_freed)} of resident memory"
        return row
    row.note = f"unload_all gave back {_mib(taken - left)} of {_mib(taken)}"
    row.state = PASSED if taken > 0 and left <= 0.05 * taken else FAILED
    return row


def generator(root: Path, card: Card) -> Iterator[Row]:
    """A StyleGAN generator: from the file to the device, and pictures one at a time."""
    torch = card.torch
    row = Row("stylegan", "generator alone", card.device)
    card.begin()

    def load() -> tuple[Generator, int]:
        path = root / "models/stylegan/stylegan_model.pth"
        held = torch.load(path, weights_only=True, map_location=card.device)["generator"]
        sizes = generator_sizes({name: tuple(one.shape) for name, one in held.items()})
        return Generator(torch, held, sizes), sizes.z

    row.load_seconds, (net, width) = card.timed(load)
    z = torch.randn(1, width, generator=torch.Generator().manual_seed(0)).to(card.device)
    with torch.inference_mode():
        card.infer(row, lambda: net(z))
        shape = list(net(z).shape)
    row.note = "pictures of " + " × ".join(map(str, shape[1:]))
    yield row


def eight_bits(root: Path, card: Card) -> Iterator[Row]:
    """A pipeline whose large parts are loaded in 8 bits takes less of the card."""
    row = Row("pipeline", "8 bits", card.device)
    whole = _drawn(
        Row("pipeline", "16 bits" if card.is_gpu else "32 bits", card.device), root, card
    )
    yield whole
    try:
        _drawn(row, root, card, diffusion.MemorySwitches(quantize="8bit"))
        if (row.peak_bytes or 0) >= (whole.peak_bytes or 0):
            row.state, row.note = FAILED, "it takes no less memory"
        yield row
    except LoadError as error:
        row.state = NOT_TRIED
        row.note = f"{error}" + (f": {error.hint}" if error.hint else "")
        yield row


def offload(root: Path, card: Card) -> Iterator[Row]:
    """On a card with less memory than the pipeline takes, it runs with its parts taking turns."""
    row = Row("pipeline", "a card too small, offload", card.device)
    if not card.is_gpu:
        row.state, row.note = NOT_TRIED, "wants a GPU"
        yield row
        return
    torch = card.torch
    plain = _drawn(Row("pipeline", "16 bits", card.device), root, card)
    total = torch.cuda.get_device_properties(card.device).total_memory
    card.begin()
    torch.cuda.set_per_process_memory_fraction(0.9 * (plain.peak_bytes or 0) / total, card.device)
    try:
        refused = _refused(root, card)
        _drawn(row, root, card, diffusion.MemorySwitches(cpu_offload="model"))
        row.note = f"without: {'refused' if refused else 'it fits all the same'}"
        row.state = PASSED if refused else NOT_TRIED
    except Exception as error:
        if not is_memory(error):
            raise
        row.state, row.note = FAILED, "it does not fit with its parts taking turns either"
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, card.device)
    yield row


def _refused(root: Path, card: Card) -> bool:
    try:
        _drawn(Row("pipeline", "16 bits", card.device), root, card)
    except Exception as error:
        if not is_memory(error):
            raise
        return True
    return False


def _drawn(
    row: Row, root: Path, card: Card, switches: diffusion.MemorySwitches | None = None
) -> Row:
    """Load the pipeline and draw, and let go of it. Raises LoadError."""
    card.begin()
    dtype = card.torch.float16 if card.is_gpu else None
    row.load_seconds, pipeline = card.timed(
        lambda: diffusion.load(
            root / "models/pipeline",
            device=card.device,
            dtype=dtype,
            switches=switches or diffusion.MemorySwitches(),
        )
    )
    card.infer(row, lambda: diffusion.draw(pipeline, "a lighthouse", steps=2))
    return row


TRIALS = (probes, applications, generator, eight_bits, offload)


def rows(root: Path, card: Card) -> Iterator[Row]:
    """Every trial, one after the other. One that fails is a row, and the next goes on."""
    for trial in TRIALS:
        try:
            yield from trial(root, card)
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            yield Row("-", trial.__name__, card.device, FAILED, told[:300])


def _mib(size: float | None) -> str:
    return "–" if size is None else f"{size / 2**20:,.1f} MiB"


def _seconds(found: float | None) -> str:
    return "–" if found is None else f"{found:.3f} s"


def table(found: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| model | trial | device | result | load | first | later | peak memory | |",
        "|---|---|---|---|---:|---:|---:|---:|---|",
    ]
    for row in found:
        times = (row.load_seconds, row.first_seconds, row.later_seconds)
        cells = [row.model, row.trial, row.device, row.state, *map(_seconds, times)]
        cells += [_mib(row.peak_bytes), row.note.replace("|", "\\|")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _about(card: Card) -> dict[str, str]:
    import diffusers
    import transformers

    found = {"device": card.name, "torch": card.torch.__version__}
    found |= {"transformers": transformers.__version__, "diffusers": diffusers.__version__}
    if card.is_gpu:
        found["cuda"] = str(card.torch.version.cuda)
    return found


def main() -> int:
    """Make the models, try them, and say what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true", help="models of a few kilobytes")
    parser.add_argument("--out", type=Path, default=Path(".venv-bench/gpu"))
    options = parser.parse_args()
    if lacking := missing():
        print(lacking, file=sys.stderr)
        return 2
    if why := no_gpu(options.device):
        print(f"{why}\n`--device cpu` takes the same way without one", file=sys.stderr)
        return 3
    root = options.out.resolve()
    make(root, options.small)
    card = Card(options.device)
    found = []
    for row in rows(root, card):
        print(f"{row.model}, {row.trial}, {row.device}: {row.state}", file=sys.stderr, flush=True)
        found.append(row)
    about = _about(card)
    words = ", ".join(f"{name} {value}" for name, value in about.items())
    text = f"{words}{'; small models' if options.small else ''}\n\n{table(found)}\n"
    (root / "gpu.md").write_text(text, "utf-8")
    report = {"about": about, "small": options.small, "rows": [asdict(row) for row in found]}
    (root / "gpu.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(text)
    return int(any(row.state == FAILED for row in found))


if __name__ == "__main__":
    sys.exit(main())
