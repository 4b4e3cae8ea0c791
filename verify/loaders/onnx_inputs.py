"""Inputs for an ONNX model, made of what it declares of them: names, types and shapes.

Axes without a size are given small ones; the names that exporters use say what an input means.
Runs under the project's interpreter: syntax of Python 3.8, numpy imported by the caller.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.contract.probe_errors import ProbeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fetcher.verify.contract.foreign import Arguments, ProbeOptions

_TYPES = {
    "float": "float32", "float16": "float16", "double": "float64", "int64": "int64",
    "int32": "int32", "int16": "int16", "int8": "int8", "uint64": "uint64", "uint32": "uint32",
    "uint16": "uint16", "uint8": "uint8", "bool": "bool", "string": "object",
}  # fmt: skip
_LARGEST = 1 << 28  # numbers in one input
_ROWS = 10  # of a table that is not found: most have more
_BATCH = re.compile(r"(n|b|bs|batch\w*|num_samples|none)", re.I)
_PAST = re.compile(r"past|cache|history", re.I)
_WORD = re.compile(r"\w*")
_KEPT = re.compile(r"past|cache|present", re.I)
_SOUND = re.compile(r"(input_values|wave\w*|audio\w*|speech\w*)", re.I)
_REAL = ("tensor(float)", "tensor(float16)", "tensor(double)")
_STEP = re.compile(r"t|timesteps?|sigmas?|step", re.I)


class Declared(NamedTuple):
    """An input as onnxruntime tells it: `type` such as `tensor(float)`, axes numbers or names."""

    name: str
    type: str
    shape: tuple[Any, ...]

    @property
    def dtype(self) -> str:
        """Return numpy's name of the element type. Raises ProbeError for what is no tensor."""
        inside = self.type[len("tensor(") : -1]
        if not self.type.startswith("tensor(") or inside not in _TYPES:
            raise ProbeError(
                f"input {self.name} is a {self.type}, which is not generated",
                "give it in the probe's `inputs`, or prove the model by a probe of your own",
            )
        return _TYPES[inside]


class Sizes(NamedTuple):
    """The sizes that are tried for axes that have none: pixels a side, tokens, kept tokens, and
    samples of a sound, 0 for as many as tokens.
    """

    pixels: int
    tokens: int
    kept: int = 0
    samples: int = 0


# In this order, until the model takes them: some have sizes that nothing declares.
TRIALS = (
    Sizes(64, 8),
    Sizes(64, 8, 1),
    Sizes(224, 16, 1),
    Sizes(320, 64),
    Sizes(640, 128),
    Sizes(512, 77),
    Sizes(64, 8, 0, 16_000),
)


def make(
    numpy: Any,
    declared: Sequence[Declared],
    given: ProbeOptions,
    rows: Mapping[str, int],
    sizes: Sizes,
    seed: int,
) -> Arguments:
    """Return an array for every input, the same for one seed everywhere.

    `given` are the manifest's descriptions by name, `rows` how many rows the tables have that an
    input looks up in. Raises ProbeError.
    """
    unknown = sorted(set(given) - {one.name for one in declared})
    if unknown:
        raise ProbeError(
            f"the model has no input {', '.join(unknown)}",
            f"it has {', '.join(one.name for one in declared)}",
        )
    found = {}
    for number, one in enumerate(declared):
        source = numpy.random.RandomState((seed * 1009 + number) % 2**32)
        if one.name in given:
            found[one.name] = _described(numpy, given[one.name], one, source)
        else:
            found[one.name] = _generated(numpy, one, rows.get(one.name), sizes, source, seed)
    return found


def _described(numpy: Any, wanted: Any, one: Declared, source: Any) -> Any:
    if not isinstance(wanted, dict):
        wanted = {"shape": wanted}
    dtype = wanted.get("dtype", one.dtype)
    if "value" in wanted:
        return numpy.array(wanted["value"], dtype=dtype)
    low, high = wanted.get("range", [0, 1])
    whole = numpy.dtype(dtype).kind in "iub"
    drawn = source.random_sample(wanted["shape"]) * (high - low + whole) + low
    return (numpy.floor(drawn) if whole else drawn).astype(dtype)


