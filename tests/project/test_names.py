"""Names that lead to artifacts: every alias of the catalog to its own repository, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.errors import UsageError
from fetcher.hardware import memory_estimate
from fetcher.project import names
from fetcher.project.manifest import Artifact
from fetcher.project.project import Project
from tests.conftest import Cli, write_project

CATALOG = names.pairs_of(Project(Path("/nowhere")).load_everything())
NAMES = {
    "Qwen/Qwen3-8B-Instruct": "Qwen/Qwen3-8B",
    "dinov3-vith16": "facebook/dinov3-vith16plus-pretrain-lvd1689m",
    "Qwen/Qwen3-Omni": "Qwen/Qwen3-Omni-30B-A3B-Instruct",
    "dinov3-vits16": "facebook/dinov3-vits16-pretrain-lvd1689m",
    "dinov3-vit7b16": "facebook/dinov3-vit7b16-pretrain-lvd1689m",
    "dinov3-convnext-tiny": "facebook/dinov3-convnext-tiny-pretrain-lvd1689m",
    "Qwen/Qwen3-0.6B-Instruct": "Qwen/Qwen3-0.6B",
    "Qwen/Qwen3-30B-A3B-Instruct": "Qwen/Qwen3-30B-A3B",
    "Qwen/Qwen3-235B-A22B": "Qwen/Qwen3-235B-A22B",
    "LLaVA-NeXT-Video-7B": "llava-hf/LLaVA-NeXT-Video-7B-hf",
    "LLaVA-NeXT-Video-34B": "llava-hf/LLaVA-NeXT-Video-34B-hf",
    "llava-v1.6-mistral-7b": "llava-hf/llava-v1.6-mistral-7b-hf",
    "ViT-L/14-336": "openai/clip-vit-large-patch14-336",
    "siglip-so400m-patch14-384": "google/siglip-so400m-patch14-384",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
    "sd3-medium": "stabilityai/stable-diffusion-3-medium-diffusers",
}
# Parameters in millions, as the families' documents give them.
SIZES = {
    **{"dinov3-vits16": 21, "dinov3-vitb16": 86, "dinov3-vitl16": 300, "dinov3-vith16plus": 840},
    **{"dinov3-vit7b16": 6700, "dinov3-convnext-tiny": 28, "dinov3-convnext-small": 50},
    **{"dinov3-convnext-base": 89, "dinov3-convnext-large": 198},
    **{"qwen3-0.6b": 600, "qwen3-1.7b": 1700, "qwen3-4b": 4000, "qwen3-8b": 8200},
    **{"qwen3-14b": 14800, "qwen3-32b": 32800, "qwen3-30b-a3b": 30500},
    "qwen3-235b-a22b": 235_000,
}


def repository(artifact: Artifact) -> str:
    return str(getattr(artifact.source, "repo", ""))


@pytest.mark.parametrize(("name", "repo"), NAMES.items())
def test_names_lead_to_their_repositories(name: str, repo: str) -> None:
    (_, artifact), _ = names.one(CATALOG, name)
    assert repository(artifact) == repo


def test_every_alias_leads_to_one_artifact_and_to_no_other_repository() -> None:
    repositories = {repository(artifact): artifact for _, artifact in CATALOG}
    for _, artifact in CATALOG:
        for alias in artifact.info.get("aliases", ()):
            (_, found), note = names.one(CATALOG, alias)
            assert found is artifact and artifact.id in note
            other = repositories.get(alias)
            assert other is None or other is artifact, f"{alias} is another repository's own name"


def test_sizes_and_gates_of_the_catalog() -> None:
    for name, millions in SIZES.items():
        (_, artifact), _ = names.one(CATALOG, name)
        assert memory_estimate.parameters_of(artifact.info) == millions * 10**6, name
        gated = artifact.id.startswith("dinov3")
        assert bool(artifact.info.get("requires_auth")) == gated, name
        assert artifact.optional, "nobody fetches terabytes unasked"
    gates = {
        a.id: a.info.get("requires_auth") for _, a in CATALOG if a.manifest == "image-generation"
    }
    assert gates == {
        "sdxl": False,
        "flux-schnell": True,
        "flux-dev": True,
        "playground": False,
        "sd3-medium": True,
    }


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write_project(
            tmp_path,
            name,
            f"artifacts:\n  {name}1: {{source: hf:o/{name}, aliases: [twin, only-{name}]}}\n"
            f"  same: {{source: hf:o/n}}\n  sdxl: {{source: hf:o/s{name}, optional: true}}\n",
            f"tree:\n  {name}1/: {name}1\n  {name}s/: same\n  {name}x/: sdxl\n",
        )
    return tmp_path


@pytest.mark.parametrize(
    "command", [("show", "twin"), ("access", "twin"), ("plan", "twin"), ("plan", "--only", "twin")]
)
def test_an_ambiguous_alias_lists_what_it_can_mean(
    cli: Cli, twins: Path, command: tuple[str, ...]
) -> None:
    result = cli(*command)
    assert result.code == 2 and "'twin' can mean a/a1 or b/b1" in result.err


def test_every_command_takes_an_alias_and_explains_it(cli: Cli, twins: Path) -> None:
    line = "only-a is a/a1, from hf:o/a@main"
    for command in (
        *(("show",), ("plan", "--offline"), ("all", "--offline"), ("status",), ("tree",)),
        *(("check",), ("verify",), ("list",), ("lock", "--update")),
    ):
        name = ["a", "--update", "only-a"] if command[-1] == "--update" else ["only-a"]
        result = cli(*[part for part in command if part != "--update"], *name)
        assert line in result.err, (command, result.err)
        assert "no manifest" not in result.err
    assert cli("list", "only-a", "--json").json["summary"]["artifacts"] == 1


def test_an_id_in_two_manifests_needs_its_manifest(cli: Cli, twins: Path) -> None:
    result = cli("plan", "same")
    assert result.code == 2 and "'same' can mean a/same or b/same" in result.err
    shown = cli("plan", "a/same", "--offline", "--json").json
    assert [(part["manifest"], part["id"]) for part in shown["artifacts"]] == [("a", "same")]
    assert len(cli("show", "same", "--json").json["results"]) == 2


def test_the_project_s_own_come_before_the_catalog_s() -> None:
    own = [pair for pair in CATALOG if pair[1].id == "sdxl"]
    assert names.one(CATALOG, "sdxl")[0][1] is own[0][1]
    with pytest.raises(UsageError, match=r"quickstart/facenet-mtcnn"):
        names.one(CATALOG, "facenet-mtcnn")


@pytest.mark.parametrize(
    ("artifacts", "message"),
    [
        ("a: {source: hf:o/n, aliases: [x]}\n  b: {source: hf:o/n, aliases: x}",
         "already leads to 'a'"),
        ("a: {source: hf:o/n}\n  b: {source: hf:o/n, aliases: [a]}", "is an artifact's own id"),
    ],
)  # fmt: skip
def test_aliases_of_one_manifest_do_not_clash(
    cli: Cli, tmp_path: Path, artifacts: str, message: str
) -> None:
    write_project(tmp_path, "p", f"artifacts:\n  {artifacts}\n", "tree: {a/: a, b/: b}\n")
    result = cli("list", "p")
    assert result.code == 2 and message in result.err


def test_a_combination_names_what_is_there(cli: Cli, tmp_path: Path) -> None:
    write_project(
        tmp_path,
        "p",
        "combinations: [{gpu: T4, vram: 16G, artifacts: [encodre]}]\n"
        "artifacts: {encoder: {source: 'hf:o/n'}}\n",
        "tree: {a/: encoder}\n",
    )
    result = cli("list", "p")
    assert result.code == 2 and "did you mean 'encoder'?" in result.err


def test_a_manifest_of_optional_artifacts_says_how_to_choose(cli: Cli) -> None:
    for command in ("plan", "all", "all"):
        result = cli(command, "vision-language", "--offline")
        assert result.code == 0 and "all 24 artifacts of vision-language are optional" in result.err
        assert "fetch all siglip-base-patch16-224" in result.err
