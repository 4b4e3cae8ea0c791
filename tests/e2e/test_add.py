"""`fetch add` and `fetch init` by flags, JSON, or nothing but an address."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetcher.project import manifest
from fetcher.project.manifest import Artifact
from fetcher.yamldoc import nodes
from tests.conftest import Cli
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

INFO = {
    "pipeline_tag": "text-to-image",
    "library_name": "diffusers",
    "tags": ["diffusers", "safetensors", "license:mit", "arxiv:2012.09841", "photo"],
    "cardData": {"license": "mit"},
    "safetensors": {"total": 89_600_000},
    "config": {"diffusers": {"_class_name": "StableDiffusionXLPipeline"}},
}
FILES = {"model_index.json": b"{}", "model.safetensors": b"w" * 3000, "pytorch_model.bin": b"w" * 9}
VQGAN = [
    *("--name", "VQGAN ImageNet (f=16), 1024", "--task", "image-compression"),
    *("--framework", "pytorch", "--tags", "vqgan, first-stage", "--size", "variable"),
    *("--resolution", "256, 256", "--input-range=-1, 1", "--output-range=-1, 1"),
    *("--interface", "reconstruct, encode, decode", "--attributes", "codebook_size=1024"),
    *("--benchmarks", "kodak24, cifar10", "--metrics", "psnr, ssim, lpips, bpp"),
    *("--max-batch-size", "16", "--device", "cpu-allowed", "--min-vram", "4G"),
    *("--owner", "CompVis", "--visibility", "public", "--license", "MIT"),
    *("--citation", "Esser et al., CVPR 2021", "--class-path", "taming.VQModel", "--skip-import"),
]


@pytest.fixture
def artifacts(tmp_path: Path) -> Callable[[str], dict[str, Artifact]]:
    def read(name: str) -> dict[str, Artifact]:
        document = nodes.read(tmp_path / f"manifests/{name}.yaml")
        found = manifest.decode(document)
        assert found is not None and document.problems == []
        return found.artifacts

    return read


Read = Callable[[str], dict[str, Artifact]]


@pytest.fixture(autouse=True)
def ana(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs this, git calls them Ana."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Ana")


def test_nothing_but_a_repository(
    cli: Cli, hub: HubServer, tmp_path: Path, artifacts: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo("CompVis/ldm", FILES, gated="manual", info=INFO)
    result = cli("add", "hf:CompVis/ldm", "--manifest", "m")
    assert result.code == 0, result.err
    assert "+  ldm:" in result.out and "gated (manual)" in result.out
    ldm = artifacts("m")["ldm"]
    assert ldm.source.describe() == "hf:CompVis/ldm@main"
    assert dict(ldm.info) == {
        "name": "ldm",
        "kind": "model",
        "task": "image-generation",
        "framework": "pytorch",
        "owner": "Ana",
        "visibility": "private",
        "metrics": ("fid",),
        "license": "MIT",
        "citation": "arXiv:2012.09841",
        "parameters": "89.6M",
        "tags": ("safetensors", "photo"),
        "attributes": {"library": "diffusers"},
        "requires_auth": True,
        "type": "sdxl",
    }
    hub.add_token("hf_good", approved=["CompVis/ldm"])
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert cli("all").code == 0
    assert (tmp_path / "models/ldm/model.safetensors").exists()
    assert not (tmp_path / "models/ldm/pytorch_model.bin").exists(), "the same weights once more"
    page = f"{hub.url}/CompVis/ldm/tree/main"
    again = cli("add", page, "--manifest", "m", "--json")
    assert again.code == 0 and again.json["summary"]["id"] == "ldm-2"


ADAPTER = b"""---
license: apache-2.0
base_model: o/base
library_name: peft
pipeline_tag: text-generation
language: [ko, en]
datasets: o/sentences
---
# Reads like a person
"""


def test_an_adapters_card(cli: Cli, hub: HubServer, artifacts: Read) -> None:
    """A server that tells nothing of the card: the README is read."""
    hub.add_repo("o/base", {"model.safetensors": b"w"}, info={"pipeline_tag": "text-generation"})
    hub.add_repo("o/lora", {"README.md": ADAPTER, "adapter_model.safetensors": b"w"})
    early = cli("add", "hf:o/lora", "--manifest", "m", "--dry-run")
    assert early.code == 0 and "fetch add hf:o/base" in early.out and "probe" in early.out
    assert cli("add", "hf:o/base", "--manifest", "m", "--id", "the-base").code == 0
    result = cli("add", "hf:o/lora", "--manifest", "m")
    assert result.code == 0, result.err
    lora = artifacts("m")["lora"]
    assert dict(lora.info) == {
        "name": "lora",
        "kind": "model",
        "task": "text-generation",
        "framework": "pytorch",
        "owner": "Ana",
        "visibility": "private",
        "metrics": ("perplexity",),
        "license": "Apache-2.0",
        "attributes": {
            "library": "peft",
            "base_model": "o/base",
            "datasets": ["o/sentences"],
            "languages": ["ko", "en"],
        },
    }
    assert lora.probe is not None and "the-base" in str(lora.probe)
    shown = cli("show", "lora").out
    assert "Apache-2.0" in shown and "base_model o/base" in shown and "ko, en" in shown


def test_a_dataset_and_a_fine_tuned_model(cli: Cli, hub: HubServer, artifacts: Read) -> None:
    card = {"license": "cc-by-sa-4.0", "task_categories": ["translation"], "language": "ko"}
    hub.add_repo("o/d", {"a.parquet": b"PAR1"}, "dataset", info={"cardData": card})
    assert cli("add", "hf:datasets/o/d", "--manifest", "m").code == 0
    info = artifacts("m")["d"].info
    assert (info["license"], info["task"]) == ("CC-BY-SA-4.0", "translation")
    hub.add_repo("o/tuned", {"w.safetensors": b"w"}, info={"cardData": {"base_model": ["x/y"]}})
    result = cli("add", "hf:o/tuned", "--manifest", "m")
    assert "note: made from x/y" in result.out and artifacts("m")["tuned"].probe == {
        "type": "state-dict"
    }


@pytest.mark.parametrize(
    "readme", [b"---\nlicense: [\n---\n", b"\xff\xfe---", b"", b"---\n" + b"a: b\n" * 300_000]
)
def test_a_broken_card_hinders_nobody(cli: Cli, hub: HubServer, readme: bytes) -> None:
    hub.add_repo("o/m", {"README.md": readme, "w.safetensors": b"w"})
    result = cli("add", "hf:o/m", "--manifest", "m", "--json")
    assert result.code == 0 and result.json["summary"]["written"]


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("hf:nobody/nothing", 6, "does not exist"),
        ("hf:no owner", 2, "expected hf:owner/name"),
        ("hf:a/b:../x", 2, "leads out of its directory"),
        ("nowhere.ckpt", 2, "nowhere.ckpt is not there"),
        ("https://github.com", 2, "needs"),
        ("https://huggingface.co/docs", 2, "is a web page"),
        ("ftp://user:secret@host/x", 2, "holds a login"),
    ],
)
def test_a_source_that_leads_nowhere(
    cli: Cli, hub: HubServer, tmp_path: Path, source: str, code: int, words: str
) -> None:
    if source == "https://github.com":
        source, words = "--upload", "--upload needs SOURCE"
    result = cli("add", source, "--name", "X")
    assert result.code == code and words in result.err, result.err
    assert "secret" not in result.out
    assert not (tmp_path / "manifests").exists()


def test_a_github_repository(
    cli: Cli, tmp_path: Path, artifacts: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GitHubServer(tmp_path / "git") as github:
        github.add_repo("owner/Tool", {"weights.pt": b"w", "README.md": b"hi"})
        monkeypatch.setenv("FETCH_REWRITE", github.rewrite)
        result = cli("add", "https://github.com/owner/Tool/tree/main", "--manifest", "m")
        assert result.code == 0, result.err
        missing = cli("add", "github:owner/none", "--manifest", "m")
        assert missing.code == 3 and "not there" in missing.err
    tool = artifacts("m")["tool"]
    assert tool.source.describe() == "github:owner/Tool@main" and tool.info["owner"] == "Ana"


def test_the_vqgan_form_in_one_command(cli: Cli, tmp_path: Path, artifacts: Read) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"checkpoint" * 100)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "layouts").mkdir()
    before = "# ours\nmanifest: codecs\nartifacts:\n  old:  # kept\n    source: local:last.ckpt\n"
    (tmp_path / "manifests/codecs.yaml").write_text(before)
    (tmp_path / "layouts/codecs.yaml").write_text("layout: codecs\ntree:\n  old.ckpt: old\n")
    dry = cli("add", "--upload", "last.ckpt", *VQGAN, "--dry-run")
    assert dry.code == 0 and "nothing was written" in dry.out
    assert (tmp_path / "manifests/codecs.yaml").read_text() == before
    result = cli("add", "--upload", "last.ckpt", *VQGAN)
    assert result.code == 0, result.err
    assert (tmp_path / "manifests/codecs.yaml").read_text().startswith(before)
    added = artifacts("codecs")["vqgan-imagenet-f16-1024"]
    assert added.info["io"]["resolution"] == (256, 256) and added.fully_known
    assert added.info["interface"] == ("reconstruct", "encode", "decode")
    assert added.info["benchmarks"] == ("kodak24", "cifar10")
    (tmp_path / "last.ckpt").unlink()
    assert cli("all", "vqgan-imagenet-f16-1024").code == 0, "the store has it"
    placed = tmp_path / "models/vqgan-imagenet-f16-1024/last.ckpt"
    assert placed.read_bytes() == b"checkpoint" * 100


def test_by_path_a_checkpoint_stays_where_it_is(cli: Cli, tmp_path: Path, artifacts: Read) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/a.bin").write_bytes(b"1")
    assert cli("add", "weights", "--name", "By path", "--manifest", "m").code == 0
    assert artifacts("m")["by-path"].source.describe() == "local:weights"
    assert cli("all").code == 0 and (tmp_path / "models/by-path/a.bin").exists()
    assert cli("add", "weights", "--name", "Set", "--kind", "dataset", "--manifest", "m").code == 0
    assert cli("add", "weights", "--name", "X", "--manifest", "m", "--place", "a/b").code == 0
    assert "datasets:\n    set/: set" in (tmp_path / "layouts/m.yaml").read_text()
    assert "b/: x" in (tmp_path / "layouts/m.yaml").read_text()


def test_json_from_a_file_or_stdin(
    cli: Cli, tmp_path: Path, artifacts: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.bin").write_bytes(b"1")
    data: dict[str, Any] = {
        "name": "From JSON",
        "checkpoint": "w.bin",
        "manifest": "m",
        "io": {"size": "fixed", "resolution": [64, 64]},
        "aliases": ["fj"],
    }
    (tmp_path / "form.json").write_text(json.dumps(data))
    assert cli("add", "--from-json", "form.json").code == 0
    assert artifacts("m")["from-json"].info["aliases"] == ("fj",)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({**data, "id": "two", "aliases": []})))
    assert cli("add", "--from-json", "-", "--owner", "me").code == 0
    assert artifacts("m")["two"].info["owner"] == "me"
    (tmp_path / "bad.json").write_text('{"name": "X", "io": {"size": 5}, "nmae": 1, "metrics": {}}')
    result = cli("add", "--from-json", "bad.json", "--json")
    assert result.code == 2
    told = "\n".join(error["message"] for error in result.json["errors"])
    for words in ("io.size: found '5'", "nmae: there is no such field", "metrics: ", "source: is"):
        assert words in told, told
    (tmp_path / "bad.json").write_text("{")
    assert "expected one JSON object" in cli("add", "--from-json", "bad.json").err


def test_mistakes_are_named_by_their_flags(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"1")
    result = cli(
        *("add", "w.bin", "--id", "a b", "--resolution", "256", "--interface", "encod"),
        *("--class-path", "os.nothing", "--min-vram", "8 lots"),
    )
    assert result.code == 2
    for words in (
        "id: 'a b' is no id",
        "a-b would be",
        "--resolution: found a list of 1 items",
        "such as 256 x 256",
        "did you mean 'encode'?",
        "--class-path: os.nothing cannot be imported",
        "--min-vram: found '8 lots'",
    ):
        assert words in result.err, words
    assert not (tmp_path / "manifests").exists()


def test_an_id_that_is_taken(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"1")
    assert cli("add", "w.bin", "--id", "One", "--manifest", "m").code == 0
    result = cli("add", "w.bin", "--id", "one", "--manifest", "m")
    assert result.code == 2 and "'one' is taken: one-2 is free" in result.err
    (tmp_path / "manifests/n.yaml").write_text("manifest: n\nartifacts: {a: {source: 'hf:o/n'}}\n")
    (tmp_path / "layouts/n.yaml").write_text("layout: n\ntree: {a/: a}\n")
    result = cli("add", "w.bin", "--name", "B")
    assert result.code == 2 and "name one with --manifest" in result.err
    assert cli("add", "w.bin", "--name", "B", "--manifest", "n").code == 0


@pytest.mark.parametrize("root", ["", "root: x\n"])
def test_two_manifests_have_no_folder_in_common(cli: Cli, tmp_path: Path, root: str) -> None:
    """The same id in each: what is brought for one stays where it is."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w.bin").write_text(f"of {name}")
        words = ["--id", "w", "--manifest", name, "--yes"]
        assert cli("add", f"local:{name}/w.bin", *words).code == 0
        if name == "a" and root:  # the other one's stands elsewhere: nothing to keep clear of
            layout = tmp_path / "layouts/a.yaml"
            layout.write_text(root + layout.read_text())
        assert cli("all", f"{name}/w").code == 0
    assert cli("all").code == 0
    places = ("x/models/w", "models/w") if root else ("models/w", "models/b/w")
    assert [(tmp_path / place / "w.bin").read_text() for place in places] == ["of a", "of b"]


