"""The document on adding a model: each of its fields under its label, by every way in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fetcher.project import manifest, spellings
from fetcher.project.manifest import Artifact
from fetcher.register.draft import from_json
from fetcher.register.form import FIELDS, OWN, key_of, snake
from fetcher.register.repository import CHECKPOINT_SOURCES
from fetcher.yamldoc import nodes
from tests.conftest import Cli
from tests.documents.blocks import text_of
from tests.servers.hub import HubServer

TEXT = text_of("000")
LABELS = [
    label
    for line in re.findall(r"UI(?: 라벨)?: (`.+`)", TEXT)
    for label in re.findall(r"`([^`]+)`", line)
]
# Those that stand as lists below their heading.
LISTED = [
    *("Size Type", "Default Size", "Input Range", "Output Range", "License"),
    *("Citation / Paper Link", "Checkpoint Source", "Checkpoint Path or File"),
]
NAME = "VQGAN ImageNet f=16, 1024"
ID = "vqgan_imagenet_f16_1024"
CLASS_PATH = "benchmark.models.vqgan_imagenet_f16_1024.VQGANImagenetF16"
REPOSITORY = "https://github.com/CompVis/taming-transformers"
# The document's own example, label by label; what it leaves open is chosen.
EXAMPLE: dict[str, str] = {
    "Model Name": NAME,
    "Model ID": ID,
    "Task Type": "Image Compression",
    "Framework": "PyTorch",
    "Repository Type": "GitHub",
    "Repository URL (or HF ID)": REPOSITORY,
    "Checkpoint Source": "Upload file",
    "Checkpoint Path or File": f"{ID}.ckpt",
    "Model Class Path": CLASS_PATH,
    "Size Type": "Fixed",
    "Default Size": "256 x 256",
    "Input Range": "[-1, 1]",
    "Output Range": "[0, 1]",
    "Supported Interface": "reconstruct(x), encode(x), decode(z)",
    "Default Benchmarks": "Image Compression - Kodak24, Image Compression - CIFAR10",
    "Default Metrics": "PSNR, SSIM, LPIPS, bpp",
    "Owner": "Ana",
    "Visibility": "Public",
    "License": "MIT",
    "Citation / Paper Link": "https://arxiv.org/abs/2012.09841",
    "Max Batch Size": "8",
    "Model Attributes": "Codebook Size: 1024, Downsample Factor: 16",
    "Preferred Device": "GPU only",
    "Tags": "VQGAN, ImageNet, High-Quality, Fast",
}
RECORD: dict[str, Any] = {
    "name": NAME,
    "kind": "model",
    "task": "image-compression",
    "framework": "pytorch",
    "class_path": CLASS_PATH,
    "io": {
        "size": "fixed",
        "resolution": (256, 256),
        "input_range": (-1, 1),
        "output_range": (0, 1),
    },
    "interface": ("reconstruct", "encode", "decode"),
    "benchmarks": ("kodak24", "cifar10"),
    "metrics": ("psnr", "ssim", "lpips", "bpp"),
    "owner": "Ana",
    "visibility": "public",
    "license": "MIT",
    "citation": "https://arxiv.org/abs/2012.09841",
    "max_batch_size": 8,
    "attributes": {"codebook_size": 1024, "downsample_factor": 16},
    "device": "gpu-only",
    "tags": ("VQGAN", "ImageNet", "High-Quality", "Fast"),
}


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document's class with a checkpoint; whoever runs this, git calls them Ana."""
    for key, value in (("COUNT", "1"), ("KEY_0", "user.name"), ("VALUE_0", "Ana")):
        monkeypatch.setenv(f"GIT_CONFIG_{key}", value)
    (tmp_path / f"{ID}.ckpt").write_bytes(b"weights" * 99)
    module = tmp_path / "benchmark/models/vqgan_imagenet_f16_1024.py"
    module.parent.mkdir(parents=True)
    methods = "".join(
        f"    def {name}(self, x): ...\n" for name in ("reconstruct", "encode", "decode")
    )
    module.write_text(f"class VQGANImagenetF16:\n{methods}\ndef make(): ...\n")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        files = {"last.ckpt": b"w" * 50, "config.yaml": b"{}", "model.py": b"pass\n"}
        server.add_repo("CompVis/vqgan-imagenet-f16-1024", files)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


