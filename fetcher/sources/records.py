"""Records of research data: Zenodo, figshare, and every Dataverse, by their DOIs.

All three tell names, sizes and digests of a record's files. What a DOI leads to is asked of
doi.org.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from fetcher.errors import Failure
from fetcher.fs import published
from fetcher.i18n import t
from fetcher.network.session import Network, Response
from fetcher.network.urls import joined, origin_of
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
    sound_size,
)
from fetcher.sources.git_fields import path_complaint
from fetcher.sources.pages import Pages
from fetcher.yamldoc.json_fields import JsonFields
from fetcher.yamldoc.schema import Field, Text

_DOI = r"10\.\d{4,9}/[^\s?#]{1,200}"
_ZENODO = re.compile(r"10\.5281/zenodo\.(\d{1,12})", re.I)
_FIGSHARE = re.compile(r"10\.6084/m9\.figshare\.(\d{1,12})(?:\.v(\d{1,4}))?", re.I)
_RECORD_PAGE = re.compile(r"/(?:api/)?records?/(\d{1,12})(?:/files/([^/]+)(?:/content)?)?/?")
_ARTICLE_PAGE = re.compile(r"/articles/(?:[^/]+/){0,2}(\d{1,12})(?:/(\d{1,4}))?/?")
_HEX = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_PER_PAGE = 1000
_PATH = Field(Text(check=path_complaint), t("one file of the record"))


class _Record(NamedTuple):
    """A record as its service lists it: each file with the address of its bytes."""

    revision: str
    said_by: str
    files: Mapping[str, tuple[FileEntry, str]]


class RecordSource(Source):
    """What the sources share that are records: `path` names one file of it, if any."""

    path: str

    def resolve(self, request: Request, network: Network) -> Resolved:
        """One call for the record; one for each page of a long list. Raises Failure."""
        record = self._listed(network)
        entries = {name: entry for name, (entry, _) in record.files.items()}
        if self.path in entries:
            entries = {self.path: entries[self.path]}
        elif self.path:
            request = request._replace(files=(self.path,))
        return Resolved(
            record.revision, choose(entries, request, self.describe()), said_by=record.said_by
        )

    def admits(self, revision: str) -> bool:
        """A record's number or version; a DOI may stand for its latest."""
        return bool(re.fullmatch(r"[\w.]{1,30}", revision))

    def check_access(self, network: Network) -> bool:
        """Ask for the record."""
        self._listed(network)
        return True

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The file's address in the record, which is asked for once in a run."""
        return [DeferredCandidate(self.type, lambda net: self._prepared(file, net))]

    def _prepared(self, file: FileEntry, network: Network) -> UrlCandidate:
        files = self._listed(network).files
        found = files.get(self.path or file.path)
        if found is None:
            text = t("{source} has no {path}", source=self.describe(), path=file.path)
            raise Failure("missing-upstream", text)
        hint = browser_candidate(self.type, self.page(network), file.path).manual_hint
        return UrlCandidate(self.type, found[1], manual_hint=hint)

    def _listed(self, network: Network) -> _Record:
        return network.once(self.describe(), lambda: self._read(network), links=True)

    def _read(self, network: Network) -> _Record:
        """The record, asked of its service. Raises Failure."""
        raise NotImplementedError


