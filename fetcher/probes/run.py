"""Proves what was laid out: makes the probes' requests, runs them, and judges what they found."""

from __future__ import annotations

import logging
import os
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fetcher.config.person import Allowed
from fetcher.errors import Problem, UsageError, from_os_error
from fetcher.i18n import join, t
from fetcher.probes import golden, judge
from fetcher.probes.defaults import options_of
from fetcher.probes.judge import Commands
from fetcher.project import names as naming
from fetcher.project.manifest import Artifact
from fetcher.project.names import code_folders
from fetcher.tree.hint_commands import fetch_all, words_into
from fetcher.tree.plan import KEEP, UNVERIFIED, ArtifactPlan, Item, Plan
from fetcher.verify.contract.built_in_probes import NONE
from fetcher.verify.contract.options import memory_bytes
from fetcher.verify.contract.probe_registry import UnknownProbeError, find_probe, load_probe
from fetcher.verify.contract.protocol import Check, ProbeRequest, ProbeResult
from fetcher.verify.host.runner import run_probes

_log = logging.getLogger(__name__)

_TIMEOUT = 600.0  # seconds
_CEILING = 0.9  # of the memory that is available at the start


@dataclass(frozen=True)
class ProbeSettings:
    """How to probe: `timeout` in seconds, `memory` in bytes; None: the manifest's, else default.

    `trusted` are the artifacts whose code may run this time, as the command line names them;
    `allowed` is what the person's own settings say.
    """

    device: str = "auto"
    dtype: str | None = None
    timeout: float | None = None
    memory: int | None = None
    python: str | None = None
    jobs: int | None = None
    trusted: tuple[str, ...] = ()
    allowed: Allowed = field(default_factory=Allowed)
    require_all: bool = False
    require_golden: bool = False
    update_golden: bool = False


@dataclass
class ProbeRunResult:
    """What a run of probes found.

    `golden` says for each result how its outputs compare with those stored: same, differs, none,
    stale (stored for other options or another probe), stored, or kept (other answers were stored,
    and nobody agreed to replace them); "" if there is nothing to compare. `undeclared` are the
    artifacts with answers in fetch.golden.json that their manifests no longer have. `manifests`
    says for each result whose artifact it is about: two may have one of the same id. `fetch_first`
    is the command that brings what could be proven.
    """

    results: list[ProbeResult] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)
    golden: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    fetch_first: str = "fetch all"

    @property
    def names(self) -> list[str]:
        """What to call the artifact of each result: its id, with its manifest where two have it."""
        ids = Counter(one.artifact for one in self.results)
        return [
            one.artifact if ids[one.artifact] == 1 else f"{manifest}/{one.artifact}"
            for manifest, one in zip(self.manifests, self.results, strict=True)
        ]

    @property
    def without_probe(self) -> list[str]:
        """The artifacts that nothing was proven of, as their manifests give them no probe."""
        pairs = zip(self.names, self.results, strict=True)
        return [name for name, result in pairs if not result.type]


Watch = Callable[[Mapping[str, str]], None]
# Asks whether what is stored may be replaced.
Agree = Callable[[Sequence[judge.Replacement]], bool]


def _related(part: ArtifactPlan) -> dict[str, list[str]]:
    """The probe's options that name other artifacts, with the ids."""
    options = options_of(part.artifact)
    try:
        wanted = getattr(load_probe(str((part.artifact.probe or {}).get("type"))), "related", ())
    except Exception:  # not there, or a broken plug-in: its own result says so
        return {}
    found = {name: options[name] for name in wanted if name in options}
    return {
        name: [str(one) for one in (value if isinstance(value, list) else [value])]
        for name, value in found.items()
    }


