"""Weight files, which the `state-dict` probe reads."""

from __future__ import annotations

import datetime
import importlib
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy
import torch
from fetcher.verify import ProbeRequest
from safetensors.torch import save_file

from tests.verify.makers import RunsCode
from tests.verify.probing import request
from tests.verify.wrong import Case, Make

Tensors = dict[str, torch.Tensor]


@lru_cache
def _weights() -> Tensors:
    source = torch.Generator().manual_seed(0)
    made = {f"layer.{n}.weight": torch.randn(300, 64, generator=source) for n in range(8)}
    made |= {f"layer.{n}.bias": torch.randn(64, generator=source) * 0.01 for n in range(8)}
    return {**made, "norm.weight": torch.ones(64), "norm.bias": torch.zeros(64)}


def _saved(change: Callable[[Tensors], Tensors], name: str = "w.safetensors") -> Make:
    def make(folder: Path) -> ProbeRequest:
        folder.mkdir()
        save_file(change(dict(_weights())), folder / name)
        return request("state-dict", folder)

    return make


def _file(name: str, write: Callable[[Path], None], allowed: tuple[str, ...] = ()) -> Make:
    """A file of another kind; `allowed` is the person's word for it."""

    def make(folder: Path) -> ProbeRequest:
        folder.mkdir()
        write(folder / name)
        made = request("state-dict", folder)
        digest = sha256((folder / name).read_bytes()).hexdigest()
        return replace(made, pickles={digest: allowed}) if allowed else made

    return make


whole = _saved(lambda t: t)


def _with(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Make:
    return _saved(lambda tensors: {**tensors, name: change(tensors[name])})


def _nan(tensor: torch.Tensor) -> torch.Tensor:
    made = tensor.clone()
    made[2, 3] = float("nan")
    return made


def _rows_swapped(tensor: torch.Tensor) -> torch.Tensor:
    made = tensor.clone()
    made[[5, 6]] = tensor[[6, 5]]
    return made


def _one_number(tensor: torch.Tensor) -> torch.Tensor:
    made = tensor.clone()
    made[7] += 0.001
    return made


def _layers_swapped(tensors: Tensors) -> Tensors:
    one, two = "layer.2.weight", "layer.3.weight"
    return {**tensors, one: tensors[two], two: tensors[one]}


def _resharded(folder: Path) -> ProbeRequest:
    folder.mkdir()
    for number, part in enumerate((0, 1), 1):
        tensors = {n: t for k, (n, t) in enumerate(_weights().items()) if k % 2 == part}
        save_file(tensors, folder / f"w-{number:05d}-of-00002.safetensors")
    return request("state-dict", folder, index=False)


def _arrays() -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in _weights().items()}


def _training(path: Path) -> None:
    """As a trainer writes it: numbers and random state of numpy beside the tensors."""
    content = {
        "model": _weights(),
        "best": numpy.float64(0.5),
        "mean": numpy.zeros(3, "float32"),
        "turned": numpy.asfortranarray(numpy.ones((3, 4), ">f4")),
        "random": ("MT19937", numpy.arange(624, dtype="uint32"), 3),
        "names": numpy.array(["a", "b"]),
    }
    torch.save(content, path)


def _pickled(content: Any, protocol: int = 4) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(pickle.dumps(content, protocol))

    return write


def _scripted(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer releases deprecate what people still have
        torch.jit.script(torch.nn.Linear(4, 3)).save(str(path))


def _module(path: Path) -> None:
    torch.save(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), path)


_MODULE = tuple(
    f"torch.nn.modules.{name}"
    for name in ("activation.ReLU", "container.Sequential", "linear.Linear")
)


def _npz(path: Path) -> None:
    numpy.savez_compressed(path, **_arrays())


def _cut_npz(path: Path) -> None:
    _npz(path)
    path.write_bytes(path.read_bytes()[:-200])


def _objects(path: Path) -> None:
    numpy.savez(path, w=numpy.array([{"a": 1}], dtype=object))


def _short_npy(path: Path) -> None:
    numpy.save(path, numpy.ones((40, 40)))
    path.write_bytes(path.read_bytes()[:-8])


def _wild(path: Path) -> None:
    path.write_bytes(pickle.dumps({"w": _arrays(), "x": RunsCode(path.parent / "marker")}))


