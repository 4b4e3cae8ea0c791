"""ONNX models read without a library: what onnx reads too has the same operators and tensors."""

from __future__ import annotations

import onnx
from fetcher.verify.weights import onnx_model
from fetcher.verify.weights.protobuf import UnreadableProtobufError
from onnx import TensorProto, helper, numpy_helper

from tests.fuzz.kit import Target, file_with


def check(data: bytes) -> None:
    with file_with(data, "m.onnx") as path:
        try:
            found = onnx_model.read(path)
        except UnreadableProtobufError as error:
            assert str(error)
            return
    for one in found.initializers:
        assert one.size is None or one.size >= 0
        assert one.location or 0 <= one.begin <= one.end <= len(data)
    try:
        theirs = onnx.load_model_from_string(data)
    except Exception:  # what is no message to protobuf either, in words of its own
        return
    # Bytes that are no UTF-8 are text to each in its own way.
    names = {node.op_type for node in theirs.graph.node if node.op_type.isascii()}
    assert names <= {one.name for one in found.operators}
    held = {one.name for one in theirs.graph.initializer if one.name.isascii()}
    assert held <= {one.name for one in found.initializers}


def _model() -> bytes:
    import numpy as np

    held = [numpy_helper.from_array(np.ones((2, 3), "float32"), "w")]
    nodes = [
        helper.make_node("Gather", ["w", "x"], ["y"]),
        helper.make_node("Mine", ["y"], ["z"], domain="other"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])]
    graph = helper.make_graph(nodes, "g", inputs, [], held)
    return bytes(helper.make_model(graph, ir_version=8).SerializeToString())


TARGET = Target(
    check,
    [_model(), b"", b"\x3a\x00", b"\x3a\x06\x2a\x04\x08\x02\x10\x01"],
    [b"\x3a\x02", b"\x2a\x04", b"\x0a\x01", b"\x22\x06Gather", b"\x70\x01", b"\x6a\x08", b"\xff" * 10,
     b"\x08\x02\x10\x01", b"\x4a\x04", b"location", b"offset", b"\x3a\x05other", b"\xff\xff\xff\xff\x0f"],
    longest=400,
)  # fmt: skip
