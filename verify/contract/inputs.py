"""Inputs that a manifest describes, made from the seed, and answers compared with their shapes.

A description is a shape, such as `[1, 3, 224, 224]`: numbers drawn evenly from 0..1. A mapping says
more: `{shape: [1, 7], range: [-1, 1]}`, `{shape: [1, 16], dtype: int64, range: [0, 99]}`, or
`{value: [0]}` for given numbers. A list of descriptions are the arguments in order, a mapping from
names to descriptions are named arguments; an argument may itself be such a mapping. Other values
(true, a text) are passed as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.options import inside, is_count

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import Arguments, Tensors

_INTEGERS = ("int64", "int32", "uint8", "bool")
_TYPES = (*_INTEGERS, "float32", "float16", "bfloat16", "float64")
_KEYS = {"shape", "range", "dtype", "value"}
_LARGEST = 2**28  # numbers in one input


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_count(size) for size in value)


def problem(value: Any) -> str:
    """Rule: a description of inputs."""
    if _is_shape(value) or _is_tensor(value):
        return _problem(value)
    if isinstance(value, (list, dict)) and value:
        return _first_problem(value)
    return (
        f"expected a shape such as [1, 3, 224, 224], or several by order or name, found {value!r}"
    )


def _first_problem(parts: list[Any] | Arguments) -> str:
    pairs = parts.items() if isinstance(parts, dict) else enumerate(parts)
    return next((inside(told, key) for key, part in pairs if (told := _problem(part))), "")


def _problem(value: Any) -> str:
    if _is_shape(value):
        total = 1
        for side in value:
            total *= side
        return "" if total <= _LARGEST else f"{value!r} is too large for a trial"
    if not isinstance(value, dict):
        plain = isinstance(value, (bool, int, float, str)) or value is None
        return "" if plain else f"expected a shape or a mapping, found {value!r}"
    if not _is_tensor(value):
        return _first_problem(value)
    unknown = sorted(set(value) - _KEYS)
    if unknown:
        return f"an input has shape, range, dtype or value, not {', '.join(map(str, unknown))}"
    if value.get("dtype", "float32") not in _TYPES:
        return inside(f"dtype {value['dtype']!r} is none of {', '.join(_TYPES)}", "dtype")
    if "value" in value:
        sound = isinstance(value["value"], (list, int, float))
        return "" if sound else inside("value: expected numbers", "value")
    if "range" in value and (told := interval(value["range"])):
        return inside(told, "range")
    shape = value["shape"]
    told = _problem(shape) if _is_shape(shape) else f"expected a shape, found {shape!r}"
    return inside(told, "shape")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and ("shape" in value or "value" in value)


def interval(value: Any) -> str:
    """Rule: two numbers, low and high."""
    numbers = (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in value)
    )
    return "" if numbers and value[0] < value[1] else f"expected [low, high], found {value!r}"


def size(value: Any) -> str:
    """Rule: height and width in pixels."""
    sound = _is_shape(value) and len(value) == 2 and min(value) > 0 and max(value) <= 8192
    return "" if sound else f"expected [height, width], found {value!r}"


def shapes_problem(value: Any) -> str:
    """Rule: shapes in order, or by name; -1 or null is any size."""
    several = list(value.values()) if isinstance(value, dict) else value
    if isinstance(several, list) and several and all(isinstance(shape, list) for shape in several):
        sizes = [side for shape in several for side in shape]
        if all(side in (None, -1) or is_count(side) for side in sizes):
            return ""
    return f"expected a list of shapes, or shapes by name, found {value!r}"


def make(
    torch: Any, described: Any, source: Any, device: str, dtype: Any
) -> tuple[list[Any], Arguments]:
    """Return the arguments, in order and by name; numbers come from the generator `source`."""

    def one(value: Any) -> Any:
        if _is_shape(value):
            return one({"shape": value})
        if not isinstance(value, dict):
            return value
        if not _is_tensor(value):
            return {key: one(part) for key, part in value.items()}
        wanted = getattr(torch, value["dtype"]) if "dtype" in value else None
        if "value" in value:
            given = torch.tensor(value["value"])
            kind = wanted or (dtype if given.is_floating_point() else given.dtype)
            return given.to(device, kind)
        whole = value.get("dtype") in _INTEGERS
        low, high = value.get("range", [0, 1])
        drawn = torch.rand(value["shape"], generator=source) * (high - low + whole) + low
        return (drawn.floor() if whole else drawn).to(device, wanted or dtype)

    if isinstance(described, dict) and not _is_tensor(described):
        return [], {key: one(value) for key, value in described.items()}
    single = _is_shape(described) or isinstance(described, dict)
    return [one(value) for value in ([described] if single else described)], {}


def tensors_of(torch: Any, answer: Any, name: str = "") -> Tensors:
    """Return the tensors in a model's answer by name; those in a sequence are numbered."""
    if isinstance(answer, torch.Tensor):
        return {name or "output": answer}
    if isinstance(answer, dict):
        parts = [(str(key), value) for key, value in answer.items()]
    elif isinstance(answer, (list, tuple)):
        parts = [(str(n), value) for n, value in enumerate(answer)]
    else:
        return {}
    found: Arguments = {}
    for key, value in parts:
        found.update(tensors_of(torch, value, f"{name}.{key}" if name else key))
    return found


def differing(found: Tensors, wanted: Any) -> str:
    """Say how an answer's shapes differ from those that the manifest wants; '' if they fit."""
    if wanted is None:
        return ""
    shapes = {key: list(part.shape) for key, part in found.items()}
    named = wanted if isinstance(wanted, dict) else dict(zip(shapes, wanted))
    if not isinstance(wanted, dict) and len(wanted) != len(shapes):
        return f"{len(shapes)} answers, expected {len(wanted)}"
    for key, shape in named.items():
        if key not in shapes:
            return f"no answer is called {key}; there is {', '.join(shapes)}"
        fits = len(shape) == len(shapes[key]) and all(
            side in (None, -1, there) for side, there in zip(shape, shapes[key])
        )
        if not fits:
            return f"{key} is {shapes[key]}, expected {shape}"
    return ""
