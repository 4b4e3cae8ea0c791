"""Takes the place of a pickle's plain data, so that none of its classes is imported or called."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.inert_globals import is_list, is_mapping, is_numpy, present_name
from fetcher.verify.weights import arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Opaque:
    """A value that nobody looks at: takes any arguments and any state, and keeps neither."""

    __slots__ = ()

    def __new__(cls, *_: Any) -> Opaque:
        """Return one."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        """Keep nothing."""

    def __setstate__(self, state: Any) -> None:
        """Keep nothing."""


def _mapping(*_: Any) -> OrderedDict[Any, Any]:
    return OrderedDict()


def _list(*_: Any) -> list[Any]:
    return []


def stand_ins(names: Sequence[str]) -> list[tuple[Callable[..., Any], str]]:
    """Return what stands for each of these globals, as torch's `safe_globals` takes it."""
    return [(stand_in(name), present_name(name)) for name in names]


def stand_in(name: str) -> Callable[..., Any]:
    """Return what stands for one of them."""
    if is_numpy(name):
        return arrays.stand_in(present_name(name))
    if is_list(name):
        return _list
    if name.endswith(".defaultdict"):
        return _mapping  # called with its factory; the others are made by their class
    return OrderedDict if is_mapping(name) else Opaque
