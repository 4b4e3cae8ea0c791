"""One probe's run inside its own process, from the request to the written result.

Runs under the project's interpreter: syntax of Python 3.8, standard library only.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.machinery
import importlib.util
import json
import os
import platform
import random
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fetcher.verify.child import fitness, network_guard
from fetcher.verify.contract.context import Context, describe, missing
from fetcher.verify.contract.probe_errors import ProbeError, ProbeSkipped
from fetcher.verify.contract.protocol import ProbeRequest

if TYPE_CHECKING:
    from fetcher.verify.contract.probe import Probe
    from fetcher.verify.contract.wire import EndingJson, Event, ProbeLocationJson, TaskJson

_PR_SET_PDEATHSIG = 1
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")


class _EventWriter:
    """The way back to the parent: one JSON object a line.

    Opened for each line, so that a library that closes descriptors cannot cut it.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def emit(self, event: Event) -> None:
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event, ensure_ascii=True, default=str) + "\n")


class _PluginFinder:
    """Finds one plug-in's top-level module and nothing else of the place where it is installed."""

    def __init__(self, name: str, file: str | None, folders: list[str] | None) -> None:
        self._name = name
        self._file = file
        self._folders = folders

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        if self._file:
            return importlib.util.spec_from_file_location(
                fullname, self._file, submodule_search_locations=self._folders
            )
        spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = self._folders
        return spec


def run(task: TaskJson) -> None:
    """Run the probe that `task` asks for and end the process. Never returns."""
    events = _EventWriter(task["events"])
    refused: list[str] = []
    _die_with(task["parent"])
    _give_way_when_memory_ends()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    network_guard.refuse_sockets(refused.append)
    network_guard.leave_network()
    request = ProbeRequest.from_json(task["request"])
    random.seed(request.seed)
    context = Context(request, events.emit, Path(task["scratch"]), Path(task["pictures"]))
    ending = attempt(task["probe"], request, context)
    if ending["state"] == "failed" and not ending["hint"] and refused:
        ending["hint"] = f"it tried to reach {refused[0]}, and a probe has no network"
    context.metrics["libraries"] = {"python": platform.python_version(), **context.libraries}
    context.metrics.update(_peaks())
    if refused:
        context.metrics["refused_connections"] = sorted(set(refused))[:20]
    events.emit({"event": "done", "metrics": context.metrics, **ending})
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # the library may have closed it
            pass
    # The result is written: what a library does at exit may hang or crash, and says nothing.
    os._exit(0)


def attempt(location: ProbeLocationJson, request: ProbeRequest, context: Context) -> EndingJson:
    """Run the probe and return state, reason and hint; no exception gets out."""
    try:
        context.stage("loading the probe")
        probe = _load(location)
        _require_all(probe, context)
        fitness.skip_if_unfit(request, context)
        context.stage("running")
        probe.run(request, context)
    except ProbeSkipped as skip:
        return {"state": "skipped", "reason": skip.reason, "hint": skip.hint}
    except ProbeError as error:
        return {"state": "failed", "reason": error.reason, "hint": error.hint}
    except BaseException as error:  # also SystemExit: a library's exit is this probe's failure
        traceback.print_exc()
        reason, hint = _unexpected(error)
        if any(not check.ok for check in context.checks):  # most likely the cause
            reason = f"{_verdict(context)['reason']}; then {reason}"
            hint = context.hint or hint
        return {"state": "failed", "reason": reason, "hint": hint}
    return _verdict(context)


def _verdict(context: Context) -> EndingJson:
    bad = [check for check in context.checks if not check.ok]
    if bad:
        first = f"{bad[0].name}: {bad[0].detail}" if bad[0].detail else bad[0].name
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return {"state": "failed", "reason": first + more, "hint": context.hint}
    if not context.checks:
        return {"state": "failed", "reason": "the probe checked nothing", "hint": context.hint}
    return {"state": "passed", "reason": "", "hint": ""}


def _unexpected(error: BaseException) -> tuple[str, str]:
    """Return reason and hint for what no probe expects."""
    reason, hint = describe(error), ""
    if isinstance(error, SystemExit):
        reason = f"the model's code ended the process (exit status {error.code!r})"
    elif type(error).__name__ == "OutOfMemoryError":
        reason, hint = "out of GPU memory: " + reason, "free the GPU, or use --device cpu"
    elif isinstance(error, MemoryError) or any(
        words in str(error).lower() for words in _MEMORY_WORDS
    ):
        reason, hint = "out of memory: " + reason, "run fewer probes at once, or on more memory"
    return reason, hint


def _load(location: ProbeLocationJson) -> Probe:
    if location["top"]:
        finder = _PluginFinder(location["top"], location["file"], location["folders"])
        sys.meta_path.insert(0, cast("Any", finder))
    found: Any = importlib.import_module(location["module"])
    for name in location["attribute"].split("."):
        found = getattr(found, name)
    return cast("Probe", found)


def _require_all(probe: Probe, context: Context) -> None:
    """Import what every run of the probe needs, naming all that is missing at once."""
    lacking = [(n.split(".")[0], pip) for n, pip in probe.requires]
    lacking = [(name, pip) for name, pip in lacking if not context.has(name)]
    if lacking:
        raise missing([name for name, _ in lacking], [pip for _, pip in lacking])
    for name, pip in probe.requires:
        context.require(name, pip)


def _die_with(parent: int) -> None:
    """End this process when the parent's watching thread does, kill -9 included (Linux)."""
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        except (OSError, AttributeError):
            return
        if os.getppid() != parent:
            os._exit(1)


def _give_way_when_memory_ends() -> None:
    # If the machine itself runs out, the kernel takes this process and not the user's others.
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass


def _peaks() -> dict[str, int]:
    """Return the peaks of resident and of GPU memory so far, in bytes, where they are known."""
    peaks = {}
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peaks["peak_resident_bytes"] = int(line.split()[1]) * 1024
    except OSError:
        pass
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        peaks["peak_gpu_memory_bytes"] = int(torch.cuda.max_memory_allocated())
    return peaks
