"""What a command found in a tree or did to it: totals, artifacts with their files, problems."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from fetcher.errors import INTERRUPTED, FetchError, Problem, exit_code_of, hint_of
from fetcher.i18n import join, t
from fetcher.tree.actions import BLOCKED, CONFLICT, GET, KEEP, PLACE, UNVERIFIED, WITHHELD
from fetcher.tree.uptodate import Seal

if TYPE_CHECKING:  # most runs have no orphans to speak of
    from fetcher.reporting.orphan_words import OrphanEntry
    from fetcher.tree.item_list import PackedRun
    from fetcher.tree.plan import ArtifactPlan, Item, Plan

STARTED = time.perf_counter()
_STATES = {
    GET: "missing",
    PLACE: "missing",
    CONFLICT: "conflict",
    BLOCKED: "blocked",
    WITHHELD: "missing",
    UNVERIFIED: "unverified",
    KEEP: "present",
}


class Summary(TypedDict, total=False):
    """Totals of a report. The first ten are always there; sizes are in bytes.

    `failed_files` are those that are not as the lock wants them; `reused_files` were there, or
    came from the store. A plan has `to_download_files`, `to_download_bytes` (as far as sizes are
    known), `unknown_sizes`, `unknown_archives` (nobody knows yet what is in them),
    `unresolved_artifacts` and `disk_free` as well, and like a run `limited_seconds` where a host's
    rate limit makes it take so long at the least; a status `kept_files` and `kept_bytes` (what
    lies in `.fetch/kept/`); a run with probes `passed_probes`,
    `failed_probes`, `skipped_probes` and `without_probe`.
    """

    artifacts: int
    files: int
    bytes: int
    downloaded_files: int
    downloaded_bytes: int
    reused_files: int
    placed_files: int
    failed_files: int
    failed_artifacts: int
    seconds: float
    to_download_files: int
    to_download_bytes: int
    unknown_sizes: int
    unknown_archives: int
    unresolved_artifacts: int
    disk_free: int
    limited_seconds: float
    kept_files: int
    kept_bytes: int
    passed_probes: int
    failed_probes: int
    skipped_probes: int
    without_probe: int


class ArtifactStatus(TypedDict):
    """One artifact in the `results` of `fetch status`.

    `files` are counted, `bytes` their sizes' sum; `present` are as locked, `unread` have the right
    size and were never read.
    """

    id: str
    manifest: str
    state: str
    optional: bool
    files: int
    present: int
    unread: int
    bytes: int


class FileReport(NamedTuple):
    """One file of an artifact.

    `path` is the source's name for it, `target` where it stands: relative to the tree, or absolute
    in the Hugging Face cache. `state` is present, placed (by this run), missing, modified,
    conflict, blocked or unverified. `source` names what delivered it in this run, such as
    huggingface, mirror:… or store. `size` (bytes), `sha256` (lower-case hex), `source` and `error`
    are None where there is nothing to say.
    """

    path: str
    target: str
    size: int | None
    sha256: str | None
    state: str
    source: str | None
    error: str | None


class AlikeFiles(NamedTuple):
    """Files of an artifact, of which no more is to be said than where they are: as many
    FileReports, column by column. `state` is that of all."""

    paths: Sequence[str]
    targets: Sequence[str]
    sizes: Sequence[int | None]
    sha256: Sequence[str | None]
    state: str

    def reports(self) -> Iterator[FileReport]:
        """The same, one by one."""
        columns = self.paths, self.targets, self.sizes, self.sha256
        for path, target, size, sha256 in zip(*columns, strict=True):
            yield FileReport(path, target, size, sha256, self.state, None, None)


@dataclass(frozen=True)
class ArtifactReport:
    """One artifact: `state` is complete, partial, missing, modified or conflict; `revision` is
    None while it is not resolved."""

    id: str
    manifest: str
    name: str
    state: str
    revision: str | None
    groups: Callable[[], Iterator[FileGroup]] = field(repr=False, compare=False)

    def rows(self) -> Iterator[FileReport]:
        """Its files, in the order of the lock."""
        for group in self.groups():
            yield from group.reports() if isinstance(group, AlikeFiles) else group

    @property
    def files(self) -> list[FileReport]:
        """Its files, in the order of the lock; made when asked for: there may be a million."""
        return list(self.rows())


FileGroup = AlikeFiles | Iterable[FileReport]
Errors = Mapping[tuple[str, str], str]  # (artifact, file): what is wrong with it


def _nothing(_: Errors) -> Iterator[ArtifactReport]:
    return iter(())


class ProblemsError(FetchError):
    """A report has problems. `report` is the whole of it; message and hint are of the first
    problem, `exit_code` is what the command line would exit with."""

    def __init__(self, report: Report) -> None:
        first, *others = report.problems
        about = "/".join(part for part in (first.artifact, first.file) if part)
        message = join((about, first.message), ": ") if about else first.message
        if others:
            message = t("{message} (and {more:,} more)", message=message, more=len(others))
        super().__init__(message)
        self.hint = hint_of(first)
        self.report = report
        self.exit_code = report.exit_code

    def problems(self) -> list[Problem]:
        """All of them."""
        return list(self.report.problems)


@dataclass
class Report:
    """What a run did, or a look at the tree found.

    `summary` has totals, `artifacts` each artifact with its files, `problems` all that is wrong:
    an artifact that failed does not keep the others from being fetched. `ok` says whether there is
    none. `results` is what only some commands have; so are `orphans`, files that were placed once
    and that nothing wants any more. `replaced` are paths whose old file lies below `kept_in` now.
    """

    summary: Summary = field(default_factory=Summary)
    problems: list[Problem] = field(default_factory=list)
    results: Sequence[Mapping[str, object]] | None = None
    interrupted: bool = False
    orphans: Sequence[OrphanEntry] | None = None
    replaced: Sequence[str] = ()
    kept_in: str = ""
    found: Callable[[Errors], Iterator[ArtifactReport]] = field(default=_nothing, repr=False)

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """The process exit code of the command line."""
        return INTERRUPTED if self.interrupted else exit_code_of(self.problems)

    @property
    def artifacts(self) -> list[ArtifactReport]:
        """Every artifact that it is about, in the order of the manifests."""
        return list(self.each_artifact())

    def each_artifact(self) -> Iterator[ArtifactReport]:
        """The same, one by one."""
        return self.found({(p.artifact, p.file): p.message for p in self.problems if p.file})

    def raise_for_problems(self) -> None:
        """Raise ProblemsError if there are problems; else do nothing."""
        if self.problems:
            raise ProblemsError(self)


# Made of a plan


def _file_state(item: Item) -> str:
    if item.placed:
        return "placed"
    if item.changed_by_user or item.lost_mode:
        return "modified"
    return _STATES[item.action]


def _of_part(part: ArtifactPlan, errors: Errors) -> ArtifactReport:
    artifact = part.artifact
    has_errors = any(id == artifact.id for id, _ in errors)

    def row(item: Item) -> FileReport:
        return FileReport(
            item.file.path,
            item.target,
            item.file.size,
            item.file.sha256 or item.sha256 or None,
            _file_state(item),
            item.origin or None,
            errors.get((artifact.id, item.file.path)),
        )

    def groups() -> Iterator[FileGroup]:
        for piece in part.items.pieces():
            if isinstance(piece, list) or piece.singular or has_errors:
                yield map(row, piece)
            else:
                yield _of_run(piece)
        yield map(row, part.refused)

    revision = part.locked.revision if part.locked else None
    about = artifact.id, artifact.manifest, artifact.name, part.state, revision
    return ArtifactReport(*about, groups)


def _of_run(piece: PackedRun) -> AlikeFiles:
    run = piece.run
    paths = [run.folder + name for name in run.names]
    targets = [piece.folder + name for name in run.names]
    return AlikeFiles(paths, targets, run.sizes, list(run.hex_digests()), _STATES[piece.action])


def of_plan(plan: Plan, problems: Sequence[Problem], seconds: float) -> Report:
    """The report of what a plan's artifacts are now."""
    refused = [item for part in plan.artifacts for item in part.refused]
    files = sum(len(part.items) for part in plan.artifacts) + len(refused)
    kept = sum(part.items.actions()[KEEP] for part in plan.artifacts)
    singular = list(plan.singular())
    summary = Summary(
        artifacts=len(plan.artifacts),
        files=files,
        bytes=sum(part.items.bytes() for part in plan.artifacts)
        + sum(item.file.size or 0 for item in refused),
        downloaded_files=0,
        downloaded_bytes=0,
        reused_files=kept
        - sum(i.action == KEEP and i.origin not in {"", "store"} for i in singular),
        placed_files=sum(1 for item in singular if item.placed),
        failed_files=files - kept,
        failed_artifacts=len({problem.artifact for problem in problems if problem.artifact}),
        seconds=round(seconds, 3),
    )

    def found(errors: Errors) -> Iterator[ArtifactReport]:
        return (_of_part(part, errors) for part in plan.artifacts)

    return Report(summary, list(problems), found=found)


