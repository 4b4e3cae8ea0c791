"""What `fetch verify` costs over a bare script, for each type of probe.

    python -m benchmarks.verify_types FOLDER [--only TYPE …] [--rounds 5] [--minilm FOLDER]

FOLDER is filled with models of real sizes (verify_models.py), some 4 GB; all-MiniLM-L6-v2 is the
one that `make quickstart` fetches. A bare script loads the same files with the same library and
infers once, on as much as the probe's report shows. Both are whole processes, on the CPU and with
the files in the page cache; they take turns, so that a busy machine slows both. Told are medians of
wall-clock and CPU seconds, and the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.verify_models import MAKERS
from benchmarks.verify_overhead import BARE as SENTENCE_ENCODER
from benchmarks.verify_overhead import SENTENCES, timed

_DATA = Path(__file__).parents[1] / "tests" / "data"
_PROMPT = "The quick brown fox jumps over the lazy dog."
_BEGIN = """
import os, sys
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
folder = sys.argv[1]
"""
_LANGUAGE = f"""
import torch, transformers as t
tokenizer = t.AutoTokenizer.from_pretrained(folder)
model = t.AutoModelForCausalLM.from_pretrained(folder).eval()
given = tokenizer({_PROMPT!r}, return_tensors="pt")
given.pop("token_type_ids", None)
with torch.inference_mode():
    written = model.generate(**given, max_new_tokens=8, do_sample=False)
print(tokenizer.decode(written[0]))
"""
_TEXT = f"""
import torch, transformers as t
tokenizer = t.AutoTokenizer.from_pretrained(folder)
model = t.AUTO.from_pretrained(folder).eval()
given = tokenizer({_PROMPT!r}, return_tensors="pt")
given.pop("token_type_ids", None)
with torch.inference_mode():
    print(model(**given, **MORE).logits.shape)
"""
_PICTURE = """
import torch, transformers as t
model = t.AutoModelForImageClassification.from_pretrained(folder).eval()
with torch.inference_mode():
    print(model(pixel_values=torch.rand(1, 3, 224, 224)).logits)
"""
_ENCODER = """
import torch, transformers as t
model = t.AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
with torch.inference_mode():
    print(model(pixel_values=torch.rand(3, 3, 224, 224)).last_hidden_state.shape)
"""
_STYLEGAN = """
import torch
from fetcher.verify.nets.stylegan_net import Discriminator, Generator
from fetcher.verify.nets.stylegan_sizes import discriminator_sizes, generator_sizes
held = torch.load(folder + "/generator.pth", weights_only=True)
net = Generator(torch, held, generator_sizes({k: v.shape for k, v in held.items()}))
held = torch.load(folder + "/discriminator.pth", weights_only=True)
judge = Discriminator(torch, held, discriminator_sizes({k: v.shape for k, v in held.items()}))
with torch.inference_mode():
    for z in torch.randn(4, 1, 512):  # as the probe's report shows them
        print(net(z).shape, net(z, psi=0.7, layers=8).shape)
    for one in torch.rand(3, 1, 3, 256, 256):
        print(judge(one))
"""
_VQGAN = """
import torch
from fetcher.verify.nets.vqgan_net import Vqgan
from fetcher.verify.nets.vqgan_sizes import sizes_of
held = torch.load(folder + "/last.ckpt", weights_only=True)["state_dict"]
net = Vqgan(torch, held, sizes_of({k: v.shape for k, v in held.items()}))
with torch.inference_mode():
    print(net.decoded(net.vectors(net.latents(torch.rand(1, 3, 256, 256)))).shape)
"""
_MTCNN = """
import torch
from fetcher.verify.nets.mtcnn_nets import NETS, answer
with torch.inference_mode():
    for name, net in NETS.items():
        held = torch.load(f"{folder}/{name}.pt", weights_only=True)
        print([x.shape for x in answer(torch, net, held, torch.rand(1, 3, net.window, net.window))])
"""
_CLASS = """
sys.path.insert(0, folder)
sys.dont_write_bytecode = True  # the folder is the artifact
import torch
from net import Net
model = Net()
model.load_state_dict(torch.load(folder + "/net.pt", weights_only=True))
with torch.inference_mode():
    print(model.eval()(torch.rand(1, 3, 256, 256)))
