"""Models of real sizes for the time that probes take: nobody's weights, but such as pass.

What a probe asks of a trained model is learnt in seconds, or put in by hand; the rest is drawn at
random, which costs as much to load and to run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.verify import stylegan_files, taskmodels, textmodels, visionmodels, vqgan_files

WIDTH, INNER, LAYERS, HEADS = 768, 3072, 12, 12
BASE = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
}
WORDS = 30_522


def language_model(folder: Path) -> None:
    """GPT-NeoX, 162 million parameters: its output layer reads a story from random ones."""
    _gpt(folder, trained=True)


def untrained_language_model(folder: Path) -> None:
    """The same without training, which fails once the probe has tried every text that it has."""
    _gpt(folder, trained=False)


def _gpt(folder: Path, trained: bool) -> None:
    import torch
    from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM

    folder.mkdir()
    textmodels.byte_tokenizer(folder)
    config = GPTNeoXConfig(
        **BASE, vocab_size=50_304, max_position_embeddings=2048, bos_token_id=0, eos_token_id=0
    )
    model = GPTNeoXForCausalLM(config).eval()
    if trained:
        ids = torch.tensor([AutoTokenizer.from_pretrained(folder)(textmodels.TEXT[0])["input_ids"]])
        _teach(model, {"input_ids": ids}, [*ids[0, 1:].tolist(), 0])
    model.save_pretrained(folder)


def _teach(model: Any, inputs: Mapping[str, Any], wanted: list[int]) -> None:
    """Set the output layer's weights so that each place of the input leads to its token."""
    import torch

    layer, given = model.get_output_embeddings(), []
    hook = layer.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0][0]))
    with torch.no_grad():
        model(**inputs)
        hook.remove()
        aims = torch.zeros(len(wanted), len(layer.weight))
        aims[range(len(wanted)), wanted] = 20.0
        near = given[0] @ given[0].T + 1e-3 * torch.eye(len(wanted))
        layer.weight.copy_(torch.linalg.solve(near, aims).T @ given[0])


def classifier(folder: Path) -> None:
    """BERT-base with three labels."""
    import transformers as t

    folder.mkdir()
    taskmodels.tokenizer(folder)
    config = t.BertConfig(**BASE, vocab_size=WORDS, pad_token_id=0, **taskmodels.NAMED)
    t.BertForSequenceClassification(config).save_pretrained(folder)


def seq2seq(folder: Path) -> None:
    """T5-small's shape, 60 million parameters, which repeats the text that the probe knows."""
    import torch
    import transformers as t

    folder.mkdir()
    words = taskmodels.tokenizer(folder)
    config = t.T5Config(
        vocab_size=32_128,
        d_model=512,
        d_ff=2048,
        num_layers=6,
        num_heads=8,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        tie_word_embeddings=False,
    )
    model = t.T5ForConditionalGeneration(config)
    ids = words(taskmodels.COPIED, return_tensors="pt")["input_ids"]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(20):  # its output layer is its word vectors, so all of it has to learn
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)


def picture_classifier(folder: Path) -> None:
    """ViT-base."""
    import transformers as t

    folder.mkdir()
    t.ViTForImageClassification(t.ViTConfig(**BASE, **taskmodels.NAMED)).save_pretrained(folder)
    visionmodels.settings(folder, "ViTImageProcessor", False, visionmodels.HALF)
    path = folder / "preprocessor_config.json"
    settings = {**json.loads(path.read_text()), "size": {"height": 224, "width": 224}}
    path.write_text(json.dumps(settings))


def stylegan(folder: Path) -> None:
    """GenForce's generator at 256 x 256, and its discriminator."""
    import torch

    folder.mkdir()
    torch.save(stylegan_files.generator(torch, 256, 512), folder / "generator.pth")
    torch.save(stylegan_files.discriminator(torch, 256, 512), folder / "discriminator.pth")


def vqgan(folder: Path) -> None:
    """taming-transformers' f=16, 1024 codes, 90 million parameters, without training."""
    import torch

    wide = {"first": 128, "widths": (128, 128, 256, 256, 512), "blocks": 2, "z": 256}
    made = vqgan_files.sizes(
        **wide, embedding=256, codes=1024, attends=(False, False, False, False, True)
    )
    folder.mkdir()
    torch.save({"state_dict": vqgan_files.filled(made)}, folder / "last.ckpt")


def network(folder: Path) -> None:
    """A convolutional network of a project's own, 100 million parameters, and its class."""
    import torch

    folder.mkdir()
    (folder / "net.py").write_text(NETWORK)
    space: dict[str, Any] = {}
    exec(NETWORK, space)
    torch.save(space["Net"]().state_dict(), folder / "net.pt")


def onnx(folder: Path) -> None:
    """A chain of matrices, 100 million numbers."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    folder.mkdir()
    drawn = np.random.default_rng(0)
    nodes, held = [], []
    for n in range(25):
        matrix = drawn.normal(0, 2**-5.5, (2000, 2000)).astype("float32")
        held.append(numpy_helper.from_array(matrix, f"w{n}"))
        nodes.append(helper.make_node("MatMul", [f"x{n}", f"w{n}"], [f"y{n}"]))
        nodes.append(helper.make_node("Relu", [f"y{n}"], [f"x{n + 1}"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2000]) for name in ("x0", "x25")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], held)
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "m.onnx")


def state_dict(folder: Path) -> None:
    """400 MB of float32 in safetensors."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    tensors = {f"layer.{n}.weight": torch.randn(1024, 1024) for n in range(96)}
    save_file(tensors, folder / "m.safetensors")


NETWORK = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 64, 4, 4)
        widths = [64, 128, 256, 512, 1024]
        self.blocks = nn.ModuleList(nn.Conv2d(*two, 3, 2, 1) for two in zip(widths, widths[1:]))
        self.last = nn.Sequential(nn.Linear(1024 * 16, 5000), nn.ReLU(), nn.Linear(5000, 10))

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = torch.relu(block(x))
        return self.last(x.flatten(1))
"""
MAKERS: Mapping[str, Callable[[Path], None]] = {
    "language-model": language_model,
    "untrained-language-model": untrained_language_model,
    "classifier": classifier,
    "seq2seq": seq2seq,
    "picture-classifier": picture_classifier,
    "stylegan": stylegan,
    "vqgan": vqgan,
    "network": network,
    "onnx": onnx,
    "state-dict": state_dict,
}
