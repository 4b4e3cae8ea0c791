"""The chain of models: which is used, and why the others are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetcher.catalog import fallback
from fetcher.catalog.fallback import (
    MemorySettings,
    NoneUsable,
    NotUsable,
    PromptSettings,
    Runtime,
    first_usable,
)
from fetcher.config import settings
from fetcher.errors import UsageError
from fetcher.project.manifest import Artifact
from fetcher.sources.huggingface import HuggingFace
from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer

Write = Callable[[str, str], Path]


def model(name: str, **info: Any) -> Artifact:
    return Artifact(name, "m", HuggingFace("o/n"), info=info)


def test_settings_and_their_overrides(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch, hermetic: Path
) -> None:
    assert fallback.load(settings.load(tmp_path)).chain == ("sdxl",), "no set-up is needed"
    write(
        "fetch.yaml",
        "runtime:\n  primary_model: a\n  fallback_models: [b, a, c]\n"
        "  memory: {cpu_offload: true, use_8bit: true}\n"
        "  prompt_optimization: {max_length_by_model: true, translate_korean: true}\n",
    )
    found = fallback.load(settings.load(tmp_path))
    assert found.chain == ("a", "b", "c") and found.dtype == "int8"
    assert found.memory == MemorySettings(enable_cpu_offload=True, use_8bit=True)
    assert found.prompt_optimization == PromptSettings(translate_korean=True)
    write(".env", "PRIMARY_MODEL=c\nENABLE_FALLBACK=false\nHF_CACHE_DIR=cache\n")
    loaded = settings.load(tmp_path)
    assert fallback.load(loaded).chain == ("c",)
    assert loaded.origin("primary_model") == ".env"
    assert loaded.hub_cache == tmp_path / "cache"
    monkeypatch.setenv("PRIMARY_MODEL", "b")
    monkeypatch.setenv("ENABLE_FALLBACK", "1")
    assert fallback.load(settings.load(tmp_path)).chain == ("b", "a", "c")
    monkeypatch.setenv("ENABLE_FALLBACK", "perhaps")
    with pytest.raises(UsageError, match="ENABLE_FALLBACK"):
        settings.load(tmp_path).check()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runtime: {primary_modle: a}", "fetch.yaml:1:11: runtime has no key 'primary_modle'"),
        ("runtime: {enable_fallback: maybe}", "1:28: found 'maybe', expected true or false"),
        ("runtime: {memory: {use_8bit: 8}}", "1:30: found '8', expected true or false"),
        ("runtime: {fallback_models: [a, a]}", "1:32: 'a' is listed twice"),
        (
            "runtime: {memory: {enable_cpu_offlod: true}}",
            "1:20: memory has no key 'enable_cpu_offlod'",
        ),
        (
            "runtime: {memory: {cpu_offload: true, enable_cpu_offload: true}}",
            "cpu_offload is the older name of enable_cpu_offload",
        ),
        (
            "runtime: {prompt_optimization: {translate_koren: true}}",
            "prompt_optimization has no key 'translate_koren'",
        ),
        ("runtime: {pipelines: {x: nodots}}", "1:26: found 'nodots', expected module.Class"),
        ("runtime: {prompt_optimization: {max_length_by_model: {a: 0}}}", "1:58: found '0'"),
    ],
)
def test_a_wrong_runtime_is_found_by_every_command(
    cli: Cli, write: Write, text: str, message: str
) -> None:
    write("fetch.yaml", text + "\n")
    result = cli("config")
    assert result.code == 2 and message in result.err


def test_the_first_that_can_be_had_is_used_and_the_reasons_are_kept() -> None:
    def obtain(name: str) -> str:
        if name == "gated":
            raise NotUsable("gated", "o/n is gated", "ask for access")
        if name == "broken":
            raise RuntimeError("size mismatch for unet\nand more")
        return name.upper()

    said: list[str] = []
    used = first_usable(("gated", "broken", "good", "better"), obtain, said.append)
    assert (used.model, used.value) == ("good", "GOOD")
    assert [(item.model, item.reason) for item in used.passed] == [
        ("gated", "gated"),
        ("broken", "load-failed"),
    ]
    assert used.passed[1].message == "failed to load: RuntimeError: size mismatch for unet"
    assert len(said) == 2 and "gated is passed over" in said[0]
    with pytest.raises(NoneUsable) as caught:
        first_usable(("gated", "broken"), obtain)
    assert [problem.code for problem in caught.value.problems()] == ["gated", "probe"]
    with pytest.raises(NoneUsable, match="no primary model is set"):
        first_usable((), obtain)
    with pytest.raises(KeyboardInterrupt):
        first_usable(("x",), lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))


def test_prompts_are_shortened_to_the_model_s_limit() -> None:
    config = Runtime(
        prompt_optimization=PromptSettings(max_length_by_model={"a": 5, "flux": 7, "other": 2})
    )
    a, flux = model("a"), model("x", type="flux", params={"max_tokens": 512})
    assert config.prompt_limit(a) == 5 and config.prompt_limit(flux) == 7
    assert config.prompt_limit(model("b", aliases=("other",))) == 2
    assert config.prompt_limit(model("c", params={"max_tokens": 77})) == 77
    assert config.prompt_limit(model("d")) is None
    assert config.shortened("one two, three four five", a) == "one two, three four"
    assert config.shortened("short", a) == "short"
    letters = config.shortened("one two three", a, len)  # a tokenizer of single letters
    assert letters == "one"
    assert config.shortened("extraordinarily", a, len) == ""
    off = Runtime(prompt_optimization=PromptSettings(False, max_length_by_model={"a": 5}))
    assert off.shortened("one two three four five six", a) == "one two three four five six"


def test_pipeline_types_register_without_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        Runtime().pipeline_class(model("a", type="sdxl")) == "diffusers.StableDiffusionXLPipeline"
    )
    assert Runtime().pipeline_class(model("a")) == "diffusers.DiffusionPipeline"
    assert Runtime().pipeline_class(model("a", type="new", class_path="my.Pipe")) == "my.Pipe"
    with pytest.raises(UsageError, match="no pipeline type 'lumina'"):
        Runtime().pipeline_class(model("a", type="lumina"))
    config = Runtime(pipelines={"lumina": "diffusers.LuminaPipeline"})
    assert config.pipeline_class(model("a", type="lumina")) == "diffusers.LuminaPipeline"
    monkeypatch.setattr(fallback, "_REGISTERED", {})
    fallback.register_pipeline("mine", "my.Pipe")
    assert Runtime().pipeline_class(model("a", type="mine")) == "my.Pipe"


def test_what_is_too_large_is_passed_over() -> None:
    big = model("big", parameters="16.9B")
    with pytest.raises(NotUsable, match=r"needs 38\.2 GB"):
        fallback.check_fits(big, Runtime(), 24 * 10**9)
    fallback.check_fits(big, Runtime(memory=MemorySettings(use_8bit=True)), 24 * 10**9)
    fallback.check_fits(big, Runtime(memory=MemorySettings(enable_cpu_offload=True)), 8 * 10**9)
    fallback.check_fits(big, Runtime(), None)
    fallback.check_fits(model("unknown"), Runtime(), 1)


FILES = {"model_index.json": b"{}", "unet/config.json": b"{}"}


@pytest.fixture
def painters(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a gated primary model and an open fallback."""
    hub.add_repo("bfl/flux", {**FILES, "model_index.json": b'{"flux": 1}'}, gated="auto")
    hub.add_repo("open/sdxl", FILES)
    hub.add_token("hf_some")
    monkeypatch.setenv("HF_TOKEN", "hf_some")
    write_project(
        tmp_path,
        "painters",
        "artifacts:\n"
        "  flux-dev: {source: hf:bfl/flux, type: flux, parameters: 16.9B, requires_auth: true}\n"
        "  sdxl: {source: hf:open/sdxl, type: sdxl, parameters: 3.5B}\n",
        "tree:\n  models:\n    flux-dev/: flux-dev\n    sdxl/: sdxl\n",
    )
    (tmp_path / "fetch.yaml").write_text(
        "runtime:\n  primary_model: flux-dev\n  fallback_models: [sdxl]\n"
    )
    return tmp_path


