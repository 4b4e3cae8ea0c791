"""`fetch verify`: load each model and run one inference."""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fetcher.commands import ci_reports, common
from fetcher.commands.ci_reports import Reports
from fetcher.commands.output_files import OutputFile
from fetcher.config.project_choices import ON_DISK
from fetcher.errors import UsageError
from fetcher.i18n import echo, join, t
from fetcher.operations.check import only_what_was_fetched
from fetcher.operations.doubt import doubt_files
from fetcher.operations.workspace import Workspace
from fetcher.probes import check_options
from fetcher.project import names as naming
from fetcher.project.manifest import Artifact
from fetcher.project.project import Project, find_root
from fetcher.reporting import envelope, saved
from fetcher.reporting.envelope import Answer
from fetcher.reporting.report import Report
from fetcher.tree.plan import ArtifactPlan, Plan
from fetcher.ui.live_table import LiveTable
from fetcher.ui.table import Column, print_table, without_empty
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:
    from fetcher.probes.judge import Replacement
    from fetcher.probes.run import Agree, ProbeRunResult, ProbeSettings
    from fetcher.reporting.verdict import Case
    from fetcher.verify.contract.protocol import ProbeResult

_SHOWN = 8  # names in a line
_COLUMNS = (
    Column(t("ARTIFACT"), least=12, at="middle"),
    Column(t("PROBE"), rank=3, least=13),
    Column(t("RESULT")),
    Column(t("PARAMETERS"), rank=5),
    Column(t("LOAD"), rank=4),
    Column(t("INFER"), rank=2),
    Column(t("MEMORY"), rank=6),
    Column(t("GPU"), rank=7),
    Column(t("DEVICE"), rank=8),
    Column(t("DTYPE"), rank=9),
    Column(t("GOLDEN"), rank=1),
)