Read = Callable[[str], Artifact]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def one(name: str) -> Artifact:
        (path,) = (tmp_path / "manifests").iterdir()
        document = nodes.read(path)
        found = manifest.decode(document)
        assert found is not None and document.problems == []
        return found.artifacts[name]

    return one


def flags(values: dict[str, str]) -> list[str]:
    """The options that are called as the labels are."""
    return [f"--{snake(label).replace('_', '-')}={text}" for label, text in values.items()]


def check_example(artifact: Artifact) -> None:
    assert dict(artifact.info) == RECORD
    assert artifact.code is not None
    assert artifact.code.describe() == "github:CompVis/taming-transformers@HEAD"
    assert artifact.source.describe() == f"local:{ID}.ckpt" and artifact.fully_known
    assert artifact.probe == {"type": "compression", "trust": "project"}


def test_every_label_of_the_document_is_a_field_under_that_name() -> None:
    assert len(LABELS) > 12, LABELS
    shown = {item.label for item in FIELDS}
    for label in {*LABELS, *LISTED}:
        key = key_of(label) if snake(label) != "input_resolution" else "io.resolution"
        assert key in {item.key for item in FIELDS} | OWN.keys()
        if key not in OWN and label != "Input Resolution":
            assert label in shown, label
    assert {*EXAMPLE} >= {*LABELS, *LISTED} - {"Input Resolution"}


def test_every_option_of_the_document_is_known() -> None:
    for name in ("Image Compression", "Generative Reconstruction", "Retrieval / Embedding"):
        assert (
            f"`{name}`" in TEXT
            and from_json({"Task Type": name})[0].values["task"] in spellings.TASKS
        )
    for label, names in (
        ("Framework", ("PyTorch", "TensorFlow", "JAX", "Other")),
        ("Preferred Device", ("GPU only", "CPU allowed")),
        ("Visibility", ("Private", "Organization", "Public", "Private (나만 보기)")),
        ("Size Type", ("Fixed", "Variable")),
    ):
        for name in names:
            draft, _ = from_json({label: name})
            assert draft.errors == {} and len(draft.values) == 1, (label, name)
    for name in CHECKPOINT_SOURCES:
        assert f"`{name}`" in TEXT
    boxes = re.findall(r"`(\[[x ]\] \w+.*?)`", TEXT)
    assert len(boxes) == 4
    assert from_json({"Supported Interface": boxes})[0].values["interface"] == ["reconstruct"]
    ticked = [box.replace("[ ]", "[x]") for box in boxes]
    assert from_json({"Supported Interface": ticked})[0].values["interface"] == list(
        spellings.METHODS
    )


def test_by_flags(cli: Cli, read: Read, tmp_path: Path) -> None:
    result = cli("add", *flags(EXAMPLE))
    assert result.code == 0, result.err
    check_example(read(ID))
    shown = cli("show", ID).out
    assert "github:CompVis/taming-transformers" in shown and "GitHub" in shown
    assert "public" in shown and "public" in cli("list", tmp_path.name).out


@pytest.mark.parametrize("spelled", [lambda label: label, snake], ids=["printed", "snake"])
def test_by_json(cli: Cli, read: Read, tmp_path: Path, spelled: Callable[[str], str]) -> None:
    data = {spelled(label): text for label, text in EXAMPLE.items()}
    (tmp_path / "form.json").write_text(json.dumps(data), "utf-8")
    result = cli("add", "--from-json", "form.json")
    assert result.code == 0, result.err
    check_example(read(ID))


def test_by_json_in_sections_with_lists(cli: Cli, read: Read, tmp_path: Path) -> None:
    lists = ("Supported Interface", "Default Benchmarks", "Default Metrics", "Tags")
    flat: dict[str, Any] = {
        label: text.split(", ") if label in lists else text for label, text in EXAMPLE.items()
    }
    flat["Model Attributes"] = {"Codebook Size": "1024", "Downsample Factor": 16}
    flat |= {"Default Size": [256, 256], "Input Range": [-1, 1], "Max Batch Size": 8}
    size = {label: flat.pop(label) for label in ("Size Type", "Default Size")}
    code = {label: flat.pop(label) for label in ("Repository Type", "Checkpoint Source")}
    data = {**flat, "Input Resolution": size, "Code & Checkpoint": code}
    (tmp_path / "form.json").write_text(json.dumps(data), "utf-8")
    result = cli("add", "--from-json", "form.json")
    assert result.code == 0, result.err
    check_example(read(ID))


