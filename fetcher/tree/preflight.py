"""What can be known to fail before the first byte: disk space, gates, missing tokens, modes."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fetcher.config.boundaries import taken_from
from fetcher.errors import Failure, FetchError, Problem
from fetcher.fs.free_space import nearest_folder
from fetcher.i18n import t
from fetcher.network.session import Network, Response
from fetcher.network.urls import host_of
from fetcher.sources.huggingface import HuggingFace
from fetcher.tree.disk_space import room_for
from fetcher.tree.hf_cache import CachedBlobs
from fetcher.tree.plan import GET, PLACE, ArtifactPlan, Plan


class Verdict(NamedTuple):
    """What is known before the first byte: `fatal` keeps a run from starting at all, `refused` are
    artifacts that no disk has room for, or that their repositories do not let us have."""

    fatal: list[Problem]
    refused: list[tuple[ArtifactPlan, Problem]]

    @property
    def may_start(self) -> bool:
        """Whether a run has any use."""
        return not self.fatal

    def problems(self) -> list[Problem]:
        """All of it."""
        return [*self.fatal, *(problem for _, problem in self.refused)]

    def withhold(self) -> None:
        """Leave the downloads of refused artifacts out; what is in the store is still placed."""
        for part, _ in self.refused:
            part.withhold()


def check_ahead(plan: Plan, store: Path, link: str, network: Network) -> Verdict:
    """Look for all that would make a run fail; repositories are asked only if it may start."""
    room = room_for(plan, store, link)
    fatal = [*room.lacking, *check_writable(plan, store)]
    downloads = GET in plan.actions() or bool(plan.to_unpack())
    if downloads and not fatal:
        fatal = check_mirrors(network)
    if not downloads or fatal:
        return Verdict(fatal, room.too_large)
    closed = [*check_local(plan, network), *check_access(plan, network)]
    return Verdict(fatal, [*room.too_large, *closed])


def check_for_plan(
    plan: Plan, store: Path, link: str, network: Network, freeable: int = 0
) -> list[Problem]:
    """The same to show it: all at once, with what is missing offline; no mirror is opened.

    `freeable`: bytes that the run would free on the store's disk.
    """
    return [
        *room_for(plan, store, link, freeable).problems(),
        *check_writable(plan, store),
        *(problem for _, problem in check_local(plan, network, each=True)),
        *(problem for _, problem in check_access(plan, network)),
        *check_offline(plan, network),
    ]


def check_writable(plan: Plan, store: Path) -> list[Problem]:
    """A problem for a store or tree that cannot be written, if the plan has to write there.

    What the store has can be placed without writing into it.
    """
    actions = plan.actions()
    unpacks = bool(plan.to_unpack())
    written = [("store", store.absolute())] if GET in actions or unpacks else []
    written += [("target", plan.tree)] if actions & {GET, PLACE} or unpacks else []
    problems = []
    for what, folder in written:
        existing = nearest_folder(folder)
        if not os.access(existing, os.W_OK | os.X_OK):
            problems.append(
                Problem(
                    "permission",
                    t(
                        "the {what} {folder} cannot be written: {existing} is read-only",
                        what=what,
                        folder=folder,
                        existing=existing,
                    ),
                    t("set FETCH_STORE to another folder")
                    if what == "store"
                    else t("choose another folder with --into"),
                )
            )
    return problems


def check_access(plan: Plan, network: Network) -> list[tuple[ArtifactPlan, Problem]]:
    """Ask each repository with something to download once if it may be had.

    What has a mirror is not asked for: the mirror may have the files. Neither is a host that
    cannot be reached a problem here; the transfer will say so.
    """
    if network.offline or network.settings.mirrors:
        return []
    asked: dict[str, list[ArtifactPlan]] = {}
    cached = CachedBlobs.of(network.settings)
    for part in plan.artifacts:
        gets = any(part.unpackings()) or any(
            item.action == GET and cached.find(item.artifact.source, item.file) is None
            for item in part.items.pending()
        )
        if gets and isinstance(part.artifact.source, HuggingFace) and not part.artifact.mirrors:
            asked.setdefault(part.artifact.source.describe(), []).append(part)
    if not asked:
        return []
    with ThreadPoolExecutor(max_workers=min(16, len(asked))) as pool:
        answers = list(pool.map(lambda parts: _ask(parts[0], network), asked.values()))
    return [
        (part, problem.about(part.artifact.id))
        for parts, problem in zip(asked.values(), answers, strict=True)
        if problem
        for part in parts
    ]


def check_local(
    plan: Plan, network: Network, each: bool = False
) -> list[tuple[ArtifactPlan, Problem]]:
    """What would be taken from a place of this machine from which the project may not take.

    `each`: every file is looked at, not only the folder; a run does that when it takes them.
    """
    found: list[tuple[ArtifactPlan, Problem]] = []
    for part in plan.artifacts:
        source = part.artifact.source
        if source.type != "local":
            continue
        gets = [i.file for i in part.items.pending() if i.action == GET and not i.file.archive]
        gets += [entry for unpacking in part.unpackings() for entry in unpacking.parts]
        if not gets:
            continue
        from fetcher.sources.local import Local

        assert isinstance(source, Local)
        try:
            taken_from(network.settings, source.place(network.settings.root))
            for file in gets if each else ():
                source.candidates("", file, network)
        except Failure as failure:
            found.append((part, failure.problem.about(part.artifact.id)))
    return found


def check_mirrors(network: Network) -> list[Problem]:
    """Open every mirror; a damaged or unsigned one ends the run before anything is taken."""
    problems: list[Problem] = []
    if not network.settings.mirrors:
        return problems
    from fetcher.mirror.locations import check_allowed, opened

    for location in network.settings.mirrors:
        try:
            check_allowed(location, network)
            opened(location, network)
        except FetchError as error:
            problems += error.problems()
    return problems


def check_offline(plan: Plan, network: Network) -> list[Problem]:
    """Without network: what is neither in the tree nor in the store, if no mirror may have it."""
    if not network.offline or any("://" not in mirror for mirror in network.settings.mirrors):
        return []
    cached = CachedBlobs.of(network.settings)
    return [
        Problem(
            "offline",
            t("not in the store, and the network may not be used"),
            artifact=item.artifact.id,
            file=item.file.path,
        )
        for item in plan.pending()
        if item.action == GET
        and item.artifact.source.type != "local"
        and (item.file.archive or cached.find(item.artifact.source, item.file) is None)
    ]


def _ask(part: ArtifactPlan, network: Network) -> Problem | None:
    source = part.artifact.source
    assert isinstance(source, HuggingFace) and part.locked is not None
    archives = (entry.path for unpacking in part.unpackings() for entry in unpacking.parts)
    gets = (i.file.path for i in part.items.pending() if i.action == GET and not i.file.archive)
    path = next(itertools.chain(gets, archives))
    probe = source.access_probe(part.locked.revision, path, network)
    if probe is None:
        return None
    try:
        answer: Response = network.request(probe.url, method="HEAD", follow=False, patience=5)
    except Failure:
        return None
    told = source.allowance(answer.headers, network)
    if told is not None:
        network.allowances[host_of(network.rewrite(probe.url))] = told
    if answer.status not in {401, 403}:
        return None
    return source.failure(answer.status, answer.headers, network).problem