def prove(
    parts: Sequence[ArtifactPlan],
    plan: Plan,
    root: Path,
    settings: ProbeSettings,
    *,
    on_result: Callable[[ArtifactPlan, ProbeResult, str], None] | None = None,
    on_tick: Watch | None = None,
    agree: Agree = lambda replaced: False,
) -> ProbeRunResult:
    """Run the probes of `parts`; `plan` also has the artifacts that they refer to.

    `on_result` is called with each part, its judged result and its golden word, `on_tick` with what
    the parts that run are at, by the artifacts' full names. `root` is the project's,
    where fetch.golden.json is; `agree` is asked before other answers there are replaced. Raises
    InvalidDocument, UsageError.
    """
    book = _GoldenBook(root, plan.tree, settings)
    may_run = _trusted(plan, root, settings)
    found = [_prepare(part, plan, root, settings, may_run) for part in parts]
    ready = [number for number, one in enumerate(found) if isinstance(one, ProbeRequest)]
    judged = {
        n: book.judge(one, parts[n].artifact)
        for n, one in enumerate(found)
        if isinstance(one, ProbeResult)
    }

    def take(ran: int, result: ProbeResult) -> None:
        part = parts[ready[ran]]
        result, how = book.judge(_with_files(result, part, plan, root), part.artifact)
        judged[ready[ran]] = result, how
        _log.info("%s: %s %s", result.artifact, result.state, result.reason)
        if on_result is not None:
            on_result(part, result, how)

    def tick(doing: Mapping[int, str]) -> None:
        if on_tick is not None:
            on_tick({parts[ready[ran]].artifact.full_name: stage for ran, stage in doing.items()})

    _log.info("%d probes to run under %s", len(ready), settings.python or "the active Python")
    for request in found:
        if isinstance(request, ProbeRequest):
            _log.info("probing %s with %s on %s", request.artifact, request.type, request.device)
    for number, (result, how) in judged.items():
        _log.info("%s: %s before it runs: %s", result.artifact, result.state, result.reason)
        if on_result is not None:
            on_result(parts[number], result, how)
    run_probes(
        [one for one in found if isinstance(one, ProbeRequest)],
        python=settings.python,
        jobs=settings.jobs,
        on_result=take,
        on_tick=tick if on_tick is not None else None,
    )
    outcome = ProbeRunResult([judged[n][0] for n in range(len(parts))])
    outcome.golden = [judged[n][1] for n in range(len(parts))]
    outcome.manifests = [part.artifact.manifest for part in parts]
    outcome.fetch_first = shlex.join(["fetch", "all", *words_into(root, plan.tree)])
    outcome.problems += _problems(outcome.results, settings.require_all, outcome.fetch_first)
    outcome.undeclared = book.undeclared([part.artifact for part in plan.artifacts])
    if settings.update_golden:
        book.close(parts, outcome, agree)
    return outcome


class _GoldenBook:
    """fetch.golden.json in one run: compared with, or written anew with the person's word."""

    def __init__(self, root: Path, tree: Path, settings: ProbeSettings) -> None:
        self._root = root
        self._into = words_into(root, tree)
        self._settings = settings
        self._stored = golden.read(root, self._into)
        self._before = dict(self._stored)
        self._replaced: list[judge.Replacement] = []

    def judge(self, result: ProbeResult, artifact: Artifact) -> tuple[ProbeResult, str]:
        """A result as it stands beside what is stored, and the word for that."""
        if self._settings.update_golden:
            word, replacement = judge.update(result, artifact, self._stored)
            self._replaced += [replacement] if replacement.outputs else []
            return result, word
        commands = self._commands(artifact)
        result, word = judge.compare(result, artifact, self._stored, commands)
        if word == "none" and self._settings.require_golden:
            result = judge.without_golden(result, commands)
        return result, word

    def _commands(self, artifact: Artifact) -> Commands:
        look = ["fetch", "check", *filter(None, [artifact.reach]), "--deep", *self._into]
        into = f" {shlex.join(self._into)}" if self._into else ""
        update = f"fetch verify {artifact.command_words} --update-golden{into}"
        return Commands(update, shlex.join(look))

    def undeclared(self, declared: Sequence[Artifact]) -> list[str]:
        """The artifacts that are stored, and that the manifests of those declared lack."""
        manifests = {f"{one.manifest}/" for one in declared}
        names = {one.full_name for one in declared}
        stored = sorted({name for name, _, _ in self._stored} - names)
        return [name for name in stored if any(name.startswith(one) for one in manifests)]

    def close(self, parts: Sequence[ArtifactPlan], outcome: ProbeRunResult, agree: Agree) -> None:
        """Write what was stored anew; what replaces other answers only if `agree` says so."""
        if self._replaced and not agree(self._replaced):
            kept = {replacement.artifact.full_name for replacement in self._replaced}
            for number, part in enumerate(parts):
                if part.artifact.full_name in kept:
                    outcome.golden[number] = "kept"
                    commands = self._commands(part.artifact)
                    outcome.problems.append(judge.kept(part.artifact.id, commands))
                    self._restore(part.artifact.full_name)
        if self._stored == self._before:
            return
        try:
            golden.write(self._root, self._stored)
        except OSError as error:
            outcome.problems.append(
                from_os_error(error, t("writing {name}", name=golden.NAME)).problem
            )

    def _restore(self, name: str) -> None:
        others = {key: one for key, one in self._stored.items() if key[0] != name}
        before = {key: one for key, one in self._before.items() if key[0] == name}
        self._stored = {**others, **before}


