"""Honest files of each format, as the libraries write them: [(name, bytes)] from random content."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

Maker = Callable[[st.DataObject], bytes]

_NAMES = st.text(st.characters(categories=("L", "N"), max_codepoint=0x2FF), min_size=1, max_size=12)
_DTYPES = st.sampled_from(["<f4", "<f2", ">i8", "|u1", "|b1", "<c8", "<U3", "|S4"])
_BLOBS = st.binary(max_size=300)


def _array(data: st.DataObject) -> Any:
    shape = data.draw(st.lists(st.integers(0, 5), max_size=3))
    count = int(np.prod(shape, dtype=int))
    kind = np.dtype(data.draw(_DTYPES))
    raw = data.draw(st.binary(min_size=count, max_size=count))
    return np.frombuffer(raw, "|u1").astype(kind).reshape(shape)


def _tensors(data: st.DataObject) -> dict[str, Any]:
    names = data.draw(st.lists(_NAMES, min_size=1, max_size=4, unique=True))
    sizes = [data.draw(st.lists(st.integers(0, 4), max_size=3)) for _ in names]
    return {name: np.zeros(size, "<f4") for name, size in zip(names, sizes, strict=True)}


def safetensors(data: st.DataObject) -> bytes:
    from safetensors.numpy import save

    notes = data.draw(st.none() | st.dictionaries(_NAMES, _NAMES, max_size=2))
    found = save(_tensors(data), notes)
    assert isinstance(found, bytes)
    return found


def npy(data: st.DataObject) -> bytes:
    out = io.BytesIO()
    np.save(out, _array(data))
    return out.getvalue()


def npz(data: st.DataObject) -> bytes:
    out = io.BytesIO()
    data.draw(st.sampled_from([np.savez, np.savez_compressed]))(out, **_tensors(data))
    return out.getvalue()


def _state(data: st.DataObject) -> object:
    import torch

    return {name: torch.from_numpy(value) for name, value in _tensors(data).items()}


def torch_file(data: st.DataObject) -> bytes:
    import torch

    out = io.BytesIO()
    new = data.draw(st.booleans())
    torch.save(_state(data), out, _use_new_zipfile_serialization=new)
    return out.getvalue()


def torch_tar(data: st.DataObject) -> bytes:
    """As PyTorch wrote before 0.1.10."""
    return _tar({"sys_info": b"\x80\x02}q\0.", "pickle": data.draw(_BLOBS), "storages": b""})


def pickled(data: st.DataObject) -> bytes:
    value = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | _BLOBS,
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.tuples(inner, inner)
                | st.dictionaries(st.text(max_size=5), inner, max_size=4)
            ),
        )
    )
    return pickle.dumps(value, data.draw(st.integers(0, 5)))


def packed_pickle(data: st.DataObject) -> bytes:
    packers: list[Callable[[bytes], bytes]] = [
        zlib.compress, gzip.compress, bz2.compress, lzma.compress,
    ]  # fmt: skip
    return data.draw(st.sampled_from(packers))(pickled(data))


def zipped(data: st.DataObject) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", data.draw(st.sampled_from([0, 8, 12, 14]))) as archive:
        for name in data.draw(st.lists(_NAMES, max_size=4, unique=True)):
            archive.writestr(name, data.draw(_BLOBS))
        archive.comment = data.draw(st.binary(max_size=40))
    return out.getvalue()


def _tar(members: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def tar(data: st.DataObject) -> bytes:
    names = data.draw(st.lists(_NAMES, min_size=1, max_size=4, unique=True))
    form = data.draw(
        st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    )
    return _tar({name: data.draw(_BLOBS) for name in names}, form)


def packed_tar(data: st.DataObject) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    packers: list[Callable[[bytes], bytes]] = [
        gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress,
    ]  # fmt: skip
    return data.draw(st.sampled_from(packers))(tar(data))


def picture(form: str) -> Maker:
    def make(data: st.DataObject) -> bytes:
        from PIL import Image

        size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
        mode = data.draw(st.sampled_from(["RGB", "L"]))
        out = io.BytesIO()
        Image.new(mode, size, data.draw(st.integers(0, 255))).save(out, form)
        return out.getvalue() + data.draw(st.sampled_from([b"", b"\0" * 8]))

    return make


def onnx_model(data: st.DataObject) -> bytes:
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    name = data.draw(_NAMES)
    value = helper.make_tensor_value_info(name, floats, [1])
    node = helper.make_node("Identity", [name], ["out"])
    out = helper.make_tensor_value_info("out", floats, [1])
    graph = helper.make_graph([node], data.draw(_NAMES), [value], [out])
    model = helper.make_model(graph, producer_name=data.draw(_NAMES))
    if data.draw(st.booleans()):
        model.ClearField("ir_version")
    found = model.SerializeToString()
    assert isinstance(found, bytes)
    return found


def parquet(data: st.DataObject) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    writer = pytest.importorskip("pyarrow.parquet")
    out = io.BytesIO()
    values = data.draw(st.lists(st.integers(0, 99), max_size=9))
    writer.write_table(pyarrow.table({data.draw(_NAMES): values}), out)
    return out.getvalue()


def feather(data: st.DataObject) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    writer = pytest.importorskip("pyarrow.feather")
    out = io.BytesIO()
    values = data.draw(st.lists(st.integers(0, 99), max_size=9))
    writer.write_feather(pyarrow.table({data.draw(_NAMES): values}), out)
    return out.getvalue()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4)
    ),
)


def json_document(data: st.DataObject) -> bytes:
    value = data.draw(_JSON)
    bom = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    indent = data.draw(st.none() | st.integers(0, 4))
    ascii_ = data.draw(st.booleans())
    return json.dumps(value, indent=indent, ensure_ascii=ascii_).encode(bom, "surrogatepass")


def json_lines(data: st.DataObject) -> bytes:
    rows = data.draw(st.lists(st.dictionaries(_NAMES, _JSON, max_size=3), min_size=2, max_size=4))
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def gguf(data: st.DataObject) -> bytes:
    order = data.draw(st.sampled_from(["little", "big"]))
    version = data.draw(st.integers(1, 4)).to_bytes(4, order)  # type: ignore[arg-type]
    return b"GGUF" + version + bytes(16) + data.draw(_BLOBS)


def hdf5(data: st.DataObject) -> bytes:
    """The first block of version 0 or 2, perhaps after a user block, as h5py writes them."""
    version = data.draw(st.sampled_from([0, 2]))
    block = data.draw(st.sampled_from([0, 512, 1024, 2048]))
    size = data.draw(st.integers(100, 400))
    magic, end = b"\x89HDF\r\n\x1a\n", (block + size).to_bytes(8, "little")
    undefined = b"\xff" * 8
    if version:
        head = magic + bytes([2, 8, 8, 0]) + bytes(8) + undefined + end
    else:
        head = magic + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(16) + undefined + end + undefined
    return bytes(block) + head.ljust(size, b"\1")


FILES: list[tuple[str, Maker]] = [
    ("model.safetensors", safetensors),
    ("a.npy", npy),
    ("a.npz", npz),
    ("model.pt", torch_file),
    ("pytorch_model.bin", torch_file),
    ("last.ckpt", torch_file),
    ("model_best.pth.tar", torch_file),
    ("old.pt", torch_tar),
    ("model.pth", pickled),
    ("ffhq.pkl", pickled),
    ("svm.joblib", packed_pickle),
    ("data.zip", zipped),
    ("x-1-py3-none-any.whl", zipped),
    ("data.tar", tar),
    ("data.tar.gz", packed_tar),
    ("data.tgz", packed_tar),
    ("a.jpg", picture("JPEG")),
    ("a.jpg", picture("PNG")),
    ("a.png", picture("PNG")),
    ("a.webp", picture("WEBP")),
    ("a.gif", picture("GIF")),
    ("a.bmp", picture("BMP")),
    ("a.tiff", picture("TIFF")),
    ("a.ppm", picture("PPM")),
    ("a.ico", picture("ICO")),
    ("model.onnx", onnx_model),
    ("train.parquet", parquet),
    ("train.feather", feather),
    ("config.json", json_document),
    ("train.json", json_lines),
    ("model.gguf", gguf),
    ("model.h5", hdf5),
    ("anything.bin", lambda data: data.draw(st.binary(max_size=200))),
    ("anything.dat", lambda data: data.draw(st.binary(max_size=200))),
    ("anything", lambda data: data.draw(st.binary(max_size=200))),
]
