"""Package URLs (purl) of artifacts and files, as the purl specification writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from fetcher.network.urls import public_url
from fetcher.project.lockfile import LockedArtifact
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace

_KEPT = {"checksum": ":,"}
_GITHUB = "github.com"
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")


def of_artifact(artifact: Artifact, locked: LockedArtifact) -> str:
    """The purl of an artifact at its locked revision: huggingface, github, else generic."""
    source = artifact.source
    if isinstance(source, HuggingFace):
        kind = "" if source.repo_type == "model" else f"{source.repo_type}s/"
        return _purl("huggingface", kind + source.repo, locked.revision.lower(), {}, source.path)
    if isinstance(source, GitHub) and source.host == _GITHUB:
        version = source.release or locked.revision
        return _purl("github", source.repo.lower(), version, {}, source.path)
    alone = locked.source_files[0] if len(locked.source_files) == 1 else None
    facts = {"checksum": checksum(alone), "download_url": download_url(artifact)}
    return _purl("generic", artifact.id, locked.revision, facts)


def of_repository(repo: str) -> str:
    """The purl of a model on the Hub that is known by its name alone."""
    return _purl("huggingface", repo, "", {})


def checksum(file: FileEntry | None) -> str:
    """A file's digests as a purl has them, "" without any."""
    if file is None:
        return ""
    found = {"sha256": file.sha256, "md5": file.md5}
    kind, _, digest = (file.published or "").partition(":")
    if kind in {"sha1", "sha512"}:
        found[kind] = digest
    return ",".join(sorted(f"{kind}:{digest}" for kind, digest in found.items() if digest))


def download_url(artifact: Artifact) -> str:
    """The address that the source itself is, without login and query; "" if it is none."""
    return address(artifact.source.describe())


def address(text: str) -> str:
    """A web address as any reader takes it, without login and query; "" for what is none."""
    if not text.startswith(("http://", "https://", "ftp://")):
        return ""
    try:
        parts = urlsplit(public_url(text))
    except ValueError:
        return ""
    plain = _STRAY_PERCENT.sub("%25", parts.path)
    path = quote(plain, safe="/%!$&'()*+,;=:@~", errors="replace")
    return f"{parts.scheme}://{parts.netloc}{path}" if _HOST.fullmatch(parts.netloc) else ""


def _purl(
    kind: str, name: str, version: str, qualifiers: Mapping[str, str], subpath: str = ""
) -> str:
    found = f"pkg:{kind}/{quote(name, safe='/')}"
    if version := version.strip():  # readers do
        found += f"@{quote(version, safe=':')}"
    pairs = [
        f"{key}={quote(value, safe=_KEPT.get(key, '/:'))}"
        for key, value in sorted(qualifiers.items())
        if value
    ]
    if pairs:
        found += f"?{'&'.join(pairs)}"
    return f"{found}#{quote(subpath.strip('/'), safe='/')}" if subpath.strip("/") else found
