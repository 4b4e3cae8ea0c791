"""Image pipelines: the chain of `runtime:`, with pipelines that really load and draw."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fetcher.catalog.fallback import NoneUsable
from fetcher.errors import UsageError
from fetcher.models import BaseImagePipeline, ModelManager
from tests.conftest import Cli, write_project
from tests.e2e.conftest import hub
from tests.models.conftest import Place
from tests.servers.hub import HubServer

__all__ = ["hub"]

pytestmark = pytest.mark.heavy
QUICK: dict[str, Any] = {"steps": 1, "size": (64, 64)}


def project(root: Path, chain: str, more: str = "") -> None:
    write_project(
        root,
        "painters",
        "artifacts:\n"
        "  flux-dev: {source: hf:bfl/flux, type: flux, requires_auth: true}\n"
        "  sdxl:\n    source: hf:open/sdxl\n    type: sdxl\n    aliases: [SDXL]\n"
        "    params: {max_steps: 4, default_size: [64, 64], max_size: [128, 64]}\n" + more,
        "tree:\n  models:\n    flux-dev/: flux-dev\n    sdxl/: sdxl\n"
        + ("    sd3/: sd3\n" if more else ""),
    )
    (root / "fetch.yaml").write_text(f"runtime:\n  {chain}\n")


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def painters(
    hub: HubServer, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A gated primary model, and an open one to fall back to."""
    hub.add_repo("bfl/flux", {"model_index.json": b"{}"}, gated="auto")
    hub.add_repo("open/sdxl", files_of(pictures / "sdxl"))
    hub.add_token("hf_some")
    monkeypatch.setenv("HF_TOKEN", "hf_some")
    project(tmp_path, "primary_model: flux-dev\n  fallback_models: [sdxl]")
    return tmp_path


def test_a_gated_primary_gives_way_and_the_reason_is_kept(
    painters: Path, manager: ModelManager, hub: HubServer
) -> None:
    with pytest.raises(NoneUsable) as caught:
        manager.get_image_pipeline()
    assert [item.reason for item in caught.value.passed] == ["missing", "missing"]
    assert "its repository is gated" in caught.value.passed[0].message
    pipeline = manager.get_image_pipeline(fetch=True)
    assert pipeline.name == "sdxl"
    (passed,) = pipeline.passed
    assert (passed.model, passed.reason) == ("flux-dev", "gated") and "is gated" in passed.message
    assert len(pipeline.spec.version) == 40, "the lock's revision"
    picture = pipeline.generate("a lighthouse at dusk", **QUICK)
    assert picture.size == (64, 64) and picture.mode == "RGB"
    assert picture.tobytes() == pipeline.generate("a lighthouse at dusk", **QUICK).tobytes()
    assert picture.tobytes() != pipeline.generate("a lighthouse", seed=1, **QUICK).tobytes()
    again = manager.get_image_pipeline()
    assert again is pipeline and again.passed[0].reason == "missing"
    assert manager.get_image_pipeline("SDXL") is pipeline and pipeline.passed == ()
    for how, told in (
        ({"steps": 5}, "steps: 5"),
        ({"steps": 0}, "steps: 0"),
        ({"size": (64, 128)}, "size"),
    ):
        with pytest.raises(UsageError, match=told):
            pipeline.generate("x", **how)
    with pytest.raises(UsageError, match="the prompt is empty"):
        pipeline.generate(" ")
    assert manager.unload_all().models == (pipeline.spec.key,)


def test_env_chooses_and_what_fails_to_load_gives_way(
    painters: Path, manager: ModelManager, hub: HubServer, cli: Cli, pictures: Path
) -> None:
    (painters / ".env").write_text("PRIMARY_MODEL=sdxl\n")
    assert manager.get_image_pipeline(fetch=True).passed == ()
    (painters / ".env").write_text("ENABLE_FALLBACK=0\n")
    with pytest.raises(NoneUsable):
        manager.get_image_pipeline()
    # sd3 is added by YAML alone; its weights do not fit its configuration.
    broken = files_of(pictures / "sdxl")
    config = json.loads(broken["unet/config.json"])
    broken["unet/config.json"] = json.dumps({**config, "in_channels": 8}).encode()
    hub.add_repo("stabilityai/sd3", broken)
    project(
        painters,
        "primary_model: sd3\n  fallback_models: [nothing, sdxl]\n"
        "  memory: {attention_slicing: true, vae_slicing: true, cpu_offload: true}",
        "  sd3: {source: hf:stabilityai/sd3, type: sdxl}\n",
    )
    (painters / ".env").unlink()
    manager.unload_all()
    pipeline = manager.get_image_pipeline(fetch=True)
    assert pipeline.name == "sdxl"
    assert [(item.model, item.reason) for item in pipeline.passed] == [
        ("sd3", "load-failed"),
        ("nothing", "unknown"),
    ]
    assert "do not fit their config.json" in pipeline.passed[0].message
    assert pipeline.generate("a lighthouse", **QUICK).size == (64, 64)


class Painter(BaseImagePipeline):
    def _load(self) -> str:
        return "painter"

    def _draw(self, engine: Any, prompt: str, settings: Any) -> str:
        return f"{engine}: {prompt} in {settings['steps']} steps"


def test_plain_folders_own_classes_and_further_types(
    tmp_path: Path,
    pictures: Path,
    place: Place,
    manager: ModelManager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place(pictures / "sdxl", "mine")
    (tmp_path / "fetch.yaml").write_text("runtime: {primary_model: mine}\n")
    assert manager.get_image_pipeline().generate("x", **QUICK).size == (64, 64)
    manager.register("painter", Painter)
    monkeypatch.setenv("PRIMARY_MODEL", "painter")
    assert manager.get_image_pipeline().generate("a cat", steps=3) == "painter: a cat in 3 steps"
    write_project(
        tmp_path,
        "p",
        f"artifacts:\n  new: {{source: 'local:{pictures / 'sdxl'}', type: lumina}}\n",
        "tree:\n  m/: new\n",
    )
    with pytest.raises(NoneUsable, match="no pipeline type 'lumina'"):
        manager.get_image_pipeline("new", fetch=True)
    (tmp_path / "fetch.yaml").write_text(
        "runtime: {pipelines: {lumina: diffusers.StableDiffusionXLPipeline}}\n"
    )
    assert manager.get_image_pipeline("new", fetch=True).generate("x", **QUICK).size == (64, 64)
    (tmp_path / "fetch.yaml").write_text("runtime: {pipelines: {lumina: diffusers.Gone}}\n")
    manager.unload_all()
    with pytest.raises(NoneUsable, match=r"class diffusers\.Gone is not there"):
        manager.get_image_pipeline("new")
    shutil.rmtree(tmp_path / "m")
    with pytest.raises(NoneUsable, match="is not in the tree"):
        manager.get_image_pipeline("new")
