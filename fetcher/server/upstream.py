"""A pull-through cache: what is not here is had from a Hub, once, proven, and kept.

What a repository holds is what upstream says; its bytes come from the store where they lie there
already. What it says is kept by its address (`fetcher.store.upstream_records`), so that what was
once fetched is served without it too, and never in the name of another.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from fetcher.config.settings import Settings, Value
from fetcher.errors import Failure
from fetcher.fs.extents import Extent
from fetcher.i18n import t
from fetcher.network.retry import REDIRECTS
from fetcher.network.session import Network
from fetcher.network.urls import public_url
from fetcher.server import upstream_refusals as refusals
from fetcher.server.http import HttpError, HttpRequest, Live, refusal
from fetcher.server.lookup import RepoCommit, missing
from fetcher.server.metrics import Metrics
from fetcher.server.project_inventory import blob_extents
from fetcher.server.pull_through import Landed, Puller, RepoPath
from fetcher.server.repos import COMMIT, Repo, RepoFile, Snapshot, repo_file
from fetcher.server.upstream_index import is_name, record_of, repo_of
from fetcher.sources.base import FileEntry, UrlCandidate, sound_size
from fetcher.sources.base import Request as FileRequest
from fetcher.sources.git_fields import REVISION
from fetcher.sources.huggingface import PART, PART_HEADER, REPO, HuggingFace
from fetcher.store.store import Store
from fetcher.store.upstream_records import (
    FileStatement,
    RefStatement,
    Statement,
    UpstreamRecords,
    forget_nameless,
)
from fetcher.yamldoc.json_fields import JsonFields

# How long a branch is believed to stand where it stood.
_FRESH_SECONDS = 60.0
_LOOKUPS = 16
_MOST_ENTRIES = 100_000
_MOST_REPOS = 10_000  # that are asked for, whether they are there or not
# The mirror's own answers, and what clients could take for a way around it.
_NOT_PASSED_ON = {"siblings", "sha", "id", "_id", "modelId", "gated", "xetEnabled", "usedStorage"}
_DOWN = "upstream cannot be reached"

_log = logging.getLogger(__name__)
T = TypeVar("T")
Key = tuple[str, str]
_NAMES = re.compile(REPO), re.compile(REVISION)


@dataclass
class _KnownRepo:
    """What is known of one repository; times are those of time.monotonic().

    `seen`: when upstream last said where a revision stands, and the commit. `listed`: when it last
    listed a commit. `entries`: single files that it told of, None for one that it has not.
    `noted`: what is kept on disk; `mark`: how that looked when it was last read.
    """

    repo: Repo
    seen: dict[str, tuple[float, str]] = field(default_factory=dict)
    listed: dict[str, float] = field(default_factory=dict)
    entries: dict[tuple[str, str], tuple[float, RepoFile | None]] = field(default_factory=dict)
    noted: set[tuple[str, str]] = field(default_factory=set)
    mark: object = None

    @property
    def is_there(self) -> bool:
        """Whether upstream ever said anything of it."""
        return bool(self.seen or self.repo.snapshots or self.repo.refs)

    def take(self, said: Repo) -> None:
        """Take in what is on disk, where nothing newer is known."""
        for commit, snapshot in said.snapshots.items():
            mine = self.repo.snapshots.setdefault(commit, snapshot)
            for path, file in snapshot.files.items():
                if path not in mine.files or not mine.files[path].sha256:
                    mine.put(file)
        self.repo.refs = {**said.refs, **self.repo.refs}
        if not self.seen:
            self.repo.record = said.record

    def stands_at(self, revision: str) -> str | None:
        """The commit of a revision as it was last known."""
        found = self.repo.find(revision)
        return self.repo.refs.get(revision) or (found.commit if found else None)


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
        values = settings.values | {"hf_endpoint": Value(url.rstrip("/"), "--upstream")}
        self.settings = replace(settings, values=values)
        self.say = say
        self.store = store
        self._network = Network(self.settings, say)
        self.url = public_url(self._network.hub)
        self.records = UpstreamRecords(store.root, self._network.hub)
        self.refused = refusals.Refusals()
        self._puller = Puller(self.settings, store, metrics, say, self._landed, self.refused)
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="upstream")
        self._known: dict[Key, _KnownRepo] = {}
        self._most = _MOST_REPOS
        self._running: dict[object, asyncio.Task[Any]] = {}
        self._trouble: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        with suppress(OSError):
            if count := forget_nameless(store.root):
                _log.info("%d repositories kept without their upstream are forgotten", count)

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
        """A commit, whole if upstream can be asked, else what is held of it.

        None if it is nothing for who asks. Raises HttpError as `upstream_refusals` has it.
        """
        commit = await self._commit(request, kind, name, revision)
        if commit is None:
            return None
        known = await self._of(kind, name)
        return RepoCommit(known.repo, await self._listing(known, commit))

    async def entry(
        self, request: HttpRequest, kind: str, name: str, revision: str, path: str
    ) -> tuple[str, RepoFile | None] | None:
        """(commit, file), without waiting for a long listing; None and raises as above."""
        if {"", ".", ".."} & set(path.split("/")):
            raise missing(path, "")
        commit = await self._commit(request, kind, name, revision)
        if commit is None:
            return None
        known = await self._of(kind, name)
        entry = await self._entry(known, commit, path)
        if entry is not None:
            await self._note_if_here(known, commit, entry)
        return commit, entry

    def locate(self, entry: RepoFile) -> tuple[str, tuple[Extent, ...]] | None:
        """(sha256, place) of an entry that is in the store."""
        sha256 = entry.sha256 or self.store.by_git_blob(entry.git_blob or "")
        extents = blob_extents(self.store, sha256) if sha256 else None
        return None if sha256 is None or extents is None else (sha256, extents)

    def arriving(self, kind: str, name: str, commit: str, entry: RepoFile) -> Live:
        """The bytes of a file that is fetched for this, or already on its way.

        Raises HttpError if upstream was found not to give them a moment ago.
        """
        source = HuggingFace(name, kind, commit)
        file = _file_entry(entry)
        found = source.candidates(commit, file, self._network)
        # What comes through Xet cannot be passed on while it still arrives.
        plain = [candidate for candidate in found if isinstance(candidate, UrlCandidate)]
        self._loop = asyncio.get_running_loop()
        return self._puller.live(file, plain, RepoPath(kind, name, commit, entry.path))

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
            if len(self._known) >= self._most:  # names are as many as clients make up
                self._known = {key: one for key, one in self._known.items() if one.is_there}
                self._most = max(_MOST_REPOS, 2 * len(self._known))
            said = repo_of(await self._thread(self.records.read, kind, name))
            self._known.setdefault((kind, name), _KnownRepo(said))
        return self._known[kind, name]

    async def _look_again(self, known: _KnownRepo) -> None:
        """Another server on this store may have learnt more while upstream is away from us."""
        kind, name = known.repo.kind, known.repo.id
        if (mark := self.records.mark(kind, name)) != known.mark:
            known.mark = mark
            known.take(repo_of(await self._thread(self.records.read, kind, name)))

    async def _ask(self, key: object, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Ask upstream once for all, unless it refused this a moment ago. Raises HttpError."""
        self.refused.check(key)
        self.refused.check(_DOWN)
        try:
            await self._once(key, work)
        except Failure as failure:
            error, seconds = refusals.of_problem(failure.problem, self.url, failure.detail)
            if error.response.status in refusals.PASSING:
                self._tell(failure.message)
            if self._network.unreachable:  # for all who ask, and for no longer than that
                self._network.unreachable.clear()
                self.refused.keep(_DOWN, error, refusals.UNREACHABLE_SECONDS)
            raise self.refused.keep(key, error, seconds) from None

    async def _commit(
        self, request: HttpRequest, kind: str, name: str, revision: str
    ) -> str | None:
        """The commit of a revision, None if it is hidden from who asks. Raises HttpError."""
        _check_names(kind, name, revision)
        known = await self._of(kind, name)
        if COMMIT.fullmatch(revision) and (known.repo.find(revision) or known.seen):
            commit = revision
        else:
            commit = await self._ref(known, revision)
        hidden = not request.identity.may_see(f"upstream/{name}", known.repo.record)
        return None if hidden else commit

    async def _ref(self, known: _KnownRepo, revision: str) -> str:
        since, commit = known.seen.get(revision, (0.0, ""))
        if commit and time.monotonic() - since < _FRESH_SECONDS:
            return commit
        key = (known.repo.kind, known.repo.id, "ref", revision)
        try:
            await self._ask(key, partial(self._ask_ref, known, revision, key))
            return known.seen[revision][1]
        except HttpError as refused:
            # In trouble, what was known before still counts; upstream's own no is its no.
            if refused.response.status not in refusals.PASSING:
                raise
            if known.stands_at(revision) is None:
                await self._look_again(known)
            if (stands := known.stands_at(revision)) is None:
                raise
            return stands

    async def _ask_ref(self, known: _KnownRepo, revision: str, key: object) -> None:
        repo = known.repo
        url = self._api(repo, f"revision/{quote(revision, safe='')}")
        answer = await self._thread(partial(self._network.request, url, patience=5))
        refused = refusals.of_answer(answer, self.url, f"{repo.id}@{revision}")
        if refused is not None:
            _log.debug("upstream: %s", refused[0].message)
            raise self.refused.keep(key, *refused)
        told = JsonFields.of(answer.json())
        sha = told.text("sha")
        if not COMMIT.fullmatch(sha):
            raise Failure("refused", t("upstream names no commit of {id}", id=repo.id))
        if told.get("gated"):
            await self._check_gate(repo)
        await self._learn(known, revision, sha, told)

    async def _check_gate(self, repo: Repo) -> None:
        """Whether this server's account is let in. Raises Failure if upstream says that it is not;
        where it does not answer that, the files themselves will tell."""
        source = HuggingFace(repo.id, repo.kind)
        try:
            await self._thread(source.check_access, self._network)
        except Failure as failure:
            if failure.problem.code == "gated":
                raise

    async def _learn(self, known: _KnownRepo, revision: str, sha: str, told: JsonFields) -> None:
        repo = known.repo
        closed = bool(told.get("gated") or told.get("private"))
        new = repo.record.closed != closed or repo.refs.get(revision) != sha or not known.seen
        repo.record = record_of(closed)
        repo.info = {k: v for k, v in told.values.items() if k not in _NOT_PASSED_ON}
        if is_name(revision, sha):
            repo.refs[revision] = sha
        now = time.monotonic()
        known.seen[revision] = known.seen[sha] = now, sha
        _log.debug("upstream: %s@%s is %s", repo.id, revision, sha)
        if new:
            await self._keep(repo, [RefStatement(revision, sha, closed)])

    async def _listing(self, known: _KnownRepo, commit: str) -> Snapshot:
        """All files of a commit; those that are known while upstream is away. Raises HttpError."""
        repo, now = known.repo, time.monotonic()
        snapshot = repo.snapshots.get(commit)
        listed = now - known.listed.get(commit, -_FRESH_SECONDS) < _FRESH_SECONDS
        if snapshot is not None and (snapshot.whole or listed):
            return snapshot
        try:
            key = (repo.kind, repo.id, "listing", commit)
            await self._ask(key, partial(self._ask_listing, known, commit))
        except HttpError as refused:
            if refused.response.status not in refusals.PASSING:
                raise
            await self._look_again(known)
            if commit not in repo.snapshots:
                raise
        return repo.snapshots[commit]

    async def _ask_listing(self, known: _KnownRepo, commit: str) -> None:
        repo = known.repo
        source = HuggingFace(repo.id, repo.kind, commit)
        found = await self._thread(source.resolve, FileRequest(), self._network)
        _log.info("upstream: %s@%s has %d files", repo.id, commit[:8], len(found.files))
        listed = {file.path: repo_file(file) for file in found.files}
        before = repo.snapshots.get(commit)
        for path, old in before.files.items() if before else ():
            new = listed.get(path)
            if new is None and not found.whole:
                listed[path] = old
            elif new is not None and new.etag == old.etag:
                listed[path] = old  # with the sha256 that fetching gave
            else:
                self._tell(
                    t(
                        "{id}@{commit}: {path} is not what was said of it before",
                        id=repo.id,
                        commit=commit[:8],
                        path=path,
                    )
                )
                known.noted.discard((commit, path))
        repo.snapshots[commit] = Snapshot(commit, listed, found.whole)
        known.listed[commit] = time.monotonic()
        if found.whole:  # what a mirror has no more than a part of may grow
            with self._telling():
                await self._thread(
                    self.records.add_listing, repo.kind, repo.id, commit, tuple(found.files)
                )

    async def _entry(self, known: _KnownRepo, commit: str, path: str) -> RepoFile | None:
        """One file of a commit, None if upstream has it not. Raises HttpError."""
        repo = known.repo
        if (found := _known_file(known, commit, path)) is not None:
            return found[0]
        try:
            key = (repo.kind, repo.id, "entry", commit, path)
            await self._ask(key, partial(self._ask_entry, known, commit, path, key))
        except HttpError as refused:
            if refused.response.status not in refusals.PASSING:
                raise
            await self._look_again(known)
            if (found := _known_file(known, commit, path)) is None:
                raise
            return found[0]
        if (found := _known_file(known, commit, path)) is not None:
            return found[0]
        snapshot = await self._listing(known, commit)
        return snapshot.files.get(path)

    async def _ask_entry(self, known: _KnownRepo, commit: str, path: str, key: object) -> None:
        """Learn of one file; where upstream does not answer such questions, nothing is learnt."""
        url = self._api(known.repo, f"paths-info/{commit}")
        body = urlencode({"paths": path, "expand": "false"}).encode()
        answer = await self._thread(
            partial(self._network.request, url, method="POST", data=body, patience=5)
        )
        if answer.headers.get("x-error-code") or answer.status == 429 or answer.status >= 500:
            refused = refusals.of_answer(answer, self.url, f"{known.repo.id}@{commit[:8]}")
            if refused is not None:
                raise self.refused.keep(key, *refused)
        items = answer.json() if answer.status == 200 else None
        if not isinstance(items, list):
            return
        if len(known.entries) > _MOST_ENTRIES:
            known.entries.clear()
        entry = next(filter(None, (_sound_entry(item, path) for item in items)), None)
        if entry is None and answer.headers.get(PART_HEADER.lower()) == PART:
            entry = await self._ask_file(known.repo, commit, path, key)
        known.entries[commit, path] = time.monotonic(), entry

    async def _ask_file(self, repo: Repo, commit: str, path: str, key: object) -> RepoFile | None:
        """The same of a mirror that lists a part: only the file's address tells whether it can be
        had. None if not. Raises HttpError."""
        source = HuggingFace(repo.id, repo.kind, commit)
        (url,) = [
            candidate.url
            for candidate in source.candidates(commit, FileEntry(path), self._network)
            if isinstance(candidate, UrlCandidate)
        ]
        answer = await self._thread(
            partial(self._network.request, url, method="HEAD", follow=False, patience=5)
        )
        if answer.status in REDIRECTS or answer.status == 200:
            return _entry_of_headers(path, answer.headers)
        refused = refusals.of_answer(answer, self.url, f"{repo.id}@{commit[:8]}: {path}")
        if refused is not None and refused[0].response.status != 404:
            raise self.refused.keep(key, *refused)
        return None

    def _api(self, repo: Repo, rest: str) -> str:
        return f"{self._network.hub}/api/{repo.kind}s/{quote(repo.id)}/{rest}"

    # What is kept

    async def _note_if_here(self, known: _KnownRepo, commit: str, entry: RepoFile) -> None:
        """Keep a path whose content is in the store already, whatever name brought it there."""
        if (commit, entry.path) in known.noted or (there := self.locate(entry)) is None:
            return
        file = _file_entry(entry)._replace(sha256=there[0])
        self._note(known, commit, file)
        await self._keep(known.repo, [FileStatement(commit, file)])

    @staticmethod
    def _note(known: _KnownRepo, commit: str, file: FileEntry) -> None:
        known.noted.add((commit, file.path))
        known.repo.snapshots.setdefault(commit, Snapshot(commit)).put(repo_file(file))

    async def _keep(self, repo: Repo, said: list[Statement]) -> None:
        with self._telling():
            await self._thread(self.records.add, repo.kind, repo.id, said)

    def _landed(self, files: list[Landed]) -> None:
        """Keep what was fetched, before the last byte of it is passed on. In any thread."""
        by_repo: dict[Key, list[Landed]] = {}
        for one in files:
            by_repo.setdefault((one.place.kind, one.place.repo), []).append(one)
        for (kind, name), landed in by_repo.items():
            said = [FileStatement(one.place.commit, one.file) for one in landed]
            with self._telling():
                self.records.add(kind, name, said, sync=any(one.large for one in landed))
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._take_landed, files)

    def _take_landed(self, files: Iterable[Landed]) -> None:
        for one in files:
            known = self._known.get((one.place.kind, one.place.repo))
            if known is not None:
                self._note(known, one.place.commit, one.file)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What cannot be written down is told, and served all the same."""
        try:
            yield
        except OSError as error:
            folder, why = self.records.root, error.strerror or error
            self._tell(t("{folder} cannot be written: {why}", folder=folder, why=why))

    def _tell(self, text: str) -> None:
        _log.debug("upstream: %s", text)  # each time; people are told once
        if text not in self._trouble:
            self._trouble.add(text)
            self.say(t("upstream: {text}; what is held is served", text=text))


def _check_names(kind: str, name: str, revision: str) -> None:
    """Raise HttpError for what no Hub has, and what would lead elsewhere in its addresses."""
    repo, named = _NAMES
    if not repo.fullmatch(name):
        text = t("There is no {kind} {name}", kind=kind, name=name)
        raise refusal(404, text, "RepoNotFound")
    if not named.fullmatch(revision):
        raise refusal(404, t("No revision {rest}", rest=revision), "RevisionNotFound")


def _known_file(known: _KnownRepo, commit: str, path: str) -> tuple[RepoFile | None] | None:
    """What is known of a path: (file,), (None,) if it is not there; None if nothing is."""
    snapshot = known.repo.snapshots.get(commit)
    if snapshot is not None and (snapshot.whole or path in snapshot.files):
        return (snapshot.files.get(path),)
    since, entry = known.entries.get((commit, path), (0.0, None))
    if entry is not None or (since and time.monotonic() - since < _FRESH_SECONDS):
        return (entry,)
    return None


def _sound_entry(item: object, path: str) -> RepoFile | None:
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


def _entry_of_headers(path: str, headers: Mapping[str, str]) -> RepoFile | None:
    """A file as the answer to a HEAD of its address tells of it, if that is sound."""
    digest = (headers.get("x-linked-etag") or headers.get("etag", "")).strip('"')
    size = headers.get("x-linked-size") or headers.get("content-length", "")
    if not re.fullmatch(r"\d{1,16}", size) or not sound_size(int(size)):
        return None
    if _is_hex(digest, 64):
        return RepoFile(path, int(size), digest)
    return RepoFile(path, int(size), None, digest) if _is_hex(digest, 40) else None


def _is_hex(text: object, length: int) -> bool:
    return isinstance(text, str) and len(text) == length and not set(text) - set("0123456789abcdef")


def _file_entry(entry: RepoFile) -> FileEntry:
    computed = bool(entry.git_blob and entry.sha256)
    return FileEntry(
        entry.path, entry.size, entry.sha256, entry.git_blob, not entry.git_blob, computed=computed
    )
