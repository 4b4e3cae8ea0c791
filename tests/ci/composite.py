"""Runs a composite action as GitHub's runner does: expressions, files, and lines that are commands.

Of expressions only what action.yml uses: inputs, outputs of steps, texts, `==`, `!=`, `&&`, `!`,
and the functions always, cancelled and success. `uses` steps are those of actions/cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.S)
_TOKEN = re.compile(r"\s*(==|!=|&&|\|\||!|\(|\)|'(?:[^']|'')*'|[A-Za-z_][\w.-]*)")
_COMMAND = re.compile(r"::([\w-]+)(?: (.*?))?::(.*)", re.S)


@dataclass
class Cache:
    """The cache service: folders by their keys; an entry is never written twice."""

    root: Path
    saved: list[str] = field(default_factory=list)

    def restore(self, path: str, key: str, prefix: str) -> dict[str, str]:
        """Copy the newest entry that fits; the outputs of actions/cache/restore."""
        fits = [name for name in self.saved if name == key]
        fits = fits or [name for name in self.saved if prefix and name.startswith(prefix)]
        if not fits:
            return {"cache-primary-key": key}
        shutil.copytree(self.root / fits[-1], path, symlinks=True, dirs_exist_ok=True)
        hit = str(fits[-1] == key).lower()
        return {"cache-hit": hit, "cache-primary-key": key, "cache-matched-key": fits[-1]}

    def save(self, path: str, key: str) -> None:
        """Keep the folder; no second time under one key."""
        if key not in self.saved:
            shutil.copytree(path, self.root / key, symlinks=True)
            self.saved.append(key)


@dataclass
class Outcome:
    """What one use of the action came to. `annotations` are (level, properties, message)."""

    ok: bool
    outputs: dict[str, str]
    summary: str
    log: str
    annotations: list[tuple[str, dict[str, str], str]]
    obeyed: list[str]
    ran: list[str]


class Runner:
    """One machine that runs the action on one workspace, time after time."""

    def __init__(self, action: Path, workspace: Path, temporary: Path, cache: Cache) -> None:
        self._action = action
        self._document = yaml.safe_load((action / "action.yml").read_text("utf-8"))
        self._workspace = workspace
        self._temporary = temporary
        self._cache = cache

    def use(self, **inputs: str) -> Outcome:
        """Run all steps with these inputs (`_` for `-`)."""
        defaults = {name: str(one.get("default", "")) for name, one in self._inputs().items()}
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert set(given) <= set(defaults), "an input that is not declared"
        files = self._temporary / "_runner_file_commands"
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir(parents=True)
        run = _Run(self, {**defaults, **given}, files)
        for step in self._document["runs"]["steps"]:
            run.step(step)
        outputs = {name: run.text(one["value"]) for name, one in self._document["outputs"].items()}
        return Outcome(
            not run.failed,
            outputs,
            run.summary.read_text("utf-8"),
            "".join(run.log),
            run.annotations,
            run.obeyed,
            run.ran,
        )

    def _inputs(self) -> dict[str, dict[str, Any]]:
        found = self._document["inputs"]
        assert isinstance(found, dict)
        return found


class _Run:
    def __init__(self, runner: Runner, inputs: dict[str, str], files: Path) -> None:
        self._runner, self._inputs, self._files = runner, inputs, files
        self._steps: dict[str, dict[str, str]] = {}
        self.summary = files / "summary"
        self.summary.touch()
        self.failed = False
        self.log: list[str] = []
        self.annotations: list[tuple[str, dict[str, str], str]] = []
        self.obeyed: list[str] = []
        self.ran: list[str] = []

    def step(self, step: Mapping[str, Any]) -> None:
        """Run one step, if its condition holds; a step without one runs only after success."""
        condition = step.get("if", "success()")
        if "()" not in condition:
            condition = f"success() && ( {condition} )"
        if not _truth(self._value(condition)):
            return
        name = step.get("id") or step["name"]
        self.ran.append(name)
        if "uses" in step:
            self._use(step, name)
        else:
            self._shell(step, name)

    def _use(self, step: Mapping[str, Any], name: str) -> None:
        words = {key: self.text(value) for key, value in step["with"].items()}
        action, _, commit = step["uses"].partition("@")
        assert re.fullmatch("[0-9a-f]{40}", commit)
        cache = self._runner._cache
        if action == "actions/cache/restore":
            found = cache.restore(words["path"], words["key"], words["restore-keys"])
            self._steps[name] = found
        else:
            assert action == "actions/cache/save"
            cache.save(words["path"], words["key"])

    def _shell(self, step: Mapping[str, Any], name: str) -> None:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "text of others in a script"
        script, output = self._files / f"{name}.sh", self._files / f"{name}.output"
        script.write_text(step["run"], "utf-8")
        output.touch()
        env = {
            **os.environ,
            **{key: self.text(value) for key, value in step.get("env", {}).items()},
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(self._runner._action),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_WORKSPACE": str(self._runner._workspace),
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self._runner._temporary),
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script],
            cwd=self._runner._workspace,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        self._read(done.stdout)
        self.log.append(done.stderr)
        self._steps[name] = dict(
            line.split("=", 1) for line in output.read_text("utf-8").splitlines()
        )
        self.failed |= done.returncode != 0

    def _read(self, text: str) -> None:
        """What the runner takes from a step's output: commands, unless they are stopped."""
        token = ""
        for line in text.splitlines():
            command = _COMMAND.fullmatch(line.strip())
            if token:
                if command and command[1] == token:
                    token = ""
                    continue
            elif command:
                self._obey(command)
                token = command[3] if command[1] == "stop-commands" else ""
                continue
            elif "##[" in line:
                self.obeyed.append(line)
            self.log.append(f"{line}\n")
        assert not token, "commands are stopped for ever"

    def _obey(self, command: re.Match[str]) -> None:
        self.obeyed.append(command[1])
        if command[1] in {"error", "warning", "notice"}:
            pairs = (pair.partition("=") for pair in (command[2] or "").split(",") if pair)
            properties = {name: _decoded(value) for name, _, value in pairs}
            self.annotations.append((command[1], properties, _decoded(command[3])))

    def text(self, template: str) -> str:
        """The text with each `${{ … }}` replaced."""
        return _EXPRESSION.sub(lambda found: _shown(self._value(found[1])), str(template))

    def _value(self, expression: str) -> object:
        tokens, at = [], 0
        text = expression.strip().removeprefix("${{").removesuffix("}}").rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            assert found, f"an expression that is not known here: {text[at:]}"
            tokens.append(found[1])
            at = found.end()
        value = self._and(tokens)
        assert not tokens, tokens
        return value

    def _and(self, tokens: list[str]) -> object:
        value = self._compared(tokens)
        while tokens and tokens[0] == "&&":
            tokens.pop(0)
            other = self._compared(tokens)
            value = other if _truth(value) else value
        return value

    def _compared(self, tokens: list[str]) -> object:
        value = self._atom(tokens)
        if tokens and tokens[0] in {"==", "!="}:
            same = tokens.pop(0) == "=="
            return (value == self._atom(tokens)) is same
        return value

    def _atom(self, tokens: list[str]) -> object:
        token = tokens.pop(0)
        if token == "!":
            return not _truth(self._atom(tokens))
        if token == "(":
            value = self._and(tokens)
            assert tokens.pop(0) == ")"
            return value
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if tokens and tokens[0] == "(":
            del tokens[:2]
            return {"always": True, "cancelled": False, "success": not self.failed}[token]
        kind, *path = token.split(".")
        if kind == "inputs":
            return self._inputs[path[0]]
        assert (kind, path[1]) == ("steps", "outputs"), token
        return self._steps.get(path[0], {}).get(path[2], "")


def _truth(value: object) -> bool:
    return bool(value)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _decoded(text: str) -> str:
    for code, char in (("%0A", "\n"), ("%0D", "\r"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, char)
    return text
