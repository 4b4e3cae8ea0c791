"""The `ultralytics` probe: a YOLO model loads by the person's word, and looks at pictures.

What each option means is in `Ultralytics`.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.releases import SAFE_TORCH, version
from fetcher.verify.loaders import ultralytics as loader
from fetcher.verify.loaders.loaded import check_finite
from fetcher.verify.loaders.strict import listed
from fetcher.verify.pictures import images
from fetcher.verify.weights import exact, fileformat, sketch
from fetcher.verify.weights.choice import with_suffix
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions, Tensors
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_SIDE = 160  # pixels: enough to prove it


class Ultralytics:
    """Loads every .pt file within the limits that the person set, and shows it two pictures.

    Options, all optional: `files` (globs; default: all .pt files), `classes` (how many the model
    tells apart), `size` ([height, width] of the pictures, multiples of 32; default 160 x 160),
    `parameters` (exact or `{min, max}`).
    """

    type = "ultralytics"
    requires = (("torch", "torch"),)

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check every .pt file of the artifact."""
        torch = context.require("torch")
        if version(torch) < SAFE_TORCH:
            raise ProbeError(
                f"torch {torch.__version__} has no safe way to load a pickle",
                "upgrade to torch 2.6 or newer",
            )
        chosen = with_suffix(
            request, ".pt", "exported models are proven with the type onnx; else name it in `files`"
        )
        context.metrics["parameters"] = 0
        for name in chosen:
            with context.loading(name):
                _check_file(name, request, context)


PROBE = Ultralytics()


def _check_file(name: str, request: ProbeRequest, context: Context) -> None:
    context.stage(f"looking at {name}")
    torch, path = context.require("torch"), request.files[name]
    if fileformat.identify(path, name) == fileformat.TORCH_ZIP:
        _refuse_damage(path)
    names = loader.judge(path, context.allowed_globals)
    loader.prepare(context.scratch)
    if any(one.startswith("ultralytics.") for one in names):
        context.require("ultralytics")
    context.stage(f"loading {name}")
    with context.timed("load_seconds"):
        model, stored = loader.load(path, names, context.device(), context.torch_dtype())
    context.stored_as(stored)
    count = sum(parameter.numel() for parameter in model.parameters())
    context.metrics["parameters"] += count
    context.check(f"{name}: loads", True, f"{type(model).__name__}, {count:,} parameters")
    if "parameters" in request.options:
        check_count(f"{name}: parameters", count, request.options["parameters"], context)
    if not check_finite(name, model, context):
        return
    _check_trained(name, model, context)
    _check_classes(name, model, request, context)
    _try(name, model, request, context)
    with context.timed("check_seconds"):
        held = model.state_dict().items()
        bits = {key: exact.of_tensor(torch, one) for key, one in held}
        found = {key: sketch.of_blocks(sketch.of_tensor(torch, one.cpu())) for key, one in held}
    sketch.keep(context, f"{name}: weights", found)
    exact.keep(context, name, bits)
    context.fact(f"{name}: settings", loader.settings(model))


def _refuse_damage(path: Any) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            if any("/code/" in one.filename for one in archive.infolist()):
                raise ProbeError(
                    "a TorchScript archive: it holds code", "take the .pt file that it was made of"
                )
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ProbeError(f"truncated or damaged: {error}", "fetch the artifact again") from None
    if damaged is not None:
        raise ProbeError(f"damaged: the checksum of {damaged} does not match", "fetch it again")


def _check_trained(name: str, model: Any, context: Context) -> None:
    """Check that the layers that keep a mean of what they saw have seen something."""
    torch = context.require("torch")
    seen = [
        bool((one.running_mean != 0).any())
        for one in model.modules()
        if isinstance(one, torch.nn.BatchNorm2d) and one.running_mean is not None
    ]
    context.check(
        f"{name}: it was trained",
        not seen or any(seen),
        f"{sum(seen)} of {len(seen)} normalisations saw pictures",
        "the network was saved as it was made: take it from a trained checkpoint",
    )


def _check_classes(name: str, model: Any, request: ProbeRequest, context: Context) -> None:
    names = getattr(model, "names", None)
    known = list(names.values()) if isinstance(names, dict) else list(names or ())
    head = getattr(list(model.modules())[-1], "nc", None) or getattr(model, "nc", None)
    last = getattr(model, "model", None)
    if isinstance(last, context.require("torch").nn.Sequential) and len(last):
        head = getattr(last[-1], "nc", head)
    told = f"{len(known)} names: {listed([str(one) for one in known])}"
    if isinstance(head, int) and known:
        context.check(
            f"{name}: classes",
            len(known) == head,
            told if len(known) == head else f"{told}; its head tells {head} apart",
            "the file was changed since it was trained",
        )
    if "classes" in request.options:
        check_count(f"{name}: number of classes", len(known), request.options["classes"], context)
    context.fact(f"{name}: classes", [str(one) for one in known])


def _try(name: str, model: Any, request: ProbeRequest, context: Context) -> None:
    torch = context.require("torch")
    context.stage(f"showing pictures to {name}")
    height, width = request.options.get("size", (_SIDE, _SIDE))
    pictures = images.generated(torch, height, width, request.seed, 2)
    pictures = pictures.to(context.device(), context.torch_dtype())
    with context.timed("infer_seconds"):
        first = loader.answer(model, pictures[:1])
        other = loader.answer(model, pictures[1:])
    bad = [key for key, part in first.items() if not bool(torch.isfinite(part).all())]
    sound = context.check(
        f"{name}: answers are finite",
        bool(first) and not bad,
        f"NaN or infinity in {listed(bad)}" if bad else f"{len(first)} tensors",
        "numbers overflowed, or the weights are damaged",
    )
    if not sound:
        return
    moved = _apart(first, other)
    context.check(
        f"{name}: the picture acts",
        moved > 0,
        f"another picture moves the answer by {moved:.3g}",
        "every picture gets the same answer: the weights do nothing",
    )
    for key, part in first.items():
        if part.numel():
            context.fingerprint(f"{name}: {key}", part)


def _apart(one: Tensors, two: Tensors) -> float:
    if any(part.shape != two[key].shape for key, part in one.items()):
        return float("inf")
    apart = (float((p - two[key]).abs().max()) for key, p in one.items() if p.numel())
    return max(apart, default=0.0)
