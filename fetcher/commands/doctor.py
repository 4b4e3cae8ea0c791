"""`fetch doctor`: what on this machine could get in the way."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from fetcher import __version__
from fetcher.commands import ci_reports, common
from fetcher.commands.ci_reports import Reports
from fetcher.config import settings
from fetcher.errors import Failure, FetchError, Problem
from fetcher.fs.atomic import reflink
from fetcher.fs.free_space import nearest_folder
from fetcher.fs.private_files import scratch_folder
from fetcher.fs.safe_paths import printable
from fetcher.i18n import join, t
from fetcher.network.hub_account import HubAccount, knows_oidc, version
from fetcher.network.session import Network
from fetcher.operations import ask_endpoints
from fetcher.operations.open_project import keep_secrets
from fetcher.project import lockfile, names
from fetcher.project.project import Project, find_root
from fetcher.reporting import envelope
from fetcher.sources.huggingface import HuggingFace
from fetcher.store import soundness, upstream_records
from fetcher.store.store import Store
from fetcher.tree.hf_cache import scan
from fetcher.tree.hf_cache_check import CacheCheck, Spoiled, repositories
from fetcher.ui.table import Column, print_table
from fetcher.ui.units import human_bytes
from fetcher.verify.host import child_process

if TYPE_CHECKING:
    from fetcher.reporting.verdict import Case

_SECONDS = 60


class Diagnostic(NamedTuple):
    """One line of the report; `level` is ok, note or bad."""

    level: str
    subject: str
    text: str


def _tools() -> Iterator[Diagnostic]:
    import pycurl

    yield Diagnostic(
        "ok",
        "fetch",
        t(
            "{version}, Python {python_version}, {platform}",
            version=__version__,
            python_version=platform.python_version(),
            platform=_platform(),
        ),
    )
    yield from _shared_files()
    yield Diagnostic("ok", "libcurl", pycurl.version)
    pip = _asked(child_process.own_module("pip", "--version"))
    if pip is None or pip.status:
        yield Diagnostic("note", "pip", t("not there: mirrors of type pypi cannot be used"))
    else:
        yield Diagnostic("ok", "pip", " ".join(pip.out.split()[:2]))
    gpu = _asked(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    if gpu is None:
        yield Diagnostic("note", "GPU", t("no nvidia-smi: probes will run on the CPU"))
        return
    yield Diagnostic("ok" if gpu.status == 0 else "note", "GPU", gpu.out.strip() or t("none"))


def _shared_files() -> Iterator[Diagnostic]:
    """Two distributions that own the same files: to uninstall one takes files from the other."""
    from fetcher.installation import commands, distribution

    owners = distribution.owners()
    others = [name for name, _ in owners if name != distribution.NAME]
    if len(owners) > 1:
        text = t(
            "{owners} have their files in one folder, and what removes one of them breaks the "
            "other: {command}",
            owners=", ".join(f"{name} {version}" for name, version in owners),
            command=commands.without(*others),
        )
        yield Diagnostic("note", "fetch", text)


def _platform() -> str:
    # platform.platform() asks the program uname, wherever PATH leads.
    system = os.uname() if hasattr(os, "uname") else None
    if system is None:
        return platform.system()
    return f"{system.sysname} {system.release} {system.machine}"


def _asked(command: list[str]) -> child_process.Finished | None:
    """What a program answers, None if it cannot be asked."""
    try:
        return child_process.run(command, timeout=_SECONDS)
    except OSError:
        return None


def _ways_to_place(folder: Path) -> str:
    """How files can be placed from the store's file system onto itself."""
    ways = []
    with scratch_folder(str(folder)) as scratch:
        source = Path(scratch, "source")
        source.write_bytes(b"x" * 8192)
        if reflink(str(source), str(Path(scratch, "reflink"))):
            ways.append("reflink")
        for name, make in (("hardlink", os.link), ("symlink", os.symlink)):
            try:
                make(source, Path(scratch, name))
                ways.append(name)
            except OSError:
                pass
    return ", ".join([*ways, "copy"])


