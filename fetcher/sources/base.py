"""What every source is: it lists exact files, and says where each can be had.

A source never moves a file's bytes; it resolves names to (revision, size, digest) and hands
candidates to the one transfer engine.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeGuard

from fetcher.errors import Failure
from fetcher.fs.nearest import nearest
from fetcher.fs.patterns import select
from fetcher.fs.safe_paths import BadPath, check_relative, printable
from fetcher.fs.spelled import leave_out
from fetcher.i18n import t
from fetcher.network.urls import public_url
from fetcher.yamldoc.schema import Field

if TYPE_CHECKING:
    from fetcher.fs.extents import Extent
    from fetcher.network.session import Network
    from fetcher.yamldoc.nodes import Document, Node
    from fetcher.yamldoc.schema import Values


_SHOWN = 3  # names in one message


class FileEntry(NamedTuple):
    """One exact file of an artifact; what is not known (yet) is None.

    `size` is in bytes; `sha256`, `git_blob` and `md5` are lower-case hex. `lfs` marks a file that
    lies in Git LFS, where `sha256` is that of the content and not of the pointer. `md5` is what
    some publishers state: it is checked while no sha256 is known, but identifies nothing, since
    two contents with one md5 can be made. `computed`: the sha256 was computed from bytes here;
    otherwise the source said it, or the manifest claims it. `size_hint`: the size is what a server
    said in passing, and decides nothing: the bytes do. `published`: another digest that a publisher
    states, as `kind:hex` (see `fetcher.fs.published`); it counts as an md5 does. `archive` names
    the archive that the file is a member of; `executable` marks a program.
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    git_blob: str | None = None
    lfs: bool = False
    md5: str | None = None
    computed: bool = False
    size_hint: bool = False
    published: str | None = None
    archive: str = ""
    executable: bool = False

    @property
    def key(self) -> str:
        """Identity of the content, "" while no digest is known."""
        if self.sha256:
            return f"sha256:{self.sha256}"
        return f"git:{self.git_blob}" if self.git_blob else ""

    def proven(self, size: int, sha256: str) -> FileEntry:
        """The same with what its bytes were found to be."""
        # (`_replace` takes three times as long, and this is done for every file.)
        return FileEntry(
            self.path,
            size,
            sha256,
            self.git_blob,
            self.lfs,
            self.md5,
            self.computed or self.sha256 is None,
            False,
            self.published,
            self.archive,
            self.executable,
        )

    @property
    def hub_blob(self) -> str:
        """What the Hub's cache calls its content: the sha256 of what lies in LFS, else the git id;
        "" while that is not known."""
        return (self.sha256 if self.lfs else self.git_blob) or ""

    @property
    def git_proof(self) -> str:
        """The git id that the content must have, "" if none is known of it.

        A sha256 that was computed is that of the content with the git id beside it; one that the
        manifest states may be of another that a mirror has.
        """
        if self.sha256 and (self.lfs or not self.computed):
            return ""
        return self.git_blob or ""


class Listing(NamedTuple):
    """What a Hub answered when it was asked for a commit's tree, as it came.

    `endpoint` is the Hub's address; `kind` model, dataset or space. `ref` is the branch or tag
    that it said stands at `commit`, "" where the commit itself was asked for; `path` the folder
    that was listed, "" for all. `pages` are JSON lists. `closed`: a login went with the question,
    so that others may not see the answer. `whole`: it lists all that there is.
    """

    endpoint: str
    kind: str
    repo: str
    commit: str
    ref: str
    path: str
    pages: tuple[bytes, ...]
    closed: bool
    whole: bool = True


class Resolved(NamedTuple):
    """What a source resolved to: a revision that cannot move, and its files.

    `whole` is False where a mirror says that it lists no more than it holds. `said_by` is the
    address that was asked (see `asked`), "" if nothing was; `listing` is its answer, of a Hub.
    `license` is what it said of the licence, where it said it in passing.
    """

    revision: str
    files: Sequence[FileEntry]
    whole: bool = True
    said_by: str = ""
    listing: Listing | None = None
    license: str = ""


class Request(NamedTuple):
    """What an artifact wants of its source: names or globs, exclusions, and known digests."""

    files: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    known: Mapping[str, FileEntry] | None = None


