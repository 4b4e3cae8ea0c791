"""What only shows when a manifest and its layout are seen together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

from fetcher.fs.globs import compile_glob
from fetcher.fs.patterns import expand, is_glob
from fetcher.fs.safe_paths import PathClaims
from fetcher.fs.spelled import told_apart
from fetcher.i18n import t
from fetcher.project.layout import (
    Claims,
    Entry,
    Layout,
    covers,
    mismatch,
    target_of,
    writable_glob,
)
from fetcher.project.manifest import Manifest
from fetcher.project.variants import take_turns
from fetcher.yamldoc.nodes import Document


class _CrossCheck:
    """One manifest against one layout; problems go to their documents."""

    def __init__(
        self, manifest: Manifest, layout: Layout, manifest_doc: Document, layout_doc: Document
    ) -> None:
        self.manifest = manifest
        self.layout = layout
        self.manifest_doc = manifest_doc
        self.layout_doc = layout_doc
        # Artifacts that a misspelled name in the layout must mean.
        self.meant: set[str] = set()
        # What the tree places, as far as the manifest's own lists of files tell.
        self.targets: set[str] = set()
        self.open_folders: list[Entry] = []
        self._known: dict[str, Mapping[str, None] | None] = {}
        self._claims: dict[tuple[str, str], Claims] = {}
        self._told: set[tuple[str, str]] = set()  # places of which nothing more is said

    def run(self) -> None:
        """Note everything."""
        self._turns()
        self._entries()
        self._hub_cache()
        if not self.layout.has_tree:
            return
        self._unplaced()
        self._targets()
        self._edits()
        self._writable()

    def _doc(self, entry: Entry) -> Document:
        """The document that says it."""
        return self.manifest_doc if entry.file else self.layout_doc

    def _unknown(self, artifact: str, line: int, column: int) -> None:
        declared = self.manifest.declared
        unplaced = declared - self.layout.mentioned - self.meant
        guess = self.layout_doc.nearest
        close = guess(artifact, unplaced) or guess(artifact, declared)
        if close and _is_slip(artifact, close):
            self.meant.add(close)
        self.layout_doc.at(
            line,
            column,
            t(
                "manifest {name!r} has no artifact {artifact!r}",
                name=self.manifest.name,
                artifact=artifact,
            ),
            t("did you mean {close!r}?", close=close)
            if close
            else t("its artifacts: {declared}", declared=_listed(declared)),
        )

    def _names(self, artifact_id: str) -> Mapping[str, None] | None:
        """The artifact's files, if the manifest alone tells them."""
        if artifact_id not in self._known:
            artifact = self.manifest.artifacts.get(artifact_id)
            names = artifact.literal_names if artifact else None
            self._known[artifact_id] = None if names is None else dict.fromkeys(names)
        return self._known[artifact_id]

    def _entries(self) -> None:
        for entry in self.layout.entries:
            if entry.artifact not in self.manifest.declared:
                self._unknown(entry.artifact, entry.line, entry.column)
                continue
            if (entry.root, entry.target) in self._told:
                continue
            names = self._names(entry.artifact)
            document = self._doc(entry)
            if names is not None and (wrong := mismatch(entry, names, document.nearest)):
                document.at(entry.line, entry.column, *wrong)
            artifact = self.manifest.artifacts.get(entry.artifact)
            if entry.root and artifact is not None and artifact.source.type == "local":
                document.at(
                    entry.line,
                    entry.column,
                    t(
                        "{id!r} comes from this machine, and {root} holds what its source on the "
                        "network says it is",
                        id=entry.artifact,
                        root=entry.root,
                    ),
                    t("place it in the tree"),
                )

    def _turns(self) -> None:
        """A list under one file's name is for artifacts of which one at a time is fetched."""
        for key, root, target, artifacts, line, column in self.layout.turns:
            variants = self.manifest.variants
            pairs = combinations(artifacts, 2)
            if len(artifacts) < 2 or any(not take_turns(variants, *pair) for pair in pairs):
                self._told.add((root, target))
                self.layout_doc.at(
                    line,
                    column,
                    t("a list needs a folder: a file can come from one artifact only"),
                    t(
                        "write {text!r}, or let them take turns: `variants` in the manifest",
                        text=key + "/",
                    ),
                )

    def _hub_cache(self) -> None:
        for name in self.layout.hub_cache:
            place = self.layout.places[f"hub_cache:{name}"]
            artifact = self.manifest.artifacts.get(name)
            if name not in self.manifest.declared:
                self._unknown(name, *place)
            elif artifact and artifact.unpack is not None:
                self.layout_doc.at(
                    *place,
                    t(
                        "{name!r} is unpacked, and the Hugging Face cache holds files as they are "
                        "in a repository",
                        name=name,
                    ),
                    t("place it in the tree"),
                )
            elif artifact and artifact.source.type != "huggingface":
                self.layout_doc.at(
                    *place,
                    t(
                        "{name!r} comes from {type}, the Hugging Face cache holds repositories of "
                        "the Hub only",
                        name=name,
                        type=artifact.source.type,
                    ),
                )

    def _unplaced(self) -> None:
        placed = self.layout.mentioned | self.meant | self.manifest.targets_unread
        for artifact in self.manifest.declared - placed:
            self.manifest_doc.at(
                *self.manifest.places[artifact],
                t(
                    "artifact {artifact!r} has no place in layout {name!r} ({file})",
                    artifact=artifact,
                    name=self.layout.name,
                    file=self.layout.file,
                ),
                t(
                    "add it to the layout's tree or hub_cache, say it here (to: FOLDER/), or "
                    "remove it"
                ),
            )

    def _targets(self) -> None:
        """Gather what is placed; two files on one path are noted, once for each entry."""
        taken: dict[str, PathClaims] = {}
        owners: dict[tuple[str, str], list[str]] = {}
        for entry in self.layout.entries:
            names = self._names(entry.artifact)
            if not entry.folder:
                found = [entry.target]
            elif names is None:
                if not entry.root:
                    self.open_folders.append(entry)
                continue
            else:
                claims = self._claims_of(entry)
                found = [
                    target
                    for name in names
                    if (target := target_of(entry, name)) and claims.is_for(entry, name)
                ]
            if not entry.root:
                self.targets.update(found)
            for target in found:
                other = taken.setdefault(entry.root, PathClaims()).claim(target)
                held = owners.setdefault((entry.root, other or target), [])
                apart = held and all(
                    take_turns(self.manifest.variants, entry.artifact, one) for one in held
                )
                held.append(entry.artifact)
                if (entry.root, target) in self._told:
                    continue
                if other is not None and not (apart and other == target):
                    self._collision(entry, target, other)
                    break

    def _collision(self, entry: Entry, target: str, other: str) -> None:
        names = told_apart(target, other)
        text = (
            t("two files fall on {target!r}", target=target)
            if other == target
            else t("collides with {other}: {target}", other=names[1], target=names[0])
        )
        self._doc(entry).at(
            entry.line,
            entry.column,
            text,
            t("place one of them in another folder, or rename it"),
        )

    def _claims_of(self, entry: Entry) -> Claims:
        key = entry.artifact, entry.root
        if key not in self._claims:
            self._claims[key] = Claims(self.layout.entries_of(entry.artifact), entry.root)
        return self._claims[key]

    def _may_place(self, target: str) -> bool:
        return target in self.targets or any(covers(item, target) for item in self.open_folders)

    def _edits(self) -> None:
        for target in self.layout.edits:
            if not self._may_place(target):
                close = self.layout_doc.nearest(target, self.targets)
                self.layout_doc.at(
                    *self.layout.places[f"edits:{target}"],
                    t(
                        "the tree places no file at {target!r}, which 'edits' would change",
                        target=target,
                    ),
                    t("did you mean {close!r}?", close=close)
                    if close
                    else t("write the path relative to root"),
                )

    def _writable(self) -> None:
        for pattern in self.layout.writable:
            for item in expand(pattern):
                if not self._may_match(item):
                    close = self.layout_doc.nearest(item, self.targets)
                    self.layout_doc.at(
                        *self.layout.places[f"writable:{pattern}"],
                        t("the tree places no file at {item!r}, which 'writable' names", item=item),
                        t("did you mean {close!r}?", close=close)
                        if close
                        else t("write the path relative to root"),
                    )
                    break

    def _may_match(self, item: str) -> bool:
        folder = item.endswith("/")
        if not (folder or is_glob(item)):
            return self._may_place(item)
        glob = compile_glob(writable_glob(item))
        return bool(self.open_folders) or any(glob.matches(name) for name in self.targets)


def _is_slip(found: str, meant: str) -> bool:
    """Whether one name is the other misspelled; v1 and v2 are two names, not a slip."""
    return len(found) != len(meant) or sorted(found) == sorted(meant)


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:12]) + (", …" if len(shown) > 12 else "")


def cross_check(
    manifest: Manifest, layout: Layout, manifest_doc: Document, layout_doc: Document
) -> None:
    """Note in the documents what is wrong between a manifest and the layout that places it."""
    _CrossCheck(manifest, layout, manifest_doc, layout_doc).run()
