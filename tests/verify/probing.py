"""Runs probes on folders, as `fetch verify` does, and looks at what they say."""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fetcher.verify import Check, ProbeRequest, ProbeResult, load_probe, run_probes
from fetcher.verify.child import run_probe
from fetcher.verify.contract import exhibits
from fetcher.verify.contract.built_in_probes import BUILT_IN
from fetcher.verify.contract.context import Context
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.probe_registry import find_probe
from fetcher.verify.contract.protocol import complete_metrics

from fetcher.probes.golden import GoldenEntry
from fetcher.probes.judge import differences, type_of

if TYPE_CHECKING:
    from fetcher.verify.contract.wire import Event


_TIMEOUT = 120.0  # seconds
# Probes that run nothing of an artifact's own, so that they may run in a test's process.
_HERE = frozenset(BUILT_IN) - {"class", "compression"}


def request(kind: str, root: Path, *names: str, **options: Any) -> ProbeRequest:
    """A probe of the files `names` below `root` (default: all). Fields of the request go by name,
    with an underscore before it; the rest are the probe's options.
    """
    fields = {key[1:]: options.pop(key) for key in list(options) if key.startswith("_")}
    found = names or tuple(
        path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if not path.is_dir()
    )
    files = {name: root / name for name in found}
    fields = {"timeout": _TIMEOUT, "device": "cpu", **fields}
    return ProbeRequest(fields.pop("artifact", root.name), kind, root, files, options, **fields)


def probe(kind: str, root: Path, *names: str, **options: Any) -> ProbeResult:
    return probe_all(request(kind, root, *names, **options))[0]


def probe_all(*requests: ProbeRequest) -> list[ProbeResult]:
    """Run several: here, where their libraries are loaded already, or each in its own process.

    Processes are for code of a project, plug-ins, limits, and the first of these that needs one.
    """
    if any(map(_needs_a_process, requests)):
        return run_probes(list(requests), python=sys.executable, jobs=2)
    return [run_in_this_process(one) for one in requests]


def _needs_a_process(made: ProbeRequest) -> bool:
    return (
        made.type not in _HERE
        or made.trust_code
        or "class_path" in made.options
        or bool(made.pickles or made.trusted_related)
        or made.memory_limit is not None
        or made.timeout != _TIMEOUT
    )


def run_here(made: ProbeRequest) -> ProbeError:
    """Run a probe in this process, up to the error that ends it: for what needs no model loaded."""
    context = Context(made, lambda event: None, made.root)
    with pytest.raises(ProbeError) as raised:
        load_probe(made.type).run(made, context)
    return raised.value


def named(result: ProbeResult) -> dict[str, Check]:
    return {check.name: check for check in result.checks}


def failures(result: ProbeResult) -> dict[str, str]:
    """The names of the checks that failed, and what they say."""
    return {check.name: check.detail for check in result.checks if not check.ok}


def run_in_this_process(made: ProbeRequest) -> ProbeResult:
    """Run a probe here, where its libraries are loaded already: a tenth of a process's time."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryDirectory() as shown,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # the libraries' own, as in the process of a probe
        events: list[Event] = []
        context = Context(made, events.append, Path(scratch), Path(shown))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in a process of its own
            ending = run_probe.attempt(find_probe(made.type).to_json(), made, context)
        told = [json.loads(json.dumps(event)) for event in events]
        return ProbeResult(
            made.artifact,
            made.type,
            ending["state"],
            ending["reason"],
            ending["hint"],
            tuple(context.checks),
            complete_metrics(context.metrics),
            "",
            exhibits.fingerprints_of(told),
            exhibits.tables_of(told),
            exhibits.pictures_of(told, Path(shown)),
            exhibits.facts_of(told),
        )


def run_probes_here(
    requests: Sequence[ProbeRequest],
    on_result: Callable[[int, ProbeResult], None] | None = None,
    **unused: object,
) -> list[ProbeResult]:
    """In place of `run_probes`, for tests of what becomes of the results."""
    results = [run_in_this_process(made) for made in requests]
    for number, result in enumerate(results):
        if on_result is not None:
            on_result(number, result)
    return results


def probe_here(kind: str, root: Path, *names: str, **options: Any) -> ProbeResult:
    """As `probe`, in this process. Not for code of a project, nor for what may crash."""
    return run_in_this_process(request(kind, root, *names, **options))


def golden_differences(right: ProbeResult, other: ProbeResult) -> dict[str, str]:
    """How a result differs from one that fetch.golden.json holds, by the names of outputs."""
    prints = {one.name: one for one in right.fingerprints}
    facts = {one.name: one.value for one in right.facts}
    return differences(other, GoldenEntry("", prints, facts), type_of(right))