def _problems(results: Sequence[ProbeResult], require_all: bool, fetch_first: str) -> list[Problem]:
    if require_all and not results:
        return [
            Problem(
                "probe",
                t("nothing was proven: no artifact has been fetched"),
                t(
                    "run `{command}` first, or name the artifacts that must pass",
                    command=fetch_first,
                ),
            )
        ]
    bad = {"failed", "skipped"} if require_all else {"failed"}
    return [
        Problem(
            "probe",
            f"skipped: {result.reason}" if result.state == "skipped" else result.reason,
            result.hint,
            result.artifact,
        )
        for result in results
        if result.state in bad and (result.type != NONE or result.state == "failed")
    ]


# Requests


def _trusted(plan: Plan, root: Path, settings: ProbeSettings) -> set[str]:
    """The artifacts, by their full names, whose code the person lets run; `root` is the project's.

    In settings an id alone is a word for that artifact only where no other has it.
    """
    ids = Counter(part.artifact.id for part in plan.artifacts)
    found = set()
    for part in plan.artifacts:
        one = part.artifact
        kept = [one.full_name, *([one.id] if ids[one.id] == 1 else [])]
        if {one.id, one.full_name} & {*settings.trusted} or any(
            settings.allowed.may_run(root, name) for name in kept
        ):
            found.add(one.full_name)
    return found


def _prepare(
    part: ArtifactPlan, plan: Plan, root: Path, settings: ProbeSettings, may_run: Collection[str]
) -> ProbeRequest | ProbeResult:
    """The request for an artifact's probe, or the result that is clear without running it."""
    name, kind = part.artifact.id, str((part.artifact.probe or {}).get("type", ""))
    if not kind:
        hint = t("give it one in its manifest, such as `probe: {type: state-dict}`")
        return ProbeResult(name, "", "skipped", t("it has no probe"), hint)
    if kind == NONE:
        reason = str((part.artifact.probe or {}).get("reason", ""))
        return ProbeResult(name, kind, "skipped", reason)
    if unknown := _unknown(part, kind):
        return unknown
    absent = [item for item in part.items if not item.stands]
    if absent or not part.items:
        what = (
            t("{target} is missing", target=absent[0].target)
            if absent
            else t("nothing is known of its files yet")
        )
        more = t(" and {count} more files", count=len(absent) - 1) if len(absent) > 1 else ""
        return ProbeResult(
            name,
            kind,
            "failed",
            t("not laid out: {what}{more}", what=what, more=more),
            t("run `{command}` first", command=fetch_all(root, plan, [part])),
        )
    related: dict[str, Mapping[str, Path]] = {}
    trusted_related = []
    for option, ids in _related(part).items():
        for other in ids:
            found = _find(other, part, plan)
            if found is None and option not in (part.artifact.probe or {}):
                continue  # a benchmark that the record names and nobody has declared
            if found is None:
                pairs = [(one.unit, one.artifact) for one in plan.artifacts]
                hint = naming.what_there_is(other, pairs)
                told = t(
                    "the probe's {option!r} names {other!r}, which is no artifact",
                    option=option,
                    other=other,
                )
                return ProbeResult(name, kind, "failed", told, hint)
            if found.items and all(item.stands for item in found.items):
                related[other] = placed(found)
                if found.artifact.full_name in may_run:
                    trusted_related.append(other)
    request = _request(part, kind, plan, related, settings)
    own = part.artifact.full_name in may_run
    return replace(request, trust_code=own, trusted_related=tuple(trusted_related))


def _unknown(part: ArtifactPlan, kind: str) -> ProbeResult | None:
    """The result of a probe of a type that is not there, with the place that names it."""
    try:
        find_probe(kind)
    except UnknownProbeError as error:
        manifest = part.unit.manifest
        line, column = manifest.probe_places[part.artifact.id]
        told = join((manifest.file, str(line), str(column), f" {error}"), ":")
        return ProbeResult(part.artifact.id, kind, "failed", told, error.hint)
    except ImportError:
        pass  # a plug-in without its module: the runner says so
    return None


