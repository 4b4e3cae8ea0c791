"""Origins as sources of a manifest: which repository, release or folder an address belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.importers.addresses import HUB_HOSTS, file_name, without_idle
from fetcher.importers.document_paths import join
from fetcher.importers.target_tree import FileOrigin, Origin, RepoOrigin
from fetcher.sources.addresses import file_of, source_of
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace

_RELEASE = re.compile(
    r"https?://(?:www\.)?github\.com/([\w.-]+/[\w.-]+)/releases/(?:download/([^/]+)|(latest)/download)/([^/?#]+)"
)


@dataclass(frozen=True)
class Place:
    """A source without the part that names one file.

    `kind` is hub, modelscope, release, git, genforce, folder (of a web server) or file (an address
    for itself).
    """

    kind: str
    address: str
    revision: str = ""
    repo_type: str = ""

    @property
    def label(self) -> str:
        """A name for what comes from there."""
        if self.kind == "file":
            return file_name(self.address) or "model"
        if self.kind == "folder":
            parts = [unquote(part) for part in urlsplit(self.address).path.split("/") if part]
            words = [part for part in parts if not re.fullmatch(r"[\d._-]+|[0-9a-f]{12,}", part)]
            return words[-1] if words else urlsplit(self.address).hostname or "files"
        return self.address.rpartition("/")[2]

    def source(self, path: str = "") -> object:
        """The manifest's `source`; `path` is a folder of a repository."""
        if self.kind in {"file", "folder"}:
            return self.address
        if self.kind == "genforce":
            return {"type": "genforce", "name": self.address}
        if self.kind == "release":
            return {"type": "github", "repo": self.address, "release": self.revision}
        found: dict[str, object]
        if self.kind == "git":
            found = {"type": "github", "repo": self.address}
            if self.revision not in {"", "HEAD"}:
                found["ref"] = self.revision
        else:
            hub = "modelscope" if self.kind == "modelscope" else "huggingface"
            found = {"type": hub, "repo": self.address}
            if self.repo_type not in {"", "model"}:
                found["repo_type"] = self.repo_type
            if self.revision not in {"", "main"}:
                found["revision"] = self.revision
        if path:
            found["path"] = path
        if found.keys() == {"type", "repo"} and self.kind == "hub":
            return f"hf:{self.address}"
        return found


def of_repo(origin: RepoOrigin) -> Place:
    """The place of a repository of the Hub."""
    kind = "hub" if origin.hub == "huggingface" else origin.hub
    revision = "" if origin.revision in {"main", "master"} else origin.revision
    return Place(kind, origin.repo, revision, origin.kind)


def of_file(origin: Origin) -> tuple[Place, str]:
    """(place, the file's path there)."""
    if not isinstance(origin, FileOrigin):
        return of_repo(origin.repo), join(origin.repo.path, origin.path)
    if origin.address.startswith("genforce:"):
        return Place("genforce", origin.address.partition(":")[2]), origin.name
    address = _canonical(origin.address)
    if found := _RELEASE.match(address):
        return Place("release", found[1], unquote(found[2] or "latest")), unquote(found[4])
    try:
        source, name = source_of(address), file_of(address)
    except ValueError:
        source, name = None, ""
    if isinstance(source, HuggingFace) and name:
        revision = "" if source.revision == "main" else source.revision
        return Place("hub", source.repo, revision, source.repo_type), join(source.path, name)
    if isinstance(source, GitHub) and name and "?" not in address:
        return Place("git", source.repo, source.ref), join(source.path, name)
    return _of_web(address, origin.name)


def _of_web(address: str, name: str) -> tuple[Place, str]:
    parts = urlsplit(address)
    folder, _, last = parts.path.rpartition("/")
    try:
        named = file_name(address) and not parts.query
        own = check_relative(unquote(last)) if named else ""
    except BadPath:
        own = ""
    if own and quote(own) == last:
        return Place("folder", urlunsplit((parts.scheme, parts.netloc, folder + "/", "", ""))), own
    return Place("file", address), own or name


def _canonical(address: str) -> str:
    parts = urlsplit(address)
    if (parts.hostname or "").lower() in HUB_HOSTS:
        return without_idle(urlunsplit(parts._replace(scheme="https", netloc="huggingface.co")))
    if (parts.hostname or "").lower() in {
        "github.com",
        "www.github.com",
        "raw.githubusercontent.com",
    }:
        return without_idle(address)
    return address
