"""`fetch verify`: load each model and run one inference."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fetcher import naming, report, reports
from fetcher.commands import common
from fetcher.commands.plan import print_table
from fetcher.errors import Problem, UsageError
from fetcher.patterns import nearest
from fetcher.plan import KEEP, UNVERIFIED, ArtifactPlan, Plan
from fetcher.progress import human_bytes
from fetcher.project import Project, find_root
from fetcher.report import Report
from fetcher.workspace import Workspace

if TYPE_CHECKING:
    from fetcher.verify.protocol import ProbeRequest, ProbeResult

_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def _split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names that are manifests, and names that are artifacts."""
    project = Project(find_root(Path.cwd()))
    known = set(project.names())
    manifests = [name for name in names if name in known or name.endswith((".yaml", ".yml"))]
    return manifests, [name for name in names if name not in manifests]


@click.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@common.into_option
@click.option("--device", default="auto", metavar="auto|cpu|cuda:N|mps", help="Where to run.")
@click.option("--dtype", metavar="DTYPE", help="Number type to load with, such as float16.")
@click.option("--timeout", default=600.0, metavar="SECONDS", help="Longest time for one probe.")
@click.option("--python", metavar="PATH", help="The interpreter whose libraries must load it.")
@common.junit_option
@common.json_option
def command(
    names: tuple[str, ...], as_json: bool, into: Path | None, junit: Path | None, **options: Any
) -> int:
    """Load each artifact that has a probe, on the target device, and check what it answers.

    NAME is an artifact or a manifest; without NAME, everything that has been fetched. Each probe
    runs in a process of its own, offline, under the project's interpreter (the active virtual
    environment, unless --python names another). A probe that fails leads to exit code 8.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(options["device"])):
        raise UsageError(f"--device {options['device']}: expected auto, cpu, cuda:N or mps")
    manifests, artifacts = _split(names)
    with common.workspace(manifests, into=into, optional=True, quiet=True, readonly=True) as space:
        artifacts, notes = naming.translated(artifacts, space.wanted)
        common.explain(notes)
        _check_names(space, artifacts)
        planner = space.planner(quick=True)
        wanted = [pair for pair in space.wanted if pair[1].id in artifacts]
        if not artifacts:
            fetched = space.in_scope(planner.rows.values())
            wanted = [pair for pair in fetched if pair[1].probe is not None]
        parts = planner.plan(wanted, space.lock).artifacts
        results = run_probes(parts, space.options.into, show=not as_json, **options)
        found = Report({"probes": len(results), "seconds": _since(space)})
        _add(found, results)
        reports.keep_results(space.options.into, "verify", found)
        if junit:
            found.problems += common.write_report(junit, _junit(results))
        if as_json:
            report.print_json(found)
        report.print_problems(found.problems)
        return found.exit_code


def _since(space: Workspace) -> float:
    return round(time.monotonic() - space.started, 3)


def _check_names(space: Workspace, names: Sequence[str]) -> None:
    known = [artifact.id for _, artifact in space.wanted]
    for name in names:
        if name not in known:
            close = nearest(name, known)
            raise UsageError(
                f"no artifact or manifest {name!r}",
                f"did you mean {close!r}?" if close else "see `fetch list`",
            )


def verify_into(found: Report, space: Workspace, plan: Plan, *, show: bool) -> None:
    """Run the probes of what `fetch all` has laid out, and add their results to its report."""
    parts = [part for part in plan.artifacts if part.artifact.probe is not None]
    _add(found, run_probes(parts, space.options.into, show=show))


def run_probes(
    parts: Sequence[ArtifactPlan],
    tree: Path,
    *,
    show: bool,
    device: str = "auto",
    dtype: str | None = None,
    timeout: float = 600.0,
    python: str | None = None,
) -> list[ProbeResult]:
    """Probe each artifact; one that is not laid out fails without being loaded."""
    from fetcher.verify.protocol import ProbeResult
    from fetcher.verify.runner import run_probes as run

    results: list[ProbeResult] = []
    requests: list[ProbeRequest] = []
    for part in parts:
        kind = str((part.artifact.probe or {}).get("type", ""))
        if not kind:
            hint = "add `probe: {type: state-dict}` to its manifest"
            results.append(ProbeResult(part.artifact.id, "", "skipped", "it has no probe", hint))
        elif any(item.action not in {KEEP, UNVERIFIED} for item in part.items) or not part.items:
            results.append(
                ProbeResult(
                    part.artifact.id,
                    kind,
                    "failed",
                    f"not laid out: {part.state}",
                    "run `fetch all` first",
                )
            )
        else:
            requests.append(_request(part, tree, device, dtype, timeout))
    results += run(requests, python=python)
    if show:
        _print(results)
    return results


def _request(
    part: ArtifactPlan, tree: Path, device: str, dtype: str | None, timeout: float
) -> ProbeRequest:
    from fetcher.verify.protocol import ProbeRequest

    options = dict(part.artifact.probe or {})
    kind = str(options.pop("type"))
    info = part.artifact.info
    vram = re.fullmatch(r"([\d.]+) ?([KMGT])i?B?", str(info.get("min_vram", "")))
    try:
        return ProbeRequest(
            part.artifact.id,
            kind,
            (tree / part.unit.layout.root).absolute(),
            {item.file.path: Path(item.path).absolute() for item in part.items if not item.hub},
            options,
            device=device,
            dtype=dtype,
            timeout=timeout,
            gpu_only=info.get("device") == "gpu-only",
            min_vram=int(float(vram[1]) * _UNITS[vram[2]]) if vram else None,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _add(found: Report, results: Sequence[ProbeResult]) -> None:
    found.results = [result.to_json() for result in results]
    found.summary["failed_probes"] = sum(result.state == "failed" for result in results)
    found.problems += [
        Problem("probe", result.reason, result.hint, result.artifact)
        for result in results
        if result.state == "failed"
    ]


def _print(results: Sequence[ProbeResult]) -> None:
    rows = [("ARTIFACT", "PROBE", "RESULT", "PARAMETERS", "LOAD", "MEMORY", "DEVICE")]
    for result in results:
        metrics = result.metrics
        parameters, load = metrics.get("parameters"), metrics.get("load_seconds")
        memory = metrics.get("peak_memory_bytes")
        rows.append(
            (
                result.artifact,
                result.type or "-",
                result.state,
                f"{parameters:,}" if parameters is not None else "-",
                f"{load:.2f} s" if load is not None else "-",
                human_bytes(memory) if memory is not None else "-",
                str(metrics.get("device") or "-"),
            )
        )
    print_table(rows)
    for result in results:
        if result.state == "skipped":
            print(f"skipped {result.artifact}: {result.reason}")


def _junit(results: Sequence[ProbeResult]) -> str:
    from xml.sax.saxutils import quoteattr

    bad = sum(result.state == "failed" for result in results)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name="fetch verify" tests="{len(results)}" failures="{bad}">',
    ]
    for result in results:
        seconds = result.metrics.get("seconds") or 0
        case = (
            f"  <testcase classname={quoteattr(result.type or '-')} "
            f'name={quoteattr(result.artifact)} time="{seconds:.3f}"'
        )
        tag = {"failed": "failure", "skipped": "skipped"}.get(result.state)
        body = f"><{tag} message={quoteattr(result.reason)}/></testcase>" if tag else "/>"
        lines.append(case + body)
    return "\n".join([*lines, "</testsuite>", ""])
