"""Buckets of the Hugging Face Hub: objects without revisions, kept in Xet storage.

A bucket's list tells sizes, but no digest of a file's bytes: the first download is locked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import quote, unquote

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.disposition import has_ending
from fetcher.network.session import Network, Response
from fetcher.sources.base import (
    Candidate,
    FileEntry,
    Request,
    Resolved,
    Source,
    UrlCandidate,
    XetCandidate,
    asked,
    below,
    choose,
    from_top,
    shown,
    sound_size,
)
from fetcher.sources.git_fields import PATH_FIELD
from fetcher.sources.huggingface import XET_LEAST
from fetcher.sources.pages import Pages, next_link
from fetcher.yamldoc.json_fields import JsonFields
from fetcher.yamldoc.schema import Field, Text

_NAME = r"[A-Za-z0-9](?:(?!--|\.\.)[\w.-]){0,95}"
_BUCKET = rf"{_NAME}/{_NAME}"
# What a bucket is called in a short form, and in a page's address.
PREFIX = "buckets"


@dataclass(frozen=True)
class HubBucket(Source):
    """`hf:buckets/owner/name[:path]`."""

    bucket: str
    path: str = ""

    type: ClassVar[str] = "hf-bucket"
    fields: ClassVar[dict[str, Field]] = {
        "bucket": Field(
            Text(_BUCKET, t("a bucket such as owner/name")), t("owner/name"), required=True
        ),
        "path": PATH_FIELD,
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`[buckets/]owner/name[:path]`."""
        found = re.fullmatch(rf"(?:{PREFIX}/)?({_BUCKET})(?::(\S+))?", text)
        if not found:
            raise ValueError(t("expected hf:buckets/owner/name, with :path if wanted"))
        return {"bucket": found[1], **({"path": found[2]} if found[2] else {})}

    @classmethod
    def of_page(cls, segments: list[str]) -> dict[str, str] | None:
        """Fields of a page's path after `buckets`, in segments; None for none of a bucket."""
        bucket, rest = "/".join(segments[:2]), segments[2:]
        if not re.fullmatch(_BUCKET, bucket) or (
            rest and rest[0] not in {"tree", "resolve", "blob"}
        ):
            return None
        # One segment may be a whole path, percent-encoded.
        return {"bucket": bucket, "path": unquote("/".join(rest[1:]))}

    def describe(self) -> str:
        """The short form."""
        return f"hf:{PREFIX}/{self.bucket}" + (f":{self.path}" if self.path else "")

    def page(self, network: Network) -> str:
        """The bucket's page."""
        return f"{asked(network.hub)}/{PREFIX}/{self.bucket}"

    def admits(self, revision: str) -> bool:
        """There are no revisions."""
        return not revision

    def beside(self) -> Source:
        """The folder of a file that `path` names."""
        folder = self.path.rpartition("/")[0] if has_ending(self.path) else self.path
        return replace(self, path=folder)

    def _api(self, network: Network) -> str:
        return f"{network.hub}/api/{PREFIX}/{self.bucket}"

    def resolve(self, request: Request, network: Network) -> Resolved:
        """One call for a file, one for each page of a list. Raises Failure."""
        entries = self._file(network) if has_ending(self.path) else {}
        entries = entries or self._listed(network)
        return Resolved("", choose(entries, request, self.describe()), said_by=asked(network.hub))

    def _file(self, network: Network) -> dict[str, FileEntry]:
        """The file that `path` is; {} where it is none, or the Hub does not tell."""
        answer = network.request(
            f"{self._api(network)}/paths-info",
            method="POST",
            headers=[("Content-Type", "application/json"), ("Accept", "application/json")],
            data=json.dumps({"paths": [self.path]}).encode(),
        )
        listed = answer.json() if answer.status == 200 else None
        return self._entries(listed) if isinstance(listed, list) else {}

    def _listed(self, network: Network) -> dict[str, FileEntry]:
        entries: dict[str, FileEntry] = {}
        for page in self._pages(network):
            for name, entry in self._entries(page).items():
                if entries.setdefault(name, entry) != entry:
                    raise self._wrong(entry.path)
        return entries

    def _pages(self, network: Network) -> Iterator[list[object]]:
        prefix = "/" + quote(self.path, safe="") if self.path else ""
        url, seen = f"{self._api(network)}/tree{prefix}?recursive=true", set[str]()
        pages = Pages(self.describe())
        while url not in seen:
            seen.add(url)
            answer = network.get_json(url)
            if answer.status != 200:
                raise self._failure(answer, network)
            listed = answer.json()
            if not isinstance(listed, list):
                text = t("{source}: the Hub's listing is no list", source=self.describe())
                raise Failure("refused", text)
            pages.add(len(listed), hashlib.sha256(answer.body).digest())
            yield listed
            url = next_link(answer, network, self.describe())
            if not url:
                return
        raise Failure("refused", t("{source}: the listing never ends", source=self.describe()))

    def _entries(self, page: list[object]) -> dict[str, FileEntry]:
        found: dict[str, FileEntry] = {}
        for item in page:
            told = JsonFields.of(item)
            if told.text("type") == "directory":
                continue
            path, size = told.text("path"), told.get("size")
            if told.text("type") != "file" or not path or not sound_size(size):
                raise self._wrong(told.get("path"))
            relative = below(self.path, path)
            if relative is not None and found.setdefault(
                relative, entry := FileEntry(relative, size)
            ) != entry:  # fmt: skip
                raise self._wrong(path)
        return found

    def _wrong(self, what: object) -> Failure:
        text = t(
            "{source}: wrong entry for {path} in the listing",
            source=self.describe(),
            path=shown(what),
        )
        return Failure("refused", text)

    def _failure(self, answer: Response, network: Network) -> Failure:
        page, status = self.page(network), answer.status
        if status in {401, 403, 404}:
            code = "not-found" if status == 404 else "auth"
            if answer.headers.get("x-error-code") == "EntryNotFound":
                text = t("{source}: no such folder or file", source=self.describe())
                return Failure("missing-upstream", text)
            text = t("{source} does not exist, or is private", source=self.describe())
            hint = t("see {page}; if it is private, set HF_TOKEN or run `hf auth login`", page=page)
            return Failure(code, text, hint)
        text = t("{source}: the Hub answered HTTP {status}", source=self.describe(), status=status)
        return Failure("network", text, t("try again later"))

    def check_access(self, network: Network) -> bool:
        """Ask for the bucket itself."""
        answer = network.get_json(self._api(network))
        if answer.status != 200:
            raise self._failure(answer, network)
        return True

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The Hub's plain HTTP path; Xet before it, if the person wants that."""
        url = f"{self.page(network)}/resolve/{quote(from_top(self.path, file.path))}"
        found: list[Candidate] = [UrlCandidate(self.type, url)]
        large = (file.size or 0) >= XET_LEAST
        if large and network.settings.xet and not network.settings.limit_rate:
            token_url = f"{self._api(network)}/xet-read-token"
            found.insert(0, XetCandidate("xet", url, token_url))
        return found
