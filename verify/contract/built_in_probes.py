"""fetch's own probes: their modules, which options each takes, and what the values may be.

Apart from the probes, so that a manifest is judged without importing what would run them.
"""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.contract import class_names, inputs, options
from fetcher.verify.contract.dtypes import SHORT_NAMES, TENSORS
from fetcher.verify.contract.options import Problem, inside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fetcher.verify.contract.foreign import ProbeOptions

    Rule = Callable[[Any], str]

NONE = "none"
OFFLOADS = ("model", "sequential")
QUANTIZATIONS = ("8bit",)
PARTS = (
    "checkpoint", "unet", "transformer", "controlnet", "lora", "vae", "t2i-adapter", "ip-adapter",
    "textual-inversion", "upscaler",
)  # fmt: skip
POOLINGS = ("mean", "cls", "max")
PAIRS = ("en", "ko")  # the pairs of sentences that fetch has
TASKS = (  # of transformers, as its pipelines are called
    *("text-classification", "text-ranking", "zero-shot-classification", "token-classification"),
    *("question-answering", "fill-mask", "text2text-generation", "summarization", "translation"),
    *("feature-extraction", "automatic-speech-recognition", "audio-classification"),
    *("text-to-audio", "text-to-speech", "image-classification", "object-detection"),
    *("image-segmentation", "depth-estimation", "image-feature-extraction"),
    *("zero-shot-image-classification", "zero-shot-object-detection"),
)
METHODS = ("reconstruct", "encode", "decode", "compress", "decompress")
_SMALLEST = 64  # pixels a side, for LPIPS
_RESOLUTIONS = tuple(8 << n for n in range(8))


def _shapes(value: Any) -> str:
    if not isinstance(value, dict) or not value:
        return f"expected a mapping from tensor names to shapes, found {value!r}"
    for name, shape in value.items():
        if not isinstance(shape, list) or not all(
            size is None or size == -1 or options.is_count(size) for size in shape
        ):
            told = f"expected a list of sizes (-1 or null: any) for {name!r}, found {shape!r}"
            return inside(told, name)
    return ""


def _tensor_types(value: Any) -> str:
    wrong = options.texts(value)
    for number, name in enumerate([] if wrong else options.as_list(value)):
        if SHORT_NAMES.get(name, name) not in TENSORS:
            close = options.nearest(name, TENSORS | SHORT_NAMES.keys())
            meant = f"; did you mean {close[0]!r}?" if close else ""
            return inside(f"{name!r} is not a type of tensors{meant}", number)
    return wrong


def _args(value: Any) -> str:
    if isinstance(value, list):
        return ""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return ""
    return f"expected a list of arguments or a mapping of named ones, found {value!r}"


def _paths(value: Any) -> str:
    wrong = options.texts(value)
    for number, name in enumerate([] if wrong else options.as_list(value)):
        if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or "\\" in name:
            return inside(f"expected a folder relative to the root, found {name!r}", number)
    return wrong


def _call(value: Any) -> str:
    sound = isinstance(value, str) and value.isidentifier() and not value.startswith("__")
    return "" if sound else f"expected the name of a method, found {value!r}"


def _interface(value: Any) -> str:
    wrong = options.texts(value)
    for number, name in enumerate([] if wrong else options.as_list(value)):
        if name not in METHODS:
            return inside(f"{name!r} is none of {', '.join(METHODS)}", number)
    return wrong


def _codec_size(value: Any) -> str:
    wrong = inputs.size(value)
    return wrong or ("" if min(value) >= _SMALLEST else f"at least {_SMALLEST} pixels a side")


def _pipeline_size(value: Any) -> str:
    wrong = inputs.size(value)
    return wrong or ("" if all(side % 8 == 0 for side in value) else "must be multiples of 8")


def _network_size(value: Any) -> str:
    wrong = inputs.size(value)
    return wrong or ("" if all(side % 32 == 0 for side in value) else "must be multiples of 32")


def _template(value: Any) -> str:
    wrong = options.text(value)
    return wrong or ("" if "{prompt}" in value else "must hold {prompt}, and the picture token")


