"""Where handlers look things up: what is held here and, if there is one, what is upstream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from fetcher.fs.extents import Extent
from fetcher.i18n import t
from fetcher.server.cards import MAX_CARD, card_of
from fetcher.server.http import Content, HttpError, HttpRequest, Live, refusal
from fetcher.server.hub_json import CardJson
from fetcher.server.repos import Repo, RepoFile, Snapshot
from fetcher.server.served_inventory import InventoryView, ServedInventory


class UpstreamLookup(Protocol):
    """A Hub that is asked for what is not here (see `fetcher.server.upstream`)."""

    async def snapshot(
        self, request: HttpRequest, kind: str, name: str, revision: str
    ) -> RepoCommit | None:
        """A commit; None if it is nothing for who asks. Raises HttpError as upstream refuses."""

    async def entry(
        self, request: HttpRequest, kind: str, name: str, revision: str, path: str
    ) -> tuple[str, RepoFile | None] | None:
        """(commit, file) without a listing; None and raises as above."""

    def repo(self, kind: str, name: str) -> Repo | None:
        """What is known of a repository so far."""

    def locate(self, entry: RepoFile) -> tuple[str, tuple[Extent, ...]] | None:
        """(sha256, place) of an entry that was fetched before."""

    def arriving(self, kind: str, name: str, commit: str, entry: RepoFile) -> Live:
        """The bytes of a file that is fetched for this, or already on its way. Raises HttpError."""


@dataclass(frozen=True)
class RepoCommit:
    """A repository and one of its commits."""

    repo: Repo
    snapshot: Snapshot


class Lookup:
    """Repositories, files and contents as one request may see them."""

    def __init__(self, inventory: ServedInventory, upstream: UpstreamLookup | None = None) -> None:
        self.inventory = inventory
        self.upstream = upstream
        self._cards: dict[str, CardJson] = {}

    @property
    def view(self) -> InventoryView:
        """The latest view of what is held."""
        return self.inventory.view

    def held(self, request: HttpRequest, kind: str, name: str) -> Repo:
        """A repository of which something is held. Raises HttpError.

        What came from upstream, upstream itself answers for.
        """
        repo = self.view.repo(kind, name, request.identity, pulled=self.upstream is None)
        if repo is None:
            raise refusal(
                404,
                t("This mirror holds nothing of {kind} {name}", kind=kind, name=name),
                "RepoNotFound",
            )
        return repo

    def _held_despite(self, refused: HttpError, request: HttpRequest, kind: str, name: str) -> Repo:
        """A repository that a project here holds though upstream gives it not: it is away, lies,
        or knows no such repository. Raises `refused` if there is none."""
        repo = self.view.repo(kind, name, request.identity, pulled=False)
        if repo is None or refused.response.headers.get("X-Error-Code") == "RevisionNotFound":
            raise refused
        return repo

    def _split(
        self, request: HttpRequest, kind: str, name: str, rest: list[str]
    ) -> tuple[str, str]:
        known = self.upstream.repo(kind, name) if self.upstream else None
        known = known or self.view.repo(kind, name, request.identity) or Repo(kind, name)
        return known.split(rest)

    async def commit(
        self, request: HttpRequest, kind: str, name: str, rest: list[str]
    ) -> tuple[RepoCommit, str]:
        """The repository at the revision that `rest` begins with, and the path after it."""
        revision, path = self._split(request, kind, name, rest)
        if self.upstream is not None:
            try:
                found = await self.upstream.snapshot(request, kind, name, revision)
            except HttpError as refused:
                repo = self._held_despite(refused, request, kind, name)
                return RepoCommit(repo, self._snapshot(repo, revision)), path
            if found is not None:
                return found, path
        repo = self.held(request, kind, name)
        return RepoCommit(repo, self._snapshot(repo, revision)), path

    @staticmethod
    def _snapshot(repo: Repo, revision: str) -> Snapshot:
        snapshot = repo.find(revision)
        if snapshot is None:
            if why := repo.dispute(revision):
                raise refusal(409, why)
            held = ", ".join([*repo.refs, *repo.snapshots][:10])
            message = t(
                "This mirror does not hold {id} at {revision}; it holds {held}",
                id=repo.id,
                revision=revision,
                held=held,
            )
            raise refusal(404, message, "RevisionNotFound")
        return snapshot

    async def entry(
        self, request: HttpRequest, kind: str, name: str, rest: list[str]
    ) -> tuple[str, RepoFile]:
        """(commit, file) of an address. Raises HttpError, with the commit where that is known."""
        revision, path = self._split(request, kind, name, rest)
        found, repo = None, None
        if self.upstream is not None:
            try:
                found = await self.upstream.entry(request, kind, name, revision, path)
            except HttpError as refused:
                repo = self._held_despite(refused, request, kind, name)
        if found is None:
            repo = repo or self.held(request, kind, name)
            snapshot = self._snapshot(repo, revision)
            found = snapshot.commit, snapshot.files.get(path)
            if why := snapshot.disputed.get(path):
                raise refusal(409, why, headers={"X-Repo-Commit": snapshot.commit})
        commit, entry = found
        if entry is None:
            raise missing(path, commit)
        return commit, entry

    async def card(self, snapshot: Snapshot) -> CardJson:
        """What a repository's README says of it to machines, as the Hub shows it in its info."""
        entry = snapshot.files.get("README.md")
        content = self.content(entry) if entry and entry.size <= MAX_CARD else None
        if content is None:
            return {}
        if content.sha256 not in self._cards:
            if len(self._cards) > 256:
                self._cards.clear()
            self._cards[content.sha256] = await asyncio.to_thread(card_of, content)
        return self._cards[content.sha256]

    def content(self, entry: RepoFile) -> Content | None:
        """Where an entry's bytes lie here, if they do."""
        found = self.content_of(entry.sha256) if entry.sha256 else None
        if found is None and self.upstream is not None and (there := self.upstream.locate(entry)):
            return _content(*there)
        return found

    def content_of(self, sha256: str) -> Content | None:
        """Where a content lies here, if it does."""
        extents = self.view.locate(sha256)
        return None if extents is None else _content(sha256, extents)


def _content(sha256: str, extents: tuple[Extent, ...]) -> Content:
    return Content(sha256, sum(extent.length for extent in extents), extents)


def missing(path: str, commit: str = "") -> HttpError:
    """A file or folder that is not there, as clients take it for granted."""
    headers = {"X-Repo-Commit": commit} if commit else {}
    return refusal(
        404, t("This mirror does not hold {path}", path=path or t("that")), "EntryNotFound", headers
    )
