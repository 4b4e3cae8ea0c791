"""Checks of a loaded network that several probes share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fetcher.verify.loaders import embedding_rows
from fetcher.verify.loaders.strict import listed
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions

# What older releases saved beside the weights, and is computed anew.
_NO_WEIGHTS = ("position_ids", "rotary_emb.inv_freq", ".attn.bias", ".masked_bias")
_NUMBERED = re.compile(r"(.+?)\.(\d+)\.(.+)")


def check(
    model: Any,
    missing: Sequence[str],
    unused: Sequence[str],
    wanted: ProbeOptions,
    context: Context,
) -> None:
    """Check that a model of transformers is whole, finite, and as large as the manifest says; keep
    what its embeddings hold.
    """
    check_tensors(model, missing, unused, context)
    counted = sum(parameter.numel() for parameter in model.parameters())
    context.metrics["parameters"] = counted
    if "parameters" in wanted:
        check_count("parameters", counted, wanted["parameters"], context)
    if check_finite("weights", model, context):
        embedding_rows.keep(model, context)


def check_tensors(
    model: Any, missing: Sequence[str], unused: Sequence[str], context: Context
) -> None:
    """Check that the files hold every tensor of a model; what they hold besides is a warning."""
    context.check(
        "every tensor comes from a file",
        not missing,
        f"{len(missing)} tensors are in no file, so they are random: {listed(missing)}"
        if missing
        else type(model).__name__,
        "weights and config.json are of different models, or files are missing",
    )
    unused = [name for name in unused if not name.endswith(_NO_WEIGHTS)]
    layers = layers_left_out(model, unused)
    if layers:
        context.check(
            "every layer is used",
            False,
            f"config.json describes fewer layers than the files have: {layers}",
            "weights and config.json are of different models, or config.json was changed",
        )
    elif unused:
        context.warn(
            "every tensor is used",
            f"{len(unused)} tensors of the files are not in the model: {listed(unused)}",
            "is this the right config.json?",
        )


def layers_left_out(model: Any, unused: Sequence[str]) -> str:
    """Say which layers of the files a model lacks that are like those that it has; '' if none.

    What lies behind the last layer and is built otherwise, as for the prediction of several tokens,
    is none of them.
    """
    there = _layers(name for name, _ in model.named_parameters())
    for prefix, rest in _layers(unused).items():
        for known, layers in there.items():
            # Files may have the model's name in front, or not.
            same = f".{prefix}".endswith(f".{known}") or f".{known}".endswith(f".{prefix}")
            more = [n for n, parts in rest.items() if n not in layers and parts in layers.values()]
            if same and more:
                numbers = ", ".join(str(number) for number in sorted(more)[:3])
                return f"{prefix}.{numbers} {'are' if len(more) > 1 else 'is'} not in the model"
    return ""


def _layers(names: Iterable[str]) -> dict[str, dict[int, set[str]]]:
    """Return the parts of each numbered layer, by what stands before the number."""
    found: dict[str, dict[int, set[str]]] = {}
    for name in names:
        match = _NUMBERED.match(name)
        if match:
            found.setdefault(match[1], {}).setdefault(int(match[2]), set()).add(match[3])
    return found


def check_finite(name: str, network: Any, context: Context) -> bool:
    """Check that no parameter holds NaN or infinity."""
    torch = context.require("torch")
    bad = []
    for key, parameter in network.named_parameters():
        if parameter.is_meta or not parameter.is_floating_point() or not parameter.numel():
            continue
        low, high = torch.aminmax(parameter.detach().float())
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            bad.append(key)
    told = f"NaN or infinity in {listed(bad)}" if bad else ""
    return context.check(f"{name}: finite", not bad, told, "the weights are damaged")
