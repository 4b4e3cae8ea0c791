"""ONNX models, which the `onnx` probe runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from fetcher.verify import ProbeRequest
from onnx import TensorProto, helper, numpy_helper

from tests.verify.probing import request
from tests.verify.wrong import Case

Array = np.ndarray[Any, Any]
WORDS, WIDTH = 12, 8


def _matrix(*shape: int, seed: int = 0) -> Array:
    drawn: Array = np.random.default_rng(seed).normal(0, 0.5, shape).astype("float32")
    return drawn


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    held: dict[str, Array],
    domains: tuple[str, ...] = (),
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(values, name) for name, values in held.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(one, 1) for one in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _is(name: str, kind: int, *shape: int | str | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def words(held: dict[str, Array] | None = None) -> onnx.ModelProto:
    """Looks tokens up, takes the mean of those that count, and multiplies."""
    node = helper.make_node
    return _model(
        [
            node("Gather", ["words", "input_ids"], ["found"]),
            node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["mask", "last"], ["wide"]),
            node("Mul", ["found", "wide"], ["kept"]),
            node("ReduceMean", ["kept"], ["mean"], axes=[1], keepdims=0),
            node("MatMul", ["mean", "weight"], ["logits"]),
        ],
        [_is(n, TensorProto.INT64, "batch", "sequence") for n in ("input_ids", "attention_mask")],
        [_is("logits", TensorProto.FLOAT, "batch", WIDTH)],
        {
            "words": _matrix(WORDS, WIDTH),
            "weight": _matrix(WIDTH, WIDTH, seed=1),
            "last": np.array([-1], "int64"),
            **(held or {}),
        },
    )


def picture(
    kind: int = TensorProto.FLOAT, side: int | str = "height", name: str = "pixel_values"
) -> onnx.ModelProto:
    """A convolution and the mean of what it finds."""
    node = helper.make_node
    stored = "float16" if kind == TensorProto.FLOAT16 else "float32"
    return _model(
        [
            node("Conv", [name, "weight"], ["found"], strides=[2, 2]),
            node("Relu", ["found"], ["kept"]),
            node("ReduceMean", ["kept"], ["mean"], axes=[2, 3], keepdims=0),
        ],
        [_is(name, kind, "batch", 3, side, side if isinstance(side, int) else "width")],
        [_is("mean", kind, "batch", 5)],
        {"weight": _matrix(5, 3, 3, 3).astype(stored)},
    )


def _saved(model: onnx.ModelProto, folder: Path, **options: Any) -> ProbeRequest:
    folder.mkdir()
    onnx.save_model(model, folder / "m.onnx")
    return request("onnx", folder, **options)


def whole(folder: Path) -> ProbeRequest:
    return _saved(words(), folder)


def outside(folder: Path) -> ProbeRequest:
    folder.mkdir()
    onnx.save_model(
        words(),
        folder / "m.onnx",
        save_as_external_data=True,
        location="m.onnx.data",
        size_threshold=64,
    )
    return request("onnx", folder)


def other(**held: Array) -> Callable[[Path], ProbeRequest]:
    return lambda folder: _saved(words(held), folder)


def _with_nan() -> Array:
    values = _matrix(WORDS, WIDTH)
    values[7, 3] = np.nan
    return values


def _without_data(folder: Path) -> ProbeRequest:
    outside(folder)
    (folder / "m.onnx.data").unlink()
    return request("onnx", folder)


def _short_data(folder: Path) -> ProbeRequest:
    made = outside(folder)
    data = (folder / "m.onnx.data").read_bytes()
    (folder / "m.onnx.data").write_bytes(data[:-9])
    return made


def _elsewhere(folder: Path) -> ProbeRequest:
    made = outside(folder)
    found = onnx.load(folder / "m.onnx", load_external_data=False)
    for entry in found.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../m.onnx.data"
    onnx.save_model(found, folder / "m.onnx")
    return made


def _nameless(folder: Path) -> ProbeRequest:
    model = words()
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    folder.mkdir()
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return request("onnx", folder)


def _cut(folder: Path) -> ProbeRequest:
    made = whole(folder)
    data = (folder / "m.onnx").read_bytes()
    (folder / "m.onnx").write_bytes(data[: len(data) // 2])
    return made


def _page(folder: Path) -> ProbeRequest:
    made = whole(folder)
    (folder / "m.onnx").write_text("<!DOCTYPE html><html></html>")
    return made


def _custom(folder: Path) -> ProbeRequest:
    model = _model(
        [helper.make_node("Tokenize", ["text"], ["y"], domain="ai.onnx.contrib")],
        [_is("text", TensorProto.STRING, 1)],
        [_is("y", TensorProto.INT64, "n")],
        {},
        ("ai.onnx.contrib",),
    )
    return _saved(model, folder)


def _own_function(folder: Path) -> ProbeRequest:
    """Operators that the model defines itself are none of a library's."""
    made = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    model = _model(
        [helper.make_node("Twice", ["x"], ["y"], domain="mine")],
        [_is("x", TensorProto.FLOAT, 2)],
        [_is("y", TensorProto.FLOAT, 2)],
        {},
        ("mine",),
    )
    model.functions.append(made)
    return _saved(model, folder)


