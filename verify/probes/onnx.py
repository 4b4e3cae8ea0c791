"""The `onnx` probe: an ONNX model loads in onnxruntime and answers to generated inputs.

What each option means is in `Onnx`.
"""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import inputs
from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import LoadError, first_line, is_memory, onnx_inputs
from fetcher.verify.loaders import onnx as loader
from fetcher.verify.loaders.strict import listed
from fetcher.verify.weights import fileformat, onnx_model, onnx_tensors
from fetcher.verify.weights.choice import with_suffix
from fetcher.verify.weights.expectations import check_count
from fetcher.verify.weights.protobuf import UnreadableProtobufError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions, Tensors
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_SUFFIX = ".onnx"
_SAME = 1e-3  # of the answer's spread, between two runs on a GPU
# What draws by chance: its answers differ from run to run, as they are meant to.
_RANDOM = (
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
)
_FACTORS = (-1.0, 10.0, -10.0, 1000.0, -1000.0)
_PLAIN = ("", "ai.onnx.ml")  # domains
# What leaves nothing of an answer where it finds nothing.
_CHOOSES = frozenset(["NonMaxSuppression", "EfficientNMS_TRT", "BatchedNMS_TRT"])


class Onnx:
    """Runs every model on two inputs that fit what it declares.

    Options, all optional: `files` (globs; default: all .onnx files), `inputs` (shapes or values by
    name, as for the probe `class`; what is not named is generated), `outputs` (shapes in order or
    by name, -1 is any size), `output_range` ([low, high]), `parameters` (numbers in initializers,
    exact or `{min, max}`).
    """

    type = "onnx"
    requires = (("numpy", "numpy"), ("onnxruntime", "onnxruntime"))

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check every .onnx file of the artifact."""
        chosen = with_suffix(request, _SUFFIX, "add it to its `files`, or name it in `files`")
        context.metrics["parameters"] = 0
        for name in chosen:
            with context.loading(name):
                _check_model(name, request, context)


PROBE = Onnx()


def _check_model(name: str, request: ProbeRequest, context: Context) -> None:
    context.stage(f"looking at {name}")
    path = request.files[name]
    fileformat.binary_head(path)
    loader.refuse_elsewhere(path)
    try:
        model = onnx_model.read(path)
    except (OSError, UnreadableProtobufError) as error:
        raise ProbeError(
            f"it is no whole ONNX model: {error}", "remove the file and fetch the artifact again"
        ) from None
    _refuse_operators(model)
    if not _check_whole(name, path, model, request, context):
        return
    context.stage(f"loading {name}")
    numpy = context.require("numpy")
    # Neither waits for the other: both leave Python for as long as they take.
    with ThreadPoolExecutor(max_workers=1) as beside:
        summing = beside.submit(onnx_tensors.read, numpy, path, model.initializers)
        session, failure = _session(path, model, request, context)
        with context.timed("check_seconds"):
            sums, bad = summing.result()
    _tell_numbers(name, sums, bad, model, request, context)
    if failure is not None:  # what is wrong with the file itself was said first
        raise failure
    context.metrics["device"] = loader.device_of(session)
    declared = [onnx_inputs.Declared(i.name, i.type, tuple(i.shape)) for i in session.get_inputs()]
    told = ", ".join(f"{one.name} {list(one.shape)}" for one in declared)
    context.check(f"{name}: loads", True, f"inputs: {told or 'none'}")
    _try(name, session, declared, model, request, context)


def _refuse_operators(model: onnx_model.OnnxModel) -> None:
    """Raise ProbeError for operators that onnxruntime has not got itself."""
    foreign: dict[str, list[str]] = {}
    for one in model.operators - model.functions:
        if one.name == "EPContext":
            raise ProbeError(
                "refused: it holds a program that was compiled for one device (EPContext)",
                "take the model that it was made of",
            )
        if one.domain not in onnx_model.DOMAINS:
            foreign.setdefault(one.domain, []).append(one.name)
    for domain, names in sorted(foreign.items()):
        raise ProbeError(
            f"it needs operators of {domain}, which are in a library of their own: "
            f"{listed(sorted(names))}",
            "that library is code, and is not loaded here: prove the model by the project's own "
            "code (probe `class`), or export it without them",
        )


def _session(
    path: Path, model: onnx_model.OnnxModel, request: ProbeRequest, context: Context
) -> tuple[Any, LoadError | None]:
    """Return onnxruntime's session of a model, or why there is none."""
    # ONNX's own operators take weights that are computed as well, so in no order of a kernel's.
    pack = any(one.domain not in _PLAIN for one in model.operators)
    with context.timed("load_seconds"):
        try:
            return loader.open_session(path, request.device, pack=pack), None
        except LoadError as error:
            return None, error


