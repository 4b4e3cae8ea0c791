"""What a store takes of the disk: each file of it counted once, and whose it is."""

from __future__ import annotations

import os
import stat as stats
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from fetcher.errors import from_os_error
from fetcher.fs.free_space import allocated, filled
from fetcher.fs.private_files import owner_in
from fetcher.i18n import t
from fetcher.store import released
from fetcher.store.demands import IMPORTED, Demand, Demands
from fetcher.store.store import BLOB_NAME, OWN_FOLDERS, PART_NOTES, Store

_OWN_FILES = {"oci-layout", "index.json"}
_RECORDS = {"stamps", "runs", "projects", "upstream", "wrong", IMPORTED, released.FOLDER}


@dataclass
class Amount:
    """So many files. `bytes` are those that are in them; `disk_bytes` what they take of the disk,
    in whole blocks."""

    files: int = 0
    bytes: int = 0
    disk_bytes: int = 0

    def add(self, stat: os.stat_result) -> None:
        """Count a file."""
        self.files += 1
        self.bytes += filled(stat)
        self.disk_bytes += allocated(stat)


@dataclass
class Usage:
    """All that lies in a store's folder, by what it is; a file with several names there counts
    once. `linked_bytes`: of the blobs, what trees share. `folders` has their own blocks alone.

    `partial` are downloads that were begun, `unfinished` what runs are making or left,
    `records` what the store knows of its users and contents, `strangers` what is not fetch's.
    `unreadable` are folders of which nobody may know what is in them.
    """

    blobs: Amount = field(default_factory=Amount)
    partial: Amount = field(default_factory=Amount)
    unfinished: Amount = field(default_factory=Amount)
    damaged: Amount = field(default_factory=Amount)
    records: Amount = field(default_factory=Amount)
    strangers: Amount = field(default_factory=Amount)
    folders: Amount = field(default_factory=Amount)
    linked_bytes: int = 0
    unreadable: list[str] = field(default_factory=list)

    @property
    def parts(self) -> dict[str, Amount]:
        """What adds up to all of it, by name."""
        return {
            "blobs": self.blobs,
            "partial": self.partial,
            "unfinished": self.unfinished,
            "damaged": self.damaged,
            "records": self.records,
            "strangers": self.strangers,
            "folders": self.folders,
        }

    @property
    def disk_bytes(self) -> int:
        """What the store takes of the disk, as `du` counts."""
        return sum(part.disk_bytes for part in self.parts.values())


def measure(store: Store) -> Usage:
    """Look at every file of a store. Raises Failure where its blobs cannot be listed."""
    check_listable(store)
    found = Usage()
    seen: set[tuple[int, int]] = set()
    for place, stat in _walk(str(store.root), "", found.unreadable):
        if stats.S_ISDIR(stat.st_mode):
            found.folders.disk_bytes += allocated(stat)
            continue
        if stat.st_nlink > 1:
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
        kind = _kind(place, stat)
        found.parts[kind].add(stat)
        if kind == "blobs" and stat.st_nlink > 1:
            found.linked_bytes += stat.st_size
    return found


def _walk(folder: str, place: str, unreadable: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    """A folder and all that is below, by its place in the store; no link is followed."""
    try:
        yield place, os.lstat(folder)
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        unreadable.append(folder)
        return
    for entry in entries:
        below = f"{place}/{entry.name}" if place else entry.name
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, below, unreadable)
            else:
                yield below, entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # another run was faster


def _kind(place: str, stat: os.stat_result) -> str:
    """What a file in a store is."""
    top, _, rest = place.partition("/")
    if place.endswith(".tmp") and owner_in(place.rpartition("/")[2]) is not None:
        return "unfinished"
    regular = stats.S_ISREG(stat.st_mode)
    if top == "blobs" and regular and BLOB_NAME.fullmatch(rest.removeprefix("sha256/")):
        return "blobs"
    if not regular or top not in OWN_FOLDERS:
        known = regular and (place in _OWN_FILES or place.startswith("runs.lock"))
        return "records" if known else "strangers"
    if top in _RECORDS:
        return "records"
    if top == "damaged":
        return "damaged"
    named = rest.removesuffix(PART_NOTES[0]).removesuffix(PART_NOTES[1])
    if named.endswith(".part"):
        return "partial" if named == rest else "unfinished"
    return "unfinished" if ".tmp" in rest else "strangers"


