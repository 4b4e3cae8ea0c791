"""A process that has imported the tool, and forks a run of it for each line on its input.

A run so begins in a hundredth of a second, which is what makes thousands of crashes possible.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TypedDict

from tests.crash.shim import Control


class Order(TypedDict):
    """One run: the command line after `fetch`, where, with which environment and constants."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    output: str
    armed: bool
    patches: dict[str, int]
    seconds: float
    modules: str


class Ended(TypedDict):
    """How it ended: below 0 by that signal, 999 if it had to be ended."""

    status: int
    calls: int


def _run(order: Order, control: Control) -> None:
    """In the child: become `fetch`. Does not return."""
    os.setsid()
    os.chdir(order["cwd"])
    os.environ.update(order["env"])
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name, value in order["patches"].items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    sys.argv = ["fetch", *order["argv"]]
    if order["armed"]:
        control.arm()
    from fetcher.__main__ import main

    code = 1
    try:
        main()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 97
    finally:
        import threading

        for thread in threading.enumerate():  # as the interpreter does when it ends
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(10)
        import atexit

        atexit._run_exitfuncs()
        if order["modules"]:
            Path(order["modules"]).write_text("\n".join(sorted(sys.modules)))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(pid: int, seconds: float) -> int:
    deadline, pause = time.monotonic() + seconds, 0.001
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(pause * 1.3, 0.02)
    os.kill(pid, signal.SIGABRT)  # faulthandler shows where it hangs
    time.sleep(0.3)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 999


def serve() -> None:
    """Read orders, one a line of JSON, until the input ends."""
    import faulthandler

    faulthandler.enable()
    control = Control(Path(os.environ["CRASH_CONTROL"]))
    for line in sys.stdin:
        order: Order = json.loads(line)
        if not order["argv"]:  # only modules to be imported
            for name in Path(order["modules"]).read_text().split():
                try:
                    importlib.import_module(name)
                except Exception:
                    continue
            print(json.dumps(Ended(status=0, calls=0)), flush=True)
            continue
        pid = os.fork()
        if not pid:
            _run(order, control)
        status = _wait(pid, order["seconds"])
        try:
            os.killpg(pid, signal.SIGKILL)  # children that outlived it
        except ProcessLookupError:
            pass
        calls = control.disarm()
        print(json.dumps(Ended(status=status, calls=calls)), flush=True)


if __name__ == "__main__":
    serve()
