"""Pictures to try models with: from a file, or generated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.context import describe
from fetcher.verify.contract.probe_errors import ProbeError

if TYPE_CHECKING:
    from pathlib import Path

    from fetcher.verify.contract.context import Context


def generated(torch: Any, height: int, width: int, seed: int = 0, count: int = 1) -> Any:
    """Return pictures (count, 3, height, width) in 0..1: soft areas, edges and some grain.

    They are the same on every machine, as they are made on the CPU from the seed.
    """
    source = torch.Generator().manual_seed(seed)
    f = torch.nn.functional
    coarse = torch.rand(count, 3, 5, 5, generator=source)
    soft = f.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    squares = torch.rand(count, 3, 4, 4, generator=source)
    edges = f.interpolate(squares, size=(height, width), mode="nearest")
    grain = torch.rand(count, 3, height, width, generator=source)
    return 0.6 * soft + 0.35 * edges + 0.05 * grain


def read(context: Context, path: Path) -> Any:
    """Return the picture of a file as (1, 3, H, W) in 0..1. Raises ProbeError, and for Pillow
    MissingLibraryError.
    """
    torch = context.require("torch")
    pillow = context.require("PIL.Image", "pillow")
    try:
        with pillow.open(path) as opened:
            picture = opened.convert("RGB")
    except Exception as error:  # a damaged picture fails in many ways
        raise ProbeError(f"{path.name} is not a picture: {describe(error)}") from error
    flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return flat.view(1, picture.height, picture.width, 3).permute(0, 3, 1, 2).float() / 255


def resized(torch: Any, picture: Any, height: int, width: int) -> Any:
    """Return pictures (N, 3, H, W) in another size."""
    return torch.nn.functional.interpolate(
        picture, size=(height, width), mode="bilinear", align_corners=False
    )


def as_pillow(context: Context, pictures: Any) -> list[Any]:
    """Return pictures (N, 3, H, W) in 0..1 as Pillow has them."""
    pillow = context.require("PIL.Image", "pillow")
    torch = context.require("torch")
    pixels = (pictures * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    height, width = pixels.shape[1:3]
    return [
        pillow.frombytes("RGB", (width, height), bytes(one.contiguous().flatten().tolist()))
        for one in pixels
    ]
