"""docs/ohlora.md, read by somebody who does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.e2e.conftest import files_below
from tests.e2e.test_docs import blocks
from tests.e2e.test_ohlora import ADAPTER, stand_ins
from tests.servers.hub import HubServer

__all__ = ["stand_ins"]
PAGE = "docs/ohlora.md"
# Fetches all images, which other tests do.
_LONG = (["fetch", "all", "ohlora"], ["fetch", "all", "ohlora", "--include-optional"])


def commands() -> list[list[str]]:
    lines = [line for body in blocks(PAGE, "sh") for line in body.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def test_the_walk(tmp_path: Path, cli: Cli, stand_ins: HubServer) -> None:
    """From the clone on. What `verify` finds in real weights, stand-ins cannot show."""
    walked = []
    for command in commands():
        if command[0] != "fetch" or command in _LONG:
            continue
        if "--offline" in command:
            files = files_below(tmp_path)
            for path in (tmp_path / "2025_04_08_OhLoRA").rglob("*.safetensors"):
                path.unlink()
        if command[1] == "verify":
            names = [word for word in command[2:] if re.match(r"[a-z0-9.]+-", word)]
            assert all(cli("show", name).code == 0 for name in names)
            continue
        result = cli(*command[1:])
        assert result.code == 0, (command, result.out, result.err)
        walked.append(command[1])
        if "--offline" in command:
            assert files_below(tmp_path) == files
    assert {"all", "check", "plan", "access", "mirror"} <= set(walked)


def test_what_stands_where(tmp_path: Path, cli: Cli, stand_ins: HubServer) -> None:
    assert cli("all", "ohlora", "--group", "runtime").code == 0
    root, *lines = blocks(PAGE, "text")[0].splitlines()
    for line in lines:
        folder, artifact, count = re.fullmatch(r"  (\S+) +(\S+), (\d+) files?", line).groups()  # type: ignore[union-attr]
        found = files_below(tmp_path / root / folder)
        assert len(found) == int(count), line
        shown = cli("show", artifact, "--json")
        assert shown.code == 0 and folder in shown.out
    manual = json.loads((tmp_path / ADAPTER).read_text("utf-8"))
    manual["base_model_name_or_path"] = "/elsewhere"
    (tmp_path / ADAPTER).chmod(0o644)
    (tmp_path / ADAPTER).write_text(json.dumps(manual))
    named = cli("check", "ohlora", "--group", "runtime")
    assert named.code == 4 and "adapter_config.json" in named.err
    assert cli("all", "ohlora", "--group", "runtime", "--overwrite").code == 0
    assert cli("check", "ohlora", "--group", "runtime").code == 0


@pytest.mark.heavy
def test_the_models_answer_in_python(tmp_path: Path, cli: Cli, stand_ins: HubServer) -> None:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("peft")
    assert cli("all", "ohlora", "--group", "runtime").code == 0
    (body,) = blocks(PAGE, "python")
    done = subprocess.run(
        [sys.executable, "-c", body], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "MODEL_DEVICE": "cpu", "HF_HUB_OFFLINE": "1"}, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "32"  # the stand-in's width
