"""Whether what a bundle claims fits what is known: other bundles, imports, what sources said."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fetcher.bundle.blob_import import ImportResult
from fetcher.errors import FetchError, Problem
from fetcher.i18n import t
from fetcher.mirror.claims import disputes, repo_key
from fetcher.mirror.inventory import HeldArtifact, listing_of
from fetcher.mirror.oci_documents import Contents
from fetcher.project import lockfile
from fetcher.store import imports
from fetcher.store.imports import ImportRecord
from fetcher.store.source_word import SourceWord
from fetcher.store.store import Store
from fetcher.store.upstream_records import UpstreamRecords


@dataclass(frozen=True)
class NewClaims:
    """What one bundle claims, by its images and its lock, and how it will be written down."""

    record: ImportRecord
    artifacts: Sequence[HeldArtifact]

    @classmethod
    def of(cls, contents: Contents, place: str, key: Path | None, store: Store) -> NewClaims:
        """The claims of a bundle that came from `place`. Raises OSError."""
        index = hashlib.sha256(contents.index).hexdigest()
        record = ImportRecord(index[:24], index, place, key=imports.key_id(key))
        label = _label(record)
        held = [replace(item, party=label) for item in contents.artifacts]
        with suppress(FetchError, UnicodeDecodeError):
            text = contents.documents.get(lockfile.NAME, b"").decode()
            held += imports.claims_of(lockfile.loads(text), store, label) if text else []
        return cls(record, held)

    @property
    def label(self) -> str:
        """What to call it before it is in."""
        return _label(self.record)


def _label(record: ImportRecord) -> str:
    return t("{place} (index sha256:{index})", place=record.place, index=record.index[:12])


@dataclass(frozen=True)
class ImportChoice:
    """How to import. `locks` is the setting: `fetch gc` removes nothing meanwhile. `endpoint` is
    the Hub whose word counts; `replace`: what earlier imports say otherwise gives way."""

    locks: str = "auto"
    endpoint: str = ""
    replace: bool = False


@dataclass
class ClaimsCheck:
    """How new claims fit what is known.

    `problems` end an import. `contested` do, unless the person trusts the new one more: then it
    takes the place of `replaced`. `notes` are what they should know.
    """

    problems: list[Problem] = field(default_factory=list)
    contested: list[Problem] = field(default_factory=list)
    replaced: list[ImportRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AcceptedClaims:
    """Claims that are written down once their contents are there.

    `replaced` are earlier ones that give way; `again`: a bundle that was there gets a new turn.
    """

    new: Sequence[NewClaims]
    replaced: Sequence[ImportRecord]
    again: bool

    def keep(self, contents: Contents, store: Store) -> None:
        """Keep what a bundle's lock needs from `fetch gc`, and let servers show it.

        Raises OSError.
        """
        imports.forget(store, self.replaced)
        words = UpstreamRecords.of_bundles(store.root)
        index = hashlib.sha256(contents.index).hexdigest()
        record = next(item.record for item in self.new if item.record.index == index)
        if lockfile.NAME in contents.documents:
            imports.keep(store, record, contents.documents, self.again)
        # The person took it in: that is their word, where files go into the Hub's cache unasked.
        for artifact in contents.artifacts:
            if listing := listing_of(artifact, record.speaker):
                words.add_pages(listing)


def accept(
    new: Sequence[NewClaims], store: Store, choice: ImportChoice, result: ImportResult
) -> AcceptedClaims:
    """Claims that may be taken in; else the result has problems. Its notes tell what to know."""
    found = check(new, store, SourceWord.of_store(store, choice.endpoint))
    result.problems += found.problems
    if not choice.replace:
        result.problems += found.contested
    result.notes += [line for claims in new for line in told(claims)] + found.notes
    again = choice.replace and bool(found.contested)
    return AcceptedClaims(new, found.replaced if choice.replace else (), again)


def check(new: Sequence[NewClaims], store: Store, word: SourceWord | None) -> ClaimsCheck:
    """Compare new claims with each other, with earlier imports and with what sources said."""
    done = ClaimsCheck()
    hint = t("import one of them alone, and ask who made them which is right")
    found = disputes(item for claims in new for item in claims.artifacts)
    done.problems += [Problem("conflict", one.message, hint, file=one.path) for one in found]
    known = imports.records(store.root)
    for claims in new:
        done.problems += _against_word(claims, word) if word else []
        _against_imports(claims, known, store, done)
        done.notes += _moved(claims, known)
    done.notes += _against_projects(new, store)
    return done


def _against_projects(new: Sequence[NewClaims], store: Store) -> list[str]:
    """Projects of this store that contradict a bundle: no more than a claim against a claim."""
    notes = []
    mine = [item for claims in new for item in claims.artifacts]
    for root in imports.projects(store):
        with suppress(FetchError):
            theirs = imports.claims_of(lockfile.read(root), store, str(root))
            found = [one for one in disputes([*mine, *theirs]) if str(root) in one.parties]
            notes += [t("{dispute}: find out which is right", dispute=one.message) for one in found]
    return notes


def told(claims: NewClaims) -> list[str]:
    """Which sources' names a bundle speaks in."""
    sources = sorted({item.source for item in claims.artifacts if repo_key(item) is not None})
    if not sources:
        return []
    shown = ", ".join(sources[:5]) + ("…" if len(sources) > 5 else "")
    return [t("{bundle} claims to hold {sources}", bundle=claims.label, sources=shown)]


