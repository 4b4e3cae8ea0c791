"""Pins: what a manifest states of an artifact, and where a lock says otherwise.

A manifest is what people read and review; a lock is long, and written by a tool. So a lock may add
to what the manifest states (a branch's commit, digests that nobody stated), and never replace it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from fetcher.errors import LockMismatch, Problem
from fetcher.fs.safe_paths import printable
from fetcher.i18n import join, t
from fetcher.project.manifest import Artifact, Manifest
from fetcher.sources.base import FileEntry
from fetcher.yamldoc import nodes
from fetcher.yamldoc.nodes import Node
from fetcher.yamldoc.schema import node_of

# What a manifest can state of a file, by the names that FileEntry has for it.
_FACTS = ("size", "sha256", "git_blob", "md5", "published")


class Contradiction(NamedTuple):
    """One pin of a manifest that a lock does not keep; `locked` is "" where the lock has nothing.

    `fact` is revision, count, files (a file is missing), or a fact about `file`: size, sha256,
    git_blob, md5, published.
    """

    manifest: str
    artifact: str
    file: str
    fact: str
    stated: str
    locked: str

    @property
    def message(self) -> str:
        """Both values, for people."""
        what = t("the {fact} of {file}", fact=self.fact, file=self.file) if self.file else self.fact
        return t(
            "{what}: the manifest states {stated}, fetch.lock has {locked}",
            what=what,
            stated=printable(self.stated),
            locked=_shown(self.locked) if self.locked else t("none"),
        )


def _shown(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= 100 else shown[:99] + "…"


def contradictions(
    artifact: Artifact, revision: str, files: Sequence[FileEntry], count: int | None
) -> Iterator[Contradiction]:
    """Every pin of the artifact that a lock's entry with these values does not keep.

    `files` are the source's; `count` says how many the artifact has, None while nobody knows.
    """

    def found(fact: str, stated: object, locked: object, file: str = "") -> Contradiction:
        text = "" if locked is None else str(locked)
        return Contradiction(artifact.manifest, artifact.id, file, fact, str(stated), text)

    if not artifact.source.admits(revision):
        yield found("revision", artifact.source.pinned_revision() or t("none"), revision)
    if None not in {artifact.count, count} and artifact.count != count:
        yield found("count", artifact.count, count)
    known = artifact.request.known
    if not known:
        return
    locked = {file.path: file for file in files}
    for path, stated in known.items():
        entry = locked.get(path)
        if entry is None:
            names = artifact.source_names
            if names is None or path in names:
                yield found("files", path, None)
            continue
        if stated[1:3] == entry[1:3] and stated.md5 is stated.published is None:
            continue  # the usual case, and there may be many
        for fact in _FACTS:
            wanted, there = getattr(stated, fact), getattr(entry, fact)
            if wanted is not None and wanted != there:
                yield found(fact, wanted, there, path)


def mismatch(
    found: Iterable[tuple[Manifest, Contradiction]], shown: str = "fetch.lock"
) -> LockMismatch | None:
    """The error that tells of contradictions in the lock called `shown`; None if there are none."""
    found = list(found)
    if not found:
        return None
    places: dict[str, _Places] = {}
    updates = dict.fromkeys(f"--update {item.artifact}" for _, item in found)
    problems = []
    for manifest, item in found:
        line = places.setdefault(manifest.name, _Places(manifest))(item)
        hint = t(
            "one of both is wrong: `fetch diff` shows how the lock changed. If the manifest is "
            "right: `fetch lock {updates}`; if the lock is right, correct the manifest",
            updates=" ".join(list(updates)[:20]),
        )
        message = join((f"{manifest.file}:{line}", item.message), ": ")
        about = item.artifact, item.file, manifest.file, line
        problems.append(Problem("lock-mismatch", message, hint, *about))
    return LockMismatch(t("{shown} contradicts the manifest", shown=shown), problems)


class _Places:
    """Where a manifest states something: read again, since only errors need it."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._root: Node | None = None
        self._read: dict[str, dict[str, int]] = {}

    def __call__(self, item: Contradiction) -> int:
        """The line of what the lock contradicts, of its artifact if that is not found."""
        lines = self._lines(item.artifact)
        if item.fact in {"revision", "count"}:
            keys = ["source" if item.fact == "revision" else "count"]
        else:
            name = item.file or item.stated
            keys = [f"files/{name}/{item.fact}", f"files/{name}", "files"]
        place = self._manifest.places.get(item.artifact, (1, 1))[0]
        return next((lines[key] for key in keys if key in lines), place)

    def _lines(self, artifact: str) -> dict[str, int]:
        """Where the values of an artifact stand, by their keys joined with slashes."""
        if artifact not in self._read:
            path = self._manifest.path
            if self._root is None and path is not None:
                self._root = nodes.read(path).root
            node = self._root and node_of(node_of(self._root, "artifacts"), artifact)
            self._read[artifact] = dict(_lines_of(node)) if node else {}
        return self._read[artifact]


def _lines_of(node: Node) -> Iterator[tuple[str, int]]:
    for key, value in node.pairs:
        yield key.text, key.line
        if key.text == "files":
            for name, facts in value.pairs:
                yield f"files/{name.text}", name.line
                yield from (
                    (f"files/{name.text}/{fact.text}", fact.line) for fact, _ in facts.pairs
                )


def refuse(
    manifests: Iterable[Manifest], found_of: Callable[[Artifact], Iterable[Contradiction]]
) -> None:
    """Raise LockMismatch with every contradiction that `found_of` finds for their artifacts."""
    found = [
        (manifest, item)
        for manifest in manifests
        for artifact in manifest.artifacts.values()
        for item in found_of(artifact)
    ]
    if (error := mismatch(found)) is not None:
        raise error