def test_nobody_to_ask(cli: Cli) -> None:
    result = cli("add")
    assert result.code == 2 and "fetch add hf:owner/name" in result.err


def test_init_starts_a_project_and_leaves_what_is_there(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"1")
    assert cli("init").code == 0
    (tmp_path / "fetch.yaml").write_text("jobs: 3\n")
    again = cli("init")
    assert again.code == 0 and "nothing to do" in again.out
    assert (tmp_path / "fetch.yaml").read_text() == "jobs: 3\n"
    assert cli("add", "w.bin").code == 0 and cli("all").code == 0
    made = cli("init", "other", "--from", "quickstart", "--name", "demo", "--json")
    assert made.json["summary"]["written"] == [
        "fetch.yaml",
        "manifests/demo.yaml",
        "layouts/demo.yaml",
    ]
    listed = cli("list", "demo", "--json", cwd=tmp_path / "other").json["results"]
    assert {item["manifest"] for item in listed} == {"demo"}
    assert (
        "--from quickstrat: no such file, folder or manifest"
        in cli("init", "x", "--from", "quickstrat").err
    )
    assert cli("init", "x", "--name", "a").code == 2
    assert cli("init", "x", "--from", "quickstart", "--name", "a b").code == 2


def test_list_by_visibility(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"1")
    for name, visibility in (("A", "private"), ("B", "organization"), ("C", "public")):
        flags = ("--name", name, "--visibility", visibility, "--manifest", "m", "--owner", "Me")
        assert cli("add", "w.bin", *flags, "--tags", "Red").code == 0

    def ids(*flags: str) -> list[str]:
        return [item["id"] for item in cli("list", "m", *flags, "--json").json["results"]]

    assert ids("--visibility", "private") == ["a"]
    assert ids("--visibility", "public") == ["c"]
    assert ids("--owner", "me", "--tag", "red") == ["a", "b", "c"]


