"""What a wrong name may be meant for."""

from __future__ import annotations

from collections.abc import Iterable

_GUESSED = 2_000_000  # pairs of characters that are compared


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, if any is close; of very many, the first are looked at."""
    import difflib

    pool: list[str] = []
    left = _GUESSED
    for item in candidates:
        # Nothing of another length by half can be close.
        if len(name) <= 2 * len(item) <= 4 * len(name):
            left -= len(name) * len(item)
            if left < 0:
                break
            pool.append(item)
    found = difflib.get_close_matches(name, pool, n=1, cutoff=0.65)
    if found:
        return found[0]
    folded = {item.lower(): item for item in pool}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.65)
    return folded[close[0]] if close else None
