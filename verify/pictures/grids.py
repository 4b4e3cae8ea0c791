"""Puts generated pictures side by side for a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_TILE = 256  # pixels a side at most
_GAP = 4


def grid(torch: Any, rows: Sequence[Sequence[Any]], low: float = -1.0, high: float = 1.0) -> Any:
    """Return 8-bit pixels (height, width, 3) of rows of pictures (1, 3, H, W) or (3, H, W).

    Values from `low` to `high` are shown from black to white, others are cut, as viewers do.
    Pictures larger than a tile are scaled down.
    """
    tiles = [[_tile(torch, picture, low, high) for picture in row] for row in rows]
    height = max(tile.shape[0] for row in tiles for tile in row)
    width = max(tile.shape[1] for row in tiles for tile in row)
    across, down = max(len(row) for row in tiles), len(tiles)
    size = (down * (height + _GAP) + _GAP, across * (width + _GAP) + _GAP, 3)
    canvas = torch.full(size, 255, dtype=torch.uint8)
    for n, row in enumerate(tiles):
        for m, tile in enumerate(row):
            top, left = _GAP + n * (height + _GAP), _GAP + m * (width + _GAP)
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return canvas


def _tile(torch: Any, picture: Any, low: float, high: float) -> Any:
    picture = picture.detach().float().cpu().reshape(3, *picture.shape[-2:])
    longest = max(picture.shape[1:])
    if longest > _TILE:
        size = [max(1, side * _TILE // longest) for side in picture.shape[1:]]
        picture = torch.nn.functional.interpolate(picture[None], size=size, mode="area")[0]
    scaled = ((picture - low) / (high - low) * 255).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(1, 2, 0)
