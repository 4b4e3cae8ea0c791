"""A repository put together of what its source said and of what is claimed of it, never mixed.

Where the source said what a commit holds, its word alone is shown. Else a claim stands for itself:
what two parties claim of one commit is shown as far as they agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from fetcher.i18n import t
from fetcher.mirror.claims import CommitClaims, paths_of, release_of, short
from fetcher.mirror.inventory import HeldArtifact
from fetcher.server.repos import COMMIT, Repo, Snapshot, made_up_commit, repo_file

_REF = re.compile(r"refs/(?:heads|tags)/(.+)")


class _Refs:
    """Which commit each branch or tag stands at, as far as nobody contradicts anybody."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self.default = "HEAD" if repo.kind == "github" else "main"
        self._claimed: dict[str, dict[str, str]] = {}  # commit by party, by ref
        self._last: dict[str, str] = {}  # the commit that each party named last

    def add(self, item: HeldArtifact) -> None:
        """Take the names of an artifact's revision in."""
        named = item.origin.text("ref" if self.repo.kind == "github" else "revision")
        named = named or self.default
        match = _REF.fullmatch(named)
        named = match[1] if match else named
        for ref in (*item.refs, named):
            if not COMMIT.fullmatch(ref):
                self._claimed.setdefault(ref, {})[item.party] = item.revision
        if item.follows:
            self._last[item.party] = item.revision

    def settle(self) -> None:
        """Give the repository these refs, but none that it has already."""
        for ref, by_party in self._claimed.items():
            self._settle(ref, by_party)

    def settle_default(self) -> None:
        """Where nobody follows the default branch, that branch is the commit that is held:
        clients ask for it, whatever revision they were told."""
        if self._last and self.default not in self.repo.disputed:
            self._settle(self.default, self._last)

    def _settle(self, ref: str, by_party: dict[str, str]) -> None:
        if ref in self.repo.refs:
            return
        if len(set(by_party.values())) == 1:
            self.repo.refs[ref] = next(iter(by_party.values()))
        else:
            self._dispute(ref, by_party)

    def _dispute(self, ref: str, by_party: dict[str, str]) -> None:
        (first, one), *others = sorted(by_party.items())
        second, two = next(item for item in others if item[1] != one)
        self.repo.disputed[ref] = t(
            "{repo}@{ref} is {one} to {first} and {two} to {second}: name the commit",
            repo=self.repo.id,
            ref=ref,
            one=one[:12],
            first=first,
            two=two[:12],
            second=second,
        )


def assembled(kind: str, name: str, artifacts: Iterable[HeldArtifact]) -> Repo:
    """One repository of all that sources said of it, and of claims where they said nothing."""
    repo = Repo(kind, name)
    items = [_with_commit(item) for item in artifacts]
    refs = _Refs(repo)
    for item in items:
        repo.record = item.record
        if item.upstream:
            snapshot = repo.snapshots.setdefault(item.revision, Snapshot(item.revision))
            snapshot.files |= {path: repo_file(file, path) for path, file in paths_of(item)}
            refs.add(item)
    refs.settle()
    claimed = _add_claims(repo, [item for item in items if not item.upstream])
    refs.settle_default()
    claimed.settle_default()
    if kind == "github" and not repo.refs.keys() & {"main", "master"} and "HEAD" in repo.refs:
        repo.refs |= dict.fromkeys(("main", "master"), repo.refs["HEAD"])
    return repo


def _add_claims(repo: Repo, items: list[HeldArtifact]) -> _Refs:
    refs, told = _Refs(repo), set(repo.snapshots)
    commits: dict[str, CommitClaims] = {}
    releases: dict[str, CommitClaims] = {}
    for item in items:
        if tag := release_of(item):
            releases.setdefault(tag, CommitClaims()).add(item)
            continue
        if item.revision not in told:
            commits.setdefault(item.revision, CommitClaims()).add(item)
        if item.latest and item.follows:
            refs.add(item)
    for shown, found in ((repo.snapshots, commits), (repo.releases, releases)):
        for place, claims in found.items():
            shown[place] = _agreed(place, claims, repo.id)
    refs.settle()
    return refs


def _agreed(place: str, claims: CommitClaims, repo: str) -> Snapshot:
    """What all parties claim alike of a commit; for the rest, why it is not shown."""
    found = Snapshot(place)
    found.disputed = {path: dispute.message for path, dispute in claims.disputes.items()}
    for path in claims.paths():
        if path in found.disputed:
            continue
        has = sorted(party for party, files in claims.files.items() if path in files)
        lacks = sorted(claims.files.keys() - set(has))
        if not lacks:
            found.files[path] = repo_file(claims.files[has[0]][path], path, claimed=True)
            continue
        found.disputed[path] = t(
            "{repo}@{commit}: {path} is a claim of {party}; {other} does not have it there, and "
            "no listing of the source's is known",
            repo=repo,
            commit=short(place),
            path=path,
            party=has[0],
            other=lacks[0],
        )
    return found


def _with_commit(item: HeldArtifact) -> HeldArtifact:
    """With a commit for its revision; of a lock that only knows a branch, a made-up one that its
    files determine. A release keeps its tag."""
    if COMMIT.fullmatch(item.revision) or item.origin.text("release"):
        return item
    lines = [f"{file.sha256} {file.size} {file.path}" for file in item.files]
    return replace(item, revision=made_up_commit([item.source, item.revision, *sorted(lines)]))
