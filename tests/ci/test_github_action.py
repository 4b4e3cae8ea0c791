"""The action, step by step as the runner executes it, on a project whose files a server has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.ci.composite import Cache, Outcome, Runner
from tests.ci.conftest import MANIFEST, ROOT, tool_path
from tests.conftest import Cli, write_project
from tests.e2e.conftest import WEIGHTS
from tests.reporting.ci_schemas import check_code_quality, check_junit, check_sarif
from tests.servers.hub import HubServer

pytestmark = pytest.mark.heavy


@pytest.fixture
def runner(
    action: Path, machine: Path, tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> Runner:
    monkeypatch.delenv("FETCH_STORE")
    shutil.rmtree(machine / "fetch-store", ignore_errors=True)
    workspace = tmp_path / "work/space"
    write_project(workspace / "models", "p", MANIFEST, "tree: {w/: m}\n")
    (workspace / ".git").mkdir()
    (workspace / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / "cache").mkdir()
    return Runner(action, workspace, machine, Cache(tmp_path / "cache"))


def fresh(runner: Runner) -> Path:
    """The next job's checkout: nothing is left of the last one but the cache."""
    project = runner._workspace / "models"
    for path in (project / "w", project / ".fetch", runner._temporary / "fetch-store"):
        if path.exists():
            subprocess.run(["chmod", "-R", "u+w", path], check=True)
            shutil.rmtree(path)
    return project


def held(outcome: Outcome) -> set[str]:
    """The reports that were written, each held to its schema."""
    names = set()
    checks = {".xml": check_junit, ".sarif": check_sarif, ".json": check_code_quality}
    for path in Path(outcome.outputs["reports"]).iterdir():
        if path.suffix in checks:
            checks[path.suffix](path.read_text("utf-8"))
            names.add(path.name)
    return names


def test_a_job_and_the_next_ones(runner: Runner, cli: Cli, hub: HubServer) -> None:
    """Green, then from the cache, then with nothing to do."""
    project = runner._workspace / "models"
    assert cli("lock", cwd=project).code == 0
    first = runner.use(working_directory="models")
    assert first.ok, first.log
    assert (project / "w/model.safetensors").read_bytes() == WEIGHTS
    assert first.outputs["changed"] == "true" and first.outputs["cache-hit"] == "false"
    assert first.outputs["exit-code"] == "0" and first.annotations == []
    assert first.summary.count("✅") == 3 and "Save the store" in first.ran
    assert {"lock.xml", "all.sarif", "check.json"} <= held(first)

    project = fresh(runner)
    second = runner.use(working_directory="models")
    assert second.ok and second.outputs["cache-hit"] == "true", second.log
    assert "downloaded 0 B" in second.log and second.outputs["changed"] == "true"
    assert "Save the store" not in second.ran
    again = runner.use(working_directory="models")
    assert again.ok and again.outputs["changed"] == "false", "all of it was there"