def _drawn(folder: Path) -> ProbeRequest:
    node = helper.make_node
    model = _model(
        [node("RandomNormalLike", ["sample"], ["noise"]), node("Add", ["sample", "noise"], ["y"])],
        [_is("sample", TensorProto.FLOAT, "batch", 4, "height", "width")],
        [_is("y", TensorProto.FLOAT, "batch", 4, "height", "width")],
        {},
    )
    return _saved(model, folder)


def _classes(folder: Path) -> ProbeRequest:
    """A model of scikit-learn: rows of a table, a label and a table of probabilities."""
    node = helper.make_node
    model = _model(
        [
            node("MatMul", ["X", "weight"], ["scores"]),
            node("Softmax", ["scores"], ["p"]),
            node("ArgMax", ["scores"], ["label"], keepdims=0, axis=1),
            node(
                "ZipMap",
                ["p"],
                ["probabilities"],
                domain="ai.onnx.ml",
                classlabels_int64s=[0, 1, 2],
            ),
        ],
        [_is("X", TensorProto.FLOAT, None, 4)],
        [
            _is("label", TensorProto.INT64, None),
            helper.make_value_info(
                "probabilities",
                helper.make_sequence_type_proto(
                    helper.make_map_type_proto(
                        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
                    )
                ),
            ),
        ],
        {"weight": _matrix(4, 3)},
        ("ai.onnx.ml",),
    )
    return _saved(model, folder)


def _past(folder: Path) -> ProbeRequest:
    """A decoder's step: what was said before stands in front of what is said now."""
    model = _model(
        [
            helper.make_node("Concat", ["past_key_values.0.key", "key"], ["present.0.key"], axis=2),
            helper.make_node("Gather", ["words", "input_ids"], ["found"]),
            helper.make_node("Unsqueeze", ["found", "one"], ["key"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "front"], ["wide"]),
            helper.make_node("Mul", ["present.0.key", "wide"], ["y"]),
        ],
        [
            _is("input_ids", TensorProto.INT64, "batch_size", "sequence_length"),
            _is(
                "attention_mask",
                TensorProto.INT64,
                "batch_size",
                "past_sequence_length + sequence_length",
            ),
            _is(
                "past_key_values.0.key",
                TensorProto.FLOAT,
                "batch_size",
                1,
                "past_sequence_length",
                WIDTH,
            ),
        ],
        [_is("y", TensorProto.FLOAT, "batch_size", 1, "total", WIDTH)],
        {
            "words": _matrix(WORDS, WIDTH),
            "one": np.array([1], "int64"),
            "front": np.array([1, 3], "int64"),
        },
    )
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([nodes[1], nodes[2], nodes[0], *nodes[3:]])
    return _saved(model, folder)