def test_every_record_has_a_probe_that_fits(
    tmp_path: Path, cli: Cli, hub: HubServer, artifacts: Read
) -> None:
    """One that says that there is nothing to prove, at the least."""
    hub.add_repo("o/pictures", {"a/1.png": b"1"}, "dataset")
    hub.add_repo("o/table", {"t.parquet": b"1"}, "dataset")
    hub.add_repo("o/keras", {"tf_model.h5": b"1"})
    (tmp_path / "own").mkdir()
    (tmp_path / "own/w.pth").write_bytes(b"w")
    with FileServer() as server:
        for name in ("u.safetensors", "notes.txt", "q.gguf"):
            server.add(name, b"x")
        wanted = {
            "hf:o/m": "state-dict",
            "hf:datasets/o/pictures": "image-dataset",
            "hf:datasets/o/table": "none",
            "hf:o/keras": "none",
            "local:own": "state-dict",
            f"{server.url}/u.safetensors": "state-dict",
            f"{server.url}/notes.txt": "none",
            f"{server.url}/q.gguf": "gguf",
        }
        for source in wanted:
            result = cli("add", source, "--manifest", "m")
            assert result.code == 0, result.err
    found = [artifact.probe or {} for artifact in artifacts("m").values()]
    assert [probe.get("type") for probe in found] == list(wanted.values())
    assert all(probe.get("reason") for probe in found if probe["type"] == "none")
