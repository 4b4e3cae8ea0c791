"""What a downloaded model's configuration may name: allow-lists of ours, by key.

Libraries import classes, follow paths and take switches by what these files say. A rule returns
why a value is refused, or "": what it lets through names classes of the libraries themselves, or
files inside the model's own folder. Keys without a rule may hold anything but the path of a class.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Rule = Callable[[Any], str]

OWN_CODE = "it runs code of the model's own repository"
ELSEWHERE = "it leads out of the model's folder, to what nobody has checked"
_KERNELS = "it has programs fetched from elsewhere and run"
_NO_CLASS = "it names no class of the libraries that load models"

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_SENTENCE_MODULE = re.compile(
    r"sentence_transformers\.(((base|sentence_transformer|sparse_encoder|cross_encoder"
    r"|multi_vector_encoder)\.(models|modules))|models)(\.\w+){0,2}\.[A-Z]\w*",
    re.ASCII,
)
_LIBRARY_CLASS = re.compile(
    r"(transformers|diffusers|sentence_transformers|peft|tokenizers)(\.\w+)*\.[A-Za-z]\w*"
    r"|torch\.nn\.(modules\.\w+\.)?[A-Z]\w*",
    re.ASCII,
)
_LAYER = re.compile(r"torch\.nn\.(modules\.\w+\.)?[A-Z]\w*", re.ASCII)
_PARENT = re.compile(r"(transformers|diffusers|sentence_transformers|timm)(\.\w+)*", re.ASCII)
_METHOD = re.compile(r"forward|get_\w+_(features|embeds|embeddings)|encode_(text|image)", re.ASCII)
# A class that `from_pretrained` of a processor or tokenizer may be asked of.
_PROCESSOR = re.compile(
    r"[A-Z]\w*(Tokenizer|TokenizerFast|Backend|Processor|ProcessorFast|ProcessorPil"
    r"|ProcessorWithLM|FeatureExtractor)",
    re.ASCII,
)
_ATTENTION = re.compile(
    r"(paged[|_])?(eager|sdpa|flex_attention|flash_attention(_[2-9])?|math|native)"
    r"|grouped_mm|batched_mm|deepgemm",
    re.ASCII,
)
# The parts of diffusers that pipelines' indexes name beside the two libraries.
LIBRARIES = frozenset({"diffusers", "transformers"})
PIPELINE_PARTS = frozenset(
    {"audioldm2", "deepfloyd_if", "kandinsky", "latent_diffusion", "paint_by_example", "shap_e"}
    | {"stable_audio", "stable_cascade", "stable_diffusion", "stable_diffusion_safe", "unclip"}
    | {"unidiffuser", "wuerstchen", "ltx", "ltx2", "flux", "hidream_image", "bria", "pag"}
)
_LOADED = ("model", "tokenizer", "processor", "config")
# Arguments of `from_pretrained` that a configuration may set for itself.
_ARGUMENTS = frozenset(
    {"add_pooling_layer", "add_prefix_space", "attn_implementation", "clean_up_tokenization_spaces"}
    | {"default_task", "do_lower_case", "dtype", "fix_mistral_regex", "hidden_dropout_prob"}
    | {"ignore_mismatched_sizes", "is_decoder", "legacy", "lora_main_params_trainable"}
    | {"low_cpu_mem_usage", "max_length", "max_pixels", "max_position_embeddings", "min_pixels"}
    | {"model_max_length", "num_labels", "output_attentions", "output_hidden_states", "padding"}
    | {"padding_side", "return_token_type_ids", "revision", "rope_scaling", "torch_dtype"}
    | {"trust_remote_code", "truncation", "truncation_side", "unpad_inputs", "use_cache"}
    | {"use_fast", "use_flash_attn", "use_memory_efficient_attention", "use_reentrant"}
)


def _never(value: Any) -> str:
    return OWN_CODE if value else ""


def _remote_code(value: Any) -> str:
    return "it lets code of the model's own repository run" if value else ""


def _no_kernels(value: Any) -> str:
    return _KERNELS if value else ""


def _safely(value: Any) -> str:
    return "" if value is True or value is None else "it lets pickles run code"


def place(value: Any) -> str:
    """Rule: a path inside the model's folder, or nothing."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        return ELSEWHERE
    parts = re.split(r"[/\\]", value)
    outside = value.startswith(("/", "\\", "~")) or ":" in value or ".." in parts or "\0" in value
    return ELSEWHERE if outside else ""


def _no_file_elsewhere(value: Any) -> str:
    """Rule: no file outside the folder; many a path leads to the machine that made the model."""
    if isinstance(value, list):
        return next(filter(None, map(_no_file_elsewhere, value)), "")
    there = isinstance(value, str) and "\0" not in value and os.path.lexists(value)
    return place(value) if there else ""


def _nowhere(value: Any) -> str:
    return ELSEWHERE if value else ""


def _backbone(value: Any) -> str:
    return ELSEWHERE if isinstance(value, str) and re.search(r"[/\\:~]", value) else ""


def _every(check: Callable[[str], object], why: str) -> Rule:
    """Return the rule: a text that passes, a list or table of them, or what is no text."""

    def rule(value: Any) -> str:
        if isinstance(value, dict):
            return next(filter(None, map(rule, value.values())), "")
        if isinstance(value, list):
            return next(filter(None, map(rule, value)), "")
        return why if isinstance(value, str) and value and not check(value) else ""

    return rule