def chain(cli: Cli, *flags: str) -> list[tuple[str, str]]:
    found = cli("runtime", "--json", *flags).json["results"]
    return [(item["model"], item.get("reason", item["state"])) for item in found]


def test_a_gated_primary_gives_way_to_its_fallback(
    cli: Cli, painters: Path, hub: HubServer
) -> None:
    assert chain(cli) == [("flux-dev", "missing"), ("sdxl", "missing")]
    result = cli("runtime", "--fetch", "--json")
    assert result.code == 0, result.err
    assert result.json["summary"]["used"] == "painters/sdxl" and result.json["summary"]["fallback"]
    assert (painters / "models/sdxl/unet/config.json").exists()
    assert not (painters / "models/flux-dev").exists()
    kept = (painters / ".fetch/reports/runtime.json").read_text()
    assert "is gated" in kept
    hub.users["hf_some"].approved.add("bfl/flux")
    assert chain(cli, "--fetch") == [("flux-dev", "used")]
    assert chain(cli, "--vram", "24") == [("flux-dev", "does-not-fit"), ("sdxl", "used")]
    shown = cli("runtime", "--gpu", "T4")
    assert "passed over  flux-dev: does-not-fit: needs 38.2 GB" in shown.out
    assert "used         sdxl: diffusers.StableDiffusionXLPipeline" in shown.out


