"""ONNX models that take their numbers from files of the person's: refused before they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fetcher.verify.loaders import LoadError, onnx
from fetcher.verify.weights import onnx_data
from fetcher.verify.weights.onnx_data import complaint, locations
from fetcher.verify.weights.protobuf import UnreadableProtobufError
from hypothesis import given
from hypothesis import strategies as st


def number(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return found + bytes((value,))


def field(of: int, *parts: bytes) -> bytes:
    """A field that is bytes, as protocol buffers have it."""
    body = b"".join(parts)
    return number(of << 3 | 2) + number(len(body)) + body


def entry(key: str, value: str) -> bytes:
    return field(13, field(1, key.encode()), field(2, value.encode()))


def tensor(location: str) -> bytes:
    """A TensorProto without its field: dims, type, name, where the data lies, and that it does."""
    return (
        b"\x08\x02\x10\x01"
        + field(8, b"w")
        + entry("offset", "0")
        + entry("location", location)
        + b"\x70\x01"
    )


# Where in a model a tensor can stand.
PLACES: dict[str, Callable[[bytes], bytes]] = {
    "initializer": lambda t: field(7, field(5, t)),
    "sparse values": lambda t: field(7, field(15, field(1, t))),
    "sparse indices": lambda t: field(7, field(15, field(2, t))),
    "constant": lambda t: field(7, field(1, field(5, field(5, t)))),
    "one of several": lambda t: field(7, field(1, field(5, field(10, t)))),
    "sparse attribute": lambda t: field(7, field(1, field(5, field(22, field(1, t))))),
    "in a branch": lambda t: field(7, field(1, field(5, field(6, field(5, t))))),
    "in one of several": lambda t: field(7, field(1, field(5, field(11, field(5, t))))),
    "function": lambda t: field(25, field(7, field(5, field(5, t)))),
    "function's default": lambda t: field(25, field(11, field(5, t))),
    "training": lambda t: field(20, field(1, field(5, t))),
    "training algorithm": lambda t: field(20, field(2, field(5, t))),
    "after another": lambda t: field(7, field(5, tensor("w.bin")), field(5, t)),
    "second graph": lambda t: field(7, field(2, b"g")) + field(7, field(5, t)),
}
OUT = ("../secret", "../../secret", "a/../../secret", "/etc/passwd", "..\\secret", "C:secret",
       "~/secret", "*/_ORT_MEM_ADDR_/*", "", "file:///etc/passwd", "a\0b")  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "clone/models/m"
    found.mkdir(parents=True)
    (found / "w.bin").write_bytes(bytes(8))
    (found / "tokenizer.json").write_text("{}")
    (tmp_path / "secret").write_bytes(b"secret")
    return found


@pytest.mark.parametrize("place", PLACES)
def test_data_elsewhere_wherever_a_tensor_stands(folder: Path, place: str) -> None:
    """A tensor deep in a model names ~/.ssh/id_rsa as its data: older runtimes read it."""
    file = folder / "model.onnx"
    for location in OUT:
        file.write_bytes(b"\x08\x08" + PLACES[place](tensor(location)))
        assert complaint(file), location
    file.write_bytes(b"\x08\x08" + PLACES[place](tensor("w.bin")))
    assert set(locations(file)) == {"w.bin"} and not complaint(file)


def test_the_loader_asks_before_the_runtime_reads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No session is begun for such a model, whatever the runtime would say to it."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    begun: list[str] = []
    monkeypatch.setattr(runtime, "InferenceSession", lambda file, **_how: begun.append(file))
    (folder / "model.onnx").write_bytes(PLACES["initializer"](tensor("../../../secret")))
    with pytest.raises(LoadError, match=r"takes data from '\.\./\.\./\.\./secret'"):
        onnx.load(folder)
    assert begun == []


@pytest.mark.parametrize("target", ["../../../secret", "/etc/passwd", "/dev/zero", ".."])
def test_data_that_is_a_link_out(folder: Path, target: str) -> None:
    """The name is harmless, and stands beside the model: it is a link, or leads through one."""
    (folder / "data").symlink_to(target)
    for location in ("data", "./data", "data/w.bin", "data/../data"):
        (folder / "model.onnx").write_bytes(PLACES["initializer"](tensor(location)))
        assert complaint(folder / "model.onnx"), location


def test_data_in_caches_and_stores_of_links(folder: Path) -> None:
    """No attack: a Hugging Face cache, whose files are links to blobs beside each other."""
    blobs = folder.parent / "blobs"
    blobs.mkdir()
    (blobs / "1").write_bytes(PLACES["constant"](tensor("model.onnx_data")))
    (blobs / "2").write_bytes(bytes(8))
    (folder / "model.onnx").symlink_to("../blobs/1")
    (folder / "model.onnx_data").symlink_to("../blobs/2")
    assert not complaint(folder / "model.onnx")
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes(PLACES["constant"](tensor("parts/w")))
    assert not complaint(folder / "onnx/model.onnx"), "the runtime says what is not there"


def test_two_values_of_one_entry(folder: Path) -> None:
    """Readers take the last value of two; which one it is, is not for us to guess."""
    both = field(13, field(1, b"location"), field(2, b"../secret"), field(2, b"w.bin"))
    late = field(13, field(2, b"../secret"), field(1, b"length"), field(1, b"location"))
    for one in (both, late):
        (folder / "model.onnx").write_bytes(field(7, field(5, one)))
        assert complaint(folder / "model.onnx")


@pytest.mark.parametrize(
    "body",
    [
        field(7, b"x" * 9)[:-3],
        b"\x3a\xff\xff\xff\xff\x0f",
        b"\x80" * 30,
        b"\x3b",
        b"\x3c",
        number(1 << 40),
        b"\x09\0\0",
        field(7, b"\x0d\0"),
        field(7, field(5, field(13, field(1, b"x" * 9000)))),
    ],
    ids=["cut", "long", "endless", "group", "group's end", "tag", "double", "float", "text"],
)
def test_bytes_that_no_model_has(folder: Path, body: bytes) -> None:
    """What one reader passes over and another reads would be a way around."""
    (folder / "model.onnx").write_bytes(body)
    with pytest.raises(UnreadableProtobufError):
        complaint(folder / "model.onnx")


def test_graphs_in_graphs_without_end(folder: Path) -> None:
    """Tries to use up the stack, or memory, of what looks at it."""
    body = tensor("../secret")
    for _ in range(400):
        body = field(1, field(5, field(6, body)))
    (folder / "model.onnx").write_bytes(field(7, body))
    with pytest.raises(UnreadableProtobufError, match="too deep"):
        complaint(folder / "model.onnx")


@given(body=st.binary(max_size=200))
def test_any_bytes_are_judged(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    """Bytes that nobody thought of raise no other error."""
    file = tmp_path_factory.mktemp("o") / "model.onnx"
    file.write_bytes(PLACES["initializer"](body) + body)
    try:
        assert isinstance(onnx_data.complaint(file), str)
    except UnreadableProtobufError:
        pass


def test_every_place_that_the_format_has(folder: Path) -> None:
    """A later release of the format may let tensors stand elsewhere: this list must have that."""
    pb = pytest.importorskip("onnx.onnx_ml_pb2", reason="onnx is not installed")
    names = {"model": "ModelProto", "training": "TrainingInfoProto", "graph": "GraphProto",
             "function": "FunctionProto", "node": "NodeProto", "attribute": "AttributeProto",
             "sparse": "SparseTensorProto", "tensor": "TensorProto"}  # fmt: skip
    known = {**{v: k for k, v in names.items()}, "StringStringEntryProto": "entry"}
    for kind, name in names.items():
        held = {
            one.number: known[one.message_type.name]
            for one in getattr(pb, name).DESCRIPTOR.fields
            if one.message_type is not None and one.message_type.name in known
        }
        listed = onnx_data._FIELDS[kind]
        missing = {n: k for n, k in held.items() if k != "entry" and listed.get(n) != k}
        assert not missing, (kind, missing)
        assert listed.items() <= held.items()
