"""Runs probes, each in a process of its own; whatever one does, the others go on."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.verify.contract import exhibits
from fetcher.verify.contract.probe_registry import UnknownProbeError, find_probe, load_probe
from fetcher.verify.contract.protocol import Check, ProbeResult, complete_metrics
from fetcher.verify.host import environment
from fetcher.verify.host.bounded_process import Ending, Limits, run_bounded
from fetcher.verify.host.budget import Budget
from fetcher.verify.host.estimate import gpu_memory_available, memory_available, memory_needed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fetcher.verify.contract.probe_registry import ProbeLocation
    from fetcher.verify.contract.protocol import ProbeRequest
    from fetcher.verify.contract.wire import ChildEvent, State, TaskJson

_CHILD = Path(__file__).resolve().parents[1] / "child" / "child.py"
_STATES: Mapping[str, State] = {"passed": "passed", "failed": "failed", "skipped": "skipped"}
_LOG_LINES = 30
_TICK = 0.2  # seconds
_EVENTS_LIMIT = 64 * 1024 * 1024  # bytes: a child that writes more is not believed


def run_probes(
    requests: Sequence[ProbeRequest],
    *,
    python: str | None = None,
    jobs: int | None = None,
    on_result: Callable[[int, ProbeResult], None] | None = None,
    on_tick: Callable[[Mapping[int, str]], None] | None = None,
) -> list[ProbeResult]:
    """Run every request and return the results in the same order; a failure is a result.

    `python` is the interpreter that has the model's libraries, or a virtual environment's folder
    (default: the active virtual or conda environment's, else this one). `jobs` probes run at a
    time, at most; None: as many as there are cores, and as memory allows. `on_result` is called
    in this thread as each one ends, with the request's number, and `on_tick` several times a
    second with what each running request is doing. An interrupt, or an exception of a callback,
    kills the children and is raised.
    """
    runner = _Runner(environment.interpreter(python), requests, jobs)
    results: dict[int, ProbeResult] = {}
    with ThreadPoolExecutor(max_workers=runner.jobs) as pool:
        try:
            futures = {pool.submit(runner.run, n, r): n for n, r in enumerate(requests)}
            pending = set(futures)
            while pending:
                done, pending = wait(pending, _TICK if on_tick else None, FIRST_COMPLETED)
                for future in done:
                    number = futures[future]
                    results[number] = future.result()
                    if on_result is not None:
                        on_result(number, results[number])
                if on_tick is not None:
                    on_tick(runner.doing())
        except BaseException:
            runner.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [results[n] for n in range(len(requests))]


class _Runner:
    def __init__(self, python: str, requests: Sequence[ProbeRequest], jobs: int | None) -> None:
        self.stop = threading.Event()
        self._python = python
        self._events: dict[int, Path] = {}
        cores = os.cpu_count() or 1
        self._needs = [0 if jobs is not None else memory_needed(r) for r in requests]
        self._on_gpu = False
        if jobs is None:
            jobs = min(cores, len(requests))
            free = gpu_memory_available(requests[0].device) if requests else 0
            self._on_gpu = free != 0
            if free is None:
                jobs = 1
            self._budget = Budget(memory_available(), free or None)
        else:
            self._budget = Budget(None)
        self.jobs = max(1, jobs)
        # Several children with as many threads each as there are cores hinder one another.
        self._threads = max(1, cores // self.jobs) if self.jobs > 1 else None

    def doing(self) -> dict[int, str]:
        """Return the stage of each request that is running, by its number."""
        return {number: _last_stage(path) for number, path in sorted(self._events.items())}

    def run(self, number: int, request: ProbeRequest) -> ProbeResult:
        try:
            location, refusal = _locate(request)
            if location is None:
                return refusal
            need = self._needs[number]
            with (
                self._budget.hold(need, need if self._on_gpu else 0, self.stop),
                tempfile.TemporaryDirectory(
                    prefix="fetch-probe-", ignore_cleanup_errors=True
                ) as name,
            ):
                if self.stop.is_set():
                    return _failed(request, "interrupted")
                folder = Path(name).resolve()
                self._events[number] = folder / "events"
                return self._run_child(request, location, folder)
        except Exception as error:  # a defect here must not lose the other results
            return _failed(request, f"the probe could not be run: {type(error).__name__}: {error}")
        finally:
            self._events.pop(number, None)

    def _run_child(
        self, request: ProbeRequest, location: ProbeLocation, folder: Path
    ) -> ProbeResult:
        scratch, events, stdin = folder / "scratch", folder / "events", folder / "request"
        pictures = folder / "pictures"
        scratch.mkdir()
        pictures.mkdir()
        task: TaskJson = {
            "request": request.to_json(),
            "probe": location.to_json(),
            "events": str(events),
            "scratch": str(scratch),
            "pictures": str(pictures),
            "parent": os.getpid(),
        }
        stdin.write_text(json.dumps(task), encoding="utf-8")
        try:
            ending = run_bounded(
                [self._python, "-X", "faulthandler", str(_CHILD)],
                stdin=stdin,
                folder=scratch,
                environ=environment.child_environment(
                    scratch, request.seed, self._threads, trusted=_runs_project_code(request)
                ),
                limits=Limits(request.timeout, request.memory_limit),
                stop=self.stop,
            )
        except OSError as error:
            return _failed(
                request,
                f"the interpreter {self._python} cannot be started: {error.strerror or error}",
                "name the project's interpreter with --python PATH",
            )
        return _result(request, ending, _read_events(events), self._python, pictures)


def _runs_project_code(request: ProbeRequest) -> bool:
    return request.trust_code and request.options.get("trust") == "project"


def _locate(request: ProbeRequest) -> tuple[ProbeLocation | None, ProbeResult]:
    """Return where the probe is, or None and why it cannot be run."""
    try:
        location = find_probe(request.type)
        problems = load_probe(request.type).validate_options(request.options)
    except UnknownProbeError as error:
        return None, _failed(request, str(error), error.hint)
    except Exception as error:  # a plug-in's import or code
        told = f"{type(error).__name__}: {error}"
        return None, _failed(request, f"the probe {request.type!r} cannot be loaded: {told}")
    if problems:
        told = "; ".join(str(problem) for problem in problems)
        return None, _failed(request, f"invalid probe options: {told}")
    return location, _failed(request, "")


def _last_stage(path: Path) -> str:
    """Return what a running child said last of its doing."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 4096))
            lines = stream.read(4096).splitlines()
    except OSError:
        return "starting"
    for line in reversed(lines):
        with suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict) and event.get("event") == "stage":
                return "".join(c for c in str(event.get("name"))[:60] if c.isprintable())
    return "running"