def _find(name: str, part: ArtifactPlan, plan: Plan) -> ArtifactPlan | None:
    """The artifact of that id: of the same manifest if there is one."""
    same = [one for one in plan.artifacts if one.artifact.id == name]
    same.sort(key=lambda one: one.artifact.manifest != part.artifact.manifest)
    return same[0] if same else None


def placed(part: ArtifactPlan) -> dict[str, Path]:
    """Where each of the artifact's files stands; of several places, where most of them are."""
    items = [item for item in part.items if not item.outside] or part.items
    bases = Counter(_base(item) for item in items)
    best: dict[str, Item] = {}
    for item in items:
        known = best.get(item.file.path)
        if known is None or bases[_base(item)] > bases[_base(known)]:
            best[item.file.path] = item
    return {name: Path(item.path).absolute() for name, item in best.items()}


def _base(item: Item) -> str:
    """The folder that an artifact's own paths begin in, for an item that kept its path."""
    place = item.path.replace("\\", "/")
    ending = "/" + item.file.path
    return place.removesuffix(ending) if place.endswith(ending) else place


def _request(
    part: ArtifactPlan,
    kind: str,
    plan: Plan,
    related: Mapping[str, Mapping[str, Path]],
    settings: ProbeSettings,
) -> ProbeRequest:
    options = _with_code(options_of(part.artifact), part, plan)
    info = part.artifact.info
    timeout = settings.timeout or _number(options.get("timeout")) or _TIMEOUT
    try:
        return ProbeRequest(
            part.artifact.id,
            kind,
            (plan.tree / part.unit.layout.root).absolute(),
            placed(part),
            options,
            device=settings.device,
            dtype=settings.dtype,
            timeout=timeout,
            memory_limit=settings.memory or _size(options.get("memory")) or _ceiling(),
            gpu_only=info.get("device") == "gpu-only",
            min_vram=_size(info.get("min_vram")),
            related=related,
            pickles=settings.allowed.pickles,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _with_code(options: Mapping[str, Any], part: ArtifactPlan, plan: Plan) -> Mapping[str, Any]:
    """The options, with the folders of the code that the record names, as far as it is here."""
    code = part.artifact.code
    if code is None or "class_path" not in options or "paths" in options:
        return options
    root = plan.tree / part.unit.layout.root
    folders = code_folders([(one.unit, one.artifact) for one in plan.artifacts], code)
    if code.type == "local":
        folders = [str(getattr(code, "path", "")), *folders]
    found = [os.path.relpath(plan.tree / folder, root) for folder in folders]
    # A folder outside of the project's tree is not imported from.
    inside = [path for path in found if not path.startswith("..") and (root / path).is_dir()]
    return {**options, "paths": [*inside, "."]} if inside else options


def _number(value: Any) -> float | None:
    """A manifest's number; what is none is told by the runner with the other options."""
    sound = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    return float(value) if sound else None


def _size(value: Any) -> int | None:
    return memory_bytes(value) if isinstance(value, str) else None


def _ceiling() -> int | None:
    """Most of what is free: a probe that wants more is stopped before the system stops others."""
    from fetcher.verify.host.estimate import memory_available

    there = memory_available()
    return int(there * _CEILING) if there else None


# Judging


def _with_files(result: ProbeResult, part: ArtifactPlan, plan: Plan, root: Path) -> ProbeResult:
    """Add the check that the files are those of the lock, where some are not."""
    changed = [
        item.target
        for item in part.items
        if item.action not in {KEEP, UNVERIFIED} and not item.writable
    ]
    if not changed or result.state == "skipped":
        return result
    told = t("{target} is not what fetch.lock says", target=changed[0])
    if len(changed) > 1:
        told = t(
            "{target} and {more} more are not what fetch.lock says",
            target=changed[0],
            more=len(changed) - 1,
        )
    named = filter(None, [part.artifact.reach])
    hint = t(
        "`{command}` restores the locked files; `{look}` names all differences",
        command=fetch_all(root, plan, [part], "--overwrite"),
        look=shlex.join(["fetch", "check", *named, *words_into(root, plan.tree)]),
    )
    return judge.failing(result, Check(t("files are as locked"), False, told), hint)
