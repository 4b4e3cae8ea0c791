"""What several parties claim of one repository, compared: projects, bundles, imports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.i18n import t
from fetcher.mirror.inventory import HeldArtifact
from fetcher.sources.base import FileEntry, from_top

RepoKey = tuple[str, str]
_RELEASE = "release:"


@dataclass(frozen=True)
class Dispute:
    """Two contents that are claimed for one path of one commit, by two parties or by one.

    `commit` is `release:TAG` for what is attached to a release.
    """

    repo: str
    commit: str
    path: str
    parties: tuple[str, str]

    @property
    def message(self) -> str:
        """The same in words."""
        first, second = sorted(self.parties)
        where = f"{self.repo}@{short(self.commit)}"
        if first == second:
            return t(
                "{where}: {party} claims two contents for {path}",
                where=where,
                party=first,
                path=self.path,
            )
        return t(
            "{where}: {first} and {second} claim two contents for {path}",
            where=where,
            first=first,
            second=second,
            path=self.path,
        )


@dataclass
class CommitClaims:
    """What each party claims of one commit, by path; `disputes` by path, too."""

    files: dict[str, dict[str, FileEntry]] = field(default_factory=dict)
    disputes: dict[str, Dispute] = field(default_factory=dict)

    def add(self, item: HeldArtifact) -> None:
        """Take an artifact in."""
        mine = self.files.setdefault(item.party, {})
        for path, file in paths_of(item):
            for party, theirs in self.files.items():
                other = theirs.get(path)
                if other is not None and other.sha256 != file.sha256:
                    parties = party, item.party
                    dispute = Dispute(item.origin.repo, place_of(item), path, parties)
                    self.disputes.setdefault(path, dispute)
            mine.setdefault(path, file)

    def paths(self) -> list[str]:
        """Every path that somebody claims, sorted."""
        return sorted({path for files in self.files.values() for path in files})


def short(commit: str) -> str:
    """A commit as messages show it; a release by its tag."""
    return commit.removeprefix(_RELEASE) if commit.startswith(_RELEASE) else commit[:12]


def paths_of(item: HeldArtifact) -> Iterator[tuple[str, FileEntry]]:
    """An artifact's files by their paths in the repository; members of archives have none."""
    folder = "" if item.origin.text("release") else item.origin.text("path")
    for file in item.files:
        if file.archive:
            continue
        path = from_top(folder, file.path)
        try:
            check_relative(path)  # the folder may come from a bundle
        except BadPath:
            continue
        yield path, file


def repo_key(item: HeldArtifact) -> RepoKey | None:
    """(kind, id) of the repository that an artifact comes from; None if that is none."""
    origin = item.origin
    if origin.type == "huggingface":
        return origin.text("repo_type") or "model", origin.repo
    return ("github", origin.repo.lower()) if origin.type == "github" else None


def release_of(item: HeldArtifact) -> str:
    """The tag of the release that the files are attached to, "" if they lie in a commit."""
    release = item.origin.text("release")
    return (item.revision or release) if release else ""


def place_of(item: HeldArtifact) -> str:
    """What parties can contradict each other about: a commit, or `release:TAG`."""
    release = release_of(item)
    return f"{_RELEASE}{release}" if release else item.revision


def disputes(artifacts: Iterable[HeldArtifact]) -> list[Dispute]:
    """Every contradiction between claims of one commit; what sources said is no claim."""
    places: dict[tuple[RepoKey, str], list[HeldArtifact]] = {}
    for item in artifacts:
        if not item.upstream and item.revision and (key := repo_key(item)) is not None:
            places.setdefault((key, place_of(item)), []).append(item)
    found: list[Dispute] = []
    for items in places.values():
        if len(items) > 1:
            claims = CommitClaims()
            for item in items:
                claims.add(item)
            found += claims.disputes.values()
    return found
