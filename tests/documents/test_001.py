"""The document on model settings: its YAML, its variables, its endpoints, its troubleshooting."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fetcher.catalog import fallback, prompts
from fetcher.catalog.fallback import MemorySettings, NoneUsable, NotUsable, first_usable
from fetcher.config import settings
from fetcher.project import names
from fetcher.project.project import Project
from tests.conftest import Cli
from tests.documents.blocks import Block, blocks, tables
from tests.server.kit import serving
from tests.servers.hub import HubServer

ROOT = Path(__file__).parents[2]
YAML = blocks("001", "yaml")
NEW_MODEL, MEMORY, PROMPTS, EIGHT_BIT = YAML
ENV, VARIABLES = (block for block in blocks("001", "bash") if "ENABLE_FALLBACK" in block.text)
PRINTED = json.loads(blocks("001", "json")[0].text.replace("{ ... }", "{}"))
SDXL_FILES = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/vocab.json",
    "tokenizer_2/vocab.json",
    *(
        f"{folder}/{name}"
        for folder, weights in (
            ("text_encoder", "model"),
            ("text_encoder_2", "model"),
            ("unet", "diffusion_pytorch_model"),
            ("vae", "diffusion_pytorch_model"),
        )
        for name in ("config.json", f"{weights}.fp16.safetensors")
    ),
]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub with the open model and the gated one, small."""
    with HubServer() as server:
        files = dict.fromkeys(SDXL_FILES, b'{"small": 1}')
        server.add_repo("stabilityai/stable-diffusion-xl-base-1.0", files)
        server.add_repo(
            "black-forest-labs/FLUX.1-schnell", {"model_index.json": b"{}"}, gated="auto"
        )
        server.add_repo(
            "stabilityai/stable-diffusion-3-medium-diffusers",
            {"model_index.json": b"{}"},
            gated="auto",
        )
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def imported(cli: Cli, block: Block, tmp_path: Path) -> Any:
    (tmp_path / "model_config.yaml").write_text(block.text, "utf-8")
    result = cli("import", "model_config.yaml", "--json")
    assert result.code == 0, result.err
    return result.json


def test_the_new_model_of_the_document_is_imported_as_printed(cli: Cli, tmp_path: Path) -> None:
    found = imported(cli, NEW_MODEL, tmp_path)
    assert found["summary"]["notes"] == [], "every key of the document is known"
    shown = cli("show", "model-config/sd3-medium", "--json").json["results"][0]
    assert shown["source"].startswith("hf:stabilityai/stable-diffusion-3-medium-diffusers")
    assert shown["type"] == "sd3" and shown["requires_auth"] is True
    assert shown["description"] == "SD3 Medium - 텍스트 렌더링 개선"
    written = re.findall(r"^ {6}(\w+):", NEW_MODEL.text, re.M)
    assert len(written) == 9 and shown["params"].keys() == set(written)
    runtime = fallback.load(settings.load(tmp_path))
    assert runtime.chain == ("sd3-medium", "sdxl")


@pytest.mark.parametrize("block", [MEMORY, PROMPTS, EIGHT_BIT], ids=lambda b: str(b.line))
def test_settings_alone_are_imported_and_also_stand_in_fetch_yaml(
    cli: Cli, tmp_path: Path, block: Block
) -> None:
    found = imported(cli, block, tmp_path)
    assert found["summary"]["notes"] == [] and found["summary"]["artifacts"] == 0
    assert not (tmp_path / "manifests").exists()
    by_import = fallback.load(settings.load(tmp_path))
    (tmp_path / "fetch.yaml").write_text(block.text, "utf-8")
    assert cli("config").code == 0
    assert fallback.load(settings.load(tmp_path)) == by_import


def test_models_alone_need_no_runtime(cli: Cli, tmp_path: Path) -> None:
    text = NEW_MODEL.text.partition("\nruntime:")[0]
    imported(cli, Block("", "yaml", text, 1), tmp_path)
    assert not (tmp_path / "fetch.yaml").exists()
    assert (tmp_path / "manifests/model-config.yaml").exists()


def test_the_memory_switches_have_the_document_s_names_and_values(cli: Cli, tmp_path: Path) -> None:
    imported(cli, MEMORY, tmp_path)
    assert fallback.load(settings.load(tmp_path)).memory == MemorySettings(
        enable_attention_slicing=True, enable_vae_slicing=True
    )
    (tmp_path / "fetch.yaml").write_text(EIGHT_BIT.text, "utf-8")
    assert fallback.load(settings.load(tmp_path)).dtype == "int8"