def _split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names that are manifests, and names that are artifacts."""
    project = Project(find_root(Path.cwd()))
    known = set(project.names())
    manifests = [name for name in names if name in known or name.endswith((".yaml", ".yml"))]
    return manifests, [name for name in names if name not in manifests]


@click.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@common.into_option
@common.variant_option
@click.option("--device", default="auto", metavar="auto|cpu|cuda:N|mps", help="Where to run.")
@click.option("--dtype", metavar="DTYPE", help="Number type to load with, such as float16.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Longest time for one probe.")
@click.option("--memory", metavar="SIZE", help="Most host memory for one probe, such as 8G.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Probes at once; default: as cores and memory allow.",
)
@click.option("--python", metavar="PATH", help="The interpreter whose libraries must load it.")
@click.option("--require-all", is_flag=True, help="A probe that is skipped is a failure.")
@click.option(
    "--require-golden", is_flag=True, help="A probe with nothing stored to compare is a failure."
)
@click.option(
    "--update-golden", is_flag=True, help="Store fingerprints of the outputs for later runs."
)
@click.option("-y", "--yes", is_flag=True, help="With --update-golden: replace without asking.")
@click.option(
    "--trust-project-code",
    "trust_code",
    is_flag=True,
    help="Let code of the artifacts that are named here run, this once.",
)
@ci_reports.options("fetch verify")
@click.option(
    "--html",
    type=OutputFile("html"),
    metavar="FILE",
    help="Write a report as one page, with pictures.",
)
@common.json_option
def command(
    names: tuple[str, ...],
    as_json: bool,
    into: Path | None,
    variants: tuple[str, ...],
    html: Path | None,
    trust_code: bool,
    yes: bool,
    reports: Reports,
    **options: Any,
) -> int:
    """Load each artifact that has a probe, on the target device, and check what it answers.

    NAME is an artifact or a manifest; without NAME, everything that has been fetched. Each probe
    runs in a process of its own, offline, under the project's interpreter (the active virtual
    environment, unless --python names another). A probe that fails leads to exit code 8.
    """
    settings = _settings(**options)
    manifests, artifacts = _split(names)
    with common.workspace(
        manifests,
        into=into,
        variants=variants,
        optional=True,
        quiet=True,
        readonly=True,
        uses=ON_DISK,
        probes=check_options.examine_all,
    ) as space:
        artifacts, notes = naming.translated(artifacts, space.wanted)
        common.explain(notes)
        _check_names(space, artifacts)
        settings = replace(settings, allowed=space.settings.allowed)
        if trust_code:
            settings = replace(settings, trusted=_trusted(artifacts))
        planner = space.planner(quick=True)
        plan = planner.plan(space.wanted, space.lock)
        parts = [part for part in plan.artifacts if _is_named(part.artifact, artifacts)]
        if not artifacts:
            only_what_was_fetched(space)
            scope = {a.full_name for _, a in space.in_scope(planner.rows)}
            parts = [part for part in plan.artifacts if part.artifact.full_name in scope]
        outcome = _prove(space, parts, plan, settings, quiet=False, agree=_Agreement(yes))
        seconds = time.monotonic() - space.started
        proved = sum(part.artifact.probe is not None for part in parts)
        found = Answer({"probes": proved, "seconds": round(seconds, 3)})
        _add(found, outcome)
        _keep(space, found, outcome)
        told = [join(_counted(outcome), ", ")] if outcome.results else []
        found.problems += reports.write(_cases(outcome), found.problems, space.units, told)
        if html:
            from fetcher.reporting.probe_page import page

            title = ", ".join(names) or space.project.root.name
            text = page(outcome.results, outcome.golden, title, seconds)
            found.problems += common.write_report(html, text)
        if as_json:
            envelope.print_json(found)
        else:
            _print(outcome)
        envelope.print_problems(found.problems)
        return found.exit_code


def _settings(
    device: str, dtype: str | None, timeout: float | None, memory: str | None, **others: Any
) -> ProbeSettings:
    """What the flags say, checked."""
    from fetcher.probes.run import ProbeSettings
    from fetcher.verify.contract import dtypes
    from fetcher.verify.contract.options import memory_bytes

    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise UsageError(t("--device {device}: expected auto, cpu, cuda:N or mps", device=device))
    if dtype is not None and not dtypes.is_floating(dtype):
        raise UsageError(
            t(
                "--dtype {dtype}: expected one of {floating}",
                dtype=dtype,
                floating=", ".join(dtypes.FLOATING),
            )
        )
    if timeout is not None and not 0 < timeout < 1e7:
        raise UsageError(t("--timeout {timeout:g}: expected seconds above 0", timeout=timeout))
    size = memory_bytes(memory) if memory is not None else None
    if memory is not None and not size:
        raise UsageError(t("--memory {memory}: expected a size such as 8G or 500M", memory=memory))
    dtype = dtypes.SHORT_NAMES.get(dtype, dtype) if dtype else None
    return ProbeSettings(device, dtype, timeout, size, **others)


def _trusted(artifacts: Sequence[str]) -> tuple[str, ...]:
    """The artifacts whose code may run: a whole project is never meant. Raises UsageError."""
    if not artifacts:
        raise UsageError(
            t("--trust-project-code is for artifacts that are named beside it"),
            t("fetch verify NAME --trust-project-code; for good: fetch config allow code NAME"),
        )
    return tuple(artifacts)


def _is_named(artifact: Artifact, names: Sequence[str]) -> bool:
    """Whether names hold its id, alone or with its manifest."""
    return artifact.id in names or artifact.full_name in names


def _check_names(space: Workspace, names: Sequence[str]) -> None:
    for name in names:
        if not any(_is_named(artifact, [name]) for _, artifact in space.wanted):
            raise UsageError(
                t("no artifact or manifest {name!r}", name=name),
                naming.what_there_is(name, space.wanted),
            )


def verify_into(found: Report, space: Workspace, plan: Plan, *, quiet: bool, show: bool) -> None:
    """Run the probes of what `fetch all` has laid out, and add their results to its report."""
    from fetcher.probes.run import ProbeSettings

    settings = ProbeSettings(allowed=space.settings.allowed)
    outcome = _prove(space, plan.artifacts, _all_of(space, plan), settings, quiet=quiet)
    _add(found, outcome)
    _keep(space, Answer(dict(found.summary), found.problems, found.results), outcome)
    if show:
        _print(outcome)


class _Agreement:
    """Says what an update of fetch.golden.json replaces, and asks where somebody can answer."""

    def __init__(self, yes: bool) -> None:
        self._yes = yes

    def __call__(self, replaced: Sequence[Replacement]) -> bool:
        for one in replaced:
            for told in one.outputs:
                line = t("replaces {artifact}: {told}", artifact=one.artifact.id, told=told)
                echo(line, file=sys.stderr)
        if self._yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return self._yes
        return click.confirm(t("Replace what fetch.golden.json has?"), err=True)


def _all_of(space: Workspace, plan: Plan) -> Plan:
    """The plan with the artifacts that this run did not select: a probe may refer to them."""
    selected = {part.artifact.full_name for part in plan.artifacts}
    others = [
        (unit, artifact)
        for unit in space.units
        for artifact in unit.manifest.artifacts.values()
        if artifact.full_name not in selected
    ]
    more = space.planner(quick=True).plan(others, space.lock).artifacts
    return Plan(plan.tree, [*plan.artifacts, *more])


def _prove(
    space: Workspace,
    parts: Sequence[ArtifactPlan],
    plan: Plan,
    settings: ProbeSettings,
    quiet: bool,
    agree: Agree = lambda replaced: False,
) -> ProbeRunResult:
    from fetcher.probes.run import prove

    names = {part.artifact.full_name: name for part, name in zip(parts, _names(parts), strict=True)}
    table = LiveTable(_COLUMNS, list(names.values()), quiet=quiet)

    def take(part: ArtifactPlan, result: ProbeResult, how: str) -> None:
        name = names[part.artifact.full_name]
        table.finish(name, _row(name, result, how))

    def ask(replaced: Sequence[Replacement]) -> bool:
        table.end()
        return agree(replaced)

    try:
        outcome = prove(
            parts,
            plan,
            space.project.root,
            settings,
            on_result=take,
            on_tick=lambda doing: table.tick({names[one]: at for one, at in doing.items()}),
            agree=ask,
        )
    finally:
        table.end()
    pairs = zip(parts, outcome.results, strict=True)
    failed = [part for part, result in pairs if result.state == "failed"]
    # Maybe their bytes are not what they were, though size and time are.
    doubt_files(space, (item for part in failed for item in part.items))
    return outcome


def _add(found: Answer | Report, outcome: ProbeRunResult) -> None:
    results = outcome.results
    found.results = [
        {**_with_digests(result), "manifest": manifest, "golden": how or None}
        for result, manifest, how in zip(results, outcome.manifests, outcome.golden, strict=True)
    ]
    found.summary["passed_probes"] = sum(result.state == "passed" for result in results)
    found.summary["failed_probes"] = sum(result.state == "failed" for result in results)
    skipped = [result for result in results if result.state == "skipped" and result.type]
    found.summary["skipped_probes"] = len(skipped)
    found.summary["without_probe"] = len(outcome.without_probe)
    found.problems += outcome.problems


def _keep(space: Workspace, found: Answer, outcome: ProbeRunResult) -> None:
    """Leave the results for `fetch report` and the catalog's pages."""
    saved.keep_results(space.options.into, "verify", found)
    saved.keep_pictures(space.options.into, _pictures(outcome))


