"""An id from a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from fetcher.fs.safe_paths import BadPath, check_relative

_LONGEST = 100


def propose(name: str, taken: Iterable[str] = ()) -> str:
    """An id for an artifact of this name, unlike those taken (also by case).

    `VQGAN ImageNet (f=16), 1024` becomes `vqgan-imagenet-f16-1024`.
    """
    return Ids(taken).propose(name)


class Ids:
    """Ids that are in use: these, and each that was proposed."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._folded = {item.lower() for item in taken}
        self._numbers: dict[str, int] = {}  # by an id that is in use: the next number for it

    def propose(self, name: str) -> str:
        """An id for an artifact of this name, unlike all that are in use (also by case)."""
        base = _base(name)
        result, number = base, self._numbers.get(base, 2)
        while result in self._folded:
            result, number = f"{base}-{number}", number + 1
        self._numbers[base] = number
        self._folded.add(result)
        return result


def _base(name: str) -> str:
    text = unicodedata.normalize("NFKD", name)
    text = text.encode("ascii", "ignore").decode().lower()
    text = re.sub(r"[='\"`]", "", text.replace("&", " and ").replace("+", "plus"))
    text = re.sub(r"[^a-z0-9._]+", "-", text)
    text = re.sub(r"-*([._])-*", r"\1", text)
    text = re.sub(r"[.]{2,}", ".", text).strip("-._")[:_LONGEST].rstrip("-._")
    base = text or "model"
    try:
        check_relative(base)
    except BadPath:  # a device name of Windows: the id also names a folder
        base += "-model"
    return base