def _processor(value: str) -> bool:
    return bool(_PROCESSOR.fullmatch(value) or _SENTENCE_MODULE.fullmatch(value))


def _activation(value: str) -> bool:
    return ("." not in value and "/" not in value) or bool(_LAYER.fullmatch(value))


def _attention(value: str) -> bool:
    return _ATTENTION.fullmatch(value) is not None


def _mapping_of_classes(value: Any) -> str:
    """Rule for PEFT's `auto_mapping`, which names a class and the module to import it from."""
    if not value:
        return ""
    if not isinstance(value, dict):
        return _NO_CLASS
    parent, name = value.get("parent_library"), value.get("base_model_class")
    sound = parent is None or (isinstance(parent, str) and _PARENT.fullmatch(parent))
    known = name is None or (isinstance(name, str) and _NAME.fullmatch(name))
    return "" if sound and known else _NO_CLASS


def _megatron(value: Any) -> str:
    return "" if value in (None, "megatron.core") else "it has a module of its choice imported"


def _arguments(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, dict):
        return "it is no table of arguments"
    odd = sorted(str(key) for key in value if key not in _ARGUMENTS)
    return f"it sets {', '.join(odd)} for the library that loads it" if odd else ""


def router_refusal(value: Any) -> str:
    """Rule for `types` of a router: the classes of its parts, by the folders that they are in."""
    if not isinstance(value, dict):
        return ""
    outside = next(filter(None, map(place, value)), "")
    return outside or _SENTENCE(value)


_SENTENCE = _every(_SENTENCE_MODULE.fullmatch, _NO_CLASS)
_PROCESSORS = _every(_processor, _NO_CLASS)
_CLASSES = _every(_NAME.fullmatch, _NO_CLASS)
_SHARDS = _every(lambda value: not place(value), ELSEWHERE)

RULES: Mapping[str, Rule] = {
    "trust_remote_code": _remote_code,
    "custom_pipeline": _never,
    "custom_pipelines": _never,
    "custom_generate": _never,
    "use_kernels": _no_kernels,
    "kernel_config": _no_kernels,
    "weights_only": _safely,
    "auto_mapping": _mapping_of_classes,
    "megatron_core": _megatron,
    "megatron_config": _never,
    "architectures": _CLASSES,
    "_class_name": _CLASSES,
    "_blocks_class_name": _CLASSES,
    "processor_class": _PROCESSORS,
    "image_processor_type": _PROCESSORS,
    "image_processor_class": _PROCESSORS,
    "feature_extractor_type": _PROCESSORS,
    "feature_extractor_class": _PROCESSORS,
    "video_processor_type": _PROCESSORS,
    "video_processor_class": _PROCESSORS,
    "audio_processor_type": _PROCESSORS,
    "weight_map": _SHARDS,
    "tokenizer_name_or_path": _nowhere,
    "prompt_tuning_init_state_dict_path": _nowhere,
    "subfolder": place,
    "file_name": place,
    "gguf_file": place,
    "backbone": _backbone,
    "architecture": _backbone,
    **dict.fromkeys(
        (f"{of}_{what}" for what in ("args", "kwargs") for of in _LOADED),
        _arguments,
    ),
}
# Those whose keys have many spellings, by how they end.
_PATTERNS: tuple[tuple[re.Pattern[str], Rule], ...] = (
    (re.compile(r"(\w+_)?tokenizer_class"), _PROCESSORS),
    # Tokenizers open these as they stand, before those in the folder.
    (re.compile(r"\w+_files?|(source|target)_spm"), _no_file_elsewhere),
    (
        re.compile(r"_?(\w+_)?(attn|attention|experts)_implementation(_\w+)?"),
        _every(_attention, _KERNELS),
    ),
    (
        re.compile(r"\w*activation(_function|_fn|_func)?(_\w+)?|hidden_act"),
        _every(_activation, _NO_CLASS),
    ),
)
# Texts and numbers that people wrote, in which nothing is a switch.
TABLES = frozenset({"id2label", "label2id", "prompts", "vocab", "added_tokens_decoder"})
_CLASS_KEY = re.compile(
    r"(\w*_)?(class|cls|class_name|class_path|type|fn|func|function|callable|factory|module|library"
    r"|pipeline)",
    re.IGNORECASE,
)


def refusal(key: str, value: Any) -> str:
    """Say why a configuration may not have this value for this key; "" if it may."""
    if key in RULES:
        return RULES[key](value)
    for pattern, rule in _PATTERNS:
        if pattern.fullmatch(key):
            return rule(value)
    if _CLASS_KEY.fullmatch(key) and key != "model_type" and isinstance(value, str):
        dotted = _DOTTED.fullmatch(value) or value.endswith(".py")
        return _NO_CLASS if dotted and not _LIBRARY_CLASS.fullmatch(value) else ""
    return ""


def module_refusal(value: Any) -> str:
    """Say why modules.json of sentence-transformers may not name this class."""
    return _SENTENCE(value)


def part_refusal(made_of: Any) -> str:
    """Say why a pipeline's index may not have a part made of this: a library and its class."""
    if not isinstance(made_of, list) or not made_of or made_of[0] is None:
        return ""
    sound = len(made_of) in (2, 3) and all(isinstance(one, str) for one in made_of[:2])
    known = sound and made_of[0] in LIBRARIES | PIPELINE_PARTS
    return "" if known and _NAME.fullmatch(made_of[1]) else OWN_CODE
