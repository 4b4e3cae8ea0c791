"""Image pipelines: the chain of `runtime:`, with pipelines that really load and draw."""

from __future__ import annotations

import inspect
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


@pytest.fixture
def recorded(
    tmp_path: Path, pictures: Path, manager: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Returns a function that lays out the pipeline with a record of its own, and loads it."""

    def made(params: str) -> BaseImagePipeline:
        write_project(
            tmp_path,
            "p",
            f"artifacts:\n  it:\n    source: 'local:{pictures / 'sdxl'}'\n    type: sdxl\n"
            f"    params: {params}\n",
            "tree:\n  m/: it\n",
        )
        manager.unload_all()
        return manager.get_image_pipeline("it", fetch=True)

    return made


def test_a_picture_may_begin_with_another(recorded: Any) -> None:
    from PIL import Image

    pipeline = recorded("{supports_i2i: true, max_size: [64, 64], default_size: [32, 32]}")
    begun = Image.linear_gradient("L").resize((128, 64))
    how = {"steps": 2, "image": begun, "strength": 0.5}
    found = pipeline.generate("a lighthouse", **how)
    assert found.size == (64, 32), "its own size, within the model's"
    assert found.tobytes() == pipeline.generate("a lighthouse", **how).tobytes()
    other = begun.transpose(Image.Transpose.ROTATE_180)
    assert found.tobytes() != pipeline.generate("a lighthouse", **{**how, "image": other}).tobytes()
    assert found.tobytes() != pipeline.generate("a lighthouse", **{**how, "strength": 1}).tobytes()
    assert pipeline.generate("x", **how, size=(32, 32)).size == (32, 32)
    assert pipeline.generate("x", steps=1).size == (32, 32), "without one as before"
    for wrong, told in (
        ({"image": begun, "strength": 0.1, "steps": 2}, "2 steps at strength 0.1 draw nothing"),
        ({"image": begun, "strength": 1.5}, "strength: 1.5"),
        ({"image": "a.png"}, "the image is a str, expected one of PIL"),
        ({"strength": 0.5}, "strength is of a picture that begins with another"),
    ):
        with pytest.raises(UsageError, match=told) as caught:
            pipeline.generate("x", **wrong)
    assert caught.value.hint == "give the image"
    with pytest.raises(UsageError, match=r"cannot begin with a picture \(supports_i2i: false\)"):
        recorded("{supports_i2i: false}").generate("x", image=begun)


def test_each_parameter_of_a_record_has_its_effect(
    recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def watched(pipeline: BaseImagePipeline) -> BaseImagePipeline:
        with pipeline.in_use() as (engine, _):
            real = type(engine).__call__

            def call(self: Any, *given: Any, **options: Any) -> Any:
                seen.append(options)
                return real(self, *given, **options)

            call.__signature__ = inspect.signature(real)  # type: ignore[attr-defined]
            monkeypatch.setattr(type(engine), "__call__", call)
        return pipeline

    pipeline = watched(
        recorded(
            "{default_steps: 2, max_steps: 3, guidance_scale: 7.0, use_negative_prompt: true,"
            " negative_prompt: blurry, default_size: [64, 32], max_size: [64, 64]}"
        )
    )
    assert pipeline.generate("x").size == (64, 32)
    told = seen.pop()
    assert (told["num_inference_steps"], told["guidance_scale"]) == (2, 7.0)
    assert told["negative_prompt"] == "blurry"
    pipeline.generate("x", negative_prompt="dark", guidance_scale=2.5, steps=3)
    told = seen.pop()
    assert (told["negative_prompt"], told["guidance_scale"]) == ("dark", 2.5)
    for how in ({"steps": 4}, {"size": (128, 64)}):
        with pytest.raises(UsageError):
            pipeline.generate("x", **how)
    monkeypatch.undo()
    silent = watched(
        recorded("{use_negative_prompt: false, negative_prompt: blurry, default_size: [32, 32]}")
    )
    silent.generate("x", steps=1)
    assert "negative_prompt" not in seen.pop()
    with pytest.raises(UsageError, match="it reads no negative prompt"):
        silent.generate("x", negative_prompt="dark")