def test_the_env_file_of_the_document_ends_at_sdxl(
    cli: Cli, tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(ENV.text, "utf-8")
    assert ENV.text.split() == ["PRIMARY_MODEL=flux-schnell", "ENABLE_FALLBACK=true"]
    result = cli("runtime", "--fetch", "--json")
    assert result.code == 0, result.err
    assert result.json["summary"]["chain"] == ["flux-schnell", "sdxl"]
    assert result.json["summary"]["used"] == "image-generation/sdxl"
    assert [(r["model"], r.get("reason")) for r in result.json["results"]] == [
        ("flux-schnell", "gated"),
        ("sdxl", None),
    ]
    (tmp_path / ".env").write_text(ENV.text.replace("true", "false"), "utf-8")
    assert cli("runtime", "--json").json["summary"]["chain"] == ["flux-schnell"]


def test_every_variable_is_a_setting_in_its_order_of_precedence(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fetch.yaml").write_text("runtime: {primary_model: sdxl, enable_fallback: false}\n")
    (tmp_path / ".env").write_text(VARIABLES.text, "utf-8")
    variables = dict(re.findall(r"^(\w+)=(\S+)", VARIABLES.text, re.M))
    assert variables.keys() == {
        "PRIMARY_MODEL",
        "ENABLE_FALLBACK",
        "HF_CACHE_DIR",
        "OPENAI_API_KEY",
    }
    found = settings.load(tmp_path)
    of_variable = {env: name for name, spec in settings.SPECS.items() for env in spec.env}
    for variable, value in variables.items():
        name = of_variable[variable]
        assert found.text(name) == value and found.origin(name) == ".env", variable
        monkeypatch.setenv(variable, "true" if variable == "ENABLE_FALLBACK" else "from-outside")
        assert settings.load(tmp_path).origin(name) == variable
    shown = cli("config")
    assert shown.code == 0 and "sk-" not in shown.out and "from-outside" in shown.out
    assert "from-outside" not in [
        line.split()[1] for line in shown.out.splitlines() if line.startswith("openai")
    ]


def test_the_endpoints_answer_key_by_key_as_printed(
    cli: Cli, tmp_path: Path, hub: HubServer, hermetic: Path
) -> None:
    printed = PRINTED["models"]["flux-schnell"]
    models = {
        "flux-schnell": {
            "id": printed["id"],
            "type": printed["type"],
            "requires_auth": printed["requires_auth"],
            "params": {k: printed[k] for k in ("default_steps", "max_tokens", "supports_i2i")},
        },
        "sdxl": {"id": "stabilityai/stable-diffusion-xl-base-1.0", "type": "sdxl"},
        "playground": {"id": "playgroundai/playground-v2.5-1024px-aesthetic", "type": "playground"},
    }
    runtime = {"primary_model": PRINTED["primary"], "fallback_models": PRINTED["fallback_chain"]}
    text = json.dumps({"models": models, "runtime": runtime})
    imported(cli, Block("", "yaml", text, 1), tmp_path)
    assert cli("runtime", "--fetch").code == 0
    addresses = [
        shlex.split(line)[1]
        for block in blocks("001", "bash")
        for line in block.commands
        if line.startswith("curl ")
    ]
    assert [urlsplit(address).path for address in addresses] == ["/models", "/status"]
    with serving(hermetic, cwd=tmp_path, HF_ENDPOINT=hub.url) as server:
        found = server.ask(urlsplit(addresses[0]).path).json()
        status = server.ask(urlsplit(addresses[1]).path).json()
    assert found.keys() == PRINTED.keys()
    assert found["models"].keys() == models.keys() >= PRINTED["models"].keys()
    assert found["models"]["flux-schnell"] == printed
    assert {key: found[key] for key in ("current", "primary", "fallback_chain")} == {
        key: PRINTED[key] for key in ("current", "primary", "fallback_chain")
    }
    for name in (found["current"], found["primary"], *found["fallback_chain"]):
        assert name in found["models"]
    assert {key: status[key] for key in ("current", "primary", "fallback_chain")} == {
        key: PRINTED[key] for key in ("current", "primary", "fallback_chain")
    }


@pytest.mark.parametrize("row", tables("001")[0].rows, ids=lambda row: str(row["모델"]))
def test_the_recommended_models_are_in_the_catalog(row: dict[str, str]) -> None:
    name = row["모델"].strip("*")
    every = names.pairs_of(Project(ROOT).load(["image-generation"]))
    info = names.one(every, name)[0][1].info
    assert bool(info.get("requires_auth")) == ("불필요" not in row["인증"])
    assert row["용도"] in info["purpose"]
    assert row["속도"].split()[-1] in info["remarks"]


def refuse(reason: str, hint: str = "") -> Any:
    def obtain(name: str) -> str:
        raise NotUsable(reason, f"{name} cannot be had", hint)

    return obtain


def test_no_pipeline_at_all_says_so_and_what_to_do() -> None:
    with pytest.raises(NoneUsable) as caught:
        first_usable(("flux-schnell",), refuse("gated", "run `hf auth login`"))
    assert "the image pipeline is not initialised" in caught.value.message
    assert "flux-schnell cannot be had" in caught.value.message
    assert "PRIMARY_MODEL=sdxl" in caught.value.hint and "hf auth login" in caught.value.hint


def test_too_little_memory_says_which_switch(tmp_path: Path) -> None:
    every = names.pairs_of(Project(ROOT).load(["image-generation"]))
    flux = names.one(every, "flux-schnell")[0][1]
    with pytest.raises(NotUsable) as caught:
        fallback.check_fits(flux, fallback.Runtime(), 8 * 10**9)
    assert "use_8bit: true" in caught.value.hint and "sdxl or playground" in caught.value.hint
    (tmp_path / "fetch.yaml").write_text(EIGHT_BIT.text, "utf-8")
    eased = fallback.load(settings.load(tmp_path))
    fallback.check_fits(flux, eased, 24 * 10**9)


@pytest.fixture
def optimized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fallback.Runtime]:
    """The document's prompt settings, with its key in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-document")
    (tmp_path / "fetch.yaml").write_text(PROMPTS.text, "utf-8")
    yield fallback.load(settings.load(tmp_path))
    prompts.register_translator(None)
    prompts.register_optimizer(None)


def sdxl() -> Any:
    every = names.pairs_of(Project(ROOT).load(["image-generation"]))
    return names.one(every, "sdxl")[0][1]


def test_korean_is_translated_where_somebody_translates(optimized: fallback.Runtime) -> None:
    asked: list[prompts.PromptContext] = []

    def translate(prompt: str, context: prompts.PromptContext) -> str:
        asked.append(context)
        return {"고양이 한 마리": "a cat"}[prompt]

    silent = prompts.prepare("고양이 한 마리", sdxl(), optimized)
    assert silent.prompt == "고양이 한 마리"
    assert "no translator is registered" in silent.notes[0]
    prompts.register_translator(translate)
    prompts.register_optimizer(lambda prompt, context: f"{prompt}, {context.type}")
    done = prompts.prepare("고양이 한 마리", sdxl(), optimized)
    assert done == prompts.PreparedPrompt("a cat, sdxl")
    assert asked[0].openai_api_key == "sk-document" and "sk-document" not in repr(asked[0])
    assert asked[0].limit == 77 and asked[0].model == "sdxl"
    prompts.prepare("a dog", sdxl(), optimized)
    assert len(asked) == 1, "English needs no translator"


def test_a_hook_that_fails_costs_no_picture(optimized: fallback.Runtime) -> None:
    def broken(prompt: str, context: prompts.PromptContext) -> str:
        raise RuntimeError(f"401 for key {context.openai_api_key}")

    for hook in (broken, lambda prompt, context: "", lambda prompt, context: None):
        prompts.register_translator(hook)  # type: ignore[arg-type]
        found = prompts.prepare("고양이", sdxl(), optimized)
        assert found.prompt == "고양이" and "the translator failed" in found.notes[0]
        assert "sk-document" not in found.notes[0]


def test_limits_by_model_cut_or_do_not(optimized: fallback.Runtime, tmp_path: Path) -> None:
    long = " ".join(["word"] * 100)
    cut = prompts.prepare(long, sdxl(), optimized)
    assert len(cut.prompt.split()) == 77 and "cut to 77 tokens" in cut.notes[0]
    for text in ("max_length_by_model: false", "enabled: false"):
        (tmp_path / "fetch.yaml").write_text(f"runtime: {{prompt_optimization: {{{text}}}}}\n")
        runtime = fallback.load(settings.load(tmp_path))
        assert prompts.prepare(long, sdxl(), runtime) == prompts.PreparedPrompt(long)


def test_runtime_says_what_is_done_to_prompts(cli: Cli, tmp_path: Path, hub: HubServer) -> None:
    (tmp_path / "fetch.yaml").write_text(PROMPTS.text, "utf-8")
    shown = cli("runtime", "--fetch")
    assert shown.code == 0, shown.err
    assert "prompts up to 77 tokens" in shown.out
    assert "Korean prompts are translated by the application's translator; none is" in shown.out


def test_a_type_of_one_s_own_is_a_line_of_yaml(tmp_path: Path) -> None:
    code = blocks("001", "python")[0].text
    kind = re.search(r'model_type == "(\w+)"', code)
    cls = re.search(r"from (\w+) import (\w+)", code)
    assert kind and cls
    (tmp_path / "fetch.yaml").write_text(
        f"runtime: {{pipelines: {{{kind[1]}: {cls[1]}.{cls[2]}}}}}\n"
    )
    runtime = fallback.load(settings.load(tmp_path))
    artifact = sdxl()
    object.__setattr__(artifact, "info", {**artifact.info, "type": kind[1]})
    assert runtime.pipeline_class(artifact) == "my_custom_library.CustomPipeline"