def _newer(folder: Path) -> ProbeRequest:
    model = words()
    model.opset_import[0].version = 999
    return _saved(model, folder)


def _overflow(folder: Path) -> ProbeRequest:
    return other(
        weight=np.full((WIDTH, WIDTH), 3e38, "float32"), words=np.full((WORDS, WIDTH), 9, "float32")
    )(folder)


def _typed(values: Array, name: str) -> onnx.TensorProto:
    """A tensor whose numbers stand in the model one by one, as many exporters write them."""
    kind = TensorProto.INT64 if values.dtype == np.int64 else TensorProto.FLOAT
    return helper.make_tensor(name, kind, values.shape, values.flatten().tolist())


def listed(held: dict[str, Array] | None = None) -> Callable[[Path], ProbeRequest]:
    def make(folder: Path) -> ProbeRequest:
        model = words(held)
        tensors = [_typed(numpy_helper.to_array(t), t.name) for t in model.graph.initializer]
        del model.graph.initializer[:]
        model.graph.initializer.extend(tensors)
        return _saved(model, folder)

    return make


def constants(held: dict[str, Array] | None = None) -> Callable[[Path], ProbeRequest]:
    """All tensors in nodes of their own."""

    def make(folder: Path) -> ProbeRequest:
        model = words(held)
        nodes = [
            helper.make_node("Constant", [], [one.name], value=one)
            for one in model.graph.initializer
        ]
        nodes += list(model.graph.node)
        del model.graph.initializer[:], model.graph.node[:]
        model.graph.node.extend(nodes)
        return _saved(model, folder)

    return make


def tree(threshold: float = 0.5, classes: tuple[str, str] = ("cat", "dog")) -> Any:
    """A decision tree of scikit-learn, which holds no tensors."""

    def make(folder: Path) -> ProbeRequest:
        node = helper.make_node(
            "TreeEnsembleClassifier",
            ["X"],
            ["label", "p"],
            domain="ai.onnx.ml",
            nodes_treeids=[0, 0, 0],
            nodes_nodeids=[0, 1, 2],
            nodes_featureids=[0, 0, 0],
            nodes_values=[threshold, 0.0, 0.0],
            nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
            nodes_truenodeids=[1, 0, 0],
            nodes_falsenodeids=[2, 0, 0],
            class_treeids=[0, 0, 0, 0],
            class_nodeids=[1, 1, 2, 2],
            class_ids=[0, 1, 0, 1],
            class_weights=[0.25, 0.75, 0.75, 0.25],
            classlabels_strings=list(classes),
        )
        inputs = [_is("X", TensorProto.FLOAT, None, 4)]
        outputs = [_is("label", TensorProto.STRING, None), _is("p", TensorProto.FLOAT, None, 2)]
        return _saved(_model([node], inputs, outputs, {}, ("ai.onnx.ml",)), folder)

    return make


def _detector(folder: Path) -> ProbeRequest:
    """Boxes and odds of a picture, of which those that overlap are left out: none is likely."""
    node = helper.make_node
    model = _model(
        [
            node("Reshape", ["images", "flat"], ["row"]),
            node("MatMul", ["row", "to_boxes"], ["far"]),
            node("Reshape", ["far", "ten"], ["boxes"]),
            node("MatMul", ["row", "to_odds"], ["wide"]),
            node("Reshape", ["wide", "one_class"], ["logits"]),
            node("Sigmoid", ["logits"], ["odds"]),
            node("NonMaxSuppression", ["boxes", "odds", "most", "overlap", "least"], ["chosen"]),
            node("Slice", ["chosen", "two", "three", "one"], ["numbers"]),
            node("Squeeze", ["numbers", "one"], ["places"]),
            node("Squeeze", ["boxes", "zero"], ["all"]),
            node("Gather", ["all", "places"], ["found"]),
        ],
        [_is("images", TensorProto.FLOAT, 1, 3, 4, 4)],
        [_is("found", TensorProto.FLOAT, None, 4)],
        {
            "to_boxes": _matrix(48, 40),
            "to_odds": _matrix(48, 10, seed=2) * 0.01 - 1,
            "flat": np.array([1, -1]),
            "ten": np.array([1, 10, 4]),
            "one_class": np.array([1, 1, 10]),
            "most": np.array([5]),
            "overlap": np.array([0.5], "float32"),
            "least": np.array([0.9], "float32"),
            **{name: np.array([n]) for n, name in enumerate(("zero", "one", "two", "three"))},
        },
    )
    return _saved(model, folder)