class UrlCandidate(NamedTuple):
    """Bytes behind a URL. `origin` names the place in reports; credentials come by host.

    `manual_hint` says what to do by hand when a login page or an expired link answers. Among
    places of one `rank` the fastest is taken; those of a lower one are asked first. `pinned`: the
    source's own address of a commit, whose bytes never change: it decides what the content is.
    """

    origin: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    cookies: bool = False
    manual_hint: str = ""
    rank: int = 1
    pinned: bool = False


class PathCandidate(NamedTuple):
    """Bytes in a local file; `link`: the person asks for a hard link instead of a copy."""

    origin: str
    path: str
    link: bool = False


class DeferredCandidate(NamedTuple):
    """A URL that must be asked for right before the transfer (signed links), or a file that must
    be made then."""

    origin: str
    prepare: Callable[[Network], UrlCandidate | PathCandidate]


class ExtentsCandidate(NamedTuple):
    """Bytes that lie in pieces of local files: inside a bundle's tar, or across its volumes."""

    origin: str
    extents: tuple[Extent, ...]


class WheelCandidate(NamedTuple):
    """Bytes of one member of a wheel that pip can download."""

    origin: str
    requirement: str
    member: str


class XetCandidate(NamedTuple):
    """Bytes in Xet storage. `url` is the file's own, whose answer names its Xet hash; `token_url`
    tells the storage's address and a short-lived token."""

    origin: str
    url: str
    token_url: str


Candidate = (
    UrlCandidate
    | DeferredCandidate
    | PathCandidate
    | ExtentsCandidate
    | WheelCandidate
    | XetCandidate
)
# What needs no network.
LOCAL_CANDIDATES = (PathCandidate, ExtentsCandidate)


class Source(ABC):
    """Where an artifact comes from. Subclasses are frozen dataclasses of their YAML fields."""

    type: ClassVar[str]
    fields: ClassVar[Mapping[str, Field]]
    mirror_only: ClassVar[bool] = False
    # Whether manifests with all sizes and digests can skip the listing.
    lists: ClassVar[bool] = True

    @classmethod
    def check_fields(cls, node: Node, values: Values, document: Document) -> bool:
        """Note mistakes that no single field shows; True if there are none."""
        return True

    @classmethod
    @abstractmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """Fields from the short form's text after the prefix; ValueError says what is wrong."""

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """Fields of the address of one of its pages or links, None if it is none; ValueError says
        what is wrong with one."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """The canonical short text, as it stands in the lock."""

    @abstractmethod
    def resolve(self, request: Request, network: Network) -> Resolved:
        """List the exact files wanted. Raises Failure."""

    @abstractmethod
    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """Where this file's bytes can be had, best first; no network is used."""

    @property
    def packs_anew(self) -> bool:
        """Whether its file is an archive that the service packs for each who asks.

        The same members may then come in other bytes: what is in it decides, and not its digest.
        """
        return False

    def beside(self) -> Source:
        """Where files lie that stand beside this source's: itself, or the folder of its file."""
        return self

    def pinned_revision(self) -> str:
        """The revision to record when the manifest makes a listing unnecessary."""
        return ""

    def admits(self, revision: str) -> bool:
        """Whether a lock may hold this revision: the one stated, or what a name can stand for."""
        return True

    def access_probe(self, revision: str, path: str, network: Network) -> UrlCandidate | None:
        """A URL whose HEAD tells whether the files may be had, or None if nothing can tell."""
        return None

    def check_access(self, network: Network) -> bool:
        """Ask once whether the files may be had; False if nothing can tell. Raises Failure."""
        return False

    def page(self, network: Network) -> str:
        """The page a person would visit, or ""."""
        return ""


def browser_candidate(origin: str, url: str, path: str) -> UrlCandidate:
    """A URL that a person may have to open by hand: the hint tells how its file is taken in."""
    return UrlCandidate(origin, url, cookies=True, manual_hint=browser_hint(url, path))


def browser_hint(url: str, path: str) -> str:
    """How what a browser brings from `url` becomes the file `path` of an artifact."""
    return t(
        "open {url} in a browser, then: fetch adopt DOWNLOADED_FILE --as {artifact}/{path}",
        url=url,
        artifact="{artifact}",
        path=shlex.quote(path),
    )


