from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fetcher.verify
import pytest
from fetcher.verify import (
    Check,
    ProbeRequest,
    ProbeResult,
    UnknownProbeError,
    load_probe,
    probe_types,
)
from fetcher.verify.child import fitness
from fetcher.verify.contract import devices, options
from fetcher.verify.contract.built_in_probes import BUILT_IN, NONE
from fetcher.verify.contract.probe_errors import ProbeError, ProbeSkipped
from fetcher.verify.contract.protocol import Problem

PACKAGE = Path(fetcher.verify.__file__).parent


def request(**changes: Any) -> ProbeRequest:
    values: dict[str, Any] = {
        "artifact": "a",
        "type": "state-dict",
        "root": Path("/p"),
        "files": {"x.pt": Path("/p/renamed.pt")},
        "options": {"keys": ["a.*"], "shapes": {"w": [None, 3]}},
        "related": {"base": {"c.json": Path("/q/c.json")}},
        "min_vram": 2**30,
    }
    return ProbeRequest(**(values | changes))


def test_a_request_survives_json() -> None:
    wanted = request()
    plain = json.loads(json.dumps(wanted.to_json()))
    assert ProbeRequest.from_json(plain) == wanted
    plain["later"] = 1
    assert ProbeRequest.from_json(plain) == wanted, "newer keys are left out"


def test_a_result_survives_json() -> None:
    result = ProbeResult(
        "a", "t", "failed", "why", "what to do", (Check("c", False, "d"),), {"seconds": 1.5}, "log"
    )
    assert ProbeResult.from_json(json.loads(json.dumps(result.to_json()))) == result


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"device": "gpu"}, "device 'gpu' is none of"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"memory_limit": -1}, "memory_limit"),
        ({"root": Path("p")}, "not an absolute path"),
        ({"files": {"x": Path("x")}}, "not an absolute path"),
    ],
)
def test_a_request_that_makes_no_sense(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        request(**change)


def test_the_types_are_listed(plugins: None) -> None:
    assert {"state-dict", "misbehave", "packaged"} <= set(probe_types())
    assert list(probe_types()) == sorted(probe_types())


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(UnknownProbeError) as caught:
        load_probe("state_dic")
    assert caught.value.nearest == ("state-dict",)
    assert caught.value.hint == "did you mean 'state-dict'?"
    with pytest.raises(UnknownProbeError) as caught:
        load_probe("xyz")
    assert "state-dict" in caught.value.hint


def test_every_built_in_probe_is_registered_under_its_type() -> None:
    modules = {
        path.stem
        for path in (PACKAGE / "probes").glob("*.py")
        if any(line.startswith("PROBE = ") for line in path.read_text().splitlines())
    }
    assert modules == {probe.module for probe in BUILT_IN.values() if probe.module}
    for name in BUILT_IN.keys() - {NONE}:
        assert load_probe(name).type == name


def test_a_plug_in_does_not_replace_a_built_in(plugins: None) -> None:
    assert load_probe("state-dict").type == "state-dict"


@pytest.mark.parametrize(
    "path",
    sorted(
        p
        for p in PACKAGE.rglob("*.py")
        if p.parent.name != "host" and p.name != "probe_registry.py"
    ),
    ids=lambda p: p.relative_to(PACKAGE).as_posix(),
)
def test_the_childs_modules_are_python_3_8_and_stdlib(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    loads_models = path.parent.name == "loaders"
    late = {
        id(node)
        for function in ast.walk(tree)
        if loads_models and isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if id(node) in late:
            continue
        assert not isinstance(node, ast.Match)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if not name.startswith("fetcher.verify"):
                assert name.split(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_the_package_is_light_to_import() -> None:
    code = (
        "import sys, fetcher.verify as v, fetcher.verify.contract.probe_registry; v.probe_types();"
        "v.load_probe('state-dict').validate_options({});"
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'safetensors', 'ctypes')))"
    )
    environ = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == 0
    with pytest.raises(AttributeError):
        fetcher.verify.no_such_name  # noqa: B018


def test_options_are_judged() -> None:
    rules = {"files": options.texts, "index": options.flag, "tensors": options.count}
    assert options.check_options({"files": "*.pt", "index": False, "tensors": 3}, rules) == []
    problems = options.check_options({"file": "x", "index": "no", "tensors": True}, rules)
    assert problems[0] == Problem("file", "no such option", "did you mean 'files'?", unknown=True)
    assert [str(problem) for problem in problems[1:]] == [
        "index: expected true or false, found 'no'",
        "tensors: expected a whole number or {min: …, max: …}, found True",
    ]


@pytest.mark.parametrize(
    ("value", "ok"),
    [
        (3, True),
        ({"min": 1}, True),
        ({"min": 1, "max": 2}, True),
        ({"min": 3, "max": 2}, False),
        ({"minimum": 3}, False),
        ({"min": "3"}, False),
        ({}, False),
        (-1, False),
        ("3", False),
    ],
)
def test_counts(value: Any, ok: bool) -> None:
    assert (options.count(value) == "") is ok


def fake_torch(gpus: int = 0, mps: bool = False) -> Any:
    return SimpleNamespace(
        __version__="2.6",
        cuda=SimpleNamespace(is_available=lambda: gpus > 0, device_count=lambda: gpus),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
    )


def test_devices() -> None:
    assert devices.choose(None, "auto") == "cpu"
    assert devices.choose(fake_torch(), "auto") == "cpu"
    assert devices.choose(fake_torch(gpus=2), "auto") == "cuda:0"
    assert devices.choose(fake_torch(mps=True), "auto") == "mps"
    assert devices.choose(fake_torch(gpus=2), "cuda:1") == "cuda:1"
    assert devices.choose(fake_torch(gpus=1), "cuda") == "cuda:0"
    assert devices.choose(fake_torch(gpus=1), "cpu") == "cpu"
    for torch, wanted in ((fake_torch(gpus=1), "cuda:1"), (fake_torch(), "cuda:0")):
        with pytest.raises(ProbeError, match=f"device {wanted} is not there"):
            devices.choose(torch, wanted)
    with pytest.raises(ProbeError, match="mps"):
        devices.choose(fake_torch(), "mps")


def test_too_little_gpu_memory_is_a_skip() -> None:
    torch = fake_torch(gpus=1)
    torch.cuda.get_device_properties = lambda device: SimpleNamespace(total_memory=8 * 2**30)
    context: Any = SimpleNamespace(device=lambda: "cuda:0", require=lambda name: torch)
    fitness.skip_if_unfit(request(min_vram=8 * 2**30, gpu_only=True), context)
    with pytest.raises(ProbeSkipped, match=r"needs 24\.0 GiB of GPU memory, cuda:0 has 8\.0 GiB"):
        fitness.skip_if_unfit(request(min_vram=24 * 2**30), context)