def _check_whole(
    name: str, path: Path, model: onnx_model.OnnxModel, request: ProbeRequest, context: Context
) -> bool:
    """Check that all tensors of a model are there; returns whether it is worth loading."""
    told = onnx_tensors.incomplete(path, model.initializers, set(request.files.values()))
    return context.check(
        f"{name}: tensors",
        not told,
        "; ".join(told[:3]) or f"{len(model.initializers):,} tensors are whole",
        "add all files of external data to the artifact's `files`, under their own names and of "
        "one revision",
    )


def _tell_numbers(
    name: str,
    sums: Sequence[onnx_tensors.TensorSum],
    bad: Sequence[str],
    model: onnx_model.OnnxModel,
    request: ProbeRequest,
    context: Context,
) -> None:
    """Check the numbers that a model holds, and keep what tells them from others."""
    context.check(
        f"{name}: no NaN",
        not bad,
        f"NaN in {listed(bad)}" if bad else "",
        "the weights are damaged",
    )
    count = sum(one.numbers for one in model.initializers)
    context.metrics["parameters"] += count
    # A model without tensors, such as a decision tree, computes in float32.
    context.metrics["dtype"] = onnx_tensors.commonest(model.initializers) or "float32"
    if "parameters" in request.options:
        check_count(f"{name}: parameters", count, request.options["parameters"], context)
    context.fact(f"{name}: tensors", sums)
    context.fact(f"{name}: graph", model.graph)
    context.fact(f"{name}: interface", model.interface)


def _try(
    name: str,
    session: Any,
    declared: list[onnx_inputs.Declared],
    model: onnx_model.OnnxModel,
    request: ProbeRequest,
    context: Context,
) -> None:
    context.stage(f"calling {name}")
    given = request.options.get("inputs", {})
    sizes, first = _first_answer(session, declared, given, model, request.seed, context)
    again, other = (
        _answer(session, _made(declared, given, model, sizes, seed, context), context)
        for seed in (request.seed, request.seed + 1)
    )
    wrong = inputs.differing(first, request.options.get("outputs"))
    shapes = ", ".join(f"{key} {list(part.shape)}" for key, part in first.items())
    context.check(f"{name}: shapes", not wrong, wrong or shapes, "is this the right model?")
    context.fact(f"{name}: outputs", {key: len(part.shape) for key, part in first.items()})
    numpy = context.require("numpy")
    bad = [
        k for k, part in first.items() if part.dtype.kind == "f" and not numpy.isfinite(part).all()
    ]
    if not context.check(
        f"{name}: answers are finite",
        not bad,
        f"NaN or infinity in {listed(bad)}" if bad else "",
        "numbers overflowed, or the weights are damaged",
    ):
        return
    if not _apart(first, other):
        other = _farther(session, declared, given, model, sizes, request.seed, first, context)
    _compare(name, first, again, other, bool(declared), model, context)
    if "output_range" in request.options:
        low, high = request.options["output_range"]
        least = min((float(part.min()) for part in first.values() if part.size), default=low)
        most = max((float(part.max()) for part in first.values() if part.size), default=high)
        context.check(
            f"{name}: range",
            low <= least and most <= high,
            f"{least:.4g} to {most:.4g}, expected {low:g} to {high:g}",
        )
    for key, part in first.items():
        if part.size:
            context.fingerprint(f"{name}: {key}", part)


def _compare(
    name: str,
    first: Tensors,
    again: Tensors,
    other: Tensors,
    takes_input: bool,
    model: onnx_model.OnnxModel,
    context: Context,
) -> None:
    spread = max((float(abs(_numbers(p)).max()) for p in first.values() if p.size), default=0.0)
    moved = _apart(first, again)
    still = moved <= (0 if context.metrics["device"] == "cpu" else _SAME * spread)
    chance = sorted({one.name for one in model.operators} & set(_RANDOM))
    if still or not chance:
        told = "the same input gives the same answer" if still else f"it moves by {moved:.3g}"
        context.check(f"{name}: repeatable", still, told, "a model must not draw random numbers")
    else:
        context.warn(f"{name}: repeatable", f"it draws by chance ({listed(chance)})")
    if not takes_input:
        return
    differs = _apart(first, other)
    # A class, how many were found, or what was found in noise: such answers may well be equal.
    whole = all(part.dtype.kind not in "fc" or not part.size for part in first.values())
    if not differs and (whole or _CHOOSES & {one.name for one in model.operators}):
        told = "another input gives the same answer, as nothing may be found in either"
        context.warn(f"{name}: the input acts", told, "give a real one in the probe's `inputs`")
        return
    context.check(
        f"{name}: the input acts",
        differs > 0,
        f"another input moves the answer by {differs:.3g}",
        "every input gets the same answer: the weights do nothing, or the input is ignored; if "
        "only certain inputs mean something to it, give one in the probe's `inputs`",
    )


