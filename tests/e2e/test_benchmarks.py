"""A codec's record is enough: its default metrics on its default benchmarks, and their ranking."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli, write_project

torch = pytest.importorskip("torch")
PIL = pytest.importorskip("PIL.Image")

CODEC = """
import torch

class Codec(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(1))

    def encode(self, x):
        half = torch.nn.functional.avg_pool2d((x + 1) / 2 * self.gain, 2)
        return (half * 15).round().clamp(0, 15).long()

    def decode(self, codes):
        x = codes.float() / 15
        return torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear") * 2 - 1
"""
RECORD = """
    class_path: codec.Codec
    task: image-compression
    interface: [encode, decode]
    io: {resolution: [64, 64], input_range: [-1, 1]}
    attributes: {codebook_size: 16}
    benchmarks: [kodak, tiny, archive, never-declared]
    metrics: [psnr, bpp]
    probe: {type: compression, trust: project}
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "codec.py").write_text(CODEC)
    for name, gain in (("good", 1.0), ("worse", 0.8)):
        (tmp_path / name).mkdir()
        torch.save({"gain": torch.tensor([gain])}, tmp_path / name / "codec.pt")
    for folder, size in (("pictures", 96), ("tiny", 32)):
        (tmp_path / folder).mkdir()
        for number in range(3):
            colours = [
                ((x * 7 + number * 40) % 256, (y * 5) % 256, (x + y) % 256)
                for y in range(size)
                for x in range(size)
            ]
            picture = PIL.new("RGB", (size, size))
            picture.putdata(colours)
            picture.save(tmp_path / folder / f"{number}.png")
    (tmp_path / "cifar.tar.gz").write_bytes(b"an archive")
    records = "".join(f"  {n}:\n    source: local:{n}{RECORD}" for n in ("good", "worse"))
    write_project(
        tmp_path,
        "codecs",
        f"artifacts:\n{records}"
        "  kodak: {kind: dataset, source: 'local:pictures'}\n"
        "  tiny: {kind: dataset, source: 'local:tiny'}\n"
        "  archive: {kind: dataset, source: 'local:cifar.tar.gz'}\n",
        "tree:\n  models/good/: good\n  models/worse/: worse\n"
        "  datasets/kodak/: kodak\n  datasets/tiny/: tiny\n  datasets/archive/: archive\n",
    )
    return tmp_path


@pytest.mark.heavy
def test_default_metrics_on_default_benchmarks(cli: Cli, clone: Path) -> None:
    assert cli("all").code == 0
    untrusted = cli("verify", "good", "--json").json["results"]
    assert untrusted[0]["state"] == "skipped" and "--trust-project-code" in untrusted[0]["hint"]
    result = cli("verify", "good", "worse", "--trust-project-code", "--json")
    assert result.code == 0, result.out
    by_id = {item["artifact"]: item for item in result.json["results"]}
    found = by_id["good"]["metrics"]["benchmarks"]
    assert set(found) == {"kodak", "tiny"}
    for figures in found.values():
        # 2 x 2 pixels of 3 channels in one code of 4 bits each
        assert figures["psnr"] > 20 and figures["bpp"] == 3.0 and 0 < figures["ssim"] <= 1
    assert by_id["good"]["metrics"]["psnr"] == found["kodak"]["psnr"]
    told = {check["name"]: check["detail"] for check in by_id["good"]["checks"]}
    assert told["data set archive"] == "it has no pictures here: not measured"
    ranked = cli("report", "--visibility", "private", "--json").json["results"]
    assert [(i["benchmark"], i["metric"], i["rank"], i["id"]) for i in ranked] == [
        ("kodak", "psnr", 1, "good"),
        ("kodak", "psnr", 2, "worse"),
        ("tiny", "psnr", 1, "good"),
        ("tiny", "psnr", 2, "worse"),
    ]
    assert cli("report", "--json").json["results"] == [], "what lies only here is private"
