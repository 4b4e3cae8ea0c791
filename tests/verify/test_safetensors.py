"""The state-dict probe on .safetensors files: headers, shards, and machines without torch."""

from __future__ import annotations

import json
import math
import struct
import venv
from pathlib import Path
from typing import Any

import numpy
import pytest
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.weights import finite
from fetcher.verify.weights.safetensors_header import read_header
from fetcher.verify.weights.shards import weight_sets

from .conftest import state_dict
from .makers import flip, floats, packed, safetensors, zeros


def entry(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_header_is_read(tmp_path: Path) -> None:
    tensors = {
        "b": zeros("BF16", 2, 3),
        "a": floats(1.0, 2.0),
        "s": zeros("I64"),
        "e": zeros("F32", 0),
    }
    (tmp_path / "w.safetensors").write_bytes(safetensors(tensors))
    found = read_header(tmp_path / "w.safetensors")
    assert {name: (e.dtype, e.shape) for name, e in found.items()} == {
        "b": ("bfloat16", (2, 3)),
        "a": ("float32", (2,)),
        "s": ("int64", ()),
        "e": ("float32", (0,)),
    }
    assert found["a"].end - found["a"].begin == 8


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "truncated: it has 0 bytes"),
        (b"\x10\0\0\0", "truncated: it has 4 bytes, too few"),
        (struct.pack("<Q", 2**60) + b"{}", "a header of 1152921504606846976 bytes is too large"),
        (struct.pack("<Q", 500) + b'{"a": ', "truncated: it has 14 bytes, its header alone"),
        (packed(b'{"a": nonsense}', b""), "the header is not valid"),
        (packed(b"[1]", b""), "not a table"),
        (packed(b'{"a": {}, "a": {}}', b""), "'a' is in it twice"),
        (packed({"a": {"dtype": "F32", "shape": [1]}}, b"1234"), "entry for 'a' is not valid"),
        (packed({"a": entry(0, 4, [1], "F33")}, b"1234"), "not known here: 'F33'"),
        (packed({"a": entry(0, 4, [2])}, b"1234"), "contradict each other"),
        (packed({"a": entry(0, 4, [-1])}, b"1234"), "contradict each other"),
        (packed({"a": entry(0, 4, [True])}, b"1234"), "not whole"),
        (packed({"a": entry(0, 4, [1]), "b": entry(2, 6, [1])}, b"123456"), "overlap before 'b'"),
        (packed({"a": entry(0, 4, [1]), "b": entry(8, 12, [1])}, b"1" * 12), "leave a hole"),
        (packed({"a": entry(0, 4, [1])}, b"123"), "truncated: it has"),
        (packed({"a": entry(0, 4, [1])}, b"123456"), "2 bytes follow the last tensor"),
        (packed(b'{"a":' * 100_000, b""), "the header is not valid"),
    ],
)
def test_bad_headers(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ProbeError) as caught:
        read_header(tmp_path / "w.safetensors")
    assert told in caught.value.reason


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("dtype", "finite_bits", "other_bits"),
    [
        ("float16", [0x7BFF, 0xFBFF, 0, 1], [0x7C00, 0xFC00, 0x7E01]),
        ("bfloat16", [0x7F7F, 0xFF7F, 0, 1], [0x7F80, 0xFF80, 0x7FC1]),
        ("float32", [0x7F7FFFFF, 0, 1], [0x7F800000, 0xFF800000, 0x7FC00001]),
        ("float64", [0x7FEFFFFFFFFFFFFF, 0], [0x7FF0000000000000, 0xFFF0000000000001]),
        ("float8_e5m2", [0x7B, 0], [0x7C, 0xFC, 0x7F]),
        ("float8_e4m3fn", [0x7E, 0xFE, 0], [0x7F, 0xFF]),
        ("float8_e4m3fnuz", [0x7F, 0xFF, 0], [0x80]),
        ("float8_e5m2fnuz", [0x7F, 0xFF, 0], [0x80]),
        ("float8_e8m0fnu", [0x7F, 0xFE, 0], [0xFF]),
        ("int32", [0x7F800000], []),
        ("uint8", [0xFF], []),
    ],
)
def test_bits_that_are_not_finite(
    dtype: str, finite_bits: list[int], other_bits: list[int]
) -> None:
    size = {"float64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2}.get(dtype, 1)
    bits = b"".join(value.to_bytes(size, "little") for value in finite_bits + other_bits)
    assert finite.count_in_bytes(numpy, bits, dtype) == len(other_bits)
    assert finite.count_in_bytes(numpy, b"", dtype) == 0


def test_torch_and_bits_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(finite, "PIECE", 7)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float8_e5m2):
        raw = torch.arange(256, dtype=torch.uint8).repeat(8 * 9).view(dtype)
        name = str(dtype).replace("torch.", "")
        buffer = raw.view(torch.uint8).numpy().tobytes()
        expected = int((~torch.isfinite(raw.float())).sum())
        assert expected > 0
        assert finite.count_in_tensor(torch, raw, "cpu") == expected
        assert finite.count_in_tensor(torch, raw.view(-1, 9).t(), "cpu") == expected
        assert finite.count_in_bytes(numpy, buffer, name) == expected


