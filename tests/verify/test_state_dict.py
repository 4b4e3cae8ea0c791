"""The state-dict probe on torch files: real weights, and everything that goes wrong with them."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify import Check, ProbeResult
from fetcher.verify.contract.pickles import wanted_globals
from fetcher.verify.probes.state_dict import PROBE

from .conftest import state_dict
from .makers import RunsCode, flip
from .probing import golden_differences, probe_here

torch = pytest.importorskip("torch")

MTCNN = Path(__file__).parents[1] / "data/facenet-mtcnn"
LFS_POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d\nsize 1559269\n"
)
SIGN_IN = "\n<!DOCTYPE html>\n<html><head><title>Sign in to your account</title></head></html>"


def plain() -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3),
        "conv.bias": torch.zeros(4),
        "steps": torch.tensor(5),
    }


def named(result: ProbeResult) -> dict[str, Check]:
    return {check.name: check for check in result.checks}


def test_real_mtcnn_weights_pass() -> None:
    result = state_dict(
        MTCNN,
        own_process=True,
        keys=["conv1.weight", "prelu*.weight"],
        shapes={"conv1.weight": [-1, 3, 3, 3], "conv?.bias": [None]},
        parameters={"min": 6_632, "max": 389_040},
        tensors={"min": 13, "max": 21},
        dtype="float32",
    )
    assert result.state == "passed", result.reason
    assert all(check.ok for check in result.checks)
    assert named(result)["pnet.pt: loads"].detail == "13 tensors, 6,632 numbers"
    metrics = result.metrics
    assert (metrics["parameters"], metrics["tensors"], metrics["dtype"]) == (495850, 50, "float32")
    assert metrics["device"] == "cpu"
    assert metrics["libraries"]["torch"] == torch.__version__
    assert metrics["load_seconds"] > 0
    assert metrics["peak_memory_bytes"] < metrics["peak_resident_bytes"]


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ProbeResult]:
    """One artifact with every kind of damage, and what the probe says about it."""
    root = tmp_path_factory.mktemp("bad")
    onet = (MTCNN / "onet.pt").read_bytes()
    (root / "a_legacy_cut.pt").write_bytes(onet[: len(onet) // 2])
    (root / "a_legacy_cut_early.pt").write_bytes(onet[:100])
    (root / "b_page.pth").write_text(SIGN_IN)
    (root / "c_pointer.bin").write_text(LFS_POINTER)
    (root / "d_empty.ckpt").touch()
    (root / "e_text.pt").write_text("Invalid username or password.\n")
    (root / "f_bytes.bin").write_bytes(b"\xde\xad\xbe\xef" * 50)
    torch.save(plain(), root / "g_cut.pth")
    (root / "g_cut.pth").write_bytes((root / "g_cut.pth").read_bytes()[:-200])
    torch.save(plain(), root / "h_flipped.pth")
    flip(root / "h_flipped.pth", _start_of_data(root / "h_flipped.pth"))
    torch.save({"w": torch.tensor([1.0, float("nan")]), "v": torch.zeros(3)}, root / "i_nan.pth")
    half = torch.zeros(5, dtype=torch.bfloat16)
    half[4] = float("-inf")
    torch.save({"w": half, "z": torch.tensor([complex(0, float("inf"))])}, root / "j_inf.pth")
    torch.save({"a": plain(), "args": argparse.Namespace(lr=1)}, root / "k_namespace.pth")
    torch.save({"w": torch.zeros(1), "x": RunsCode(root / "marker")}, root / "l_runs_code.pth")
    with (root / "m_runs_code_plain.pt").open("wb") as stream:
        pickle.dump(RunsCode(root / "marker"), stream, protocol=4)
    torch.save({"epoch": 3}, root / "n_no_tensors.pt")
    torch.save(plain(), root / "o_named.safetensors")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), root / "p_script.pt")
    (root / "q_link.pt").symlink_to(root / "nowhere")
    torch.save(plain(), root / "z_good.pth")
    return root, state_dict(root, own_process=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("a_legacy_cut.pt: loads", "779,634 bytes; it may be truncated or damaged"),
        ("a_legacy_cut_early.pt: loads", "100 bytes; it may be truncated or damaged"),
        ("b_page.pth: loads", "a web page, not weights: most likely a sign-in or error page"),
        ("c_pointer.bin: loads", "a Git LFS pointer, not the weights"),
        ("d_empty.ckpt: loads", "the file is empty (0 bytes)"),
        ("e_text.pt: loads", "text, not weights: 'Invalid username or password.'"),
        ("f_bytes.bin: loads", "not a torch file: it begins with de ad be ef"),
        ("g_cut.pth: loads", "truncated: the archive's end is missing"),
        ("h_flipped.pth: loads", "damaged: the checksum of h_flipped/data/0 does not match"),
        ("i_nan.pth: finite", "NaN or infinity in w (1)"),
        ("j_inf.pth: finite", "NaN or infinity in w (1), z (1)"),
        ("k_namespace.pth: loads", "beside tensors the pickle asks for argparse.Namespace"),
        ("l_runs_code.pth: loads", "beside tensors the pickle asks for posix.mkdir"),
        ("m_runs_code_plain.pt: loads", "beside tensors the pickle asks for posix.mkdir"),
        ("n_no_tensors.pt: loads", "it holds no tensors"),
        ("o_named.safetensors: loads", "the name says .safetensors, the content is a torch zip"),
        ("p_script.pt: loads", "a TorchScript archive: it holds code"),
        ("q_link.pt: loads", "the link leads to no file"),
    ],
)
def test_damage_has_words_of_its_own(
    bad: tuple[Path, ProbeResult], check: str, reason: str
) -> None:
    found = named(bad[1])[check]
    assert not found.ok
    assert reason in found.detail


def test_no_code_of_a_pickle_ran(bad: tuple[Path, ProbeResult]) -> None:
    root, result = bad
    assert not (root / "marker").exists()
    assert result.state == "failed"
    assert result.hint == "remove the file and fetch the artifact again"
    assert named(result)["z_good.pth: finite"].ok, "one bad file does not stop the others"


def _start_of_data(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        member = next(m for m in archive.infolist() if m.filename.endswith("data/0"))
    header = member.header_offset
    raw = path.read_bytes()
    name, extra = (int.from_bytes(raw[header + n : header + n + 2], "little") for n in (26, 28))
    return header + 30 + name + extra


def test_a_flipped_byte_is_found_although_torch_loads_it(tmp_path: Path) -> None:
    torch.save(plain(), tmp_path / "w.pth")
    place = _start_of_data(tmp_path / "w.pth")
    flip(tmp_path / "w.pth", place)
    loaded = torch.load(tmp_path / "w.pth", weights_only=True)
    assert not torch.equal(loaded["conv.weight"], plain()["conv.weight"])
    assert state_dict(tmp_path).state == "failed"


def test_files_without_checksums_and_deflated_files_load(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(plain(), tmp_path / "none.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    torch.save(plain(), tmp_path / "stored.pth")
    with (
        zipfile.ZipFile(tmp_path / "stored.pth") as old,
        zipfile.ZipFile(tmp_path / "small.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name.replace("stored", "small"), old.read(name))
    result = state_dict(tmp_path, parameters=113)
    assert result.state == "passed", result.reason
    assert "saved without checksums" in named(result)["none.pth: loads"].detail


def test_a_nested_checkpoint_and_its_key(tmp_path: Path) -> None:
    zoo = {"models": {"generator": plain(), "generator_smooth": plain()}, "lr": [0.1]}
    torch.save(zoo, tmp_path / "zoo.pth")
    torch.save({"a.b": plain()}, tmp_path / "dotted.pth")
    good = state_dict(
        tmp_path, "zoo.pth", key="models.generator_smooth", keys="conv.*", tensors=3, parameters=113
    )
    assert good.state == "passed", good.reason
    assert state_dict(tmp_path, "dotted.pth", key="a.b", tensors=3).state == "passed"


def test_a_key_that_leads_nowhere(tmp_path: Path) -> None:
    zoo = {"models": {"generator": plain(), "generator_smooth": plain()}, "lr": [0.1]}
    torch.save(zoo, tmp_path / "zoo.pth")
    result = state_dict(tmp_path, "zoo.pth", key="generator")
    assert "no 'generator' at the top of the file; there is: models, lr" in result.reason
    assert result.hint == "name one of these in the probe's `key`: models"
    result = state_dict(tmp_path, "zoo.pth", key="models.dis")
    assert "no 'dis' below 'models'; there is: generator, generator_smooth" in result.reason


def test_a_flat_file_where_a_nested_one_is_expected_and_back(tmp_path: Path) -> None:
    torch.save(plain(), tmp_path / "flat.pth")
    result = state_dict(tmp_path, "flat.pth", key="generator")
    assert "it is a flat state dict of 3 tensors: conv.weight, conv.bias, steps" in result.reason
    assert result.hint == "the tensors lie at the top: leave the probe's `key` out"
    torch.save({"generator": plain(), "generator_smooth": plain()}, tmp_path / "zoo.pth")
    result = state_dict(tmp_path, "zoo.pth", keys=["conv.weight"])
    assert result.reason == "zoo.pth: keys: no tensor is named conv.weight"
    assert "set the probe's `key: generator`" in result.hint


def test_unmet_expectations_are_all_told(tmp_path: Path) -> None:
    torch.save(plain(), tmp_path / "w.pth")
    result = state_dict(
        tmp_path,
        keys=["conv.weight", "conv.wieght", "lora_*"],
        shapes={"conv.weight": [4, 3, None], "conv.bias": [-1], "fc": [1]},
        parameters=112,
        tensors={"min": 4},
        dtype=["bf16", "fp16"],
    )
    found = {name: check.detail for name, check in named(result).items() if not check.ok}
    assert found == {
        "w.pth: keys": "no tensor is named conv.wieght, lora_*",
        "w.pth: shapes": "conv.weight is [4, 3, 3, 3], expected [4, 3, any]; fc is not there",
        "w.pth: parameters": "113, expected 112",
        "w.pth: tensors": "3, expected at least 4",
        "w.pth: dtype": "conv.weight is float32, conv.bias is float32, "
        "expected bfloat16 or float16",
    }
    assert result.hint == "the nearest name is conv.weight"


def test_expectations_hold_for_each_model_and_files_chooses(tmp_path: Path) -> None:
    torch.save(plain(), tmp_path / "gen.pth")
    torch.save({"w": torch.zeros(2)}, tmp_path / "dis.pth")
    torch.save({"x": 1}, tmp_path / "training_args.bin")
    assert state_dict(tmp_path, parameters=113).reason == "dis.pth: parameters: 2, expected 113"
    result = state_dict(tmp_path, files=["gen*"], parameters=113)
    assert result.state == "passed", result.reason
    result = state_dict(tmp_path, files="generator.pth")
    assert result.reason == "no file of the artifact matches 'generator.pth'"
    assert result.hint == "did you mean 'gen.pth'?"
    result = state_dict(tmp_path, "training_args.bin")
    assert "no weight file (.safetensors, .pt" in result.reason


def test_numbers_that_may_be_infinite(tmp_path: Path) -> None:
    torch.save({"mask": torch.full((3,), float("-inf")), "w": torch.zeros(2)}, tmp_path / "w.pt")
    assert state_dict(tmp_path).state == "failed"
    assert state_dict(tmp_path, nonfinite=["*mask"]).state == "passed"


def test_tensors_of_all_kinds_are_read(tmp_path: Path) -> None:
    tensors = {
        "transposed": torch.randn(5, 7).t(),
        "expanded": torch.randn(1, 3).expand(4, 3),
        "channels_last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "sparse": torch.eye(3).to_sparse(),
        "complex": torch.ones(2, dtype=torch.complex64),
        "fp8": torch.ones(3).to(torch.float8_e4m3fn),
        "half": torch.ones(3).half(),
        "double": torch.ones(3).double(),
        "none": torch.zeros(0, 4),
        "scalar": torch.tensor(1.5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "flags": torch.tensor([True]),
        "list": [torch.ones(1), {"deep": torch.ones(1)}],
        "text": "not a tensor",
    }
    torch.save(tensors, tmp_path / "w.pt")
    torch.save(torch.ones(4), tmp_path / "lone.pt")
    result = state_dict(tmp_path, "w.pt", tensors=14, keys=["list.1.deep"])
    assert result.state == "passed", result.reason
    assert state_dict(tmp_path, "lone.pt", shapes={"tensor": [4]}).state == "passed"
    tensors["transposed"] = torch.full((3, 2), float("nan")).t()
    tensors["sparse"] = (
        (torch.eye(2) * float("inf")).nan_to_num(0.0, posinf=float("inf")).to_sparse()
    )
    torch.save(tensors, tmp_path / "w.pt")
    assert "transposed (6), sparse (2)" in state_dict(tmp_path, "w.pt").reason


def test_a_gpu_that_is_not_there_is_told(tmp_path: Path) -> None:
    import sys

    from fetcher.verify import ProbeRequest, run_probes

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    torch.save(plain(), tmp_path / "w.pt")
    files = {"w.pt": tmp_path / "w.pt"}
    wanted = ProbeRequest("w", "state-dict", tmp_path, files, device="cuda:0")
    unfit = ProbeRequest("w", "state-dict", tmp_path, files, gpu_only=True)
    lacking, skipped = run_probes([wanted, unfit], python=sys.executable, jobs=2)
    assert lacking.reason.startswith("device cuda:0 is not there: torch")
    assert (skipped.state, skipped.reason) == (
        "skipped",
        "the model needs a GPU and the device is cpu",
    )


@pytest.mark.parametrize("zipped", [True, False])
def test_the_globals_of_a_pickle_are_named(tmp_path: Path, zipped: bool) -> None:
    content = OrderedDict(w=torch.zeros(1), args=argparse.Namespace(), x=RunsCode(tmp_path / "m"))
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    found = wanted_globals(tmp_path / "w.pt")
    assert {"argparse.Namespace", "posix.mkdir", "collections.OrderedDict"} <= set(found)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_the_globals_of_any_protocol_are_named(tmp_path: Path, protocol: int) -> None:
    twice = [argparse.Namespace(), RunsCode(tmp_path / "m"), argparse.Namespace]
    (tmp_path / "w.pt").write_bytes(pickle.dumps(twice, protocol))
    assert {"argparse.Namespace", "posix.mkdir"} <= set(wanted_globals(tmp_path / "w.pt"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shape": {"a": [1]}}, "shape: no such option; did you mean 'shapes'?"),
        ({"files": []}, "files: expected a string or a list of strings, found []"),
        ({"key": 3}, "key: expected a string, found 3"),
        ({"shapes": {"w": [1, "2"]}}, "shapes: expected a list of sizes (-1 or null: any) for 'w'"),
        ({"shapes": {"w": [1, -2]}}, "shapes: expected a list of sizes"),
        ({"shapes": ["w"]}, "shapes: expected a mapping"),
        (
            {"dtype": "float33"},
            "dtype: 'float33' is not a type of tensors; did you mean 'float32'?",
        ),
        ({"parameters": {"max": -1}}, "parameters: min and max must be"),
        ({"index": "no"}, "index: expected true or false"),
    ],
)
def test_wrong_options(options: dict[str, Any], told: str) -> None:
    problems = PROBE.validate_options(options)
    assert len(problems) == 1
    assert str(problems[0]).startswith(told)


def test_right_options() -> None:
    assert not PROBE.validate_options(
        {
            "files": "*.pth",
            "key": "models.generator",
            "keys": ["a.*"],
            "shapes": {"w": [], "v": [1, -1, None]},
            "parameters": 3,
            "tensors": {"min": 1, "max": 2},
            "dtype": ["bf16", "float8_e4m3fn"],
            "nonfinite": ["mask"],
            "index": False,
        }
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_exactly_the_named_globals_of_exactly_this_file_can_be_allowed(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    torch.save({"w": torch.ones(2), "args": argparse.Namespace(lr=1)}, file)
    refused = state_dict(tmp_path)
    assert "refused: beside tensors the pickle asks for argparse.Namespace" in refused.reason
    line = f"allow_globals: {{{_digest(file)}: [argparse.Namespace]}}"
    assert line in refused.hint, "the hint can be copied into the manifest"
    allowed = {_digest(file): ["argparse.Namespace"]}
    passed = state_dict(tmp_path, allow_globals=allowed)
    assert passed.state == "passed", passed.reason
    assert "let through: argparse.Namespace" in passed.checks[0].detail
    torch.save({"w": torch.zeros(2), "args": argparse.Namespace(lr=1)}, file)
    assert "refused" in state_dict(tmp_path, allow_globals=allowed).reason, "another file"
    torch.save({"w": torch.ones(2), "a": argparse.Namespace(), "b": datetime.date(1, 1, 1)}, file)
    part = state_dict(tmp_path, allow_globals={_digest(file): ["argparse.Namespace"]})
    assert "datetime.date" in part.hint and "argparse.Namespace" in part.hint


def test_no_manifest_allows_what_runs_code(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    torch.save({"w": torch.ones(2), "x": RunsCode(tmp_path / "marker")}, file)
    refused = state_dict(tmp_path, "w.pt")
    assert "posix.mkdir" in refused.reason and "allow" not in refused.hint, "torch never lets it"
    for name in ("posix.mkdir", "os.system", "builtins.eval", "subprocess.Popen", "os.path.join"):
        forced = state_dict(tmp_path, "w.pt", allow_globals={_digest(file): [name]})
        assert "refused" in forced.reason and "posix.mkdir" in forced.reason
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({}, "a mapping from sha256"),
        ({"abc": ["a.b"]}, "a file's sha256"),
        ({"a" * 64: "a.b"}, "a list of names"),
        ({"a" * 64: ["Namespace"]}, "a list of names"),
    ],
)
def test_what_is_allowed_has_a_form(tmp_path: Path, value: Any, told: str) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt")
    assert told in state_dict(tmp_path, own_process=True, allow_globals=value).reason


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_the_same_weights_in_another_number_type_are_the_same(tmp_path: Path, dtype: str) -> None:
    source = torch.Generator().manual_seed(0)
    weights = {str(n): torch.randn(50, 40, generator=source) * 0.02 for n in range(30)}
    found = []
    for kind in ("float32", dtype):
        folder = tmp_path / kind
        folder.mkdir()
        torch.save({n: t.to(getattr(torch, kind)) for n, t in weights.items()}, folder / "w.pt")
        found.append(probe_here("state-dict", folder))
    assert found[1].metrics["dtype"] == dtype
    assert golden_differences(*found) == {}


def test_joblib_packs_arrays_into_its_stream(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    numpy = pytest.importorskip("numpy")
    arrays = {"a": numpy.arange(12.0).reshape(3, 4), "b": numpy.ones(5, "float32", order="F")}
    found = []
    for packed in (0, 3, "gzip"):
        folder = tmp_path / str(packed)
        folder.mkdir()
        joblib.dump(arrays, folder / "w.joblib", compress=packed)
        found.append(probe_here("state-dict", folder))
    assert [one.state for one in found] == ["passed"] * 3, found[0].reason
    assert found[0].metrics["parameters"] == 17
    assert golden_differences(found[0], found[1]) == golden_differences(found[0], found[2]) == {}


def test_without_torch_the_values_are_the_same(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    from fetcher.verify.weights import exact, sketch

    values = torch.randn(3000, 70, generator=torch.Generator().manual_seed(0))
    for kind in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        there = values.to(kind)
        raw = there.contiguous().view(torch.uint8).numpy().tobytes()
        name = str(kind).replace("torch.", "")
        by_numpy = sketch.of_blocks(sketch.of_buffer(numpy, raw, name))
        assert by_numpy == pytest.approx(sketch.of_blocks(sketch.of_tensor(torch, there)), abs=1e-5)
    for kind in (torch.bool, torch.int8, torch.uint8, torch.int32, torch.int64, torch.float8_e5m2):
        there = (values * 20).to(kind)
        raw = there.contiguous().view(torch.uint8).numpy().tobytes()
        name = str(kind).replace("torch.", "")
        by_torch = exact.of_tensor(torch, there)
        assert by_torch is not None and by_torch == exact.of_buffer(numpy, raw, name)
    assert exact.of_tensor(torch, values) is exact.of_buffer(numpy, b"", "float32") is None


def _noting(seen: list[int]) -> Iterator[Any]:
    for _ in range(2):
        seen.append(torch.get_num_threads())
        yield torch.ones(8)


def test_sums_of_blocks_use_one_thread() -> None:
    from fetcher.verify.weights import sketch

    before = torch.get_num_threads()
    seen: list[int] = []
    torch.set_num_threads(2)
    try:
        sketch.of_blocks(_noting(seen))
        with pytest.raises(AttributeError):
            sketch.of_blocks([None])
        assert seen == [1, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
