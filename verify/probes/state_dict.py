"""The `state-dict` probe: weight files load safely and hold the tensors that they should.

For any artifact that is tensors: it needs no code of the model. What each option means is in
`StateDict`. A model is a single file or a set of shards, and expectations hold for each model.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fetcher.verify.contract import options
from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import MissingLibraryError, ProbeError
from fetcher.verify.weights import exact, expectations, sketch
from fetcher.verify.weights.choice import weight_files
from fetcher.verify.weights.shards import check_index, weight_sets
from fetcher.verify.weights.weights import open_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest, Problem
    from fetcher.verify.weights.shards import WeightSet
    from fetcher.verify.weights.weights import TensorInfo, WeightFile

_SHOWN = 5


class StateDict:
    """Loads tensors without running anything of the file, and checks them.

    Options, all optional:
    `files` (globs: which files; default: all weight files), `key` (dotted name of the nested dict
    in torch files), `keys` (patterns that must each match a tensor's name), `shapes` (name or
    pattern to shape; -1 or null is any size), `parameters` and `tensors` (counts, exact or
    `{min, max}`; buffers count too), `dtype` (of all floating-point tensors; one or a list),
    `nonfinite` (patterns of tensors that may hold NaN or infinities), `index` (false: shards need
    no index).
    """

    type = "state-dict"
    requires: tuple[tuple[str, str], ...] = ()  # depends on the files' formats

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check every model among the artifact's weight files."""
        chosen = weight_files(request, options.as_list(request.options.get("files", [])))
        context.device()
        context.metrics.update(parameters=0, tensors=0)
        dtypes: set[str] = set()
        for weights in weight_sets(chosen, request.files):
            dtypes |= _check_model(weights, request, context)
        context.metrics["dtype"] = ", ".join(sorted(dtypes)) or None


PROBE = StateDict()


def _check_model(weights: WeightSet, request: ProbeRequest, context: Context) -> set[str]:
    """Check one model and return its element types."""
    tensors: dict[str, TensorInfo] = {}
    by_file: dict[str, list[str]] = {}
    nested: tuple[str, ...] = ()
    sketches: dict[str, list[float]] = {}
    bits: dict[str, exact.Checksum | None] = {}
    for name in weights.files:
        opened = _load(name, request, context)
        if opened is not None:
            if _check_finite(name, opened, request, context):
                with context.timed("check_seconds"):
                    sketches.update({tensor: opened.sketch(tensor) for tensor in opened.tensors})
                    bits.update({tensor: opened.checksum(tensor) for tensor in opened.tensors})
            tensors.update(opened.tensors)
            by_file[name] = list(opened.tensors)
            nested = nested or opened.nested_below()
    if weights.sharded:
        _check_shards(weights, by_file, request, context)
    context.metrics["tensors"] += len(tensors)
    context.metrics["parameters"] += sum(info.numbers for info in tensors.values())
    # What is missing for want of a file was said already.
    if len(by_file) == len(weights.files) and not weights.absent:
        expectations.check(weights.name, tensors, nested, request.options, context)
        _keep(weights.name, tensors, sketches, context)
        exact.keep(context, weights.name, bits)
    return {info.dtype for info in tensors.values()}


def _keep(
    name: str,
    tensors: Mapping[str, TensorInfo],
    sketches: Mapping[str, list[float]],
    context: Context,
) -> None:
    """Keep names, shapes and values of a model's tensors for later runs."""
    ordered = sorted(tensors)
    context.fact(f"{name}: tensors", {tensor: tensors[tensor].shape for tensor in ordered})
    if set(sketches) == set(tensors):
        sketch.keep(context, f"{name}: values", sketches)


def _load(name: str, request: ProbeRequest, context: Context) -> WeightFile | None:
    context.stage(f"loading {name}")
    try:
        with context.timed("load_seconds"):
            opened = open_weights(
                context, request.files[name], name, request.options.get("key", "")
            )
        if not opened.tensors:
            raise ProbeError("it holds no tensors")
    except MissingLibraryError:
        raise
    except ProbeError as error:
        context.check(f"{name}: loads", False, error.reason, error.hint)
        return None
    numbers = sum(info.numbers for info in opened.tensors.values())
    detail = f"{len(opened.tensors):,} tensors, {numbers:,} numbers"
    context.check(f"{name}: loads", True, f"{detail}; {opened.note}" if opened.note else detail)
    return opened


def _check_finite(name: str, opened: WeightFile, request: ProbeRequest, context: Context) -> bool:
    context.stage(f"looking for NaN in {name}")
    excepted = options.as_list(request.options.get("nonfinite", []))
    try:
        with context.timed("check_seconds"):
            found = _nonfinite(opened, excepted, context.device())
    except ProbeError as error:
        return context.check(f"{name}: finite", False, error.reason, error.hint)
    if not found:
        return context.check(f"{name}: finite", True, f"on {context.device()}")
    worst = ", ".join(f"{tensor} ({bad:,})" for tensor, bad in list(found.items())[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more tensors" if len(found) > _SHOWN else ""
    return context.check(
        f"{name}: finite",
        False,
        f"NaN or infinity in {worst}{more}",
        "the weights are damaged or training diverged; tensors that hold such numbers by design "
        "go into the probe's `nonfinite`",
    )


def _nonfinite(opened: WeightFile, excepted: list[str], device: str) -> dict[str, int]:
    """Return the tensors that hold NaN or infinities, with how many."""
    found = {}
    for tensor in opened.tensors:
        if not any(fnmatchcase(tensor, pattern) for pattern in excepted):
            bad = opened.count_nonfinite(tensor, device)
            if bad:
                found[tensor] = bad
    return found


def _check_shards(
    weights: WeightSet, by_file: Mapping[str, list[str]], request: ProbeRequest, context: Context
) -> None:
    if weights.absent:
        context.check(
            f"{weights.name}: complete",
            False,
            f"not laid out: {', '.join(weights.absent[:_SHOWN])}",
            "add the missing shards to the artifact's `files`",
        )
    if weights.index is None:
        if request.options.get("index", True):
            context.check(
                f"{weights.name}: index",
                False,
                "no index is laid out beside the shards, so loaders fail or silently read another "
                "file",
                "add the .index.json to the artifact's `files`, or set the probe's `index: false`",
            )
        return
    try:
        detail = check_index(weights, request.files, by_file)
    except ProbeError as error:
        context.check(f"{weights.index}", False, error.reason, error.hint)
    else:
        context.check(f"{weights.index}", True, detail)
