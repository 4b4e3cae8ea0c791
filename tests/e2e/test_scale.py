"""Many artifacts cost as many times more as there are more of them, and no more than that."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from fetcher.commands import run
from fetcher.commands.common import row_names
from tests.conftest import Cli, write_project


def test_names_of_many_artifacts() -> None:
    """As many as the table of a plan may have; looked for one by one it would take minutes."""
    parts: list[Any] = [
        SimpleNamespace(artifact=SimpleNamespace(manifest=m, id=f"a{n}", full_name=f"{m}/a{n}"))
        for m, count in (("p", 60_000), ("q", 1))
        for n in range(count)
    ]
    began = time.process_time()
    found = row_names(parts)
    assert time.process_time() - began < 3
    assert found["p", "a0"] == "p/a0" and found["q", "a0"] == "q/a0" and found["p", "a1"] == "a1"


def test_many_artifacts_of_one_folder(cli: Cli, tmp_path: Path) -> None:
    """Eight times as many: the square of that would be 64 times."""
    taken = []
    for count in (100, 800):
        root = tmp_path / str(count)
        (root / "data").mkdir(parents=True)
        manifest, tree = ["artifacts:"], ["tree:"]
        for n in range(count):
            name = f"{n:05d}.bin"
            (root / "data" / name).write_bytes(b"%09d" % n)
            manifest.append(f"  a{n}: {{name: A {n}, source: 'local:data', files: [{name}]}}")
            tree.append(f"  m/{name}: a{n}/{name}")
        write_project(root, "p", "\n".join(manifest) + "\n", "\n".join(tree) + "\n")
        began = time.process_time()  # other processes count nothing
        result = cli("lock", cwd=root)
        taken.append(time.process_time() - began)
        assert result.code == 0, result.err
    assert taken[1] < taken[0] * 20


def _in_layout(root: Path, count: int) -> None:
    lines = ["manifest: many", "artifacts:"]
    tree = ["layout: many", "tree:"]
    for number in range(count):
        files = f"{{f{number}.bin: {{size: 9, sha256: {number:064x}}}}}"
        lines.append(f"  a{number}: {{source: 'https://host.example/{number}', files: {files}}}")
        tree.append(f"  data/a{number}/: a{number}")
    (root / "manifests/many.yaml").write_text("\n".join(lines))
    (root / "layouts/many.yaml").write_text("\n".join(tree))


def _by_themselves(root: Path, count: int) -> None:
    lines = ["manifest: many", "artifacts:"]
    for number in range(count):
        source = f"{{type: huggingface, repo: o/r{number}, revision: {number:040x}}}"
        files = f"{{f.bin: {{size: 9, sha256: {number:064x}}}}}"
        lines.append(f"  a{number}: {{source: {source}, files: {files}, to: data/a{number}/}}")
    (root / "manifests/many.yaml").write_text("\n".join(lines))


def _of_one_folder(root: Path, count: int) -> None:
    (root / "here").mkdir(exist_ok=True)
    lines = ["manifest: many", "artifacts:"]
    for number in range(count):
        (root / f"here/f{number}.bin").write_bytes(b"%d" % number)
        files = f"[f{number}.bin]"
        lines.append(f"  a{number}: {{source: 'local:here', files: {files}, to: data/a{number}/}}")
    (root / "manifests/many.yaml").write_text("\n".join(lines))


def _calls_of(action: Callable[[], object]) -> int:
    """How many functions were called: the same on every machine."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("write", [_in_layout, _by_themselves, _of_one_folder])
def test_a_plan_of_twice_as_many_artifacts_takes_twice_as_many_steps(
    write: Callable[[Path, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("manifests", "layouts"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)

    def steps(count: int) -> int:
        write(tmp_path, count)
        return _calls_of(lambda: run(["plan", "--offline"]))

    steps(10)  # what is loaded once
    few, some, many = steps(100), steps(200), steps(400)
    assert some > few
    assert many - some <= 2.2 * (some - few)  # a quadratic step makes it 4
