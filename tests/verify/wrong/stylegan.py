"""GenForce's StyleGAN: what may have been done to a generator or a discriminator."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from fetcher.verify import ProbeRequest

from tests.verify import stylegan_files
from tests.verify.probing import request
from tests.verify.wrong import Case, Make

_LABELS = 6

Tensors = dict[str, torch.Tensor]


@lru_cache
def _generator(label: int = 0, embedding: int = 0, seed: int = 0) -> Tensors:
    return stylegan_files.generator(torch, 32, 16, label=label, embedding=embedding, seed=seed)


@lru_cache
def _discriminator() -> Tensors:
    return stylegan_files.discriminator(torch, 32, 16, label=_LABELS)


def _drawn(make: Callable[[], Any]) -> Make:
    def made(folder: Path) -> ProbeRequest:
        folder.mkdir()
        torch.save(make(), folder / "g.pth")
        return request("stylegan", folder)

    return made


def _judged(make: Callable[[], Any]) -> Make:
    def made(folder: Path) -> ProbeRequest:
        folder.mkdir()
        torch.save(make(), folder / "d.pth")
        return request("stylegan", folder, discriminator="d.pth")

    return made


def _with(name: str, value: Callable[[torch.Tensor], torch.Tensor], **sizes: int) -> Make:
    def change() -> Tensors:
        tensors = _generator(**sizes)
        return {**tensors, name: value(tensors[name])}

    return _drawn(change)


def _swapped(order: list[int], rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Put rows of the last `rows` of a matrix, or all of it, into another order."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        found = tensor.clone()
        found[:, -rows:] = tensor[:, -rows:][:, order]
        return found

    return change


def _label_rows(order: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: tensor[order]


plain = _drawn(_generator)
labelled = _drawn(lambda: _generator(label=_LABELS))
embedded = _drawn(lambda: _generator(label=_LABELS, embedding=4))
judge = _judged(_discriminator)
_LAST_TWO = [0, 1, 2, 3, 5, 4]
_W_ORDER = [1, 0, *range(2, 16)]
_W_AVG = "truncation.w_avg"


def _halved(tensors: Tensors) -> Tensors:
    return {name: one.bfloat16() for name, one in tensors.items()}


def _exchanged(one: str, two: str) -> Tensors:
    tensors = _generator()
    return {**tensors, one: tensors[two], two: tensors[one]}


def _training(change: Callable[[Tensors], Tensors]) -> Make:
    """A training checkpoint with a generator, and its smooth copy changed."""

    def make() -> Any:
        return {
            "models": {
                "generator": _generator(),
                "generator_smooth": change(dict(_generator(seed=1))),
                "discriminator": _discriminator(),
            }
        }

    return _drawn(make)


def _relabelled_judge() -> Tensors:
    tensors = dict(_discriminator())
    name = max(n for n in tensors if tensors[n].dim() == 2 and tensors[n].shape[0] == 1)
    tensors[name] = _swapped(_LAST_TWO, _LABELS)(tensors[name])
    return tensors


CASES = [
    Case("stylegan", "generator without labels", plain),
    Case("stylegan", "generator with labels", labelled),
    Case("stylegan", "generator with embedded labels", embedded),
    Case("stylegan", "w_avg near the mean", _with(_W_AVG, lambda t: t * 1.1 + 0.02)),
    Case(
        "stylegan",
        "training checkpoint whose smooth copy never had a w_avg",
        _training(lambda t: {**t, _W_AVG: t[_W_AVG] * 0}),
    ),
    Case("stylegan", "w_avg zero", _with(_W_AVG, torch.zeros_like), plain, "w_avg is the mean"),
    Case("stylegan", "w_avg negated", _with(_W_AVG, torch.neg), plain, "w_avg is the mean"),
    Case(
        "stylegan",
        "w_avg destroyed",
        _with(_W_AVG, lambda t: torch.linspace(-3, 3, len(t))),
        plain,
        "w_avg is the mean",
    ),
    Case(
        "stylegan",
        "w_avg destroyed, with labels",
        _with(_W_AVG, lambda t: torch.linspace(-3, 3, len(t)), label=_LABELS),
        labelled,
        "w_avg is the mean",
    ),
    Case("stylegan", "w_avg with two numbers swapped", _with(_W_AVG, lambda t: t[_W_ORDER]), plain),
    Case(
        "stylegan",
        "last two labels swapped",
        _with("mapping.dense0.weight", _swapped(_LAST_TWO, _LABELS), label=_LABELS),
        labelled,
    ),
    Case(
        "stylegan",
        "last two embedded labels swapped",
        _with("mapping.label_weight", _label_rows(_LAST_TWO), label=_LABELS, embedding=4),
        embedded,
    ),
    Case(
        "stylegan",
        "a label that does nothing",
        _with(
            "mapping.label_weight",
            lambda t: t * (torch.arange(len(t)) != _LABELS - 1)[:, None],
            label=_LABELS,
            embedding=4,
        ),
        embedded,
        "label 5 moves nothing",
    ),
    Case("stylegan", "another training", _drawn(lambda: _generator(seed=3)), plain),
    Case(
        "stylegan",
        "a style of the finest layer destroyed",
        _with("synthesis.layer7.style.weight", lambda t: t.flip(0)),
        plain,
    ),
    Case("stylegan", "discriminator with labels", judge),
    Case("stylegan", "discriminator with two labels swapped", _judged(_relabelled_judge), judge),
    Case(
        "stylegan",
        "another discriminator",
        _judged(lambda: stylegan_files.discriminator(torch, 32, 16, label=_LABELS, seed=2)),
        judge,
    ),
    Case("stylegan", "generator in bfloat16", _drawn(lambda: _halved(_generator()))),
    Case(
        "stylegan",
        "another training, in bfloat16",
        _drawn(lambda: _halved(_generator(seed=3))),
        plain,
    ),
    Case(
        "stylegan",
        "a mapping with two layers exchanged",
        _drawn(lambda: _exchanged("mapping.dense1.weight", "mapping.dense2.weight")),
        plain,
        "w_avg is the mean",
    ),
    Case("stylegan", "w_avg three times as large", _with(_W_AVG, lambda t: 3 * t), plain, "w_avg"),
    Case(
        "stylegan",
        "red and blue swapped",
        _with("synthesis.output3.weight", lambda t: t.flip(0)),
        plain,
    ),
    Case(
        "stylegan",
        "generator in float16",
        _drawn(lambda: {n: t.half() for n, t in _generator().items()}),
    ),
    Case(
        "stylegan",
        "generator in float64",
        _drawn(lambda: {n: t.double() for n, t in _generator().items()}),
    ),
    Case(
        "stylegan",
        "discriminator alone of a checkpoint",
        _judged(lambda: {"models": {"discriminator": _discriminator()}}),
    ),
    Case(
        "stylegan",
        "a generator that is still half as fine",
        _with("synthesis.lod", lambda t: t + 1),
    ),
    Case(
        "stylegan",
        "an output of zeros",
        _with("synthesis.output3.weight", torch.zeros_like),
        plain,
        "not plain",
    ),
    Case(
        "stylegan",
        "styles of zero",
        _drawn(lambda: {n: t * (not n.endswith("style.weight")) for n, t in _generator().items()}),
        plain,
        "z acts",
    ),
    Case(
        "stylegan",
        "outputs of a coarser level",
        _with("synthesis.output1.weight", torch.neg),
        plain,
    ),
    Case("stylegan", "w_avg 0.2 % larger", _with(_W_AVG, lambda t: t * 1.002), plain),
    Case("stylegan", "another level of detail", _with("synthesis.lod", lambda t: t + 0.5), plain),
    Case(
        "stylegan",
        "other noise",
        _with("synthesis.layer1.apply_noise.noise", lambda t: t.flip(-1)),
        plain,
    ),
    Case(
        "stylegan",
        "another blur",
        _with("synthesis.layer2.blur.kernel", lambda t: t * 0 + 1 / 9),
        plain,
    ),
    Case(
        "stylegan", "a beginning of zeros", _with("synthesis.layer0.const", torch.zeros_like), plain
    ),
    Case(
        "stylegan",
        "a synthesis without training",
        _drawn(
            lambda: {
                n: _generator(seed=5)[n] if n.startswith("synthesis") else t
                for n, t in _generator().items()
            }
        ),
        plain,
    ),
    Case(
        "stylegan",
        "a discriminator's inputs of a coarser level",
        _judged(
            lambda: {n: -t if n == "input1.weight" else t for n, t in _discriminator().items()}
        ),
        judge,
    ),
]
