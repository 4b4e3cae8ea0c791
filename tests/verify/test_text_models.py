"""Language models, adapters and encoders, good and broken, under two sets of libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fetcher.verify
import pytest
from fetcher.verify import ProbeRequest

from .textcases import CASES, MODELS, Case, files_of

HERE = Path(__file__).parent
VERIFY = Path(fetcher.verify.__file__).parent
PINNED = os.environ.get("FETCH_TEST_PINNED", "")

pytestmark = pytest.mark.heavy


def interpreter(libraries: str) -> str:
    if libraries == "newest":
        for name in ("torch", "transformers", "peft", "sentence_transformers"):
            pytest.importorskip(name)
        return sys.executable
    if not (PINNED and Path(PINNED).exists()):
        pytest.skip("FETCH_TEST_PINNED names no interpreter with the pinned versions")
    return PINNED


def make(python: str, folder: Path, wanted: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Save models with the libraries of an interpreter."""
    plain = []
    for kind, name, arguments in wanted:
        base = {"base": str(folder / arguments["base"])} if "base" in arguments else {}
        plain.append([kind, str(folder / name), {**arguments, **base}])
    _run(python, [str(HERE / "textmodels.py")], plain)


def _run(python: str, command: list[str], told: Any) -> list[str]:
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environ.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, *command],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def request_of(case: Case, folder: Path) -> ProbeRequest:
    place = folder / case.start
    related = {}
    options = dict(case.options)
    if case.base:
        options["base"] = case.base
        if (folder / case.base).exists():
            related[case.base] = files_of(folder / case.base)
    return ProbeRequest(
        case.name, case.kind, folder, files_of(place), options, device="cpu", related=related
    )


def spoiled(case: Case, models: Path, folder: Path) -> ProbeRequest:
    """Copy the models that a case needs to a folder of its own, and spoil one."""
    folder.mkdir()
    for name in {case.start, case.base, "base", "adapter"} - {""}:
        if (models / name).exists():
            shutil.copytree(models / name, folder / name)
    case.spoil(folder / case.start)
    return request_of(case, folder)


@pytest.mark.parametrize("libraries", ["newest", "pinned"])
def test_every_case(libraries: str, tmp_path: Path) -> None:
    python = interpreter(libraries)
    models = tmp_path / "models"
    make(python, models, MODELS)
    requests = []
    for number, case in enumerate(CASES):
        request = spoiled(case, models, tmp_path / str(number))
        requests.append([request.to_json(), case.without])
    lines = _run(python, [str(HERE / "many.py"), str(VERIFY)], requests)
    assert len(lines) == len(CASES)
    wrong = []
    for case, line in zip(CASES, lines, strict=True):
        found = json.loads(line)
        state = "failed" if case.reason else "passed"
        checks = "; ".join(f"{name}: {detail}" for name, _, detail, _ in found["checks"])
        ok = found["state"] == state and case.reason in found["reason"]
        if not (ok and case.hint in found["hint"] and case.told in checks):
            wrong.append(f"{case.name}: {found['state']}: {found['reason']} | {found['hint']}")
    assert wrong == []
    assert not list(tmp_path.rglob("marker")), "no pickle was run"
