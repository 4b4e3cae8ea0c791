"""What in a Hugging Face cache is not what its name says, and how to heal it.

Earlier versions placed there what a project claimed. A blob is named by its content; what a
snapshot or a ref should lead to is known where the Hub has said so to the person's own runs, or
says it now.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fetcher.errors import Failure
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.network.urls import public_url
from fetcher.sources.git_fields import COMMIT
from fetcher.sources.huggingface import REPO, HuggingFace
from fetcher.store.listings import SaidCommit, take_listing
from fetcher.store.upstream_records import UpstreamRecords
from fetcher.tree.hf_cache import BLOB, is_content
from fetcher.verify.contract.regular import read_regular

_KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
_SMALL = 1 << 20  # bytes: what a quick look reads of one blob, and
_QUICK = 64 << 20  # of all
_MOST_ASKED = 20  # commits and refs of one repository


class Spoiled(NamedTuple):
    """A path in the cache that is not what its name says, why, and what to do."""

    path: str
    message: str
    hint: str


def repositories(cache: Path) -> Iterator[tuple[Path, HuggingFace]]:
    """Every repository's folder in a cache, and which it is."""
    for folder in sorted(cache.glob("*--*")):
        kind, _, name = folder.name.partition("--")
        repo = name.replace("--", "/")
        if kind in _KINDS and re.fullmatch(REPO, repo):
            yield folder, HuggingFace(repo, _KINDS[kind])


class CacheCheck:
    """Looks through repositories of a cache. `records` are the person's own, `network` is asked
    for what they lack; `deep` reads every byte, else small blobs alone are read."""

    def __init__(
        self, records: UpstreamRecords | None, network: Network | None = None, deep: bool = False
    ) -> None:
        self._records = records
        self._network = network
        self._deep = deep
        self._left = _QUICK

    def of(self, folder: Path, source: HuggingFace) -> Iterator[Spoiled]:
        """All that is wrong with one repository's folder. What cannot be read is passed over."""
        yield from self._blobs(folder)
        for snapshot in _entries(folder / "snapshots")[: None if self._deep else _MOST_ASKED]:
            if COMMIT.fullmatch(snapshot.name):
                yield from self._snapshot(snapshot, source)
        yield from self._refs(folder / "refs", source)

    def _blobs(self, folder: Path) -> Iterator[Spoiled]:
        for path in _entries(folder / "blobs"):
            if not BLOB.fullmatch(path.name) or not path.is_file():
                continue
            size = path.stat().st_size
            if not self._deep:
                if size > min(_SMALL, self._left):
                    continue
                self._left -= size
            try:
                sound = is_content(str(path), path.name)
            except OSError:
                continue
            if not sound:
                yield _spoiled(path, t("its content is not the one that its name says"))

    def _snapshot(self, snapshot: Path, source: HuggingFace) -> Iterator[Spoiled]:
        hub = public_url(self._network.hub if self._network else self._url)
        try:
            said = self._said(source, snapshot.name)
        except Failure as failure:  # that nobody answers says nothing against it
            if failure.problem.code == "revision-not-found":
                yield _spoiled(snapshot, t("{hub} has no such commit, now at least", hub=hub))
            return
        if said is None:
            return
        absences = snapshot.parent.parent / ".no_exist" / snapshot.name
        for name in sorted(said.files) if absences.is_dir() else ():
            if (absences / name).is_file():
                denied = t("{hub} has that file, which this denies", hub=hub)
                yield _spoiled(absences / name, denied)
        for folder, _, names in os.walk(snapshot):
            for name in names:
                path = Path(folder, name)
                file = said.files.get(path.relative_to(snapshot).as_posix())
                if file is None and said.whole:
                    yield _spoiled(path, t("{hub} lists no such file of that commit", hub=hub))
                elif file is not None and (wanted := file.hub_blob) and not self._is(path, wanted):
                    yield _spoiled(
                        path, t("{hub} says that it is {wanted}", hub=hub, wanted=wanted)
                    )

    @property
    def _url(self) -> str:
        return self._records.url if self._records is not None else ""

    def _is(self, path: Path, wanted: str) -> bool:
        """Whether a snapshot's file leads to the blob of that name, or is that content itself."""
        if path.is_symlink():
            return os.path.basename(os.readlink(path)) == wanted
        try:
            small = self._deep or path.stat().st_size <= _SMALL
            return not small or is_content(str(path), wanted)
        except OSError:
            return True

    def _said(self, source: HuggingFace, commit: str) -> SaidCommit | None:
        """What is known of a commit; None where nobody has said anything. Raises Failure."""
        kind, repo = source.repo_type, source.repo
        said = self._records.said_of(kind, repo, commit) if self._records else SaidCommit()
        if said.files or self._network is None:
            return said if said.files else None
        _, listing = HuggingFace(repo, kind, commit).list_commit(commit, self._network)
        take_listing(listing, said)
        return said

    def _refs(self, folder: Path, source: HuggingFace) -> Iterator[Spoiled]:
        network = self._network
        found = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
        for path in sorted(found)[:_MOST_ASKED]:
            ref = path.relative_to(folder).as_posix()
            branch = HuggingFace(source.repo, source.repo_type, ref)
            try:
                commit = read_regular(path, 1000).decode("ascii", "replace").strip()
                if not (folder.parent / "snapshots" / commit).is_dir():
                    what = t("there is nothing of {commit}, where it leads", commit=_shown(commit))
                    yield _spoiled(path, what)
                    continue
                if network is None:
                    continue
                known = branch.commit(network) == commit or branch.was_at(commit, network)
            except OSError:
                continue
            except Failure as failure:  # that nobody answers says nothing against it
                known = failure.problem.code != "revision-not-found"
            if not known:
                hub = public_url(network.hub if network else self._url)
                yield _spoiled(
                    path,
                    t(
                        "{hub} does not say that {ref} was ever at {commit}",
                        hub=hub,
                        ref=printable(ref),
                        commit=_shown(commit),
                    ),
                )


def _shown(commit: str) -> str:
    return printable(commit[:40])


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _spoiled(path: Path, why: str) -> Spoiled:
    return Spoiled(
        str(path),
        t("{path}: {why}", path=printable(str(path)), why=why),
        t("remove {path}, then run `fetch all`", path=printable(str(path))),
    )
