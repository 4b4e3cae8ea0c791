"""docs/catalog.md: its commands are run as written, in order, and its settings are valid."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import fetcher
from fetcher.config import settings
from fetcher.reporting import saved
from fetcher.reporting.envelope import Answer
from fetcher.sources.github import GitHub
from tests.conftest import Cli
from tests.register.test_model_config import DOCUMENT
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer

PAGE = (Path(fetcher.__file__).parent.parent / "docs/catalog.md").read_text("utf-8")
DIFFUSERS = [
    *("model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json"),
    *("tokenizer_2/vocab.json", "text_encoder/config.json", "text_encoder_2/config.json"),
    *("text_encoder/model.fp16.safetensors", "text_encoder_2/model.fp16.safetensors"),
    *("unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"),
    *("vae/config.json", "vae/diffusion_pytorch_model.fp16.safetensors"),
]
# What these commands end with where that is not 0: gated for this token, no GPU, nobody to ask.
CODES = {"fetch recommend": 2, "fetch add": 2, "fetch runtime": 4}
NOT_RUN = {"fetch access vision-language --json"}  # asks repositories that are not served here


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r" +", " ", line.partition("  #")[0]).strip() for line in lines if line.strip()]


@pytest.fixture
def world(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    for name, gated in (
        ("facebook/dinov3-vits16-pretrain-lvd1689m", "manual"),
        ("facebook/dinov3-vitb16-pretrain-lvd1689m", "manual"),
        ("google/siglip-base-patch16-224", None),
        ("Qwen/Qwen3-0.6B", None),
        ("Qwen/Qwen3-4B", None),
        ("Qwen/Qwen3-8B", None),
    ):
        hub.add_repo(name, {"config.json": name.encode()}, gated=gated)
    files = {path: path.encode() for path in DIFFUSERS}
    hub.add_repo("stabilityai/stable-diffusion-xl-base-1.0", files)
    (tmp_path / "package.py").write_text(
        "class Model:\n"
        + "".join(f"    def {name}(self): ...\n" for name in ("reconstruct", "encode", "decode"))
    )
    (tmp_path / "last.ckpt").write_bytes(b"weights")
    (tmp_path / "model.json").write_text('{"name": "From JSON", "checkpoint": "last.ckpt"}')
    (tmp_path / "model_config.yaml").write_text(DOCUMENT)
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    measured = {"artifact": "vqgan-imagenet-f16-1024", "metrics": {"psnr": 20.0, "lpips": 0.2}}
    saved.save(tmp_path, "verify", Answer(results=[{**measured, "state": "passed"}]))
    return hub


def test_the_page_s_commands_do_what_it_says(
    world: HubServer, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = commands()
    assert len(found) >= 20 and found[-1].startswith("fetch report")
    with GitHubServer(tmp_path / "git") as github:
        github.add_repo("owner/repo", {"weights/w.pt": b"w"})
        monkeypatch.setenv("FETCH_REWRITE", github.rewrite)
        for line in [*found, "fetch import model_config.yaml"]:
            if line in NOT_RUN:
                continue
            words = shlex.split(line)
            with monkeypatch.context() as patch:
                while "=" in words[0]:
                    patch.setenv(*words.pop(0).split("=", 1))
                result = cli(*words[1:])
            expected = 6 if words[1] == "access" else CODES.get(line, 0)
            assert result.code == expected, (line, result.err)
    assert (tmp_path / "models/qwen3-4b/config.json").exists()
    unet = tmp_path / "models/sdxl/unet/diffusion_pytorch_model.safetensors"
    assert unet.read_bytes() == b"unet/diffusion_pytorch_model.fp16.safetensors"
    (manifest,) = [p for p in (tmp_path / "manifests").iterdir() if p.stem != "model-config"]
    text = manifest.read_text()
    for identifier in ("qwen3-0.6b:", "repo:", "vqgan-imagenet-f16-1024:", "from-json:"):
        assert f"\n  {identifier}" in text
    assert (tmp_path / "board.html").exists()
    assert GitHub("owner/repo", "main", "weights").describe() == "github:owner/repo@main:weights"


def test_the_settings_shown_are_valid(tmp_path: Path) -> None:
    (body,) = re.findall(r"^```yaml\n(runtime:.*?)^```", PAGE, re.M | re.S)
    (tmp_path / "fetch.yaml").write_text(body)
    assert settings.load(tmp_path).runtime["pipelines"] == {"lumina": "diffusers.LuminaPipeline"}
