"""Where a content can be had: this machine, chosen mirrors, its source, the artifact's mirrors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from fetcher.errors import Failure, FetchError
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.project.manifest import Artifact
from fetcher.sources.base import (
    LOCAL_CANDIDATES,
    Candidate,
    FileEntry,
    PathCandidate,
    Source,
    UrlCandidate,
)
from fetcher.tree.hf_cache import CachedBlobs
from fetcher.tree.plan import Item

_log = logging.getLogger(__name__)
Revisions = Mapping[tuple[str, str], str]  # by (manifest, artifact id)


class Candidates:
    """Finds candidates for one run; opens each mirror once. `say` takes a line for people."""

    def __init__(self, network: Network, say: Callable[[str], None]) -> None:
        self._network = network
        self._say = say
        self._cached = CachedBlobs.of(network.settings)
        self._chosen = [(mirror, f"mirror:{mirror.describe()}") for mirror in _chosen(network)]
        self._unopened: set[str] = set()
        # By manifest and id: whether nothing but its source has an artifact.
        self._alone: dict[tuple[str, str], bool] = {}
        self._debug = _log.isEnabledFor(logging.DEBUG)  # asked for every file

    def of(self, items: Sequence[Item], revisions: Revisions) -> list[Candidate]:
        """Where the one content of these items can be had, best first.

        Raises Failure where that is only a place from which the project may not take.
        """
        found = self._found(items, revisions)
        if self._debug:
            origins = ", ".join(candidate.origin for candidate in found)
            _log.debug("%s/%s: from %s", items[0].artifact.full_name, items[0].file.path, origins)
        return found

    def of_member(self, item: Item) -> list[Candidate]:
        """Which mirrors may have a member of an archive by its digest, best first."""
        found = []
        for mirror, label in self._chosen:
            found += [_asked_first(c, label) for c in _of(mirror, item.file, self._network)]
        for source in item.artifact.mirrors:
            if source.type == "mirror":
                found += self._of_mirror(source, item.file)
        if self._network.offline:
            found = [place for place in found if isinstance(place, LOCAL_CANDIDATES)]
        return found

    def _found(self, items: Sequence[Item], revisions: Revisions) -> list[Candidate]:
        network = self._network
        refused: list[Failure] = []
        file = items[0].file
        artifact = items[0].artifact
        name = artifact.manifest, artifact.id
        if items[0].anew:
            return artifact.source.candidates(revisions[name], file, network)
        if len(items) == 1 and self._only_its_source(name, artifact):  # nearly every file
            return artifact.source.candidates(revisions[name], file, network)
        found: list[Candidate] = []
        for item in items:
            cached = self._cached.find(item.artifact.source, item.file)
            if cached is not None:
                found.append(PathCandidate("hf-cache", cached, network.settings.shares_files))
        for mirror, label in self._chosen:
            found += [_asked_first(c, label) for c in _of(mirror, file, network)]
        for item in items:
            revision = revisions[item.artifact.manifest, item.artifact.id]
            found += self._of_source(item, revision, refused)
            # A mirror is never trusted with a content that nobody knows yet.
            mirrors = item.artifact.mirrors
            for source in mirrors if mirrors and item.file.key else ():
                found += self._of_mirror(source, item.file)
        if refused and not found:
            raise refused[0]
        found = found if len(items) == 1 else list(dict.fromkeys(found))
        if network.offline:
            # What needs the network stands once at the end, to say so.
            here = [item for item in found if isinstance(item, LOCAL_CANDIDATES)]
            return here + [item for item in found if not isinstance(item, LOCAL_CANDIDATES)][:1]
        return found

    def _only_its_source(self, name: tuple[str, str], artifact: Artifact) -> bool:
        known = self._alone.get(name)
        if known is None:
            elsewhere = self._chosen or artifact.mirrors or self._cached.has_of(artifact.source)
            known = self._alone[name] = not elsewhere and not self._network.offline
        return known

    def _of_source(self, item: Item, revision: str, refused: list[Failure]) -> list[Candidate]:
        """Candidates of the source; none where the project may not take from it."""
        try:
            return item.artifact.source.candidates(revision, item.file, self._network)
        except Failure as failure:
            _log.info("%s/%s: %s", item.artifact.full_name, item.file.path, failure.message)
            refused.append(failure)
            return []

    def _of_mirror(self, source: Source, file: FileEntry) -> list[Candidate]:
        """Candidates of an artifact's own mirror; one that cannot be opened is passed over."""
        label = f"mirror:{source.describe()}"
        try:
            found = _of(source, file, self._network)
        except FetchError as error:
            if label not in self._unopened:
                self._unopened.add(label)
                _log.info("mirror passed over: %s: %s", label, error.message)
                self._say(t("{label}: {message}", label=label, message=error.message))
            return []
        return [_relabelled(candidate, label) for candidate in found]


def _chosen(network: Network) -> list[Source]:
    """The mirrors that the person has named."""
    if not network.settings.mirrors:
        return []
    from fetcher.sources.fetch_mirror import FetchMirror

    return [FetchMirror(location) for location in network.settings.mirrors]


def _of(mirror: Source, file: FileEntry, network: Network) -> list[Candidate]:
    """Where a mirror has a content; what opens mirrors is loaded with the first of them."""
    from fetcher.mirror.locations import candidates_of

    return candidates_of(mirror, file, network)


def _asked_first(candidate: Candidate, label: str) -> Candidate:
    """A candidate of a mirror that the user has named: asked before all others."""
    named = _relabelled(candidate, label)
    return named._replace(rank=0) if isinstance(named, UrlCandidate) else named


def _relabelled(candidate: Candidate, label: str) -> Candidate:
    """A mirror's candidate, whatever kind of source it is elsewhere: it decides nothing."""
    if isinstance(candidate, UrlCandidate):
        return candidate._replace(origin=label, pinned=False)
    return candidate._replace(origin=label)
