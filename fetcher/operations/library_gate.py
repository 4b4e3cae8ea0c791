"""Who says that bytes are a source's: asked before a library's folder gets them.

Manifests, locks and the mirrors that they name claim it, and what lies in the store may be
anybody's. Other projects read these folders, so the source itself says it: it delivers the bytes in
this run or has delivered them in an earlier one of this person's. Else the person's own choice says
it: a bundle that they took in, a mirror that they named, the Hub's listing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from fetcher.errors import FetchError, Problem
from fetcher.fs.atomic import digests_of
from fetcher.i18n import t
from fetcher.mirror.inventory import HeldArtifact
from fetcher.operations.attestations import Attestations, Word
from fetcher.operations.ready import Ready
from fetcher.operations.workspace import Workspace
from fetcher.project.lockfile import LockedArtifact
from fetcher.sources.base import FileEntry, Listing, from_top
from fetcher.sources.git_fields import COMMIT
from fetcher.sources.huggingface import HuggingFace
from fetcher.store import imports
from fetcher.store.source_records import SourceRecords, SourceStatement
from fetcher.tree.plan import GET, PLACE, Item, Plan

_log = logging.getLogger(__name__)


class LibraryGate:
    """Lets a run's files into libraries' folders, or says why not. `listings` are what the run has
    read itself."""

    def __init__(self, space: Workspace, listings: Sequence[Listing]) -> None:
        self._space = space
        self._listings = listings
        own = space.settings.own_store
        self._records = SourceRecords(own) if own is not None else None
        self._claims: list[HeldArtifact] | None = None
        self._attestations: Attestations | None = None
        self._words: dict[tuple[str, str], Word] = {}
        self._fresh: list[SourceStatement] = []

    def begin(self, plan: Plan) -> None:
        """Have those files come from their source that nobody has vouched for."""
        if not self._source_answers or self._space.network.offline:
            return
        for item in plan.singular():
            if item.root and item.action in {GET, PLACE} and not self._is_known(item):
                item.action, item.anew = GET, True

    @property
    def _source_answers(self) -> bool:
        """Whether no rewriting of the project's comes between a source and its answer."""
        return not self._space.settings.is_from_project("rewrite")

    def _is_known(self, item: Item) -> bool:
        sha256 = item.file.sha256 or (item.sha256 if item.action == PLACE else "")
        return bool(sha256) and self._said_by_others(item, sha256)

    def admit(self, ready: Iterable[Ready]) -> tuple[list[Ready], list[Problem]]:
        """Those that may be placed, and what is to be said of the others."""
        admitted: list[Ready] = []
        problems: list[Problem] = []
        for one in ready:
            item = one.item
            if not item.root or self._may_be_placed(item, one.sha256):
                admitted.append(one)
            else:
                problems.append(self._unproven(item))
        self._keep()
        return admitted, problems

    def _may_be_placed(self, item: Item, sha256: str) -> bool:
        from_source = item.origin == item.artifact.source.type and self._source_answers
        if from_source and (item.anew or item.file.archive) and self._hub_is_own(item):
            self._fresh.append(self._statement(item, sha256))
            return True
        return self._said_by_others(item, sha256)

    def _hub_is_own(self, item: Item) -> bool:
        of_hub = isinstance(item.artifact.source, HuggingFace)
        return not of_hub or self._space.settings.hub_answers_to_person

    def _keep(self) -> None:
        fresh, self._fresh = self._fresh, []
        try:
            if fresh and self._records is not None:
                self._records.add(fresh)
        except OSError as error:
            _log.info("what sources delivered is not kept: %s", error)

    def _locked(self, item: Item) -> LockedArtifact:
        return self._space.lock.artifacts[item.artifact.manifest, item.artifact.id]

    def _statement(self, item: Item, sha256: str) -> SourceStatement:
        locked = self._locked(item)
        return SourceStatement(locked.source, locked.revision, _path(item.file), sha256)

    def _said_by_others(self, item: Item, sha256: str) -> bool:
        """Whether an earlier run, or the person's own choice, has these bytes as that file."""
        if self._records is not None and self._records.has(self._statement(item, sha256)):
            return True
        locked = self._locked(item)
        source = item.artifact.source
        if isinstance(source, HuggingFace) and not item.file.archive:
            return self._said_by_hub(item, source, locked, sha256)
        return any(
            held.source == locked.source
            and held.revision == locked.revision
            and any(f.path == item.file.path and f.sha256 == sha256 for f in held.files)
            for held in self._claimed()
        )

    def _claimed(self) -> Sequence[HeldArtifact]:
        """What bundles that the person took in, and mirrors that they named, say."""
        if self._claims is None:
            self._claims = list(self._ask_all())
        return self._claims

    def _ask_all(self) -> Iterator[HeldArtifact]:
        from fetcher.mirror.locations import opened

        store = self._space.store
        if not self._space.settings.is_from_project("store"):
            for record in imports.records(store.root):
                yield from imports.claims(store, record)
        for location in self._space.settings.own_mirrors:
            try:
                yield from opened(location, self._space.network).artifacts()
            except FetchError as error:
                _log.info("%s says nothing: %s", location, error.message)

    def _said_by_hub(
        self, item: Item, source: HuggingFace, locked: LockedArtifact, sha256: str
    ) -> bool:
        """Whether a listing of the commit has these bytes there."""
        if not COMMIT.fullmatch(locked.revision):
            return False
        key = source.describe(), locked.revision
        if key not in self._words:
            if self._attestations is None:
                self._attestations = Attestations(self._space, self._listings)
            paths = {from_top(source.path, file.path) for file in locked.source_files}
            self._words[key] = self._attestations.word_of(source, locked.revision, paths)
        said = self._words[key].said.files.get(from_top(source.path, item.file.path))
        if said is None:
            return False
        if said.lfs or not said.git_blob:
            return said.sha256 == sha256
        try:
            return digests_of(self._space.store.blob_path(sha256), True)[1] == said.git_blob
        except OSError:
            return False

    def _unproven(self, item: Item) -> Problem:
        source = item.artifact.source.describe()
        if not self._source_answers:
            why = t("the project itself rewrites addresses")
            hint = t("take `rewrite` out of the project's settings, or set it yourself")
        elif self._space.network.offline:
            why = t("the network may not be used")
            hint = t(
                "run it where {source} can be reached, take in a bundle that has it (fetch mirror "
                "import), or name a mirror yourself (--from)",
                source=source,
            )
        else:
            origin = item.origin or t("the store")
            why = t("these bytes came from {origin}", origin=origin)
            hint = t("run it again when {source} can be reached", source=source)
        text = t(
            "{path}: nobody but the project says that it is what {source} has ({why}): not placed "
            "in {root}, which other projects read",
            path=item.file.path,
            source=source,
            why=why,
            root=item.root_name,
        )
        return Problem("unproven", text, hint, item.artifact.id, item.file.path)


def _path(file: FileEntry) -> str:
    return f"{file.archive}!{file.path}" if file.archive else file.path
