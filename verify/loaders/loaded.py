"""Checks of a loaded network that several probes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.loaders.strict import listed
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions


def check(
    model: Any,
    missing: Sequence[str],
    unused: Sequence[str],
    wanted: ProbeOptions,
    context: Context,
) -> None:
    """Check that a model of transformers is whole, finite, and as large as the manifest says."""
    check_tensors(model, missing, unused, context)
    counted = sum(parameter.numel() for parameter in model.parameters())
    context.metrics["parameters"] = counted
    if "parameters" in wanted:
        check_count("parameters", counted, wanted["parameters"], context)
    check_finite("weights", model, context)


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
    if unused:
        context.warn(
            "every tensor is used",
            f"{len(unused)} tensors of the files are not in the model: {listed(unused)}",
            "is this the right config.json?",
        )


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