def _farther(
    session: Any,
    declared: list[onnx_inputs.Declared],
    given: ProbeOptions,
    model: onnx_model.OnnxModel,
    sizes: onnx_inputs.Sizes,
    seed: int,
    first: Tensors,
    context: Context,
) -> Tensors:
    """Return the answer to inputs of other sizes that is not the first, else the first.

    A decision tree asks for values that none between 0 and 1 reaches.
    """
    for factor in _FACTORS:
        made = dict(_made(declared, given, model, sizes, seed + 1, context))
        for key, values in made.items():
            if key not in given and values.dtype.kind == "f":
                made[key] = values * values.dtype.type(factor)
        try:
            found = _answer(session, made, context)
        except Exception as error:
            if is_memory(error):
                raise
            continue
        if 0 < _apart(first, found) < float("inf"):
            return found
    return first


def _apart(one: Tensors, two: Tensors) -> float:
    """Return how far two answers are from each other; infinitely, if their shapes differ."""
    if any(part.shape != two[key].shape for key, part in one.items()):
        return float("inf")
    return max(
        (float(abs(_numbers(p) - _numbers(two[k])).max()) for k, p in one.items() if p.size),
        default=0.0,
    )


def _numbers(part: Any) -> Any:
    return part.astype("float64")


def _first_answer(
    session: Any,
    declared: list[onnx_inputs.Declared],
    given: ProbeOptions,
    model: onnx_model.OnnxModel,
    seed: int,
    context: Context,
) -> tuple[onnx_inputs.Sizes, Tensors]:
    """Return the first sizes that the model takes, and its answer. Raises ProbeError."""
    failure: Exception | None = None
    for sizes in onnx_inputs.TRIALS:
        made = _made(declared, given, model, sizes, seed, context)
        try:
            return sizes, _answer(session, made, context)
        except Exception as error:
            if is_memory(error) or isinstance(error, ProbeError):
                raise
            failure = failure or error
    assert failure is not None
    shapes = {one.name: list(one.shape) for one in declared}
    raise ProbeError(
        f"the model failed on generated inputs: {first_line(failure)}",
        f"say what it takes in the probe's `inputs`; it declares {shapes}",
    ) from failure


def _made(
    declared: list[onnx_inputs.Declared],
    given: ProbeOptions,
    model: onnx_model.OnnxModel,
    sizes: onnx_inputs.Sizes,
    seed: int,
    context: Context,
) -> Tensors:
    return onnx_inputs.make(context.require("numpy"), declared, given, model.rows, sizes, seed)


def _answer(session: Any, made: Tensors, context: Context) -> Tensors:
    """Return all outputs by name; what is no tensor, such as a table of classes, as an array."""
    numpy = context.require("numpy")
    names = [one.name for one in session.get_outputs()]
    with context.timed("infer_seconds"):
        answers = session.run(None, dict(made))
    found, texts = {}, {}
    for name, answer in zip(names, answers):
        if isinstance(answer, list) and len({getattr(one, "shape", ()) for one in answer}) > 1:
            parts = {f"{name}.{n}": one for n, one in enumerate(answer)}
            found.update({key: one for key, one in parts.items() if one.dtype.kind in "fiub"})
            continue
        table = isinstance(answer, list) and answer and isinstance(answer[0], dict)
        rows = [[one[key] for key in sorted(one)] for one in answer] if table else answer
        values = numpy.asarray(rows)
        if values.dtype.kind in "fiubc":
            found[name] = values.real if values.dtype.kind == "c" else values
        elif values.dtype.kind in "OSU":
            flat = [zlib.crc32(str(text).encode("utf-8")) for text in values.reshape(-1)]
            texts[name] = numpy.array(flat, dtype="int64").reshape(values.shape)
    found = found or texts  # names of classes, where there is nothing else
    if not found:
        raise ProbeError("the model answers with no numbers", "prove it by a probe of your own")
    return found