def _resolution(value: Any) -> str:
    sound = options.is_count(value) and value in _RESOLUTIONS
    return "" if sound else f"expected one of {list(_RESOLUTIONS)}, found {value!r}"


def _psi(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1:
        return ""
    return f"expected a number from 0 to below 1, found {value!r}"


def _numbering(value: Any) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, dict) and set(value) <= {"first", "last", "gaps"}:
        bounds = [value[key] for key in ("first", "last") if key in value]
        if all(options.is_count(n) for n in bounds) and isinstance(value.get("gaps", True), bool):
            backwards = len(bounds) == 2 and bounds[0] > bounds[1]
            return "first is above last" if backwards else ""
    return f"expected true, false or {{first: 0, last: 9999, gaps: true}}, found {value!r}"


def _max_loss(value: Any) -> str:
    if value is False or (options.number(value) == "" and value > 0):
        return ""
    return f"expected nats a token, a number above 0, or false, found {value!r}"


def _pairs(value: Any) -> str:
    if value is False or (isinstance(value, str) and value in PAIRS):
        return ""
    wanted = "expected {similar: [[a, b], …], dissimilar: [[a, b], …]}, en, ko or false"
    if not isinstance(value, dict) or set(value) != {"similar", "dissimilar"}:
        return f"{wanted}, found {value!r}"
    for key, pairs in value.items():
        if not isinstance(pairs, list) or not pairs or len(pairs) > 50:
            return inside(f"{wanted}; each a list of 1 to 50 pairs", key)
        for number, pair in enumerate(pairs):
            texts = isinstance(pair, list) and all(isinstance(t, str) and t for t in pair)
            if not texts or len(pair) != 2:
                return inside(f"a pair is two texts, found {pair!r}", key, number)
    return ""


def _named_inputs(value: Any) -> str:
    tensors = isinstance(value, dict) and not {"shape", "value"} & set(value)
    if not tensors or any(isinstance(part, (str, bool)) for part in value.values()):
        return f"expected shapes or values by the inputs' names, found {value!r}"
    return inputs.problem(value)


_CODING: Mapping[str, Rule] = {
    "dataset": options.texts,
    "images": options.between(1, 64),
    "size": _codec_size,
    "input_range": inputs.interval,
    **dict.fromkeys(("min_psnr", "min_ssim", "max_lpips", "max_bpp"), options.number),
}
_CLASS: Mapping[str, Rule] = {"class_path": class_names.problem, "args": _args, "paths": _paths}


class BuiltInProbe(NamedTuple):
    """One of fetch's own probes: its module in `verify/probes/`, and the rules of its options.

    Of each group in `needed`, one option must be there.
    """

    module: str
    rules: Mapping[str, Rule]
    needed: tuple[tuple[str, ...], ...] = ()