"""
_ONNX = """
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(folder + "/m.onnx")
print(session.run(None, {"x0": np.random.rand(1, 2000).astype("float32")}))
"""
_STATE_DICT = """
import torch
from safetensors.torch import load_file
print(sum(int(t.isfinite().all()) for t in load_file(folder + "/m.safetensors").values()))
"""


@dataclass(frozen=True)
class Row:
    """A probe, its model (of `MAKERS`, or a folder), its options, and what does the same bare.

    `fails`: without training the probe says so in the end, after all its work.
    """

    probe: str
    model: str | Path
    bare: str
    options: Mapping[str, object] = field(default_factory=dict)
    fails: bool = False


def rows(minilm: Path) -> dict[str, Row]:
    """Return what is measured, by name; `minilm` is the folder of all-MiniLM-L6-v2."""
    text = _TEXT.replace("MORE", "{}")
    halves = _TEXT.replace("MORE", '{"decoder_input_ids": torch.zeros(1, 1, dtype=torch.int64)}')
    seen = {"generator": "generator.pth", "discriminator": "discriminator.pth"}
    own = {"class_path": "m/net.py:Net", "trust": "project", "inputs": [1, 3, 256, 256]}
    return {
        "causal-lm": Row("causal-lm", "language-model", _LANGUAGE),
        "causal-lm, untrained": Row("causal-lm", "untrained-language-model", _LANGUAGE, fails=True),
        "sentence-transformer": Row(
            "sentence-transformer", minilm, SENTENCE_ENCODER.replace("SENTENCES", SENTENCES)
        ),
        "transformers, classifier": Row(
            "transformers",
            "classifier",
            text.replace("AUTO", "AutoModelForSequenceClassification"),
        ),
        "transformers, seq2seq": Row(
            "transformers", "seq2seq", halves.replace("AUTO", "AutoModelForSeq2SeqLM")
        ),
        "transformers, pictures": Row("transformers", "picture-classifier", _PICTURE),
        "vision-encoder": Row("vision-encoder", "picture-classifier", _ENCODER),
        "stylegan": Row("stylegan", "stylegan", _STYLEGAN, seen),
        "vqgan": Row("vqgan", "vqgan", _VQGAN, fails=True),
        "mtcnn": Row("mtcnn", _DATA / "facenet-mtcnn", _MTCNN),
        "class": Row("class", "network", _CLASS, own),
        "onnx": Row("onnx", "onnx", _ONNX),
        "state-dict": Row("state-dict", "state-dict", _STATE_DICT),
    }


def project(folder: Path, row: Row, model: Path) -> None:
    """A project whose artifact `m` is the model."""
    probe = json.dumps({"type": row.probe, **row.options})
    (folder / "manifests").mkdir()
    (folder / "layouts").mkdir()
    (folder / "manifests/p.yaml").write_text(
        f"manifest: p\nartifacts:\n  m:\n    source: local:{model}\n    probe: {probe}\n"
    )
    (folder / "layouts/p.yaml").write_text("layout: p\ntree:\n  m/: m\n")
    subprocess.run(
        [sys.executable, "-m", "fetcher", "all"], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )


def measured(row: Row, model: Path, rounds: int) -> dict[str, object]:
    """Return the medians of both, and how much more `fetch verify` took, in percent."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder, row, model)
        bare = [sys.executable, "-c", _BEGIN + row.bare, str(model)]
        verify = [sys.executable, "-m", "fetcher", "verify", "m", "--device", "cpu"]
        verify += ["--trust-project-code"] if "trust" in row.options else []
        times: list[tuple[tuple[float, float], tuple[float, float]]] = []
        for number in range(rounds + 1):
            one = timed(bare, folder), timed(verify, folder, row.fails)
            times += [one] if number else []  # the first round fills the page cache
    told: dict[str, object] = {}
    for n, kind in enumerate(("wall_seconds", "cpu_seconds")):
        pairs = [(first[n], second[n]) for first, second in times]
        told[kind] = {
            "bare": round(statistics.median(one for one, _ in pairs), 2),
            "verify": round(statistics.median(two for _, two in pairs), 2),
            "over_percent": round(100 * (statistics.median(b / a for a, b in pairs) - 1), 1),
        }
    return told


def main() -> None:
    """Make what is missing, measure, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minilm", type=Path, default=Path("quickstart/all-MiniLM-L6-v2"))
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
    root = options.folder.resolve()
    root.mkdir(parents=True, exist_ok=True)
    for name, row in rows(options.minilm.resolve()).items():
        if options.only and name not in options.only and row.probe not in options.only:
            continue
        model = root / row.model  # a folder of its own stays as it is
        if not model.exists() and isinstance(row.model, Path):
            print(f"{name}: {model} is not there, left out", file=sys.stderr)
            continue
        if not model.exists():
            MAKERS[str(row.model)](model)
        os.environ["FETCH_ALLOW_LOCAL"] = str(model)  # it lies outside the project that is made
        print(json.dumps({"probe": name, **measured(row, model, options.rounds)}), flush=True)


if __name__ == "__main__":
    main()