def test_env_overrides_the_primary_and_forbids_the_fallback(
    cli: Cli, painters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (painters / ".env").write_text("PRIMARY_MODEL=sdxl\n")
    assert chain(cli, "--fetch") == [("sdxl", "used")]
    assert "primary model from .env" in cli("runtime").out
    (painters / ".env").write_text("ENABLE_FALLBACK=0\n")
    result = cli("runtime", "--fetch")
    assert result.code == 6 and "flux-dev" in result.err
    monkeypatch.setenv("PRIMARY_MODEL", "sdlx")
    result = cli("runtime")
    assert result.code == 2 and "did you mean 'sdxl'?" in result.err


def test_sd3_is_added_by_yaml_alone(cli: Cli, painters: Path, hub: HubServer) -> None:
    hub.add_repo("stabilityai/sd3", FILES)
    with (painters / "manifests/painters.yaml").open("a") as manifest:
        manifest.write(
            "  sd3-medium:\n    source: hf:stabilityai/sd3\n    type: sd3\n"
            "    requires_auth: true\n    params: {default_steps: 28, guidance_scale: 7.0}\n"
        )
    with (painters / "layouts/painters.yaml").open("a") as layout:
        layout.write("    sd3-medium/: sd3-medium\n")
    (painters / "fetch.yaml").write_text("runtime: {primary_model: sd3-medium}\n")
    result = cli("runtime", "--fetch", "--json")
    assert result.code == 0, result.err
    used = result.json["results"][-1]
    assert used["class"] == "diffusers.StableDiffusion3Pipeline"
    assert used["params"] == {"default_steps": 28, "guidance_scale": 7.0}
    text = (painters / "manifests/painters.yaml").read_text().replace("type: sd3", "type: sd4")
    (painters / "manifests/painters.yaml").write_text(text)
    assert chain(cli) == [("sd3-medium", "unknown"), ("sdxl", "missing")]
    (painters / "fetch.yaml").write_text(
        "runtime: {primary_model: sd3-medium, pipelines: {sd4: my.sd4.Pipeline}}\n"
    )
    assert chain(cli) == [("sd3-medium", "used")]
