"""Finds the tensors in what a torch file holds: a flat state dict, or one below other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.probe_errors import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 8


def descend(content: Any, key: str, is_tensor: Any) -> Any:
    """Return the part of a checkpoint that a dotted `key` leads to.

    A name that itself holds dots is found too. Raises ProbeError that lists the names there are.
    """
    place, rest, walked = content, key, ""
    while rest:
        if not isinstance(place, Mapping):
            raise ProbeError(f"key {key!r}: {walked or 'the file'} holds no names to go down to")
        step = rest if rest in place else rest.partition(".")[0]
        if step not in place:
            where = f"below {walked!r}" if walked else "at the top of the file"
            raise ProbeError(f"no {step!r} {where}; {outline(place, is_tensor)}", _advice(place))
        place, walked = place[step], f"{walked}.{step}".lstrip(".")
        rest = rest[len(step) + 1 :]
    return place


def outline(place: Mapping[Any, Any], is_tensor: Any) -> str:
    """Say in a few words what a mapping holds."""
    tensors = [str(name) for name, value in place.items() if is_tensor(value)]
    others = [str(name) for name, value in place.items() if not is_tensor(value)]
    if tensors and not others:
        return f"it is a flat state dict of {len(tensors)} tensors: {_listed(tensors)}"
    flat = f" and {len(tensors)} tensors" if tensors else ""
    return f"there is: {_listed(others)}{flat}"


def _advice(place: Mapping[Any, Any]) -> str:
    nested = [str(name) for name, value in place.items() if isinstance(value, Mapping)]
    if nested:
        return f"name one of these in the probe's `key`: {_listed(nested)}"
    return "the tensors lie at the top: leave the probe's `key` out"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def tensors(content: Any, is_tensor: Any) -> Iterator[tuple[str, Any]]:
    """Yield every tensor below `content` with its dotted name; a lone tensor is called `tensor`."""
    if is_tensor(content):
        yield "tensor", content
    else:
        yield from _walk(content, "", (), is_tensor)


def _walk(
    place: Any, prefix: str, above: tuple[int, ...], is_tensor: Any
) -> Iterator[tuple[str, Any]]:
    if id(place) in above:  # a pickle may hold itself
        return
    if isinstance(place, Mapping):
        members: Any = place.items()
    elif isinstance(place, (list, tuple)):
        members = enumerate(place)
    else:
        return
    for name, value in members:
        if is_tensor(value):
            yield f"{prefix}{name}", value
        else:
            yield from _walk(value, f"{prefix}{name}.", (*above, id(place)), is_tensor)