def _with_digests(result: ProbeResult) -> dict[str, object]:
    """The result with the digest of each picture, by which it is kept."""
    pictures = [
        {
            **picture.to_json(),
            "sha256": hashlib.sha256(picture.png).hexdigest() if picture.png else None,
        }
        for picture in result.pictures
    ]
    return {**result.to_json(), "pictures": pictures}


def _pictures(outcome: ProbeRunResult) -> dict[str, bytes]:
    return {
        hashlib.sha256(picture.png).hexdigest(): picture.png
        for result in outcome.results
        for picture in result.pictures
        if picture.png
    }


def _names(parts: Sequence[ArtifactPlan]) -> list[str]:
    """What to call each artifact: its id, with its manifest where two have one id."""
    names = common.row_names(parts)
    return [names[part.artifact.manifest, part.artifact.id] for part in parts]


def _row(name: str, result: ProbeResult, golden: str) -> tuple[str, ...]:
    metrics = result.metrics
    numbers = metrics.get("parameters")
    return (
        name,
        result.type or "-",
        result.state,
        f"{numbers:,}" if isinstance(numbers, int) else "-",
        _seconds(metrics.get("load_seconds")),
        _seconds(metrics.get("infer_seconds")),
        _size(metrics.get("peak_memory_bytes")),
        _size(metrics.get("peak_gpu_memory_bytes")),
        str(metrics.get("device") or "-"),
        str(metrics.get("dtype") or "-"),
        golden or "-",
    )


