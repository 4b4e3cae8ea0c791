"""Pickles that want to run something, and manifests that say they may."""

from __future__ import annotations

import argparse
import collections
import datetime
import hashlib
import json
import pathlib
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify.contract import inert_globals
from fetcher.verify.contract.context import Context
from fetcher.verify.contract.inert_globals import is_inert
from fetcher.verify.loaders import LoadError, vet
from fetcher.verify.weights import arrays, stand_ins
from fetcher.verify.weights.weights import open_weights

from tests.conftest import Cli, write_project
from tests.hostile.gadgets import GADGETS
from tests.verify.probing import request, run_in_this_process

pytestmark = pytest.mark.heavy
CHILD = Path(__file__).parent / "unpickle_child.py"


# Making them


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def name_of(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def as_archive(path: Path, body: bytes) -> Path:
    """A file as torch.save writes it, around any pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    return path


def as_legacy(path: Path, body: bytes) -> Path:
    """The same in torch's older format, which begins with three other pickles."""
    begin = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    parts = [pickle.dumps(part, 2) for part in begin]
    path.write_bytes(b"".join([*parts, body, pickle.dumps([], 2)]))
    return path


def called(name: str, marker: str) -> list[bytes]:
    """The ways to have a global called, built, or set, with a command as its argument."""
    module, _, attribute = name.rpartition(".")
    it, argument = name_of(module, attribute), text(f"touch {marker}")
    return [
        b"\x80\x02" + it + argument + b"\x85R.",
        b"\x80\x02}" + text("x") + it + b"(" + argument + b"lt\x81s.",
        b"\x80\x02" + it + b")\x81}" + text("__dict__") + argument + b"sb.",
        b"\x80\x02(" + argument + b"i" + f"{module}\n{attribute}\n".encode() + b".",
        b"\x80\x04" + b"\x8c" + bytes([len(module)]) + module.encode() + b"\x8c"
        + bytes([len(attribute)]) + attribute.encode() + b"\x93" + argument + b"\x85R.",
    ]  # fmt: skip


def random_pickle(source: random.Random, marker: str) -> bytes:
    """Opcodes in any order, with globals that are worth trying; mostly nonsense, as a fuzzer's."""
    known = ["torch._utils._rebuild_tensor_v2", "torch._tensor._rebuild_from_type_v2"]
    known += ["collections.OrderedDict", "argparse.Namespace", "torch.nn.parameter.Parameter"]
    known += ["torch._utils._rebuild_wrapper_subclass", "_codecs.encode", "torch.Tensor"]
    out = [b"\x80\x02"]
    for _ in range(source.randint(3, 40)):
        name = source.choice(source.choice([GADGETS, known]))
        module, _, attribute = name.rpartition(".")
        out.append(
            source.choice(
                [
                    *(name_of(module, attribute), text(f"touch {marker}"), b"(", b"t", b"l", b"d"),
                    *(b")", b"]", b"}", b"N", b"K\x01", b"\x85", b"\x86", b"\x87", b"0", b"2"),
                    *(b"R", b"R", b"\x81", b"b", b"s", b"a", b"e", b"u", b"\x88", b"\x8f"),
                    *(b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"Q", b"\x92"),
                    text(source.choice(["__reduce__", "__class__", "__setstate__", "os"])),
                ]
            )
        )
    return b"".join([*out, b"."])


def names_in(body: bytes) -> list[str]:
    return sorted(name for name in GADGETS if name.rpartition(".")[0].encode() in body)


def run(folder: Path, files: list[Path], words: list[Any]) -> list[dict[str, Any]]:
    """Open them all in a child; what it says of each."""
    for file, word in zip(files, words, strict=True):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        file.with_suffix(".json").write_text(json.dumps({digest: word} if word else {}))
    done = subprocess.run(
        [sys.executable, str(CHILD), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((folder / "told.json").read_text())
    return [told[file.stem] for file in files]


# What they try


def test_nothing_runs_though_the_manifest_allows_it(tmp_path: Path) -> None:
    """A stranger's manifest allows every function that a pickle has ever been used to run; then
    opcodes in any order try what nobody has thought of, with a manifest that allows it all.
    """
    assert len(set(GADGETS)) > 200
    marker = tmp_path / "marker"
    files: list[Path] = []
    words: list[Any] = []
    for name in GADGETS:
        for number, body in enumerate(called(name, str(marker))):
            path = tmp_path / f"{len(files)}.pt"
            files.append((as_archive if (len(files) + number) % 3 else as_legacy)(path, body))
            words.append([name])
    known = len(files)
    seed = random.randrange(2**32)
    source = random.Random(seed)
    for _ in range(1000):
        body = random_pickle(source, str(marker))
        write = source.choice([as_archive, as_legacy])
        files.append(write(tmp_path / f"{len(files)}.pt", body))
        words.append([*names_in(body), "argparse.Namespace"])
    found = run(tmp_path, files, words)
    for one in found:
        assert not one["events"], f"seed {seed}: {one}"
    for one in found[:known]:
        assert not one["end"].startswith("opened"), one
    assert not marker.exists()


def test_no_gadget_is_plain_data() -> None:
    """Our own list holds by mistake what runs code."""
    assert not [name for name in GADGETS if is_inert(name)]
    for word in ("os", "sys", "builtins", "operator", "functools", "importlib", "subprocess"):
        assert not is_inert(word) and not is_inert(f"{word}.getattr") and not is_inert(f"{word}.x")
    for trick in ("argparse.Namespace.x", "argparse.Namespace\n", " argparse.Namespace", "", "."):
        assert not is_inert(trick), repr(trick)


def test_what_stands_for_plain_data_does_nothing() -> None:
    """A class of plain data has a constructor or state that runs code, or an import that does."""
    names = ["argparse.Namespace", "omegaconf.dictconfig.DictConfig", "easydict.EasyDict"]
    names += ["collections.defaultdict", "collections.deque", "numpy.core.multiarray.scalar"]
    names += ["__builtin__.slice", "pathlib.PosixPath", "mmengine.config.config.ConfigDict"]
    assert all(map(is_inert, names))
    ours = {stand_ins.Opaque, collections.OrderedDict, stand_ins._mapping, stand_ins._list}
    ours |= {arrays.Scalar}
    made = stand_ins.stand_ins(names)
    assert {kind for kind, _ in made} <= ours, "nothing of a library stands there"
    assert "builtins.slice" in {name for _, name in made}, "as Python 3 calls it"
    opaque = stand_ins.Opaque("rm", 1)
    opaque.__setstate__({"a": 1})
    assert not hasattr(opaque, "__dict__")
    assert "omegaconf" not in inert_globals.__dict__


def test_plain_data_still_loads(tmp_path: Path, cli: Cli) -> None:
    """Honest checkpoints with arguments, dates, paths and arrays beside their tensors."""
    torch, numpy = pytest.importorskip("torch"), pytest.importorskip("numpy")
    tmp_path.joinpath("up").mkdir()
    file = tmp_path / "up/w.ckpt"
    torch.save(
        {
            "state_dict": {"w": torch.ones(2, 3)},
            "args": argparse.Namespace(lr=1, where=pathlib.PurePosixPath("/x")),
            "when": datetime.datetime(2024, 1, 1),
            "rng": numpy.arange(3),
            "loss": numpy.float64(0.5),
            "dtype": numpy.dtype("float32"),
            "cut": slice(1, 2),
            "names": collections.deque(["a", "b"], 3),
            "more": collections.defaultdict(dict, {"deep": {"v": torch.zeros(4)}}),
        },
        file,
    )
    first = verified(tmp_path, cli, "{type: state-dict}")
    assert first.code == 8
    hint = first.json["errors"][0]["hint"]
    line = hint.partition("`probe: {")[2].rpartition("}`")[0]
    again = verified(tmp_path, cli, "{type: state-dict, parameters: 10, " + line + "}")
    assert again.code == 0, again.out
    told = [check["detail"] for check in again.json["results"][0]["checks"]]
    assert any("let through: " in one and "argparse.Namespace" in one for one in told), told


def write(root: Path, probe: str) -> None:
    write_project(
        root,
        "p",
        f"artifacts:\n  model:\n    source: local:up\n    probe: {probe}\n",
        "tree: {m/: model}\n",
    )


def verified(root: Path, cli: Cli, probe: str) -> Any:
    write(root, probe)
    assert cli("all", "--update").code == 0
    return cli("verify", "--json", "--python", sys.executable)


class Spawns:
    """Unpickles by having another function called."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        import fnmatch

        return fnmatch.filter, (["touch", str(self.marker)], "t*")


def test_the_persons_word_alone_lets_it_and_the_hint_says_how(tmp_path: Path, cli: Cli) -> None:
    """A manifest gives itself consent to a function of Python's own, by the file's sha256."""
    torch = pytest.importorskip("torch")
    tmp_path.joinpath("up").mkdir()
    file = tmp_path / "up/w.pt"
    torch.save({"w": torch.ones(2), "x": Spawns(tmp_path / "marker")}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    own_word = f"{{type: state-dict, allow_globals: {{{digest}: [fnmatch.filter]}}}}"
    refused = verified(tmp_path, cli, own_word)
    (error,) = refused.json["errors"]
    assert refused.code == 8 and "w.pt" in error["message"]
    assert "refused: beside tensors the pickle asks for fnmatch.filter" in error["message"]
    command = f"fetch config allow pickles {digest} fnmatch.filter"
    assert error["hint"].endswith(command)
    assert cli(*command.split()[1:]).code == 0
    assert verified(tmp_path, cli, own_word).code == 0
    assert verified(tmp_path, cli, "{type: state-dict}").code == 0, "the manifest need not say it"
    torch.save({"w": torch.zeros(2), "x": Spawns(tmp_path / "marker")}, file)
    assert verified(tmp_path, cli, own_word).code == 8, "another file"


def test_distutils_spawn(tmp_path: Path, cli: Cli) -> None:
    """The manifest allows distutils.spawn.spawn for its own pickle, in every place for options."""
    tmp_path.joinpath("up").mkdir()
    marker = tmp_path / "marker"
    body = b"\x80\x02" + name_of("distutils.spawn", "spawn")
    body += b"]" + text("touch") + b"a" + text(str(marker)) + b"a\x85R."
    file = as_archive(tmp_path / "up/w.pt", body)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    word = f"{{{digest}: [distutils.spawn.spawn]}}"
    result = verified(tmp_path, cli, f"{{type: state-dict, allow_globals: {word}, trust: project}}")
    assert result.code == 8 and "distutils.spawn.spawn" in result.json["errors"][0]["message"]
    for option in ("pickles", "trust_code", "trusted_related"):
        write(tmp_path, f"{{type: state-dict, {option}: {word}}}")
        assert cli("verify").code == 2, "no such option"
    (tmp_path / "fetch.yaml").write_text(f"allow: {{pickles: {word}}}\n")
    write(tmp_path, "{type: state-dict}")
    assert cli("verify").code == 2, "a project's settings allow nothing"
    assert not marker.exists()


@pytest.mark.parametrize("member", ["archive/constants.pkl", "archive/code/__torch__.py"])
def test_torchscript_is_not_loaded(tmp_path: Path, member: str) -> None:
    """An archive that torch takes for TorchScript, whose code older releases run at once."""
    file = as_archive(tmp_path / "w.pt", b"\x80\x02}.")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(member, b"\x80\x02).")
    assert "TorchScript" in run_in_this_process(request("state-dict", tmp_path)).reason


def test_an_old_torch_loads_no_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in torch's oldest format got round `weights_only` before torch 2.6."""
    torch = pytest.importorskip("torch")

    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cu121")
    monkeypatch.setattr(torch, "load", None)

    made = request("state-dict", tmp_path)
    with pytest.raises(Exception, match=r"torch 2\.5\.1\+cu121 has no safe way") as caught:
        open_weights(Context(made, lambda _: None, tmp_path), tmp_path / "w.pt", "w.pt")
    assert "2.6" in getattr(caught.value, "hint", "")
    with pytest.raises(LoadError, match="is a pickle"):
        vet(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(b"")
    vet(tmp_path)
