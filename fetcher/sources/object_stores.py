"""What the object stores share: one object, or a prefix as a folder; open first, then by login.

Everything is asked for without a login at first. Only what is not open to everyone is asked for
with the person's own, which goes to the store's own host, or to the endpoint that the person set.
"""

from __future__ import annotations

import base64
import binascii
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar, NamedTuple
from urllib.parse import quote

from fetcher.errors import Failure
from fetcher.fs.patterns import literal_names
from fetcher.i18n import t
from fetcher.network.disposition import has_ending
from fetcher.network.session import Network, Response
from fetcher.sources.base import (
    Candidate,
    DeferredCandidate,
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
from fetcher.sources.git_fields import path_complaint
from fetcher.sources.pages import Pages
from fetcher.yamldoc.schema import Field, Text

# Seconds to go on asking about one object: its address is known without an answer.
_PATIENCE = 20.0
_MOST_HEADS = 5_000  # objects of a prefix that are asked for one by one
VERSION = r"[A-Za-z0-9._:+/=-]{1,1024}"
PATH_FIELD = Field(
    Text(check=path_complaint), t("one object, or the prefix that names are relative to")
)


def version_field(what: str) -> Field:
    """The version of one object."""
    return Field(Text(VERSION, t("a version of an object")), what)


class Place(NamedTuple):
    """An address with a login, and the headers that it needs."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()


class Found(NamedTuple):
    """One object as a listing or a HEAD tells of it.

    `version` is "" where there are none; `more`: a HEAD of it tells digests that the list does not.
    """

    entry: FileEntry
    version: str = ""
    more: bool = False


class ObjectStore(Source):
    """One object or all below a prefix. Subclasses know the service's addresses and listings."""

    path: str
    revision: str
    product: ClassVar[str]
    always: ClassVar[tuple[tuple[str, str], ...]] = ()  # headers of each question
    # What is answered to those that are not let in; some say that nothing is there.
    refusals: ClassVar[frozenset[int]] = frozenset({400, 401, 403})

    # What a service has of its own

    @abstractmethod
    def _object(self, key: str, version: str, network: Network) -> str:
        """The address of an object, without a login."""

    @abstractmethod
    def _has_login(self, network: Network) -> bool:
        """Whether the person may have a login for it; nothing is asked."""

    @abstractmethod
    def _signed(self, url: str, method: str, network: Network) -> Place | None:
        """An address with the person's login, None without one. Raises Failure."""

    @abstractmethod
    def _page(self, prefix: str, mark: str, network: Network) -> tuple[list[Found], str | None]:
        """The objects below a prefix from a mark on, by their whole keys, and the mark of the next
        page, None after the last. Raises Failure."""

    @abstractmethod
    def _of_headers(self, key: str, headers: Mapping[str, str]) -> Found:
        """What the answer to a HEAD tells of an object."""

    @abstractmethod
    def _login_hint(self) -> str:
        """How to give a login."""

    @abstractmethod
    def _home(self, network: Network) -> str:
        """The store's address, as a lock has it."""

    # Asking

    def _ask(self, url: str, network: Network, method: str = "GET",
             patience: float | None = None) -> Response:  # fmt: skip
        """The answer without a login, else with one, which follows no redirect. Raises Failure."""
        plain = [("Accept-Encoding", "identity"), *self.always]
        answer = network.request(url, method=method, headers=plain, patience=patience)
        if answer.status in self.refusals and (signed := self._own(url, method, network)):
            headers = [*plain, *signed.headers]
            answer = network.request(
                signed.url, method=method, headers=headers, patience=patience, follow=False
            )
        return answer

    def _may_sign(self, url: str, network: Network) -> bool:
        """Whether there is a login, and the project would not have it go elsewhere."""
        elsewhere = network.rewrite(url) != url and network.settings.is_from_project("rewrite")
        return not elsewhere and self._has_login(network)

    def _own(self, url: str, method: str, network: Network) -> Place | None:
        return self._signed(url, method, network) if self._may_sign(url, network) else None

    def _head(self, key: str, network: Network) -> Found | None:
        """One object, None if nothing is called so. Raises Failure."""
        url = self._object(key, self.revision, network)
        answer = self._ask(url, network, "HEAD", _PATIENCE)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._failure(answer, network)
        return self._of_headers(key, answer.headers)

    def _failure(self, answer: Response, network: Network) -> Failure:
        if answer.status in {401, 403, 409}:
            text = t(
                "{source}: {product} lets nobody in without a login that may read it",
                source=self.describe(),
                product=self.product,
            )
            hint = t("{login}; see {page}", login=self._login_hint(), page=self.page(network))
            return Failure("auth", text, hint)
        if answer.status in {404, 410}:
            text = t("{source} is not there, or is private", source=self.describe())
            hint = t(
                "check it at {page}; if it is private, {login}",
                page=self.page(network),
                login=self._login_hint(),
            )
            return Failure("not-found", text, hint)
        text = t(
            "{source}: {product} answered HTTP {status}",
            source=self.describe(),
            product=self.product,
            status=answer.status,
        )
        return Failure("network", text)

    def _wrong(self, what: object) -> Failure:
        text = t(
            "{source}: wrong entry for {path} in the listing",
            source=self.describe(),
            path=shown(what),
        )
        return Failure("refused", text)

    def _no_listing(self, why: object) -> Failure:
        text = t("{source}: the listing cannot be read: {why}", source=self.describe(), why=why)
        return Failure("refused", text)

    # Listing

    def resolve(self, request: Request, network: Network) -> Resolved:
        """One HEAD for an object, one call for each page of a prefix. Raises Failure.

        One object is called as the manifest has it. One whose HEAD has no answer is one all the
        same where its name has an ending: the transfer tells.
        """
        name = self.path.rpartition("/")[2]
        refused: Failure | None = None
        if self.path:
            try:
                one = self._head(self.path, network)
            except Failure as failure:
                if failure.problem.code not in {"network", "auth"}:
                    raise
                refused, one = failure, None
            if one is not None:
                return self._alone(one, request, network)
            if refused and refused.problem.code == "network" and has_ending(name):
                return self._alone(Found(FileEntry(name)), request, network)
        if self.revision and not refused:
            raise self._failure(Response(404, {}, b"", ""), network)
        try:
            entries, more = self._below(network)
        except Failure as failure:
            if refused is None or failure.problem.code != "auth":
                raise
            raise refused from None
        if not entries and refused:
            raise refused
        chosen = choose(entries, request, self.describe())
        if more:
            with ThreadPoolExecutor(8) as pool:
                closer = pool.map(lambda f: self._closer(f, more, network), chosen)
                chosen = list(closer)
        return Resolved("", chosen, said_by=asked(self._home(network)))

    def _alone(self, one: Found, request: Request, network: Network) -> Resolved:
        own = literal_names(request.files, request.exclude)
        name = own[0] if own and len(own) == 1 else self.path.rpartition("/")[2]
        files = choose({name: one.entry._replace(path=name)}, request, self.describe())
        return Resolved(self.revision or one.version, files, said_by=asked(self._home(network)))

    def _pages(self, network: Network) -> Iterator[list[Found]]:
        """The objects below the path, by their whole keys. Raises Failure."""
        prefix = f"{self.path}/" if self.path else ""
        mark: str | None = ""
        seen = set[str]()
        while mark is not None:
            found, mark = self._page(prefix, mark, network)
            yield found
            if mark == "" or mark in seen:
                raise self._no_listing(t("it never ends"))
            if mark is not None:
                seen.add(mark)

    def _below(self, network: Network) -> tuple[dict[str, FileEntry], set[str]]:
        """The objects below the prefix by name, and those of which a HEAD tells more."""
        entries: dict[str, FileEntry] = {}
        wanting: set[str] = set()
        pages = Pages(self.describe())
        for page in self._pages(network):
            pages.add(len(page), tuple(found.entry.path for found in page[:1] + page[-1:]))
            for entry, _, more in page:
                # What consoles make to show an empty folder.
                if entry.path.endswith("/") and not entry.size:
                    continue
                name = below(self.path, entry.path)
                if not name or not sound_size(entry.size):
                    raise self._wrong(entry.path)
                own = entry._replace(path=name)
                if entries.setdefault(name, own) != own:
                    raise self._wrong(entry.path)
                if more:
                    wanting.add(name)
        return entries, wanting

    def _closer(self, file: FileEntry, wanting: set[str], network: Network) -> FileEntry:
        """With what only a HEAD tells of it; an md5 that it does not confirm is dropped."""
        if file.path not in wanting:
            return file
        unsure = file._replace(md5=None)
        if len(wanting) > _MOST_HEADS:
            return unsure
        key = from_top(self.path, file.path)
        try:
            answer = self._ask(self._object(key, "", network), network, "HEAD", 0)
        except Failure:
            return unsure
        told = self._of_headers(key, answer.headers).entry
        if answer.status != 200 or told.size not in {None, file.size}:
            return unsure
        # What the manifest states counts before what the store says.
        return file._replace(
            sha256=file.sha256 or told.sha256,
            md5=told.md5 if file.md5 is not None else None,
            published=file.published or told.published,
        )

    def admits(self, revision: str) -> bool:
        """The version that is stated; else none, or the one that stood there."""
        if self.revision:
            return revision == self.revision
        return not revision or bool(re.fullmatch(VERSION, revision))

    def pinned_revision(self) -> str:
        """The version, if one is stated."""
        return self.revision

    def beside(self) -> Source:
        """The folder of an object that `path` names."""
        if not has_ending(self.path) and not self.revision:
            return self
        return replace(self, path=self.path.rpartition("/")[0], revision="")  # type: ignore[type-var]

    def check_access(self, network: Network) -> bool:
        """Ask for the object, or for the first page below the prefix. Raises Failure."""
        if self.path and self._head(self.path, network) is not None:
            return True
        next(self._pages(network), None)
        return True

    # Bytes

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The object's address, of its version first; with the person's login if it needs one."""
        versions = dict.fromkeys((revision, self.revision))
        places = [(key, version) for key in self._keys(file) for version in versions]
        found: list[Candidate] = [
            UrlCandidate(
                self.type,
                self._object(key, version, network),
                self.always,
                manual_hint=self._login_hint(),
            )
            for key, version in places
        ]
        key, version = places[0]
        if not self._may_sign(self._object(key, version, network), network):
            return found
        first = DeferredCandidate(self.type, lambda net: self._prepared(key, version, net))
        own = [self._signed_later(key, version) for key, version in places]
        return [first, *found[1:], *own]

    def _signed_later(self, key: str, version: str) -> Candidate:
        return DeferredCandidate(self.type, lambda net: self._with_login(key, version, net))

    def _keys(self, file: FileEntry) -> list[str]:
        """Where the file may be: `path` is one object, called otherwise here, or its folder."""
        own = self.path.rpartition("/")[2]
        if not self.path or file.path == own:
            return [from_top(self.path, file.path)]
        keys = [from_top(self.path, file.path), self.path]
        return keys[::-1] if self.revision or has_ending(own) else keys

    def _prepared(self, key: str, revision: str, network: Network) -> UrlCandidate:
        """The address that the first object asked for was open at, or with the login."""
        url = self._object(key, revision, network)
        is_open = network.once(f"{self._home(network)} open", lambda: self._is_open(url, network))
        if is_open:
            return UrlCandidate(self.type, url, self.always)
        return self._with_login(key, revision, network)

    def _is_open(self, url: str, network: Network) -> bool:
        try:
            answer = network.request(url, method="HEAD", headers=self.always, patience=_PATIENCE)
            return answer.status not in self.refusals
        except Failure as failure:
            if failure.problem.code != "network":
                raise
            return True

    def _with_login(self, key: str, revision: str, network: Network) -> UrlCandidate:
        url = self._object(key, revision, network)
        place = self._own(url, "GET", network) or Place(url)
        headers = (*self.always, *place.headers)
        return UrlCandidate(self.type, place.url, headers, manual_hint=self._login_hint())


def quoted(key: str) -> str:
    """A key as it stands in an address's path."""
    return quote(key, safe="/~")


def hex_of(encoded: str, length: int) -> str | None:
    """A digest of so many bytes that is given in base64, as hex; None for anything else."""
    try:
        found = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found.hex() if len(found) == length else None


def whole(text: str) -> int | None:
    """A size that is given as text."""
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None
