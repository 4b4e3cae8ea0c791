"""GGUF files, which the `gguf` probe reads."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from fetcher.verify import ProbeRequest

from tests.verify.probing import request
from tests.verify.wrong import Case

WIDTH, HEADS, KV, INNER, BLOCKS, WORDS = 64, 4, 2, 128, 3, 300
Q8 = gguf.GGMLQuantizationType.Q8_0
Q4 = gguf.GGMLQuantizationType.Q4_0
Tensors = dict[str, np.ndarray[Any, Any]]
PROMPT = "abcdefghijklmnop"


@lru_cache
def tensors() -> Tensors:
    source = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> np.ndarray[Any, Any]:
        drawn: np.ndarray[Any, Any] = source.normal(0, 0.02, (rows, columns)).astype("float32")
        return drawn

    # It has learnt one thing: after each token comes the next one of the vocabulary.
    words: np.ndarray[Any, Any] = 50 * matrix(WORDS, WIDTH)
    made = {
        "token_embd.weight": words,
        "output_norm.weight": np.ones(WIDTH, "float32"),
        "output.weight": np.roll(words, 1, axis=0) / 4,
    }
    for n in range(BLOCKS):
        key = WIDTH // HEADS * KV
        made[f"blk.{n}.attn_norm.weight"] = np.ones(WIDTH, "float32")
        made[f"blk.{n}.attn_q.weight"] = matrix(WIDTH, WIDTH)
        made[f"blk.{n}.attn_k.weight"] = matrix(key, WIDTH)
        made[f"blk.{n}.attn_v.weight"] = matrix(key, WIDTH)
        made[f"blk.{n}.attn_output.weight"] = matrix(WIDTH, WIDTH)
        made[f"blk.{n}.ffn_norm.weight"] = np.ones(WIDTH, "float32")
        made[f"blk.{n}.ffn_gate.weight"] = matrix(INNER, WIDTH)
        made[f"blk.{n}.ffn_up.weight"] = matrix(INNER, WIDTH)
        made[f"blk.{n}.ffn_down.weight"] = matrix(WIDTH, INNER)
    return made


def tokens() -> list[str]:
    """As SentencePiece has them: marks, all bytes, and words."""
    words = [f"▁word{n}" for n in range(WORDS - 259)]
    return ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), *words]


def keys(writer: gguf.GGUFWriter) -> None:
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens())
    writer.add_token_scores([0.0] * WORDS)
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * (WORDS - 259)])
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for one in messages %}{{ one.content }}{% endfor %}")


def write(
    file: Path,
    quantized: Any = Q8,
    held: Tensors | None = None,
    arch: str = "llama",
    say: Callable[[gguf.GGUFWriter], None] = keys,
    **kept: Any,
) -> None:
    """A file of the public writer; the matrices are of the type `quantized`, None: float32."""
    writer = gguf.GGUFWriter(file, arch, **kept)
    say(writer)
    for name, values in (tensors() if held is None else held).items():
        if quantized is not None and values.ndim == 2:
            packed = gguf.quants.quantize(values, quantized)
            writer.add_tensor(name, packed, raw_dtype=quantized)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file(file)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _made(folder: Path, **how: Any) -> ProbeRequest:
    folder.mkdir()
    write(folder / "m.gguf", **how)
    return request("gguf", folder, prompt=PROMPT)


def whole(folder: Path) -> ProbeRequest:
    return _made(folder)


def edited(edit: Callable[[bytearray], bytearray | None]) -> Callable[[Path], ProbeRequest]:
    """The right file with other bytes."""

    def make(folder: Path) -> ProbeRequest:
        made = whole(folder)
        data = bytearray((folder / "m.gguf").read_bytes())
        changed = edit(data)
        (folder / "m.gguf").write_bytes(data if changed is None else changed)
        return made

    return make


def held(change: Callable[[Tensors], object], **how: Any) -> Callable[[Path], ProbeRequest]:
    """A file of other tensors."""

    def make(folder: Path) -> ProbeRequest:
        other = {name: values.copy() for name, values in tensors().items()}
        change(other)
        return _made(folder, held=other, **how)

    return make


def said(change: Callable[[gguf.GGUFWriter], object]) -> Callable[[Path], ProbeRequest]:
    """A file that says something else after all that is right; the last word counts."""

    def make(folder: Path) -> ProbeRequest:
        def say(writer: gguf.GGUFWriter) -> None:
            keys(writer)
            change(writer)

        return _made(folder, say=say)

    return make


def _forget(name: str) -> Callable[[gguf.GGUFWriter], object]:
    return lambda writer: writer.kv_data[0].pop(name)


def _put(name: str, value: Any) -> Callable[[gguf.GGUFWriter], object]:
    def change(writer: gguf.GGUFWriter) -> None:
        writer.kv_data[0][name].value = value

    return change


def _tensor_entry(data: bytearray, name: str) -> tuple[int, int]:
    """Where the type and the offset of a tensor stand in the table."""
    place = data.index(struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", 2))
    place += 8 + len(name) + 4 + 16
    return place, place + 4


def _shifted(by: int) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        _, place = _tensor_entry(data, "blk.1.ffn_up.weight")
        (offset,) = struct.unpack_from("<Q", data, place)
        struct.pack_into("<Q", data, place, offset + by)

    return edit


def _typed(number: int) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        struct.pack_into("<I", data, _tensor_entry(data, "blk.1.ffn_up.weight")[0], number)

    return edit


def _infinite_scale(data: bytearray) -> None:
    data[-34:-32] = b"\x00\x7c"  # the scale of the last block of Q8_0


def _other_numbers(data: bytearray) -> None:
    for place in range(len(data) - 34 * 8, len(data), 34):
        data[place + 2 : place + 34] = bytes(reversed(data[place + 2 : place + 34]))


def _zeros_behind(data: bytearray) -> None:
    data[-12_000:] = bytes(12_000)


def _parts(folder: Path) -> ProbeRequest:
    folder.mkdir()
    write(folder / "m.gguf", split_max_tensors=12)
    assert not (folder / "m.gguf").exists()
    return request("gguf", folder, prompt=PROMPT)


def _without_a_part(folder: Path) -> ProbeRequest:
    _parts(folder)
    sorted(folder.iterdir())[1].unlink()
    return request("gguf", folder)


def _parts_exchanged(folder: Path) -> ProbeRequest:
    made = _parts(folder)
    _, second, third = sorted(folder.iterdir())
    second.rename(folder / "x")
    third.rename(second)
    (folder / "x").rename(third)
    return made


def _words(folder: Path) -> ProbeRequest:
    folder.mkdir()
    (folder / "m.gguf").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    )
    return request("gguf", folder)


def _one_nan(made: Tensors) -> None:
    made["blk.1.attn_norm.weight"][3] = np.nan


def _encoder(folder: Path) -> ProbeRequest:
    """As those of RoBERTa's family: it tells no kinds of tokens apart."""
    source = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> np.ndarray[Any, Any]:
        drawn: np.ndarray[Any, Any] = source.normal(0, 0.02, (rows, columns)).astype("float32")
        return drawn

    made = {
        "token_embd.weight": matrix(WORDS, WIDTH),
        "token_types.weight": np.zeros((1, WIDTH), "float32"),
        "token_embd_norm.weight": np.ones(WIDTH, "float32"),
    }
    for n in range(BLOCKS):
        for part in ("q", "k", "v", "output"):
            made[f"blk.{n}.attn_{part}.weight"] = matrix(WIDTH, WIDTH)
        made[f"blk.{n}.ffn_up.weight"] = matrix(INNER, WIDTH)
        made[f"blk.{n}.ffn_down.weight"] = matrix(WIDTH, INNER)

    def say(writer: gguf.GGUFWriter) -> None:
        keys(writer)
        writer.kv_data[0].pop("bert.attention.head_count_kv")
        writer.add_causal_attention(False)

    return _made(folder, held=made, arch="bert", say=say)


