"""What `fetch store du` and `ls` say: what the store takes of the disk, and whose it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TypedDict

from fetcher.i18n import n, t
from fetcher.reporting.gc_words import ProjectFacts, day_of, facts_of
from fetcher.store.demands import Demands
from fetcher.store.usage import Account, Share, Shares, Usage, names_of
from fetcher.ui.table import Column
from fetcher.ui.units import human_bytes


class ShareEntry(TypedDict):
    """Somebody's share of a store; `blobs` None: nobody knows what they need."""

    blobs: int | None
    bytes: int
    shared_bytes: int
    freed_bytes: int
    missing: int


class ArtifactShare(ShareEntry):
    """An artifact's part of its project's share, "" where nobody knows which it is."""

    artifact: str


class ProjectShare(ProjectFacts, ShareEntry):
    """What a project needs of a store. `state` is here, absent or broken, or "none" for what no
    project needs and "said" for what Hubs have said."""

    artifacts: list[ArtifactShare]


class BlobEntry(TypedDict):
    """A blob: who needs it, and for what (PROJECT, MANIFEST/ID/PATH as far as known)."""

    sha256: str
    size: int
    needed_by: list[str]
    files: list[str]
    links: int


BY_PROJECT = (
    Column(t("SIZE"), right=True),
    Column(t("FREED"), rank=1, right=True),
    Column(t("SHARED"), rank=3, right=True),
    Column(t("BLOBS"), rank=4, right=True),
    Column(t("PROJECT, ARTIFACT"), least=24, at="middle"),
    Column(t("SEEN"), rank=2, least=8),
)
BY_KIND = (
    Column(t("ON DISK"), right=True),
    Column(t("FILES"), rank=1, right=True),
    Column(t("WHAT")),
)
BLOBS = (
    Column(t("SIZE"), right=True),
    Column(t("FILE"), rank=1, least=12, at="middle"),
    Column(t("NEEDED BY"), rank=2, least=12, at="start"),
    Column(t("SHA256"), rank=3, least=12),
)


def label_of(account: Account, labels: Mapping[str, str]) -> str:
    """What to call a project, or an imported bundle."""
    record = account.demand.record
    return labels.get(record.path.stem, str(record.root))


def project_entries(found: Shares) -> list[ProjectShare]:
    """Who has what, for --json: the largest first, then what Hubs have said, and nobody needs."""
    entries = [_project_entry(account) for account in found.projects]
    for state, share in (("said", found.said), ("none", found.unneeded)):
        if share.files:
            nobody = ProjectFacts(project="", id="", machine="", seen=0, state=state, kind="")
            entries.append({**nobody, **_share_entry(share), "artifacts": []})
    return entries


def _project_entry(account: Account) -> ProjectShare:
    own = _share_entry(account.share)
    if account.demand.unknown:
        own["blobs"] = None
    artifacts: list[ArtifactShare] = [
        {"artifact": name, **_share_entry(share)} for name, share in account.artifacts.items()
    ]
    return {**facts_of(account.demand), **own, "artifacts": artifacts}


def _share_entry(share: Share) -> ShareEntry:
    return {
        "blobs": share.files,
        "bytes": share.bytes,
        "shared_bytes": share.shared_bytes,
        "freed_bytes": share.freed_bytes,
        "missing": share.missing,
    }


def project_rows(found: Shares, labels: Mapping[str, str]) -> Iterator[Sequence[str]]:
    """Rows of BY_PROJECT: each project, below it its artifacts; then what no project needs."""
    for account in found.projects:
        demand = account.demand
        seen = t("here") if demand.state == "here" else day_of(demand.record.seen)
        if demand.state == "broken":
            seen = t("its fetch.lock cannot be read")
        elif demand.state == "absent":
            seen = t("not here, last seen {day}", day=seen)
        yield (*_cells(account.share, demand.unknown), label_of(account, labels), seen)
        for artifact, share in account.artifacts.items():
            name = artifact or t("(nobody knows which artifact)")
            yield (*_cells(share), t("  {name}", name=name), _missing(share))
    if found.said.files:
        yield (*_cells(found.said), t("what Hubs have said to the mirror server"), "")
    if found.unneeded.files:
        yield (
            *_cells(found.unneeded),
            t("no project needs it"),
            t("`fetch gc` removes it once it is an hour old"),
        )


