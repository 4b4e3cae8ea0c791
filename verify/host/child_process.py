"""Starts programs: the only place that does.

Whoever runs fetch may stand in a stranger's clone. So a program is found by its whole path and
never in that folder, stands in a folder of its own, and gets an environment that
`environment.clean_environment` has been through. Our own interpreter runs isolated (`-I`). One that
holds the project's libraries does not, as these may lie in the person's user site or PYTHONPATH:
for it the neutral folder and the clean variables do the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fetcher.verify.host import environment

if TYPE_CHECKING:
    import asyncio.subprocess
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Child = subprocess.Popen[bytes]

# Runs a module that may lie where -I does not look: in the user site, or on PYTHONPATH.
_RUN_MODULE = """\
import json, runpy, sys
folders, module = json.loads(sys.argv.pop(1)), sys.argv.pop(1)
sys.path += [folder for folder in folders if folder not in sys.path]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
_LOOK_EVERY = 0.5  # seconds: whether the run has ended
_OUR_OWN = ("FETCH_*",)  # the path of FETCH_VERIFY_KEY, for one: no secret among them goes out


@dataclass(frozen=True)
class Finished:
    """A program that has ended: its exit status (negative: a signal) and what it printed."""

    status: int
    out: str
    err: str


def find(name: str) -> str | None:
    """Return the whole path of a program, by PATH without the project's own folders."""
    path = environment.clean_environment().get("PATH", "")
    endings = os.environ.get("PATHEXT", "").split(os.pathsep) if sys.platform == "win32" else [""]
    for folder in filter(None, path.split(os.pathsep)):
        for ending in endings:
            program = os.path.join(folder, name + ending)
            if os.path.isfile(program) and os.access(program, os.X_OK):
                return program
    return None


def own_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module under this very interpreter, isolated.

    What this process can import, the child can, but for what lies in the project.
    """
    return [
        *(sys.executable, "-I", "-c", _RUN_MODULE),
        *(json.dumps(environment.trusted_folders(sys.path)), module, *arguments),
    ]


def run(
    command: Sequence[str],
    *,
    timeout: float,
    environ: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    input: str | None = None,
    merged: bool = False,
) -> Finished:
    """Run a program to its end, in an empty folder that is gone afterwards.

    `environ` is its whole environment; by default this process's without secrets but those that
    `keep` has patterns of. `merged`: its errors are in `out`. Output is text in UTF-8, whatever
    does not fit replaced. Raises OSError if it cannot be started, TimeoutError (one as well) if it
    takes longer than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="fetch-", ignore_cleanup_errors=True) as folder:
        try:
            done = subprocess.run(
                _found(command),
                cwd=folder,
                env=_environ(environ, keep),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                check=False,
                stdin=subprocess.DEVNULL if input is None else None,
                input=input,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{command[0]} takes longer than {timeout:g} s") from error
    return Finished(done.returncode, done.stdout, done.stderr or "")


def start(
    command: Sequence[str],
    *,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    stdin: Path | None = None,
    session: bool = False,
) -> Child:
    """Start a program in `folder`, which is nobody else's; its output and errors are one pipe.

    `session`: it leads a group of its own, and can be killed with all that it has started.
    `environ` and `keep` are as for `run`. Raises OSError.
    """
    with ExitStack() as stack:
        source = subprocess.DEVNULL if stdin is None else stack.enter_context(stdin.open("rb"))
        return subprocess.Popen(
            _found(command),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environ(environ, keep),
            start_new_session=session,
        )


def output(child: Child, timeout: float) -> str:
    """Wait for a started program and return what it printed; killed after `timeout` seconds."""
    try:
        printed, _ = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        printed, _ = child.communicate()
    return printed.decode("utf-8", "replace")


def finish(child: Child, timeout: float, stopped: Callable[[], bool]) -> bytes:
    """Wait for a started program and return what it printed.

    It is killed once `stopped` says so, and after `timeout` seconds: TimeoutError is raised then.
    """
    ends = time.monotonic() + timeout
    while True:
        try:
            return child.communicate(timeout=_LOOK_EVERY)[0]
        except subprocess.TimeoutExpired as error:
            if stopped() or time.monotonic() > ends:
                child.kill()
                child.communicate()
                raise TimeoutError(f"it takes longer than {timeout:g} s") from error


async def start_own(
    module: str, *arguments: str, folder: Path, **more: str
) -> asyncio.subprocess.Process:
    """Start a module of this interpreter in `folder`, which it takes nothing from by itself.

    Output and errors are pipes; `more` are variables beside a clean environment's. Raises OSError.
    """
    import asyncio

    return await asyncio.create_subprocess_exec(
        *own_module(module, *arguments),
        cwd=folder,
        env={**environment.clean_environment(_OUR_OWN), **more},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def _environ(environ: Mapping[str, str] | None, keep: Sequence[str]) -> dict[str, str]:
    return environment.clean_environment(keep) if environ is None else dict(environ)


def _found(command: Sequence[str]) -> list[str]:
    """The command with its program's whole path."""
    name, *arguments = command
    if not os.path.dirname(name):
        program = find(name)
        if program is None:
            raise FileNotFoundError(2, os.strerror(2), name)
        name = program
    return [os.path.abspath(name), *arguments]
