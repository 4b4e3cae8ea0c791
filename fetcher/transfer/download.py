"""What the engine is asked to get, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fetcher.errors import Failure, Problem, hint_of
from fetcher.fs.atomic import Stat
from fetcher.i18n import join, t
from fetcher.network.signed_links import unsigned
from fetcher.project.command_words import command_words
from fetcher.sources.base import Candidate, FileEntry, UrlCandidate
from fetcher.store.store import Part
from fetcher.transfer.partial_file import Follower, PartialFile

# Bodies up to this size are held in memory until they are complete.
SMALL = 1 << 20
MAX_TRIES = 6
MAX_RENEWALS = 4  # of a link, without bytes in between


class Download:
    """One content to get, from the first candidate that delivers it whole and right.

    `anew`: the next try starts at the first byte. `furthest`: the most bytes that this candidate
    ever brought. `spooled`: a small body that was cut off and so went to a partial file.
    `no_ranges`: this candidate does not serve them; `ranges`: it was seen to. `landed`: where its
    redirects have led, and `link_uses` how many requests it has served. `addressed_at`: when an API
    or a redirect gave the link (time.monotonic()); `addressing`: it is being asked. `renewing`: its
    link was refused, and one request is to get another. `single_use`: each link serves one request.
    `refusals`: how many links were refused since bytes came last, when `renewed_at` of them were
    there. `retry_at`: no try before that time.monotonic(). `settled`: nothing is to be asked for,
    as it has failed or is being proven. `proven`: its digest is known. `first_trust`: a person
    vouches for whatever comes where no digest is known. `declared`: the Content-Type of the answer
    that brought the body's beginning. `no_parts`: what earlier runs left was wrong. `plain`: this
    candidate refuses ranges, so the whole is asked for; `plain_doubtful`: or it had no time when it
    was asked for one; `range_refusals`: how often, the last at `range_refused_at`. `odd`: a
    receiver did not get just what it asked for, so that libcurl asks next. `decode`: the
    compression of the body is undone, "here" or by "libcurl"; `coded`: the ones that the last
    answer named while its bytes were taken as they came; `undecodable`: they are none.
    `unmeasured`: no length that this candidate tells is believed, for the reason given. `came`: the
    bytes of a body that is settled, and whose size nobody had said. `copied`: bytes that came from
    this machine. `follower` reads a large body while it comes. `elsewhere`: what does not come so,
    comes in an archive. `expected`: the size that was counted on, be it a hint. `fresh`: its next
    request takes a connection of its own. `taken_over`: another run began it. `key`: the file's,
    which is asked for again and again. `restarts`: how often bytes that had come counted no more.
    `reach`: what names the artifact's manifest to commands,
    and `called` what they call the artifact.
    """

    # (Of these nearly all keep what they begin with: a run makes one for every file.)
    index: int = 0
    tries: int = 0
    reasons: tuple[Failure, ...] = ()
    part: Part | None = None
    validator: str = ""
    resumed: bool = False
    no_parts: bool = False
    decode: str = ""
    coded: tuple[str, ...] = ()
    undecodable: bool = False
    unmeasured: Failure | None = None
    lengths_count: bool = False
    anew: bool = False
    restarts: int = 0
    spooled: bool = False
    furthest: int = 0
    mismatched: bool = False
    deferred: Candidate | None = None
    received: int = 0
    partial: PartialFile | None = None
    no_ranges: bool = False
    ranges: bool = False
    plain: bool = False
    plain_doubtful: bool = False
    range_refusals: int = 0
    range_refused_at: float = 0.0
    odd: bool = False
    landed: str = ""
    link_uses: int = 0
    addressed_at: float = 0.0
    addressing: bool = False
    renewing: bool = False
    single_use: bool = False
    refusals: int = 0
    renewed_at: int = 0
    retry_at: float = 0.0
    overtaken: int = 0
    fresh: bool = False
    taken_over: bool = False
    settled: bool = False
    came: int = 0
    copied: int = 0
    proven: bool = False
    declared: str = ""
    elsewhere: bool = False

    def __init__(
        self,
        artifact: str,
        file: FileEntry,
        candidates: Sequence[Candidate],
        *,
        first_trust: bool = False,
        follower: Follower | None = None,
        reach: str = "",
        called: str = "",
    ) -> None:
        self.artifact = artifact
        self.file = file
        self.candidates = candidates
        self.first_trust = first_trust
        self.follower = follower
        self.reach = reach
        self.called = called or artifact
        self.expected = file.size
        if file.size_hint:  # bytes are held to what is known of them
            self.file = file._replace(size=None, size_hint=False)
        self.key = file.key

    @property
    def command_words(self) -> str:
        """What `fetch lock --update` takes to ask for its artifact anew."""
        return command_words(self.called, self.reach)

    @property
    def small(self) -> bool:
        """Whether the body fits in memory."""
        return self.file.size is not None and self.file.size <= SMALL and not self.spooled

    @property
    def candidate(self) -> Candidate:
        """Where it is to be had now; a deferred candidate's URL once that is known."""
        return self.deferred or self.candidates[self.index]

    @property
    def link(self) -> str | Candidate | None:
        """The link that the next request uses: where redirects led, or what an API gave."""
        return self.landed or self.deferred or None

    @property
    def content_key(self) -> str:
        """Identity of the content; without a digest, of the place that it comes from now.

        Only the very same address can mean the same bytes.
        """
        return self.key or self.place_key

    @property
    def place_key(self) -> str:
        """Identity of the place that it comes from now."""
        url = unsigned(self.candidate.url) if isinstance(self.candidate, UrlCandidate) else ""
        return f"{self.candidate.origin} {self.label} {url}"

    @property
    def doubtful(self) -> bool:
        """Whether only the bytes themselves can tell that they are the file."""
        return not (self.key or self.file.md5 or self.file.published or self.first_trust)

    @property
    def label(self) -> str:
        """What to call it in messages."""
        return f"{self.artifact}/{self.file.path}"

    def next_candidate(self, reason: Failure) -> bool:
        """Give this candidate up for `reason`; False if it was the last."""
        self.reasons += (reason,)
        self.index += 1
        self.tries = self.furthest = self.refusals = self.renewed_at = 0
        self.mismatched = self.anew = self.resumed = False
        self.forget_place()
        return self.index < len(self.candidates)

    def forget_place(self) -> None:
        """Nothing that was learned of the candidate's address holds any more."""
        self.forget_link()
        self.no_ranges = self.ranges = self.plain = self.plain_doubtful = False
        self.renewing = self.single_use = False
        self.range_refusals, self.range_refused_at = 0, 0.0
        self.decode, self.coded, self.undecodable, self.unmeasured = "", (), False, None

    def forget_link(self) -> None:
        """The next request asks the origin for where the bytes are."""
        self.deferred, self.landed, self.link_uses = None, "", 0

    def problem(self) -> Problem:
        """Why it failed: the weightiest reason, and the others after it."""
        order = [
            "disk-space",
            "permission",
            "gated",
            "auth",
            "offline",
            "digest-mismatch",
            "size-mismatch",
        ]
        ranked = sorted(
            self.reasons,
            key=lambda r: order.index(r.problem.code) if r.problem.code in order else len(order),
        )
        first = (
            ranked[0].problem if ranked else Problem("offline", t("no place is known to get it"))
        )
        others = [reason.message for reason in self.reasons if reason is not ranked[0]]
        also = [t("also {other}", other=other) for other in dict.fromkeys(others)]
        message = join([first.message, *also], "; ") if also else first.message
        named = first._replace(artifact=self.command_words)
        hint = hint_of(named) if self.command_words != self.artifact else first.hint
        return Problem(first.code, message, hint, self.artifact, self.file.path)


@dataclass(eq=False, slots=True)
class Arrived:
    """A whole body, not yet proven: in memory, or in a private file of the store."""

    download: Download
    origin: str
    data: bytes | None = None
    path: str = ""
    size: int = 0
    digests: tuple[str, str] | None = None
    stat: Stat | None = None  # of a private file that already is read-only
    stored: bool = False  # another run has put it into the store; `digests` are known


class Delivered(NamedTuple):
    """A content that is now in the store. `downloaded` counts bytes received for it."""

    download: Download
    sha256: str
    git_blob: str
    size: int
    origin: str
    downloaded: int
    stat: Stat
