"""What action.yml runs: install fetch and name the cache, then run commands with all reports.

Inputs come as INPUT_… in the environment, never as text of a script. The runner reads a step's
output line by line and obeys lines that begin with `::`: what fetch prints is kept from that.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

_COMMANDS: Mapping[str, Sequence[str]] = {
    "lock": ("lock", "--check"),
    "all": ("all",),
    "check": ("check",),
    "verify": ("verify",),
    "plan": ("plan",),
    "access": ("access",),
    "outdated": ("outdated", "--exit-code"),
    "doctor": ("doctor",),
}
_WITHOUT_NAMES = {"doctor"}
_REPORTS = {
    "--junit": ".xml",
    "--sarif": ".sarif",
    "--code-quality": ".json",
    "--summary": ".md",
    "--annotations": ".annotations",
}
# The manifests or the lock are wrong: what comes after could only say so again.
_ENDS = {2, 7}
_USAGE = 2
_OLDEST = (3, 10)


class InputError(Exception):
    """An input that cannot be meant."""


def _input(name: str) -> str:
    return os.environ.get(f"INPUT_{name}", "").strip()


def _flag(name: str) -> bool:
    value = _input(name).lower()
    if value not in {"true", "false", ""}:
        shown = name.lower().replace("_", "-")
        raise InputError(f"{shown}: expected true or false, found {value!r}")
    return value == "true"


def _manifests() -> list[str]:
    words = _input("MANIFESTS").split()
    for word in words:
        if word.startswith("-"):
            raise InputError(f"manifests: {word!r} is no name of a manifest")
    return words


def _project() -> Path:
    folder = Path(_input("WORKING_DIRECTORY") or ".")
    if not folder.is_dir():
        raise InputError(f"working-directory: {str(folder)!r} is no folder; is it checked out?")
    return folder


def _set_outputs(**values: str) -> None:
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as stream:
        for name, value in values.items():
            if "\n" in value or "\r" in value:
                raise InputError(f"{name}: a line break in {value!r}")
            stream.write(f"{name.replace('_', '-')}={value}\n")


def prepare() -> int:
    """Install fetch from the action's own checkout, and say where all is kept."""
    if sys.version_info < _OLDEST:
        raise InputError(
            f"fetch needs Python {'.'.join(map(str, _OLDEST))} or newer, and this is "
            f"{sys.version.split()[0]}: have actions/setup-python before it"
        )
    manifests, project = _manifests(), _project()
    temporary = Path(os.environ["RUNNER_TEMP"])
    home = temporary / "fetch-action"
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    if not home.exists():
        venv.create(home, with_pip=True)
        pip = [str(programs / "python"), "-m", "pip", "install", "--quiet"]
        action = os.environ["GITHUB_ACTION_PATH"]
        installed = subprocess.run([*pip, "--disable-pip-version-check", action], check=False)
        if installed.returncode:
            shutil.rmtree(home)
            raise InputError("fetch could not be installed: pip says above why")
    system = os.environ.get("RUNNER_OS", "any")
    key = ""
    lock = project / "fetch.lock"
    if lock.is_file():
        digest = hashlib.sha256(lock.read_bytes())
        # Other manifests of one lock are another store.
        digest.update(json.dumps(sorted(manifests)).encode())
        key = f"fetch-{system}-{digest.hexdigest()}"
    store = os.environ.get("FETCH_STORE") or str(temporary / "fetch-store")
    _set_outputs(
        fetch=str(programs / "fetch"), store=store, key=key, restore_key=f"fetch-{system}-"
    )
    return 0


def _arguments(word: str, manifests: Sequence[str]) -> list[str]:
    words = [*_COMMANDS[word], *(() if word in _WITHOUT_NAMES else manifests)]
    if word == "all" and _flag("LOCKED"):
        words.append("--locked")
    if word == "check":
        words += [flag for flag in ("--deep", "--strict") if _flag(flag[2:].upper())]
    if word == "verify" and (python := _input("PYTHON")):
        words += ["--python", python]
    return words


def _run_quietly(words: Sequence[str]) -> int:
    """Run a program of which no line is a command to the runner; returns its exit code."""
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        # One stream: lines of another could overtake the two that hold this together.
        return subprocess.run(words, check=False, stderr=subprocess.STDOUT).returncode
    finally:
        print(f"\n::{token}::", flush=True)


def _judge(word: str, reports: Path, manifests: Sequence[str]) -> int:
    """Run one command with all its reports, and show them; returns its exit code."""
    files = {flag: reports / f"{word}{end}" for flag, end in _REPORTS.items()}
    words = _arguments(word, manifests)
    print(f"::group::fetch {word}", flush=True)
    told = [text for flag, file in files.items() for text in (flag, str(file))]
    if word == "all":
        told += ["--json-events", str(reports / "all.events")]
    code = _run_quietly([os.environ["FETCH_PROGRAM"], *words, *told])
    print("::endgroup::", flush=True)
    if _flag("ANNOTATIONS"):
        if files["--annotations"].is_file():
            print(files["--annotations"].read_text("utf-8"), end="", flush=True)
        elif code:
            print(f"::error::fetch {word} ended with exit code {code} before it could report")
    if _flag("SUMMARY") and files["--summary"].is_file():
        with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as stream:
            stream.write(files["--summary"].read_text("utf-8") + "\n")
    return code


def _has_changed(events: Path) -> bool:
    """Whether `fetch all` brought or placed a file, by its last event."""
    if not events.is_file():
        return False
    lines = events.read_text("utf-8").splitlines()
    summary = json.loads(lines[-1]).get("summary", {}) if lines else {}
    return bool(summary.get("downloaded_files") or summary.get("placed_files"))


def run() -> int:
    """Run the commands in order; the first exit code that is not 0 is the step's."""
    words, manifests = _input("COMMANDS").split(), _manifests()
    unknown = [word for word in words if word not in _COMMANDS]
    if unknown or not words:
        known = " ".join(_COMMANDS)
        raise InputError(f"commands: {' '.join(unknown)!r} is none of {known}")
    project = _project()
    # A folder of its own: a job may use the action twice.
    reports = Path(tempfile.mkdtemp(prefix="fetch-reports-", dir=os.environ["RUNNER_TEMP"]))
    os.chdir(project)
    codes: dict[str, int] = {}
    for word in words:
        codes[word] = _judge(word, reports, manifests)
        if codes[word] in _ENDS:
            break
    complete = codes.get("all") == 0
    if complete and os.environ.get("FETCH_CACHE_HIT") != "true":
        # What an older lock wanted came with its cache, and would be carried on for ever. The
        # checkouts of older jobs are gone, and need nothing.
        _run_quietly([os.environ["FETCH_PROGRAM"], "gc", "--absent-days", "0"])
    first = next((code for code in codes.values() if code), 0)
    _set_outputs(
        exit_code=str(first),
        changed=str(_has_changed(reports / "all.events")).lower(),
        complete=str(complete).lower(),
        reports=str(reports),
    )
    return first


def main(arguments: Sequence[str]) -> int:
    """Run one of the two steps; returns the exit code."""
    try:
        return {"prepare": prepare, "run": run}[arguments[0]]()
    except InputError as error:
        text = str(error).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        print(f"::error title=fetch::{text}", flush=True)
        return _USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
