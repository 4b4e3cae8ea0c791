"""Vision encoders and vision-language models: small ones, with weights or settings changed."""

from __future__ import annotations

import json
import shutil
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from fetcher.verify import ProbeRequest
from safetensors.torch import load_file, save_file

from tests.verify import visionmodels
from tests.verify.probing import request
from tests.verify.wrong import Case, made_once

ENCODER, LANGUAGE = "vision-encoder", "vision-language"
WEIGHTS, SETTINGS = "model.safetensors", "preprocessor_config.json"


@cache
def _made(model: str) -> Path:
    folder = made_once(f"vision-{model}")
    torch.manual_seed(0)
    visionmodels.MAKERS[model](folder)
    return folder


def right(kind: str, model: str, folder: Path) -> ProbeRequest:
    shutil.copytree(_made(model), folder)
    return request(kind, folder)


def _change(folder: Path, file: str, values: dict[str, Any]) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def settings(
    kind: str, model: str, file: str, values: dict[str, Any], folder: Path
) -> ProbeRequest:
    """With other settings in one of the files; of what new releases keep in one file, inside it."""
    made = right(kind, model, folder)
    if file == SETTINGS and not (folder / file).exists():
        whole = json.loads((folder / "processor_config.json").read_text())
        whole["image_processor"].update(values)
        (folder / "processor_config.json").write_text(json.dumps(whole))
    else:
        _change(folder, file, values)
    return made


def rolled(kind: str, model: str, ending: str, folder: Path) -> ProbeRequest:
    """With the rows of a tensor in another order."""
    made = right(kind, model, folder)
    tensors = load_file(folder / WEIGHTS)
    names = [name for name in tensors if name.endswith(ending)]
    for name in names:
        tensors[name] = tensors[name].roll(1, 0).contiguous()
    assert names, ending
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    return made


def _right(model: str, kind: str = ENCODER) -> Any:
    return _RIGHT.setdefault((kind, model), partial(right, kind, model))


_RIGHT: dict[tuple[str, str], Any] = {}
_DINOV3 = ("transformers", "4.56")
TRAINED = "pictures are prepared as the model was trained"


def _settings(
    model: str, what: str, values: dict[str, Any], says: str = "", kind: str = ENCODER
) -> Case:
    made = partial(settings, kind, model, SETTINGS, values)
    needs = _DINOV3 if model == "dinov3" else None
    return Case(kind, what, made, _right(model, kind), says, needs)


CASES = [
    Case(ENCODER, "CLIP", _right("clip")),
    Case(ENCODER, "SigLIP", _right("siglip")),
    Case(ENCODER, "DINOv3", _right("dinov3"), needs=_DINOV3),
    Case(ENCODER, "a masked autoencoder of ViT", _right("vit-mae")),
    Case(
        ENCODER,
        "fewer layers in config.json",
        partial(settings, ENCODER, "vit", "config.json", {"num_hidden_layers": 1}),
        _right("vit"),
        "config.json describes fewer layers than the files have",
    ),
    Case(
        ENCODER,
        "another activation",
        partial(settings, ENCODER, "vit", "config.json", {"hidden_act": "relu"}),
        _right("vit"),
    ),
    Case(ENCODER, "a classifier of ViT, which has no pooler", _right("vit")),
    Case(ENCODER, "a classifier of ResNet", _right("resnet")),
    Case(ENCODER, "a classifier of ConvNeXt", _right("convnext")),
    Case(ENCODER, "a classifier of Swin", _right("swin")),
    _settings("clip", "CLIP's pictures not scaled to 0..1", {"do_rescale": False}, TRAINED),
    _settings("clip", "CLIP's pictures scaled by 1/127", {"rescale_factor": 1 / 127}, TRAINED),
    _settings("clip", "CLIP's pictures not normalised", {"do_normalize": False}, TRAINED),
    _settings(
        "clip",
        "CLIP's pictures normalised as ImageNet's",
        dict(zip(("image_mean", "image_std"), visionmodels.IMAGENET, strict=True)),
        TRAINED,
    ),
    _settings(
        "siglip",
        "SigLIP's pictures normalised as CLIP's",
        dict(zip(("image_mean", "image_std"), visionmodels.CLIP, strict=True)),
        TRAINED,
    ),
    _settings("dinov3", "DINOv3's pictures not normalised", {"do_normalize": False}, TRAINED),
    _settings("vit", "a classifier's pictures not scaled to 0..1", {"do_rescale": False}, TRAINED),
    _settings(
        "vit",
        "a classifier's pictures normalised in its own way",
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.3, 0.3, 0.3]},
    ),
    _settings("clip", "CLIP's pictures cut out before scaling", {"size": {"shortest_edge": 64}}),
    _settings("siglip", "SigLIP's pictures scaled without smoothing", {"resample": 0}),
    Case(
        ENCODER,
        "CLIP's word vectors in another order",
        partial(rolled, ENCODER, "clip", "token_embedding.weight"),
        _right("clip"),
    ),
    Case(
        ENCODER,
        "patches of pictures in another order",
        partial(rolled, ENCODER, "dinov3", "patch_embeddings.weight"),
        _right("dinov3"),
        needs=_DINOV3,
    ),
    Case(LANGUAGE, "LLaVA", _right("llava", LANGUAGE)),
    _settings(
        "llava", "LLaVA's pictures not scaled to 0..1", {"do_rescale": False}, TRAINED, LANGUAGE
    ),
    Case(
        LANGUAGE,
        "a generation_config.json in which every token ends the text",
        partial(
            settings, LANGUAGE, "llava", "generation_config.json", {"eos_token_id": [*range(259)]}
        ),
        _right("llava", LANGUAGE),
    ),
    Case(
        LANGUAGE,
        "LLaVA's word vectors in another order",
        partial(rolled, LANGUAGE, "llava", "embed_tokens.weight"),
        _right("llava", LANGUAGE),
    ),
]
