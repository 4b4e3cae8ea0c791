"""Versions of models on Civitai, which tells names and digests of their files.

Some files want a login: the token of CIVITAI_API_TOKEN, which goes to Civitai alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from fetcher.errors import Failure
from fetcher.fs import published
from fetcher.fs.patterns import literal_names
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.network.urls import origin_of
from fetcher.sources.base import (
    Candidate,
    DeferredCandidate,
    FileEntry,
    Request,
    Resolved,
    Source,
    UrlCandidate,
    asked,
    browser_candidate,
    choose,
    shown,
)
from fetcher.yamldoc.json_fields import JsonFields
from fetcher.yamldoc.schema import Field, Text

_SITE = "https://civitai.com"
_LONGEST_KB = 1 << 40
_PATIENCE = 20.0  # seconds: the address of the bytes is known without a listing
_NUMBER = r"\d{1,12}"


@dataclass(frozen=True)
class Civitai(Source):
    """`civitai:VERSION`, the number of a model's version."""

    version: str

    type: ClassVar[str] = "civitai"
    fields: ClassVar[dict[str, Field]] = {
        "version": Field(
            Text(_NUMBER, t("a version's number")),
            t("number of a model's version (modelVersionId)"),
            required=True,
        ),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """The version's number."""
        if not re.fullmatch(_NUMBER, text):
            raise ValueError(t("expected civitai:VERSION, the number of a model's version"))
        return {"version": text}

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """A version's page or download. ValueError for a model's page without a version."""
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        if "token" in query:
            raise ValueError(t("holds a token: set CIVITAI_API_TOKEN instead"))
        found = re.fullmatch(rf"/api/download/models/({_NUMBER})", parts.path)
        version = found[1] if found else query.get("modelVersionId", [""])[0]
        if re.fullmatch(_NUMBER, version):
            return {"version": version}
        if re.match(r"/models/\d", parts.path):
            raise ValueError(
                t("names no version: open it, choose one, and take the address with modelVersionId")
            )
        return None

    def describe(self) -> str:
        """The short form."""
        return f"civitai:{self.version}"

    def admits(self, revision: str) -> bool:
        """A version is its own revision."""
        return revision == self.version

    def pinned_revision(self) -> str:
        """The version."""
        return self.version

    def page(self, network: Network) -> str:
        """The version's page."""
        return f"{_SITE}/model-versions/{self.version}"

    @property
    def _download(self) -> str:
        """The address of the primary file."""
        return f"{_SITE}/api/download/models/{self.version}"

    def resolve(self, request: Request, network: Network) -> Resolved:
        """One call for the version. Without `files`: its primary file. Raises Failure.

        One name that is not listed is what the manifest calls the primary file; with one, nothing
        depends on the listing.
        """
        names = literal_names(request.files, request.exclude)
        own = names[0] if names and len(names) == 1 else ""
        try:
            listed = self._listed(network)
        except Failure as failure:
            if not own or failure.problem.code not in {"network", "not-found"}:
                raise
            listed = {own: (FileEntry(own), self._download, True)}
        entries = {name: entry for name, (entry, _, _) in listed.items()}
        primary = [name for name, (_, _, first) in listed.items() if first]
        if request.files is None and primary:
            entries = {primary[0]: entries[primary[0]]}
        elif own and own not in entries and primary:
            entries = {own: entries[primary[0]]._replace(path=own)}
        files = choose(entries, request, self.describe())
        return Resolved(self.version, files, said_by=asked(_SITE))

    def _listed(self, network: Network) -> dict[str, tuple[FileEntry, str, bool]]:
        return network.once(self.describe(), lambda: self._read(network), links=True)

    def _read(self, network: Network) -> dict[str, tuple[FileEntry, str, bool]]:
        """Each file with its address, and whether it is the primary one. Raises Failure."""
        url = f"{_SITE}/api/v1/model-versions/{self.version}"
        answer = network.request(url, headers=[("Accept", "application/json")], patience=_PATIENCE)
        page = self.page(network)
        if answer.status == 404:
            text = t("{source} is not there", source=self.describe())
            raise Failure("not-found", text, t("check it at {page}", page=page))
        if answer.status in {401, 403}:
            raise self._login(network)
        if answer.status != 200:
            text = t("{source}: HTTP {status}", source=self.describe(), status=answer.status)
            raise Failure("network", text)
        found: dict[str, tuple[FileEntry, str, bool]] = {}
        for item in JsonFields.of(answer.json()).objects("files"):
            name, place = item.text("name"), item.text("downloadUrl")
            if not name or not place or origin_of(place) != origin_of(_SITE) or name in found:
                text = t(
                    "{source}: wrong entry for {path} in the listing",
                    source=self.describe(),
                    path=shown(item.get("name")),
                )
                raise Failure("refused", text)
            found[name] = _entry(item), place, item.get("primary") is True
        return found

    def _login(self, network: Network) -> Failure:
        sent = network.authorization(network.rewrite(_SITE + "/")) is not None
        page = self.page(network)
        hint = (
            t("see {page}: your account may not have it", page=page)
            if sent
            else t("make a key in your account's settings, and set CIVITAI_API_TOKEN; see {page}",
                   page=page)
        )  # fmt: skip
        return Failure("auth", t("{source}: Civitai wants a login", source=self.describe()), hint)

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The address that the version's list gives."""
        return [DeferredCandidate(self.type, lambda net: self._prepared(file, net))]

    def _prepared(self, file: FileEntry, network: Network) -> UrlCandidate:
        try:
            listed = self._listed(network)
        except Failure as failure:
            if failure.problem.code not in {"network", "not-found"}:
                raise
            listed = {}
        url = listed[file.path][1] if file.path in listed else self._download
        # A login is asked for by a redirect to a page: here it can be told as one.
        answer = network.request(url, method="HEAD", follow=False)
        where = answer.headers.get("location", "")
        if answer.status in {401, 403} or re.match(r"(?:https://civitai\.com)?/login\b", where):
            raise self._login(network)
        hint = browser_candidate(self.type, self.page(network), file.path).manual_hint
        return UrlCandidate(self.type, url, manual_hint=hint)

    def check_access(self, network: Network) -> bool:
        """Ask for the version, and for its primary file."""
        for entry, _, primary in self._listed(network).values():
            if primary:
                self._prepared(entry, network)
        return True


def _entry(item: JsonFields) -> FileEntry:
    """One file; its size comes in units of 1024 bytes, with what is behind the point."""
    hashes = {kind.lower(): text for kind, text in item.object("hashes").values.items()}
    digests = {
        kind: str(hashes[kind]).lower()
        for kind, length in (("sha256", 64), ("crc32", 8))
        if re.fullmatch(rf"[0-9A-Fa-f]{{{length}}}", str(hashes.get(kind, "")))
    }
    kilobytes = item.get("sizeKB")
    size = None
    if isinstance(kilobytes, int | float) and 0 < kilobytes < _LONGEST_KB:
        exact = kilobytes * 1024
        size = round(exact) if abs(exact - round(exact)) < 0.01 else None
    sha256 = digests.get("sha256")
    if sha256:  # what is known of the bytes needs no rounded figure
        return FileEntry(item.text("name"), None, sha256)
    stated = published.strongest(digests)
    return FileEntry(item.text("name"), size, size_hint=size is not None, published=stated)