def test_good_and_bad_files_with_torch(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    good = safetensors({"w": zeros("BF16", 4, 4), "f8": zeros("F8_E4M3", 3), "i": zeros("I64")})
    (tmp_path / "a_good.safetensors").write_bytes(good)
    (tmp_path / "b_cut.safetensors").write_bytes(good[:-5])
    (tmp_path / "c_nan.safetensors").write_bytes(safetensors({"w": floats(NAN, 1, -INF)}))
    (tmp_path / "d_page.safetensors").write_text("<html><body>Sign in</body></html>")
    (tmp_path / "e_short.safetensors").write_bytes(b"\x08\0\0\0")
    (tmp_path / "f_wrong_name.pth").write_bytes(good)
    checks = {check.name: check for check in state_dict(tmp_path).checks}
    assert checks["a_good.safetensors: loads"].ok
    assert checks["a_good.safetensors: finite"].ok
    assert "truncated: it has" in checks["b_cut.safetensors: loads"].detail
    assert checks["c_nan.safetensors: finite"].detail == "NaN or infinity in w (2)"
    assert "a web page" in checks["d_page.safetensors: loads"].detail
    assert "truncated" in checks["e_short.safetensors: loads"].detail
    assert "the name says .pth" in checks["f_wrong_name.pth: loads"].detail


# --- interpreters that lack libraries -------------------------------------------------------------


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment without any library."""
    folder = tmp_path_factory.mktemp("bare env")
    venv.create(folder, symlinks=True)
    return str(folder / "bin/python")


@pytest.fixture(scope="module")
def numpy_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment that has numpy, but neither torch nor safetensors."""
    folder = tmp_path_factory.mktemp("numpy-env")
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    installed = Path(numpy.__file__).parent
    for package in (installed, installed.with_name("numpy.libs")):
        if package.exists():
            (site / package.name).symlink_to(package)
    return str(folder / "bin/python")


def test_safetensors_need_only_numpy(tmp_path: Path, numpy_python: str) -> None:
    good = {"w": zeros("BF16", 3, 5), "v": floats(1, 2), "s": zeros("F64"), "none": zeros("F32", 0)}
    (tmp_path / "good.safetensors").write_bytes(safetensors(good))
    result = state_dict(tmp_path, python=numpy_python, keys=["w"], parameters=18, tensors=4)
    assert result.state == "passed", result.reason
    assert set(result.metrics["libraries"]) == {"python", "numpy"}
    assert result.metrics["dtype"] == "bfloat16, float32, float64"
    inf = ("BF16", [2], b"\0\0\x80\x7f")
    (tmp_path / "bad.safetensors").write_bytes(safetensors({"w": inf, "v": floats(NAN)}))
    result = state_dict(tmp_path, "bad.safetensors", python=numpy_python)
    assert "NaN or infinity in w (1), v (1)" in result.reason


def test_what_is_missing_is_named(tmp_path: Path, bare_python: str, numpy_python: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(safetensors({"w": floats(1)}))
    result = state_dict(tmp_path, python=bare_python)
    assert result.reason == f"torch (or numpy) is not installed for {bare_python}"
    assert result.hint == f"'{bare_python}' -m pip install safetensors torch", "quoted: a space"
    (tmp_path / "x.pt").write_bytes(b"\x80\x02}.")
    result = state_dict(tmp_path, "x.pt", python=numpy_python)
    assert result.reason == f"torch is not installed for {numpy_python}"
    assert result.hint == f"{numpy_python} -m pip install torch"


def test_damage_is_told_without_any_library(tmp_path: Path, bare_python: str) -> None:
    (tmp_path / "page.pth").write_text("<!doctype html><title>Sign in</title>")
    (tmp_path / "cut.safetensors").write_bytes(safetensors({"w": floats(1, 2)})[:-1])
    checks = {c.name: c.detail for c in state_dict(tmp_path, python=bare_python).checks}
    assert "a web page" in checks["page.pth: loads"]
    assert "truncated" in checks["cut.safetensors: loads"]


# --- shards ---------------------------------------------------------------------------------------


def make_shards(root: Path) -> dict[str, str]:
    """Write a model of three shards with its index, and return the index's table."""
    listed: dict[str, str] = {}
    for number in range(1, 4):
        name = f"model-{number:05d}-of-00003.safetensors"
        (root / name).write_bytes(
            safetensors({f"layer{number}.w": zeros("F32", 2, 2), f"layer{number}.b": floats(1)})
        )
        listed |= {f"layer{number}.w": name, f"layer{number}.b": name}
    write_index(root, listed)
    return listed


def write_index(root: Path, listed: Any) -> None:
    (root / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))


SET = "model-*-of-00003.safetensors"
INDEX = "model.safetensors.index.json"


def judged(root: Path, python: str, *names: str, **options: Any) -> dict[str, str]:
    """Return the failed checks."""
    result = state_dict(root, *names, python=python, **options)
    assert result.checks, result.reason
    assert (result.state == "passed") is all(check.ok for check in result.checks)
    return {check.name: check.detail for check in result.checks if not check.ok}


def test_good_shards_are_one_model(tmp_path: Path, numpy_python: str) -> None:
    make_shards(tmp_path)
    result = state_dict(
        tmp_path, python=numpy_python, tensors=6, parameters=15, keys=["layer1.w", "layer3.b"]
    )
    assert result.state == "passed", result.reason
    details = {check.name: check.detail for check in result.checks}
    assert details[INDEX] == "6 tensors in 3 shards"


def test_a_missing_shard(tmp_path: Path, numpy_python: str) -> None:
    make_shards(tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    assert judged(tmp_path, numpy_python, tensors=6) == {
        f"{SET}: complete": "not laid out: model-00002-of-00003.safetensors",
        INDEX: "names model-00002-of-00003.safetensors, which is not laid out beside it",
    }


def test_a_damaged_shard_is_told_once(tmp_path: Path, numpy_python: str) -> None:
    make_shards(tmp_path)
    flip(tmp_path / "model-00002-of-00003.safetensors", 8)
    found = judged(tmp_path, numpy_python, tensors=6)
    assert list(found) == ["model-00002-of-00003.safetensors: loads"]


def test_an_index_of_another_version(tmp_path: Path, numpy_python: str) -> None:
    listed = make_shards(tmp_path)
    listed["layer1.w"], listed["new"] = listed["layer2.w"], listed["layer3.w"]
    del listed["layer3.b"]
    write_index(tmp_path, listed)
    assert judged(tmp_path, numpy_python) == {
        INDEX: "2 tensors are not in the shard that the index names: layer1.w, new"
    }


def test_no_index_or_a_broken_one(tmp_path: Path, numpy_python: str) -> None:
    make_shards(tmp_path)
    for content in ("{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": 1}}'):
        (tmp_path / INDEX).write_text(content)
        assert judged(tmp_path, numpy_python) == {
            INDEX: "is not a valid index: no table weight_map"
        }
    (tmp_path / INDEX).unlink()
    assert "no index is laid out" in judged(tmp_path, numpy_python)[f"{SET}: index"]
    assert judged(tmp_path, numpy_python, index=False) == {}


def test_a_shard_that_the_layout_renamed(tmp_path: Path, numpy_python: str) -> None:
    import sys

    from fetcher.verify import ProbeRequest, run_probes

    make_shards(tmp_path)
    files = {path.name: path for path in tmp_path.iterdir()}
    first = "model-00001-of-00003.safetensors"
    files[first] = files[first].rename(tmp_path / "first.safetensors")
    request = ProbeRequest("w", "state-dict", tmp_path, files)
    result = run_probes([request], python=numpy_python or sys.executable)[0]
    assert result.reason == f"{INDEX}: names {first}, which is not laid out beside it"
    assert "keep their names in the layout" in result.hint


@pytest.mark.parametrize(
    ("shard", "index"),
    [
        ("m-00001-of-00001.safetensors", "m.safetensors.index.json"),
        ("a/m-00001-of-00001.bin", "a/m.bin.index.json"),
        ("m.fp16-00001-of-00001.safetensors", "m.fp16.safetensors.index.json"),
        ("m.fp16-00001-of-00001.safetensors", "m.safetensors.index.fp16.json"),
        ("m-00001-of-00001.fp16.safetensors", "m.fp16.safetensors.index.json"),
        ("u/m-00001-of-00001.fp16.safetensors", "u/m.safetensors.index.fp16.json"),
    ],
)
def test_the_names_of_an_index(shard: str, index: str) -> None:
    (only,) = weight_sets([shard], [shard, index])
    assert only.index == index


def test_models_are_told_apart() -> None:
    names = ["a.pt", "m-00001-of-00002.bin", "m-00002-of-00002.bin", "n-00001-of-00002.bin"]
    found = {each.name: (each.files, each.absent) for each in weight_sets(names, names)}
    assert found == {
        "a.pt": (("a.pt",), ()),
        "m-*-of-00002.bin": (("m-00001-of-00002.bin", "m-00002-of-00002.bin"), ()),
        "n-*-of-00002.bin": (("n-00001-of-00002.bin",), ("n-00002-of-00002.bin",)),
    }


@pytest.mark.heavy
def test_memory_stays_bounded_for_a_large_file(tmp_path: Path) -> None:
    """A file of 1 GiB is checked within 400 MiB, the libraries' own included."""
    import sys

    from fetcher.verify import ProbeRequest, run_probes

    pytest.importorskip("safetensors")
    header = packed({"w": entry(0, 2**30, [2**18, 2**10])}, b"")
    path = tmp_path / "large.safetensors"
    with path.open("wb") as stream:
        stream.write(header)
        stream.truncate(len(header) + 2**30)
    assert math.prod(read_header(path)["w"].shape) == 2**28
    request = ProbeRequest(
        "large", "state-dict", tmp_path, {path.name: path}, memory_limit=400 << 20, device="cpu"
    )
    result = run_probes([request], python=sys.executable)[0]
    assert result.state == "passed", result.reason
    assert result.metrics["peak_memory_bytes"] < 400 << 20
