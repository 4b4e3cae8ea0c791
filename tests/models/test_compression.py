"""Codecs of a project's own code: trusted by manifest and caller, loaded strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.errors import UsageError
from fetcher.models import ModelError, ModelManager
from tests.conftest import Cli, write_project

torch = pytest.importorskip("torch")

CODE = """
import torch

class Codec(torch.nn.Module):
    def __init__(self, levels=16):
        super().__init__()
        self.levels = levels
        self.gain = torch.nn.Parameter(torch.zeros(1))

    def encode(self, x):
        half = torch.nn.functional.avg_pool2d(x * self.gain, 2)
        return (half * (self.levels - 1)).round().clamp(0, self.levels - 1).long()

    def decode(self, codes):
        return torch.nn.functional.interpolate(codes.float() / (self.levels - 1), scale_factor=2)
"""


@pytest.fixture
def codec(tmp_path: Path, cli: Cli) -> Path:
    """A project with a codec and its checkpoint."""
    (tmp_path / "halving.py").write_text(CODE)
    (tmp_path / "upload").mkdir()
    torch.save({"gain": torch.ones(1)}, tmp_path / "upload/last.pt")
    write_project(
        tmp_path,
        "c",
        "artifacts:\n  halves:\n    source: local:upload\n    task: image-compression\n"
        "    class_path: 'halving.py:Codec'\n    interface: [encode, decode]\n"
        "    probe: {type: compression, args: {levels: 8}, trust: project}\n",
        "tree:\n  models/halves/: halves\n",
    )
    assert cli("all").code == 0
    return tmp_path


def test_a_codec_codes(codec: Path, manager: ModelManager) -> None:
    with pytest.raises(UsageError, match="the project's own code"):
        manager.get_compression_model("halves")
    model = manager.get_compression_model("halves", trust_code=True)
    assert model.interface == ("encode", "decode")
    pictures = torch.rand(3, 3, 8, 8)
    codes = model.encode(pictures)
    assert codes.shape == (3, 3, 4, 4) and int(codes.max()) <= 7
    assert model.decode(codes).shape == pictures.shape
    with pytest.raises(ModelError, match="has no method compress") as caught:
        model.compress(pictures)
    assert caught.value.hint == "it has encode, decode"
    with pytest.raises(ModelError, match="decode failed: AttributeError"):
        model.decode("text")
    state = torch.random.get_rng_state()
    manager.unload_all()
    manager.get_compression_model("halves", trust_code=True)
    assert torch.equal(state, torch.random.get_rng_state()), "loading leaves the seed alone"


def test_a_codec_is_loaded_strictly_and_only_if_trusted(
    codec: Path, manager: ModelManager, cli: Cli
) -> None:
    torch.save({"gain": torch.ones(1), "more": torch.ones(2)}, codec / "models/halves/last.pt.new")
    (codec / "models/halves/last.pt.new").replace(codec / "models/halves/last.pt")
    with pytest.raises(ModelError, match="tensors are not the model's: more"):
        manager.get_compression_model("halves", trust_code=True)
    text = (codec / "manifests/c.yaml").read_text().replace(", trust: project", "")
    (codec / "manifests/c.yaml").write_text(text)
    with pytest.raises(ModelError, match="the manifest does not trust it"):
        manager.get_compression_model("halves", trust_code=True)