@dataclass(frozen=True)
class Zenodo(RecordSource):
    """`zenodo:RECORD`, `zenodo:RECORD:file`."""

    record: str
    path: str = ""

    type: ClassVar[str] = "zenodo"
    fields: ClassVar[dict[str, Field]] = {
        "record": Field(Text(r"\d{1,12}", t("a record's number")), t("a record's number"), True),
        "path": _PATH,
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`RECORD[:file]`."""
        record, _, path = text.partition(":")
        if not re.fullmatch(r"\d{1,12}", record):
            raise ValueError(t("expected zenodo:RECORD, with :file if wanted"))
        return {"record": record, "path": path} if path else {"record": record}

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """The record of a page, or a file of it by its link."""
        found = _RECORD_PAGE.fullmatch(urlsplit(url).path)
        if not found:
            return None
        path = {"path": unquote(found[2])} if found[2] else {}
        return {"record": found[1], **path}

    def describe(self) -> str:
        """The short form."""
        return f"zenodo:{self.record}:{self.path}" if self.path else f"zenodo:{self.record}"

    def page(self, network: Network) -> str:
        """The record's page."""
        return f"https://zenodo.org/records/{self.record}"

    def _read(self, network: Network) -> _Record:
        return _zenodo(self, self.record, network)


@dataclass(frozen=True)
class Doi(RecordSource):
    """`doi:10.…`: a record of Zenodo, figshare or a Dataverse."""

    doi: str
    path: str = ""

    type: ClassVar[str] = "doi"
    fields: ClassVar[dict[str, Field]] = {
        "doi": Field(Text(_DOI, t("a DOI such as 10.5281/zenodo.123")), t("the DOI"), True),
        "path": _PATH,
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """The DOI itself."""
        if not re.fullmatch(_DOI, text):
            raise ValueError(t("expected doi:10.…/…"))
        return {"doi": text}

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """The DOI of doi.org's address, of a figshare article, or of a Dataverse's page."""
        parts = urlsplit(url)
        host, path = (parts.hostname or "").lower(), unquote(parts.path)
        if host in {"doi.org", "dx.doi.org"}:
            return {"doi": path[1:]} if re.fullmatch(_DOI, path[1:]) else None
        if host == "figshare.com":
            found = _ARTICLE_PAGE.fullmatch(path)
            version = f".v{found[2]}" if found and found[2] else ""
            return {"doi": f"10.6084/m9.figshare.{found[1]}{version}"} if found else None
        named = parse_qs(parts.query).get("persistentId", [""])[0].removeprefix("doi:")
        return {"doi": named} if re.fullmatch(_DOI, named) else None

    def describe(self) -> str:
        """The short form."""
        return f"doi:{self.doi} {self.path}".rstrip()

    def page(self, network: Network) -> str:
        """What the DOI leads to."""
        return f"https://doi.org/{self.doi}"

    def _read(self, network: Network) -> _Record:
        if found := _ZENODO.fullmatch(self.doi):
            return _zenodo(self, found[1], network)
        if found := _FIGSHARE.fullmatch(self.doi):
            return _figshare(self, found[1], found[2] or "", network)
        landing = self._landing(network)
        parts = urlsplit(landing)
        if named := parse_qs(parts.query).get("persistentId"):
            return _dataverse(self, f"{parts.scheme}://{parts.netloc}", named[0], network)
        host = (parts.hostname or "").lower()
        if host.endswith("figshare.com") and (found := _ARTICLE_PAGE.fullmatch(parts.path)):
            return _figshare(self, found[1], found[2] or "", network)
        if host == "zenodo.org" and (found := _RECORD_PAGE.fullmatch(parts.path)):
            return _zenodo(self, found[1], network)
        raise Failure(
            "refused",
            t("{source} leads to {host}, whose records are not known", source=self.describe(),
              host=host or "?"),
            t("give the files' own addresses as sources of type url"),
        )  # fmt: skip

    def _landing(self, network: Network) -> str:
        """The page that the DOI leads to; a Dataverse's first step names its host."""
        url = f"https://doi.org/{quote(self.doi, safe='/')}"
        for _ in range(5):
            answer = network.request(url, method="HEAD", follow=False)
            location = answer.headers.get("location", "")
            if answer.status not in {301, 302, 303, 307, 308} or not location:
                if url.startswith("https://doi.org/"):
                    raise _failure(self, answer, network)
                return url
            url = joined(url, location)
            if "persistentId=" in url or _ARTICLE_PAGE.fullmatch(urlsplit(url).path):
                return url
        return url


def _failure(source: Source, answer: Response, network: Network) -> Failure:
    """An error status of a record's service, in words, with the page to visit."""
    page = source.page(network)
    if answer.status in {404, 410}:
        text = t("{source} is not there", source=source.describe())
        return Failure("not-found", text, t("check it at {page}", page=page))
    if answer.status in {401, 403}:
        return _closed(source, page)
    text = t("{source}: HTTP {status}", source=source.describe(), status=answer.status)
    return Failure("network", text)


def _closed(source: Source, page: str) -> Failure:
    return Failure(
        "auth",
        t("{source} is not open", source=source.describe()),
        t("ask for access at {page}, download it there, then: fetch adopt", page=page),
    )


def _json(source: Source, url: str, network: Network) -> JsonFields:
    answer = network.get_json(url)
    if answer.status != 200:
        raise _failure(source, answer, network)
    return JsonFields.of(answer.json())


def _entry(source: Source, name: object, size: object, digests: dict[str, str]) -> FileEntry:
    """One file of a listing, checked. Raises Failure."""
    if not isinstance(name, str) or not sound_size(size):
        text = t(
            "{source}: wrong entry for {path} in the listing",
            source=source.describe(),
            path=shown(name),
        )
        raise Failure("refused", text)
    md5, sha256 = digests.get("md5"), digests.get("sha256")
    return FileEntry(name, size, sha256, md5=md5, published=published.strongest(digests))


def _digests(text: object, kind: str = "") -> dict[str, str]:
    """A digest by its kind, from `md5:…` or hex alone; {} if it is none."""
    if not isinstance(text, str):
        return {}
    named, _, digest = text.lower().rpartition(":")
    known = _HEX.get(len(digest)) if re.fullmatch(r"[0-9a-f]+", digest) else None
    stated = (named or kind).lower().replace("-", "")
    return {known: digest} if known and stated in {"", known} else {}


def _checked(source: Source, url: object, base: str, network: Network) -> str:
    """An address from a listing: https stays https. Raises Failure."""
    if not isinstance(url, str):
        raise Failure("refused", t("{source}: a file has no address", source=source.describe()))
    network.redirected(network.rewrite(base), url)
    return url


def _put(
    files: dict[str, tuple[FileEntry, str]], entry: FileEntry, url: str, source: Source
) -> None:
    if files.setdefault(entry.path, (entry, url)) != (entry, url):
        text = t("{source} lists {path} twice", source=source.describe(), path=shown(entry.path))
        raise Failure("refused", text)


def _zenodo(source: Source, record: str, network: Network) -> _Record:
    base = "https://zenodo.org/api"
    found = _json(source, f"{base}/records/{record}", network)
    number = str(found.whole("id") or found.text("id") or record)
    listed = found.get("files")
    if not isinstance(listed, list):
        raise _closed(source, source.page(network))
    files: dict[str, tuple[FileEntry, str]] = {}
    for item in found.objects("files"):
        name = item.get("key") or item.get("filename")
        entry = _entry(source, name, item.get("size"), _digests(item.get("checksum")))
        url = f"{base}/records/{quote(number)}/files/{quote(entry.path, safe='')}/content"
        _put(files, entry, url, source)
    return _Record(number, asked(base), files)


def _figshare(source: Source, article: str, version: str, network: Network) -> _Record:
    base = "https://api.figshare.com/v2"
    tail = f"/versions/{version}" if version else ""
    found = _json(source, f"{base}/articles/{article}{tail}", network)
    number = version or str(found.whole("version") or 1)
    files: dict[str, tuple[FileEntry, str]] = {}
    pages, page = Pages(source.describe()), 1
    while True:
        query = f"page={page}&page_size={_PER_PAGE}"
        answer = network.get_json(f"{base}/articles/{article}/files?{query}")
        if answer.status != 200:
            raise _failure(source, answer, network)
        listed: Any = answer.json()
        items = [JsonFields.of(item) for item in listed] if isinstance(listed, list) else []
        pages.add(len(items), hashlib.sha256(answer.body).digest())
        for item in items:
            digests = _digests(item.get("computed_md5") or item.get("supplied_md5"), "md5")
            entry = _entry(source, item.get("name"), item.get("size"), digests)
            _put(files, entry, _checked(source, item.get("download_url"), base, network), source)
        if len(items) < _PER_PAGE:
            return _Record(number, asked(base), files)
        page += 1


def _dataverse(source: Source, host: str, named: str, network: Network) -> _Record:
    origin_of(host)
    url = f"{host}/api/datasets/:persistentId/?persistentId={quote(named, safe='')}"
    latest = _json(source, url, network).object("data").object("latestVersion")
    files: dict[str, tuple[FileEntry, str]] = {}
    for item in latest.objects("files"):
        data = item.object("dataFile")
        folder, checksum = item.text("directoryLabel"), data.object("checksum")
        # A table is kept in another form; what was uploaded is what the publisher means.
        table = data.text("originalFileName")
        name = table or data.text("filename") or item.text("label")
        size = data.get("originalFileSize") if table else data.get("filesize")
        digests = _digests(checksum.get("value"), checksum.text("type")) or _digests(
            data.get("md5"), "md5"
        )
        path = f"{folder.strip('/')}/{name}" if folder else name
        entry = _entry(source, path, size, digests)
        number = data.get("id")
        if not sound_size(number):
            raise Failure("refused", t("{source}: a file has no id", source=source.describe()))
        place = f"{host}/api/access/datafile/{number}{'?format=original' if table else ''}"
        _put(files, entry, place, source)
    version = f"{latest.whole('versionNumber')}.{latest.whole('versionMinorNumber')}"
    return _Record(version, asked(host), files)
