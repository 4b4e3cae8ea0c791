"""Whole networks in pickles, as Ultralytics saves them, which the `ultralytics` probe reads."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fetcher.verify import ProbeRequest
from torch import nn

from tests.verify.probing import request
from tests.verify.wrong import Case

_NAMES = ["cat", "dog", "owl"]


class Detector(nn.Module):  # type: ignore[misc]
    """Stands for a class of another package, which the person must allow."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.model = layers
        self.names = dict(enumerate(_NAMES))

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        found = self.model(pictures)
        return found.flatten(2), [found]


def layers(seed: int = 0) -> nn.Sequential:
    """A convolution, a normalisation that saw pictures, and an end that tells three apart."""
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 7, 3, 2))
    with torch.no_grad():
        made.train()(torch.rand(4, 3, 32, 32))
    made[-1].nc = len(_NAMES)
    return made.eval()


NAME = f"{__name__}.Detector"


def saved(model: Any, folder: Path, *names: str, **options: Any) -> ProbeRequest:
    """A checkpoint as the trainer writes it; the person allows `names`."""
    folder.mkdir()
    file = folder / "best.pt"
    torch.save({"epoch": -1, "ema": None, "model": model, "train_args": {}, "date": ""}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    made = request("ultralytics", folder, **options)
    return dataclasses.replace(made, pickles={digest: list(names)} if names else {})


def whole(folder: Path) -> ProbeRequest:
    return saved(Detector(layers()), folder, NAME)


def _changed(change: Callable[[Detector], object]) -> Callable[[Path], ProbeRequest]:
    def make(folder: Path) -> ProbeRequest:
        model = Detector(layers())
        with torch.no_grad():
            change(model)
        return saved(model, folder, NAME)

    return make


def _cut(folder: Path) -> ProbeRequest:
    made = whole(folder)
    data = (folder / "best.pt").read_bytes()
    (folder / "best.pt").write_bytes(data[:-400])
    return made


def _page(folder: Path) -> ProbeRequest:
    made = whole(folder)
    (folder / "best.pt").write_text("<!DOCTYPE html>")
    return made


def _other_file(folder: Path) -> ProbeRequest:
    """The word was given for another file."""
    made = whole(folder)
    torch.save({"model": Detector(layers(1))}, folder / "best.pt")
    return made


def _weights_alone(folder: Path) -> ProbeRequest:
    return saved(layers().state_dict(), folder, NAME)


def _noisy(model: Detector) -> None:
    source = torch.Generator().manual_seed(0)
    for one in model.parameters():
        one.add_(0.003 * one.std(correction=0) * torch.randn(one.shape, generator=source))


def _kept(**beside: Any) -> Callable[[Path], ProbeRequest]:
    """A checkpoint with other things beside the network."""

    def make(folder: Path) -> ProbeRequest:
        saved(Detector(layers()), folder)
        file = folder / "best.pt"
        torch.save({"model": Detector(layers()), **beside}, file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return dataclasses.replace(request("ultralytics", folder), pickles={digest: [NAME]})

    return make


def _classifier(folder: Path) -> ProbeRequest:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    with torch.no_grad():
        made.train()(torch.rand(4, 3, 32, 32))
    return saved(made.eval(), folder)


def _case(what: str, make: Callable[[Path], ProbeRequest], says: str = "") -> Case:
    return Case("ultralytics", what, make, whole, says)


CASES = [
    Case("ultralytics", "a network that the person allows", whole),
    Case("ultralytics", "a network of torch's own layers", lambda folder: saved(layers(), folder)),
    Case(
        "ultralytics",
        "the same in float16",
        lambda folder: saved(Detector(layers()).half(), folder, NAME),
    ),
    Case(
        "ultralytics",
        "three classes, as the manifest says",
        lambda folder: saved(Detector(layers()), folder, NAME, classes=3, size=[64, 96]),
    ),
    _case(
        "a network that nobody allowed", lambda folder: saved(Detector(layers()), folder), "refused"
    ),
    _case("the word was given for another file", _other_file, "refused"),
    _case("cut off", _cut, "truncated or damaged"),
    _case("a web page", _page, "a web page"),
    _case("weights without a network", _weights_alone, "holds no network"),
    _case("NaN in a weight", _changed(lambda m: m.model[0].weight[0, 0].fill_(torch.nan)), "NaN"),
    _case(
        "a network that was never trained",
        _changed(lambda m: m.model[1].reset_running_stats()),
        "0 of 1 normalisations",
    ),
    _case(
        "weights of zero", _changed(lambda m: m.model[3].weight.zero_()), "another picture moves"
    ),
    _case(
        "names of other classes than it tells apart",
        _changed(lambda m: m.names.pop(2)),
        "its head tells 3 apart",
    ),
    _case(
        "another number of classes than the manifest says",
        lambda folder: saved(Detector(layers()), folder, NAME, classes=80),
        "expected 80",
    ),
    _case("other weights", lambda folder: saved(Detector(layers(1)), folder, NAME)),
    _case("names in another order", _changed(lambda m: m.names.update({0: "dog", 1: "cat"}))),
    Case("ultralytics", "a classifier", _classifier),
    Case(
        "ultralytics",
        "normalisations that are part of the convolutions",
        lambda folder: saved(nn.Sequential(nn.Conv2d(3, 8, 3)), folder),
    ),
    Case("ultralytics", "no average over the training", _kept(ema=None)),
    Case(
        "ultralytics",
        "an optimizer beside it",
        _kept(optimizer={"state": {0: {"a": torch.ones(3)}}, "param_groups": []}, updates=3),
    ),
    _case(
        "a negative variance",
        _changed(lambda m: m.model[1].running_var.neg_()),
        "answers are finite",
    ),
    _case(
        "a first layer of zeros",
        _changed(lambda m: m.model[0].weight.zero_()),
        "another picture moves",
    ),
    _case(
        "red and blue swapped",
        _changed(lambda m: m.model[0].weight.copy_(m.model[0].weight.flip(1))),
    ),
    _case("0.3 % noise on every weight", _changed(_noisy)),
    _case("one number of a bias changed", _changed(lambda m: m.model[3].bias[0].add_(5e-4))),
    _case("another variance", _changed(lambda m: m.model[1].running_var.mul_(1.001))),
    _case("another epsilon", _changed(lambda m: setattr(m.model[1], "eps", 1.1e-5))),
    _case("names that are all alike", _changed(lambda m: m.names.update({1: "cat", 2: "cat"}))),
    _case("an average of another training", _kept(ema=Detector(layers(2)))),
]
