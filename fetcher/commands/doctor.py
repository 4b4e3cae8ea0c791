"""`fetch doctor`: what on this machine could get in the way."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from fetcher import __version__
from fetcher.commands import common
from fetcher.config import settings
from fetcher.errors import Failure, FetchError, Problem
from fetcher.fs.atomic import reflink
from fetcher.fs.safe_paths import printable
from fetcher.network.hub_account import HubAccount, knows_oidc, version
from fetcher.network.session import Network
from fetcher.network.urls import host_of
from fetcher.operations.opening import keep_secrets
from fetcher.project import names
from fetcher.project.project import Project, find_root
from fetcher.reporting import envelope
from fetcher.sources.huggingface import HuggingFace
from fetcher.tree.hf_cache import scan
from fetcher.tree.preflight import nearest_folder
from fetcher.ui.units import human_bytes


class Finding(NamedTuple):
    """One line of the report; `level` is ok, note or bad."""

    level: str
    subject: str
    text: str


def _tools() -> Iterator[Finding]:
    import pycurl

    yield Finding(
        "ok", "fetch", f"{__version__}, Python {platform.python_version()}, {platform.platform()}"
    )
    yield Finding("ok", "libcurl", pycurl.version)
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "--version"], capture_output=True, text=True, check=False
    )
    if pip.returncode:
        yield Finding("note", "pip", "not there: mirrors of type pypi cannot be used")
    else:
        yield Finding("ok", "pip", " ".join(pip.stdout.split()[:2]))
    gpu = shutil.which("nvidia-smi")
    if gpu is None:
        yield Finding("note", "GPU", "no nvidia-smi: probes will run on the CPU")
        return
    query = [gpu, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    yield Finding("ok" if found.returncode == 0 else "note", "GPU", found.stdout.strip() or "none")


def _ways_to_place(folder: Path) -> str:
    """How files can be placed from the store's file system onto itself."""
    ways = []
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
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


def _disks(found: settings.Settings, root: Path) -> Iterator[Finding]:
    for subject, folder in (("store", found.store), ("project", root)):
        existing = nearest_folder(folder.absolute())
        free = shutil.disk_usage(existing).free
        if not os.access(existing, os.W_OK):
            yield Finding("bad", subject, f"{folder}: {existing} cannot be written")
            continue
        ways = _ways_to_place(existing)
        level = "note" if free < 10**9 else "ok"
        yield Finding(level, subject, f"{folder}: {human_bytes(free)} free; can place by {ways}")
    if nearest_folder(found.store.absolute()).stat().st_dev != root.stat().st_dev:
        yield Finding("note", "store", "on another disk than the project: files will be copied")


def _unknown_oidc() -> bool:
    return bool(os.environ.get("HF_OIDC_RESOURCE")) and not knows_oidc()


def _hub_cache(found: settings.Settings, root: Path) -> Iterator[Finding]:
    subject = "Hugging Face cache"
    try:
        seen = scan(found.hub_cache)
    except Failure as failure:
        yield Finding("note", subject, failure.message)
        return
    if not seen.repositories and not seen.warnings:
        yield Finding("ok", subject, f"{found.hub_cache}: empty")
        return
    there = {(repo.repo_type, repo.repo) for repo in seen.repositories}
    ours = [name for name, key in _hub_artifacts(root) if key in there]
    size = human_bytes(sum(repo.size for repo in seen.repositories))
    text = f"{found.hub_cache}: {len(there):,} repositories, {size}"
    if ours:
        more = f" and {len(ours) - 5:,} more" if len(ours) > 5 else ""
        text += f"; has files of {', '.join(ours[:5])}{more}: `fetch all` takes them from there"
    yield Finding("ok", subject, text)
    for warning in seen.warnings[:3]:
        yield Finding("note", subject, printable(warning))
    if len(seen.warnings) > 3:
        yield Finding("note", subject, f"{len(seen.warnings) - 3:,} more such")


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


def _tokens(found: settings.Settings) -> Iterator[Finding]:
    hub = HubAccount(found).origin()
    github = found.origin("github_token") if found.text("github_token") else ""
    for subject, origin, what in (
        ("Hugging Face token", hub, "gated and private repositories"),
        ("GitHub token", github, "private repositories"),
    ):
        text = f"set, by {origin}" if origin else f"none: {what} cannot be had"
        yield Finding("ok" if origin else "note", subject, text)
    if _unknown_oidc():
        text = f"HF_OIDC_RESOURCE is set, but huggingface_hub {version()} does not know it"
        yield Finding("note", "Hugging Face token", text)


def _endpoints(found: settings.Settings) -> Iterator[Finding]:
    if found.offline:
        yield Finding("note", "network", f"not used ({found.origin('offline')})")
        return
    network = Network(found)
    urls = (network.hub + "/", "https://raw.githubusercontent.com/", "https://api.github.com/")
    for url in dict.fromkeys(map(network.rewrite, urls)):
        try:
            answer = network.request(url, method="HEAD", patience=0, follow=False)
            yield Finding("ok", host_of(url), f"answers (HTTP {answer.status})")
        except Failure as failure:
            text = failure.message.removeprefix(f"{host_of(url)}: ")
            yield Finding("note", host_of(url), f"{text}; {failure.hint}".strip("; "))


@click.command("doctor")
@common.json_option
def command(as_json: bool) -> int:
    """Check what on this machine could get in the way: tools, disk, tokens, endpoints, GPU.

    Notes are fine where a mirror serves; only a disk that cannot be written is an error (exit 9).
    """
    root = find_root(Path.cwd())
    found = settings.load(root)
    keep_secrets(found)
    findings = [
        *_tools(),
        *_disks(found, root),
        *_hub_cache(found, root),
        *_tokens(found),
        *_endpoints(found),
    ]
    bad = [finding for finding in findings if finding.level == "bad"]
    if as_json:
        answer = envelope.Answer({"root": str(root)})
        answer.results = [finding._asdict() for finding in findings]
        answer.problems = [_problem(finding) for finding in bad]
        envelope.print_json(answer)
        return answer.exit_code
    for finding in findings:
        print(f"{finding.level:<5} {finding.subject}: {finding.text}")
    return 9 if bad else 0


def _problem(finding: Finding) -> Problem:
    return Problem("permission", f"{finding.subject}: {finding.text}")
