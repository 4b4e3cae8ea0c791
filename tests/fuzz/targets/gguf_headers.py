"""Headers of GGUF files: what is accepted lies within the file, and the rules bear all of it."""

from __future__ import annotations

import struct

from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.weights import gguf_data, gguf_rules
from fetcher.verify.weights.gguf_header import Array, bytes_of, is_texts, read_header, texts_of

from tests.fuzz.kit import Target, file_with


def check(data: bytes) -> None:
    with file_with(data, "m.gguf") as path:
        try:
            found = read_header(path)
        except ProbeError as error:
            assert str(error)
            return
        for value in found.metadata.values():
            if isinstance(value, Array):
                assert len(bytes_of(path, value)) == value.end - value.begin
                assert not is_texts(value) or len(texts_of(path, value)) == value.length
        position = 0
        for tensor in found.tensors.values():
            assert position <= tensor.begin <= tensor.end <= len(data)
            assert tensor.begin % found.alignment == 0
            position = tensor.end
        for rule in (gguf_rules.blocks, gguf_rules.shapes, gguf_rules.tokenizer):
            assert all(rule(found.metadata, found.tensors))
        assert all(gguf_rules.keys(found.metadata))
        for one in gguf_data.read(None, path, found.tensors):
            assert 0 <= one.zeros <= one.size


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def _key(name: bytes, kind: int, value: bytes) -> bytes:
    return _text(name) + struct.pack("<I", kind) + value


def _file(
    keys: list[bytes], tensors: list[tuple[bytes, list[int], int, int]], tail: bytes
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys)
    for name, shape, kind, offset in tensors:
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    return head + bytes(-len(head) % 32) + tail


ARCH = _key(b"general.architecture", 8, _text(b"llama"))
TOKENS = _key(b"tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + _text(b"a") + _text(b"b"))
COUNT = _key(b"llama.block_count", 4, struct.pack("<I", 1))
NESTED = _key(b"x", 9, struct.pack("<IQIQ", 9, 1, 4, 1) + b"abcd")
TARGET = Target(
    check,
    [
        _file([], [], b""),
        _file([ARCH, COUNT], [(b"blk.0.attn_q.weight", [32, 2], 8, 0)], bytes(68)),
        _file([ARCH, TOKENS], [(b"token_embd.weight", [4, 2], 0, 0), (b"b", [1], 1, 32)], bytes(64)),
        _file([NESTED, _key(b"general.alignment", 4, struct.pack("<I", 64))], [], b""),
        b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60),
    ],
    [b"GGUF", ARCH, TOKENS, COUNT, NESTED, struct.pack("<Q", 2**63), struct.pack("<Q", 2**64 - 1),
     struct.pack("<I", 9), struct.pack("<I", 8), struct.pack("<I", 2**32 - 1), bytes(8), bytes(32),
     struct.pack("<Q", 32), _text(b"blk.1.x"), _text(b"general.alignment"), b"\xff\xfe", b"\x01"],
    longest=600,
)  # fmt: skip
