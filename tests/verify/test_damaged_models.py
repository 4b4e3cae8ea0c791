"""What users meet, for the probes of vision-language models, codecs and sets of pictures.

Each kind of damage must be found and named: a file that is missing or cut, weights that are not
finite, of other shapes or another number, and other weights under the same name.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify import ProbeRequest, ProbeResult

from ..conftest import Cli, write_project
from ..servers.weights import jpeg
from . import visionmodels
from .probing import (
    failures,
    named,
    probe_all,
    request,
    run_here,
    run_in_this_process,
    run_probes_here,
)

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("PIL")

WEIGHTS = "model.safetensors"


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the tensors of a .safetensors file."""
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    path.unlink()  # it may be a link to the store
    save_file(tensors, path, metadata={"format": "pt"})


def add_noise(tensors: dict[str, Any]) -> None:
    """A tenth of each tensor's spread: what retraining does, or another seed."""
    source = torch.Generator().manual_seed(7)
    for name, tensor in tensors.items():
        spread = float(tensor.std()) if tensor.numel() > 1 else 1.0
        tensors[name] = tensor + torch.randn(tensor.shape, generator=source) * spread / 10


def run(*requests: ProbeRequest) -> dict[str, ProbeResult]:
    return {result.artifact: result for result in probe_all(*requests)}


def differs_from_golden(cli: Cli, damage: Callable[[], None], *flags: str) -> str:
    """Store golden numbers, damage, and return what `fetch verify` then says."""
    flags = ("--json", "--python", sys.executable, *flags)
    assert cli("all").code == 0
    with pytest.MonkeyPatch.context() as patch:
        # tests/e2e/test_verify.py has the processes; here it is the numbers that count.
        patch.setattr("fetcher.probes.run.run_probes", run_probes_here)
        stored = cli("verify", "--update-golden", *flags)
        assert stored.code == 0, stored.out
        again = cli("verify", *flags)
        assert again.code == 0 and again.json["results"][0]["golden"] == "same"
        damage()
        result = cli("verify", *flags)
    assert result.code == 8 and result.json["results"][0]["golden"] == "differs"
    (error,) = result.json["errors"]
    assert error["artifact"] == "model"
    assert "not what fetch.lock says" in error["message"]
    return str(error["message"])


def project_of(tmp_path: Path, files: Path, probe: str) -> None:
    write_project(
        tmp_path,
        "p",
        f"artifacts:\n  model:\n    source: local:{files.name}\n    probe: {probe}\n",
        "tree: {m/: model}\n",
    )


# vision-language models


@pytest.fixture(scope="session")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("llava")
    visionmodels.make(folder, "llava")
    return folder / "llava"


@pytest.fixture
def copy(llava: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(llava, tmp_path / name))


@pytest.mark.heavy
def test_a_vision_language_models_files_are_looked_at_first(copy: Callable[[str], Path]) -> None:
    def reason(folder: Path) -> str:
        return run_here(request("vision-language", folder)).reason

    folder = copy("missing")
    (folder / WEIGHTS).unlink()
    assert reason(folder) == f"no weights are laid out in {folder}: no model*.safetensors"
    (folder / "config.json").unlink()
    assert reason(folder).startswith("config.json is not among the artifact's files")
    folder = copy("cut")
    whole = (folder / WEIGHTS).read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 100, 4, 0):
        (folder / WEIGHTS).write_bytes(whole[:size])
        told = reason(folder)
        assert told.startswith(f"{WEIGHTS}: "), size
        assert "truncated" in told or "empty" in told, (size, told)
    (folder / WEIGHTS).write_bytes(whole + b"more")
    assert reason(folder).startswith(f"{WEIGHTS}: "), "longer than its header says"
    (folder / WEIGHTS).write_text("<!DOCTYPE html><title>Sign in</title>")
    assert "a web page" in reason(folder)
    folder = copy("cut-config")
    (folder / "config.json").write_bytes((folder / "config.json").read_bytes()[:-20])
    assert reason(folder).startswith("config.json is not valid JSON: ")


@pytest.mark.heavy
def test_a_vision_language_model_that_is_damaged(copy: Callable[[str], Path]) -> None:
    def tensor(path: Path, end: str, change: Callable[[Any], Any]) -> None:
        def one(tensors: dict[str, Any]) -> None:
            (name,) = (name for name in tensors if name.endswith(end))
            tensors[name] = change(tensors[name])

        changed(path / WEIGHTS, one)

    nan, infinite, shape = copy("nan"), copy("infinite"), copy("shape")
    tensor(nan, "multi_modal_projector.linear_1.bias", lambda t: t * float("nan"))
    tensor(infinite, "layers.1.mlp.up_proj.weight", lambda t: t / 0)
    tensor(shape, "multi_modal_projector.linear_1.weight", lambda t: t[:, :-1].clone())
    small = copy("other-resolution")
    config = json.loads((small / "config.json").read_text())
    config["vision_config"]["image_size"] = 16
    (small / "config.json").write_text(json.dumps(config))
    unread = copy("no-tokenizer")
    (unread / "tokenizer.json").unlink()
    found = run(
        *(request("vision-language", folder) for folder in (nan, infinite, shape, small, unread)),
        request("vision-language", copy("counted"), parameters=12, _artifact="counted"),
    )
    assert all(result.state == "failed" for result in found.values())
    assert "multi_modal_projector.linear_1.bias" in failures(found["nan"])["weights: finite"]
    assert "layers.1.mlp.up_proj.weight" in failures(found["infinite"])["weights: finite"]
    assert "multi_modal_projector.linear_1.weight" in found["shape"].reason
    assert "position_embedding" in found["other-resolution"].reason
    assert "tokenizer" in found["no-tokenizer"].reason
    assert found["counted"].reason.startswith("parameters: ")
    assert found["counted"].reason.endswith(", expected 12")


