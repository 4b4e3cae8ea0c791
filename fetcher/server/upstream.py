"""A pull-through cache: what is not here is had from a Hub, once, proven, and kept.

What a repository holds is what upstream says; its bytes come from the store where they lie there
already. Listings are kept as locks of a project below the store, so that what was once fetched is
served without upstream too, and `fetch gc` keeps it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from fetcher.config.settings import Settings, Value
from fetcher.errors import Failure, UsageError
from fetcher.fs.extents import Extent
from fetcher.i18n import t
from fetcher.mirror.inventory import CLOSED, OPEN
from fetcher.network.session import Network, Response
from fetcher.server.http import HttpRequest, Live, refusal
from fetcher.server.lookup import RepoCommit
from fetcher.server.metrics import Metrics
from fetcher.server.project_inventory import blob_extents
from fetcher.server.pull_through import Puller
from fetcher.server.repos import COMMIT, Repo, RepoFile, Snapshot, repo_file
from fetcher.server.upstream_index import UpstreamIndex
from fetcher.sources.base import FileEntry, XetCandidate, sound_size
from fetcher.sources.base import Request as FileRequest
from fetcher.sources.huggingface import HuggingFace
from fetcher.store.store import Store
from fetcher.yamldoc.json_fields import JsonFields

# How long a branch is believed to stand where it stood, and an absence to last.
_FRESH_SECONDS = 60.0
_ABSENT_SECONDS = 20.0
_LOOKUPS = 16
# The mirror's own answers, and what clients could take for a way around it.
_NOT_PASSED_ON = {"siblings", "sha", "id", "_id", "modelId", "gated", "xetEnabled", "usedStorage"}

_log = logging.getLogger(__name__)
T = TypeVar("T")
Key = tuple[str, str]


@dataclass
class _KnownRepo:
    """What is known of one repository. `seen` tells when upstream last said where a ref stands."""

    repo: Repo
    seen: dict[str, float] = field(default_factory=dict)
    entries: dict[tuple[str, str], RepoFile | None] = field(default_factory=dict)
    absent: dict[str, tuple[float, str]] = field(default_factory=dict)


class HubUpstream:
    """Asks a Hub, in threads of its own."""

    def __init__(
        self,
        url: str,
        store: Store,
        settings: Settings,
        metrics: Metrics,
        say: Callable[[str], None],
    ) -> None:
        if settings.offline:
            raise UsageError(
                t("--upstream needs the network, which may not be used"), t("drop one")
            )
        values = settings.values | {"hf_endpoint": Value(url.rstrip("/"), "--upstream")}
        self.settings = replace(settings, values=values)
        self.say = say
        self.store = store
        self.index = UpstreamIndex(store)
        self._network = Network(self.settings, say)
        self._puller = Puller(self.settings, store, metrics, say)
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="upstream")
        self._known: dict[Key, _KnownRepo] = {}
        self._running: dict[object, asyncio.Task[Any]] = {}
        self._trouble: set[str] = set()

    def close(self) -> None:
        """End every request."""
        self._network.interrupt()
        self._puller.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # What the lookup asks

    def repo(self, kind: str, name: str) -> Repo | None:
        """What is known of a repository so far."""
        known = self._known.get((kind, name))
        return known.repo if known else None

    async def snapshot(
        self, request: HttpRequest, kind: str, name: str, revision: str
    ) -> RepoCommit | None:
        """A whole commit; None if upstream has no such repository or cannot be asked."""
        commit = await self._commit(request, kind, name, revision)
        if commit is None:
            return None
        snapshot = await self._listing(kind, name, commit)
        return RepoCommit(self._known[kind, name].repo, snapshot) if snapshot else None

    async def entry(
        self, request: HttpRequest, kind: str, name: str, revision: str, path: str
    ) -> tuple[str, RepoFile | None] | None:
        """(commit, file), without waiting for a long listing; None as above."""
        commit = await self._commit(request, kind, name, revision)
        if commit is None:
            return None
        known = self._known[kind, name]
        snapshot = known.repo.snapshots.get(commit)
        if snapshot is None:
            key = (kind, name, commit, path)
            if (commit, path) not in known.entries:
                await self._once(key, partial(self._ask_entry, known, commit, path))
            if (commit, path) in known.entries:
                return commit, known.entries[commit, path]
            snapshot = await self._listing(kind, name, commit)
        return (commit, snapshot.files.get(path)) if snapshot else None

    def locate(self, entry: RepoFile) -> tuple[str, tuple[Extent, ...]] | None:
        """(sha256, place) of an entry that is in the store."""
        sha256 = entry.sha256 or self.store.by_git_blob(entry.git_blob or "")
        extents = blob_extents(self.store, sha256) if sha256 else None
        return None if sha256 is None or extents is None else (sha256, extents)

    def arriving(self, kind: str, name: str, commit: str, entry: RepoFile) -> Live:
        """The bytes of a file that is fetched for this, or already on its way."""
        source = HuggingFace(name, kind, commit)
        file = _file_entry(entry)
        found = source.candidates(commit, file, self._network)
        # What comes through Xet cannot be passed on while it still arrives.
        plain = [candidate for candidate in found if not isinstance(candidate, XetCandidate)]
        return self._puller.live(file, plain)

    # Looking up

    async def _once(self, key: object, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do something once for all who ask at a time."""
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(work())
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        found: T = await asyncio.shield(task)
        return found

    async def _thread(self, work: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, *arguments)

    async def _of(self, kind: str, name: str) -> _KnownRepo:
        if (kind, name) not in self._known:
            repo = await self._thread(self.index.load, kind, name)
            self._known.setdefault((kind, name), _KnownRepo(repo))
        return self._known[kind, name]

    async def _commit(
        self, request: HttpRequest, kind: str, name: str, revision: str
    ) -> str | None:
        """The commit of a revision. Raises HttpError for one that upstream does not have."""
        known = await self._of(kind, name)
        if COMMIT.fullmatch(revision) and (known.repo.find(revision) or known.seen):
            commit: str | None = revision
        else:
            commit = await self._ref(known, revision)
        hidden = not request.identity.may_see(f"upstream/{name}", known.repo.record)
        return None if hidden else commit

    async def _ref(self, known: _KnownRepo, revision: str) -> str | None:
        now = time.monotonic()
        if now - known.seen.get(revision, -_FRESH_SECONDS) < _FRESH_SECONDS:
            return known.repo.refs.get(revision, revision)
        since, code = known.absent.get(revision, (0.0, ""))
        if not code or now - since > _ABSENT_SECONDS:
            key = (known.repo.kind, known.repo.id, revision)
            code = await self._once(key, partial(self._ask_ref, known, revision))
        if code == "RevisionNotFound":
            raise refusal(
                404,
                t("{id} has no revision {revision} upstream", id=known.repo.id, revision=revision),
                code,
            )
        if code == "RepoNotFound":
            return None
        # "" is an answer; anything else is trouble, and what was known before still counts.
        found = known.repo.find(revision)
        return known.repo.refs.get(revision) or (found.commit if found else None)

    async def _ask_ref(self, known: _KnownRepo, revision: str) -> str:
        """Ask where a revision stands; the code of its absence, or ""."""
        repo = known.repo
        url = self._api(repo, f"revision/{quote(revision, safe='')}")
        try:
            answer = await self._thread(partial(self._network.request, url, patience=5))
            code = _absence(answer)
            if not code:
                self._learn(known, revision, answer.json())
                return ""
        except Failure as failure:
            self._tell(failure.message)
            self._network.unreachable.clear()
            return "trouble"
        if code != "trouble":
            known.absent[revision] = time.monotonic(), code
            _log.debug("upstream has no %s@%s: %s", repo.id, revision, code)
        return code

    def _learn(self, known: _KnownRepo, revision: str, info: object) -> None:
        told = JsonFields.of(info)
        sha = told.text("sha")
        if not COMMIT.fullmatch(sha):
            raise Failure("refused", t("upstream names no commit of {id}", id=known.repo.id))
        closed = bool(told.get("gated") or told.get("private"))
        known.repo.record = CLOSED if closed else OPEN
        known.repo.info = {k: v for k, v in told.values.items() if k not in _NOT_PASSED_ON}
        known.repo.refs[revision] = sha
        _log.debug("upstream: %s@%s is %s", known.repo.id, revision, sha)
        known.seen[revision] = known.seen[sha] = time.monotonic()
        known.absent.pop(revision, None)

    async def _listing(self, kind: str, name: str, commit: str) -> Snapshot | None:
        known = self._known[kind, name]
        if commit not in known.repo.snapshots:
            await self._once((kind, name, commit), partial(self._ask_listing, known, commit))
        return known.repo.snapshots.get(commit)

    async def _ask_listing(self, known: _KnownRepo, commit: str) -> None:
        repo = known.repo
        source = HuggingFace(repo.id, repo.kind, commit)
        try:
            found = await self._thread(source.resolve, FileRequest(), self._network)
        except Failure as failure:
            if failure.problem.code == "revision-not-found":
                raise refusal(404, failure.message, "RevisionNotFound") from None
            self._tell(failure.message)
            self._network.unreachable.clear()
            return
        _log.info("upstream: %s@%s has %d files", repo.id, commit[:8], len(found.files))
        repo.snapshots[commit] = Snapshot(
            commit, {file.path: repo_file(file) for file in found.files}
        )
        await self._thread(self.index.save, repo, commit, tuple(found.files))

    async def _ask_entry(self, known: _KnownRepo, commit: str, path: str) -> None:
        """Learn of one file; where upstream cannot answer that, nothing is learnt."""
        url = self._api(known.repo, f"paths-info/{commit}")
        body = urlencode({"paths": path, "expand": "false"}).encode()
        try:
            answer = await self._thread(
                partial(self._network.request, url, method="POST", data=body, patience=5)
            )
            items = answer.json() if answer.status == 200 else None
        except Failure as failure:
            self._tell(failure.message)
            self._network.unreachable.clear()
            return
        if not isinstance(items, list):
            return
        if len(known.entries) > 100_000:
            known.entries.clear()
        known.entries[commit, path] = next(filter(None, (_entry(i, path) for i in items)), None)

    def _api(self, repo: Repo, rest: str) -> str:
        return f"{self._network.hub}/api/{repo.kind}s/{quote(repo.id)}/{rest}"

    def _tell(self, text: str) -> None:
        _log.debug("upstream: %s", text)  # each time; people are told once
        if text not in self._trouble:
            self._trouble.add(text)
            self.say(t("upstream: {text}; what is held is served", text=text))