def _of_type(dtype: torch.dtype, change: Callable[[Tensors], Tensors] = dict) -> Make:
    return _saved(lambda tensors: {name: one.to(dtype) for name, one in change(tensors).items()})


def _noisy(tensors: Tensors) -> Tensors:
    source = torch.Generator().manual_seed(7)
    return {
        name: one + 0.03 * one.std() * torch.randn(one.shape, generator=source)
        for name, one in tensors.items()
    }


def _zeros_behind(folder: Path) -> ProbeRequest:
    made = whole(folder)
    data = bytearray((folder / "w.safetensors").read_bytes())
    data[-150_001:] = bytes(150_001)
    (folder / "w.safetensors").write_bytes(data)
    return made


def _padded(tensors: Tensors) -> Tensors:
    """Rows and columns of zeros at the end of the file: room that an accelerator wants."""
    made = torch.zeros(2048, 64)
    made[:1000, :60] = torch.randn(1000, 60, generator=torch.Generator().manual_seed(1))
    return {**tensors, "words.weight": made}


def _packed(name: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        packer = importlib.import_module(name)
        path.write_bytes(packer.compress(pickle.dumps(_arrays())))

    return write


def _brain(path: Path) -> None:
    """As ml_dtypes has it saved: numpy knows two bytes."""
    halves = torch.randn(6, 7).bfloat16().view(torch.int16).numpy()
    numpy.savez(path, w=halves.view("V2"))


@lru_cache
def _mixed() -> Tensors:
    """A large matrix, numbers of rows, a mask, and weights in eight bits with their scale."""
    source = torch.Generator().manual_seed(3)
    return {
        "large": torch.randn(500, 1000, generator=source),
        "places": torch.arange(512)[None],
        "mask": torch.ones(64, 64, dtype=torch.bool).tril(),
        "packed": torch.randint(-127, 127, (64, 64), dtype=torch.int8, generator=source),
        "scale": torch.tensor(0.02),
        "none": torch.zeros(0, 4),
    }


def mixed(folder: Path) -> ProbeRequest:
    return _other("", ())(folder)


def _other(name: str, place: tuple[int, ...], value: float = 0) -> Make:
    """With one number of one tensor changed."""

    def make(folder: Path) -> ProbeRequest:
        folder.mkdir()
        held = {key: one.clone() for key, one in _mixed().items()}
        if name:
            held[name][place] = value
        save_file(held, folder / "w.safetensors")
        return request("state-dict", folder)

    return make


@lru_cache
def _codes() -> Tensors:
    """A layer as GPTQ packs it, as bitsandbytes does, as float8, and what stands beside them."""
    source = torch.Generator().manual_seed(5)
    words = torch.randint(-(2**31), 2**31 - 1, (64, 512), generator=source)
    return {
        "layer.qweight": words.to(torch.int32),
        "layer.scales": torch.rand(4, 512, generator=source).half(),
        "layer.g_idx": torch.arange(512, dtype=torch.int32) // 128,
        "bnb.weight": torch.randint(0, 256, (32_768, 1), dtype=torch.uint8, generator=source),
        "eight.weight": torch.randn(256, 256, generator=source).to(torch.float8_e4m3fn),
        "large": torch.randn(600, 512, generator=source),
        "attn.bias": torch.ones(64, 64, dtype=torch.bool).tril(),
        "counts": torch.arange(1 << 12),
    }


def _packed_as(change: Callable[[Tensors], Tensors] = dict) -> Make:
    return _saved(lambda _: change(dict(_codes())))


def _bits(name: str, mask: int, every: int) -> Make:
    """With some bits turned in every so many of a tensor's numbers."""

    def change(tensors: Tensors) -> Tensors:
        made = tensors[name].clone().view(-1)
        raw = made.view(torch.uint8) if made.is_floating_point() else made
        raw[::every] ^= mask
        return {**tensors, name: made.view(tensors[name].shape)}

    return _packed_as(change)


def _masked(sign: float) -> Make:
    """A mask of infinities, which the manifest lets pass, beside weights."""

    def change(tensors: Tensors) -> Tensors:
        first = tensors["layer.0.weight"].clone()
        first[3] *= sign
        mask = torch.zeros(64, 64).masked_fill(torch.ones(64, 64).triu(1).bool(), -torch.inf)
        return {**tensors, "layer.0.weight": first, "mask": mask}

    def make(folder: Path) -> ProbeRequest:
        made = _saved(change)(folder)
        return replace(made, options={"nonfinite": "mask"})

    return make


def _complex(path: Path) -> None:
    source = torch.Generator().manual_seed(0)
    torch.save({"w": torch.randn(8, 8, dtype=torch.complex64, generator=source)}, path)


def _conjugated(path: Path) -> None:
    _complex(path)
    held = torch.load(path)
    held["w"][1, 1] = held["w"][1, 1].conj().resolve_conj()
    torch.save(held, path)


def _both(one: str, other: str) -> Callable[[Path], None]:
    """A training checkpoint with an average of the weights."""

    def write(path: Path) -> None:
        averaged = {name: 0.9 * tensor for name, tensor in _weights().items()}
        torch.save({one: _weights(), other: averaged, "epoch": 3}, path)

    return write


def _shared(path: Path) -> None:
    tied = torch.randn(8, 8)
    torch.save({"a": tied, "b": tied, "turned": tied.T}, path)


npz = _file("w.npz", _npz)
codes = _packed_as()
CASES = [
    Case("state-dict", "packed codes of 4 bits and 8", codes),
    *(
        Case("state-dict", what, _bits(*change), codes)
        for what, change in {
            "the low bit of one word of packed codes turned": ("layer.qweight", 1, 1 << 20),
            "the low bits of 1 % of packed codes changed": ("layer.qweight", 3, 100),
            "the high bit of some packed codes turned": ("layer.qweight", 1 << 30, 1000),
            "half a byte of some codes of bitsandbytes": ("bnb.weight", 5, 3000),
            "the last bit of one float8": ("eight.weight", 1, 1 << 20),
            "the last bit of 1 % of float8": ("eight.weight", 1, 100),
            "one group of a row moved": ("layer.g_idx", 1, 1 << 20),
            "one large count changed": ("counts", 1, 1 << 20),
        }.items()
    ),
    Case(
        "state-dict",
        "two packed rows exchanged",
        _packed_as(lambda t: {**t, "layer.qweight": _rows_swapped(t["layer.qweight"])}),
        codes,
    ),
    Case("state-dict", "plain safetensors", whole),
    Case("state-dict", "shards without an index, as said", _resharded),
    Case("state-dict", "numpy arrays and scalars in a torch file", _file("w.pt", _training)),
    Case("state-dict", "npz", npz),
    Case("state-dict", "npy", _file("w.npy", lambda p: numpy.save(p, numpy.ones((4, 5), "f2")))),
    Case("state-dict", "pickle of arrays", _file("w.pkl", _pickled(_arrays()))),
    Case("state-dict", "old pickle of arrays", _file("w.pickle", _pickled(_arrays(), 2))),
    Case("state-dict", "new pickle of arrays", _file("w.pkl", _pickled(_arrays(), 5))),
    Case("state-dict", "pickle of tensors", _file("w.pkl", _pickled(_weights()))),
    Case(
        "state-dict",
        "TorchScript that the person allows",
        _file("m.pt", _scripted, ("torch.jit.load",)),
    ),
    Case("state-dict", "whole module that the person allows", _file("m.pt", _module, _MODULE)),
    Case("state-dict", "TorchScript", _file("m.pt", _scripted), None, "a TorchScript archive"),
    Case("state-dict", "whole module", _file("m.pt", _module), None, "torch.nn.modules.linear"),
    Case("state-dict", "pickle that runs code", _file("w.pkl", _wild), None, "posix.mkdir"),
    Case(
        "state-dict",
        "pickle of something else",
        _file("w.pkl", _pickled({"w": datetime.date(2024, 1, 1)})),
        None,
        "datetime.date",
    ),
    Case("state-dict", "npz of objects", _file("w.npz", _objects), None, "pickled objects"),
    Case("state-dict", "npz cut off", _file("w.npz", _cut_npz), npz, "archive cannot be read"),
    Case("state-dict", "npy cut off", _file("w.npy", _short_npy), None, "has 12792 bytes"),
    Case(
        "state-dict",
        "a tensor that holds NaN",
        _with("layer.1.weight", _nan),
        whole,
        "layer.1.weight",
    ),
    Case(
        "state-dict", "another training", _saved(lambda t: {n: x * -1 for n, x in t.items()}), whole
    ),
    Case(
        "state-dict", "two rows of a tensor swapped", _with("layer.4.weight", _rows_swapped), whole
    ),
    Case("state-dict", "two layers swapped", _saved(_layers_swapped), whole),
    Case("state-dict", "one number of a bias changed", _with("layer.4.bias", _one_number), whole),
    Case("state-dict", "a tensor 1 % larger", _with("layer.0.weight", lambda t: t * 1.01), whole),
    Case("state-dict", "a norm of zeros", _with("norm.weight", torch.zeros_like), whole),
    Case(
        "state-dict",
        "a tensor less",
        _saved(lambda t: {n: x for n, x in t.items() if n != "norm.bias"}),
        whole,
    ),
    Case(
        "state-dict",
        "a layer of another training, as bfloat16",
        _saved(
            lambda t: {
                n: (x.flip(0) if n == "layer.1.weight" else x).bfloat16() for n, x in t.items()
            }
        ),
        whole,
    ),
    Case("state-dict", "float64", _of_type(torch.float64)),
    Case("state-dict", "eight bits (float8_e4m3fn)", _of_type(torch.float8_e4m3fn)),
    Case("state-dict", "zeros in rows and columns at the end", _saved(_padded)),
    Case("state-dict", "pickle as Python 2 wrote it", _file("w.pkl", _pickled(_arrays(), 0))),
    *(
        Case("state-dict", f"pickle packed by {name}", _file("w.joblib", _packed(name)))
        for name in ("gzip", "bz2", "lzma")
    ),
    Case("state-dict", "npz of bfloat16", _file("w.npz", _brain)),
    Case(
        "state-dict",
        "npz of fields",
        _file("w.npz", lambda p: numpy.savez(p, a=numpy.zeros(3, [("x", "f4"), ("n", "i4")]))),
        None,
        "of a type that torch has not",
    ),
    Case(
        "state-dict",
        "NaN in float64",
        _of_type(torch.float64, lambda t: {**t, "norm.weight": t["norm.weight"] / 0 * 0}),
        whole,
        "norm.weight",
    ),
    Case("state-dict", "zeros from somewhere to the end", _zeros_behind, whole, "not whole"),
    Case("state-dict", "3 % noise, as bfloat16", _of_type(torch.bfloat16, _noisy), whole),
    Case(
        "state-dict",
        "two rows of a tensor swapped, as bfloat16",
        _of_type(
            torch.bfloat16,
            lambda t: {**t, "layer.3.weight": _rows_swapped(t["layer.3.weight"])},
        ),
        whole,
    ),
    Case("state-dict", "numbers of all kinds", mixed),
    Case("state-dict", "a mask of infinities, as said", _masked(1)),
    Case("state-dict", "complex numbers", _file("w.pt", _complex)),
    Case("state-dict", "tensors that share their numbers", _file("w.pt", _shared)),
    Case(
        "state-dict",
        "a sparse tensor",
        _file("w.pt", lambda path: torch.save({"a": torch.eye(8).to_sparse()}, path)),
    ),
    Case(
        "state-dict",
        "a tensor without a name",
        _file("w.pt", lambda path: torch.save(torch.randn(5, 7), path)),
    ),
    Case("state-dict", "an infinite number", _other("large", (1, 1), torch.inf), mixed, "infinity"),
    Case("state-dict", "one number of half a million changed", _other("large", (250, 3), 4), mixed),
    Case("state-dict", "a row of zeros", _other("large", (250,)), mixed),
    Case("state-dict", "one place changed", _other("places", (0, 5), 6), mixed),
    Case("state-dict", "one bit of a mask turned", _other("mask", (5, 5)), mixed),
    Case("state-dict", "one number of eight bits changed", _other("packed", (5, 5), 99), mixed),
    Case("state-dict", "a scale 1 % larger", _other("scale", (), 0.0202), mixed),
    Case("state-dict", "a row of the other sign beside infinities", _masked(-1), _masked(1)),
    Case(
        "state-dict",
        "one complex number conjugated",
        _file("w.pt", _conjugated),
        _file("w.pt", _complex),
    ),
    Case(
        "state-dict",
        "weights and their average exchanged",
        _file("w.pt", _both("ema", "model")),
        _file("w.pt", _both("model", "ema")),
    ),
]
