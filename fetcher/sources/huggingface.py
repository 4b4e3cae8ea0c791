"""Repositories of models, datasets and spaces on the Hugging Face Hub (or a server like it)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, TypeGuard
from urllib.parse import quote

from fetcher.config.project_choices import choose_yourself
from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.disposition import has_ending
from fetcher.network.session import Network, Response
from fetcher.sources.base import (
    Candidate,
    FileEntry,
    Listing,
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
from fetcher.sources.git_fields import (
    COMMIT,
    PATH_FIELD,
    REVISION_FIELD,
    SHORT_TAIL,
    admits_revision,
    repository_field,
)
from fetcher.sources.pages import Pages, next_link
from fetcher.yamldoc.schema import Field, Text

if TYPE_CHECKING:
    from fetcher.network.rate_limit import Allowance

# What the Hub documents: so many files in five minutes, without a token and with one.
_COUNTS, _QUOTA, _QUOTA_SECONDS = "huggingface.co", (3000, 5000), 300.0
# Smaller files come by plain HTTP in one request, where Xet needs four.
XET_LEAST = 8 << 20
# The Hub has no names with -- or ..: in its cache, o--m would be o/m.
_NAME = r"[A-Za-z0-9](?:(?!--|\.\.)[\w.-]){0,95}"
# Nobody there is called as a kind is: datasets/x is the dataset x, which has no owner.
REPO = rf"(?!(?:datasets|spaces)/)(?:{_NAME}/)?{_NAME}"
_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]+")  # what stands in a URL as it is
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Header of a listing by `fetch serve` that has no more than it holds of the commit.
PART_HEADER, PART = "X-Fetch-Listing", "part"
_MOST_LICENSES = 8
_LINE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,120}")
_MOST_HISTORY = 20  # pages of a branch's commits


@dataclass(frozen=True)
class HuggingFace(Source):
    """`hf:owner/name@revision:path`; the tree listing gives every size and digest."""

    repo: str
    repo_type: str = "model"
    revision: str = "main"
    path: str = ""

    type: ClassVar[str] = "huggingface"
    fields: ClassVar[dict[str, Field]] = {
        "repo": repository_field(REPO),
        "repo_type": Field(Text(choices=("model", "dataset", "space")), t("kind of repository")),
        "revision": REVISION_FIELD,
        "path": PATH_FIELD,
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`[datasets/|spaces/]owner/name[@revision][:path]`."""
        found = re.fullmatch(rf"(datasets/|spaces/)?({REPO}){SHORT_TAIL}", text)
        if not found:
            raise ValueError(t("expected hf:owner/name, with @revision and :path if wanted"))
        prefix, repo, revision, path = found.groups()
        kind = {"datasets/": "dataset", "spaces/": "space"}.get(prefix or "", "model")
        values = {"repo": repo, "repo_type": kind, "revision": revision, "path": path}
        return {name: value for name, value in values.items() if value}

    @property
    def _prefix(self) -> str:
        return "" if self.repo_type == "model" else f"{self.repo_type}s/"

    @property
    def cache_folder(self) -> str:
        """What the repository's folder in the Hugging Face cache is called."""
        return f"{self.repo_type}s--{self.repo.replace('/', '--')}"

    def describe(self) -> str:
        """The short form."""
        path = f":{self.path}" if self.path else ""
        return f"hf:{self._prefix}{self.repo}@{self.revision}{path}"

    def page(self, network: Network) -> str:
        """The repository's page."""
        return f"{asked(network.hub)}/{self._prefix}{self.repo}"

    def pinned_revision(self) -> str:
        """The revision as the manifest has it."""
        return self.revision

    def beside(self) -> Source:
        """The folder of a file that `path` names."""
        folder = self.path.rpartition("/")[0] if has_ending(self.path) else self.path
        return replace(self, path=folder)

    def admits(self, revision: str) -> bool:
        """The commit, or for a branch or tag any commit."""
        return admits_revision(self.revision, revision)

    def _api(self, network: Network, rest: str) -> str:
        return f"{network.hub}/api/{self.repo_type}s/{self.repo}/{rest}"

    def resolve(self, request: Request, network: Network) -> Resolved:
        """One call for the commit (none if it is pinned), one for each page of the tree."""
        commit, license = self._at_revision(network)
        entries, listing = self._list_file(commit, network) or self.list_commit(commit, network)
        where = t(
            "{repo}@{commit}{which}",
            repo=self.repo,
            commit=commit[:8],
            which=t(" below {path!r}", path=self.path) if self.path else "",
        )
        files = choose(entries, request, where)
        return Resolved(commit, files, listing.whole, asked(network.hub), listing, license)

    def commit(self, network: Network) -> str:
        """The commit that is pinned, or at which the Hub says the revision is. Raises Failure."""
        return self._at_revision(network)[0]

    def _at_revision(self, network: Network) -> tuple[str, str]:
        """The commit, and the licence that the Hub names with it ("" where nothing is asked)."""
        if COMMIT.fullmatch(self.revision):
            return self.revision, ""
        answer = network.get_json(self._api(network, f"revision/{quote(self.revision, safe='')}"))
        self._check(answer, network)
        told = answer.json()
        commit = told.get("sha", "") if isinstance(told, dict) else ""
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise Failure("refused", t("{source}: the Hub names no commit", source=self.describe()))
        return commit, license_told(told)

    def was_at(self, commit: str, network: Network) -> bool:
        """Whether the Hub lists a commit in the history of the branch. Raises Failure."""
        ref = quote(self.revision, safe="")
        url, seen = self._api(network, f"commits/{ref}?limit=100"), set[str]()
        while url and url not in seen and len(seen) < _MOST_HISTORY:
            seen.add(url)
            answer = network.get_json(url)
            self._check(answer, network)
            found = answer.json()
            if not isinstance(found, list):
                break
            if any(isinstance(item, dict) and item.get("id") == commit for item in found):
                return True
            url = next_link(answer, network, self.describe())
        return False

    def list_commit(self, commit: str, network: Network) -> tuple[dict[str, FileEntry], Listing]:
        """What the Hub lists of a commit below `path`, by path; and its answer. Raises Failure."""
        entries: dict[str, FileEntry] = {}
        pages: list[bytes] = []
        whole = True
        for answer, page in self._tree(commit, network):
            whole = whole and answer.headers.get(PART_HEADER.lower()) != PART
            pages.append(answer.body)
            for path, entry in self.entries(page).items():
                if entries.setdefault(path, entry) != entry:
                    raise self._twice(path)
        return entries, self._listing(commit, pages, whole, network)

    def _list_file(
        self, commit: str, network: Network
    ) -> tuple[dict[str, FileEntry], Listing] | None:
        """What the Hub lists of the file that `path` is; None where it is a folder, or may be."""
        if not has_ending(self.path):
            return None
        folder = self.path.rpartition("/")[0]
        place = "/" + quote(folder) if folder else ""
        url = self._api(network, f"tree/{commit}{place}?recursive=false&expand=false")
        pages, entries = list[bytes](), dict[str, FileEntry]()
        while url and not entries and len(pages) < _MOST_HISTORY:
            answer = network.get_json(url)
            listed = answer.json() if answer.status == 200 else None
            if not isinstance(listed, list):
                return None
            pages.append(answer.body)
            own: list[object] = [
                item for item in listed if isinstance(item, dict) and item.get("path") == self.path
            ]
            entries, url = self.entries(own), next_link(answer, network, self.describe())
        if not entries:
            return None
        return entries, self._listing(commit, pages, False, network)

    def _listing(
        self, commit: str, pages: Sequence[bytes], whole: bool, network: Network
    ) -> Listing:
        ref = "" if commit == self.revision else self.revision
        closed = network.sends_login(network.rewrite(self._api(network, "tree")))
        kind, path = self.repo_type, self.path
        return Listing(network.hub, kind, self.repo, commit, ref, path, tuple(pages), closed, whole)

    def _tree(self, commit: str, network: Network) -> Iterator[tuple[Response, list[object]]]:
        path = "/" + quote(self.path) if self.path else ""
        url = first = self._api(network, f"tree/{commit}{path}?recursive=true&expand=false")
        seen: set[str] = set()
        pages = Pages(self.describe())
        while url not in seen:
            seen.add(url)
            answer = network.get_json(url)
            if answer.status == 404 and path and url == first and _only_entry(answer.headers):
                # Some mirrors list whole repositories only.
                url = self._api(network, f"tree/{commit}?recursive=true&expand=false")
                answer = network.get_json(url)
            self._check(answer, network)
            listing = answer.json()
            if not isinstance(listing, list):
                raise Failure(
                    "refused", t("{source}: the Hub's listing is no list", source=self.describe())
                )
            pages.add(len(listing), hashlib.sha256(answer.body).digest())
            yield answer, listing
            url = next_link(answer, network, self.describe())
            if not url:
                return
        raise Failure("refused", t("{source}: the listing never ends", source=self.describe()))

    def entries(self, page: list[object]) -> dict[str, FileEntry]:
        """The files below `path` of one page of a listing, by path. Raises Failure."""
        found: dict[str, FileEntry] = {}
        for item in page:
            entry = self._entry(item)
            if entry and found.setdefault(entry.path, entry) != entry:
                raise self._twice(entry.path)
        return found

    def _twice(self, path: str) -> Failure:
        return Failure(
            "refused",
            t("{source}: the Hub lists {path} twice", source=self.describe(), path=shown(path)),
        )

    def _entry(self, item: object) -> FileEntry | None:
        if not isinstance(item, dict):
            text = t(
                "{source}: the Hub's listing has a wrong entry {item}",
                source=self.describe(),
                item=shown(item),
            )
            raise Failure("refused", text)
        if item.get("type") != "file":
            return None
        path, size, oid = item.get("path"), item.get("size"), item.get("oid")
        lfs = item.get("lfs")
        sha256 = lfs.get("oid") if isinstance(lfs, dict) else None
        size = lfs.get("size", size) if isinstance(lfs, dict) else size
        sound = (
            isinstance(path, str)
            and sound_size(size)
            and (sha256 is None or (isinstance(sha256, str) and _SHA256.fullmatch(sha256)))
            and (sha256 or (isinstance(oid, str) and COMMIT.fullmatch(oid)))
        )
        if not sound or not isinstance(path, str):
            text = t(
                "{source}: the Hub's listing has a wrong entry for {path}",
                source=self.describe(),
                path=shown(path),
            )
            raise Failure("refused", text)
        relative = below(self.path, path)
        if relative is None:
            return None
        return FileEntry(relative, size, sha256, None if sha256 else oid, bool(sha256))

    def _check(self, answer: Response, network: Network) -> None:
        """Raise the Failure that an error status means."""
        if answer.status == 200:
            return
        raise self.failure(answer.status, answer.headers, network)

    def failure(self, status: int, headers: dict[str, str], network: Network) -> Failure:
        """An HTTP error of the Hub, in words, with the page to visit."""
        code = headers.get("x-error-code", "")
        page = self.page(network)
        sent = network.authorization(network.hub + "/") is not None
        login = t("set HF_TOKEN or run `hf auth login`")
        if not network.settings.hub_login_allowed:
            login = t(
                "the project chose this endpoint, so it gets no token of yours. {advice}",
                advice=choose_yourself("hf_endpoint"),
            )
        if code == "GatedRepo":
            text = headers.get("x-error-message", "").lower()
            detail = "no-token" if status == 401 or not sent else _gate(text)
            failure = Failure(
                "gated",
                t("{repo} is gated{gates}", repo=self.repo, gates=_GATES[detail]),
                _gate_hint(detail, page, login),
            )
            failure.detail = detail
            return failure
        if code == "RevisionNotFound":
            return Failure(
                "revision-not-found",
                t("{repo} has no revision {revision!r}", repo=self.repo, revision=self.revision),
                t("see the branches and tags at {page}", page=page),
            )
        if code == "EntryNotFound":
            return Failure(
                "missing-upstream", t("{source}: no such folder or file", source=self.describe())
            )
        if status == 401 and sent and code != "RepoNotFound":
            advice = network.account.advice()
            failure = Failure(
                "auth", t("{repo}: the Hub refused the token", repo=self.repo), advice
            )
            failure.detail = "bad-token"
            return failure
        if code == "RepoNotFound" or status in {401, 404}:
            hint = t("check the name at {page}", page=page)
            if sent:
                hint = t("{hint}; if it is private, the token needs read access to it", hint=hint)
            else:
                hint = t("{hint}; if it is private, {login}", hint=hint, login=login)
            kind = "auth" if status == 401 else "not-found"
            failure = Failure(kind, t("{repo} does not exist, or is private", repo=self.repo), hint)
            failure.detail = "no-repository"
            return failure
        if status == 403:
            return Failure(
                "auth",
                t("{repo}: access denied (HTTP 403)", repo=self.repo),
                t("see {page}", page=page),
            )
        return Failure(
            "network",
            t("{repo}: the Hub answered HTTP {status}", repo=self.repo, status=status),
            t("try again later"),
        )

    def info(self, network: Network) -> dict[str, object]:
        """What the Hub says of the repository: tags, licence, gating. Raises Failure."""
        revision = quote(self.revision, safe="")
        answer = network.get_json(self._api(network, f"revision/{revision}"))
        self._check(answer, network)
        found = answer.json()
        if not isinstance(found, dict):
            raise Failure(
                "refused", t("{source}: the Hub's answer is no object", source=self.describe())
            )
        return found

    def allowance(self, headers: Mapping[str, str], network: Network) -> Allowance | None:
        """How many files the Hub lets us ask for; `headers` are of an answer for one of them.

        None where nobody says: other servers need not count.
        """
        from fetcher.network.rate_limit import Allowance, allowance
        from fetcher.network.urls import origin_of

        told = allowance(headers)
        if told is not None or origin_of(network.hub)[1] != _COUNTS:
            return told
        quota = _QUOTA[network.authorization(network.hub + "/") is not None]
        return Allowance(quota, _QUOTA_SECONDS, quota, _QUOTA_SECONDS)

    def check_access(self, network: Network) -> bool:
        """The Hub's own question; a mirror that does not know it is asked for a small file."""
        url = self._api(network, "auth-check")
        answer = network.get_json(url)
        if answer.status == 404 and "x-error-code" not in answer.headers:
            url = self._resolve_url(self.revision, ".gitattributes", network)
            answer = network.request(url, method="HEAD", follow=False)
            if answer.status in {302, 307} or answer.headers.get("x-error-code") == "EntryNotFound":
                return True
        self._check(answer, network)
        return True

    def _resolve_url(self, revision: str, path: str, network: Network) -> str:
        full = from_top(self.path, path)
        name = full if _PLAIN.fullmatch(full) else quote(full)
        return self._place(network.hub, revision or self.revision) + name

    def _place(self, hub: str, revision: str) -> str:
        """How the addresses of its files begin."""
        return _resolve_place(hub, self._prefix, self.repo, revision)

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The Hub's plain HTTP path; Xet before it, if the person wants that."""
        revision = revision or self.revision
        url = self._resolve_url(revision, file.path, network)
        pinned = _is_commit(revision)
        found: list[Candidate] = [UrlCandidate(self.type, url, pinned=pinned)]
        if self.path and (other := self._other_name(file)):  # a mirror: whatever it is called there
            at = self._place(network.hub, revision)
            found.append(UrlCandidate(self.type, at + quote(other), pinned=pinned))
        large = file.lfs and (file.size or 0) >= XET_LEAST
        # hf_xet knows no rate.
        if large and network.settings.xet and not network.settings.limit_rate:
            commit = quote(revision, safe="")
            token_url = self._api(network, f"xet-read-token/{commit}")
            found.insert(0, XetCandidate("xet", url, token_url))
        return found

    def _other_name(self, file: FileEntry) -> str:
        """The path where it seems to be a file's of another name; the digest will tell."""
        name = self.path.rpartition("/")[2]
        return self.path if has_ending(name) and name != file.path else ""

    def access_probe(self, revision: str, path: str, network: Network) -> UrlCandidate | None:
        """HEAD of one file: only the file itself is behind the gate, listings are not."""
        return UrlCandidate(self.type, self._resolve_url(revision, path, network))


