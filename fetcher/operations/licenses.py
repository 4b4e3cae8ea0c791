"""Which licence each artifact has, where that was learned, and what the project's policy says.

The manifest states one. Upstream states one too: as fetch.lock recorded it, in the card among the
locked files, or, where the network may be used, when it is asked about the locked revision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from fetcher.config.license_policy import FAIL, LicensePolicy
from fetcher.errors import DocumentProblem, Failure, InvalidDocument, Problem
from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.operations import upstream_terms
from fetcher.operations.workspace import Workspace
from fetcher.project.license_rules import (
    ALLOWED,
    DENIED,
    UNKNOWN,
    Judgement,
    exception_for,
    judge,
)
from fetcher.project.licenses import agree, parse, says_something
from fetcher.project.lockfile import LockedArtifact
from fetcher.project.manifest import Artifact
from fetcher.project.project import Unit
from fetcher.register.card import MAX_CARD, of_text
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace
from fetcher.verify.contract.regular import read_regular_text

_log = logging.getLogger(__name__)
_AT_ONCE = 8
EXCEPTED, MISMATCH, STATED = "excepted", "mismatch", "stated"


@dataclass(frozen=True)
class Statement:
    """A licence as somebody states it: `origin` is manifest, lock, card, huggingface or github.

    `place` is where: file:line of the manifest, a file of the artifact, or repository@revision.
    """

    origin: str
    license: str
    place: str


@dataclass(frozen=True)
class Licensed:
    """One artifact with all that is stated of its licence, and the verdict on it.

    `verdict` is allowed, denied, not-allowed, unknown, excepted, mismatch (manifest and upstream
    contradict), or, without a policy, stated. `message` and `hint` say why, "" where all is well.
    """

    artifact: Artifact
    file: str
    statements: Sequence[Statement]
    verdict: str = STATED
    message: str = ""
    hint: str = ""
    failed: bool = False

    @property
    def license(self) -> str:
        """The licence that counts: the manifest's, else upstream's; "" where none is known."""
        stated = [one.license for one in self.statements]
        return next(filter(says_something, stated), stated[0] if stated else "")

    @property
    def problem(self) -> Problem | None:
        """What is wrong, None where it is only told of."""
        if not self.failed:
            return None
        return Problem("license", self.message, self.hint, self.artifact.id, self.file)


class StatementRow(TypedDict):
    """A statement in JSON; `expression` is the text as SPDX writes it."""

    origin: str
    license: str
    expression: str
    place: str


class LicenseRow(TypedDict):
    """One artifact in JSON; `license` is null where none is known."""

    artifact: str
    manifest: str
    license: str | None
    verdict: str
    message: str
    statements: list[StatementRow]


def row_of(one: Licensed) -> LicenseRow:
    """An artifact's licence for --json."""
    return {
        "artifact": one.artifact.id,
        "manifest": one.artifact.manifest,
        "license": str(parse(one.license)) if one.license else None,
        "verdict": one.verdict,
        "message": one.message,
        "statements": [
            {
                "origin": item.origin,
                "license": item.license,
                "expression": str(parse(item.license)),
                "place": item.place,
            }
            for item in one.statements
        ],
    }


def look(space: Workspace) -> list[Licensed]:
    """Every artifact of the space by the project's policy; upstream is asked where it may be.

    Raises InvalidDocument for an exception that is about no artifact, LockError.
    """
    policy = space.settings.licenses
    if policy is not None and not space.names:
        _check_exceptions(policy, space.units)
    lock = space.lock
    pairs = [(unit, artifact, lock.of(artifact)) for unit, artifact in space.wanted]
    upstream = _each(lambda pair: _upstream(space, *pair[1:]), pairs, space.network.interrupt)
    found = []
    for (unit, artifact, _), told in zip(pairs, upstream, strict=True):
        statements = [*_of_manifest(unit, artifact), *told]
        found.append(_judged(policy, Licensed(artifact, unit.manifest.file, statements)))
    return found


def _check_exceptions(policy: LicensePolicy, units: Iterable[Unit]) -> None:
    artifacts = [item for unit in units for item in unit.manifest.artifacts.values()]
    known = [name for item in artifacts for name in (item.id, item.full_name)]
    problems = []
    for one in policy.exceptions:
        if any(exception_for(LicensePolicy(exceptions=(one,)), [name], "") for name in known):
            continue
        close = nearest(one.artifact, known)
        hint = t("did you mean {close!r}?", close=close) if close else t("take the exception out")
        message = t("there is no artifact {text!r} here", text=one.artifact)
        problems.append(DocumentProblem("fetch.yaml", *one.place, message, hint))
    if problems:
        raise InvalidDocument(problems)


def _of_manifest(unit: Unit, artifact: Artifact) -> Iterator[Statement]:
    if stated := str(artifact.info.get("license") or ""):
        line, _ = unit.manifest.places.get(artifact.id, (1, 1))
        yield Statement("manifest", stated, f"{unit.manifest.file}:{line}")


