"""Who says that a content is a file of a Hub's repository: asked before the shared cache gets it.

Manifests, locks and the mirrors that they name claim it; what they claim is placed in the project's
tree, and nowhere else. A cache that other projects read gets what the person's own choice says: the
Hub at their address (now, or to an earlier run of theirs), a bundle that they took in, a mirror
that they named. Bytes are compared with that, and the name of a blob is computed from them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fetcher.config.project_choices import choose_yourself
from fetcher.errors import Failure, FetchError, Problem
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.network.urls import public_url
from fetcher.operations.ready import Ready
from fetcher.operations.workspace import Workspace
from fetcher.sources.base import Listing, from_top
from fetcher.sources.huggingface import HuggingFace
from fetcher.store import upstream_records
from fetcher.store.listings import SaidCommit, take_listing
from fetcher.store.upstream_records import UpstreamRecords
from fetcher.tree.hf_cache import branch_of, is_shared, pointed_to, two_contents
from fetcher.tree.plan import GET, PLACE, Item, Plan

_log = logging.getLogger(__name__)


class _Commit(NamedTuple):
    """A commit of a repository; `kind` is model, dataset or space."""

    kind: str
    repo: str
    commit: str


@dataclass
class _Wanted:
    """What of a commit is to be placed: paths in the repository, and where its listing begins."""

    source: HuggingFace
    folders: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)


@dataclass
class Word:
    """What was said of a commit, by path in the repository; why nobody else could be asked."""

    said: SaidCommit = field(default_factory=SaidCommit)
    by: dict[str, str] = field(default_factory=dict)
    failure: Failure | None = None

    def add(self, said: SaidCommit, by: str) -> None:
        """Take what somebody says; who spoke before is right."""
        for path, file in said.files.items():
            if self.said.files.setdefault(path, file) is file:
                self.by[path] = by
        for ref, at in said.refs.items():
            self.said.refs.setdefault(ref, at)


def _source(item: Item) -> HuggingFace:
    source = item.artifact.source
    assert isinstance(source, HuggingFace)  # nothing else is placed in the cache
    return source


def _commit(item: Item) -> str:
    return item.path[len(item.hub) :].split(os.sep, 3)[2]


def _full_path(item: Item) -> str:
    return from_top(_source(item).path, item.file.path)


class Attestations:
    """Lets a run's files into the cache, or says why not. `listings` are what it has read itself.

    `begin` asks in threads of its own, so that downloads need not wait for the answers.
    """

    def __init__(self, space: Workspace, listings: Sequence[Listing]) -> None:
        self._space = space
        self._network = space.network
        self._heard = listings if space.settings.hub_answers_to_person else ()
        self._words: dict[_Commit, Future[Word]] = {}
        self._shared = is_shared(space.settings)
        self._refs: dict[tuple[str, str, str], bool] = {}
        self._told: set[tuple[str, str]] = set()
        self._pool = ThreadPoolExecutor(max_workers=4)
        space.resources.callback(self._close)

    def _close(self) -> None:
        if not all(future.done() for future in self._words.values()):
            self._network.interrupt()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def begin(self, plan: Plan) -> None:
        """Begin to ask about everything that a plan places in a cache that others read."""
        wanted: dict[_Commit, _Wanted] = {}
        for item in plan.items if self._shared else ():
            if item.hub and item.action in {GET, PLACE}:
                source = _source(item)
                key = _Commit(source.repo_type, source.repo, _commit(item))
                one = wanted.setdefault(key, _Wanted(source))
                one.folders.add(source.path)
                one.paths.add(_full_path(item))
        for key, one in wanted.items():
            self._words[key] = self._pool.submit(self._ask, key, one)

    def admit(self, ready: Iterable[Ready]) -> tuple[list[Ready], list[Problem]]:
        """Those that may be placed, with the names that they get in the cache; and the others'."""
        admitted: list[Ready] = []
        problems: list[Problem] = []
        for one in ready:
            found, admits = None, True
            try:
                if one.item.hub:
                    found = self._admit(one.item, one.sha256)
            except Failure as failure:
                found, admits = failure.problem, False
            if admits:
                admitted.append(one)
            key = one.item.artifact.full_name, str(found and found.message)
            if found is not None and key not in self._told:  # once for all files of an artifact
                self._told.add(key)
                file = "" if admits else one.item.file.path
                problems.append(found.about(one.item.artifact.id, file))
        return admitted, problems

    def _admit(self, item: Item, sha256: str) -> Problem | None:
        """Give the item its names in the cache; a problem where its branch gets none there.

        Raises Failure for one that may not be placed.
        """
        source, branch = _source(item), branch_of(item)
        if not self._shared:  # its claims concern nobody else
            item.ref = branch or ""
            return None
        word = self._words[_Commit(source.repo_type, source.repo, _commit(item))].result()
        path = _full_path(item)
        said = word.said.files.get(path)
        if said is None:
            raise self._unproven(item, word)
        item.said_by = word.by[path]
        item.etag = said.hub_blob or sha256
        if said.lfs and item.etag != sha256:  # a git id is computed where it becomes a name
            raise two_contents(item, item.etag, sha256)
        return self._see_to_ref(item, branch, word) if branch is not None else None

    def _unproven(self, item: Item, word: Word) -> Failure:
        settings, hub = self._space.settings, public_url(self._network.hub)
        if not settings.hub_answers_to_person:
            why = t("the project itself chose who answers at {hub}", hub=hub)
            name = "rewrite" if settings.is_from_project("rewrite") else "hf_endpoint"
            hint = choose_yourself(name)
        elif word.failure is not None:
            why = word.failure.message
            hint = t(
                "run it where {hub} can be reached, take in a bundle that has it (fetch mirror "
                "import), or name a mirror yourself (--from)",
                hub=hub,
            )
        else:
            why = t("{hub} lists no {path}", hub=hub, path=_full_path(item))
            hint = t("compare the manifest with the repository")
        return Failure(
            "unproven",
            t(
                "{repo}@{commit}: only the project says what belongs to it ({why}): not placed in "
                "the Hugging Face cache, which other projects read",
                repo=_source(item).repo,
                commit=_commit(item)[:8],
                why=why,
            ),
            hint,
            file=item.file.path,
        )

    # Who is asked

    def word_of(self, source: HuggingFace, commit: str, paths: set[str]) -> Word:
        """What is said of these paths of a commit, the person's own choices asked one by one."""
        key = _Commit(source.repo_type, source.repo, commit)
        return self._ask(key, _Wanted(source, {source.path}, paths))

    def _ask(self, key: _Commit, wanted: _Wanted) -> Word:
        """What is known; what is not, of the person's mirrors, then of the Hub."""
        word = Word()
        for said, by in self._answers(key, wanted, word):
            word.add(said, by)
            if wanted.paths <= word.said.files.keys():
                break
        return word

    def _answers(
        self, key: _Commit, wanted: _Wanted, word: Word
    ) -> Iterator[tuple[SaidCommit, str]]:
        hub = public_url(self._network.hub)
        heard = SaidCommit()
        for listing in self._heard:
            if (listing.kind, listing.repo, listing.commit) == key:
                take_listing(listing, heard)
        yield heard, hub
        records = upstream_records.of_person(self._space.settings)
        if records is not None:
            yield records.said_of(*key), public_url(records.url)
            yield UpstreamRecords.of_bundles(records.store).said_of(*key), t("a bundle of yours")
        for location in self._space.settings.own_mirrors:
            try:
                yield from self._of_mirror(location, key, wanted)
            except FetchError as error:
                _log.info("%s says nothing of %s: %s", public_url(location), key, error.message)
        if not self._space.settings.hub_answers_to_person:
            return
        try:
            yield self._listed(key, wanted, self._network, keep=True), hub
        except Failure as failure:
            _log.info("%s is not listed: %s", "@".join(key[1:]), failure.message)
            word.failure = failure

    def _of_mirror(
        self, location: str, key: _Commit, wanted: _Wanted
    ) -> Iterator[tuple[SaidCommit, str]]:
        """A server that answers as the Hub does is asked so; else a mirror's own index."""
        from fetcher.mirror.inventory import listing_of
        from fetcher.mirror.locations import opened

        name = public_url(location)
        if self._may_answer(location):
            try:
                yield self._listed(key, wanted, self._network.asking(location)), name
                return
            except Failure as failure:
                _log.debug("%s does not answer as a Hub: %s", name, failure.message)
        said = SaidCommit()
        for artifact in opened(location, self._network).artifacts():
            listing = listing_of(artifact, name)
            if listing and (listing.kind, listing.repo, listing.commit) == key:
                take_listing(listing, said)
        yield said, name

    def _listed(
        self, key: _Commit, wanted: _Wanted, network: Network, keep: bool = False
    ) -> SaidCommit:
        """A commit's listing, or that of the one folder that is wanted. Raises Failure."""
        folder = next(iter(wanted.folders)) if len(wanted.folders) == 1 else ""
        source = replace(wanted.source, revision=key.commit, path=folder)
        _log.info("asking %s what %s@%s has", public_url(network.hub), key.repo, key.commit)
        _, listing = source.list_commit(key.commit, network)
        if keep:
            self._space.keep_listings([listing])
        said = SaidCommit()
        take_listing(listing, said)
        return said

    # Branches

    def _see_to_ref(self, item: Item, branch: str, word: Word) -> Problem | None:
        """Let an item's branch lead to its commit, where somebody says that it stands there.

        A branch that the cache does not have yet may be one that has moved on since.
        """
        key = item.hub, branch, _commit(item)
        if key not in self._refs:
            before = pointed_to(item)
            self._refs[key] = before == _commit(item) or self._stands(item, branch, word, before)
            if not self._refs[key] and before == "":
                text = t(
                    "{repo}: nobody says that {branch} was ever at {commit}: the Hugging Face "
                    "cache gets the commit, and no {branch} that leads there",
                    repo=_source(item).repo,
                    branch=branch,
                    commit=_commit(item)[:8],
                )
                hint = t(
                    "`fetch lock --update {id}`, or pin the commit in the manifest",
                    id=item.artifact.command_words,
                )
                return Problem("unproven", text, hint)
        item.ref = branch if self._refs[key] else ""
        return None

    def _stands(self, item: Item, branch: str, word: Word, before: str | None) -> bool:
        """Whether the branch is at the commit; of one that the cache lacks, whether it ever was."""
        listed = _commit(item)
        source = _source(item)
        place = source.repo_type, source.repo, branch, listed
        now = ((said.kind, said.repo, said.ref, said.commit) for said in self._heard)
        if place in now or (not before and branch in word.said.refs):
            return True
        for network in self._hubs():
            try:
                if source.commit(network) == listed:
                    return True
                if not before and source.was_at(listed, network):
                    return True
            except Failure as failure:
                _log.info("where %s of %s is: %s", branch, source.repo, failure.message)
        return False

    def _hubs(self) -> Iterator[Network]:
        """Whoever answers as the Hub does, by the person's choice."""
        settings = self._space.settings
        for location in settings.own_mirrors:
            if self._may_answer(location):
                yield self._network.asking(location)
        if settings.hub_answers_to_person:
            yield self._network

    def _may_answer(self, location: str) -> bool:
        """Whether a mirror may answer as a Hub; where signatures are wanted, its index counts."""
        web = location.startswith(("http://", "https://"))
        return web and self._space.settings.verify_key is None
