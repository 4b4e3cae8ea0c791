"""Language models, adapters and encoders, good and broken, under two sets of libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import fetcher.verify
import pytest
from fetcher.verify import ProbeRequest
from fetcher.verify.contract.context import Context

from .probing import run_in_this_process
from .textcases import CASES, MODELS, Case, files_of

HERE = Path(__file__).parent
VERIFY = Path(fetcher.verify.__file__).parent
PINNED = os.environ.get("FETCH_TEST_PINNED", "")

pytestmark = pytest.mark.heavy


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


def make(folder: Path) -> list[list[Any]]:
    """What to make models from, for textmodels.py, in a folder that is to hold them."""
    folder.mkdir()
    wanted: list[list[Any]] = []
    for kind, name, arguments in MODELS:
        base = {"base": str(folder / arguments["base"])} if "base" in arguments else {}
        wanted.append([kind, str(folder / name), {**arguments, **base}])
    return wanted


def misjudged(case: Case, state: str, reason: str, hint: str, checks: list[str]) -> str:
    """What is wrong with the answer to a case; '' if nothing is."""
    right = state == ("failed" if case.reason else "passed") and case.reason in reason
    if right and case.hint in hint and case.told in "; ".join(checks):
        return ""
    return f"{case.name}: {state}: {reason} | {hint}"


def test_every_case_with_the_newest_libraries(tmp_path: Path) -> None:
    for name in ("torch", "transformers", "peft", "sentence_transformers"):
        pytest.importorskip(name)
    from . import textmodels

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own
        textmodels.make_all(make(tmp_path / "models"))
    wrong = []
    for number, case in enumerate(CASES):
        request = spoiled(case, tmp_path / "models", tmp_path / str(number))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Context, "has", partialmethod(_has, Context.has, case.without))
            found = run_in_this_process(request)
        checks = [f"{check.name}: {check.detail}" for check in found.checks]
        wrong.append(misjudged(case, found.state, found.reason, found.hint, checks))
    assert list(filter(None, wrong)) == []
    assert not list(tmp_path.rglob("marker")), "no pickle was run"


def _has(context: Context, has: Callable[[Context, str], bool], without: str, name: str) -> bool:
    return name != without and has(context, name)


def test_every_case_with_the_pinned_libraries(tmp_path: Path) -> None:
    """Models that the pinned libraries make, and read: one process of theirs for everything."""
    if not (PINNED and Path(PINNED).exists()):
        pytest.skip("FETCH_TEST_PINNED names no interpreter with the pinned versions")
    models = tmp_path / "models"
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environ.pop("PYTHONPATH", None)
    with (tmp_path / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [PINNED, str(HERE / "many.py"), str(VERIFY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environ,
        )
    with process:
        assert process.stdin and process.stdout
        print(json.dumps(make(models)), file=process.stdin, flush=True)
        made = process.stdout.readline()
        assert made == "made\n", (tmp_path / "stderr").read_text()[-3000:]
        requests = [
            [spoiled(case, models, tmp_path / str(number)).to_json(), case.without]
            for number, case in enumerate(CASES)
        ]
        lines = process.communicate(json.dumps(requests))[0].splitlines()
    assert process.returncode == 0, (tmp_path / "stderr").read_text()[-3000:]
    wrong = []
    for case, line in zip(CASES, lines, strict=True):
        found = json.loads(line)
        checks = [f"{name}: {detail}" for name, _, detail, _ in found["checks"]]
        wrong.append(misjudged(case, found["state"], found["reason"], found["hint"], checks))
    assert list(filter(None, wrong)) == []
    assert not list(tmp_path.rglob("marker")), "no pickle was run"
