"""From manifests to exact files: what is not in the lock yet is asked of its source."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from fetcher.errors import Failure, Problem
from fetcher.fs.published import in_name
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.project.lockfile import Lock, LockedArtifact, against, locked
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry, Listing, choose

_log = logging.getLogger(__name__)


@dataclass
class Resolution:
    """Fresh entries of the lock, what could not be resolved, and what Hubs answered."""

    fresh: dict[tuple[str, str], LockedArtifact] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)


def resolve(
    pending: Sequence[Artifact],
    lock: Lock,
    network: Network,
    is_proven: Callable[[FileEntry], bool],
) -> Resolution:
    """Resolve these artifacts (at least one), whatever the lock says of them.

    The lock itself is updated in memory. Partial failure is in the result. `is_proven` tells
    whether bytes that are here have all digests of a file: what the lock says of it alone is a
    claim.
    """
    resolution = Resolution()

    def one(artifact: Artifact) -> LockedArtifact | Failure:
        return _resolve_one(artifact, network, lock, is_proven, resolution.listings)

    # Threads are for waiting: of what the manifest knows in full, nobody is asked.
    asked = [artifact for artifact in pending if not artifact.fully_known]
    outcomes = dict(zip(map(id, asked), _at_once(one, asked, network), strict=True))
    for artifact in pending:
        outcome = outcomes[id(artifact)] if id(artifact) in outcomes else one(artifact)
        key = artifact.manifest, artifact.id
        if isinstance(outcome, Failure):
            _log.info("%s cannot be resolved: %s", artifact.full_name, outcome.message)
            resolution.problems.append(outcome.problem.about(artifact.id))
        else:
            _log.info(
                "%s: %s resolved to %s, %d files",
                artifact.full_name,
                outcome.source,
                outcome.revision or "no revision",
                len(outcome.files),
            )
            resolution.fresh[key] = outcome
            lock.artifacts[key] = outcome
    return resolution


def _at_once(
    resolve_one: Callable[[Artifact], LockedArtifact | Failure],
    artifacts: Sequence[Artifact],
    network: Network,
) -> list[LockedArtifact | Failure]:
    """What becomes of each of these, several at a time."""
    if not artifacts:
        return []
    with ThreadPoolExecutor(max_workers=min(8, len(artifacts))) as pool:
        try:
            return list(pool.map(resolve_one, artifacts))
        except BaseException:  # Ctrl-C: nobody waits for answers that no one wants
            network.interrupt()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _resolve_one(
    artifact: Artifact,
    network: Network,
    lock: Lock,
    is_proven: Callable[[FileEntry], bool],
    heard: list[Listing],
) -> LockedArtifact | Failure:
    try:
        fresh = _resolve(artifact, network, heard)
    except Failure as failure:
        if failure.problem.code == "offline":
            return Failure(
                "offline",
                t("{id} is not in fetch.lock, and the network may not be used", id=artifact.id),
                t("run `fetch lock` where there is a network, and commit fetch.lock"),
            )
        return failure
    except Exception as error:
        return Failure(
            "internal",
            t("{id}: {name}: {error}", id=artifact.id, name=type(error).__name__, error=error),
        )
    old = lock.artifacts.get((artifact.manifest, artifact.id))
    if old is None or lock.contradictions(artifact):
        return fresh  # nothing is learned from what is wrong
    return _as_before(_with_learned_digests(fresh, old, is_proven), old)


def _resolve(artifact: Artifact, network: Network, heard: list[Listing]) -> LockedArtifact:
    source, request = artifact.source, artifact.request
    if artifact.fully_known and request.known:
        # Every size and digest stands in the manifest: there is nothing to ask.
        _log.debug("%s: all is known from the manifest, nothing is asked", artifact.full_name)
        files = choose(request.known, request, artifact.id)
        return _kept(artifact, locked(artifact, source.pinned_revision(), files))
    _log.debug("%s: asking %s", artifact.full_name, source.describe())
    resolved = source.resolve(request, network)
    if resolved.listing is not None:
        heard.append(resolved.listing)
    files = [_with_digest_of_name(file) for file in resolved.files]
    if artifact.checksums:
        from fetcher.project import checksums

        files = checksums.apply(files, source, artifact.checksums, network)
    return _kept(
        artifact, locked(artifact, resolved.revision, files, resolved.said_by, resolved.license)
    )


def _with_digest_of_name(file: FileEntry) -> FileEntry:
    """The digest in a file's name counts where nobody says more."""
    if file.key or file.md5 or file.published:
        return file
    return file._replace(published=in_name(file.path))


def _kept(artifact: Artifact, fresh: LockedArtifact) -> LockedArtifact:
    """The entry, if it keeps what the manifest states. Raises Failure: it is not locked then."""
    for found in against(artifact, fresh):
        if found.fact == "count":
            raise Failure(
                "count",
                t(
                    "{count} files, the manifest says {artifact_count}",
                    count=found.locked,
                    artifact_count=found.stated,
                ),
                t("compare `files` and `count` with what the source holds"),
            )
        raise Failure(
            "refused",
            t(
                "{source}: the answer is about {revision}",
                source=fresh.source,
                revision=printable(found.locked) or t("no revision"),
            ),
            t("check the revision; of a branch whose name looks like a commit, pin the commit"),
        )
    return fresh


def _as_before(fresh: LockedArtifact, old: LockedArtifact) -> LockedArtifact:
    """With the earlier day, where the same place says the same: git shows no change then."""
    same = old.said_at and replace(fresh, said_at=old.said_at) == old
    return old if same else fresh


def _states_same(known: FileEntry, file: FileEntry) -> bool:
    stated = known.md5, known.published
    return any(stated) and stated == (file.md5, file.published)


def _may_be_size(size: int | None, file: FileEntry) -> bool:
    return file.size is None or file.size_hint or file.size == size


def _with_learned_digests(
    fresh: LockedArtifact, old: LockedArtifact, is_proven: Callable[[FileEntry], bool]
) -> LockedArtifact:
    """Keep a sha256 that an earlier download of the very same content has taught us."""
    before = {file.path: file for file in old.source_files}

    def known_now(file: FileEntry) -> FileEntry:
        known = before.get(file.path)
        same = known is not None and (
            (known.git_blob and known.git_blob == file.git_blob)
            or (_states_same(known, file) and _may_be_size(known.size, file))
        )
        learned = known.sha256 if known is not None and same and file.sha256 is None else None
        full = file._replace(sha256=learned, computed=True)
        if known is not None and full.size_hint:
            full = full._replace(size=known.size, size_hint=False)
        return full if learned and is_proven(full) else file

    files, archives = (tuple(map(known_now, found)) for found in (fresh.files, fresh.archives))
    return replace(fresh, files=files, archives=archives)
