"""PSNR, SSIM and LPIPS against the reference implementations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fetcher.verify.pictures import quality

torch = pytest.importorskip("torch")


def pair(noise: float, size: tuple[int, int] = (64, 80)) -> tuple[Any, Any]:
    source = torch.Generator().manual_seed(3)
    first = torch.rand(2, 3, *size, generator=source)
    return first, (first + noise * torch.randn(first.shape, generator=source)).clamp(0, 1)


@pytest.mark.parametrize("noise", [0.003, 0.05, 0.5])
@pytest.mark.filterwarnings("ignore")
def test_figures_are_those_of_torchmetrics(noise: float) -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    one, two = pair(noise)
    psnr = float(functional.peak_signal_noise_ratio(two, one, data_range=1.0))
    ssim = float(functional.structural_similarity_index_measure(two, one, data_range=1.0))
    assert quality.psnr(one, two) == pytest.approx(psnr, abs=1e-4)
    assert quality.ssim(torch, one, two) == pytest.approx(ssim, abs=1e-5)


def test_equal_pictures() -> None:
    one, _ = pair(0)
    assert quality.psnr(one, one) == 100
    assert quality.ssim(torch, one, one) == pytest.approx(1)


def test_lpips_needs_both_files_and_orders_pictures(tmp_path: Path) -> None:
    assert quality.lpips_files({"TORCH_HOME": str(tmp_path)}) is None
    source = torch.Generator().manual_seed(0)
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3)}
    shapes[10] = (256, 256, 3, 3)
    backbone = {}
    for place, shape in shapes.items():
        scale = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        backbone[f"features.{place}.weight"] = torch.randn(shape, generator=source) * scale
        backbone[f"features.{place}.bias"] = torch.zeros(shape[0])
    checkpoints = tmp_path / "hub/checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(backbone, checkpoints / "alexnet-owt-7be5be79.pth")
    files = quality.lpips_files({"TORCH_HOME": str(tmp_path)})
    if files is None:
        pytest.skip("neither lpips nor torchmetrics is installed")
    one, near = pair(0.02)
    _, far = pair(0.3)
    same, little, much = (quality.lpips(torch, one, other, files) for other in (one, near, far))
    assert same == 0
    assert 0 < little < much
