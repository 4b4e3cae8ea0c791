"""What the engine is asked to get, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fetcher.errors import Failure, Problem
from fetcher.fs.atomic import Stat
from fetcher.i18n import join, t
from fetcher.sources.base import Candidate, FileEntry, UrlCandidate
from fetcher.store.store import Part
from fetcher.transfer.partial_file import PartialFile

# Bodies up to this size are held in memory until they are complete.
SMALL = 1 << 20
MAX_TRIES = 6


@dataclass(eq=False, slots=True)
class Download:
    """One content to get, from the first candidate that delivers it whole and right.

    `anew`: the next try starts at the first byte. `furthest`: the most bytes that this candidate
    ever brought. `spooled`: a small body that was cut off and so went to a partial file.
    `no_ranges`: this candidate does not serve them; `ranges`: it was seen to. `landed`: where its
    redirects have led. `retry_at`: no try before that time.monotonic(). `settled`: nothing is to
    be asked for, as it has failed or is being proven. `proven`: its digest is known. `first_trust`:
    a person vouches for whatever comes where no digest is known. `declared`: the Content-Type of
    the answer that brought the body's beginning. `no_parts`: what earlier runs left was wrong.
    `key`: the file's, which is asked for again and again.
    """

    artifact: str
    file: FileEntry
    candidates: Sequence[Candidate]
    index: int = 0
    tries: int = 0
    reasons: tuple[Failure, ...] = ()
    part: Part | None = None
    validator: str = ""
    resumed: bool = False
    no_parts: bool = False
    decode: bool = False
    anew: bool = False
    spooled: bool = False
    furthest: int = 0
    mismatched: bool = False
    deferred: Candidate | None = None
    received: int = 0
    partial: PartialFile | None = None
    no_ranges: bool = False
    ranges: bool = False
    landed: str = ""
    retry_at: float = 0.0
    overtaken: int = 0
    settled: bool = False
    proven: bool = False
    first_trust: bool = False
    declared: str = ""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        if self.file.size_hint:  # bytes are held to what is known of them
            self.file = self.file._replace(size=None, size_hint=False)
        self.key = self.file.key

    @property
    def small(self) -> bool:
        """Whether the body fits in memory."""
        return self.file.size is not None and self.file.size <= SMALL and not self.spooled

    @property
    def candidate(self) -> Candidate:
        """Where it is to be had now; a deferred candidate's URL once that is known."""
        return self.deferred or self.candidates[self.index]

    @property
    def content_key(self) -> str:
        """Identity of the content; without a digest, of the place that it comes from now.

        Only the very same address can mean the same bytes.
        """
        return self.key or self.place_key

    @property
    def place_key(self) -> str:
        """Identity of the place that it comes from now."""
        url = self.candidate.url if isinstance(self.candidate, UrlCandidate) else ""
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
        self.tries = self.furthest = 0
        self.mismatched = self.decode = self.anew = self.resumed = False
        self.forget_place()
        return self.index < len(self.candidates)

    def forget_place(self) -> None:
        """Nothing that was learned of the candidate's address holds any more."""
        self.deferred = None
        self.landed = ""
        self.no_ranges = self.ranges = False

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
        return Problem(first.code, message, first.hint, self.artifact, self.file.path)


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