def status_of(plan: Plan) -> list[ArtifactStatus]:
    """How each artifact of a quick plan stands."""
    return [
        {
            "id": part.artifact.id,
            "manifest": part.artifact.manifest,
            "state": part.state,
            "optional": part.artifact.optional,
            "files": len(part.items) + len(part.refused),
            "present": part.items.actions()[KEEP],
            "unread": part.items.actions()[UNVERIFIED],
            "bytes": part.items.bytes() + sum(item.file.size or 0 for item in part.refused),
        }
        for part in plan.artifacts
    ]


# Made of a seal


def of_seal(seal: Seal) -> Report:
    """The report of a tree that is as it was when it was complete: the same as its plan's."""
    summary = Summary(
        artifacts=len(seal.artifacts),
        files=seal.files,
        bytes=seal.bytes,
        downloaded_files=0,
        downloaded_bytes=0,
        reused_files=seal.files,
        placed_files=0,
        failed_files=0,
        failed_artifacts=0,
        seconds=round(time.perf_counter() - STARTED, 3),
    )
    return Report(summary, orphans=[], found=lambda _: _sealed(seal))


def _sealed(seal: Seal) -> Iterator[ArtifactReport]:
    def groups(index: int) -> Iterator[FileGroup]:
        return (AlikeFiles(*columns, "present") for columns in seal.columns_of(index))

    for index, artifact in enumerate(seal.artifacts):
        yield ArtifactReport(
            artifact.id,
            artifact.manifest,
            artifact.name,
            artifact.state,
            artifact.revision,
            lambda index=index: groups(index),  # type: ignore[misc]
        )


def status_of_seal(seal: Seal) -> list[ArtifactStatus]:
    """How each artifact of a sealed tree stands."""
    return [
        {
            "id": artifact.id,
            "manifest": artifact.manifest,
            "state": artifact.state,
            "optional": artifact.optional,
            "files": artifact.files,
            "present": artifact.files,
            "unread": 0,
            "bytes": artifact.bytes,
        }
        for artifact in seal.artifacts
    ]
