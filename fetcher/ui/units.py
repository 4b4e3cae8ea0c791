"""Numbers for people."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


def human_bytes(count: float) -> str:
    """A byte count with a decimal unit, as `1.2 GB`."""
    for unit in _UNITS[:-1]:
        if abs(count) < 999.95:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def human_share(done: float, total: float) -> str:
    """So many bytes of so many in the unit of the whole, as `0.52/4.90 GB`."""
    power = 0
    while total / 1000**power >= 999.95 and power < len(_UNITS) - 1:
        power += 1
    scale = 1000**power
    digits = 0 if not power else 2 if power > 2 and total < 100 * scale else 1
    return f"{done / scale:.{digits}f}/{total / scale:.{digits}f} {_UNITS[power]}"


def human_seconds(seconds: float) -> str:
    """A duration as `12 s`, `3 min` or `2 h 05`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02}"
