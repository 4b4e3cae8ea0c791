"""Vision encoders and vision-language models from a laid-out folder, through transformers.

Nothing is looked up by a repository's name, and no code of a repository is run without consent.
Runs under the project's interpreter: syntax of Python 3.8, libraries imported inside functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.consent import NO_CONSENT, CodeConsent
from fetcher.verify.contract.foreign import inner
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import LoadError, first_line, pretrained, quiet, vet
from fetcher.verify.pictures import images, preparation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import Arguments, ModelConfig

# By the release of transformers, newest first.
_LANGUAGE_AUTOS = (
    "AutoModelForMultimodalLM",
    "AutoModelForImageTextToText",
    "AutoModelForVision2Seq",
)
_SPEECH = ("talker.", "token2wav.")


def load_encoder(
    folder: Path, dtype: Any, consent: CodeConsent = NO_CONSENT
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Load an encoder on the CPU in eval mode.

    Returns it with its `missing` tensors, which no file held and are random, and `unused` ones,
    which it does not have. Raises LoadError.
    """
    import transformers

    return _load(transformers.AutoModel, folder, dtype, consent)


def load_language_model(
    folder: Path, config: ModelConfig, dtype: Any, consent: CodeConsent = NO_CONSENT
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Load a vision-language model as `load_encoder` does; `config` is its config.json."""
    import transformers

    vet(folder, consent, built_in_first=True)
    listed = config.get("architectures")
    named = str(listed[0]) if isinstance(listed, list) and listed else ""
    core = re.sub(r"(ForConditionalGeneration|Model)$", "", named)
    # Qwen-Omni: the part that sees and writes; the one that speaks is not needed for it.
    names = (f"{core}ThinkerForConditionalGeneration", named, *_LANGUAGE_AUTOS)
    found = next((getattr(transformers, n) for n in names if n and hasattr(transformers, n)), None)
    if found is None:
        raise LoadError(
            f"the installed transformers {transformers.__version__} has no {named}",
            "upgrade transformers in the project's environment",
        )
    model, missing, unused = _load(found, folder, dtype, consent)
    return model, missing, tuple(n for n in unused if not n.startswith(_SPEECH))


def _load(
    auto: Any, folder: Path, dtype: Any, consent: CodeConsent
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    import transformers

    quiet(transformers)
    vet(folder, consent, built_in_first=True)
    return pretrained(auto, folder, dtype, consent)


def load_processor(folder: Path, config: ModelConfig, consent: CodeConsent = NO_CONSENT) -> Any:
    """Load what turns pictures and texts into inputs; `config` is config.json. Raises LoadError.

    Some processors also take videos and therefore need torchvision; without it, for models that
    count a picture's tokens by its grid (Qwen), one for pictures alone is put together.
    """
    import transformers

    quiet(transformers)
    vet(folder, consent, built_in_first=True)
    told = "transformers finds only a tokenizer there"
    try:
        found = transformers.AutoProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=consent.given
        )
        if hasattr(found, "image_processor"):
            return found
    except Exception as error:
        told = first_line(error)
    plain = _picture_processor(transformers, folder, config, consent)
    if plain is None:
        raise LoadError(
            f"no processor for pictures can be loaded from {folder}: {told}",
            "are preprocessor_config.json and the tokenizer's files laid out? Some processors need "
            "torchvision",
        )
    return plain


def _picture_processor(
    transformers: Any, folder: Path, config: ModelConfig, consent: CodeConsent
) -> PictureProcessor | None:
    thinker = inner(config, "thinker_config")
    token = thinker.get("image_token_id", thinker.get("image_token_index"))
    pictures = load_image_processor(folder, consent)
    if token is None or getattr(pictures, "merge_size", None) is None:
        return None
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=consent.given
        )
    except Exception:  # the first error says what is wrong
        return None
    return PictureProcessor(pictures, tokenizer, tokenizer.convert_ids_to_tokens(token))


class PictureProcessor:
    """Text and one picture to a Qwen model's inputs: a token for each merged patch of the grid."""

    def __init__(self, pictures: Any, tokenizer: Any, image_token: str) -> None:
        self.image_token = image_token
        self.tokenizer = tokenizer
        self.chat_template = tokenizer.chat_template
        self._pictures = pictures

    def apply_chat_template(self, messages: Any, **how: Any) -> Any:
        """Write messages as the tokenizer's template does."""
        return self.tokenizer.apply_chat_template(messages, **how)

    def __call__(self, text: Sequence[str], images: Sequence[Any], **how: Any) -> Arguments:
        """Return input_ids, attention_mask, pixel_values and image_grid_thw."""
        seen = self._pictures(images=list(images), **how)
        merged = self._pictures.merge_size**2
        counts = [int(grid.prod()) // merged for grid in seen["image_grid_thw"]]
        filled = [
            one.replace(self.image_token, self.image_token * counts[n], 1)
            for n, one in enumerate(text)
        ]
        return {**self.tokenizer(filled, **how), **seen}


def load_image_processor(folder: Path, consent: CodeConsent = NO_CONSENT) -> Any | None:
    """Return what turns pictures into an encoder's input; None if this environment has none.

    Some of them need torchvision; `prepared` does without.
    """
    import transformers

    quiet(transformers)
    vet(folder, consent, built_in_first=True)
    try:
        return transformers.AutoImageProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=consent.given
        )
    except Exception:  # told by what is done instead
        return None


def prepared(picture: Any, settings: ModelConfig, side: int) -> Any:
    """Return pictures (N, 3, H, W) in 0..1 as preprocessor_config.json wants them.

    `side` is the model's own size in pixels, for settings that name none.
    """
    import torch

    if settings.get("do_resize", True):
        picture = torch.nn.functional.interpolate(
            picture,
            size=_target(settings.get("size") or side, picture.shape[2], picture.shape[3]),
            mode="bicubic" if settings.get("resample") == 3 else "bilinear",  # Pillow's number
            align_corners=False,
            antialias=True,
        ).clamp(0, 1)
    if settings.get("do_center_crop"):
        high, wide = _target(settings.get("crop_size") or side, side, side)
        top, left = (picture.shape[2] - high) // 2, (picture.shape[3] - wide) // 2
        picture = picture[:, :, max(0, top) :, max(0, left) :][:, :, :high, :wide]
    if settings.get("do_rescale") is False:
        picture = picture * 255
    if settings.get("do_normalize", True):
        mean, std = (
            torch.tensor(settings.get(key, [0.5] * 3)).view(1, 3, 1, 1)
            for key in ("image_mean", "image_std")
        )
        picture = (picture - mean) / std
    return picture


def prepared_by(folder: Path, config: ModelConfig, pictures: Any, context: Context) -> Arguments:
    """Return pictures (N, 3, H, W) in 0..1 as a model's input, by the library's own code where it
    is there; it is told where it is not.

    `pixel_values` are among it, and masks for models that take some. Raises ProbeError.
    """
    files = {path.name: path for path in folder.iterdir()}
    settings = preparation.settings_of(files)
    processor = load_image_processor(folder, context.consent()) if settings else None
    if processor is not None:
        try:
            found = processor(images=images.as_pillow(context, pictures), return_tensors="pt")
            return dict(found)
        except Exception as error:
            raise ProbeError(f"{type(processor).__name__} failed: {first_line(error)}") from error
    why = "transformers' own code for it is missing here (it may need torchvision)"
    if not settings:
        why = f"{preparation.SETTINGS} is not among the artifact's files"
    context.warn("preparation of pictures", f"done by fetch: {why}")
    side = inner(config, "vision_config").get("image_size")
    side = side[0] if isinstance(side, list) and side else side
    return {"pixel_values": prepared(pictures, settings, side if isinstance(side, int) else 224)}


def padding_of(model: Any) -> Arguments:
    """Return how texts are filled up for a model that has a side for them: SigLIP was trained on
    its full length.
    """
    siglip = "siglip" in str(getattr(model.config, "model_type", ""))
    length = getattr(getattr(model.config, "text_config", None), "max_position_embeddings", None)
    return {
        "padding": "max_length" if siglip else True,
        "truncation": length is not None,
        "max_length": length,
    }


def _target(size: Any, height: int, width: int) -> tuple[int, int]:
    """Return height and width that a picture is scaled to; `shortest_edge` keeps its shape."""
    if isinstance(size, dict):
        if "height" in size and "width" in size:
            return int(size["height"]), int(size["width"])
        edge = int(size.get("shortest_edge") or size.get("longest_edge") or min(height, width))
        shorter = min(height, width)
        return edge * height // shorter, edge * width // shorter
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def picture_features(model: Any, pixels: Any) -> Any:
    """Return one vector a picture, (N, width): the model's embedding, else its pooled states."""
    if getattr(model.config, "mask_ratio", None) is not None:
        # Masked autoencoders leave out patches at random, and order them at random, also in use.
        import torch

        model.config.mask_ratio = 0.0
        torch.manual_seed(0)
    answer = (
        model.get_image_features(pixel_values=pixels)
        if hasattr(model, "get_image_features")
        else model(pixel_values=pixels)
    )
    return _vector(answer)


def text_features(model: Any, tokens: Arguments) -> Any:
    """Return one vector a text, (N, width), of a model that has both sides."""
    return _vector(model.get_text_features(**tokens))


def _vector(answer: Any) -> Any:
    for name in ("image_embeds", "text_embeds", "pooler_output"):
        found = getattr(answer, name, None)
        if found is not None:
            return found.flatten(1)  # convolutions pool to a picture of one pixel
    states = getattr(answer, "last_hidden_state", None)
    return (
        answer
        if states is None
        else states.flatten(2).mean(-1)
        if states.dim() == 4
        else (states[:, 0])
    )


def without_random_pooler(model: Any, missing: Sequence[str]) -> tuple[str, ...]:
    """Take out a pooler that no file held, as classifiers have none: their features lie before it.

    Returns the missing tensors that are left.
    """
    left = tuple(name for name in missing if not name.startswith("pooler."))
    if len(left) < len(missing) and getattr(model, "pooler", None) is not None:
        model.pooler = None
    return left
