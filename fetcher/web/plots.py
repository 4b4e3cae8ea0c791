"""Plots as SVG inside a page: no script, colours from the page's own style."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width

from fetcher.reporting.html import Html, tag

_ROW, _LONGEST, _WIDTH = 46, 80, 640


def bars(rows: Sequence[tuple[str, float, str]], title: str) -> Html:
    """Horizontal bars of (label, value, value in words), from 0; as wide as there is room."""
    if not rows:
        return Html()
    high = max(0.0, *(value for _, value, _ in rows)) or 1.0
    parts: list[Html] = []
    for index, (label, value, words) in enumerate(rows):
        y = index * _ROW
        length = f"{max(_LONGEST * max(value, 0.0) / high, 0.5):.2f}%"
        parts += [
            tag("text", _short(label, 40), x=0, y=y + 15),
            tag("rect", class_="bar", x=0, y=y + 21, width=length, height=16, rx=2),
            tag("text", words, x=length, dx=6, y=y + 34),
        ]
    height = len(rows) * _ROW
    return tag("svg", *parts, class_="plot", height=height, role="img", aria_label=title)


def scatter(points: Sequence[tuple[str, float, float]], title: str, across: str, up: str) -> Html:
    """Points of (label, x, y) with both axes named."""
    if len(points) < 2:
        return Html()
    height, left, low = 300, 70, 260
    xs, ys = [x for _, x, _ in points], [y for _, _, y in points]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    dx, dy = (x1 - x0) or 1.0, (y1 - y0) or 1.0
    parts = [
        tag("path", class_="axis", d=f"M{left} 16V{low}H{_WIDTH - 20}"),
        tag("text", across, x=_WIDTH - 20, y=low + 32, text_anchor="end"),
        tag("text", up, x=8, y=14),
        tag("text", f"{x0:.4g}", x=left, y=low + 16),
        tag("text", f"{x1:.4g}", x=_WIDTH - 120, y=low + 16, text_anchor="end"),
        tag("text", f"{y0:.4g}", x=left - 6, y=low, text_anchor="end"),
        tag("text", f"{y1:.4g}", x=left - 6, y=34, text_anchor="end"),
    ]
    for label, x, y in points:
        px = left + 12 + (x - x0) / dx * (_WIDTH - left - 132)
        py = low - 14 - (y - y0) / dy * (low - 48)
        parts += [
            tag("circle", class_="bar", cx=f"{px:.1f}", cy=f"{py:.1f}", r=5),
            tag("text", _short(label, 16), x=f"{px + 8:.1f}", y=f"{py + 4:.1f}"),
        ]
    frame = f"0 0 {_WIDTH} {height}"
    return tag("svg", *parts, class_="plot wide", viewBox=frame, role="img", aria_label=title)


def _short(label: str, width: int) -> str:
    """As much of a label as has room; characters of East Asia are two wide."""
    taken = 0
    for index, character in enumerate(label):
        taken += 2 if east_asian_width(character) in "WF" else 1
        if taken > width:
            return label[: max(index - 1, 1)] + "…"
    return label