# Whose it is


@dataclass
class Share:
    """What somebody needs of a store, in files and bytes.

    `shared_bytes`: what others need too. `freed_bytes`: what would come back if it went, with its
    tree: what no other needs, and no other tree has a link to. `missing` is not in the store.
    """

    files: int = 0
    bytes: int = 0
    shared_bytes: int = 0
    freed_bytes: int = 0
    missing: int = 0


@dataclass
class Account:
    """A project's share, and of that each artifact's (MANIFEST/ID), the largest first."""

    demand: Demand
    share: Share
    artifacts: dict[str, Share]


Links = Callable[[Demand, Mapping[tuple[int, int], str]], Mapping[str, int]]


@dataclass
class Shares:
    """Who has what of a store: `projects` (the largest first), `said` for what Hubs have said,
    `unneeded` for what nobody needs."""

    projects: list[Account]
    said: Share
    unneeded: Share


def shares(store: Store, needed: Demands, links: Links) -> Shares:
    """Divide a store's blobs among those who need them.

    `links(demand, inodes)` tells how many links a project's own tree has to each of these blobs,
    which are given by (device, inode): what it frees if it goes with its tree.
    """
    blobs = dict(store.digests())
    counting = [demand for demand in needed.projects if demand.counts]
    users: dict[str, int] = {}
    for demand in counting:
        for sha256 in demand.needs or ():
            users[sha256] = users.get(sha256, 0) + 1
    linked = {
        (stat.st_dev, stat.st_ino): sha256
        for sha256, stat in blobs.items()
        if stat.st_nlink > 1 and users.get(sha256) == 1 and sha256 not in needed.said
    }
    accounts = [
        _account(demand, blobs, users, needed.said, links(demand, linked) if linked else {})
        for demand in counting
    ]
    accounts.sort(key=lambda one: (-one.share.bytes, str(one.demand.record.root)))
    found = Shares(accounts, Share(), Share())
    for sha256, stat in blobs.items():
        if sha256 in needed.said:
            _count(found.said, stat, sha256 in users, not users.get(sha256))
        elif sha256 not in users:
            _count(found.unneeded, stat, False, True)
    return found


def _count(
    share: Share, stat: os.stat_result, shared: bool, alone: bool, own_links: int = 0
) -> None:
    share.files += 1
    share.bytes += stat.st_size
    share.shared_bytes += stat.st_size if shared else 0
    share.freed_bytes += stat.st_size if alone and stat.st_nlink - 1 <= own_links else 0


def _account(
    demand: Demand,
    blobs: Mapping[str, os.stat_result],
    users: Mapping[str, int],
    said: set[str],
    links: Mapping[str, int],
) -> Account:
    def share_of(needs: set[str], others: Mapping[str, int]) -> Share:
        share = Share()
        for sha256 in needs:
            if (stat := blobs.get(sha256)) is None:
                share.missing += 1
                continue
            shared = users[sha256] > 1 or sha256 in said or others.get(sha256, 0) > 1
            _count(share, stat, shared, not shared, links.get(sha256, 0))
        return share

    within: dict[str, int] = {}
    for needs in demand.artifacts.values():
        for sha256 in needs:
            within[sha256] = within.get(sha256, 0) + 1
    parts = {name: share_of(needs, within) for name, needs in demand.artifacts.items()}
    largest = sorted(parts.items(), key=lambda item: (-item[1].bytes, item[0]))
    return Account(demand, share_of(demand.needs or set(), {}), dict(largest))


def names_of(demand: Demand) -> Iterator[tuple[str, str]]:
    """(content, "MANIFEST/ID/path" or "MANIFEST/ID") of all that a project needs, as known."""
    lock = demand.lock
    if lock is not None:
        for (manifest, name), locked in lock.artifacts.items():
            for file in locked.needed if f"{manifest}/{name}" in demand.artifacts else ():
                if file.sha256:
                    yield file.sha256, f"{manifest}/{name}/{file.path}"
    for artifact, needs in demand.artifacts.items():
        for sha256 in needs:
            yield sha256, artifact


def check_listable(store: Store) -> None:
    """Raise Failure if a store is there whose blobs cannot be listed: nothing is known of it."""
    for folder in (store.root, store.blobs):
        try:
            os.scandir(folder).close()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            doing = t("reading the store {folder}", folder=folder)
            raise from_os_error(error, doing, str(folder)) from error
