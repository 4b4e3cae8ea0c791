"""Files of a git repository on GitHub (or GitHub Enterprise) at a ref, and release assets."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from urllib.parse import quote

from fetcher.errors import Failure
from fetcher.fs.atomic import git_blob_hasher
from fetcher.i18n import t
from fetcher.network.disposition import has_ending
from fetcher.network.retry import retry_after
from fetcher.network.session import Network, Response
from fetcher.sources import git_lfs
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
    left_out,
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

if TYPE_CHECKING:
    from fetcher.yamldoc.nodes import Document, Node
    from fetcher.yamldoc.schema import Values

_log = logging.getLogger(__name__)

# Seconds to wait for a listing that is not needed.
_BRIEF = 5.0
REPO = r"[A-Za-z0-9][\w.-]{0,99}/(?!\.{1,2}(?:[@:/]|\Z))[\w.-]{1,100}"
_MAX_DEPTH = 64
_SPDX_ID = re.compile(r"[A-Za-z0-9.+-]{1,80}")


class _Listing(NamedTuple):
    """Files and folders of a tree as GitHub lists them; `truncated` if there are more."""

    items: list[JsonFields]
    truncated: bool


@dataclass(frozen=True)
class GitHub(Source):
    """`github:owner/repo@ref:path`, or the assets of a release."""

    repo: str
    ref: str = "HEAD"
    path: str = ""
    release: str = ""
    host: str = "github.com"

    type: ClassVar[str] = "github"
    fields: ClassVar[dict[str, Field]] = {
        "repo": repository_field(REPO),
        "ref": REVISION_FIELD,
        "path": PATH_FIELD,
        "release": Field(
            Text(r"\S+", t("a release's tag, or latest")), t("release tag: its assets")
        ),
        "host": Field(
            Text(r"(https?://)?[\w.-]+(:\d+)?", t("a host name")), t("host of a GitHub Enterprise")
        ),
    }

    @classmethod
    def check_fields(cls, node: Node, values: Values, document: Document) -> bool:
        """A release has no ref; its `path` is one asset's name."""
        released = "release" in values
        if clash := released and "ref" in values:
            document.problem(
                node,
                t("'release' and 'ref' exclude each other"),
                t("the assets of a release are of no ref"),
            )
        if foldered := released and "/" in values.get("path", ""):
            document.problem(
                node, t("assets have no folders"), t("`path` is the name of one asset here")
            )
        return not (clash or foldered)

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`owner/repo[@ref][:path]`."""
        found = re.fullmatch(rf"({REPO}){SHORT_TAIL}", text)
        if not found:
            raise ValueError(t("expected github:owner/repo, with @ref and :path if wanted"))
        values = dict(zip(("repo", "ref", "path"), found.groups(), strict=True))
        return {name: value for name, value in values.items() if value}

    def describe(self) -> str:
        """The short form."""
        host = "" if self.host == "github.com" else f"//{self.host}/"
        if self.release:
            told = t(
                "github:{host}{repo} release {release}",
                host=host,
                repo=self.repo,
                release=self.release,
            )
            return f"{told}:{self.path}" if self.path else told
        path = f":{self.path}" if self.path else ""
        return f"github:{host}{self.repo}@{self.ref}{path}"

    def pinned_revision(self) -> str:
        """The ref or the release's tag as the manifest has it."""
        return self.release or self.ref

    def beside(self) -> Source:
        """The folder of a file that `path` names."""
        folder = self.path.rpartition("/")[0] if has_ending(self.path) else self.path
        return replace(self, path="" if self.release else folder)

    def admits(self, revision: str) -> bool:
        """The commit or release, or for a branch, tag or the latest release what it stands for."""
        if self.release:
            return self.release in {"latest", revision}
        return admits_revision(self.ref, revision)

    @property
    def _public(self) -> bool:
        return self.host == "github.com"

    @property
    def _web(self) -> str:
        return self.host if "://" in self.host else f"https://{self.host}"

    def page(self, network: Network) -> str:
        """The repository's page."""
        return f"{self._web}/{self.repo}"

    @property
    def _api_root(self) -> str:
        return "https://api.github.com" if self._public else f"{self._web}/api/v3"

    @property
    def _api(self) -> str:
        return f"{self._api_root}/repos/{self.repo}"

    def _get(
        self, url: str, network: Network, accept: str = "application/vnd.github+json"
    ) -> Response:
        patience = _BRIEF if self._is_file else None
        answer = network.request(url, headers=[("Accept", accept)], patience=patience)
        if answer.status != 200:
            raise self._failure(answer, network)
        return answer

    def _failure(self, answer: Response, network: Network) -> Failure:
        sent = network.authorization(network.rewrite(self._api)) is not None
        if answer.status in {403, 429} and retry_after(answer.headers) is not None:
            hint = (
                t("wait") if sent else t("set GITHUB_TOKEN: 5000 requests per hour instead of 60")
            )
            return Failure(
                "network", t("{repo}: GitHub's rate limit is used up", repo=self.repo), hint
            )
        if answer.status == 401:
            failure = Failure(
                "auth",
                t("{repo}: GitHub refused the token", repo=self.repo),
                t("renew GITHUB_TOKEN"),
            )
            failure.detail = "bad-token"
            return failure
        if answer.status == 403:
            return Failure(
                "auth", t("{repo}: access denied (HTTP 403)", repo=self.repo), self.page(network)
            )
        if answer.status in {404, 409, 422}:
            what = (
                t("release {release!r}", release=self.release)
                if self.release
                else t("ref {ref!r}", ref=self.ref)
            )
            hint = t("check the name at {page}", page=self.page(network))
            if not sent:
                hint = t("{hint}; if it is private, set GITHUB_TOKEN", hint=hint)
            return Failure(
                "not-found", t("{repo} or its {what} is not there", repo=self.repo, what=what), hint
            )
        return Failure(
            "network",
            t("{repo}: GitHub answered HTTP {status}", repo=self.repo, status=answer.status),
        )

    def info(self, network: Network) -> dict[str, object]:
        """What GitHub says of the repository: description, licence, topics. Raises Failure."""
        found = self._get(self._api, network).json()
        if not isinstance(found, dict):
            raise Failure(
                "refused", t("{source}: GitHub's answer is no object", source=self.describe())
            )
        return found

    def license(self, revision: str, network: Network) -> str:
        """The SPDX id of a revision's licence, "" if GitHub knows none. Raises Failure."""
        at = f"?ref={quote(revision, safe='')}" if revision and not self.release else ""
        url = f"{self._api}/license{at}"
        answer = network.request(url, headers=[("Accept", "application/vnd.github+json")])
        if answer.status == 404:
            return ""
        if answer.status != 200:
            raise self._failure(answer, network)
        told = JsonFields.of(answer.json()).object("license").text("spdx_id")
        return told if _SPDX_ID.fullmatch(told) and told != "NOASSERTION" else ""

    def check_access(self, network: Network) -> bool:
        """One request for the repository itself."""
        self._get(self._api, network)
        return True

    def resolve(self, request: Request, network: Network) -> Resolved:
        """The commit (one request unless it is pinned) and one request for the whole tree.

        One file that is known by its address needs no listing where the API has no answer left.
        """
        try:
            return self._resolve(request, network)
        except Failure as failure:
            if failure.problem.code != "network" or not self._is_file:
                raise
            _log.info("%s: not listed: %s", self.describe(), failure.message)
            name = self.path.rpartition("/")[2]
            files = choose({name: FileEntry(name)}, request, self.describe())
            return Resolved(self.pinned_revision(), files)

    @property
    def _is_file(self) -> bool:
        """Whether `path` seems to be a file; a folder may be called so as well."""
        latest = self.release == "latest"
        return not latest and (bool(self.release and self.path) or has_ending(self.path))

    def _resolve(self, request: Request, network: Network) -> Resolved:
        if self.release:
            return self._resolve_release(request, network)
        commit = self.ref
        if not COMMIT.fullmatch(commit):
            url = f"{self._api}/commits/{quote(self.ref, safe='')}"
            commit = JsonFields.of(self._get(url, network).json()).text("sha")
            if not COMMIT.fullmatch(commit):
                raise Failure(
                    "refused", t("{source}: GitHub names no commit", source=self.describe())
                )
        entries, has_lfs = self._tree(commit, network)
        where = t(
            "{repo}@{commit}{which}",
            repo=self.repo,
            commit=commit[:8],
            which=t(" below {path!r}", path=self.path) if self.path else "",
        )
        files = choose(entries, request, where)
        if has_lfs:
            with ThreadPoolExecutor(8) as pool:
                found = pool.map(lambda file: self._through_pointer(file, commit, network), files)
                files = list(found)
        return Resolved(commit, files, said_by=asked(self._api_root))

    def _tree(self, commit: str, network: Network) -> tuple[dict[str, FileEntry], bool]:
        listing = self._listing(f"{self._api}/git/trees/{commit}?recursive=1", network)
        if listing.truncated:
            items = list(self._walk(commit, "", network, Pages(self.describe())))
        else:
            items = [("", item) for item in listing.items]
        entries: dict[str, FileEntry] = {}
        has_lfs = False
        without: dict[str, str] = {}
        for folder, item in items:
            if item.text("type") == "commit":
                without[folder + item.text("path")] = t("is a submodule")
                continue
            entry, relative = self._entry(folder, item)
            has_lfs = has_lfs or entry.path.rpartition("/")[2] == ".gitattributes"
            if item.get("mode") == "120000":
                without[entry.path] = t("is a link, which a source of type git follows")
            elif relative is not None:
                entries[relative] = entry._replace(path=relative)
        here = {path: why for path, why in without.items() if below(self.path, path) is not None}
        left_out(self.describe(), here, network)
        return entries, has_lfs

    def _listing(self, url: str, network: Network) -> _Listing:
        listing = JsonFields.of(self._get(url, network).json())
        if not isinstance(listing.get("tree"), list):
            raise Failure(
                "refused", t("{source}: GitHub's listing has no tree", source=self.describe())
            )
        truncated = bool(listing.get("truncated"))
        whole = "recursive=1" in url and not truncated
        kinds = {"blob", "commit"} if whole else {"blob", "commit", "tree"}
        items = [item for item in listing.objects("tree") if item.text("type") in kinds]
        return _Listing(items, truncated)

    def _walk(
        self, tree: str, folder: str, network: Network, pages: Pages
    ) -> Iterator[tuple[str, JsonFields]]:
        """A tree too large for one answer, folder by folder, only where the path leads."""
        listing = self._listing(f"{self._api}/git/trees/{tree}", network)
        if listing.truncated or folder.count("/") > _MAX_DEPTH:
            text = t(
                "{source}: GitHub cannot list {folder} whole",
                source=self.describe(),
                folder=folder or t("the top folder"),
            )
            raise Failure("refused", text, t("give the source a `path` below it"))
        pages.add(len(listing.items))
        for item in listing.items:
            full = f"{folder}{item.text('path')}"
            if item.text("type") != "tree":
                yield folder, item
                continue
            leads = f"{self.path}/".startswith(f"{full}/") or f"{full}/".startswith(
                f"{self.path}/" if self.path else ""
            )
            if leads and COMMIT.fullmatch(item.text("sha")):
                yield from self._walk(item.text("sha"), f"{full}/", network, pages)

    def _entry(self, folder: str, item: JsonFields) -> tuple[FileEntry, str | None]:
        path, size, sha = item.get("path"), item.get("size"), item.text("sha")
        if not isinstance(path, str) or not sound_size(size) or not COMMIT.fullmatch(sha):
            text = t(
                "{source}: wrong entry for {path} in the listing",
                source=self.describe(),
                path=shown(path),
            )
            raise Failure("refused", text)
        full = folder + path
        executable = item.get("mode") == "100755"
        return FileEntry(full, size, None, sha, executable=executable), below(self.path, full)

    def _through_pointer(self, file: FileEntry, commit: str, network: Network) -> FileEntry:
        """A Git LFS pointer replaced by what it points at; other files as they are."""
        if file.size not in git_lfs.POINTER_SIZES or file.path.endswith(".gitattributes"):
            return file
        answer = self._get(self._raw(commit, file.path), network, "*/*")
        hasher = git_blob_hasher(len(answer.body))
        hasher.update(answer.body)
        blob = hasher.hexdigest()
        if blob != file.git_blob:
            text = t(
                "{source}: {path} is not what the tree says (git blob {blob})",
                source=self.describe(),
                path=file.path,
                blob=blob,
            )
            raise Failure("digest-mismatch", text, file=file.path)
        pointer = git_lfs.pointer(answer.body)
        if not pointer:
            return file
        return FileEntry(file.path, pointer.size, pointer.sha256, None, lfs=True,
                         executable=file.executable)  # fmt: skip

    def _full(self, path: str) -> str:
        return quote(from_top(self.path, path))

    def _raw(self, commit: str, path: str) -> str:
        if self._public:
            return f"https://raw.githubusercontent.com/{self.repo}/{commit}/{self._full(path)}"
        return f"{self._web}/raw/{self.repo}/{commit}/{self._full(path)}"

    def _media(self, commit: str, path: str) -> str:
        base = "https://media.githubusercontent.com" if self._public else self._web
        return f"{base}/media/{self.repo}/{commit}/{self._full(path)}"

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """Raw files; LFS content from the media host, else through the LFS batch API."""
        revision = revision or self.pinned_revision()
        if self.release:
            tag, name = quote(revision, safe=""), quote(self.path or file.path)
            url = f"{self._web}/{self.repo}/releases/download/{tag}/{name}"
            asset = DeferredCandidate(self.type, lambda net: self._asset(revision, file, net))
            return [UrlCandidate(self.type, url), asset]
        if file.lfs:
            batch = DeferredCandidate(self.type, lambda net: self._batch(file, net))
            return [self._plain(revision, file.path)[1], batch]
        raw, media = self._plain(revision, file.path)
        other = self.path.rpartition("/")[2]
        if has_ending(other) and other != file.path:  # a mirror: whatever it is called there
            return [*self._plain(revision, other), raw]
        # Without a listing nobody has looked whether the file lies in LFS.
        return [raw] if file.git_blob else [raw._replace(pinned=False), media]

    def _plain(self, revision: str, path: str) -> tuple[UrlCandidate, UrlCandidate]:
        """The file itself, and its content where git has only a pointer."""
        pinned = bool(COMMIT.fullmatch(revision))
        raw = UrlCandidate(self.type, self._raw(revision, path), pinned=pinned)
        return raw, UrlCandidate(self.type, self._media(revision, path), pinned=pinned)

    def _batch(self, file: FileEntry, network: Network) -> UrlCandidate:
        """Ask the LFS server for a download link of one object."""
        url, answer = git_lfs.answer_of_batch(f"{self._web}/{self.repo}", file, network)
        if answer.status != 200:
            raise self._failure(answer, network)
        place = git_lfs.place_of(url, answer, file, self.type, network)
        if place is None:
            raise git_lfs.not_there(self.repo, file.path)
        return place

    def _release(self, tag: str, network: Network) -> JsonFields:
        """What GitHub says of a release; its `assets` are objects. Raises Failure."""
        tail = "latest" if tag == "latest" else f"tags/{quote(tag, safe='')}"
        found = JsonFields.of(self._get(f"{self._api}/releases/{tail}", network).json())
        assets = found.get("assets")
        if not isinstance(assets, list) or not all(isinstance(a, dict) for a in assets):
            raise Failure(
                "refused", t("{source}: GitHub's answer has no assets", source=self.describe())
            )
        return found

    def _resolve_release(self, request: Request, network: Network) -> Resolved:
        found = self._release(self.release, network)
        entries = {}
        for asset in found.objects("assets"):
            name, size = asset.get("name"), asset.get("size")
            digest = re.fullmatch(r"sha256:([0-9a-f]{64})", asset.text("digest"))
            if not isinstance(name, str) or not sound_size(size):
                text = t(
                    "{source}: wrong entry for {name} among the assets",
                    source=self.describe(),
                    name=shown(name),
                )
                raise Failure("refused", text)
            if self.path in {"", name}:
                entries[name] = FileEntry(name, size, digest[1] if digest else None)
        tag = found.text("tag_name") or self.release
        files = choose(entries, request, t("{repo} release {tag}", repo=self.repo, tag=tag))
        return Resolved(tag, files, said_by=asked(self._api_root))

    def _asset(self, tag: str, file: FileEntry, network: Network) -> UrlCandidate:
        """The API's address of an asset, for private repositories."""
        for asset in self._release(tag, network).objects("assets"):
            if asset.text("name") == (self.path or file.path) and (url := asset.text("url")):
                network.redirected(network.rewrite(self._api), url)
                return UrlCandidate(self.type, url, (("Accept", "application/octet-stream"),))
        raise Failure(
            "missing-upstream",
            t("{repo} release {tag} has no {path}", repo=self.repo, tag=tag, path=file.path),
        )
