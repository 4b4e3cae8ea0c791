"""Strict loading: a model's tensors and a file's must be the same, by name and by shape.

Loading with `strict=False` hides that a layer stayed random, so nothing here ever does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Shapes = Mapping[str, Sequence[int]]

_SHOWN = 5


def differences(found: Shapes, wanted: Shapes) -> str:
    """Say how a file's tensors differ from those that a model has; '' if they are the same."""
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    wrong = [
        f"{name} is {list(found[name])}, the model has {list(shape)}"
        for name, shape in wanted.items()
        if name in found and list(found[name]) != list(shape)
    ]
    parts = []
    if missing:
        parts.append(f"{len(missing)} of {len(wanted)} tensors are missing: {listed(missing)}")
    if extra:
        parts.append(f"{len(extra)} tensors are not the model's: {listed(extra)}")
    if wrong:
        parts.append(f"{len(wrong)} shapes differ: {listed(wrong)}")
    return "; ".join(parts)


def advice(found: Shapes, wanted: Shapes) -> str:
    """Return a hint for files whose names differ from the model's by a prefix; '' otherwise."""
    for prefix in ("module.", "model.", "_orig_mod."):
        if found and all(name.startswith(prefix) for name in found):
            cut = {name[len(prefix) :] for name in found}
            if cut & set(wanted):
                return f"every name begins with {prefix!r}: save the inner model's state_dict"
    if found and not set(found) & set(wanted):
        return "none of the names fits: this is another model's file"
    return "is this the right file, for this class and these arguments?"


def listed(names: Sequence[str]) -> str:
    """Return the first names, and an ellipsis if there are more."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
