"""Repositories of models and datasets on ModelScope; its listings give every size and sha256."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, unquote, urlencode, urlsplit

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.sources.base import (
    Candidate,
    FileEntry,
    Request,
    Resolved,
    Source,
    UrlCandidate,
    asked,
    below,
    choose,
    from_top,
    shown,
    sound_size,
)
from fetcher.sources.git_fields import (
    COMMIT,
    PATH_FIELD,
    REVISION_FIELD,
    SHORT_TAIL,
    admits_revision,
    repository_field,
)
from fetcher.sources.pages import Pages
from fetcher.yamldoc.json_fields import JsonFields
from fetcher.yamldoc.schema import Field, Text

_SITE = "https://modelscope.cn"
_NAME = r"[A-Za-z0-9][\w.-]{0,99}"
_REPO = rf"(?!(?:datasets|models)/){_NAME}/{_NAME}"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PER_PAGE = 500


@dataclass(frozen=True)
class ModelScope(Source):
    """`modelscope:owner/name@revision:path`, `modelscope:datasets/owner/name`."""

    repo: str
    repo_type: str = "model"
    revision: str = "master"
    path: str = ""

    type: ClassVar[str] = "modelscope"
    fields: ClassVar[dict[str, Field]] = {
        "repo": repository_field(_REPO),
        "repo_type": Field(Text(choices=("model", "dataset")), t("kind of repository")),
        "revision": REVISION_FIELD,
        "path": PATH_FIELD,
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`[datasets/]owner/name[@revision][:path]`."""
        found = re.fullmatch(rf"(datasets/)?({_REPO}){SHORT_TAIL}", text)
        if not found:
            raise ValueError(
                t("expected modelscope:owner/name, with @revision and :path if wanted")
            )
        kind = "dataset" if found[1] else "model"
        values = {"repo": found[2], "repo_type": kind, "revision": found[3], "path": found[4]}
        return {name: value for name, value in values.items() if value}

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """A repository's page, a folder of it, or one file by its link."""
        segments = [unquote(part) for part in urlsplit(url).path.split("/") if part]
        if segments[:1] not in (["models"], ["datasets"]) or len(segments) < 3:
            return None
        repo, rest = "/".join(segments[1:3]), segments[3:]
        found = {"repo": repo, "repo_type": segments[0].removesuffix("s")}
        if len(rest) > 2 and rest[0] == "resolve":
            return {**found, "revision": rest[1], "path": "/".join(rest[2:])}
        if len(rest) > 3 and rest[:2] in (["file", "view"], ["tree", "view"]):
            return {**found, "revision": rest[2], "path": "/".join(rest[3:])}
        return found

    def describe(self) -> str:
        """The short form."""
        path = f":{self.path}" if self.path else ""
        kind = "" if self.repo_type == "model" else "datasets/"
        return f"modelscope:{kind}{self.repo}@{self.revision}{path}"

    def page(self, network: Network) -> str:
        """The repository's page."""
        return f"{_SITE}/{self.repo_type}s/{self.repo}"

    def pinned_revision(self) -> str:
        """The revision as the manifest has it."""
        return self.revision

    def admits(self, revision: str) -> bool:
        """The revision itself: listings tell of no commit that would pin it."""
        return revision == self.revision or admits_revision(self.revision, revision)

    @property
    def _api(self) -> str:
        return f"{_SITE}/api/v1/{self.repo_type}s/{self.repo}/repo"

    def resolve(self, request: Request, network: Network) -> Resolved:
        """One call for a model, one for each page of a dataset. Raises Failure."""
        entries: dict[str, FileEntry] = {}
        for item in self._listed(network):
            entry = self._entry(item)
            if entry and entries.setdefault(entry.path, entry) != entry:
                text = t(
                    "{source} lists {path} twice", source=self.describe(), path=shown(entry.path)
                )
                raise Failure("refused", text)
        files = choose(entries, request, self.describe())
        return Resolved(self.revision, files, said_by=asked(_SITE))

    def _listed(self, network: Network) -> Iterator[JsonFields]:
        query = {"Revision": self.revision, "Recursive": "true", "Root": ""}
        if self.repo_type == "model":
            yield from self._page(f"{self._api}/files?{urlencode(query)}", network)
            return
        pages, number = Pages(self.describe()), 1
        while True:
            more = {"PageNumber": str(number), "PageSize": str(_PER_PAGE)}
            found = self._page(f"{self._api}/tree?{urlencode({**query, **more})}", network)
            pages.add(len(found), tuple(item.text("Path") for item in found[:1] + found[-1:]))
            yield from found
            if len(found) < _PER_PAGE:
                return
            number += 1

    def _page(self, url: str, network: Network) -> list[JsonFields]:
        answer = network.get_json(url)
        page = self.page(network)
        if answer.status in {401, 403}:
            text = t("{source}: ModelScope wants an account for it", source=self.describe())
            raise Failure("auth", text, t("see {page}", page=page))
        if answer.status in {400, 404}:
            text = t("{source} is not there, or is private", source=self.describe())
            raise Failure("not-found", text, t("check name and revision at {page}", page=page))
        if answer.status != 200:
            text = t("{source}: HTTP {status}", source=self.describe(), status=answer.status)
            raise Failure("network", text)
        told = JsonFields.of(answer.json())
        if not isinstance(told.object("Data").get("Files"), list):
            text = t("{source}: ModelScope's listing has no files", source=self.describe())
            raise Failure("refused", text)
        return list(told.object("Data").objects("Files"))

    def _entry(self, item: JsonFields) -> FileEntry | None:
        if item.text("Type") == "tree":
            return None
        path, size, sha256 = item.text("Path"), item.get("Size"), item.text("Sha256").lower()
        if not path or not sound_size(size) or (sha256 and not _SHA256.fullmatch(sha256)):
            text = t(
                "{source}: wrong entry for {path} in the listing",
                source=self.describe(),
                path=shown(item.get("Path")),
            )
            raise Failure("refused", text)
        relative = below(self.path, path)
        return None if relative is None else FileEntry(relative, size, sha256 or None)

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The file's address at the revision."""
        revision = revision or self.revision
        full = quote(from_top(self.path, file.path))
        url = f"{_SITE}/{self.repo_type}s/{self.repo}/resolve/{quote(revision, safe='')}/{full}"
        return [UrlCandidate(self.type, url, pinned=bool(COMMIT.fullmatch(revision)))]

    def check_access(self, network: Network) -> bool:
        """Ask for its listing's first page."""
        next(iter(self._listed(network)), None)
        return True