def _generated(
    numpy: Any, one: Declared, rows: int | None, sizes: Sizes, source: Any, seed: int
) -> Any:
    shape = shape_of(one, sizes)
    total = 1
    for side in shape:
        total *= side
    if total > _LARGEST:
        raise ProbeError(
            f"input {one.name} of shape {list(shape)} is too large for a trial",
            "give a smaller one in the probe's `inputs`",
        )
    dtype, kind = one.dtype, numpy.dtype(one.dtype).kind
    known = _known(numpy, one, shape, seed)
    if known is not None:
        return known.astype(dtype)
    if kind == "O":
        words = numpy.array(["a", "word", "another"], dtype=object)
        return words[source.randint(0, 3, size=shape)]
    if kind == "b":
        return numpy.zeros(shape, dtype)
    if dtype == "uint8" and len(shape) > 2:  # a picture
        return source.randint(0, 256, size=shape).astype(dtype)
    if kind in "iu":
        return source.randint(0, min(rows or _ROWS, 2**31 - 1), size=shape).astype(dtype)
    return source.random_sample(shape).astype(dtype)


def _known(numpy: Any, one: Declared, shape: tuple[int, ...], seed: int) -> Any:
    """Return what an input of this name always holds, None if it is free."""
    name = one.name.lower()
    whole = numpy.dtype(one.dtype).kind in "iu"
    if "mask" in name and "mask_input" not in name:
        return numpy.zeros(shape) if name.startswith("has_") else numpy.ones(shape)
    if "position_ids" in name or name == "cache_position":
        steps = numpy.arange(shape[-1]) if shape else numpy.zeros(())
        return numpy.broadcast_to(steps, shape).copy()
    if "token_type" in name or "segment_ids" in name or _KEPT.search(name):
        return numpy.zeros(shape)
    if _STEP.fullmatch(name) and len(shape) < 2:
        return numpy.full(shape, (500 if seed % 2 else 1) if whole else (0.5 if seed % 2 else 0.1))
    if name in ("sr", "sample_rate", "sampling_rate"):
        return numpy.full(shape, 16_000)
    if name in ("scale_factor", "point_labels"):
        return numpy.ones(shape)
    if name in ("im_shape", "image_shape", "orig_target_sizes", "orig_im_size"):
        return numpy.full(shape, 640)
    if name.endswith(("_length", "_lengths", "lens", "lengths")):
        return numpy.full(shape, 8)
    return None


def shape_of(one: Declared, sizes: Sizes) -> tuple[int, ...]:
    """Return the shape of an input, with sizes for the axes that have none."""
    return tuple(
        max(side, 0) if isinstance(side, int) else _side(one, place, str(side or ""), sizes)
        for place, side in enumerate(one.shape)
    )


def _last_word(axis: str) -> str:
    """Return what an axis' name ends in, such as past_sequence_length."""
    found = _WORD.match(axis[::-1])
    return found[0][::-1] if found else ""


def _is_channels(axis: str) -> bool:
    """Return whether an axis counts channels, as num_channels does."""
    return axis.lower() == "c" or "channel" in axis.lower()


def _side(one: Declared, place: int, axis: str, sizes: Sizes) -> int:
    if "+" in axis:  # such as past_sequence_length + 1
        parts = [part.strip() for part in axis.split("+")]
        return sum(int(p) if p.isdigit() else _side(one, place, p, sizes) for p in parts)
    total = re.fullmatch(r"total_\w+", axis)
    if axis and _PAST.search(_last_word(axis)) and not total:
        return sizes.kept
    rank = len(one.shape)
    if sizes.samples and 0 < place == rank - 1 and one.type in _REAL:
        return sizes.samples
    if place == 0 or _BATCH.fullmatch(axis):
        return 1
    if _KEPT.search(one.name) and rank == 4:
        return sizes.kept
    if total:
        return sizes.tokens + sizes.kept
    if rank == 4 and one.type != "tensor(int64)":
        front = place == 1 and one.shape[3] not in (1, 3, 4)
        if front or _is_channels(axis):
            return 4 if one.name == "sample" else 3
        return sizes.pixels
    if _SOUND.fullmatch(one.name) and place == rank - 1:
        return 16_000
    return sizes.tokens