def _disks(found: settings.Settings, root: Path) -> Iterator[Diagnostic]:
    for subject, folder in (("store", found.store), ("project", root)):
        existing = nearest_folder(folder.absolute())
        free = shutil.disk_usage(existing).free
        if not os.access(existing, os.W_OK):
            yield Diagnostic(
                "bad",
                subject,
                t("{folder}: {existing} cannot be written", folder=folder, existing=existing),
            )
            continue
        ways = _ways_to_place(existing)
        level = "note" if free < 10**9 else "ok"
        yield Diagnostic(
            level,
            subject,
            t(
                "{folder}: {free} free; can place by {ways}",
                folder=folder,
                free=human_bytes(free),
                ways=ways,
            ),
        )
    if nearest_folder(found.store.absolute()).stat().st_dev != root.stat().st_dev:
        yield Diagnostic(
            "note", "store", t("on another disk than the project: files will be copied")
        )


def _unknown_oidc() -> bool:
    return bool(os.environ.get("HF_OIDC_RESOURCE")) and not knows_oidc()


def _hub_cache(found: settings.Settings, root: Path) -> Iterator[Diagnostic]:
    subject = t("Hugging Face cache")
    try:
        seen = scan(found.hub_cache)
    except Failure as failure:
        yield Diagnostic("note", subject, failure.message)
        return
    if not seen.repositories and not seen.warnings:
        yield Diagnostic("ok", subject, t("{hub_cache}: empty", hub_cache=found.hub_cache))
        return
    there = {(repo.repo_type, repo.repo) for repo in seen.repositories}
    artifacts = list(_hub_artifacts(root))
    ours = [name for name, key in artifacts if key in there]
    size = human_bytes(sum(repo.size for repo in seen.repositories))
    text = t(
        "{hub_cache}: {count:,} repositories, {size}",
        hub_cache=found.hub_cache,
        count=len(there),
        size=size,
    )
    if ours:
        more = t(" and {count:,} more", count=len(ours) - 5) if len(ours) > 5 else ""
        text = t(
            "{text}; has files of {ours}{more}: `fetch all` takes them from there",
            text=text,
            ours=", ".join(ours[:5]),
            more=more,
        )
    yield Diagnostic("ok", subject, text)
    for warning in seen.warnings[:3]:
        yield Diagnostic("note", subject, printable(warning))
    if len(seen.warnings) > 3:
        yield Diagnostic("note", subject, t("{count:,} more such", count=len(seen.warnings) - 3))
    spoiled = list(_spoiled(found, {key for _, key in artifacts}))
    for _, message, hint in spoiled[:5]:
        yield Diagnostic("note", subject, t("{message}; {hint}", message=message, hint=hint))
    if len(spoiled) > 5:
        text = t("{count:,} more such; `fetch check --deep` reads all", count=len(spoiled) - 5)
        yield Diagnostic("note", subject, text)


def _spoiled(found: settings.Settings, ours: set[tuple[str, str]]) -> Iterator[Spoiled]:
    """What is not what its name says; the Hub is asked about the project's own repositories."""
    records = upstream_records.of_person(found)
    may_ask = found.hub_answers_to_person and not found.offline
    network = Network(found, patience=0.0) if may_ask else None
    quick = CacheCheck(records)
    asking = CacheCheck(records, network)
    for folder, source in repositories(found.hub_cache):
        own = (source.repo_type, source.repo) in ours
        yield from (asking if own else quick).of(folder, source)


def _lock(found: settings.Settings, root: Path) -> Iterator[Diagnostic]:
    """Where the lock is not what the Hub has said, or says two things of one content."""
    from fetcher.operations.lock_check import unlike_source

    store = Store.of(found, readonly=True)
    try:
        lock = lockfile.read(root)
        artifacts = [artifact for _, artifact in names.pairs_of(Project(root).load_everything())]
    except FetchError as error:
        if (root / lockfile.NAME).exists():
            yield Diagnostic("note", lockfile.NAME, error.message)
        return
    pairs = [(artifact, lock.of(artifact)) for artifact in artifacts]
    problems = list(unlike_source(pairs, store, found))
    told = {problem.artifact for problem in problems}
    for entry in soundness.false_entries(store, [root]):
        if entry.artifact not in told:
            problems.append(soundness.problem_of(entry))
    for problem in problems[:5]:
        text = t("{message}; {hint}", message=problem.message, hint=problem.hint)
        yield Diagnostic("note", lockfile.NAME, text)
    if len(problems) > 5:
        text = t("{count:,} more such; `fetch check --deep` names all", count=len(problems) - 5)
        yield Diagnostic("note", lockfile.NAME, text)


