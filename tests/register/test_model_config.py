"""A model_config.yaml in many shapes: everything in it is found again afterwards."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fetcher.errors import InvalidDocument
from fetcher.register import changes, model_config
from fetcher.register.changes import Change
from fetcher.yamldoc.edit import plain, put
from fetcher.yamldoc.nodes import parse
from tests.conftest import Cli

DOCUMENT = """\
models:
  sdxl:
    repo: stabilityai/stable-diffusion-xl-base-1.0
    type: sdxl
    requires_auth: false
    params: {default_steps: 30, max_steps: 50, guidance_scale: 7.5, supports_i2i: true,
      max_tokens: 77, default_size: [1024, 1024], max_size: [1536, 1536], negative_prompt: true}
  flux_dev:
    name: FLUX.1 dev
    repo: black-forest-labs/FLUX.1-dev
    type: flux
    requires_auth: true
    params: {default_steps: 28, guidance_scale: 3.5, negative_prompt: false}
primary_model: flux_dev
fallback_models: [sdxl]
enable_fallback: true
memory: {cpu_offload: true, attention_slicing: true, vae_slicing: true, use_8bit: false}
prompt_optimization: {enabled: true, max_length_by_model: {sdxl: 77, flux_dev: 512}}
"""


def converted(text: str, tmp_path: Path) -> model_config.Converted:
    path = tmp_path / "model_config.yaml"
    path.write_text(text, "utf-8")
    return model_config.read(path)


def test_the_format_itself(tmp_path: Path) -> None:
    found = converted(DOCUMENT, tmp_path)
    assert found.notes == [], "nothing in it is unknown"
    assert list(found.artifacts) == ["sdxl", "flux_dev"]
    sdxl = found.artifacts["sdxl"]
    assert sdxl["source"] == {
        "type": "huggingface",
        "repo": "stabilityai/stable-diffusion-xl-base-1.0",
    }
    assert sdxl["params"]["default_size"] == [1024, 1024] and sdxl["requires_auth"] is False
    assert found.artifacts["flux_dev"]["name"] == "FLUX.1 dev"
    assert found.runtime == {
        "primary_model": "flux_dev",
        "fallback_models": ["sdxl"],
        "enable_fallback": True,
        "memory": {
            "enable_cpu_offload": True,
            "enable_attention_slicing": True,
            "enable_vae_slicing": True,
            "use_8bit": False,
        },
        "prompt_optimization": {
            "enabled": True,
            "max_length_by_model": {"sdxl": 77, "flux_dev": 512},
        },
    }


@pytest.mark.parametrize(
    "models",
    [
        "{sdxl: owner/repo}",
        "[{name: sdxl, repo_id: owner/repo}]",
        "[{id: sdxl, model_id: owner/repo, name: Big}]",
        "[sdxl: {path: owner/repo}]",
        "{sdxl: {url: 'https://huggingface.co/owner/repo'}}",
        "{sdxl: {repository: 'hf:owner/repo'}}",
    ],
)
@pytest.mark.parametrize("wrap", ["{}", "settings: {{{}}}", "runtime: {{{}}}"])
def test_other_shapes_of_the_same(tmp_path: Path, models: str, wrap: str) -> None:
    rest = wrap.format("primary_model: sdxl")
    found = converted(f"models: {models}\n{rest}\n", tmp_path)
    assert list(found.artifacts) == ["sdxl"]
    assert found.artifacts["sdxl"]["source"] == {"type": "huggingface", "repo": "owner/repo"}
    assert found.runtime == {"primary_model": "sdxl"} and found.notes == []


def test_names_that_are_no_ids_stay_usable(tmp_path: Path) -> None:
    found = converted(
        "models: {'FLUX Dev': {repo: o/r, default_size: 512, max_size: 768x512}}\n"
        "primary_model: FLUX Dev\nfallback_models: FLUX Dev\n",
        tmp_path,
    )
    record = found.artifacts["flux-dev"]
    assert record["aliases"] == ["FLUX Dev"]
    assert record["params"] == {"default_size": [512, 512], "max_size": [768, 512]}
    assert found.runtime["primary_model"] == "flux-dev"
    assert found.runtime["fallback_models"] == ["flux-dev"]


def test_what_is_not_known_is_kept_and_named(tmp_path: Path) -> None:
    found = converted(
        "models: {m: {repo: o/r, revision: v2, requires_auth: maybe, params: {default_steps: many},"
        " quantize: {bits: 4}}}\nmemory: {cpu_offload: sometimes, tiles: 3}\n"
        "logging: {level: INFO}\n",
        tmp_path,
    )
    record = found.artifacts["m"]
    assert record["source"]["revision"] == "v2"
    assert record["attributes"] == {
        "requires_auth": "maybe",
        "default_steps": "many",
        "quantize": {"bits": 4},
    }
    assert "memory" not in found.runtime
    assert found.runtime["other"] == {
        "memory.cpu_offload": "sometimes",
        "memory.tiles": 3,
        "logging": {"level": "INFO"},
    }
    told = "\n".join(found.notes)
    for word in ("requires_auth", "default_steps", "quantize", "cpu_offload", "tiles", "logging"):
        assert word in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("logging: {a: 1}\n", "there are no models and no settings in it"),
        ("models: {a: {type: sdxl}}\n", "model 'a' names no repository"),
        ("models: {a: {repo: 'not a repo'}}\n", "model 'a' names no repository"),
        ("- a\n", "expected a mapping"),
        ("models: {a: {repo: o/r\n", "not valid YAML"),
        ("models: {a: o/r}\nmodels: {b: o/r}\n", "duplicate key 'models'"),
        ("", "the file is empty"),
    ],
)
def test_what_cannot_be_converted_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        converted(text, tmp_path)
    assert any(message in str(item) for item in caught.value.found), caught.value.found


WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=7).filter(
    lambda word: not re.fullmatch(r"[0-9]+e[0-9]+", word)  # text to YAML 1.1, a number to 1.2
)
SCALARS = st.none() | st.booleans() | st.integers(-9, 10**6) | WORDS | st.floats(-9, 9, width=16)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3)
)
KNOWN = st.sampled_from(
    ["type", "requires_auth", "license", "default_steps", "guidance_scale", "default_size",
     "negative_prompt", "params", "tags", "name", "aliases", "attributes", "min_vram", "id"]
)  # fmt: skip
MODEL = st.dictionaries(KNOWN | WORDS, VALUES, max_size=6)
TOP = st.sampled_from(
    ["primary_model", "fallback_models", "enable_fallback", "memory", "prompt_optimization",
     "settings", "runtime"]
)  # fmt: skip


def leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:  # where the record wants text, a bare false is read as that text
        yield value if isinstance(value, str) else json.dumps(value)


def read_back(text: str) -> Any:
    document = parse(text.encode(), "written")
    assert document.root is not None
    return plain(document.root, document)


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from keys(item)


@settings(max_examples=60)
@given(
    st.dictionaries(WORDS, MODEL, min_size=1, max_size=3),
    st.dictionaries(TOP | WORDS.filter(lambda word: word != "models"), VALUES, max_size=4),
)
def test_nothing_is_ever_lost(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, Any], rest: dict[str, Any]
) -> None:
    document = {**rest, "models": {name: {"repo": "o/r", **m} for name, m in models.items()}}
    path = tmp_path_factory.mktemp("m") / "config.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    found = model_config.read(path)
    manifest = found.manifest("imported", "Imported")
    runtime = put("", [], "runtime", found.runtime, "fetch.yaml") if found.runtime else ""
    edits = [
        Change("manifests/imported.yaml", "", manifest),
        Change("layouts/imported.yaml", "", found.layout("imported")),
        *([Change("fetch.yaml", "", runtime)] if runtime else []),
    ]
    assert changes.problems(edits) == [], "what it writes can be read"
    written = [read_back(manifest), read_back(runtime or "{}")]
    before, after = Counter(leaves(document)), Counter(leaves(written))
    assert not before - after, (before - after, manifest, runtime)
    flat = [part for key in keys(written) for part in key.split(".")]
    for key in keys(document):
        headings = {"settings", "runtime", "models"}
        assert key in {*flat, *headings, *after} or f"{key}-2" in flat, key


def test_the_command_shows_writes_and_can_be_repeated(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "model_config.yaml").write_text(DOCUMENT)
    (tmp_path / "fetch.yaml").write_text("# ours\njobs: 3  # few\n")
    dry = cli("import", "model_config.yaml", "--dry-run")
    assert dry.code == 0 and "+  sdxl:" in dry.out and not (tmp_path / "manifests").exists()
    assert cli("import", "model_config.yaml").code == 0
    settings_text = (tmp_path / "fetch.yaml").read_text()
    assert settings_text.startswith("# ours\njobs: 3  # few\nruntime:\n  primary_model: flux_dev\n")
    again = cli("import", "model_config.yaml")
    assert again.code == 0 and "nothing to change" in again.out
    assert (tmp_path / "fetch.yaml").read_text() == settings_text
    (tmp_path / "model_config.yaml").write_text(DOCUMENT.replace("28", "29"))
    assert "is there already" in cli("import", "model_config.yaml").err
    other = cli("import", "model_config.yaml", "--name", "other", "--json")
    assert other.code == 0 and other.json["summary"]["written"]
    (tmp_path / "fetch.yaml").write_text("runtime: {primary_model: else}\n")
    result = cli("import", "model_config.yaml", "--name", "third")
    assert result.code == 2 and "runtime: primary_model" in result.err
    assert not (tmp_path / "manifests/third.yaml").exists()
    listed = cli("list", "other", "--json").json["results"]
    assert {item["id"] for item in listed} == {"sdxl", "flux_dev"}
    assert parse((tmp_path / "manifests/other.yaml").read_bytes(), "m").problems == []
