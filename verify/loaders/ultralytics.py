"""Ultralytics' YOLO models, which are whole networks in a pickle.

Ultralytics itself loads such a file without any limit. Here torch lets it use exactly the names
that the person allowed for it, and torch's own layers. Runs under the project's interpreter: syntax
of Python 3.8, libraries imported inside functions.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import warnings
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import pickles
from fetcher.verify.loaders import LoadError, first_line, is_memory
from fetcher.verify.weights.weights import sha256

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

# Layers without code of a model: to have one made does nothing that its file decides.
_LAYERS = re.compile(
    r"torch\.nn\.modules\.(activation|batchnorm|container|conv|dropout|flatten|linear|normalization"
    r"|padding|pixelshuffle|pooling|upsampling)\.[A-Z]\w*"
)
_SHOWN = 5
# What a network is told beside its weights, as the file has it: not what a release adds to it.
_SETTINGS = (
    "kernel_size", "stride", "padding", "dilation", "groups", "eps", "negative_slope",
    "normalized_shape", "num_groups", "scale_factor", "mode", "output_size", "nc", "nl", "no",
    "reg_max", "kpt_shape", "ne", "nm", "npr", "max_det", "end2end", "task",
)  # fmt: skip


def judge(path: Path, allowed: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the globals that a file may use, by the person's word and as torch's own layers.

    `allowed` are the names by a file's sha256. Raises LoadError if it asks for others.
    """
    wanted = pickles.refused_globals(path)
    layers = [name for name in wanted if _LAYERS.fullmatch(name)]
    digest = sha256(path)
    own = set(allowed.get(digest, ()))
    asked = [name for name in wanted if name not in layers]
    if set(asked) <= own:
        return wanted
    listed = ", ".join(asked[:_SHOWN]) + (", …" if len(asked) > _SHOWN else "")
    instead = "nothing of it was run; an export to .onnx needs no trust"
    if not all(pickles.may_be_allowed(name) for name in asked):
        raise LoadError(f"refused: the pickle asks for {listed}", instead)
    raise LoadError(
        f"refused: the pickle is a whole network, of {listed}",
        f"{instead}. If you trust whoever made this file: fetch config allow pickles {digest} "
        f"{' '.join(map(shlex.quote, asked))}",
    )


def prepare(folder: Path) -> None:
    """Keep ultralytics from installing packages, looking for news, and writing into a home."""
    os.environ["YOLO_CONFIG_DIR"] = str(folder)
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ["YOLO_VERBOSE"] = "false"


def load(path: Path, names: Collection[str], device: str, dtype: Any) -> tuple[Any, str]:
    """Return the network in a file, which may use the globals `names`, and the type of its weights.

    `prepare` comes first. Raises LoadError.
    """
    import torch

    found = [_global(name) for name in names]
    try:
        with torch.serialization.safe_globals(found), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(str(path), map_location="cpu", weights_only=True)
    except Exception as error:
        if is_memory(error):
            raise
        raise LoadError(
            f"torch cannot load it: {first_line(error)}",
            "the file may be damaged, or of another release of ultralytics than is installed",
        ) from error
    model = content
    if isinstance(content, dict):
        # As ultralytics chooses: the average over the training, where it was kept.
        model = content.get("ema") if content.get("ema") is not None else content.get("model")
    if not isinstance(model, torch.nn.Module):
        raise LoadError(
            "it holds no network (model, ema)",
            "weights alone are proven with the type state-dict",
        )
    floats = (str(one.dtype) for one in model.parameters() if one.is_floating_point())
    stored = next(floats, "float32").replace("torch.", "")
    return model.to(device, dtype).eval(), stored


def _global(name: str) -> tuple[Any, str]:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute), name
    except (ImportError, AttributeError) as error:
        raise LoadError(
            f"the installed libraries lack {name}: {first_line(error)}",
            "upgrade ultralytics in the project's environment",
        ) from error


def settings(model: Any) -> dict[str, list[str]]:
    """Return what is set in each module of a network, by the module's name."""
    found = {}
    for name, module in model.named_modules():
        told = [
            f"{key} {_plain(value)}"
            for key in _SETTINGS
            if (value := vars(module).get(key)) is not None and _plain(value)
        ]
        if told:
            found[name] = told
    return found


def _plain(value: Any) -> str:
    """Return numbers, texts, and lists and tensors of numbers as a text; "" for what else it is."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        parts = [_plain(one) for one in value]
        return f"[{', '.join(parts)}]" if all(parts) else ""
    return str(value) if isinstance(value, (bool, int, float, str)) else ""


def answer(model: Any, pictures: Any) -> dict[str, Any]:
    """Return what a network finds in pictures (N, 3, H, W) in 0..1: its tensors by number, float32.

    Raises LoadError.
    """
    import torch

    try:
        with torch.no_grad():
            found = model(pictures)
    except Exception as error:
        if is_memory(error):
            raise
        raise LoadError(
            f"the network failed on a picture: {first_line(error)}",
            "it was saved by another release of ultralytics: install the one that its file names",
        ) from error
    tensors: dict[str, Any] = {}
    _collect(torch, found, "", tensors)
    return tensors


def _collect(torch: Any, part: Any, name: str, into: dict[str, Any]) -> None:
    if isinstance(part, torch.Tensor):
        into[name or "output"] = part.detach().float().cpu()
    elif isinstance(part, dict):
        for key, value in part.items():
            _collect(torch, value, f"{name}.{key}".lstrip("."), into)
    elif isinstance(part, (list, tuple)):
        for number, value in enumerate(part):
            _collect(torch, value, f"{name}.{number}".lstrip("."), into)
