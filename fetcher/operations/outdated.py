"""What sources say now, beside what fetch.lock says: which artifacts have moved, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from fetcher.errors import Failure, Problem
from fetcher.i18n import t
from fetcher.operations import upstream_terms
from fetcher.operations.workspace import Workspace
from fetcher.project import lock_diff, lockfile
from fetcher.project.lockfile import Lock, LockedArtifact
from fetcher.project.manifest import Artifact
from fetcher.reporting.update_words import CURRENT, FAILED, MOVED, PINNED, UNLOCKED, Update
from fetcher.sources.git_fields import COMMIT
from fetcher.sources.huggingface import HuggingFace
from fetcher.tree.state import State

_AT_ONCE = 8
Key = tuple[str, str]


@dataclass(frozen=True)
class Updates:
    """All artifacts that were looked at; `fresh` are the entries that a moved lock would have."""

    items: Sequence[Update]
    fresh: Mapping[Key, LockedArtifact] = field(default_factory=dict)
    problems: Sequence[Problem] = ()

    @property
    def moved(self) -> bool:
        """Whether the lock would change."""
        return bool(self.fresh)


def look(space: Workspace, with_unlocked: bool = False) -> Updates:
    """Ask the source of every artifact that is wanted, and can have moved; nothing is written.

    `with_unlocked` asks also for artifacts without an entry that counts, which then are added.
    Raises Failure (offline).
    """
    wanted = [artifact for _, artifact in space.wanted]
    state_of = _states(space, wanted)
    ask = {
        key
        for key, (state, _) in state_of.items()
        if state == "" or (with_unlocked and state == UNLOCKED)
    }
    if ask and space.settings.offline:
        raise Failure(
            "offline",
            t("sources are to be asked, and the network may not be used"),
            t("run it where there is a network"),
        )
    before = Lock(dict(space.lock.artifacts))
    everything = space.wanted, space.others
    space.wanted, space.others = [p for p in space.wanted if _key(p[1]) in ask], []
    resolution = space.resolve()
    space.wanted, space.others = everything
    fresh = resolution.fresh
    changes = {
        (change.manifest, change.id): change
        for change in lock_diff.compare(
            Lock({key: item for key, item in before.artifacts.items() if key in fresh}), Lock(fresh)
        )
    }
    moved = {
        key
        for key, change in changes.items()
        if lock_diff.moved(change) or state_of[key][0] == UNLOCKED
    }
    items = []
    for artifact in wanted:
        key = _key(artifact)
        state, why = state_of[key]
        if key in fresh:
            state = MOVED if key in moved else CURRENT
        elif key in ask:
            state = FAILED
        change = changes.get(key) if state == MOVED else None
        items.append(Update(*key, state, why, change))
    told = _with_terms(space, dict(zip(map(_key, wanted), wanted, strict=True)), items)
    return Updates(told, {key: fresh[key] for key in moved}, resolution.problems)


def take(space: Workspace, found: Updates) -> bool:
    """Write the entries that have moved into fetch.lock, and touch no other. Raises as `update`."""
    if not found.fresh:
        return False
    root = space.project.root
    State(root).ensure_folder()  # where the lock's own lock lies
    return lockfile.update(root, found.fresh, (), space.progress.say, space.settings.locks)


def _states(space: Workspace, wanted: Iterable[Artifact]) -> dict[Key, tuple[str, str]]:
    """What can be said without asking: a state and a reason; "" for those to be asked about."""
    space.options.update = lambda artifact: True  # what contradicts the manifest is asked anew
    lock, found = space.lock, {}
    for artifact in wanted:
        against = (item.message for item in lock.contradictions(artifact))
        if why := lock.why_not(artifact) or next(against, ""):
            found[_key(artifact)] = UNLOCKED, why
        elif _is_pinned(artifact):
            found[_key(artifact)] = PINNED, ""
        else:
            found[_key(artifact)] = "", ""
    return found


def _is_pinned(artifact: Artifact) -> bool:
    stated = artifact.fully_known and artifact.request.known
    return bool(stated or COMMIT.fullmatch(artifact.source.pinned_revision()))


def _key(artifact: Artifact) -> Key:
    return artifact.manifest, artifact.id


def _with_terms(
    space: Workspace, artifacts: Mapping[Key, Artifact], items: Sequence[Update]
) -> list[Update]:
    asked = [item.state in {MOVED, CURRENT} for item in items]
    if not any(asked):
        return list(items)

    def asked_about(item: Update) -> Update:
        artifact = artifacts[item.manifest, item.id]
        if item.state not in {MOVED, CURRENT} or not isinstance(artifact.source, HuggingFace):
            return item
        return _told(item, artifact, artifact.source, space)

    return list(_each(asked_about, items, space.network.interrupt))


def _told(item: Update, artifact: Artifact, source: HuggingFace, space: Workspace) -> Update:
    """The item with dates, licence, gate and card, as far as the Hub tells them."""
    old, new = (item.change.old, item.change.new) if item.change is not None else (None, None)
    found = upstream_terms.ask(
        source,
        old.revision if old else "",
        new.revision if new else "",
        artifact.info,
        space.network,
    )
    return replace(
        item,
        old_date=found.old_date,
        new_date=found.new_date,
        terms=found.changes,
        gone=found.gone,
    )


def _each(
    told: Callable[[Update], Update], items: Sequence[Update], interrupt: Callable[[], None]
) -> list[Update]:
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(items))) as pool:
        try:
            return list(pool.map(told, items))
        except BaseException:
            interrupt()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