def _cells(share: Share, unknown: bool = False) -> Sequence[str]:
    if unknown:
        return "?", "?", "?", "?"
    sizes = (share.bytes, share.freed_bytes, share.shared_bytes)
    return (*(human_bytes(size) for size in sizes), f"{share.files:,}")


def _missing(share: Share) -> str:
    if not share.missing:
        return ""
    return n("{count:,} is not in the store", "{count:,} are not in the store", share.missing)


def kind_rows(found: Usage) -> Iterator[Sequence[str]]:
    """Rows of BY_KIND: what is in the store, and the sum."""
    names = {
        "blobs": t(
            "blobs, of which {bytes} shared with trees", bytes=human_bytes(found.linked_bytes)
        ),
        "partial": t("partial downloads"),
        "unfinished": t("what runs are making, or left"),
        "damaged": t("damaged blobs, set aside"),
        "records": t("records of projects, bundles and contents"),
        "strangers": t("files that fetch did not put here"),
        "folders": t("folders themselves"),
    }
    for kind, amount in found.parts.items():
        if amount.files or amount.disk_bytes:
            yield human_bytes(amount.disk_bytes), f"{amount.files:,}", names[kind]
    total = sum(amount.files for amount in found.parts.values())
    yield human_bytes(found.disk_bytes), f"{total:,}", t("all of it")


def usage_summary(found: Usage, shared: Shares, free: int) -> dict[str, object]:
    """The numbers of a store, for --json. `bytes` are sizes, `disk_bytes` what is taken of the
    disk; the kinds add up to `disk_bytes`."""
    return {
        "blobs": found.blobs.files,
        "blob_bytes": found.blobs.bytes,
        "linked_bytes": found.linked_bytes,
        "parts": found.partial.files,
        "part_bytes": found.partial.bytes,
        "damaged": found.damaged.files,
        "damaged_bytes": found.damaged.bytes,
        "unneeded": shared.unneeded.files,
        "unneeded_bytes": shared.unneeded.bytes,
        "bytes": sum(amount.bytes for amount in found.parts.values()),
        "disk_bytes": found.disk_bytes,
        "free_bytes": free,
        "kinds": {kind: asdict(amount) for kind, amount in found.parts.items()},
        "unreadable": found.unreadable,
    }


def files_by_content(needed: Demands) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Of each content, the projects that need it, and what for (MANIFEST/ID/PATH, or less)."""
    owners: dict[str, list[str]] = {}
    files: dict[str, list[str]] = {}
    for demand in needed.projects:
        if not demand.counts:
            continue
        root = str(demand.record.root)
        for sha256 in demand.needs or ():
            if root not in (known := owners.setdefault(sha256, [])):
                known.append(root)
        for sha256, name in names_of(demand):
            names = files.setdefault(sha256, [])
            if not any(one == name or one.startswith(f"{name}/") for one in names) and name:
                names.append(name)
    return {sha256: sorted(roots) for sha256, roots in owners.items()}, files


def absent_labels(needed: Demands) -> dict[str, str]:
    """What to call the projects of which none stands at its path here, by that path."""
    here = {str(one.record.root) for one in needed.projects if one.lock is not None}
    return {
        str(one.record.root): t(
            "{root} (not here, last seen {day})",
            root=one.record.root,
            day=day_of(one.record.seen),
        )
        for one in needed.projects
        if one.state == "absent" and str(one.record.root) not in here
    }


def blob_rows(entries: Sequence[BlobEntry], labels: Mapping[str, str]) -> Iterator[Sequence[str]]:
    """Rows of BLOBS; `labels` are what to call projects that are not here, and bundles."""
    for entry in entries:
        owners = ", ".join(labels.get(root, root) for root in entry["needed_by"])
        owners = owners or t("no project")
        yield human_bytes(entry["size"]), _first(entry["files"]), owners, entry["sha256"]


def _first(names: Sequence[str]) -> str:
    if len(names) < 2:
        return names[0] if names else "-"
    return t("{name} and {count:,} more", name=names[0], count=len(names) - 1)