def _moved(claims: NewClaims, known: Sequence[ImportRecord]) -> list[str]:
    """Whether another bundle stands where one was taken from before."""
    mine = claims.record
    earlier = [item for item in known if item.place == mine.place and item.index]
    if not earlier or earlier[-1].index == mine.index:
        return []
    return [
        t(
            "{place} is not what it was: index sha256:{before} when it was taken on {day}, and "
            "sha256:{now} now",
            place=mine.place,
            before=earlier[-1].index,
            day=earlier[-1].day,
            now=mine.index,
        )
    ]


def _against_word(claims: NewClaims, word: SourceWord) -> list[Problem]:
    problems = []
    for item in claims.artifacts:
        for file in word.unconfirmed(item):
            text = t(
                "{bundle}: {name} claims {path} of {source} at {revision}, and {url} listed no "
                "such file there",
                bundle=claims.label,
                name=item.full_name,
                path=file.path,
                source=item.source,
                revision=item.revision[:12],
                url=word.url,
            )
            hint = t("do not use it: ask whoever made it where that file is from")
            problems.append(Problem("bundle", text, hint, item.id, file.path))
    return problems


def _against_imports(
    claims: NewClaims, known: list[ImportRecord], store: Store, done: ClaimsCheck
) -> None:
    mine = {item.full_name: item for item in claims.artifacts}
    before = next((item for item in known if item.index == claims.record.index), None)
    for record in known:
        if before is not None and record.name == before.name:
            continue
        theirs = imports.claims(store, record)
        found = [
            one
            for one in disputes([*claims.artifacts, *theirs])
            if set(one.parties) == {claims.label, record.label}
        ]
        if found:
            done.contested.append(_contested(found[0].message))
            done.replaced.append(record)
            continue
        changed = [
            item.full_name
            for item in theirs
            if item.full_name in mine and not item.is_like(mine[item.full_name])
        ]
        if changed:
            _changed(claims, record, changed, before, done)


def _contested(message: str) -> Problem:
    hint = t("ask who made them which is right; --replace takes this one in place of the other")
    return Problem("conflict", message, hint)


def _changed(
    claims: NewClaims,
    record: ImportRecord,
    names: Sequence[str],
    before: ImportRecord | None,
    done: ClaimsCheck,
) -> None:
    """An artifact that an earlier import brought as well, with other files."""
    words = {
        "bundle": claims.label,
        "names": ", ".join(names[:5]) + ("…" if len(names) > 5 else ""),
        "other": record.label,
    }
    if before is not None and before.number < record.number:
        text = t("{bundle} is older than {other}, which replaced it: {names}", **words)
        done.contested.append(_contested(text))
    elif before is not None:
        return  # it was imported after that one, and stays the latest
    elif record.key and record.key != claims.record.key:
        text = t(
            "{bundle} has other files of {names} than {other}, and is not signed with its key",
            **words,
        )
        done.contested.append(_contested(text))
    else:
        done.notes.append(t("{names}: {bundle} replaces what {other} brought", **words))
