"""What `fetch gc` says: what goes and since when nobody needs it, and why the rest stays."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypedDict

from fetcher.fs.locks import Holder as Run
from fetcher.i18n import join, n, t
from fetcher.store import gc, parts
from fetcher.store.demands import Demand
from fetcher.store.gc import Group, Sweep
from fetcher.tree.kept_files import KeptFolder
from fetcher.tree.store_links import Holder
from fetcher.ui.units import human_bytes


class ProjectFacts(TypedDict):
    """Which project it is; `seen` in seconds since 1970."""

    project: str
    id: str
    machine: str
    seen: int
    state: str
    kind: str


class DemandEntry(ProjectFacts):
    """What a project needs. `until`: when it ceases to count, in seconds since 1970 (0: it does
    not); `forget` is the command that lets go of it, "" while it is here."""

    blobs: int | None
    bytes: int
    until: int
    forget: str
    error: str


class GroupEntry(TypedDict):
    """Files of one fate and reason; times in seconds since 1970, null where nobody knows."""

    of: str
    goes: bool
    why: str
    project: str
    artifact: str
    files: int
    bytes: int
    freed_bytes: int
    since: int | None
    used: int | None
    until: int | None


def facts_of(demand: Demand) -> ProjectFacts:
    """Which project it is, for --json."""
    record = demand.record
    return {
        "project": str(record.root),
        "id": record.id,
        "machine": record.machine,
        "seen": int(record.seen),
        "state": demand.state,
        "kind": "import" if demand.is_import else "project",
    }


def entry_of(demand: Demand) -> DemandEntry:
    """What a project needs, for --json."""
    return {
        **facts_of(demand),
        "blobs": None if demand.needs is None else len(demand.needs),
        "bytes": demand.bytes,
        "until": int(demand.until),
        "forget": forget_command(demand) if demand.state != "here" or demand.is_import else "",
        "error": demand.why,
    }


def group_entry(group: Group) -> GroupEntry:
    """A group, for --json."""
    return {
        "of": group.of,
        "goes": group.goes,
        "why": group.why,
        "project": group.project,
        "artifact": group.artifact,
        "files": group.files,
        "bytes": group.bytes,
        "freed_bytes": group.freed_bytes,
        "since": int(group.since) or None,
        "used": int(group.used) or None,
        "until": int(group.until) or None,
    }


def forget_command(demand: Demand) -> str:
    """The command that lets go of what a project needs."""
    record = demand.record
    name = record.path.stem if demand.is_import else record.id or shlex.quote(str(record.root))
    return f"fetch gc --forget {name}"


def day_of(moment: float) -> str:
    """A day, as 2026-11-28."""
    return time.strftime("%Y-%m-%d", time.localtime(moment))


def _minute_of(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


# Who needs what


def demand_lines(
    demands: Iterable[Demand], everyone: bool, labels: Mapping[str, str]
) -> Iterator[str]:
    """What the projects need; those that are here if `everyone`. `labels` are imports' names.

    Containers leave a record each, of one path: one line for these.
    """
    gone: dict[str, list[Demand]] = {}
    for demand in demands:
        if demand.state == "absent":
            gone.setdefault(str(demand.record.root), []).append(demand)
        elif demand.is_import and demand.counts:
            if everyone:
                yield _import_line(demand, labels)
        elif everyone or demand.state != "here":
            yield _line(demand)
    for root, alike in gone.items():
        if len(alike) == 1:
            yield _line(alike[0])
            continue
        yield t(
            "{root}: {count:,} projects that are not here, last seen {day}: need {bytes} at most, "
            "and count until {until}; to let go of them: fetch gc --forget {name}",
            root=root,
            count=len(alike),
            day=day_of(max(demand.record.seen for demand in alike)),
            bytes=human_bytes(sum(demand.bytes for demand in alike)),
            until=day_of(max(demand.until for demand in alike)),
            name=shlex.quote(root),
        )


def _needs(demand: Demand) -> str:
    if demand.needs is None:
        return t("needs what nobody wrote down: nothing is removed")
    return t(
        "needs {blobs}, {bytes}",
        blobs=n("{count:,} blob", "{count:,} blobs", len(demand.needs)),
        bytes=human_bytes(demand.bytes),
    )


def _line(demand: Demand) -> str:
    """What one project needs, and how that is known."""
    record, needs = demand.record, _needs(demand)
    if demand.state == "here":
        return t("{root}: {needs}", root=record.root, needs=needs)
    if demand.state == "broken":
        return t(
            "{root}: its fetch.lock cannot be read ({why}); when it last ran: {needs}",
            root=record.root,
            why=demand.why,
            needs=needs,
        )
    if demand.state == "absent":
        return t(
            "{root}: not here, last seen {day} on {machine}: {needs}; it counts until {until}; to "
            "let go of it: {command}",
            root=record.root,
            day=day_of(record.seen),
            machine=record.machine or t("an unknown machine"),
            needs=needs,
            until=day_of(demand.until),
            command=forget_command(demand),
        )
    return t(
        "{root}: last seen {day}, does not count any more",
        root=record.root,
        day=day_of(record.seen),
    )


def _import_line(demand: Demand, labels: Mapping[str, str]) -> str:
    name = demand.record.path.stem
    return t(
        "{label}: {needs}; to let go of it: {command}",
        label=labels.get(name, name),
        needs=_needs(demand),
        command=forget_command(demand),
    )


# What goes, and what stays


def lines(done: Sweep, dry_run: bool, holders: Sequence[Holder]) -> Iterator[str]:
    """What goes, and for what stays why, beside what projects need."""
    for group in done.groups:
        if group.goes:
            what, why = _what(group), _why_it_goes(group)
            if dry_run:
                yield t("would go: {what}: {why}", what=what, why=why)
            else:
                yield t("gone: {what}: {why}", what=what, why=why)
    if done.linked_bytes:
        yield _linked_line(done, holders)
    for group in done.groups:
        if group.why == gc.YOUNG:
            yield t(
                "stays: {blobs} nobody needs, but came within the last hour, as those of a run "
                "that has not written its lock yet ({bytes}); they may go from {until} on",
                blobs=n("{count:,} blob", "{count:,} blobs", group.files),
                bytes=human_bytes(group.bytes),
                until=_minute_of(group.until),
            )
        elif not group.goes:
            yield t("stays: {what}: {why}", what=_what(group), why=_why_it_stays(group))


def _linked_line(done: Sweep, holders: Sequence[Holder]) -> str:
    told = [
        t("{folder} ({bytes})", folder=holder.folder, bytes=human_bytes(holder.bytes))
        for holder in holders[:3]
    ]
    unknown = done.linked_bytes - sum(holder.bytes for holder in holders)
    if len(holders) > 3 or unknown:
        told.append(t("other folders"))
    return t(
        "of that, {bytes} come back only when the files go that share these bytes, in {folders}",
        bytes=human_bytes(done.linked_bytes),
        folders=join(told, ", "),
    )


def _what(group: Group) -> str:
    count = group.files
    if group.of == gc.BLOBS:
        files = n("{count:,} blob", "{count:,} blobs", count)
    elif group.of == gc.PARTIAL:
        files = n("{count:,} partial download", "{count:,} partial downloads", count)
    elif group.of == gc.DAMAGED:
        files = n("{count:,} damaged blob", "{count:,} damaged blobs", count)
    else:
        files = n("{count:,} unfinished file", "{count:,} unfinished files", count)
    return t("{files}, {bytes}", files=files, bytes=human_bytes(group.bytes))


def _why_it_goes(group: Group) -> str:
    day = day_of(group.used)
    if group.why == gc.UNNEEDED and group.project:
        return t(
            "no project needs it since {root} let go of {artifact}, {day}",
            root=group.project,
            artifact=group.artifact or t("it"),
            day=day_of(group.since),
        )
    if group.why == gc.UNNEEDED:
        return t("no project needs it; last used {day}", day=day)
    if group.why == parts.IN_STORE:
        return t("its content is in the store")
    if group.why == parts.SUPERSEDED:
        return t("no project wants its content any more")
    if group.why == parts.UNPROVABLE:
        return t("it cannot be gone on with: nothing tells that both halves are of one file")
    if group.why == parts.EMPTY:
        return t("nothing of it had come")
    if group.why == gc.ASKED:
        return t("--partial; last written {day}", day=day)
    if group.of == gc.DAMAGED:
        return t("set aside {day}, and nobody came for it", day=day)
    if group.why == gc.LEFT:
        return t("the run that made it is gone")
    return t("nobody came back to it since {day}", day=day)


def _why_it_stays(group: Group) -> str:
    until = _minute_of(group.until)
    if group.why == gc.RECENT:
        return t(
            "nobody needs it, but it was used {day}, within --older-than; it may go from {until} "
            "on",
            day=day_of(group.used),
            until=until,
        )
    if group.why == gc.RESUMABLE:
        return _resumable(group, until)
    if group.why == gc.SAID:
        return t(
            "`fetch serve` fetched it from a Hub, or a bundle speaks for one: served under its name"
        )
    if group.why == gc.UNDECIDED:
        return t("nobody knows what some project needs")
    if group.why == gc.NOT_YOURS:
        return t("you may not remove it")
    if group.why == gc.PROVEN:
        return t("a run had proven it when it died: it becomes a blob")
    if group.why == parts.IN_USE:
        return t("a running process has it")
    if group.of == gc.DAMAGED:
        return t(
            "it is not what its name says, and was set aside for you to look at; it goes from "
            "{until} on",
            until=until,
        )
    return t("nobody knows what it is; it goes from {until} on", until=until)


def _resumable(group: Group, until: str) -> str:
    whose = (
        t("{artifact} of {root}", artifact=group.artifact or t("a download"), root=group.project)
        if group.project
        else t("a download that is of no project")
    )
    return t(
        "{whose} can go on with it, until {until}; `fetch gc --partial` frees it",
        whose=whose,
        until=until,
    )


def surroundings(running: Sequence[Run], strangers: tuple[int, int]) -> Iterator[str]:
    """What else stands in the way of room: runs, strangers' files."""
    for run in running:
        yield t("in use: {holder}; `fetch gc` waits until it has ended", holder=run)
    count, size = strangers
    if count:
        yield t(
            "stays: {files}, {bytes}, that fetch did not put into the store",
            files=n("{count:,} file", "{count:,} files", count),
            bytes=human_bytes(size),
        )


def kept_line(kept: KeptFolder) -> str:
    """What a project keeps outside the store, and how to free it."""
    return t(
        "{root}/.fetch/kept: {files}, {bytes}, moved aside since {day}; when you need none of it: "
        "`fetch prune --kept` there",
        root=kept.root,
        files=n("{count:,} file", "{count:,} files", kept.files),
        bytes=human_bytes(kept.bytes),
        day=day_of(kept.since),
    )