def _seconds(value: Any) -> str:
    return f"{value:.2f} s" if isinstance(value, (int, float)) else "-"


def _size(value: Any) -> str:
    return human_bytes(value) if isinstance(value, (int, float)) else "-"


def _print(outcome: ProbeRunResult) -> None:
    told = list(zip(outcome.names, outcome.results, outcome.golden, strict=True))
    if told:
        print_table(*without_empty(_COLUMNS, [_row(*one) for one in told]))
    for name, result, how in told:
        if result.state == "skipped" and result.type:
            echo(t("skipped {artifact}: {reason}", artifact=name, reason=result.reason))
        for check in result.checks:
            if check.warning:
                echo(
                    t(
                        "warning {artifact}: {name}: {detail}",
                        artifact=name,
                        name=check.name,
                        detail=check.detail,
                    )
                )
        if how == "stored":
            echo(
                t(
                    "stored {artifact}: what it answered is in fetch.golden.json",
                    artifact=name,
                )
            )
    for name in outcome.undeclared:
        echo(t("warning fetch.golden.json: {name} is stored, and no manifest has it", name=name))
    _print_coverage(outcome)


def _states(outcome: ProbeRunResult) -> Counter[str]:
    return Counter(result.state for result in outcome.results if result.type)


def _counted(outcome: ProbeRunResult) -> list[str]:
    """How many probes passed and failed; then, if there are any, skipped and artifacts without."""
    count, without = _states(outcome), len(outcome.without_probe)
    return [
        t("{n} passed", n=count["passed"]),
        t("{n} failed", n=count["failed"]),
        *([t("{n} skipped", n=count["skipped"])] if count["skipped"] else []),
        *([t("{n} without a probe", n=without)] if without else []),
    ]


def _print_coverage(outcome: ProbeRunResult) -> None:
    """What was proven of all that is there, and what nothing is known of."""
    names = outcome.without_probe
    if not outcome.results:
        echo(t("nothing was proven: no artifact has been fetched"))
        hint = t("run `{command}` first, or name what is to be proven", command=outcome.fetch_first)
        echo(t("hint: {hint}", hint=hint))
        return
    told = _counted(outcome)
    count = _states(outcome)
    if count["passed"] or count["failed"]:
        echo(join(told, ", "))
    else:
        echo(t("nothing was proven: {counts}", counts=join(told[2:], ", ")))
    if names:
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        echo(t("without a probe, so nothing was proven: {names}", names=shown))
        echo(t("hint: give them one in their manifests; --require-all makes them failures"))


def _cases(outcome: ProbeRunResult) -> list[Case]:
    """A case for each probe; warnings of one that passed are worth knowing."""
    from fetcher.reporting.verdict import WARNING, Case

    cases = []
    for name, result in zip(outcome.names, outcome.results, strict=True):
        probe = result.type or t("no probe")
        kind = {"passed": "ok", "failed": "probe", "skipped": "skipped"}[result.state]
        seconds = result.metrics.get("seconds") or 0.0
        case = Case(name, probe, kind, result.reason, _details(result), seconds, result.hint or "")
        warned = [join((one.name, one.detail), ": ") for one in result.checks if one.warning]
        if warned and kind == "ok":
            case = replace(case, message=join(warned, "; "), advice=WARNING)
        cases.append(case)
    return cases


def _details(result: ProbeResult) -> str:
    failed = [f"{c.name}: {c.detail}" for c in result.checks if not c.ok]
    return "\n".join([*failed, *([f"hint: {result.hint}"] if result.hint else []), result.log])
