"""MTCNN's nets on the real weights, and on what somebody may have made of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from fetcher.verify import ProbeRequest

from tests.verify.probing import request
from tests.verify.wrong import Case, Make

_REAL = Path(__file__).parents[2] / "data/facenet-mtcnn"
_HEADS = {"pnet": "conv4", "rnet": "dense5", "onet": "dense6"}
_DENSE = {"rnet": ("dense4.weight", 64), "onet": ("dense5.weight", 128)}

Tensors = dict[str, torch.Tensor]
_Turn = Callable[[torch.Tensor], torch.Tensor]


@lru_cache
def _weights(net: str) -> Tensors:
    found: Tensors = torch.load(_REAL / f"{net}.pt", weights_only=True)
    return found


def _with(net: str, change: Callable[[str, Tensors], Tensors]) -> Make:
    """An artifact of one net alone, with its weights changed."""

    def make(folder: Path) -> ProbeRequest:
        folder.mkdir()
        torch.save(change(net, dict(_weights(net))), folder / f"{net}.pt")
        return request("mtcnn", folder)

    return make


_RIGHT = {net: _with(net, lambda _, t: t) for net in _HEADS}


def _random(net: str, tensors: Tensors) -> Tensors:
    source = torch.Generator().manual_seed(len(net))
    return {
        name: torch.randn(t.shape, generator=source) * t.std() if t.numel() > 1 else t
        for name, t in tensors.items()
    }


def _filters(
    turn: Callable[[torch.Tensor], torch.Tensor], first: str = ""
) -> Callable[..., Tensors]:
    def change(net: str, tensors: Tensors) -> Tensors:
        return {
            n: turn(t) if t.dim() == 4 and n.startswith(first) else t for n, t in tensors.items()
        }

    return change


def _mirrored_wholly(net: str, tensors: Tensors) -> Tensors:
    found = _filters(lambda t: t.flip(3))(net, tensors)
    if net in _DENSE:
        name, channels = _DENSE[net]
        wide = tensors[name].view(-1, 3, 3, channels)
        found[name] = wide.flip(1).reshape(tensors[name].shape)
    return found


def _height_first(net: str, tensors: Tensors) -> Tensors:
    name, channels = _DENSE[net]
    wide = tensors[name].view(-1, 3, 3, channels)
    return {**tensors, name: wide.transpose(1, 2).reshape(tensors[name].shape)}


def _shuffled(name: str) -> Callable[..., Tensors]:
    def change(net: str, tensors: Tensors) -> Tensors:
        source = torch.Generator().manual_seed(0)
        order = torch.randperm(len(tensors[name]), generator=source)
        return {**tensors, name: tensors[name][order]}

    return change


def _head(part: int, order: list[int]) -> Callable[..., Tensors]:
    def change(net: str, tensors: Tensors) -> Tensors:
        names = [f"{_HEADS[net]}_{part}.{kind}" for kind in ("weight", "bias")]
        return {**tensors, **{name: tensors[name][order] for name in names}}

    return change


def _halved(net: str, tensors: Tensors) -> Tensors:
    return {name: t.half() for name, t in tensors.items()}


def _noisy(share: float) -> Callable[..., Tensors]:
    def change(net: str, tensors: Tensors) -> Tensors:
        source = torch.Generator().manual_seed(0)
        return {
            name: t + share * t.std(unbiased=False) * torch.randn(t.shape, generator=source)
            for name, t in tensors.items()
        }

    return change


def _without_slopes(net: str, tensors: Tensors) -> Tensors:
    return {name: t * 0 if "prelu" in name else t for name, t in tensors.items()}


def _scaled(part: int, by: float) -> Callable[..., Tensors]:
    """One of a net's answers larger or smaller."""

    def change(net: str, tensors: Tensors) -> Tensors:
        head = f"{_HEADS[net]}_{part}."
        return {n: t * by if n.startswith(head) else t for n, t in tensors.items()}

    return change


def _rounded(levels: int) -> Callable[..., Tensors]:
    def change(net: str, tensors: Tensors) -> Tensors:
        steps = {n: t.abs().max() / levels for n, t in tensors.items()}
        return {n: (t / steps[n]).round() * steps[n] for n, t in tensors.items()}

    return change


