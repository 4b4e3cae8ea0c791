"""The `vision-encoder` probe: DINOv3, SigLIP, CLIP and their like turn pictures into vectors.

What each option means is in `VisionEncoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import options
from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import causal_lm, loaded, vision
from fetcher.verify.loaders.strict import listed
from fetcher.verify.pictures import images, preparation
from fetcher.verify.weights import folders, kept_settings
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_TEXTS = ("a photo of a cat", "a red car on a street")
_PICTURES = 3
_SAME = 1e-4
_HEADS = ("classifier.", "head.", "cls_classifier.", "distillation_classifier.", "fc.")
_PIXELS_APART = 0.03  # releases scale pictures with different code, rounding to whole pixels or not


class VisionEncoder:
    """Encodes pictures, and texts where the model has that side.

    Options, all optional: `image` (a picture of the artifact, in place of generated ones), `texts`
    (two or more), `match` (which of the texts, counted from 0, fits `image` best), `dimension` (of
    the vectors), `parameters` (exact or `{min, max}`).
    """

    type = "vision-encoder"
    requires = (
        ("torch", "torch"),
        ("transformers", "transformers"),
        ("PIL.Image", "pillow"),
    )

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check the files, load the encoder, and compare what it says of pictures."""
        torch = context.require("torch")
        context.stage("looking at the files")
        folder = folders.folder_of(request.files, "config.json", "a model")
        config = folders.check_config(request.files, "config.json")
        folders.check_settings(request.files, folder, context)
        folders.check_weights(request.files, folder, context)
        context.stage(f"loading {folder.name}")
        with context.timed("load_seconds"):
            model, missing, unused = vision.load_encoder(
                folder, context.torch_dtype(), context.consent()
            )
        named = missing
        missing = vision.without_random_pooler(model, named)
        if len(missing) < len(named):
            context.warn(
                "pooler", "the files have none, as a classifier's: features are read before it"
            )
        heads = [name for name in unused if name.startswith(_HEADS)]
        if heads:
            context.warn(
                "head",
                f"{listed(heads)}: a classifier's head has no part in features",
                "`probe: {type: transformers, task: image-classification}` proves it",
            )
        unused = tuple(name for name in unused if name not in heads)
        loaded.check(model, missing, unused, request.options, context)
        preparation.check(preparation.settings_of(request.files), config, context)
        kept_settings.keep(config, request.files, folder, context)
        with context.timed("load_seconds"):
            model = model.to(context.device())
        pictures = _pictures(request, context)
        pixels = vision.prepared_by(folder, config, pictures, context)["pixel_values"]
        pixels = pixels.to(context.device(), context.torch_dtype())
        context.fingerprint("pixels", pixels, _PIXELS_APART)
        context.stage("encoding pictures")
        with torch.no_grad():
            with context.timed("infer_seconds"):
                # The first by itself, to be seen again: others beside it move its last digits.
                apart = [vision.picture_features(model, one) for one in (pixels[:1], pixels[1:])]
                vectors = torch.cat(apart)
                again = vision.picture_features(model, pixels[:1])
            _check_vectors(vectors, again, pictures, request, context)
            if hasattr(model, "get_text_features") and _has_tokenizer(folder):
                _check_texts(model, folder, vectors, request, context)


PROBE = VisionEncoder()


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).exists() for name in causal_lm.TOKENIZER_FILES)


def _pictures(request: ProbeRequest, context: Context) -> Any:
    """Return pictures (N, 3, H, W) in 0..1; the sample picture, if there is one, is the first."""
    torch = context.require("torch")
    name = request.options.get("image")
    if name is None:
        return images.generated(torch, 240, 320, request.seed, _PICTURES)
    if name not in request.files:
        raise ProbeError(f"image: the artifact has no file {name!r}", "see its `files`")
    first = images.read(context, request.files[name])
    others = images.generated(torch, first.shape[2], first.shape[3], request.seed, _PICTURES - 1)
    return torch.cat((first, others))


def _check_vectors(
    vectors: Any, again: Any, pictures: Any, request: ProbeRequest, context: Context
) -> None:
    torch = context.require("torch")
    count, width = vectors.shape
    context.check("shape", count == len(pictures), f"{count} vectors of {width} numbers")
    if "dimension" in request.options:
        check_count("dimension", width, request.options["dimension"], context)
    finite = bool(torch.isfinite(vectors).all())
    if not context.check("vectors are finite", finite, "", "try --dtype float32"):
        return
    moved = float((vectors[:1] - again).float().abs().max())
    scale = float(vectors.float().abs().mean()) or 1.0
    still = moved <= (0 if context.device() == "cpu" else 1e-2 * scale)
    context.check("repeatable", still, f"the same picture moves its vector by {moved:.2g}")
    unit = torch.nn.functional.normalize(vectors.float(), dim=1)
    likeness = (unit @ unit.T).cpu()
    nearest = float((likeness - 2 * torch.eye(count)).max())
    context.check(
        "the picture acts",
        nearest < 1 - _SAME,
        f"cosine of different pictures {nearest:.4f} at most",
        "every picture gets the same vector: the weights do nothing",
    )
    names = [f"picture {n}" for n in range(1, count + 1)]
    rows = [(name, *(round(float(v), 4) for v in line)) for name, line in zip(names, likeness)]
    context.table("Cosine of pictures", ("", *names), rows)
    context.fingerprint("vectors", vectors)


def _check_texts(
    model: Any, folder: Path, vectors: Any, request: ProbeRequest, context: Context
) -> None:
    torch = context.require("torch")
    texts = options.as_list(request.options.get("texts", list(_TEXTS)))
    tokenizer = causal_lm.load_tokenizer(folder, context.consent())
    tokens = tokenizer(texts, return_tensors="pt", **vision.padding_of(model))
    known = {
        name: tokens[name].to(context.device())
        for name in ("input_ids", "attention_mask")
        if name in tokens
    }
    context.fact("text tokens", tokens["input_ids"].tolist())
    with context.timed("infer_seconds"):
        answers = vision.text_features(model, known)
    sound = bool(torch.isfinite(answers).all()) and answers.shape == (len(texts), vectors.shape[1])
    if not context.check("texts", sound, f"{list(answers.shape)}", "the weights may be damaged"):
        return
    unit = torch.nn.functional.normalize(answers.float(), dim=1)
    if len(texts) > 1:
        nearest = float((unit @ unit.T - 2 * torch.eye(len(texts), device=unit.device)).max())
        context.check(
            "the text acts", nearest < 1 - _SAME, f"cosine of texts {nearest:.4f} at most"
        )
    likeness = (torch.nn.functional.normalize(vectors.float(), dim=1) @ unit.T).cpu()
    rows = [
        (f"picture {n}", *(round(float(value), 4) for value in line))
        for n, line in enumerate(likeness, 1)
    ]
    context.table("Cosine of pictures and texts", ("", *texts), rows)
    if "match" in request.options:
        best = int(likeness[0].argmax())
        wanted = request.options["match"]
        context.check(
            "the matching text is nearest",
            best == wanted,
            f"nearest to the picture: {listed([texts[best]])}",
        )
    context.fingerprint("text vectors", answers)