def left_out(where: str, found: Mapping[str, str], network: Network) -> None:
    """Tell once in a run which paths of a source are not taken; `found` says why of each."""
    reasons = dict.fromkeys(found.values())
    for why in reasons:
        paths = sorted(path for path, reason in found.items() if reason == why)
        more = len(paths) - _SHOWN
        text = t(
            "note: {source} leaves out {paths}{more}: {why}",
            source=where,
            paths=", ".join(printable(path) for path in paths[:_SHOWN]),
            more=t(" and {more} more", more=more) if more > 0 else "",
            why=why,
        )
        network.once(f"said {text}", lambda text=text: network.say(text))  # type: ignore[misc]


def asked(url: str) -> str:
    """The address that a listing came from, as a lock has it: without login and query."""
    return public_url(url).rstrip("/")


def sound_size(size: object) -> TypeGuard[int]:
    """Whether a listing's size can be one: a whole number (True is none) that a file may have."""
    return type(size) is int and 0 <= size < 1 << 63


def shown(value: object) -> str:
    """A listing's value in messages: whatever its type, printable and short."""
    text = ascii(value)
    return text if len(text) <= 100 else text[:100] + "…"


def below(path: str, name: str) -> str | None:
    """`name` relative to the folder `path` ("" for the top), or None if it is not below it.

    Where `path` is that very file, its own last segment. Raises Failure for a file that is called
    as its folder is: nothing would tell the two apart.
    """
    if not path:
        return name
    if name == path:
        return path.rpartition("/")[2]
    if not name.startswith(path + "/"):
        return None
    if name[len(path) + 1 :] == path.rpartition("/")[2]:
        text = t("{name} is a file that is called as its folder is", name=printable(name))
        raise Failure("refused", text, t("give the source the `path` above it"))
    return name[len(path) + 1 :]


def from_top(path: str, name: str) -> str:
    """A name in the folder `path`, from the repository's top; the inverse of `below`."""
    if not path:
        return name
    return path if path.rpartition("/")[2] == name else f"{path}/{name}"


def choose(entries: Mapping[str, FileEntry], request: Request, where: str) -> list[FileEntry]:
    """Apply `files` and `exclude` to a listing and add the digests that the manifest knows.

    Raises Failure if a name is not there, matches nothing, or a listing's path is unsafe.
    """
    selection = select(entries, request.files, request.exclude)
    if selection.unmatched:
        missing = ", ".join(repr(name) for name in selection.unmatched[:5])
        more = len(selection.unmatched) - 5
        close = nearest(selection.unmatched[0], entries)
        raise Failure(
            "missing-upstream",
            t(
                "{where} has no {missing}{which}",
                where=where,
                missing=missing,
                which=t(" and {more} more", more=more) if more > 0 else "",
            ),
            t("did you mean {close!r}?", close=close)
            if close
            else t("compare `files` with the repository's list"),
            file=selection.unmatched[0],
        )
    if not selection.names:
        raise Failure(
            "missing-upstream",
            t("{where} has no file", where=where),
            t("check the path and the revision"),
        )
    chosen = []
    for name in selection.names:
        try:
            check_relative(name)
        except BadPath as error:
            raise Failure(
                "bad-path",
                t(
                    "{where} lists {name!r}, which {error}",
                    where=where,
                    name=printable(name),
                    error=error,
                ),
                t(
                    "if the repository can be trusted at all, {leave_out}",
                    leave_out=leave_out(name),
                ),
                file=printable(name),
            ) from error
        chosen.append(merge_known(entries[name], request, where))
    return chosen


def merge_known(entry: FileEntry, request: Request, where: str) -> FileEntry:
    """The entry with the manifest's own size and digest; a contradiction is a Failure."""
    known = (request.known or {}).get(entry.path)
    if known is None:
        return entry
    for label, here, there in (
        ("size", known.size, entry.size),
        ("sha256", known.sha256, entry.sha256),
    ):
        if here is not None and there is not None and here != there:
            raise Failure(
                "digest-mismatch" if label == "sha256" else "size-mismatch",
                t(
                    "{where}: {path} has {label} {there}, the manifest says {here}",
                    where=where,
                    path=entry.path,
                    label=label,
                    there=there,
                    here=here,
                ),
                t("the file changed upstream: pin the revision, or correct the manifest"),
                file=entry.path,
            )
    return entry._replace(
        size=entry.size if known.size is None else known.size,
        size_hint=entry.size_hint and known.size is None,
        sha256=known.sha256 or entry.sha256,
        md5=known.md5 or entry.md5,
        published=known.published or entry.published,
    )
