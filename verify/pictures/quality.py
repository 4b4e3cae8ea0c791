"""How near a picture is to its original: PSNR, SSIM and LPIPS, in plain torch.

Pictures are (N, 3, H, W) in 0..1. PSNR and SSIM are the usual definitions (SSIM after Wang et al.
2004: a Gaussian window of 11 pixels, sigma 1.5); LPIPS after Zhang et al. 2018, version 0.1, on
AlexNet, and only where its two weight files are already on the disk.
"""

from __future__ import annotations

import importlib.util
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fetcher.verify.contract.foreign import Tensors

_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03
_ALEXNET = "alexnet-owt-7be5be79.pth"
# stride and padding of AlexNet's convolutions by their place in torchvision's `features`, and
# whether pooling goes before.
_LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
_MEAN, _STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def psnr(original: Any, other: Any) -> float:
    """Return the peak signal-to-noise ratio in dB, 100 at most."""
    error = float(((original - other).double() ** 2).mean())
    return -10 * math.log10(max(error, 1e-10))


def ssim(torch: Any, original: Any, other: Any) -> float:
    """Return the mean structural similarity, at most 1; pictures are at least 11 pixels a side."""
    places = torch.arange(_WINDOW, dtype=torch.float64, device=original.device) - _WINDOW // 2
    line = torch.exp(-(places**2) / (2 * _SIGMA**2))
    line = line / line.sum()
    kernel = (line[:, None] * line).expand(original.shape[1], 1, _WINDOW, _WINDOW)

    def smooth(values: Any) -> Any:
        return torch.nn.functional.conv2d(values, kernel, groups=values.shape[1])

    # The border counts too, mirrored: as in torchmetrics.
    border = (_WINDOW // 2,) * 4
    x, y = (
        torch.nn.functional.pad(each.double(), border, mode="reflect") for each in (original, other)
    )
    mean_x, mean_y = smooth(x), smooth(y)
    var_x, var_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    common = smooth(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + _K1**2) / (mean_x**2 + mean_y**2 + _K1**2)
    shape = (2 * common + _K2**2) / (var_x + var_y + _K2**2)
    return float((light * shape).mean())


def lpips_files(environ: Mapping[str, str] = os.environ) -> tuple[Path, Path] | None:
    """Return the weights of AlexNet and of LPIPS on it, if both are on this machine's disk.

    AlexNet's lie where torch.hub keeps what it downloaded; the others come with the packages lpips
    and torchmetrics.
    """
    cache = environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = Path(environ.get("TORCH_HOME") or Path(cache, "torch"))
    backbone = home / "hub" / "checkpoints" / _ALEXNET
    for package, inside in (
        ("lpips", "weights/v0.1/alex.pth"),
        ("torchmetrics", "functional/image/lpips_models/alex.pth"),
    ):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin:
            heads = Path(spec.origin).parent / inside
            if heads.exists() and backbone.exists():
                return backbone, heads
    return None


def lpips(torch: Any, original: Any, other: Any, files: tuple[Path, Path]) -> float:
    """Return the perceptual distance, 0 for equal pictures. Pictures are at least 64 a side."""
    backbone, heads = (
        torch.load(str(file), map_location=original.device, weights_only=True) for file in files
    )
    with torch.no_grad():
        one, two = (_features(torch, picture, backbone) for picture in (original, other))
        total = 0.0
        for n, (x, y) in enumerate(zip(one, two)):
            apart = (_unit(torch, x) - _unit(torch, y)) ** 2
            weight = heads[f"lin{n}.model.1.weight"]
            total += float(torch.nn.functional.conv2d(apart, weight).mean())
    return total


def _features(torch: Any, picture: Any, weights: Tensors) -> list[Any]:
    f = torch.nn.functional
    mean, std = (torch.tensor(v, device=picture.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))
    x = (picture.float() * 2 - 1 - mean) / std
    found = []
    for place, stride, padding, pooled in _LAYERS:
        if pooled:
            x = f.max_pool2d(x, 3, stride=2)
        weight, bias = (weights[f"features.{place}.{part}"] for part in ("weight", "bias"))
        x = f.relu(f.conv2d(x, weight, bias, stride=stride, padding=padding))
        found.append(x)
    return found


def _unit(torch: Any, x: Any) -> Any:
    return x / (torch.sqrt((x * x).sum(dim=1, keepdim=True)) + 1e-10)
