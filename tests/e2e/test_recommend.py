"""`fetch recommend`: the listed combinations, the largest that fit, and why others do not."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from fetcher.hardware import gpu, memory_estimate
from fetcher.project.names import pairs_of
from fetcher.project.project import Project
from tests.conftest import Cli
from tests.servers.hub import HubServer


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (("--gpu", "T4"), ["siglip-base-patch16-224", "qwen3-4b"]),
        (("--gpu", "NVIDIA L4"), ["dinov3-vitb16", "qwen3-8b"]),
        (("--gpu", "A100"), ["dinov3-vitl16", "qwen3-14b"]),
        (("--gpu", "H100"), ["dinov3-vith16plus", "qwen3-32b"]),
        (("--vram", "24"), ["dinov3-vitb16", "qwen3-8b"]),
        (("--vram", "80GB"), ["dinov3-vith16plus", "qwen3-32b"]),
    ],
)
def test_the_listed_combinations(cli: Cli, card: tuple[str, ...], expected: list[str]) -> None:
    found = cli("recommend", *card, "--json").json
    assert found["summary"]["recommended_by"] == "listed"
    assert found["summary"]["recommended"] == [f"vision-language/{name}" for name in expected]
    marked = [item for item in found["results"] if item["recommended"]]
    assert {item["id"] for item in marked} == set(expected)
    assert all(item["fits"] for item in marked)


@pytest.mark.parametrize("size", [3, 6, 12, 32, 48, 141, 600])
def test_other_cards_get_the_largest_that_fit(cli: Cli, size: int) -> None:
    found = cli("recommend", "--vram", str(size), "vision-language", "--json").json
    by_id = {item["id"]: item for item in found["results"]}
    chosen = [name.partition("/")[2] for name in found["summary"]["recommended"]]
    sizes = [by_id[name]["parameters"] for name in chosen]
    assert memory_estimate.needed(sizes, "float16") <= size * 10**9
    encoder, llm = chosen
    larger = [
        item
        for item in found["results"]
        if item["task"] == "text-generation" and item["parameters"] > by_id[llm]["parameters"]
    ]
    smallest = min(i["parameters"] for i in found["results"] if i["task"] == "vision-encoder")
    for item in larger:
        assert memory_estimate.needed([item["parameters"], smallest], "float16") > size * 10**9
    assert by_id[encoder]["task"] == "vision-encoder"


def test_what_does_not_fit_says_why(cli: Cli) -> None:
    found = cli("recommend", "--gpu", "T4", "--json").json
    reasons = {item["id"]: item["reason"] for item in found["results"] if not item["fits"]}
    assert "qwen3-4b" not in reasons
    assert reasons["qwen3-8b"].startswith("needs 19.0 GB (8.2B parameters × 2 bytes + 10 % + 1 GB)")
    assert reasons["qwen3-8b"].endswith("3.0 GB more than there is; fits as int8")
    assert "fits as" not in reasons["qwen3-235b-a22b"]
    less = cli("recommend", "--gpu", "T4", "--dtype", "int4", "--json").json
    fitting = {item["id"] for item in less["results"] if item["fits"]}
    assert {"qwen3-8b", "qwen3-14b"} <= fitting and "qwen3-32b" not in fitting
    assert (
        cli("recommend", "--vram", "0.5").out.strip().endswith("no combination of the catalog fits")
    )


def test_the_estimate_holds_what_the_catalog_states() -> None:
    """min_vram of the built-in records is the estimate, and every list fits its own card."""
    units = Project(Path("/nowhere")).load(["vision-language", "image-generation"])
    for _, artifact in pairs_of(units):
        count = memory_estimate.parameters_of(artifact.info)
        stated = memory_estimate.bytes_of(artifact.info["min_vram"])
        assert count and stated
        assert 0 <= stated - memory_estimate.needed([count], "float16") <= 10**9, artifact.id
    for unit in units:
        for item in unit.manifest.combinations:
            chosen = [unit.manifest.artifacts[name].info for name in item["artifacts"]]
            sizes = [memory_estimate.parameters_of(info) or 0 for info in chosen]
            assert memory_estimate.needed(sizes, "float16") <= (
                memory_estimate.bytes_of(item["vram"]) or 0
            )
            assert memory_estimate.memory_of(item["gpu"]) == memory_estimate.bytes_of(item["vram"])


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_card_is_found_by_nvidia_smi_or_torch(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "bin/nvidia-smi"
    script(smi, "#!/bin/sh\necho 'Tesla T4, 15360'\necho 'NVIDIA L4, 23034'\necho 'GB10, [N/A]'\n")
    monkeypatch.setenv("PATH", f"{smi.parent}:/usr/bin:/bin")
    found = cli("recommend", "--json").json["summary"]
    assert (found["gpu"], found["origin"]) == ("NVIDIA L4", "nvidia-smi")
    assert found["recommended"] == ["vision-language/dinov3-vitb16", "vision-language/qwen3-8b"]
    script(smi, "#!/bin/sh\nexit 9\n")
    python = tmp_path / "python"
    script(python, "#!/bin/sh\necho '[[\"NVIDIA H100 80GB HBM3\", 85028503552]]'\n")
    found = cli("recommend", "--python", python, "--json").json["summary"]
    assert found["origin"] == "torch" and found["recommended"][1].endswith("qwen3-32b")
    script(python, "#!/bin/sh\necho nonsense\n")
    result = cli("recommend", "--python", python)
    assert result.code == 2 and "--gpu T4" in result.err
    assert gpu.detect(sys.executable) == [], "this torch is a CPU build"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--gpu", "T44"), "did you mean 'T4'?"),
        (("--gpu", "Cray-1"), "known cards: T4"),
        (("--gpu", "A100-79GB"), "not known"),
        (("--vram", "much"), "expected gigabytes"),
        (("--vram", "24", "visoin"), "no manifest"),
    ],
)
def test_a_wrong_card_is_an_error(cli: Cli, flags: tuple[str, ...], message: str) -> None:
    result = cli("recommend", *flags)
    assert result.code == 2 and message in result.err


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("t4", 16),
        ("Tesla T4", 16),
        ("A100-80GB", 80),
        ("NVIDIA A100-SXM4-80GB", 80),
        ("NVIDIA GeForce RTX 4090", 24),
        ("4090", 24),
        ("RTX 4060 Ti 16GB", 16),
    ],
)
def test_cards_are_known_by_the_names_people_use(name: str, size: int) -> None:
    assert memory_estimate.memory_of(name) == size * 10**9


def test_it_goes_on_to_fetch(cli: Cli, hub: HubServer, tmp_path: Path) -> None:
    hub.add_repo(
        "google/siglip-base-patch16-224", {"config.json": b"{}", "model.safetensors": b"s"}
    )
    hub.add_repo("Qwen/Qwen3-4B", {"config.json": b"{}", "model.safetensors": b"q"})
    result = cli("recommend", "--gpu", "T4", "--fetch")
    assert result.code == 0, result.err
    assert (tmp_path / "models/qwen3-4b/model.safetensors").read_bytes() == b"q"
    assert (tmp_path / "models/siglip-base-patch16-224/config.json").exists()
    assert cli("status").code == 0
    assert cli("recommend", "--vram", "0.5", "--fetch").code == 2