def _absence(answer: Response) -> str:
    """Why an answer is none, "" if it is one."""
    if answer.status == 200:
        return ""
    code = answer.headers.get("x-error-code", "")
    if code == "RevisionNotFound":
        return code
    return "RepoNotFound" if answer.status in {401, 403, 404} else "trouble"


def _entry(item: object, path: str) -> RepoFile | None:
    """One record of paths-info, if it is a file's and sound."""
    if not isinstance(item, dict) or item.get("type") != "file" or item.get("path") != path:
        return None
    lfs = item.get("lfs")
    size = lfs.get("size") if isinstance(lfs, dict) else item.get("size")
    sha256 = lfs.get("oid") if isinstance(lfs, dict) else None
    git_blob = None if lfs else item.get("oid")
    for digest, length in ((sha256, 64), (git_blob, 40)):
        if digest is not None and not _is_hex(digest, length):
            return None
    if not isinstance(size, int) or not sound_size(size) or not (sha256 or git_blob):
        return None
    return RepoFile(path, size, sha256, git_blob)


def _is_hex(text: object, length: int) -> bool:
    return isinstance(text, str) and len(text) == length and not set(text) - set("0123456789abcdef")


def _file_entry(entry: RepoFile) -> FileEntry:
    return FileEntry(entry.path, entry.size, entry.sha256, entry.git_blob, not entry.git_blob)