def _read_events(path: Path) -> list[ChildEvent]:
    """Return the events that can be read; the child's code may have written anything there."""
    try:
        with path.open("rb") as stream:
            lines = stream.read(_EVENTS_LIMIT).splitlines()
    except OSError:
        return []
    events: list[ChildEvent] = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict):
                events.append(event)
    return events


def _result(
    request: ProbeRequest,
    ending: Ending,
    events: list[ChildEvent],
    python: str,
    pictures: Path,
) -> ProbeResult:
    done: ChildEvent = next((e for e in reversed(events) if e.get("event") == "done"), {})
    stages = [str(event.get("name")) for event in events if event.get("event") == "stage"]
    checks = tuple(
        Check(
            str(event.get("name")),
            event.get("ok") is True,
            str(event.get("detail", "")),
            event.get("warning") is True,
        )
        for event in events
        if event.get("event") == "check"
    )
    found = done.get("metrics")
    metrics = complete_metrics(found if isinstance(found, dict) else {})
    metrics["seconds"] = round(ending.seconds, 3)
    metrics["peak_memory_bytes"] = ending.peak_memory
    metrics["python"] = python
    state = _STATES.get(str(done.get("state")), "failed")
    if done.get("state") == state:
        reason, hint = str(done.get("reason", "")), str(done.get("hint", ""))
    else:
        reason, hint = _explain(request, ending, stages[-1] if stages else "starting")
    log = "" if state == "passed" else _last_lines(ending.output)
    return ProbeResult(
        request.artifact,
        request.type,
        state,
        reason,
        hint,
        checks,
        metrics,
        log,
        exhibits.fingerprints_of(events),
        exhibits.tables_of(events),
        exhibits.pictures_of(events, pictures),
        exhibits.facts_of(events),
    )


def _explain(request: ProbeRequest, ending: Ending, stage: str) -> tuple[str, str]:
    """Return reason and hint for a process that ended without a result."""
    if ending.cause == "timeout":
        return (
            f"no result after {request.timeout:g} s, while {stage}",
            "raise --timeout if the machine is slow; the log shows where it was",
        )
    if ending.cause == "memory":
        return (
            f"stopped at {_size(ending.peak_memory)} of memory, while {stage}; "
            f"the ceiling is {_size(request.memory_limit or 0)}",
            "raise the ceiling (--memory, or the probe's `memory`), or use a machine with more",
        )
    if ending.cause == "interrupted":
        return "interrupted", ""
    if ending.status == -signal.SIGKILL:
        return (
            f"killed by the system while {stage}, most likely for want of memory",
            "run fewer probes at once, or on a machine with more memory",
        )
    if ending.status < 0:
        return f"crashed with {_signal_name(-ending.status)} while {stage}", "the log says where"
    return (
        f"the process ended without a result (exit status {ending.status}) while {stage}",
        "the log shows its last words; fetch verify needs Python 3.8 or newer"
        if stage == "starting"
        else "the log shows its last words",
    )


def _failed(request: ProbeRequest, reason: str, hint: str = "") -> ProbeResult:
    return ProbeResult(
        request.artifact, request.type, "failed", reason, hint, metrics=complete_metrics({})
    )


def _last_lines(output: str) -> str:
    # Of a progress bar, which returns to the start of its line, only the last state.
    lines = [line.rstrip().rpartition("\r")[2] for line in output.split("\n")]
    return "\n".join([line for line in lines if line][-_LOG_LINES:])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
