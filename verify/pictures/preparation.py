"""How pictures are prepared for a model: what its files say, and what its family was trained on.

Values that are scaled or normalised otherwise give vectors that look sound and mean nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fetcher.verify.contract.foreign import inner
from fetcher.verify.weights import folders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ModelConfig

SETTINGS = "preprocessor_config.json"
_PROCESSOR = "processor_config.json"
# What moves a prepared pixel, as preprocessor_config.json has it.
_KEYS = (
    *("do_resize", "size", "resample", "do_center_crop", "crop_size", "crop_pct"),
    *("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std"),
    *("do_convert_rgb", "do_pad", "do_flip_channel_order", "do_reduce_labels"),
    *("min_pixels", "max_pixels", "patch_size", "merge_size", "temporal_patch_size"),
)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_SATELLITE = ((0.43, 0.411, 0.296), (0.213, 0.156, 0.143))
_NEAR = 0.006  # the figures are written with two to eight decimals


class Family(NamedTuple):
    """Means and deviations that models of a family were trained with, in 0..1.

    `fixed`: all of them with one of these; else others exist, such as those that people trained on
    their own pictures.
    """

    known: Sequence[tuple[Sequence[float], Sequence[float]]]
    fixed: bool


_TRAINED_ANYHOW = Family((_IMAGENET, _HALF, _CLIP), False)
FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("clip", "clip_vision_model", "chinese_clip"), Family((_CLIP,), True)),
    **dict.fromkeys(("siglip", "siglip_vision_model", "siglip2"), Family((_HALF,), True)),
    **dict.fromkeys(("dinov2", "dinov2_with_registers"), Family((_IMAGENET,), True)),
    **dict.fromkeys(("dinov3_vit", "dinov3_convnext"), Family((_IMAGENET, _SATELLITE), True)),
    **dict.fromkeys(
        ("vit", "deit", "beit", "resnet", "regnet", "convnext", "convnextv2", "swin", "swinv2"),
        _TRAINED_ANYHOW,
    ),
    **dict.fromkeys(("segformer", "dpt", "detr", "mobilenet_v2", "vit_mae"), _TRAINED_ANYHOW),
}


def settings_of(files: Mapping[str, Path]) -> ModelConfig:
    """Return the settings that a folder's files have for pictures; {} if they have none.

    Newer releases keep them inside processor_config.json. Raises ProbeError for a damaged file.
    """
    if SETTINGS in files:
        return folders.read_json(files[SETTINGS], SETTINGS)
    within = folders.read_json(files[_PROCESSOR], _PROCESSOR) if _PROCESSOR in files else {}
    inside = within.get("image_processor")
    return inside if isinstance(inside, dict) else {}


def check(settings: ModelConfig, config: ModelConfig, context: Context) -> None:
    """Keep the settings as a fact, and compare them with what the model's family was trained on.

    `config` is its config.json. A language model that sees through a tower of a known family may
    have been trained on pictures that are normalised otherwise.
    What no model of a family has fails; what is merely unusual, or of an unknown family, warns.
    """
    context.fact("picture settings", {key: settings[key] for key in _KEYS if key in settings})
    if not settings:
        return
    kind = str(config.get("model_type"))
    family = FAMILIES.get(kind)
    if family is None and (tower := str(inner(config, "vision_config").get("model_type"))):
        kind, family = tower, FAMILIES.get(tower)
        family = family and family._replace(fixed=False)
    wrong = [*_scale(settings), *_normalisation(settings, family)]
    name = "pictures are prepared as the model was trained"
    told = f"{SETTINGS}: {'; '.join(wrong)}"
    hint = "take the file of the model's own repository and revision"
    if not wrong:
        context.check(name, True, kind if family else f"{kind}: no values of its family are known")
    elif family is not None and (family.fixed or any("rescale" in one for one in wrong)):
        context.check(name, False, told, hint)
    else:
        context.warn(name, told, hint)


def _scale(settings: ModelConfig) -> list[str]:
    if settings.get("do_rescale") is False:
        return ["do_rescale is false, so pixels stay in 0..255"]
    factor = settings.get("rescale_factor", 1 / 255)
    if isinstance(factor, (int, float)) and abs(factor * 255 - 1) < 0.01:
        return []
    return [f"rescale_factor is {factor!r}, and 1/255 makes pixels 0..1"]


def _normalisation(settings: ModelConfig, family: Family | None) -> list[str]:
    if family is None:
        return []
    if settings.get("do_normalize") is False:
        return ["do_normalize is false, and the model was trained on normalised pixels"]
    mean, deviation = settings.get("image_mean"), settings.get("image_std")
    if mean is None and deviation is None:
        return []  # the library's own for the family
    if any(_near(mean, one) and _near(deviation, other) for one, other in family.known):
        return []
    usual = " or ".join(f"{list(one)} and {list(other)}" for one, other in family.known)
    return [f"image_mean and image_std are {mean} and {deviation}, its family has {usual}"]


def _near(found: object, wanted: Sequence[float]) -> bool:
    return (
        isinstance(found, list)
        and len(found) == len(wanted)
        and all(isinstance(n, (int, float)) for n in found)
        and all(abs(n - other) <= _NEAR for n, other in zip(found, wanted))
    )
