"""What a manifest says about a model's tensors: names, shapes, counts and types."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fetcher.verify.contract import options
from fetcher.verify.contract.dtypes import SHORT_NAMES, TENSORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.weights.weights import TensorInfo

_SHOWN = 5


def check(
    model: str,
    tensors: Mapping[str, TensorInfo],
    nested: tuple[str, ...],
    wanted: ProbeOptions,
    context: Context,
) -> None:
    """Check one model's tensors against the options in `wanted`.

    `nested` are the names of the state dicts in the file, if it holds several.
    """
    if "keys" in wanted:
        _check_keys(model, tensors, nested, options.as_list(wanted["keys"]), context)
    if "shapes" in wanted:
        _check_shapes(model, tensors, wanted["shapes"], context)
    numbers = sum(info.numbers for info in tensors.values())
    for name, found in (("parameters", numbers), ("tensors", len(tensors))):
        if name in wanted:
            check_count(f"{model}: {name}", found, wanted[name], context)
    if "dtype" in wanted:
        _check_dtype(model, tensors, options.as_list(wanted["dtype"]), context)


def check_count(name: str, found: int, expected: int | dict[str, int], context: Context) -> None:
    """Check a number against an exact one, or against `{min, max}`."""
    ok = _within(found, expected)
    told = f"{found:,}" if ok else f"{found:,}, expected {_range(expected)}"
    context.check(name, ok, told, "is this the right model and revision?")


def _check_keys(
    model: str,
    tensors: Mapping[str, TensorInfo],
    nested: tuple[str, ...],
    patterns: list[str],
    context: Context,
) -> None:
    unmatched = [p for p in patterns if not any(fnmatchcase(name, p) for name in tensors)]
    if not unmatched:
        context.check(f"{model}: keys", True, f"{len(patterns)} patterns match")
        return
    below = [n for n in nested if any(fnmatchcase(name, f"{n}.{unmatched[0]}") for name in tensors)]
    close = options.nearest(unmatched[0], tensors)
    if below:
        hint = f"the tensors lie below {' and '.join(below)}: set the probe's `key: {below[0]}`"
    elif close:
        hint = f"the nearest name is {close[0]}"
    else:
        hint = f"the file's names begin with {', '.join(list(tensors)[:_SHOWN])}"
    told = ", ".join(unmatched[:_SHOWN]) + (", …" if len(unmatched) > _SHOWN else "")
    context.check(f"{model}: keys", False, f"no tensor is named {told}", hint)


def _check_shapes(
    model: str,
    tensors: Mapping[str, TensorInfo],
    shapes: Mapping[str, list[int | None]],
    context: Context,
) -> None:
    wrong = []
    for pattern, shape in shapes.items():
        names = [pattern] if pattern in tensors else [n for n in tensors if fnmatchcase(n, pattern)]
        if not names:
            wrong.append(f"{pattern} is not there")
        wrong.extend(
            f"{name} is {list(tensors[name].shape)}, expected {_shown(shape)}"
            for name in names
            if not _fits(tensors[name].shape, shape)
        )
    told = "; ".join(wrong[:_SHOWN]) + ("; …" if len(wrong) > _SHOWN else "")
    context.check(
        f"{model}: shapes",
        not wrong,
        told or f"{len(shapes)} shapes match",
        "is this the right model and variant?",
    )


def _check_dtype(
    model: str, tensors: Mapping[str, TensorInfo], wanted: list[str], context: Context
) -> None:
    allowed = {SHORT_NAMES.get(name, name) for name in wanted}
    floating = {n: i.dtype for n, i in tensors.items() if i.dtype.startswith(("float", "bfloat"))}
    if not allowed & {name for name in TENSORS if name.startswith(("float", "bfloat"))}:
        floating = {name: info.dtype for name, info in tensors.items()}
    wrong = [f"{name} is {dtype}" for name, dtype in floating.items() if dtype not in allowed]
    told = ", ".join(wrong[:_SHOWN]) + (", …" if len(wrong) > _SHOWN else "")
    expected = " or ".join(sorted(allowed))
    context.check(
        f"{model}: dtype", not wrong, f"{told}, expected {expected}" if wrong else expected
    )


def _fits(found: tuple[int, ...], wanted: list[int | None]) -> bool:
    return len(found) == len(wanted) and all(
        size in (None, -1, found[n]) for n, size in enumerate(wanted)
    )


def _shown(shape: list[int | None]) -> str:
    return "[" + ", ".join("any" if size in (None, -1) else str(size) for size in shape) + "]"


def _within(found: int, wanted: int | dict[str, int]) -> bool:
    if isinstance(wanted, int):
        return found == wanted
    return wanted.get("min", 0) <= found <= wanted.get("max", found)


def _range(wanted: int | dict[str, int]) -> str:
    if isinstance(wanted, int):
        return f"{wanted:,}"
    parts = [f"{word} {wanted[key]:,}" for key, word in _BOUNDS if key in wanted]
    return " and ".join(parts)


_BOUNDS = (("min", "at least"), ("max", "at most"))