def test_by_prompts(cli: Cli, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fetcher.commands import add_prompts, common

    asked = []

    def answer(label: str, default: str, completer: object) -> str:
        name = label.partition(" (")[0] if label not in EXAMPLE else label
        asked.append(name)
        return EXAMPLE.get(name, default)

    monkeypatch.setattr(add_prompts, "_ask", answer)
    monkeypatch.setattr(common, "interactive", lambda: True)
    result = cli("add", "--interactive", "--yes")
    assert result.code == 0, result.err
    assert {*EXAMPLE} <= {*asked} and len(asked) == len({*asked}), "asked once each"
    check_example(read(ID))


def test_a_hub_repository_with_one_file_of_it(cli: Cli, read: Read, hub: HubServer) -> None:
    repository = "CompVis/vqgan-imagenet-f16-1024"
    told = {
        "Model Name": NAME,
        "Repository Type": "Hugging Face",
        "Repository URL (or HF ID)": repository,
        "Checkpoint Source": "Hugging Face file",
        "Checkpoint Path or File": f"{hub.url}/{repository}/resolve/main/last.ckpt",
    }
    result = cli("add", *flags(told), "--id", "one")
    assert result.code == 0, result.err
    artifact = read("one")
    assert artifact.request.files == ("last.ckpt",)
    assert artifact.info["visibility"] == "private" and artifact.info["owner"] == "Ana"
    assert artifact.code is not None and artifact.code.type == "huggingface"


def test_the_code_is_fetched_as_well_and_the_class_is_found_in_it(
    cli: Cli, read: Read, tmp_path: Path
) -> None:
    package = tmp_path / "upstream/taming"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("class VQ:\n    def reconstruct(self, x): ...\n")
    told = ("--name", "VQ", "--repository-type", "Local / Custom", "--repository-url", "upstream")
    more = ("--checkpoint", f"{ID}.ckpt", "--class-path", "taming.VQ", "--fetch-code")
    result = cli("add", *told, *more, "--task", "Image Compression", "--manifest", "m")
    assert result.code == 0, result.err
    assert read("vq").info["interface"] == ("reconstruct",)
    code = read("vq-code")
    assert code.info["kind"] == "code" and code.source == read("vq").code
    assert cli("all").code == 0
    assert (tmp_path / "code/vq-code/taming/__init__.py").exists()


@pytest.mark.parametrize(
    ("path", "interface", "words"),
    [
        (CLASS_PATH, "reconstruct, compress", "has no method compress"),
        (CLASS_PATH, "encode, decode", "a compression model must offer reconstruct"),
        (CLASS_PATH.replace("F16", "F8"), "reconstruct", "cannot be imported"),
        ("benchmark.models.vqgan_imagenet_f16_1024.make", "reconstruct", "not a class"),
    ],
)
def test_the_class_is_checked(cli: Cli, path: str, interface: str, words: str) -> None:
    told = {**EXAMPLE, "Model Class Path": path, "Supported Interface": interface}
    result = cli("add", *flags(told))
    assert result.code == 2 and words in result.err, result.err


def test_a_task_proposes_and_what_is_declined_stays_away(
    cli: Cli, read: Read, tmp_path: Path
) -> None:
    told = ("--task", "Image Compression", "--interface", "reconstruct(x)", "--manifest", "m")
    first = cli("add", f"{ID}.ckpt", *told, "--name", "A")
    assert "proposed for image-compression: benchmarks kodak24, cifar10" in first.out
    assert read("a").info["metrics"] == ("psnr", "ssim", "lpips", "bpp")
    assert cli("add", f"{ID}.ckpt", *told, "--name", "B", "--metrics", "").code == 0
    assert "metrics" not in read("b").info and "benchmarks" in read("b").info


def test_what_nobody_knows_is_named_with_the_nearest(cli: Cli, tmp_path: Path) -> None:
    told = (
        "--name",
        "A",
        "--task",
        "Image Compresion",
        "--metrics",
        "PSNRR",
        "--license",
        "Apache-2",
    )
    result = cli("add", f"{ID}.ckpt", *told, "--benchmarks", "Kodak25")
    assert result.code == 0, result.err
    for words in (
        "the task 'image-compresion' is not known here; did you mean 'image-compression'?",
        "the metric 'PSNRR' is not known here; did you mean 'psnr'?",
        "the benchmark 'Kodak25' is not known here; did you mean 'kodak24'?",
        "the licence 'Apache-2' is not known here; did you mean 'Apache-2.0'?",
    ):
        assert words in result.out, result.out
    wrong = cli("add", f"{ID}.ckpt", "--repository-type", "GitHab", "--name", "B")
    assert wrong.code == 2 and "did you mean 'GitHub'?" in wrong.err
    wrong = cli("add", f"{ID}.ckpt", "--framework", "PyTorsh", "--name", "B")
    assert wrong.code == 2 and "did you mean 'pytorch'?" in wrong.err


def test_a_manifest_takes_the_labels_spellings(tmp_path: Path) -> None:
    text = f"""manifest: m
artifacts:
  x:
    source: local:{ID}.ckpt
    code: github:CompVis/taming-transformers
    name: {NAME!r}
    task: Image Compression
    framework: PyTorch
    io: {{size: Fixed, resolution: 256 x 256, input_range: "[-1, 1]", output_range: [0, 1]}}
    interface: [reconstruct(x), encode(x), compress(x) / decompress(...)]
    benchmarks: [Image Compression - Kodak24]
    metrics: [PSNR, bpp]
    visibility: Organization
    attributes: ["Codebook Size: 1024", "Downsample Factor: 16"]
    device: GPU only
    license: apache-2.0
"""
    document = nodes.parse(text.encode(), "m.yaml")
    found = manifest.decode(document)
    assert found is not None and document.problems == []
    info = found.artifacts["x"].info
    assert info["task"] == "image-compression" and info["framework"] == "pytorch"
    assert info["io"]["resolution"] == (256, 256) and info["io"]["input_range"] == (-1, 1)
    assert info["interface"] == ("reconstruct", "encode", "compress", "decompress")
    assert info["benchmarks"] == ("kodak24",) and info["metrics"] == ("psnr", "bpp")
    assert info["visibility"] == "organization" and info["device"] == "gpu-only"
    assert info["attributes"] == {"codebook_size": 1024, "downsample_factor": 16}
    assert info["license"] == "Apache-2.0"


def test_by_the_form(tmp_path_factory: pytest.TempPathFactory) -> None:
    import html

    from tests.web.conftest import opened
    from tests.web.kit import WRITER
    from tests.web.kit import text_of as page_text

    home = tmp_path_factory.mktemp("form")
    with HubServer() as server, ExitStack() as stack:
        server.add_repo("o/small", {"config.json": b"{}"})
        place = stack.enter_context(opened(home, server, "--allow-folder", "src"))
        (place.root / f"src/{ID}.ckpt").write_bytes(b"weights" * 99)
        cookie = place.sign_in(WRITER)
        page = html.unescape(page_text(place.page("/-/add", **cookie)))
        for label in EXAMPLE:
            assert re.search(rf">\s*{re.escape(label)}\b", page) or label in page, label
        for name in ("GitHub", "Hugging Face", "Local / Custom", *CHECKPOINT_SOURCES):
            assert name in page, name
        keys = {label: key_of(label) for label in EXAMPLE}
        sent: dict[str, Any] = {keys[label]: text for label, text in EXAMPLE.items()}
        sent["server_path"] = f"src/{ID}.ckpt"
        lists = ("interface", "benchmarks", "metrics")
        sent |= {key: sent[key].split(", ") for key in lists}
        sent |= {"kind_of_source": "local", "csrf": place.csrf(cookie), "action": "save"}
        answer = place.post("/-/add", sent, cookie)
        assert answer.status == 303, page_text(answer)[:3000]
        (path,) = (place.root / "manifests").glob("*.yaml")
        found = manifest.decode(nodes.read(path))
        assert found is not None
        artifact = found.artifacts[ID]
        assert dict(artifact.info) == {**RECORD, "owner": "ana"}
        assert artifact.code is not None and artifact.code.type == "github"
        # The same as JSON, to the server's own address.
        told = {**EXAMPLE, "Model ID": "by_json", "Checkpoint Path or File": f"src/{ID}.ckpt"}
        answer = place.call("/api/models", {**told, "manifest": "demo"}, WRITER)
        assert answer.status == 201, answer.body
        twin = manifest.decode(nodes.read(path))
        assert twin is not None and twin.artifacts["by_json"].info == artifact.info
        assert twin.artifacts["by_json"].code == artifact.code
        for hostile in ("/etc", "../..", "local:/etc", "file:///etc"):
            sent = {**told, "Model ID": "bad", "Repository Type": "Local / Custom"}
            sent["Repository URL (or HF ID)"] = hostile
            assert place.call("/api/models", sent, WRITER).status == 422, hostile