def _upstream(
    space: Workspace, artifact: Artifact, locked: LockedArtifact | None
) -> list[Statement]:
    """What upstream states of the locked revision: one statement, or none."""
    source = artifact.source
    revision = (locked.revision if locked else "") or source.pinned_revision()
    if locked is not None and says_something(locked.license):
        return [Statement("lock", locked.license, locked.said_by or locked.source)]
    told = Statement("", "", "")
    if isinstance(source, HuggingFace):
        told = Statement("card", _card_here(space, source, locked), "README.md")
        if not told.license and not space.settings.offline:
            license = upstream_terms.license_at(source, revision, space.network)
            told = Statement("huggingface", license, f"{source.repo}@{revision[:12]}")
    elif isinstance(source, GitHub) and not space.settings.offline:
        told = Statement("github", _of_github(space, source, revision), f"{source.repo}@{revision}")
    return [told] if says_something(told.license) else []


def _card_here(space: Workspace, source: HuggingFace, locked: LockedArtifact | None) -> str:
    """The licence in the locked card, if the store has it."""
    files = locked.files if locked is not None and not source.path else ()
    readme = next((file for file in files if file.path == "README.md"), None)
    sha256 = space.store.find(readme) if readme is not None else None
    if sha256 is None:
        return ""
    try:
        text = read_regular_text(Path(space.store.blob_path(sha256)), MAX_CARD)
    except (OSError, UnicodeDecodeError, Failure) as error:
        _log.info("the card of %s: %s", source.describe(), error)
        return ""
    return of_text(text, source.repo_type == "dataset").license


def _of_github(space: Workspace, source: GitHub, revision: str) -> str:
    try:
        return source.license(revision, space.network)
    except Failure as failure:
        _log.info("%s says nothing of its licence: %s", source.describe(), failure.message)
        return ""


_Pair = tuple[Unit, Artifact, LockedArtifact | None]


def _each(
    told: Callable[[_Pair], list[Statement]], pairs: Sequence[_Pair], interrupt: Callable[[], None]
) -> list[list[Statement]]:
    if not pairs:
        return []
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(pairs))) as pool:
        try:
            return list(pool.map(told, pairs))
        except BaseException:  # Ctrl-C: nobody waits for answers that no one wants
            interrupt()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _judged(policy: LicensePolicy | None, one: Licensed) -> Licensed:
    names = one.artifact.id, one.artifact.full_name
    stated = [item for item in one.statements if says_something(item.license)]
    if policy is not None:
        # An exception for one licence does not cover another that is stated as well.
        covering = [exception_for(policy, names, item.license) for item in stated]
        covering = covering or [exception_for(policy, names, "")]
        if all(covering) and covering[0] is not None:
            return _with(one, EXCEPTED, covering[0].reason)
    if len(stated) > 1 and not agree(stated[0].license, stated[1].license):
        return _contradiction(one, *stated[:2])
    if policy is None:
        return one if stated else _with(one, UNKNOWN, _no_license(one))
    judged = [(judge(policy, item.license), item) for item in stated or one.statements]
    if not judged:
        return _of_unknown(policy, one)
    worst, where = max(judged, key=lambda pair: pair[0].rank)
    return _by_policy(policy, one, worst, where)


def _by_policy(
    policy: LicensePolicy, one: Licensed, found: Judgement, where: Statement
) -> Licensed:
    if found.verdict == ALLOWED:
        return _with(one, ALLOWED)
    if found.verdict == UNKNOWN:
        return _of_unknown(policy, one)
    told = {"license": found.license, "origin": where.origin, "place": where.place}
    if found.verdict == DENIED:
        message = t(
            "licence {license} ({origin}: {place}) is denied by {pattern!r} of fetch.yaml",
            **told,
            pattern=found.pattern,
        )
    else:
        message = t(
            "licence {license} ({origin}: {place}) is not among those that fetch.yaml allows",
            **told,
        )
    hint = t("use another artifact, or write an exception with its reason into fetch.yaml")
    return _with(one, found.verdict, message, hint, failed=True)


def _of_unknown(policy: LicensePolicy, one: Licensed) -> Licensed:
    hint = t("look it up, and write `license` into the manifest or an exception into fetch.yaml")
    return _with(one, UNKNOWN, _no_license(one), hint, failed=policy.unknown == FAIL)


def _no_license(one: Licensed) -> str:
    if one.license:
        return t("licence {license}: says nothing of what is allowed", license=one.license)
    return t("no licence is known: the manifest states none, and none was learned from upstream")


def _contradiction(one: Licensed, ours: Statement, theirs: Statement) -> Licensed:
    message = t(
        "the manifest says {ours} ({place}), upstream says {theirs} ({origin}: {where})",
        ours=ours.license,
        place=ours.place,
        theirs=theirs.license,
        origin=theirs.origin,
        where=theirs.place,
    )
    hint = t("correct `license` in the manifest, or write an exception with its reason")
    return _with(one, MISMATCH, message, hint, failed=True)


def _with(
    one: Licensed, verdict: str, message: str = "", hint: str = "", failed: bool = False
) -> Licensed:
    return Licensed(one.artifact, one.file, one.statements, verdict, message, hint, failed)