def _sound(folder: Path) -> ProbeRequest:
    """Its tokens stand for features of sound, which are not as wide as its blocks."""

    def say(writer: gguf.GGUFWriter) -> None:
        writer.add_context_length(256)
        writer.add_embedding_length(48)
        writer.add_block_count(2)
        writer.add_features_length(32)
        writer.add_layer_norm_eps(1e-6)
        writer.add_tokenizer_model("none")

    features: Tensors = {"token_embd.weight": np.ones((64, 32), "float32")}
    return _made(folder, quantized=None, held=features, arch="wavtokenizer-dec", say=say)


def _of_type(name: str) -> Callable[[Path], ProbeRequest]:
    """A file of one tensor whose bytes are all set: each of its scales is NaN or infinite."""

    def make(folder: Path) -> ProbeRequest:
        kind = gguf.GGMLQuantizationType[name]
        size = gguf.GGML_QUANT_SIZES[kind][1]
        packed = np.full((4, 8 * size), 255, "uint8")
        return _named(folder, "flux", lambda w: w.add_tensor("img.weight", packed, raw_dtype=kind))

    return make


def _named(
    folder: Path, arch: str, fill: Callable[[gguf.GGUFWriter], object], kind: str = "model"
) -> ProbeRequest:
    folder.mkdir()
    writer = gguf.GGUFWriter(folder / "m.gguf", arch)
    writer.add_type(kind)
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return request("gguf", folder)


