"""Encoders, vision-language models and diffusion pipelines: small ones, built from their configs.

None of it needs torchvision, and none of the probes does.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify import ProbeResult
from fetcher.verify.loaders import LoadError, diffusion, vision
from fetcher.verify.pictures import images
from fetcher.verify.probes.diffusion import PROBE as DIFFUSION
from fetcher.verify.probes.vision_encoder import PROBE as ENCODER
from fetcher.verify.probes.vision_language import PROBE as LANGUAGE

from . import visionmodels
from .makers import RunsCode
from .probing import failures, named, probe_all, request, run_here

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("PIL")
if importlib.util.find_spec("diffusers") is None:
    pytest.skip("diffusers is not installed", allow_module_level=True)

pytestmark = pytest.mark.heavy
SMALL = {"size": [64, 64], "steps": 1}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vision-models")
    visionmodels.make(folder)
    return folder


Copy = Callable[..., Path]


@pytest.fixture
def copy(models: Path, tmp_path: Path) -> Copy:
    """A copy of a model under a name of its own, to be damaged."""

    def make(model: str, name: str) -> Path:
        return Path(shutil.copytree(models / model, tmp_path / name))

    return make


def change(path: Path, **values: float) -> None:
    """Fill the named tensors (dots written as __) of a .safetensors file of float32."""
    data = bytearray(path.read_bytes())
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    for name, value in values.items():
        begin, end = header[name.replace("__", ".")]["data_offsets"]
        start = 8 + length
        data[start + begin : start + end] = struct.pack("<f", value) * ((end - begin) // 4)
    path.write_bytes(data)


def drop(path: Path, *names: str) -> None:
    """Take tensors out of a .safetensors file."""
    from safetensors.torch import load_file, save_file

    kept = {name: tensor for name, tensor in load_file(path).items() if name not in names}
    save_file(kept, path, metadata={"format": "pt"})


def by_name(results: list[ProbeResult]) -> Mapping[str, ProbeResult]:
    return {result.artifact: result for result in results}


# encoders


def test_encoders_pass(models: Path) -> None:
    found = by_name(
        probe_all(
            request("vision-encoder", models / "clip", dimension=16, texts=["a cat", "a red car"]),
            request("vision-encoder", models / "siglip", dimension=32),
            request("vision-encoder", models / "dinov3", parameters=23_456),
        )
    )
    for result in found.values():
        assert result.state == "passed", (result.artifact, result.reason, result.log)
        assert result.metrics["dtype"] == "float32"
    assert named(found["clip"])["the text acts"].ok
    assert found["clip"].tables[1].columns == ("", "a cat", "a red car")
    names = {one.name for one in found["clip"].fingerprints}
    assert names == {"rows of embeddings", "pixels", "vectors", "text vectors"}
    # Its image processor needs torchvision, so the probe prepares the pictures itself.
    if importlib.util.find_spec("torchvision") is None:
        told = named(found["dinov3"])["preparation of pictures"]
        assert told.warning
        assert "it may need torchvision" in told.detail


def test_an_encoders_files_are_looked_at_first(copy: Copy, tmp_path: Path) -> None:
    cut = copy("dinov3", "cut")
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "truncated" in run_here(request("vision-encoder", cut)).reason
    own_code = copy("clip", "own-code")
    (own_code / "config.json").write_text('{"model_type": "x", "auto_map": {"AutoModel": "m.X"}}')
    (own_code / "m.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    reason = run_here(request("vision-encoder", own_code)).reason
    assert 'config.json: auto_map is {"AutoModel": "m.X"}: it runs code of the model' in reason
    pickled = copy("dinov3", "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({"w": RunsCode(tmp_path / "marker")}, pickled / "pytorch_model.bin")
    reason = run_here(request("vision-encoder", pickled)).reason
    assert "beside tensors the pickle asks for posix.mkdir" in reason
    assert not (tmp_path / "marker").exists()


def test_encoders_that_are_not_what_they_seem(copy: Copy, models: Path) -> None:
    nan = copy("dinov3", "nan")
    change(nan / "model.safetensors", norm__bias=float("nan"))
    swapped = copy("dinov3", "swapped")
    shutil.copy(models / "siglip/model.safetensors", swapped / "model.safetensors")
    lost = copy("clip", "lost")
    drop(lost / "model.safetensors", "visual_projection.weight")
    deaf = copy("clip", "deaf")
    change(deaf / "model.safetensors", vision_model__embeddings__patch_embedding__weight=0.0)
    folders = (nan, swapped, lost, deaf)
    found = by_name(probe_all(*(request("vision-encoder", folder) for folder in folders)))
    assert all(result.state == "failed" for result in found.values())
    told = {name: result.reason for name, result in found.items()}
    assert failures(found["nan"])["weights: finite"] == "NaN or infinity in norm.bias"
    assert "tensors are in no file, so they are random" in told["swapped"]
    assert told["lost"] == (
        "every tensor comes from a file: 1 tensors are in no file, so they are random: "
        "visual_projection.weight"
    )
    assert told["deaf"].startswith("the picture acts: cosine of different pictures 1.0000")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["clip", "siglip"])
def test_pictures_are_prepared_as_the_library_does_it(models: Path, model: str) -> None:
    from PIL import Image

    settings = json.loads((models / model / "preprocessor_config.json").read_text())
    picture = images.generated(torch, 60, 90)
    eight_bit = (picture[0] * 255).round().to(torch.uint8).permute(1, 2, 0)
    shown = Image.frombytes("RGB", (90, 60), bytes(eight_bit.flatten().tolist()))
    processor = vision.load_image_processor(models / model)
    assert processor is not None
    theirs = processor(images=shown, return_tensors="pt")["pixel_values"]
    ours = vision.prepared(picture, settings, 32)
    assert ours.shape == theirs.shape == (1, 3, 32, 32)
    assert float((ours - theirs).abs().max()) < 0.02


# vision-language models


def test_a_vision_language_model_answers(copy: Copy, models: Path) -> None:
    blind = copy("llava", "blind")
    names = _names(blind / "model.safetensors")
    there = next(name for name in names if name.endswith("multi_modal_projector.linear_2.weight"))
    change(blind / "model.safetensors", **{there.replace(".", "__"): 0.0})
    short = copy("llava", "short")
    (short / "processor_config.json").unlink()
    found = by_name(
        probe_all(
            request("vision-language", models / "llava", new_tokens=5),
            request("vision-language", blind),
            request("vision-language", models / "qwen-omni", new_tokens=3),
            request("vision-language", short),
        )
    )
    good = found["llava"]
    assert good.state == "passed", (good.reason, good.log)
    assert named(good)["tokens"].detail.endswith("5 asked for")
    assert good.tables[0].columns == ("prompt", "answer")
    assert found["blind"].reason.startswith("the picture acts: another picture moves the logits")
    assert found["blind"].hint.endswith("is its projector laid out?")
    assert "no processor for pictures can be loaded" in found["short"].reason
    omni = found["qwen-omni"]
    assert omni.state == "passed", (omni.reason, omni.log)
    assert omni.tables[0].rows[0][0] == "<seen><image>What is in this picture?"


def _names(path: Path) -> list[str]:
    data = path.read_bytes()
    return list(json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]]))


# diffusion pipelines


def test_pipelines_draw(models: Path) -> None:
    switches = {"attention_slicing": True, "vae_slicing": True, "cpu_offload": "model"}
    found = by_name(
        probe_all(
            request("diffusion", models / "sdxl", **SMALL, **switches, guidance_scale=3),
            request("diffusion", models / "sd3", **SMALL, max_tokens=64),
            request("diffusion", models / "flux", **SMALL),
        )
    )
    for result in found.values():
        assert result.state == "passed", (result.artifact, result.reason, result.log)
        assert named(result)["another prompt acts"].ok
        shapes = {one.name: one.shape for one in result.fingerprints}
        assert shapes["picture"] == (3, 64, 64)
        assert shapes["a photograph as it comes back"] == (1, 3, 96, 96)
        assert result.pictures[0].width == 3 * 68 + 4
    assert found["flux"].metrics["parameters"] == 294_777
    assert (
        "UNet2DConditionModel"
        in named(found["sdxl"])["unet: every tensor comes from a file"].detail
    )


UNET = "unet/diffusion_pytorch_model.safetensors"


def test_a_pipelines_files_are_looked_at_first(copy: Copy, tmp_path: Path) -> None:
    cut = copy("sdxl", "cut")
    (cut / UNET).write_bytes((cut / UNET).read_bytes()[:-1000])
    reason = run_here(request("diffusion", cut)).reason
    assert reason.startswith("unet: ")
    assert "truncated" in reason
    absent = copy("sdxl", "absent")
    shutil.rmtree(absent / "vae")
    reason = run_here(request("diffusion", absent)).reason
    assert reason == "the part vae (AutoencoderKL) is not laid out"
    own_code = copy("sdxl", "own-code")
    index = json.loads((own_code / "model_index.json").read_text())
    index["unet"] = ["my_unet", "MyUNet"]
    (own_code / "model_index.json").write_text(json.dumps(index))
    (own_code / "unet/my_unet.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    reason = run_here(request("diffusion", own_code)).reason
    assert 'model_index.json: unet is ["my_unet", "MyUNet"]: it runs code of the model' in reason
    pickled = copy("flux", "pickled")
    (pickled / "vae/diffusion_pytorch_model.safetensors").unlink()
    torch.save({"w": RunsCode(tmp_path / "marker")}, pickled / "vae/diffusion_pytorch_model.bin")
    assert "posix.mkdir" in run_here(request("diffusion", pickled)).reason
    assert not (tmp_path / "marker").exists()


def test_pipelines_that_are_not_what_they_seem(copy: Copy) -> None:
    lost = copy("sdxl", "lost")
    drop(lost / UNET, "conv_out.bias")
    nan = copy("sdxl", "nan")
    change(nan / "vae/diffusion_pytorch_model.safetensors", decoder__conv_out__bias=float("nan"))
    found = by_name(probe_all(*(request("diffusion", folder, **SMALL) for folder in (lost, nan))))
    assert found["lost"].reason == "unet: 1 tensors are in no file: conv_out.bias"
    assert failures(found["nan"])["vae: finite"] == "NaN or infinity in decoder.conv_out.bias"


def test_limits_of_time_and_memory(models: Path) -> None:
    slow, hungry = probe_all(
        request("diffusion", models / "sdxl", **SMALL, _timeout=0.5),
        request("diffusion", models / "sdxl", **SMALL, _memory_limit=100_000_000),
    )
    assert slow.reason.startswith("no result after 0.5 s, while ")
    assert "the ceiling is 95 MiB" in hungry.reason


def test_eight_bits_need_a_gpu(models: Path) -> None:
    with pytest.raises(LoadError, match="8-bit weights need an NVIDIA GPU"):
        diffusion._quantization(None, models / "sdxl", "cpu")


@pytest.mark.parametrize(
    ("probe", "options", "told"),
    [
        (ENCODER, {"text": "x"}, "text: no such option; did you mean 'texts'?"),
        (ENCODER, {"dimension": "many"}, "dimension: expected a whole number or"),
        (LANGUAGE, {"template": "<image>"}, "template: must hold {prompt}, and the picture token"),
        (LANGUAGE, {"new_tokens": 0}, "new_tokens: expected a whole number from 1 to 256"),
        (DIFFUSION, {"cpu_offload": True}, "cpu_offload: expected model or sequential, found True"),
        (DIFFUSION, {"quantize": "4bit"}, "quantize: expected 8bit, found '4bit'"),
        (DIFFUSION, {"vae_slice": True}, "vae_slice: no such option; did you mean 'vae_slicing'?"),
        (DIFFUSION, {"steps": 0}, "steps: expected a whole number from 1 to 200"),
    ],
)
def test_wrong_options(probe: Any, options: dict[str, Any], told: str) -> None:
    (problem,) = probe.validate_options(options)
    assert str(problem).startswith(told)