def test_a_cache_with_wrong_bytes(runner: Runner, cli: Cli) -> None:
    project = runner._workspace / "models"
    assert cli("lock", cwd=project).code == 0
    assert runner.use(working_directory="models").ok
    project = fresh(runner)
    kept = runner._cache.root / runner._cache.saved[0]
    blobs = [path for path in kept.rglob("blobs/sha256/*") if path.stat().st_size == len(WEIGHTS)]
    blobs[0].chmod(0o644)
    stat = blobs[0].stat()
    blobs[0].write_bytes(WEIGHTS[:-1] + b"x")
    os.utime(blobs[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    healed = runner.use(working_directory="models", deep="true")
    assert healed.ok, healed.log
    assert (project / "w/model.safetensors").read_bytes() == WEIGHTS


def test_a_newer_lock_takes_the_older_store(runner: Runner, cli: Cli, hub: HubServer) -> None:
    project = runner._workspace / "models"
    assert cli("lock", cwd=project).code == 0
    assert runner.use(working_directory="models").ok
    for path in (runner._cache.root / runner._cache.saved[0]).rglob("blobs/sha256/*"):
        os.utime(path, (1.6e9, 1.6e9))  # of a job last week
    hub.add_commit("o/m", {"config.json": b'{"a": 2}\n'})
    fresh(runner)
    assert cli("lock", "--update", "m", cwd=project).code == 0
    moved = runner.use(working_directory="models")
    assert moved.ok and moved.outputs["cache-hit"] == "false", moved.log
    assert "downloaded 9 B" in moved.log, "the weights came from the older lock's store"
    assert len(runner._cache.saved) == 2
    newest = runner._cache.root / runner._cache.saved[1]
    sizes = sorted(path.stat().st_size for path in newest.rglob("blobs/sha256/*"))
    assert sizes.count(9) == 1, "what only the older lock wanted is not carried on"


def test_what_is_wrong_is_marked_and_keeps_the_job_red(runner: Runner, cli: Cli) -> None:
    project = runner._workspace / "models"
    assert cli("lock", cwd=project).code == 0
    assert runner.use(working_directory="models", commands="all").ok
    weights = project / "w/model.safetensors"
    weights.chmod(0o644)
    weights.unlink()
    weights.write_bytes(b"trained")
    red = runner.use(working_directory="models", commands="check plan")
    assert not red.ok and red.outputs["exit-code"] == "4"
    level, properties, message = red.annotations[0]
    assert (level, properties["file"], properties["line"]) == (
        "error",
        "models/manifests/p.yaml",
        "3",
    )
    assert (
        "w/model.safetensors" in message and "❌ fetch check: failed (exit code 4)" in red.summary
    )
    assert {"check.sarif", "plan.sarif"} <= held(red), "the next command ran all the same"

    write_project(project, "p", MANIFEST + "    sorce: x\n", "tree: {w/: m}\n")
    wrong = runner.use(working_directory="models")
    assert not wrong.ok and wrong.outputs["exit-code"] == "2"
    assert [(one[1]["file"], one[1]["line"]) for one in wrong.annotations] == [
        ("models/manifests/p.yaml", "6")
    ]
    assert "sorce" in wrong.annotations[0][2] and "all.xml" not in held(wrong)
    assert wrong.ran == ["prepare", "cache", "run"], "an incomplete store is not kept"
    write_project(project, "p", MANIFEST.replace("o/m", "o/n"), "tree: {w/: m}\n")
    behind = runner.use(working_directory="models")
    assert behind.outputs["exit-code"] == "7" and behind.annotations[0][1]["line"] == "3"


def test_hostile_inputs_and_projects(runner: Runner, cli: Cli, tmp_path: Path) -> None:
    """Inputs of a stranger are data; a project's names are no commands to the runner."""
    project = runner._workspace / "models"
    assert cli("lock", cwd=project).code == 0
    touched = tmp_path / "touched"
    for name, value in {
        "commands": f"all; touch {touched}",
        "manifests": f"$(touch {touched})",
        "working_directory": f'models"; touch {touched}; "',
        "deep": f"true || touch {touched}",
        "python": f"`touch {touched}`",
    }.items():
        given = {"working_directory": "models", "commands": "all check verify", name: value}
        outcome = runner.use(**given)
        assert not outcome.ok or name == "python", name
        assert not touched.exists(), name
    assert not runner.use(working_directory="models", manifests="--trust-project-code").ok
    strange = "##[add-path]x"
    for name in ("::error::forged", strange, "::set-output name=x::y"):
        path = project / "w" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    found = runner.use(working_directory="models", strict="true")
    assert set(found.obeyed) <= {"stop-commands", "group", "endgroup", "error", "warning"}
    assert all("forged" not in message[:6] for _, _, message in found.annotations)
    assert not found.ok and "::error::forged" in found.log


def test_what_the_action_declares() -> None:
    """Each output and input is used, each foreign action is held at a commit, with its version."""
    text = (ROOT / "action.yml").read_text("utf-8")
    document = yaml.safe_load(text)
    for name in document["inputs"]:
        assert f"inputs.{name} " in text or f"inputs.{name}}}" in text, name
    pinned = [line for line in text.splitlines() if "uses:" in line]
    assert pinned and all("@" in line and " # v" in line for line in pinned)
    assert "${{" not in "".join(step.get("run", "") for step in document["runs"]["steps"])
    for arguments in (
        ["check-jsonschema", "--builtin-schema", "vendor.github-actions", "action.yml"],
        ["zizmor", "--offline", "--quiet", "--persona", "auditor", "action.yml"],
    ):
        tool, *words = arguments
        done = subprocess.run(
            [tool_path(tool), *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