def _recurrent(folder: Path) -> ProbeRequest:
    """As speech detectors are: the state goes in and out."""
    node = helper.make_node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["y"], hidden_size=8)
    inputs = [_is(n, TensorProto.FLOAT, 1, None, 8) for n in ("h", "c")]
    model = _model(
        [node],
        [_is("x", TensorProto.FLOAT, "sequence", None, 4), *inputs],
        [_is("y", TensorProto.FLOAT, None, 1, None, 8)],
        {"W": _matrix(1, 32, 4), "R": _matrix(1, 32, 8), "B": _matrix(1, 64)},
    )
    return _saved(model, folder)


def sloped(alpha: float) -> Callable[[Path], ProbeRequest]:
    def make(folder: Path) -> ProbeRequest:
        model = words()
        model.graph.node.append(helper.make_node("Elu", ["logits"], ["bent"], alpha=alpha))
        model.graph.output[0].name = "bent"
        return _saved(model, folder)

    return make


def _zeros_behind(folder: Path) -> ProbeRequest:
    folder.mkdir()
    model = words()
    model.graph.initializer.append(numpy_helper.from_array(_matrix(200, 200), "large"))
    model.graph.node.append(helper.make_node("ReduceMean", ["large"], ["mean_of_it"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["logits", "mean_of_it"], ["sum"]))
    model.graph.output[0].name = "sum"
    onnx.save_model(
        model, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=64
    )
    data = bytearray((folder / "m.data").read_bytes())
    data[-50_001:] = bytes(50_001)
    (folder / "m.data").write_bytes(data)
    return request("onnx", folder)


def _exchanged() -> Array:
    values = _matrix(WORDS, WIDTH)
    values[[1, 2]] = values[[2, 1]]
    return values


def noted(names: str, date: str = "") -> Callable[[Path], ProbeRequest]:
    """With what exporters note beside the model."""

    def make(folder: Path) -> ProbeRequest:
        model = picture()
        helper.set_model_props(model, {"names": names, "stride": "32", "date": date})
        return _saved(model, folder)

    return make


def two(*order: str) -> Callable[[Path], ProbeRequest]:
    """Two answers, in an order that its users rely on."""

    def make(folder: Path) -> ProbeRequest:
        nodes = [
            helper.make_node("MatMul", ["x", "a"], ["boxes"]),
            helper.make_node("MatMul", ["x", "b"], ["scores"]),
        ]
        inputs = [_is("x", TensorProto.FLOAT, "batch", 4)]
        outputs = [_is(name, TensorProto.FLOAT, "batch", 4) for name in order]
        held = {"a": _matrix(4, 4), "b": _matrix(4, 4, seed=3)}
        return _saved(_model(nodes, inputs, outputs, held), folder)

    return make


def named(*classes: str) -> Callable[[Path], ProbeRequest]:
    """The names of its classes are a tensor of texts, and it gives odds as well."""

    def make(folder: Path) -> ProbeRequest:
        node = helper.make_node
        model = _model(
            [
                node("MatMul", ["X", "w"], ["s"]),
                node("ArgMax", ["s"], ["i"], axis=1, keepdims=0),
                node("ArrayFeatureExtractor", ["names", "i"], ["label"], domain="ai.onnx.ml"),
                node("Softmax", ["s"], ["p"]),
            ],
            [_is("X", TensorProto.FLOAT, None, 4)],
            [_is("label", TensorProto.STRING, None, None), _is("p", TensorProto.FLOAT, None, 3)],
            {"w": _matrix(4, 3)},
            ("ai.onnx.ml",),
        )
        texts = [one.encode() for one in classes]
        model.graph.initializer.append(
            helper.make_tensor("names", TensorProto.STRING, [len(texts)], texts)
        )
        return _saved(model, folder)

    return make


def packed(scale: float, zero: int = 0) -> Callable[[Path], ProbeRequest]:
    """Weights in eight bits."""

    def make(folder: Path) -> ProbeRequest:
        nodes = [
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ]
        sides = [_is("x", TensorProto.FLOAT, "batch", 8)], [_is("y", TensorProto.FLOAT, "batch", 8)]
        held: dict[str, Array] = {
            "q": (_matrix(8, 8) * 80).astype("int8"),
            "s": np.array(scale, "float32"),
            "z": np.array(zero, "int8"),
        }
        return _saved(_model(nodes, *sides, held), folder)

    return make


def released(number: int) -> Callable[[Path], ProbeRequest]:
    def make(folder: Path) -> ProbeRequest:
        model = words()
        model.opset_import[0].version = number
        return _saved(model, folder)

    return make


def _sound(folder: Path) -> ProbeRequest:
    """It hears 400 samples at a time, and nothing says so."""
    nodes = [
        helper.make_node("Conv", ["signal", "k"], ["c"], strides=[4]),
        helper.make_node("ReduceMean", ["c"], ["y"], axes=[2], keepdims=0),
    ]
    inputs = [_is("signal", TensorProto.FLOAT, "batch", 1, "n")]
    outputs = [_is("y", TensorProto.FLOAT, "batch", 6)]
    return _saved(_model(nodes, inputs, outputs, {"k": _matrix(6, 1, 400)}), folder)


def _sequence(folder: Path) -> ProbeRequest:
    """It answers a list of tensors of different shapes."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("ReduceMean", ["x"], ["b"], axes=[0], keepdims=0),
        helper.make_node("SequenceConstruct", ["a", "b"], ["y"]),
    ]
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    outputs = [helper.make_value_info("y", kind)]
    inputs = [_is("x", TensorProto.FLOAT, 2, 8)]
    return _saved(_model(nodes, inputs, outputs, {"w": _matrix(8, 8)}), folder)


def _bytes(folder: Path) -> ProbeRequest:
    """A picture as cameras give it: bytes, colours last."""
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["y"], axes=[1, 2], keepdims=0),
    ]
    inputs = [_is("image", TensorProto.UINT8, 1, "h", "w", 3)]
    return _saved(_model(nodes, inputs, [_is("y", TensorProto.FLOAT, 1, 3)], {}), folder)


def _case(what: str, make: Callable[[Path], ProbeRequest], says: str = "") -> Case:
    return Case("onnx", what, make, whole, says)


CASES = [
    Case("onnx", "a model of token ids", whole),
    Case("onnx", "with external data", outside),
    Case("onnx", "pictures of any size", lambda folder: _saved(picture(), folder)),
    Case(
        "onnx",
        "pictures of 48 pixels in float16",
        lambda folder: _saved(picture(TensorProto.FLOAT16, 48), folder),
    ),
    Case("onnx", "a classifier of scikit-learn", _classes),
    Case("onnx", "a decoder with a cache", _past),
    Case("onnx", "noise that is drawn", _drawn),
    Case("onnx", "a function of its own", _own_function),
    Case(
        "onnx",
        "inputs and outputs as the manifest says",
        lambda folder: _saved(
            picture(name="x"),
            folder,
            inputs={"x": [2, 3, 32, 64]},
            outputs=[[2, 5]],
            output_range=[0, 99],
        ),
    ),
    _case("cut off", _cut, "no whole ONNX model"),
    _case("a web page", _page, "a web page"),
    _case("its external data is missing", _without_data, "m.onnx.data is not there"),
    _case("its external data is cut off", _short_data, "m.onnx.data is truncated"),
    _case("external data in another folder", _elsewhere, "refused"),
    _case("external data in a file of no name", _nameless, "file of no name"),
    _case("operators of another library", _custom, "operators of ai.onnx.contrib"),
    _case("operators of a release to come", _newer, "onnxruntime cannot load"),
    _case("NaN in a row that is not looked up", other(words=_with_nan()), "NaN in words"),
    _case(
        "all its weights are zero",
        other(weight=np.zeros((WIDTH, WIDTH), "float32")),
        "another input moves",
    ),
    _case("weights that overflow", _overflow, "answers are finite"),
    _case(
        "outputs of another shape than the manifest says",
        lambda folder: _saved(words(), folder, outputs=[[1, WIDTH + 1]]),
        "expected [1, 9]",
    ),
    _case(
        "an input that it has not",
        lambda folder: _saved(words(), folder, inputs={"pixels": [1]}),
        "no input pixels",
    ),
    _case("other weights", other(weight=_matrix(WIDTH, WIDTH, seed=9))),
    _case("tokens in another order", other(words=_matrix(WORDS, WIDTH)[::-1].copy())),
    _case(
        "two rows exchanged",
        other(words=_matrix(WORDS, WIDTH)[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 10]]),
    ),
    Case("onnx", "tensors as lists of numbers", listed()),
    Case("onnx", "tensors in nodes", constants()),
    Case("onnx", "a decision tree", tree()),
    Case("onnx", "a decision tree that asks for values above 1", tree(threshold=7.0)),
    Case("onnx", "a detector that finds nothing in noise", _detector),
    Case("onnx", "a recurrent net with its state", _recurrent),
    Case("onnx", "an activation with a setting", sloped(1.0)),
    _case("zeros from somewhere to the end of its external data", _zeros_behind, "not whole"),
    Case("onnx", "NaN in a list of numbers", listed({"words": _with_nan()}), None, "NaN in words"),
    Case("onnx", "NaN in a node", constants({"words": _with_nan()}), None, "NaN in words"),
    Case(
        "onnx",
        "two rows exchanged in a list of numbers",
        listed({"words": _exchanged()}),
        listed(),
    ),
    Case("onnx", "two rows exchanged in a node", constants({"words": _exchanged()}), constants()),
    Case("onnx", "classes exchanged in a decision tree", tree(classes=("dog", "cat")), tree()),
    Case("onnx", "another threshold in a decision tree", tree(threshold=0.51), tree()),
    Case("onnx", "an activation with another setting", sloped(1.002), sloped(1.0)),
    Case("onnx", "a sound of whatever length", _sound),
    Case("onnx", "a list of answers", _sequence),
    Case("onnx", "a picture of bytes", _bytes),
    Case("onnx", "weights in eight bits", packed(0.01)),
    Case("onnx", "names of classes in a tensor", named("a", "b", "c")),
    Case("onnx", "notes of an exporter", noted("{0: 'cat', 1: 'dog'}", "today")),
    Case("onnx", "a scale of zero", packed(0.0), packed(0.01), "another input moves"),
    Case("onnx", "a scale that is infinite", packed(np.inf), packed(0.01), "NaN or infinity"),
    Case("onnx", "a scale that is NaN", packed(np.nan), packed(0.01), "NaN in s"),
    Case("onnx", "another scale", packed(0.0101), packed(0.01)),
    Case("onnx", "another zero point", packed(0.01, 3), packed(0.01)),
    Case("onnx", "classes exchanged in a tensor", named("b", "a", "c"), named("a", "b", "c")),
    Case("onnx", "classes exchanged in notes", noted("{0: 'dog'}"), noted("{0: 'cat'}")),
    Case("onnx", "answers in another order", two("scores", "boxes"), two("boxes", "scores")),
    Case(
        "onnx",
        "pictures of one size alone",
        lambda folder: _saved(picture(side=64), folder),
        lambda folder: _saved(picture(), folder),
    ),
    _case("operators of another release", released(16)),
]
