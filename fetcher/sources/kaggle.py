"""Datasets and models on Kaggle: single files by its list, or all of a version as one archive.

Many are open; those that want an account, or that their terms are agreed to, get the person's login
(`fetcher.network.kaggle_login`), which goes to Kaggle alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

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
    asked,
    below,
    browser_candidate,
    choose,
    from_top,
    shown,
    sound_size,
)
from fetcher.sources.git_fields import PATH_FIELD
from fetcher.sources.pages import Pages
from fetcher.yamldoc.json_fields import JsonFields
from fetcher.yamldoc.schema import Boolean, Field, Text

if TYPE_CHECKING:
    from fetcher.yamldoc.nodes import Document, Node
    from fetcher.yamldoc.schema import Values

_SITE = "https://www.kaggle.com"
_API = f"{_SITE}/api/v1"
_SLUG = r"[A-Za-z0-9_](?:(?!\.\.)[\w.-]){0,99}"
_DATASET = rf"{_SLUG}/{_SLUG}"
_MODEL = rf"{_SLUG}/{_SLUG}/{_SLUG}/{_SLUG}"  # owner/model/framework/variation
_VERSION = r"\d{1,9}"
_PER_PAGE = "200"
# An older form of a model's page.
_LONG_PAGE = re.compile(r"^([^/]+/[^/]+)/frameworks/([^/]+)/variations/([^/]+)")


@dataclass(frozen=True)
class Kaggle(Source):
    """`kaggle:owner/dataset@version:path`, `kaggle:models/owner/model/framework/variation@…`."""

    repo: str
    repo_type: str = "dataset"
    revision: str = ""
    path: str = ""
    archive: bool = False

    type: ClassVar[str] = "kaggle"
    fields: ClassVar[dict[str, Field]] = {
        "repo": Field(
            Text(rf"{_MODEL}|{_DATASET}", t("owner/dataset, or owner/model/framework/variation")),
            t("owner/dataset, or owner/model/framework/variation"),
            required=True,
        ),
        "repo_type": Field(Text(choices=("dataset", "model")), t("kind of repository")),
        "revision": Field(Text(_VERSION, t("a version's number")), t("version; else the latest")),
        "path": PATH_FIELD,
        "archive": Field(Boolean(), t("all files of the version as the archive that Kaggle packs")),
    }

    @classmethod
    def check_fields(cls, node: Node, values: Values, document: Document) -> bool:
        """A model's name has four parts, a dataset's two; an archive has no path."""
        wanted = _MODEL if values.get("repo_type") == "model" else _DATASET
        if misnamed := not re.fullmatch(wanted, values["repo"]):
            document.problem(
                node,
                t("{repo!r} is no name of a {kind}", repo=values["repo"],
                  kind=values.get("repo_type", "dataset")),
                t("a dataset is owner/name; a model owner/model/framework/variation, with "
                  "`repo_type: model`"),
            )  # fmt: skip
        if clash := bool(values.get("archive") and values.get("path")):
            document.problem(
                node,
                t("'archive' and 'path' exclude each other"),
                t("choose members with `unpack`"),
            )
        return not (misnamed or clash)

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`[datasets/]owner/name[@version][:path]`, `models/…/variation[@version][:path]`."""
        tail = rf"(?:@({_VERSION}))?(?::(\S+))?"
        found = re.fullmatch(rf"models/({_MODEL}){tail}", text)
        kind = "model" if found else "dataset"
        found = found or re.fullmatch(rf"(?:datasets/)?({_DATASET}){tail}", text)
        if not found:
            raise ValueError(t("expected kaggle:owner/dataset, or "
                               "kaggle:models/owner/model/framework/variation"))  # fmt: skip
        given = {"repo": found[1], "repo_type": kind, "revision": found[2], "path": found[3]}
        return {name: value for name, value in given.items() if value}

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """A dataset's or model's page, where `?select=` names a file, or a file of the API's.

        The API's address of all files is no more than that of an archive: a URL.
        """
        parts = urlsplit(url)
        path = unquote(parts.path).strip("/")
        query = parse_qs(parts.query)
        if path.startswith("api/"):
            file = re.fullmatch(rf"api/v1/datasets/download/({_DATASET})/(.+)", path)
            version = query.get("datasetVersionNumber", [""])[0]
            given = {"repo": file[1], "path": file[2], "revision": version} if file else {}
            return {name: value for name, value in given.items() if value} or None
        kind, _, rest = path.partition("/")
        rest = _LONG_PAGE.sub(r"\1/\2/\3", rest)
        if kind == "datasets":
            found = re.match(rf"({_DATASET})(?:/versions/({_VERSION}))?(?:/|$)", rest)
        elif kind == "models":
            found = re.match(rf"({_MODEL})(?:/(?:versions/)?({_VERSION}))?(?:/|$)", rest)
        else:
            return None
        if not found and kind == "models" and "/" in rest:
            raise ValueError(
                t("names no version of a model: open it, and choose a framework and a variation")
            )
        if not found:
            raise ValueError(t("is a web page, and not that of a dataset or model"))
        given = {"repo": found[1], "repo_type": kind.removesuffix("s"), "revision": found[2],
                 "path": query.get("select", [""])[0].replace("+", " ")}  # fmt: skip
        return {name: value for name, value in given.items() if value}

    def describe(self) -> str:
        """The short form."""
        kind = "models/" if self.repo_type == "model" else ""
        version = f"@{self.revision}" if self.revision else ""
        path = f":{self.path}" if self.path else ""
        return f"kaggle:{kind}{self.repo}{version}{path}" + (" archive" if self.archive else "")

    def page(self, network: Network) -> str:
        """The page of the dataset or model."""
        return f"{_SITE}/{self.repo_type}s/{self.repo}"

    def pinned_revision(self) -> str:
        """The version, if one is stated."""
        return self.revision

    def admits(self, revision: str) -> bool:
        """The version that is stated, else any."""
        if self.revision:
            return revision == self.revision
        return bool(re.fullmatch(_VERSION, revision))

    def beside(self) -> Source:
        """The folder of a file that `path` names."""
        folder = self.path.rpartition("/")[0] if has_ending(self.path) else self.path
        return replace(self, path=folder, archive=False)

    @property
    def packs_anew(self) -> bool:
        """The archive of a version."""
        return self.archive

    # Listing

    def resolve(self, request: Request, network: Network) -> Resolved:
        """One call for the latest version, one for each page of its list. Raises Failure."""
        version = self.revision or self._latest(network)
        if self.archive:
            ending = "tar.gz" if self.repo_type == "model" else "zip"
            name = f"{self.repo.rpartition('/')[2]}.{ending}"
            entries = {name: FileEntry(name)}
        else:
            entries = self._listed(version, network)
        files = choose(entries, request, self.describe())
        return Resolved(version, files, said_by=asked(_API))

    def _latest(self, network: Network) -> str:
        model = self.repo_type == "model"
        url = f"{_API}/models/{self.repo}/get" if model else f"{_API}/datasets/view/{self.repo}"
        told = self._json(url, network)
        number = told.whole("versionNumber") if model else told.whole("currentVersionNumber")
        if not number:
            text = t("{source}: Kaggle names no version", source=self.describe())
            raise Failure("refused", text, t("give the source a `revision`"))
        return str(number)

    def _json(self, url: str, network: Network) -> JsonFields:
        answer = network.get_json(url)
        if answer.status != 200:
            raise self._failure(answer, network)
        return JsonFields.of(answer.json())

    def _failure(self, answer: Response, network: Network) -> Failure:
        page = self.page(network)
        if answer.status in {401, 403}:
            sent = network.sends_login(network.rewrite(_API))
            text = t("{source}: Kaggle does not let you in", source=self.describe())
            login = t(
                "log in at {page}, agree to its terms if it has any; make a key in your account's "
                "settings, and set KAGGLE_USERNAME and KAGGLE_KEY",
                page=page,
            )
            agree = t(
                "open {page} with the account of your key: it may have terms to agree to",
                page=page,
            )
            return Failure("auth", text, agree if sent else login)
        if answer.status == 404:
            text = t("{source} is not there, or is private", source=self.describe())
            return Failure("not-found", text, t("check name and version at {page}", page=page))
        text = t("{source}: HTTP {status}", source=self.describe(), status=answer.status)
        return Failure("network", text)

    def _listed(self, version: str, network: Network) -> dict[str, FileEntry]:
        entries: dict[str, FileEntry] = {}
        pages = Pages(self.describe())
        for page in self._pages(version, network):
            names = []
            for item in page:
                name = item.text("name")
                names.append(name)
                size = item.get("totalBytes") if "totalBytes" in item.values else item.get("size")
                size = int(size) if isinstance(size, str) and size.isdecimal() else size
                if not name or not (size is None or sound_size(size)):
                    raise self._wrong(item.get("name"))
                relative = below(self.path, name.lstrip("/"))
                if relative is None:
                    continue
                entry = FileEntry(relative, size if sound_size(size) else None)
                if entries.setdefault(relative, entry) != entry:
                    raise self._wrong(name)
            pages.add(len(names), (names[0], names[-1]) if names else None)
        return entries

    def _wrong(self, what: object) -> Failure:
        text = t(
            "{source}: wrong entry for {path} in the listing",
            source=self.describe(),
            path=shown(what),
        )
        return Failure("refused", text)

    def _pages(self, version: str, network: Network) -> Iterator[Iterator[JsonFields]]:
        model = self.repo_type == "model"
        query = {"pageSize": _PER_PAGE}
        if not model:
            query["datasetVersionNumber"] = version
        tail = f"models/{self.repo}/{version}/files" if model else f"datasets/list/{self.repo}"
        token, seen = "", set[str]()
        while True:
            more = {"pageToken": token} if token else {}
            told = self._json(f"{_API}/{tail}?{urlencode({**query, **more})}", network)
            key = "files" if model else "datasetFiles"
            if not isinstance(told.get(key), list):
                text = t("{source}: Kaggle's listing has no files", source=self.describe())
                raise Failure("refused", text)
            yield told.objects(key)
            token = told.text("nextPageToken")
            if not token:
                return
            if token in seen:
                raise Failure(
                    "refused", t("{source}: the listing never ends", source=self.describe())
                )
            seen.add(token)

    # Bytes

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The file's address at the version, or that of all files as one."""
        version = revision or self.revision
        name = "" if self.archive else f"/{quote(from_top(self.path, file.path))}"
        if self.repo_type == "model":
            url = f"{_API}/models/{self.repo}/{version}/download{name}"
        else:
            query = f"?datasetVersionNumber={version}" if version else ""
            url = f"{_API}/datasets/download/{self.repo}{name}{query}"
        hint = browser_candidate(self.type, self.page(network), file.path).manual_hint
        return [UrlCandidate(self.type, url, manual_hint=hint)]

    def check_access(self, network: Network) -> bool:
        """Ask for the list's first page."""
        next(self._pages(self.revision or self._latest(network), network), None)
        return True
