"""Plots as SVG inside a page: no script, colours from the page's own style."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width

from markupsafe import Markup, escape

_ROW, _LONGEST, _WIDTH = 46, 80, 640


def bars(rows: Sequence[tuple[str, float, str]], title: str) -> Markup:
    """Horizontal bars of (label, value, value in words), from 0; as wide as there is room."""
    if not rows:
        return Markup("")
    high = max(0.0, *(value for _, value, _ in rows)) or 1.0
    parts = []
    for index, (label, value, words) in enumerate(rows):
        y = index * _ROW
        length = max(_LONGEST * max(value, 0.0) / high, 0.5)
        parts.append(
            f'<text x="0" y="{y + 15}">{escape(_short(label, 40))}</text>'
            f'<rect class="bar" x="0" y="{y + 21}" width="{length:.2f}%" height="16" rx="2"/>'
            f'<text x="{length:.2f}%" dx="6" y="{y + 34}">{escape(words)}</text>'
        )
    height = len(rows) * _ROW
    return Markup(
        f'<svg class="plot" height="{height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def scatter(points: Sequence[tuple[str, float, float]], title: str, across: str, up: str) -> Markup:
    """Points of (label, x, y) with both axes named."""
    if len(points) < 2:
        return Markup("")
    height, left, low = 300, 70, 260
    xs, ys = [x for _, x, _ in points], [y for _, _, y in points]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    dx, dy = (x1 - x0) or 1.0, (y1 - y0) or 1.0
    parts = [
        f'<path class="axis" d="M{left} 16V{low}H{_WIDTH - 20}"/>',
        f'<text x="{_WIDTH - 20}" y="{low + 32}" text-anchor="end">{escape(across)}</text>',
        f'<text x="8" y="14">{escape(up)}</text>',
        f'<text x="{left}" y="{low + 16}">{x0:.4g}</text>',
        f'<text x="{_WIDTH - 120}" y="{low + 16}" text-anchor="end">{x1:.4g}</text>',
        f'<text x="{left - 6}" y="{low}" text-anchor="end">{y0:.4g}</text>',
        f'<text x="{left - 6}" y="34" text-anchor="end">{y1:.4g}</text>',
    ]
    for label, x, y in points:
        px = left + 12 + (x - x0) / dx * (_WIDTH - left - 132)
        py = low - 14 - (y - y0) / dy * (low - 48)
        short = _short(label, 16)
        parts.append(
            f'<circle class="bar" cx="{px:.1f}" cy="{py:.1f}" r="5"/>'
            f'<text x="{px + 8:.1f}" y="{py + 4:.1f}">{escape(short)}</text>'
        )
    return Markup(
        f'<svg class="plot wide" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _short(label: str, width: int) -> str:
    """As much of a label as has room; characters of East Asia are two wide."""
    taken = 0
    for index, character in enumerate(label):
        taken += 2 if east_asian_width(character) in "WF" else 1
        if taken > width:
            return label[: max(index - 1, 1)] + "…"
    return label