def _adapter(
    change: Callable[[Tensors], object] = dict, alpha: float = 16.0
) -> Callable[[Path], ProbeRequest]:
    """A LoRA as llama.cpp converts them."""

    def make(folder: Path) -> ProbeRequest:
        halves: Tensors = {}
        for n in range(BLOCKS):
            stem = f"blk.{n}.attn_q.weight"
            halves[f"{stem}.lora_a"] = tensors()[stem][:4].copy()
            halves[f"{stem}.lora_b"] = tensors()[stem][:, :4].copy()
        change(halves)

        def fill(writer: gguf.GGUFWriter) -> None:
            writer.add_string("adapter.type", "lora")
            writer.add_float32("adapter.lora.alpha", alpha)
            for name, values in halves.items():
                writer.add_tensor(name, values)

        return _named(folder, "llama", fill, "adapter")

    return make


def _zeroed(made: Tensors) -> None:
    made.update({n: np.zeros_like(one) for n, one in made.items() if n.endswith("lora_b")})


def _projector(folder: Path) -> ProbeRequest:
    """What reads pictures for a language model."""

    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_bool("clip.has_vision_encoder", True)
        writer.add_uint32("clip.vision.block_count", BLOCKS)
        for n in range(BLOCKS):
            values: np.ndarray[Any, Any] = tensors()[f"blk.{n}.attn_q.weight"].astype("float16")
            writer.add_tensor(f"v.blk.{n}.attn_q.weight", values)

    return _named(folder, "clip", fill, "mmproj")


def _experts(folder: Path) -> ProbeRequest:
    def change(made: Tensors) -> None:
        for n in range(BLOCKS):
            for part in ("gate", "up", "down"):
                one = made.pop(f"blk.{n}.ffn_{part}.weight")
                made[f"blk.{n}.ffn_{part}_exps.weight"] = np.stack([one, -one])
            made[f"blk.{n}.ffn_gate_inp.weight"] = np.ones((2, WIDTH), "float32")

    def say(writer: gguf.GGUFWriter) -> None:
        keys(writer)
        writer.add_expert_count(2)
        writer.add_expert_used_count(1)

    return held(change, say=say, quantized=None)(folder)


def _case(what: str, make: Callable[[Path], ProbeRequest], says: str = "") -> Case:
    return Case("gguf", what, make, whole, says)