def _hub_artifacts(root: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Ids of the project's artifacts that come from the Hub, and their repositories."""
    try:
        pairs = names.pairs_of(Project(root).load_everything())
    except FetchError:
        return  # not what this command is about
    for _, artifact in pairs:
        source = artifact.source
        if isinstance(source, HuggingFace):
            yield artifact.id, (source.repo_type, source.repo)


def _tokens(found: settings.Settings) -> Iterator[Diagnostic]:
    account = HubAccount(found)
    github = found.origin("github_token") if found.text("github_token") else ""
    network = None if found.offline else Network(found)
    asks: list[tuple[str, str, str, Callable[[Network], ask_endpoints.Told]]] = [
        (
            t("Hugging Face token"),
            account.origin(),
            t("gated and private repositories"),
            lambda network: ask_endpoints.hub_token(network, account),
        ),
        (t("GitHub token"), github, t("private repositories"), ask_endpoints.github_token),
    ]
    for subject, origin, what, ask in asks:
        if not origin:
            yield Diagnostic("note", subject, t("none: {what} cannot be had", what=what))
        elif network is None:
            text = t("set, by {origin}; not asked whether it is good", origin=origin)
            yield Diagnostic("ok", subject, text)
        else:
            yield _of(ask(network))
    if _unknown_oidc():
        text = t(
            "HF_OIDC_RESOURCE is set, but huggingface_hub {version} does not know it",
            version=version(),
        )
        yield Diagnostic("note", t("Hugging Face token"), text)


def _of(told: ask_endpoints.Told) -> Diagnostic:
    return Diagnostic("ok" if told.good else "note", told.subject, told.text)


def _endpoints(found: settings.Settings) -> Iterator[Diagnostic]:
    if found.offline:
        text = t("not used ({origin})", origin=found.origin("offline"))
        yield Diagnostic("note", "network", text)
        return
    yield from map(_of, ask_endpoints.endpoints(Network(found)))


@click.command("doctor")
@ci_reports.options("fetch doctor")
@common.json_option
def command(as_json: bool, reports: Reports) -> int:
    """Check what on this machine could get in the way: tools, disk, tokens, endpoints, GPU.

    Notes are fine where a mirror serves; only a disk that cannot be written is an error (exit 9).
    """
    root = find_root(Path.cwd())
    found = settings.load(root)
    keep_secrets(found)
    common.tell_choices(found)
    findings = [
        *_tools(),
        *_disks(found, root),
        *_lock(found, root),
        *_hub_cache(found, root),
        *_tokens(found),
        *_endpoints(found),
    ]
    answer = envelope.Answer({"root": str(root)})
    answer.results = [finding._asdict() for finding in findings]
    answer.problems = [_problem(finding) for finding in findings if finding.level == "bad"]
    unwritten = reports.write(_cases(findings), answer.problems, ())
    answer.problems += unwritten
    if as_json:
        envelope.print_json(answer)
        return answer.exit_code
    rows = [(f"{f.level:<4}", join((f.subject, f.text), ": ")) for f in findings]
    print_table((Column(), Column(wrap=True)), rows, heading=False)
    envelope.print_problems(unwritten)
    return answer.exit_code


def _cases(findings: Sequence[Diagnostic]) -> list[Case]:
    """A case for each line that is no failure; problems tell of those."""
    from fetcher.reporting.verdict import MACHINE, NOTE, Case

    return [
        Case(
            MACHINE,
            one.subject,
            message=t("{subject}: {text}", subject=one.subject, text=one.text),
            advice=NOTE if one.level == "note" else "",
        )
        for one in findings
        if one.level != "bad"
    ]


def _problem(finding: Diagnostic) -> Problem:
    return Problem("permission", t("{subject}: {text}", subject=finding.subject, text=finding.text))