BUILT_IN: Mapping[str, BuiltInProbe] = {
    "causal-lm": BuiltInProbe(
        "causal_lm",
        {
            "base": options.text,
            "prompt": options.text,
            "new_tokens": options.positive,
            "text": options.text,
            "max_loss": _max_loss,
            "parameters": options.count,
        },
    ),
    "class": BuiltInProbe(
        "class_probe",
        {
            **_CLASS,
            "checkpoint": options.texts,
            "key": options.text,
            "inputs": inputs.problem,
            "image": options.text,
            "size": inputs.size,
            "call": _call,
            "outputs": inputs.shapes_problem,
            "output_range": inputs.interval,
        },
        (("class_path",), ("inputs", "image")),
    ),
    "compression": BuiltInProbe(
        "compression",
        {
            **_CLASS,
            "checkpoint": options.text,
            "key": options.text,
            "interface": _interface,
            "codebook_size": options.between(2, 2**31),
            "parameters": options.count,
            **_CODING,
        },
        (("class_path",),),
    ),
    "diffusion": BuiltInProbe(
        "diffusion",
        {
            **dict.fromkeys(("prompt", "negative_prompt", "variant"), options.text),
            "steps": options.between(1, 200),
            "size": _pipeline_size,
            "guidance_scale": options.number,
            "max_tokens": options.between(1, 4096),
            "parameters": options.count,
            "cpu_offload": options.one_of(*OFFLOADS),
            "quantize": options.one_of(*QUANTIZATIONS),
            **dict.fromkeys(("attention_slicing", "vae_slicing", "vae_tiling"), options.flag),
        },
    ),
    "diffusion-part": BuiltInProbe(
        "diffusion_part",
        {
            "kind": options.one_of(*PARTS),
            "base": options.text,
            "files": options.texts,
            "parameters": options.count,
        },
    ),
    "gguf": BuiltInProbe(
        "gguf",
        {
            "files": options.texts,
            "architecture": options.text,
            "quantization": options.text,
            "parameters": options.count,
            "prompt": options.text,
            "new_tokens": options.between(1, 64),
        },
    ),
    "image-dataset": BuiltInProbe(
        "image_dataset",
        {
            "files": options.texts,
            "sample": options.between(1, 10**9),
            "size": inputs.size,
            "mode": options.texts,
            "format": options.texts,
            "numbering": _numbering,
            "count": options.count,
            "duplicates": options.flag,
        },
    ),
    "mtcnn": BuiltInProbe(
        "mtcnn",
        {**dict.fromkeys(("pnet", "rnet", "onet"), options.text), "face": options.flag},
    ),
    # Declares that there is nothing to prove; it is never run.
    NONE: BuiltInProbe("", {"reason": options.text}, (("reason",),)),
    "onnx": BuiltInProbe(
        "onnx",
        {
            "files": options.texts,
            "inputs": _named_inputs,
            "outputs": inputs.shapes_problem,
            "output_range": inputs.interval,
            "parameters": options.count,
        },
    ),
    "sentence-transformer": BuiltInProbe(
        "sentence_transformer",
        {
            "dimension": options.positive,
            "pairs": _pairs,
            "pooling": options.one_of(*POOLINGS),
            "max_seq_length": options.positive,
            "parameters": options.count,
        },
    ),
    "state-dict": BuiltInProbe(
        "state_dict",
        {
            "files": options.texts,
            "key": options.text,
            "nonfinite": options.texts,
            "index": options.flag,
            "keys": options.texts,
            "shapes": _shapes,
            "parameters": options.count,
            "tensors": options.count,
            "dtype": _tensor_types,
        },
    ),
    "stylegan": BuiltInProbe(
        "stylegan",
        {
            "generator": options.texts,
            "discriminator": options.texts,
            "key": options.text,
            "resolution": _resolution,
            "label": options.whole,
            "embedding": options.whole,
            "images": options.between(2, 16),
            "trunc_psi": _psi,
            "trunc_layers": options.between(1, 18),
            **_CLASS,
        },
    ),
    "transformers": BuiltInProbe(
        "transformers_task",
        {
            "task": options.one_of(*TASKS),
            "text": options.text,
            "image": options.text,
            "known": options.flag,
            "parameters": options.count,
        },
    ),
    "ultralytics": BuiltInProbe(
        "ultralytics",
        {
            "files": options.texts,
            "classes": options.whole,
            "size": _network_size,
            "parameters": options.count,
        },
    ),
    "vision-encoder": BuiltInProbe(
        "vision_encoder",
        {
            "image": options.text,
            "texts": options.texts,
            "match": options.whole,
            "dimension": options.count,
            "parameters": options.count,
        },
    ),
    "vision-language": BuiltInProbe(
        "vision_language",
        {
            "prompt": options.text,
            "new_tokens": options.between(1, 256),
            "image": options.text,
            "template": _template,
            "parameters": options.count,
        },
    ),
    "vqgan": BuiltInProbe(
        "vqgan",
        {
            "files": options.texts,
            "key": options.text,
            "codebook_size": options.whole,
            "embedding_dim": options.positive,
            "downsample_factor": options.positive,
            "parameters": options.count,
            "face": options.flag,
            **_CODING,
        },
    ),
}


def problems_of(kind: str, given: ProbeOptions) -> list[Problem]:
    """Return all that is wrong with the options of one of fetch's own probes."""
    lacking = [
        Problem(" or ".join(group), "is needed")
        for group in BUILT_IN[kind].needed
        if not any(name in given for name in group)
    ]
    return options.check_options(given, BUILT_IN[kind].rules) + lacking
