"""What a language model's GGUF file must say of itself, and whether its tensors agree.

Each function returns complaints in words, none if all is well. Only what holds for every model of
the kind is judged: families that vary from block to block are judged by less.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fetcher.verify.weights.gguf_header import Array, is_texts, is_whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fetcher.verify.weights.gguf_header import GgufTensor, Value

    Metadata = Mapping[str, Value]
    Tensors = Mapping[str, GgufTensor]

# Families whose blocks all have the same tensors, and one number of heads.
_UNIFORM = frozenset(
    [
        "llama",
        "qwen2",
        "qwen3",
        "gemma",
        "gemma2",
        "phi2",
        "gptneox",
        "falcon",
        "starcoder",
        "starcoder2",
        "stablelm",
        "gpt2",
        "bloom",
        "mpt",
        "bert",
        "internlm2",
        "olmo",
        "olmo2",
    ]
)
# Of these, the width of the feed-forward net is that of ffn_up.
_PLAIN_FEED_FORWARD = _UNIFORM - {"falcon"}
_NEEDED = ("context_length", "embedding_length", "block_count")
_EPSILONS = ("layer_norm_rms_epsilon", "layer_norm_epsilon", "group_norm_epsilon")
_BLOCK = re.compile(r"(blk|enc\.blk|dec\.blk)\.(\d+)\.(.+)")
# What each of their blocks has, under one of these beginnings.
_PARTS = (
    ("attn_v.", "attn_qkv."),
    ("attn_output.",),
    ("ffn_up", "ffn_gate_up"),
    ("ffn_down",),
)
_NO_LAST_NORM = ("bert", "olmo")
_EMBEDDING, _OUTPUT, _LAST_NORM = "token_embd.weight", "output.weight", "output_norm.weight"
_AS_WIDE = re.compile(r"(blk\.\d+\.(attn|ffn)_norm|output_norm|token_embd_norm|output)\.weight")
_LARGEST_EPSILON = 0.1
_HALF = re.compile(r"\.lora_[ab]$")
_FEED_FORWARD = ("ffn_up.weight", "ffn_gate.weight", "ffn_down.weight")
_BY_HEADS = ("attn_q.weight", "attn_k.weight", "attn_v.weight")
_SHOWN = 5
_IDS = ("bos", "eos", "padding", "unknown", "separator", "mask", "eot", "eom")


def is_language_model(metadata: Metadata, tensors: Tensors) -> bool:
    """Tell whether a file is a language model as llama.cpp loads it, or its first part."""
    if metadata.get("general.type", "model") != "model":
        return False
    return _EMBEDDING in tensors or "tokenizer.ggml.model" in metadata


def writes_text(metadata: Metadata, tensors: Tensors) -> bool:
    """Tell whether a language model continues texts; others, such as BERT, give vectors alone."""
    arch = architecture_of(metadata)
    vectors = arch.endswith("bert") or arch == "t5encoder" or f"{arch}.pooling_type" in metadata
    return is_language_model(metadata, tensors) and not vectors


def architecture_of(metadata: Metadata) -> str:
    """Return the name of the architecture, '' if the file tells none."""
    found = metadata.get("general.architecture")
    return found if isinstance(found, str) else ""


def keys(metadata: Metadata) -> list[str]:
    """Complain of keys of the architecture that are missing, or make no sense."""
    arch = architecture_of(metadata)
    if not arch:
        return ["general.architecture is missing"]
    told = []
    for short in _NEEDED:
        value = metadata.get(f"{arch}.{short}")
        if value is None:
            told.append(f"{arch}.{short} is missing")
        elif not is_whole_number(value) or not 0 < value < 2**31:
            told.append(f"{arch}.{short} is {_shown(value)}")
    epsilons = [metadata.get(f"{arch}.attention.{name}") for name in _EPSILONS]
    given = [value for value in epsilons if value is not None]
    if not given:
        told.append(f"{arch}.attention.{_EPSILONS[0]} is missing")
    told += [
        f"the epsilon of the norms is {_shown(value)}"
        for value in given
        if not isinstance(value, float) or not 0 <= value <= _LARGEST_EPSILON
    ]
    return told + _heads(metadata, arch)


def _heads(metadata: Metadata, arch: str) -> list[str]:
    told = []
    heads = metadata.get(f"{arch}.attention.head_count")
    of_keys = metadata.get(f"{arch}.attention.head_count_kv", heads)
    if arch in _UNIFORM and heads is None:
        return [f"{arch}.attention.head_count is missing"]
    if is_whole_number(heads) and is_whole_number(of_keys):
        if arch in _UNIFORM and not (heads > 0 and of_keys > 0):
            told.append(f"{_shown(heads)} heads, {_shown(of_keys)} of keys and values")
        elif of_keys > 0 and heads % of_keys:
            told.append(
                f"{_shown(heads)} heads cannot share {_shown(of_keys)} heads of keys and values"
            )
    turned = metadata.get(f"{arch}.rope.dimension_count")
    width = metadata.get(f"{arch}.embedding_length")
    size = metadata.get(f"{arch}.attention.key_length")
    if not is_whole_number(size) and is_whole_number(width) and is_whole_number(heads) and heads:
        size = width // heads
    if arch in _UNIFORM and is_whole_number(turned) and is_whole_number(size) and turned > size:
        told.append(f"{arch}.rope.dimension_count is {turned}, a head has {size}")
    base = metadata.get(f"{arch}.rope.freq_base")
    if base is not None and not (isinstance(base, float) and base > 0):
        told.append(f"{arch}.rope.freq_base is {_shown(base)}")
    return told


def blocks(metadata: Metadata, tensors: Tensors) -> list[str]:
    """Complain of blocks that are missing, too many, or lack a tensor that the others have."""
    arch = architecture_of(metadata)
    found: dict[str, dict[int, set[str]]] = {}
    for name in tensors:
        match = _BLOCK.fullmatch(name)
        if match:
            found.setdefault(match[1], {}).setdefault(int(match[2]), set()).add(match[3])
    told = []
    for kind, parts in found.items():
        key = "decoder_block_count" if kind == "dec.blk" else "block_count"
        announced = metadata.get(f"{arch}.{key}", metadata.get(f"{arch}.block_count"))
        if is_whole_number(announced):
            told += _missing_blocks(kind, announced, parts, metadata, arch)
        if arch in _UNIFORM:
            told += _uneven(kind, parts) or _without_a_part(kind, parts)
    if not found and arch in _UNIFORM:
        told.append("it has no block (blk.0. …)")
    if arch in _UNIFORM:
        needed = [_EMBEDDING] if arch in _NO_LAST_NORM else [_EMBEDDING, _LAST_NORM]
        told += [f"{name} is missing" for name in needed if name not in tensors]
    return told


def _missing_blocks(
    kind: str, announced: int, parts: Mapping[int, set[str]], metadata: Metadata, arch: str
) -> list[str]:
    told = []
    found = metadata.get(f"{arch}.nextn_predict_layers", 0)
    extra = found if is_whole_number(found) else 0  # those may be there, counted or not
    if max(parts) >= announced + extra:
        told.append(f"there is {kind}.{max(parts)}, block_count is {announced}")
    needed = announced - extra
    # With a number of heads for each block, some have neither attention nor feed-forward net.
    if not isinstance(metadata.get(f"{arch}.attention.head_count"), Array):
        absent = len(set(range(min(needed, max(parts) + 1))) - set(parts))
        absent += max(0, needed - max(parts) - 1)
        if absent:
            first = next(n for n in range(needed) if n not in parts)
            told.append(f"{absent} of {announced} blocks are missing, first {kind}.{first}")
    return told


def _uneven(kind: str, parts: Mapping[int, set[str]]) -> list[str]:
    every: set[str] = set().union(*parts.values())
    counted = {name: sum(name in part for part in parts.values()) for name in every}
    lacking = sorted(
        f"{kind}.{number}.{name}"
        for name, count in counted.items()
        if 2 * count > len(parts) > count
        for number, part in parts.items()
        if name not in part
    )
    return [f"{len(lacking)} tensors are missing: {_listed(lacking)}"] if lacking else []


def _without_a_part(kind: str, parts: Mapping[int, set[str]]) -> list[str]:
    every: set[str] = set().union(*parts.values())
    lacking = [words[0] for words in _PARTS if not any(name.startswith(words) for name in every)]
    return [f"no block ({kind}) has {' and '.join(lacking)}…"] if lacking else []


def shapes(metadata: Metadata, tensors: Tensors) -> list[str]:
    """Complain of tensors whose shapes contradict the metadata."""
    arch = architecture_of(metadata)
    width = metadata.get(f"{arch}.embedding_length")
    if not is_whole_number(width):
        return []
    told = []
    embedding = tensors.get(_EMBEDDING)
    # Where features are given beside the width, they are what the embedding is made of.
    featured = f"{arch}.features_length" in metadata
    if embedding is not None and not featured and list(embedding.shape[:1]) != [width]:
        told.append(f"{_EMBEDDING} is {list(embedding.shape)}, embedding_length is {width}")
    if arch in _UNIFORM:
        told += [
            f"{name} is {list(one.shape)}, embedding_length is {width}"
            for name, one in tensors.items()
            if _AS_WIDE.fullmatch(name) and list(one.shape[:1]) != [width]
        ]
        told += [line for name in tensors for line in _of_block(name, metadata, tensors, arch)]
    return told


def _of_block(name: str, metadata: Metadata, tensors: Tensors, arch: str) -> list[str]:
    match, shape = _BLOCK.fullmatch(name), tensors[name].shape
    if match is None or len(shape) != 2:
        return []
    width, inner = (
        metadata.get(f"{arch}.{k}") for k in ("embedding_length", "feed_forward_length")
    )
    short = match[3]
    wrong = ""
    if short in (*_BY_HEADS, "attn_qkv.weight", "ffn_up.weight"):
        wrong = "" if shape[0] == width else f"embedding_length is {width}"
    elif short in ("attn_output.weight", "ffn_down.weight"):
        wrong = "" if shape[1] == width else f"embedding_length is {width}"
    if short in _FEED_FORWARD and arch in _PLAIN_FEED_FORWARD and is_whole_number(inner):
        side = shape[0] if short == "ffn_down.weight" else shape[1]
        wrong = wrong or ("" if side == inner else f"feed_forward_length is {inner}")
    if short in _BY_HEADS:
        wrong = wrong or _of_heads(short, shape[1], metadata, arch)
    return [f"{name} is {list(shape)}, {wrong}"] if wrong else []


def _of_heads(short: str, rows: int, metadata: Metadata, arch: str) -> str:
    heads = metadata.get(f"{arch}.attention.head_count")
    count = (
        heads
        if short == "attn_q.weight"
        else metadata.get(f"{arch}.attention.head_count_kv", heads)
    )
    if not (is_whole_number(heads) and is_whole_number(count) and heads > 0):
        return ""
    length = "value_length" if short == "attn_v.weight" else "key_length"
    size = metadata.get(f"{arch}.attention.{length}")
    width = metadata.get(f"{arch}.embedding_length")
    if not is_whole_number(size):
        size = width // heads if is_whole_number(width) else 0
    wanted = count * size
    return "" if rows == wanted else f"{_shown(count)} heads need {wanted} rows"


def adapter(metadata: Metadata, tensors: Tensors) -> list[str]:
    """Complain of halves of a LoRA that are missing, or of different ranks."""
    if metadata.get("adapter.type") != "lora":
        return []
    told = []
    halves = {name.rpartition(".")[0]: name for name in tensors if _HALF.search(name)}
    for stem in halves:
        first, second = (f"{stem}.lora_{end}" for end in "ab")
        told += [f"{name} is missing" for name in (first, second) if name not in tensors]
        # The embedding's first half stands on its side.
        if first in tensors and second in tensors and stem != _EMBEDDING:
            one, other = tensors[first].shape, tensors[second].shape
            if one[1:] != other[:1]:
                told.append(f"{first} is {list(one)}, {second} {list(other)}")
    alpha = metadata.get("adapter.lora.alpha")
    if not isinstance(alpha, float) or not 0 < abs(alpha) < float("inf"):
        told.append(f"adapter.lora.alpha is {_shown(alpha)}")
    return told


def tokenizer(metadata: Metadata, tensors: Tensors) -> list[str]:
    """Complain of a tokenizer that is missing, incomplete, or does not fit the embedding."""
    kind = metadata.get("tokenizer.ggml.model")
    if not isinstance(kind, str):
        return ["tokenizer.ggml.model is missing"]
    if kind in ("no_vocab", "none"):
        return []
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not is_texts(tokens):
        return ["tokenizer.ggml.tokens is missing, or no array of texts"]
    told = [
        f"tokenizer.ggml.{name} has {value.length:,} elements, there are {tokens.length:,} tokens"
        for name in ("scores", "token_type")
        if isinstance(value := metadata.get(f"tokenizer.ggml.{name}"), Array)
        and value.length != tokens.length
    ]
    if kind == "gpt2" and not is_texts(metadata.get("tokenizer.ggml.merges")):
        told.append("tokenizer.ggml.merges is missing: a byte-pair tokenizer needs it")
    for name in _IDS:
        key = f"tokenizer.ggml.{name}_token_id"
        value = metadata.get(key)
        # What stands for none is -1, which some writers store without a sign.
        if is_whole_number(value) and not (value < tokens.length or value == 2**32 - 1):
            told.append(f"{key} is {value}, there are {tokens.length:,} tokens")
    told += [
        f"{name} has {tensors[name].shape[1]:,} rows, there are {tokens.length:,} tokens"
        for name in (_EMBEDDING, _OUTPUT)
        if name in tensors and len(tensors[name].shape) == 2
        if name == _EMBEDDING or architecture_of(metadata) in _UNIFORM
        if tensors[name].shape[1] != tokens.length
    ]
    return told


def _shown(value: Value | None) -> str:
    return f"an array of {value.length:,}" if isinstance(value, Array) else repr(value)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