def all_three(folder: Path) -> ProbeRequest:
    folder.mkdir()
    for net in _HEADS:
        torch.save(_weights(net), folder / f"{net}.pt")
    return request("mtcnn", folder)


def _cases() -> list[Case]:
    swap = _filters(lambda t: t.flip(1), "conv1")
    every = tuple(_HEADS)
    wrong: list[tuple[str, Callable[..., Tensors], tuple[str, ...]]] = [
        ("random weights", _random, every),
        ("filters mirrored left to right", _filters(lambda t: t.flip(3)), every),
        ("the whole net mirrored", _mirrored_wholly, ("rnet", "onet")),
        ("filters upside down", _filters(lambda t: t.flip(2)), every),
        ("filters turned", _filters(lambda t: t.transpose(2, 3)), every),
        (
            "the first layer mirrored",
            _filters(lambda t: t.flip(3), "conv1"),
            every,
        ),
        ("red and blue swapped", swap, ("pnet", "onet")),
        (
            "filters of a layer in another order",
            _shuffled("conv2.weight"),
            every,
        ),
        ("face and background swapped", _head(1, [1, 0]), every),
        ("x and y of the box swapped", _head(2, [1, 0, 3, 2]), every),
        ("left and right eye swapped", _head(3, [1, 0, 2, 3, 4, 6, 5, 7, 8, 9]), ("onet",)),
        ("a dense layer with height before width", _height_first, ("rnet", "onet")),
    ]
    cases = [
        Case("mtcnn", f"{net}: {what}", _with(net, change), _RIGHT[net], f"{net}.pt: ")
        for what, change, nets in wrong
        for net in nets
    ]
    for net, what, change in (
        ("rnet", "red and blue swapped", swap),
        ("rnet", "no slopes below zero", _without_slopes),
        ("pnet", "5 % noise on every weight", _noisy(0.05)),
    ):
        cases.append(Case("mtcnn", f"{net}: {what}", _with(net, change), _RIGHT[net]))
    for net in ("pnet", "rnet"):  # O-Net has the same heads
        for what, change in (
            (
                "biases of zero",
                lambda _, t: {n: x * (not n.endswith("bias")) for n, x in t.items()},
            ),
            (
                "slopes of one",
                lambda _, t: {n: x * 0 + 1 if "prelu" in n else x for n, x in t.items()},
            ),
            ("the box twice as far", _scaled(2, 2.0)),
            ("the box of the other sign", _scaled(2, -1.0)),
            ("weights of four bits", _rounded(7)),
        ):
            cases.append(Case("mtcnn", f"{net}: {what}", _with(net, change), _RIGHT[net], ".pt: "))
    for what, order in (
        ("corners of the mouth swapped", [0, 1, 2, 4, 3, 5, 6, 7, 9, 8]),
        ("the nose in place of an eye", [2, 1, 0, 3, 4, 7, 6, 5, 8, 9]),
    ):
        wrong_order = _with("onet", _head(3, order))
        cases.append(Case("mtcnn", f"onet: {what}", wrong_order, _RIGHT["onet"], "eyes, nose"))
    for what, change in (
        ("0.1 % noise on every weight", _noisy(0.001)),
        ("odds half as sure", _scaled(1, 0.5)),
        ("weights of eight bits", _rounded(127)),
    ):
        cases.append(Case("mtcnn", f"onet: {what}", _with("onet", change), _RIGHT["onet"]))
    for net in _HEADS:
        brain = _with(net, lambda _, t: {n: x.bfloat16() for n, x in t.items()})
        cases.append(Case("mtcnn", f"{net} in bfloat16", brain))
    exact = _with("onet", lambda _, t: {n: x.double() for n, x in t.items()})
    cases.append(Case("mtcnn", "onet in float64", exact))
    cases.append(Case("mtcnn", "all three nets", all_three))
    for net in _HEADS:
        cases.append(Case("mtcnn", f"{net} alone", _RIGHT[net]))
        cases.append(Case("mtcnn", f"{net} in float16", _with(net, _halved)))
        cases.append(
            Case("mtcnn", f"{net} with 1 % noise, as after a fine-tuning", _with(net, _noisy(0.01)))
        )
    return cases


CASES = _cases()
