"""An id from a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from fetcher.fs.safe_paths import BadPath, check_relative

_LONGEST = 100


def propose(name: str, taken: Collection[str] = ()) -> str:
    """An id for an artifact of this name, unlike those taken (also by case).

    `VQGAN ImageNet (f=16), 1024` becomes `vqgan-imagenet-f16-1024`.
    """
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
    folded = {item.lower() for item in taken}
    result, number = base, 2
    while result in folded:
        result, number = f"{base}-{number}", number + 1
    return result