def license_told(info: Mapping[str, object]) -> str:
    """The licence that the Hub's answer about a revision names, in its own words; "" for none.

    Several in a card's list hold together.
    """
    card, tags = info.get("cardData"), info.get("tags")
    card = card if isinstance(card, dict) else {}
    stated = card.get("license")
    named = card.get("license_name")
    found = [one for one in (stated if isinstance(stated, list) else [stated]) if _is_line(one)]
    if found == ["other"] and _is_line(named):
        found = [named]
    if not found and isinstance(tags, list):
        prefix = "license:"
        found = [
            tag.removeprefix(prefix) for tag in tags if _is_line(tag) and tag.startswith(prefix)
        ]
    return " AND ".join(dict.fromkeys(found[:_MOST_LICENSES]))


def _is_line(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(_LINE.fullmatch(value))


# Both are asked for every file.


@lru_cache(maxsize=64)
def _resolve_place(hub: str, prefix: str, repo: str, revision: str) -> str:
    return f"{hub}/{prefix}{repo}/resolve/{quote(revision, safe='')}/"


@lru_cache(maxsize=64)
def _is_commit(revision: str) -> bool:
    return bool(COMMIT.fullmatch(revision))


_GATES = {
    "no-token": "",
    "not-approved": "",
    "pending": t(": your request waits for its authors"),
    "rejected": t(": its authors have rejected your request"),
    "narrow-token": t(", and your token may not read gated repositories"),
}


def _gate(text: str) -> str:
    """Which of _GATES the Hub's message about a gated repository means."""
    if "fine-grained" in text:
        return "narrow-token"
    if "awaiting" in text:
        return "pending"
    return "rejected" if "rejected" in text else "not-approved"


def _gate_hint(detail: str, page: str, login: str) -> str:
    if detail == "no-token":
        return t("ask for access at {page}, then {login}", page=page, login=login)
    if detail == "narrow-token":
        return t("allow your fine-grained token to read public gated repositories, in its settings")
    if detail == "pending":
        return t("see {page}; run again when they have approved it", page=page)
    if detail == "rejected":
        return t("see {page}; choose another model, or write to its authors", page=page)
    return t(
        "your account has no access yet: ask for it at {page} and wait for approval; it then "
        "counts for every token of the account",
        page=page,
    )


def _only_entry(headers: dict[str, str]) -> bool:
    """Whether a 404 is about the folder, not about the repository or the revision."""
    return headers.get("x-error-code", "") in {"", "EntryNotFound"}
