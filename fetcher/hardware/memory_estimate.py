"""How much GPU memory a model takes, and how much a card has: figures, no GPU is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fetcher.i18n import t
from fetcher.yamldoc import nodes
from fetcher.yamldoc.schema import INVALID, Integer, ListOf, MapOf, Text

# Bytes that one parameter takes, by number type.
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5}
# Activations and caches, as a share of the weights; what the driver and libraries take once.
ACTIVATIONS = 0.10
RUNTIME = 1_000_000_000
ESTIMATE = t("parameters × bytes per number + 10 % for activations, + 1 GB once for the runtime")

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
_COUNT = re.compile(r"(\d+(?:\.\d+)?)([KMBT]?)")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)(i?)B?", re.IGNORECASE)


def parameters_of(info: Mapping[str, object]) -> int | None:
    """The parameter count of a catalog record, such as 8.2B, as a number."""
    found = _COUNT.fullmatch(str(info.get("parameters", "")))
    return round(float(found[1]) * _UNITS[found[2]]) if found else None


def bytes_of(text: str, unit: str = "") -> int | None:
    """A memory size such as 24G or 24GiB in bytes; a bare number is in `unit`."""
    found = _MEMORY.fullmatch(text.strip())
    if not found:
        return None
    letter = found[2].upper() or unit
    factor = 1024 ** ("KMGT".index(letter) + 1) if found[3] and letter else _UNITS[letter]
    return int(float(found[1]) * factor)


def weights(parameters: int, dtype: str) -> float:
    """Bytes of the weights with their activations, without the runtime."""
    return parameters * BYTES[dtype] * (1 + ACTIVATIONS)


def needed(parameters: Iterable[int], dtype: str) -> int:
    """Estimated GPU memory in bytes for models that are loaded together."""
    return int(sum(weights(count, dtype) for count in parameters)) + RUNTIME


def explained(parameters: int, dtype: str) -> str:
    """The estimate of one model, in words."""
    return t(
        "{parameters} parameters × {bytes:g} bytes + 10 % + 1 GB",
        parameters=human_count(parameters),
        bytes=BYTES[dtype],
    )


def human_count(parameters: int) -> str:
    """A parameter count as people write it: 8.2B, 840M."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if parameters >= size:
            return f"{parameters / size:.3g}{unit}"
    return str(parameters)


@lru_cache(maxsize=1)
def cards() -> dict[str, tuple[int, ...]]:
    """Memory in GB of the cards that the catalog knows, smallest first, by name."""
    document = nodes.read(Path(__file__).parents[1] / "catalog" / "gpus.yaml")
    found: Any = INVALID
    if document.root is not None:
        found = MapOf(Text(), ListOf(Integer(1))).decode(document.root, document)
    assert found is not INVALID and not document.problems
    return dict(found)


def _plain(name: str) -> str:
    """A card's name without maker, line and form factor."""
    words = re.findall(r"[a-z]+\d*[a-z]*|\d+[a-z]*", name.lower())
    dropped = {"nvidia", "tesla", "geforce", "quadro", "pcie", "sxm", "graphics", "gpu"}
    words = [re.sub(r"^(sxm\d*|hbm\d*e?)$", "", word) for word in words]
    return "".join(word for word in words if word and word not in dropped)


def memory_of(name: str) -> int | None:
    """Bytes of memory of a card by its name; the name may hold the size (A100-80GB)."""
    size = re.search(r"[\s-](\d{1,3}) ?G(?:i?B)?$", name, re.IGNORECASE)
    base = _plain(name[: size.start()] if size else name)
    for known, sizes in cards().items():
        if _plain(known) == base or _plain(known) == "rtx" + base:
            if size is None:
                return sizes[0] * 10**9
            return int(size[1]) * 10**9 if int(size[1]) in sizes else None
    return None


def same_card(name: str, known: str) -> bool:
    """Whether a card's full name (as drivers tell it) means the card `known`."""
    size = re.search(r"[\s-]\d{1,3} ?G(?:i?B)?$", name, re.IGNORECASE)
    return _plain(name[: size.start()] if size else name) == _plain(known)
