"""The compression probe on small codecs of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from fetcher.verify import ProbeResult
from fetcher.verify.probes.compression import PROBE

from ..servers.weights import jpeg
from .probing import failures, named, probe_all, request

torch = pytest.importorskip("torch")

CODECS = '''
import zlib
import torch

class Codec(torch.nn.Module):
    """Halves the resolution and rounds to so many levels."""

    def __init__(self, levels=16):
        super().__init__()
        self.levels = levels
        self.gain = torch.nn.Parameter(torch.zeros(1))

    def encode(self, x):
        half = torch.nn.functional.avg_pool2d(x * self.gain, 2)
        return (half * (self.levels - 1)).round().clamp(0, self.levels - 1).long()

    def decode(self, codes):
        x = codes.float() / (self.levels - 1)
        return torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")

    def reconstruct(self, x):
        return self.decode(self.encode(x))

    def compress(self, x):
        codes = self.encode(x)
        packed = zlib.compress(bytes(codes.flatten().tolist()))
        return {"strings": [[packed]], "shape": tuple(codes.shape)}

    def decompress(self, strings, shape):
        codes = torch.tensor(list(zlib.decompress(strings[0][0]))).view(shape)
        return {"x_hat": self.decode(codes)}

class Blind(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(1))

    def reconstruct(self, x):
        return torch.full_like(x, 0.5) + 0 * self.gain

class Crops(Blind):
    def reconstruct(self, x):
        return x[:, :, 1:]

class Breaks(Blind):
    def reconstruct(self, x):
        return x / (self.gain - self.gain)

class Lame(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(1))
'''


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    root.mkdir()
    (root / "coding.py").write_text(CODECS)
    torch.save({"gain": torch.ones(1)}, root / "codec.pt")
    return root


def options(name: str = "Codec", **more: Any) -> dict[str, Any]:
    return {
        "class_path": f"coding.{name}",
        "trust": "project",
        "size": [96, 128],
        "_trust_code": True,
        **more,
    }


def test_a_codec_is_measured(clone: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in (3, 50, 90):
        (data / f"{number:06}.jpg").write_bytes(jpeg(number * 53))
    laid_out = {path.name: path for path in data.iterdir()}
    plain, dataset, bounded, untrusted = probe_all(
        request("compression", clone, "codec.pt", **options(codebook_size=16, min_psnr=25)),
        request(
            "compression",
            clone,
            "codec.pt",
            **options(dataset="kodak", images=2, _related={"kodak": laid_out}),
        ),
        request(
            "compression",
            clone,
            "codec.pt",
            **options(dataset="kodak", min_psnr=60, min_ssim=0.1, max_bpp=0.01, max_lpips=0.5),
        ),
        request("compression", clone, "codec.pt", **options(_trust_code=False)),
    )
    assert plain.state == "passed", (plain.reason, plain.log)
    assert "codec.pt: weights" in {one.name for one in plain.fingerprints}
    (table,) = plain.tables
    assert table.columns == ("route", "PSNR dB", "SSIM", "LPIPS", "bits per pixel")
    assert [row[0] for row in table.rows] == [
        "reconstruct",
        "encode and decode",
        "compress and decompress",
    ]
    reconstructed, coded, packed = (cast("list[Any]", row) for row in table.rows)
    assert reconstructed[1] == coded[1] == packed[1] > 25
    assert (reconstructed[4], coded[4]) == (None, 3.0), "3 channels, a quarter of them, 4 bits"
    assert 0 < packed[4] < 8
    assert table.caption == "4 pictures, generated"
    assert plain.metrics["bpp"] == 3.0, "that of the first route with a code"
    assert dataset.metrics["benchmarks"]["kodak"]["bpp"] == dataset.metrics["bpp"] > 0
    assert plain.metrics["psnr"] == pytest.approx(reconstructed[1], abs=1e-3)
    assert (plain.pictures[0].width, plain.pictures[0].height) == (4 * 132 + 4, 2 * 100 + 4)
    assert dataset.tables[0].caption == "2 pictures, from kodak"
    assert bounded.tables[0].caption == "4 pictures, generated, as kodak is not laid out"
    told = failures(bounded)
    assert told["reconstruct: min_psnr"].endswith("the bound is 60")
    assert told["encode and decode: max_bpp"].endswith("the bound is 0.01")
    assert told["reconstruct: max_lpips"] == "LPIPS's weights are not on this machine"
    assert "reconstruct: max_bpp" not in named(bounded), "there is no code to count"
    assert untrusted.state == "skipped"


def test_codecs_that_do_not_work(clone: Path) -> None:
    torch.save({"gain": torch.tensor([float("nan")])}, clone / "nan.pt")

    def run(name: str, file: str = "codec.pt", **more: Any) -> Any:
        return request(
            "compression", clone, file, _artifact=f"{name} {file}", **options(name, **more)
        )

    results: dict[str, ProbeResult] = {
        result.artifact: result
        for result in probe_all(
            run("Blind"),
            run("Crops"),
            run("Breaks"),
            run("Lame"),
            run("Codec", "nan.pt"),
            run(
                "Codec",
                "codec.pt",
                interface=["encode", "decode"],
                input_range=[-1, 1],
                min_psnr=25,
            ),
        )
    }
    assert all(result.state == "failed" for result in results.values())
    told = {name: result.reason for name, result in results.items()}
    assert told["Blind codec.pt"].startswith("reconstruct: the picture comes back: PSNR")
    assert told["Crops codec.pt"].startswith("reconstruct: shape: [1, 3, 95, 128] for [1, 3, 96")
    assert told["Breaks codec.pt"].startswith("reconstruct: finite: 4 of 4 pictures hold NaN")
    assert told["Lame codec.pt"].startswith("the model has none of reconstruct, encode and decode")
    assert "nan.pt: finite" in failures(results["Codec nan.pt"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "class_path: is needed"),
        ({"class_path": "a.B", "interface": ["encode", "decoed"]}, "interface: 'decoed' is none"),
        ({"class_path": "a.B", "size": [32, 64]}, "size: at least 64 pixels a side"),
        ({"class_path": "a.B", "min_psnr": "high"}, "min_psnr: expected a number, found 'high'"),
        ({"class_path": "a.B", "min_snr": 3}, "min_snr: no such option; did you mean 'min_psnr'?"),
    ],
)
def test_wrong_options(given: dict[str, Any], told: str) -> None:
    (problem,) = PROBE.validate_options(given)
    assert str(problem).startswith(told)
