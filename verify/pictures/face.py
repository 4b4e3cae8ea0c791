"""A picture with a face whose box and landmarks are known; its source is in face.txt.

Places are in pixels, x before y, of the picture's 144 x 96.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import png

if TYPE_CHECKING:
    from collections.abc import Sequence

    Square = tuple[float, float, float]  # left, top, side

BOX = (74.0, 23.0, 117.0, 78.0)  # left, top, right, bottom
# Eyes, nose, corners of the mouth: all x, then all y.
LANDMARKS = (86.0, 107.5, 96.5, 85.0, 106.5, 42.5, 43.5, 56.0, 62.0, 63.0)
BACKGROUND: tuple[Square, ...] = (
    *((0, 0, 48), (0, 48, 48), (20, 20, 36), (0, 24, 48), (10, 60, 24), (40, 0, 24)),
    *((24, 40, 36), (48, 0, 20), (2, 2, 28), (40, 60, 32), (112, 0, 32), (120, 40, 24)),
)
_CENTRE, _SIDE = (95.5, 50.5), 55.0
_SHIFTS, _SCALES = (-0.12, 0.0, 0.12), (0.9, 1.1)


def read(torch: Any) -> Any:
    """Return the picture, (1, 3, 96, 144) in 0..1."""
    pixels, width, height = png.pixels(Path(__file__).with_name("face.png").read_bytes())
    flat = torch.frombuffer(bytearray(pixels), dtype=torch.uint8)
    return flat.view(1, height, width, 3).permute(0, 3, 1, 2).float() / 255


def squares() -> list[Square]:
    """Return squares about the face, off its middle and of several sizes, as a detector's are."""
    found = []
    for right in _SHIFTS:
        for down in _SHIFTS:
            for scale in _SCALES:
                side = _SIDE * scale
                left = _CENTRE[0] + right * _SIDE - side / 2
                found.append((left, _CENTRE[1] + down * _SIDE - side / 2, side))
    return found


def views(torch: Any, picture: Any, places: Sequence[Square], window: int) -> Any:
    """Return each square of the picture, (N, 3, window, window)."""
    cut = []
    for square in places:
        left, top = round(square[0]), round(square[1])
        right, bottom = round(square[0] + square[2]), round(square[1] + square[2])
        piece = picture[:, :, max(top, 0) : bottom, max(left, 0) : right]
        cut.append(torch.nn.functional.interpolate(piece, size=(window, window), mode="area"))
    return torch.cat(cut)