CASES = [
    Case("gguf", "a language model in Q8_0", whole),
    Case("gguf", "the same in Q4_0", lambda folder: _made(folder, quantized=Q4)),
    Case("gguf", "the same in float32", lambda folder: _made(folder, quantized=None)),
    Case("gguf", "the same in three parts", _parts),
    Case(
        "gguf",
        "a file of another kind, with tensors of its own",
        lambda folder: _made(
            folder,
            arch="flux",
            say=lambda w: None,
            held={"img_in.weight": np.ones((4, 32), "float32")},
        ),
    ),
    _case("cut off in its numbers", edited(lambda data: data[:-2000]), "truncated"),
    _case("cut off in its header", edited(lambda data: data[:900]), "truncated"),
    _case("a Git LFS pointer", _words, "Git LFS pointer"),
    _case(
        "another magic number",
        edited(lambda data: data.__setitem__(slice(0, 4), b"GGJT")),
        "not a GGUF file",
    ),
    _case("version 1", edited(lambda data: struct.pack_into("<I", data, 4, 1)), "version 1"),
    _case(
        "for big-endian machines",
        edited(lambda data: struct.pack_into(">I", data, 4, 3)),
        "big-endian",
    ),
    _case(
        "announces 2^60 tensors",
        edited(lambda data: struct.pack_into("<Q", data, 8, 2**60)),
        "announces",
    ),
    _case("a tensor that overlaps another", edited(_shifted(-32)), "overlaps"),
    _case("a tensor behind a hole", edited(_shifted(32)), "leaves a hole"),
    _case("a tensor that is not aligned", edited(_shifted(1)), "multiple of 32"),
    _case("a type that there is not", edited(_typed(200)), "of the type 200"),
    _case("a type that was removed", edited(_typed(31)), "Q4_0_4_4"),
    _case("a type of another size", edited(_typed(2)), "leaves a hole"),
    _case("an infinite scale in a Q8_0 block", edited(_infinite_scale), "finite"),
    _case("NaN in a norm", held(_one_nan), "blk.1.attn_norm.weight"),
    _case("zeros from somewhere to the end", edited(_zeros_behind), "nothing but zeros"),
    _case(
        "a block is missing",
        held(lambda made: [made.pop(n) for n in [*made] if n.startswith("blk.2.")]),
        "blocks are missing",
    ),
    _case(
        "a tensor of one block is missing",
        held(lambda made: made.pop("blk.1.ffn_down.weight")),
        "blk.1.ffn_down.weight",
    ),
    _case("block_count is too low", said(_put("llama.block_count", 2)), "block_count is 2"),
    _case("no context_length", said(_forget("llama.context_length")), "context_length is missing"),
    _case(
        "no general.architecture", said(_forget("general.architecture")), "architecture is missing"
    ),
    _case(
        "heads that do not divide", said(_put("llama.attention.head_count_kv", 3)), "cannot share 3"
    ),
    _case(
        "embedding_length of another size",
        said(_put("llama.embedding_length", 96)),
        "embedding_length is 96",
    ),
    _case(
        "feed_forward_length of another size",
        said(_put("llama.feed_forward_length", 96)),
        "feed_forward_length is 96",
    ),
    _case(
        "fewer tokens than embeddings",
        said(_put("tokenizer.ggml.tokens", tokens()[:-1])),
        "299 tokens",
    ),
    _case(
        "scores of another vocabulary",
        said(_put("tokenizer.ggml.scores", [0.0] * 7)),
        "scores has 7",
    ),
    _case("no tokenizer", said(_forget("tokenizer.ggml.model")), "tokenizer.ggml.model is missing"),
    _case(
        "an end token that there is not",
        said(_put("tokenizer.ggml.eos_token_id", WORDS)),
        "eos_token_id is 300",
    ),
    _case(
        "a chat template that is no Jinja",
        said(_put("tokenizer.chat_template", "{% for one in %}")),
        "chat template",
    ),
    _case("a part is missing", _without_a_part, "not laid out"),
    _case("parts under each other's names", _parts_exchanged, "split.no"),
    _case("tokens in another order", said(_put("tokenizer.ggml.tokens", tokens()[::-1]))),
    _case("another end token", said(_put("tokenizer.ggml.eos_token_id", 7))),
    _case("other numbers under the same scales", edited(_other_numbers)),
    _case(
        "a matrix that is turned",
        held(
            lambda made: made.update({"blk.0.attn_q.weight": made["blk.0.attn_q.weight"].T.copy()})
        ),
    ),
    _case(
        "blocks in another order",
        held(
            lambda made: made.update(
                {
                    "blk.0.ffn_up.weight": made["blk.1.ffn_up.weight"],
                    "blk.1.ffn_up.weight": made["blk.0.ffn_up.weight"],
                }
            )
        ),
    ),
    _case("other rope", said(lambda writer: writer.add_rope_freq_base(5e5))),
    Case("gguf", "an encoder without kinds of tokens", _encoder),
    Case("gguf", "a decoder of sound", _sound),
    _case("no embedding", held(lambda made: made.pop("token_embd.weight")), "token_embd.weight is"),
    _case("no last norm", held(lambda made: made.pop("output_norm.weight")), "output_norm.weight"),
    _case(
        "no block has a part of its feed-forward net",
        held(lambda made: [made.pop(f"blk.{n}.ffn_up.weight") for n in range(BLOCKS)]),
        "has ffn_up",
    ),
    _case(
        "a norm of another size",
        held(lambda made: made.update({"blk.1.ffn_norm.weight": np.ones(32, "float32")})),
        "blk.1.ffn_norm.weight is [32]",
    ),
    _case(
        "an output of another width",
        held(lambda made: made.update({"output.weight": np.ones((WORDS, 32), "float32")})),
        "output.weight is [32, 300]",
    ),
    _case(
        "a gate of another size",
        held(lambda made: made.update({"blk.1.ffn_gate.weight": np.ones((96, 64), "float32")})),
        "feed_forward_length is 128",
    ),
    _case(
        "tokens without their texts",
        said(_put("tokenizer.ggml.tokens", [""] * WORDS)),
        "are there twice",
    ),
    Case("gguf", "an output that is the embedding", held(lambda made: made.pop("output.weight"))),
    Case("gguf", "experts", _experts),
    Case("gguf", "a LoRA", _adapter()),
    Case("gguf", "a projector of pictures", _projector),
    *(
        Case("gguf", f"scales of {name} that are not finite", _of_type(name), None, "NaN or infin")
        for name in ("Q4_K", "Q6_K", "Q8_K", "IQ1_M", "MXFP4", "NVFP4", "BF16")
    ),
    Case("gguf", "a LoRA of zeros", _adapter(_zeroed), _adapter(), "nothing but zeros"),
    Case(
        "gguf",
        "a LoRA with half of a pair",
        _adapter(lambda made: made.pop("blk.1.attn_q.weight.lora_b")),
        _adapter(),
        "lora_b is missing",
    ),
    Case(
        "gguf",
        "a LoRA with halves of two ranks",
        _adapter(lambda made: made.update({"blk.1.attn_q.weight.lora_b": np.ones((64, 3), "f4")})),
        _adapter(),
        "lora_b [3, 64]",
    ),
    Case("gguf", "a LoRA of another alpha", _adapter(alpha=8.0), _adapter()),
    _case("NaN among the scores", said(_put("tokenizer.ggml.scores", [np.nan] * WORDS)), "NaN"),
    _case(
        "rope of more numbers than a head has",
        said(lambda writer: writer.add_rope_dimension_count(32)),
        "rope.dimension_count is 32",
    ),
    _case("other scores", said(_put("tokenizer.ggml.scores", [-float(n) for n in range(WORDS)]))),
    _case("other kinds of tokens", said(_put("tokenizer.ggml.token_type", [1] * WORDS))),
    _case("no chat template", said(_forget("tokenizer.chat_template"))),
    _case("another epsilon", said(_put("llama.attention.layer_norm_rms_epsilon", 1e-2))),
    _case(
        "norms of the other sign",
        held(lambda made: made.update({"output_norm.weight": -made["output_norm.weight"]})),
    ),
    _case(
        "half as many heads",
        said(
            lambda writer: [
                _put("llama.attention.head_count", 2)(writer),
                _put("llama.attention.head_count_kv", 1)(writer),
            ]
        ),
    ),
]
