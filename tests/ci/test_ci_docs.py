"""docs/ci.md, the templates and the hooks: each file against its schema, each command run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fetcher.register.ci_templates import PLACES, text
from tests.ci.conftest import MANIFEST, PIP, ROOT, tool_path, use_libraries
from tests.conftest import Cli, write_project
from tests.e2e.conftest import WEIGHTS
from tests.e2e.test_docs import blocks
from tests.reporting.ci_schemas import check_code_quality, check_junit
from tests.servers.hub import HubServer

PAGE = "docs/ci.md"
COMMIT = "0" * 40
YAML = [body.replace("@COMMIT", f"@{COMMIT}") for body in blocks(PAGE, "yaml")]
COMPONENT = ROOT / "templates/fetch.yml"


def judged(tool: str, *words: str | Path, cwd: Path = ROOT) -> None:
    """Fail with what the tool says, if it has anything against it."""
    command = [tool_path(tool), *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def component(**inputs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The component's header, and its jobs with these inputs put in as GitLab does."""
    head, _, body = COMPONENT.read_text("utf-8").partition("\n---\n")
    spec = yaml.safe_load(head)
    values = {name: one.get("default") for name, one in spec["spec"]["inputs"].items()}
    values |= {name.replace("_", "-"): value for name, value in inputs.items()}
    assert None not in values.values()

    def put(found: re.Match[str]) -> str:
        value = values[found[1]]
        return str(value).lower() if isinstance(value, bool) else str(value)

    jobs = yaml.safe_load(re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", put, body))
    return spec, jobs


def test_every_file_fits_its_schema(tmp_path: Path) -> None:
    """Workflows, jobs, hooks and recipes, as their own services' tools read them."""
    workflow, included, hooks = YAML
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    action = workflow.replace("OWNER/REPOSITORY@", "owner/repository@")
    (folder / "docs.yml").write_text(action)
    (folder / "init.yml").write_text(text("github"))
    schema = "--builtin-schema"
    judged("check-jsonschema", schema, "vendor.github-workflows", *folder.iterdir())
    judged("zizmor", "--offline", "--quiet", "--persona", "auditor", ".", cwd=tmp_path)
    spec, jobs = component(package="x")
    names = []
    for number, document in enumerate((spec, jobs, yaml.safe_load(text("gitlab")))):
        (tmp_path / f"{number}.json").write_text(json.dumps(document))
        names.append(tmp_path / f"{number}.json")
    (tmp_path / "included.yml").write_text(included)
    judged("check-jsonschema", schema, "vendor.gitlab-ci", *names, tmp_path / "included.yml")
    judged("pre-commit", "validate-manifest", ".pre-commit-hooks.yaml")
    (tmp_path / "hooks.yaml").write_text(hooks)
    judged("pre-commit", "validate-config", tmp_path / "hooks.yaml")
    recipes = blocks(PAGE, "dockerfile")
    assert len(recipes) == 2
    for number, recipe in enumerate(recipes):
        (tmp_path / f"Dockerfile{number}").write_text(recipe)
        judged("hadolint", tmp_path / f"Dockerfile{number}")


def test_what_the_docs_say_of_the_files() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    page = (ROOT / PAGE).read_text("utf-8")
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    named = {
        name: default.strip(" `")
        for names, default in rows
        for name in re.findall("`([a-z-]+)`", names)
    }
    for name, one in action["inputs"].items():
        assert named[name] == one["default"], name
    assert set(action["outputs"]) <= set(named)
    spec, _ = component(package="x")
    assert all(f"`{name}`" in page for name in spec["spec"]["inputs"])
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    used = yaml.safe_load(YAML[2])["repos"][0]["hooks"]
    assert [hook["id"] for hook in used] == [hook["id"] for hook in hooks]
    # One place for what is pinned: the action, the page and the template name the same commits.
    texts = page, text("github"), (ROOT / "action.yml").read_text("utf-8")
    pinned: dict[str, set[str]] = {}
    for found in re.findall(r"uses: (actions/[a-z-]+)[a-z/-]*@(\S+ # v\S+)", "\n".join(texts)):
        pinned.setdefault(found[0], set()).add(found[1])
    assert len(pinned) == 3 and all(len(commits) == 1 for commits in pinned.values()), pinned
    assert set(PLACES) == {"github", "gitlab"}


@pytest.fixture
def clone(tmp_path: Path, hub: HubServer, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with its lock, and `fetch` in PATH."""
    write_project(tmp_path, "p", MANIFEST, "tree: {w/: m}\n")
    assert cli("lock").code == 0
    programs = tmp_path / ".programs"
    programs.mkdir()
    script = f'#!/bin/sh\nexec {sys.executable} -m fetcher "$@"\n'
    (programs / "fetch").write_text(script)
    (programs / "fetch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path


def bash(lines: list[str], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Lines of a job, as its service runs them."""
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(lines)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.heavy
def test_jobs_run_as_written(clone: Path) -> None:
    """Of GitLab's component and template, of GitHub's template, and of any other system."""
    _, jobs = component(package="x", verify=True)
    summary = clone / "summary.md"
    workflow = yaml.safe_load(text("github"))["jobs"]["fetch"]["steps"][-1]["run"]
    plain = blocks(PAGE, "sh")[0].splitlines()
    assert plain[0].startswith("python3 -m venv") and len(plain) <= 10
    for name, lines in {
        "component": jobs["fetch"]["script"],
        "template": yaml.safe_load(text("gitlab"))["models"]["script"],
        "workflow": workflow.splitlines()[1:],
        "other": plain[1:],
    }.items():
        shutil.rmtree(clone / "fetch-reports", ignore_errors=True)
        summary.write_text("")
        env = {
            "CI_PROJECT_DIR": str(clone),
            "GITHUB_STEP_SUMMARY": str(summary),
            **{key: str(value) for key, value in jobs["fetch"]["variables"].items()},
            "FETCH_STORE": str(clone / ".fetch-store"),
        }
        done = bash(list(lines), clone, **env)
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        assert (clone / "w/model.safetensors").read_bytes() == WEIGHTS
        for report in (clone / "fetch-reports").glob("*.xml"):
            check_junit(report.read_text("utf-8"))
        if name in {"component", "template"}:
            check_code_quality((clone / "fetch-reports/quality.json").read_text("utf-8"))
        assert (summary.read_text().count("✅") == 3) == (name == "workflow"), name
    (clone / "w/config.json").unlink()
    write_project(clone, "p", MANIFEST + "    sorce: x\n", "tree: {w/: m}\n")
    red = bash(workflow.splitlines()[1:], clone, GITHUB_STEP_SUMMARY=str(summary))
    assert red.returncode == 2 and "::error file=manifests/p.yaml,line=6," in red.stdout


def test_recipes_of_images_bring_the_models(clone: Path, cli: Cli) -> None:
    """The commands of each RUN, with mounts as folders; the last one without a network."""
    export = blocks(PAGE, "sh")[2].split()
    assert cli("all").code == 0 and cli(*export[1:]).code == 0
    for recipe in blocks(PAGE, "dockerfile"):
        joined = recipe.replace("\\\n", " ")
        (run,) = [line for line in joined.splitlines() if "fetch all" in line]
        command = re.sub(r"^RUN( +--\S+)*", "", run).replace("/bundle/", "bundles/")
        if "--offline" in command:
            command = command.replace("fetch ", "HF_ENDPOINT=http://127.0.0.1:9 fetch ")
        shutil.rmtree(clone / "w")
        shutil.rmtree(clone / ".fetch")
        done = bash([command], clone, FETCH_STORE=str(clone / ".image-store"))
        assert done.returncode == 0, done.stderr
        assert (clone / "w/model.safetensors").read_bytes() == WEIGHTS
        assert os.stat(clone / "w/model.safetensors").st_nlink == 1, "the mount goes"
        subprocess.run(["chmod", "-R", "u+w", clone / ".image-store"], check=True)
        shutil.rmtree(clone / ".image-store")


@pytest.mark.heavy
def test_the_hooks_judge_without_a_network(
    action: Path, clone: Path, tmp_path_factory: pytest.TempPathFactory, cli: Cli
) -> None:
    """pre-commit itself clones, installs and runs them on what is to be committed."""
    source = tmp_path_factory.mktemp("source") / "fetch"
    shutil.copytree(action, source)
    home = tmp_path_factory.mktemp("pre-commit")
    env = {**os.environ, **PIP, "PRE_COMMIT_HOME": str(home), "GIT_CONFIG_COUNT": "2"}
    env |= {"GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "a"}
    env |= {"GIT_CONFIG_KEY_1": "user.email", "GIT_CONFIG_VALUE_1": "a@b"}

    def call(*words: str | Path, cwd: Path = clone) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)

    for folder in (source, clone):
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
            done = call("git", *words, cwd=folder)
            assert done.returncode == 0, done.stderr
    commit = call("git", "rev-parse", "HEAD", cwd=source).stdout.strip()
    page = YAML[2].replace("https://git.example.org/GROUP/fetch", str(source))
    (clone / ".pre-commit-config.yaml").write_text(page.replace("COMMIT", commit))
    assert cli("all").code == 0
    call("git", "add", "-A")
    installed = call(tool_path("pre-commit"), "install-hooks")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    (environment,) = home.glob("repo*/py_env-*")
    use_libraries(environment)
    env["HF_ENDPOINT"] = "http://127.0.0.1:9"
    env["PYTHONPATH"] = ""

    def hooks() -> dict[str, str]:
        done = call(tool_path("pre-commit"), "run", "--all-files", "--color", "never")
        return dict(re.findall(r"^(.+?)\.{3,}(\w+)$", done.stdout, re.M)) | {"": done.stdout}

    right, locked, whole = (
        hook["name"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    )
    found = hooks()
    assert [found[name] for name in (right, locked, whole)] == ["Passed"] * 3, found[""]
    (clone / "w/extra.bin").write_text("x")
    assert hooks()[whole] == "Failed"
    (clone / "w/extra.bin").unlink()
    write_project(clone, "p", MANIFEST.replace("o/m", "o/m@v2"), "tree: {w/: m}\n")
    found = hooks()
    assert (found[right], found[locked]) == ("Passed", "Failed"), found[""]
    write_project(clone, "p", MANIFEST + "    sorce: x\n", "tree: {w/: m}\n")
    found = hooks()
    assert found[right] == "Failed" and "manifests/p.yaml:6:5" in found[""]