@pytest.mark.heavy
def test_another_vision_language_model_under_the_same_name(
    llava: Path, tmp_path: Path, cli: Cli
) -> None:
    shutil.copytree(llava, tmp_path / "files")
    project_of(tmp_path, tmp_path / "files", "{type: vision-language, new_tokens: 2}")
    told = differs_from_golden(cli, lambda: changed(tmp_path / "m" / WEIGHTS, add_noise))
    assert "logits as before (fetch.golden.json): the values differ by" in told


# codecs

CODEC = """
import torch

class Codec(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.down = torch.nn.Conv2d(3, 12, 2, 2)
        self.up = torch.nn.ConvTranspose2d(12, 3, 2, 2)

    def encode(self, x):
        return self.down(x)

    def decode(self, y):
        return self.up(y)
"""
PROBE = {"class_path": "small.Codec", "trust": "project", "size": [64, 96], "_trust_code": True}


@pytest.fixture
def codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A codec that returns what it is given, and its code, which runs here and is forgotten."""
    from safetensors.torch import save_file

    monkeypatch.setattr(sys, "path", list(sys.path))

    (tmp_path / "small.py").write_text(CODEC)
    basis = torch.eye(12).reshape(12, 3, 2, 2)
    tensors = {"down.weight": basis, "up.weight": basis.clone()}
    tensors |= {"down.bias": torch.zeros(12), "up.bias": torch.zeros(3)}
    (tmp_path / "files").mkdir()
    save_file(tensors, tmp_path / "files" / WEIGHTS)
    yield tmp_path
    sys.modules.pop("small", None)


def damaged(codec: Path, name: str, change: Callable[[dict[str, Any]], None]) -> str:
    shutil.copy(codec / "files" / WEIGHTS, codec / f"{name}.safetensors")
    changed(codec / f"{name}.safetensors", change)
    return f"{name}.safetensors"


def test_a_codecs_files_are_looked_at_first(codec: Path) -> None:
    def reason(name: str, **more: Any) -> str:
        return run_here(request("compression", codec, name, **{**PROBE, **more})).reason

    whole = (codec / "files" / WEIGHTS).read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 100, 4, 0):
        (codec / "cut.safetensors").write_bytes(whole[:size])
        told = reason("cut.safetensors")
        assert told.startswith("cut.safetensors: "), size
        assert "truncated" in told or "empty" in told, (size, told)
    torch.save({"down.bias": torch.zeros(12)}, codec / "whole.pt")
    data = (codec / "whole.pt").read_bytes()
    (codec / "cut.pt").write_bytes(data[: len(data) // 2])
    assert reason("cut.pt").startswith("cut.pt: ") and "truncated" in reason("cut.pt")
    assert reason("whole.pt", checkpoint="v2.pt") == "checkpoint: the artifact has no file 'v2.pt'"
    assert reason("small.py").startswith("the artifact has no weight file")
    (codec / "gone.pt").symlink_to(codec / "nowhere.pt")
    assert reason("gone.pt").startswith("gone.pt: ")


def test_a_codec_that_is_damaged(codec: Path) -> None:
    def set_to(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
        return lambda tensors: tensors.__setitem__(key, value)

    names = [
        damaged(codec, "nan", set_to("up.bias", torch.full((3,), float("nan")))),
        damaged(codec, "infinite", set_to("down.bias", torch.full((12,), float("inf")))),
        damaged(codec, "shape", set_to("up.weight", torch.zeros(12, 3, 4, 4))),
        damaged(codec, "absent", lambda tensors: tensors.__delitem__("up.bias")),
        damaged(codec, "surplus", set_to("hyper.weight", torch.zeros(2))),
        damaged(codec, "blank", lambda t: t.update({k: v * 0 for k, v in t.items()})),
    ]
    shutil.copy(codec / "files" / WEIGHTS, codec / "counted.safetensors")
    counted = partial(request, "compression", codec, "counted.safetensors", **PROBE)
    requests = [
        *(request("compression", codec, name, _artifact=name, **PROBE) for name in names),
        counted(parameters={"min": 400}),
        counted(_artifact="sound", parameters=303),
    ]
    found = {one.artifact: run_in_this_process(one) for one in requests}
    sound = found.pop("sound")
    assert sound.state == "passed", sound.reason
    assert named(sound)["parameters"].detail == "303"
    assert all(result.state == "failed" for result in found.values())
    told = {name.partition(".")[0]: result.reason for name, result in found.items()}
    assert told["nan"].startswith("nan.safetensors: finite: NaN or infinity in up.bias")
    assert told["infinite"].startswith("infinite.safetensors: finite: NaN or infinity in down.bias")
    assert "up.weight" in told["shape"] and "4, 4" in told["shape"]
    assert "up.bias" in told["absent"]
    assert "hyper.weight" in told["surplus"]
    assert told["blank"].startswith("encode and decode: the picture comes back: PSNR")
    assert found[codec.name].reason == "parameters: 303, expected at least 400"


def test_another_codec_under_the_same_name(codec: Path, cli: Cli) -> None:
    probe = "{type: compression, class_path: small.Codec, trust: project, size: [64, 96]}"
    project_of(codec, codec / "files", probe)
    told = differs_from_golden(
        cli, lambda: changed(codec / "m" / WEIGHTS, add_noise), "model", "--trust-project-code"
    )
    assert "as before (fetch.golden.json): the values differ by" in told


# sets of pictures


def test_pictures_that_are_damaged_or_others(tmp_path: Path) -> None:
    from PIL import Image

    root = tmp_path / "data"
    root.mkdir()
    for number in range(8):
        (root / f"{number:03}.jpg").write_bytes(jpeg(number))
    whole = (root / "000.jpg").read_bytes()
    # Cut in the middle of its lines, just before its end marker, and in its header.
    for name, size in (("001", len(whole) * 9 // 10), ("002", len(whole) - 2), ("003", 30)):
        (root / f"{name}.jpg").write_bytes(whole[:size])
    (root / "004.jpg").write_bytes(b"%PDF-1.7\n" * 9)
    Image.new("RGB", (64, 48)).save(root / "005.jpg")
    shutil.copy(root / "006.jpg", root / "copy.jpg")
    with Image.open(root / "006.jpg") as picture:
        picture.save(root / "same-pixels.png")
    found = run(
        request("image-dataset", root, size=[256, 256], count=8, duplicates=False),
        request("image-dataset", root, _artifact="lenient", files="*6*"),
        request("image-dataset", root, _artifact="pair", files=["006.jpg", "copy.jpg"]),
        request(
            "image-dataset", root, _artifact="fine", files=["006.jpg", "copy.jpg"], duplicates=True
        ),
    )
    strict = failures(found["data"])
    assert strict["size of every picture"] == "1 differ: 005.jpg is 64x48; expected 256x256"
    assert strict["count"] == "10, expected 8"
    assert strict["every picture is another one"] == (
        "2 are copies: copy.jpg is 006.jpg, same-pixels.png is 006.jpg"
    )
    why = {str(row[0]): str(row[1]) for row in found["data"].tables[0].rows}
    assert why.keys() == {"001.jpg", "002.jpg", "003.jpg", "004.jpg"}
    assert why["001.jpg"] == f"truncated: {len(whole) * 9 // 10:,} bytes are there"
    assert why["002.jpg"] == f"truncated: {len(whole) - 2:,} bytes are there"
    assert why["003.jpg"] == "truncated: 30 bytes are there"
    assert why["004.jpg"] == "not a picture: it begins with 25504446"
    assert found["lenient"].state == "passed"
    pair = named(found["pair"])["every picture is another one"]
    assert pair.ok and pair.warning and "copy.jpg" in pair.detail
    assert "every picture is another one" not in named(found["fine"])


def pictures(folder: Path, count: int) -> Path:
    """A folder of so many different pictures, named by their numbers."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    return folder


def test_a_picture_that_is_missing(tmp_path: Path, cli: Cli) -> None:
    files = pictures(tmp_path / "files", 4)
    project_of(tmp_path, files, "{type: image-dataset, numbering: {first: 0, last: 3}, count: 4}")
    assert cli("all").code == 0
    (tmp_path / "m/2.jpg").unlink()
    result = cli("verify", "--json", "--python", sys.executable)
    assert result.code == 8
    (error,) = result.json["errors"]
    assert error["message"] == "not laid out: m/2.jpg is missing"
    assert error["hint"] == "run `fetch all` first"


def test_other_pictures_under_the_same_names(tmp_path: Path, cli: Cli) -> None:
    files = pictures(tmp_path / "files", 6)
    project_of(tmp_path, files, "{type: image-dataset}")

    def damage() -> None:
        for number in range(6):
            (tmp_path / f"m/{number}.jpg").unlink()
            (tmp_path / f"m/{number}.jpg").write_bytes(jpeg(number + 100))

    told = differs_from_golden(cli, damage)
    assert "mean brightness as before (fetch.golden.json): the values differ by" in told
