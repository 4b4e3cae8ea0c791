"""Small files that real loaders accept, written with the standard library alone."""

from __future__ import annotations

import io
import json
import math
import pickle
import random
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

HIDDEN, LAYERS, HEADS, INNER, BYTES_VOCAB, POSITIONS = 32, 2, 4, 64, 384, 130
END = "<|endoftext|>"
Shapes = dict[str, tuple[int, ...]]


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def safetensors(shapes: Mapping[str, tuple[int, ...]], seed: str, half: bool = False) -> bytes:
    """Weights of the given shapes: norms are ones, biases zeros, the rest seeded noise."""
    width, code, dtype = (2, "e", "F16") if half else (4, "f", "F32")
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, shape in shapes.items():
        numbers = _numbers(name, math.prod(shape), seed)
        start = len(body)
        body += struct.pack(f"<{len(numbers)}{code}", *numbers)
        offsets = [start, start + width * len(numbers)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def _numbers(name: str, count: int, seed: str) -> list[float]:
    if name.endswith("bias"):
        return [0.0] * count
    if "norm" in name.lower():
        return [1.0] * count
    noise = random.Random(f"{seed} {name}")
    return [noise.uniform(-0.1, 0.1) for _ in range(count)]


def torch_file(name: str, filler: int) -> bytes:
    """What `torch.load` reads as an empty dict, with `filler` bytes of data beside it."""
    stem = name.rpartition("/")[2].rpartition(".")[0]
    members = {
        "data.pkl": pickle.dumps({}, protocol=2),
        "byteorder": b"little",
        "data/0": random.Random(name).randbytes(filler),
        "version": b"3\n",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for member, body in members.items():
            archive.writestr(zipfile.ZipInfo(f"{stem}/{member}"), body)
    return out.getvalue()


# causal language models


def gpt_neox_shapes() -> Shapes:
    shapes: Shapes = {"gpt_neox.embed_in.weight": (BYTES_VOCAB, HIDDEN)}
    for i in range(LAYERS):
        layer = f"gpt_neox.layers.{i}"
        shapes |= _pair(f"{layer}.input_layernorm", HIDDEN)
        shapes |= _pair(f"{layer}.post_attention_layernorm", HIDDEN)
        shapes |= _pair(f"{layer}.attention.query_key_value", 3 * HIDDEN, HIDDEN)
        shapes |= _pair(f"{layer}.attention.dense", HIDDEN, HIDDEN)
        shapes |= _pair(f"{layer}.mlp.dense_h_to_4h", INNER, HIDDEN)
        shapes |= _pair(f"{layer}.mlp.dense_4h_to_h", HIDDEN, INNER)
    shapes |= _pair("gpt_neox.final_layer_norm", HIDDEN)
    shapes["embed_out.weight"] = (BYTES_VOCAB, HIDDEN)
    return shapes


def _pair(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def gpt_neox(seed: str, shards: int) -> dict[str, bytes]:
    """A GPT-NeoX with its weights in so many shards and an index."""
    shapes = list(gpt_neox_shapes().items())
    step = -(-len(shapes) // shards)
    files, placed = {}, {}
    for i in range(shards):
        name = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = dict(shapes[i * step : (i + 1) * step])
        files[name] = safetensors(part, seed, half=True)
        placed.update(dict.fromkeys(part, name))
    total = sum(2 * math.prod(shape) for _, shape in shapes)
    index = {"metadata": {"total_size": total}, "weight_map": placed}
    files["model.safetensors.index.json"] = as_json(index)
    files["config.json"] = as_json(
        {
            "architectures": ["GPTNeoXForCausalLM"],
            "model_type": "gpt_neox",
            "vocab_size": BYTES_VOCAB,
            "hidden_size": HIDDEN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "intermediate_size": INNER,
            "max_position_embeddings": 256,
            "rotary_pct": 0.5,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
        }
    )
    files["generation_config.json"] = as_json({"bos_token_id": 0, "eos_token_id": 0})
    return files


def lora(seed: str, base: str, rank: int = 8) -> dict[str, bytes]:
    """An adapter for `gpt_neox`: B is not zero, so that it visibly acts."""
    shapes: Shapes = {}
    for i in range(LAYERS):
        name = f"base_model.model.gpt_neox.layers.{i}.attention.query_key_value"
        shapes[f"{name}.lora_A.weight"] = (rank, HIDDEN)
        shapes[f"{name}.lora_B.weight"] = (3 * HIDDEN, rank)
    config = {
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": "gaussian",
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": rank,
        "revision": None,
        "target_modules": ["query_key_value"],
        "task_type": "CAUSAL_LM",
    }
    return {
        "adapter_config.json": as_json(config),
        "adapter_model.safetensors": safetensors(shapes, seed),
    }


def gemma2(seed: str) -> dict[str, bytes]:
    kv, width = 2, HIDDEN // HEADS
    shapes: Shapes = {"model.embed_tokens.weight": (BYTES_VOCAB, HIDDEN)}
    for i in range(LAYERS):
        layer = f"model.layers.{i}"
        for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            shapes[f"{layer}.{norm}_layernorm.weight"] = (HIDDEN,)
        shapes[f"{layer}.self_attn.q_proj.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{layer}.self_attn.k_proj.weight"] = (kv * width, HIDDEN)
        shapes[f"{layer}.self_attn.v_proj.weight"] = (kv * width, HIDDEN)
        shapes[f"{layer}.self_attn.o_proj.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{layer}.mlp.gate_proj.weight"] = (INNER, HIDDEN)
        shapes[f"{layer}.mlp.up_proj.weight"] = (INNER, HIDDEN)
        shapes[f"{layer}.mlp.down_proj.weight"] = (HIDDEN, INNER)
    shapes["model.norm.weight"] = (HIDDEN,)
    config = {
        "architectures": ["Gemma2ForCausalLM"],
        "model_type": "gemma2",
        "vocab_size": BYTES_VOCAB,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": kv,
        "head_dim": width,
        "query_pre_attn_scalar": width,
        "intermediate_size": INNER,
        "max_position_embeddings": 256,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    }
    return {
        "config.json": as_json(config),
        "generation_config.json": as_json({"bos_token_id": 0, "eos_token_id": 0}),
        "model.safetensors": safetensors(shapes, seed),
    }


def byte_tokenizer() -> dict[str, bytes]:
    """A byte-level BPE without merges: any text works, one token a byte."""
    vocab = {END: 0, **{letter: i + 1 for i, letter in enumerate(_byte_letters())}}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(0, END)],
        "normalizer": None,
        "pre_tokenizer": {**level, "use_regex": True},
        "post_processor": None,
        "decoder": {**level, "use_regex": True},
        "model": {"type": "BPE", "unk_token": None, "vocab": vocab, "merges": []},
    }
    special = {"bos_token": END, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {**special, "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 256}
    return {
        "tokenizer.json": as_json(tokenizer),
        "tokenizer_config.json": as_json(config),
        "special_tokens_map.json": as_json(special),
    }


def _byte_letters() -> list[str]:
    """The printable letter that byte-level BPE writes for each byte."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


def _added(number: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": content, **flags, "special": True}


# encoders

SPECIAL = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]


def words() -> list[str]:
    letters = [chr(c) for c in (*range(0x21, 0x7F), *range(0xAC00, 0xAC40))]
    return SPECIAL + letters + ["##" + letter for letter in letters if letter.isalnum()]


def roberta(seed: str, prefix: str, architecture: str) -> dict[str, bytes]:
    """A RoBERTa; `prefix` is put before every tensor's name."""
    size = len(words())
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (size, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (1, HIDDEN),
        **_pair("embeddings.LayerNorm", HIDDEN),
    }
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            shapes |= _pair(f"{layer}.attention.self.{part}", HIDDEN, HIDDEN)
        shapes |= _pair(f"{layer}.attention.output.dense", HIDDEN, HIDDEN)
        shapes |= _pair(f"{layer}.attention.output.LayerNorm", HIDDEN)
        shapes |= _pair(f"{layer}.intermediate.dense", INNER, HIDDEN)
        shapes |= _pair(f"{layer}.output.dense", HIDDEN, INNER)
        shapes |= _pair(f"{layer}.output.LayerNorm", HIDDEN)
    shapes |= _pair("pooler.dense", HIDDEN, HIDDEN)
    config = {
        "architectures": [architecture],
        "model_type": "roberta",
        "tokenizer_class": "BertTokenizer",
        "vocab_size": size,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-05,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }
    named = {prefix + name: shape for name, shape in shapes.items()}
    return {"config.json": as_json(config), "model.safetensors": safetensors(named, seed)}


def word_tokenizer(max_length: int) -> dict[str, bytes]:
    """A BERT WordPiece tokenizer, slow and fast form."""
    vocab = {word: i for i, word in enumerate(words())}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(i, token) for i, token in enumerate(SPECIAL)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": False,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 0]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    }
    special = {f"{token[1:-1].lower()}_token": token for token in SPECIAL}
    special |= {"bos_token": "[CLS]", "eos_token": "[SEP]"}
    config = {
        **special,
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": False,
        "model_max_length": max_length,
    }
    return {
        "tokenizer.json": as_json(tokenizer),
        "tokenizer_config.json": as_json(config),
        "special_tokens_map.json": as_json(special),
        "vocab.txt": ("\n".join(words()) + "\n").encode(),
    }


def sentence_transformer() -> dict[str, bytes]:
    """The small files that a sentence-transformers folder has besides the encoder's."""
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {
            "idx": 1,
            "name": "1",
            "path": "1_Pooling",
            "type": "sentence_transformers.models.Pooling",
        },
    ]
    pooling = {
        "word_embedding_dimension": HIDDEN,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    versions = {"sentence_transformers": "4.1.0", "transformers": "4.51.3", "pytorch": "2.6.0"}
    return {
        "1_Pooling/config.json": as_json(pooling),
        "config_sentence_transformers.json": as_json({"__version__": versions, "prompts": {}}),
        "eval/similarity_evaluation_valid_evaluator_results.csv": (
            b"epoch,steps,cosine_pearson,cosine_spearman\n1.0,-1,0.9,0.9\n"
        ),
        "modules.json": as_json(modules),
        "sentence_bert_config.json": as_json({"max_seq_length": 64, "do_lower_case": True}),
    }


# images


def jpeg(number: int, padding: int = 0) -> bytes:
    """A 256x256 RGB JPEG of one colour that names its number; `padding` makes it longer."""
    comment = f"image {number:06}".encode() + b"\0" * padding
    # one bit for "no difference", one for "end of block": all but the first unit are zeros
    bits = "".join(_first_block(level - 128) for level in _colour(number))
    bits += "00" * (3 * (32 * 32 - 1))
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    components = b"".join(bytes([i, 0x11, 0]) for i in (1, 2, 3))
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            _segment(0xFE, comment),
            _segment(0xDB, b"\0" + b"\x08" * 64),
            _segment(0xC0, struct.pack(">BHHB", 8, 256, 256, 3) + components),
            _segment(0xC4, b"\x00" + b"\1" * 9 + b"\0" * 7 + bytes(range(9))),
            _segment(0xC4, b"\x10" + b"\1" + b"\0" * 15 + b"\0"),
            _segment(0xDA, b"\3\1\0\2\0\3\0\0\x3f\0"),
            data,
            b"\xff\xd9",
        ]
    )


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _colour(number: int) -> tuple[int, int, int]:
    return 40 + number % 180, 40 + number // 180 % 180, 128 + number % 7


def _first_block(value: int) -> str:
    """The code of a block's mean: its width in unary, its bits, and the end of the block."""
    width = abs(value).bit_length()
    bits = value if value > 0 else value + (1 << width) - 1
    return "1" * width + "0" + (f"{bits:0{width}b}" if width else "") + "0"
