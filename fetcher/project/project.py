"""A project: its root, its manifests with their layouts, and which artifacts a command is about."""

from __future__ import annotations

import fnmatch
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fetcher.config import person
from fetcher.config.boundaries import below, own_file
from fetcher.errors import DocumentProblem, InvalidDocument, UsageError
from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.project.journal import take_back
from fetcher.project.kept import Kept, Mark, mark_of

if TYPE_CHECKING:
    from fetcher.project.layout import Layout
    from fetcher.project.manifest import Artifact, Manifest
    from fetcher.yamldoc.nodes import Document

MARKERS = ("fetch.yaml", "manifests", "fetch.lock")
SUFFIXES = (".yaml", ".yml")
# Beside manifests and layouts, what decides about a plan.
SETTLED = ("fetch.lock", "fetch.yaml", ".env")


class Unit(NamedTuple):
    """A manifest and the layout that places it."""

    manifest: Manifest
    layout: Layout


# The catalog's: every page, and every form that is sent, asks for all of them.
_CATALOG: Kept[Unit] = Kept()


def _names(artifact: Artifact) -> set[str]:
    return {artifact.id, *artifact.info.get("aliases", ())}


def _any_match(globs: Sequence[str], names: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for name in names for glob in globs)


@dataclass(frozen=True)
class Selection:
    """Which artifacts a command takes, as the command line says.

    `only`, `groups` and `exact` each narrow the choice, `skip` takes from it; an optional artifact
    is taken where it is asked for. `exact`: of these manifests only the named artifacts.
    `variants` are choices, as NAME=CHOICE.
    """

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    optional: bool = False
    exact: Mapping[str, Collection[str]] = field(default_factory=dict)
    variants: tuple[str, ...] = ()

    def picks(self, artifact: Artifact) -> bool:
        """Whether the artifact is taken."""
        return self.admits(artifact) and (not artifact.optional or self.asks_for(artifact))

    def admits(self, artifact: Artifact) -> bool:
        """The same, optional or not."""
        names = _names(artifact)
        if self.only and not _any_match(self.only, names):
            return False
        if self.skip and _any_match(self.skip, names):
            return False
        if self.groups and not set(self.groups) & set(artifact.groups):
            return False
        exact = self.exact.get(artifact.manifest)
        return exact is None or artifact.id in exact

    def asks_for(self, artifact: Artifact) -> bool:
        """Whether an optional artifact is asked for: by its own name or its group, or as all are;
        a glob asks for nothing by name."""
        named = self.exact.get(artifact.manifest, ())
        return (
            self.optional
            or artifact.id in named
            or bool(_names(artifact) & set(self.only))
            or bool(set(self.groups) & set(artifact.groups))
        )

    def check(self, units: Iterable[Unit]) -> None:
        """Raise UsageError for a glob or group that matches nothing, and for several of them that
        leave nothing together."""
        artifacts = [item for unit in units for item in unit.manifest.artifacts.values()]
        names = {name for item in artifacts for name in _names(item)}
        groups = {group for item in artifacts for group in item.groups}
        for flag, globs, known in (
            ("--only", self.only, names),
            ("--skip", self.skip, names),
            ("--group", self.groups, groups),
        ):
            for glob in globs:
                if not any(fnmatch.fnmatchcase(name, glob) for name in known):
                    close = nearest(glob, known)
                    raise UsageError(
                        t(
                            "{flag} {glob}: no such {which}",
                            flag=flag,
                            glob=glob,
                            which=t("group") if flag == "--group" else t("artifact"),
                        ),
                        t("did you mean {close!r}?", close=close)
                        if close
                        else t(
                            "there are: {known}", known=", ".join(sorted(known)[:12]) or t("none")
                        ),
                    )
        if (self.only or self.groups) and not any(map(self.picks, artifacts)):
            raise self._nothing_left([item.id for item in artifacts if self.admits(item)])

    def _nothing_left(self, optional: Sequence[str]) -> UsageError:
        flags = ("--only", self.only), ("--group", self.groups), ("--skip", self.skip)
        said = " ".join(f"{flag} {value}" for flag, values in flags for value in values)
        if optional:
            return UsageError(
                t("{said}: what that chooses is optional", said=said),
                t("name one (--only {name}), or add --include-optional", name=optional[0]),
            )
        return UsageError(
            t("{said}: no artifact is left", said=said),
            t("these narrow each other: drop one of them"),
        )


def find_root(start: Path) -> Path:
    """The nearest folder above `start` that looks like a project, else `start`.

    The search ends at the clone's root: what lies above belongs to somebody else. A lone
    fetch.lock further up is a left-over of a run there and makes no project of its sub-folders.
    """
    for folder in [start, *start.parents]:
        clone = (folder / ".git").exists()
        markers = MARKERS if clone or folder == start else MARKERS[:-1]
        if any((folder / marker).exists() for marker in markers):
            return folder
        if clone:
            break
    return start


def _shown(path: Path) -> str:
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return str(path) if relative.startswith("..") else relative.replace(os.sep, "/")


def catalog_folder(kind: str) -> Path:
    """The built-in manifests or layouts: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "catalog" / kind
    return installed if installed.is_dir() else package.parent / kind


def _yaml_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    # What is no file at all is told by name when it is read.
    found = (path for path in folder.iterdir() if path.suffix in SUFFIXES)
    return sorted(path for path in found if not path.is_dir())


@dataclass
class Project:
    """The manifests and layouts in reach; `root` holds fetch.lock."""

    root: Path
    # What else looks at each manifest that is read, and notes mistakes in its document.
    examine: Callable[[Manifest, Document], None] | None = None

    def __post_init__(self) -> None:
        take_back(self.root)

    def names(self) -> list[str]:
        """Names of the manifests in reach: the project's, then the catalog's."""
        own = [path.stem for path in _yaml_files(self.root / "manifests")]
        return own + [
            path.stem for path in _yaml_files(catalog_folder("manifests")) if path.stem not in own
        ]

    def own_manifests(self) -> list[Path]:
        """The project's own manifest files."""
        return _yaml_files(self.root / "manifests")

    def are_all_own(self, names: Iterable[str]) -> bool:
        """Whether these are all of the project's own manifests, one by one. Raises UsageError."""
        return {self.manifest_path(name) for name in names} == set(self.own_manifests())

    def manifest_path(self, name: str) -> Path:
        """The file of a manifest: the project's own, else the catalog's. Raises UsageError."""
        looks_like_path = name.endswith(SUFFIXES) or "/" in name or os.sep in name
        if looks_like_path:
            path = Path(name)
            if path.is_file():
                return path
            raise UsageError(t("manifest {name} is not there", name=name), t("check the path"))
        for folder in (self.root / "manifests", catalog_folder("manifests")):
            for suffix in SUFFIXES:
                if (folder / (name + suffix)).is_file():
                    return folder / (name + suffix)
        close = nearest(name, self.names())
        raise UsageError(
            t("no manifest {name!r}", name=name),
            t("did you mean {close!r}?", close=close)
            if close
            else t("there are: {names}", names=", ".join(self.names())),
        )

    def _layout_folders(self, path: Path) -> list[Path]:
        """Where the layout of the manifest file `path` may lie, nearest first."""
        beside = path.resolve().parent
        return [beside.parent / "layouts", beside, self.root / "layouts", catalog_folder("layouts")]

    def inputs(self, names: Sequence[str] = ()) -> list[Path]:
        """Every file that `load` may read for these names, and the lock. Raises UsageError."""
        paths = [self.manifest_path(name) for name in names] or self.own_manifests()
        folders = {folder for path in paths for folder in self._layout_folders(path)}
        layouts = [file for folder in folders for file in _yaml_files(folder)]
        own = person.path()
        settled = [*(self.root / name for name in SETTLED), *([own] if own else [])]
        return [*paths, *layouts, *settled]

    def _layout_path(self, manifest: Manifest, path: Path) -> Path | None:
        for folder in self._layout_folders(path):
            for suffix in SUFFIXES:
                found = folder / (manifest.layout + suffix)
                # Whatever stands there is the layout: a link out or a FIFO is told of as such.
                if os.path.lexists(found) and found.resolve() != path.resolve():
                    return found
        return None

    def _layout_hint(self, manifest: Manifest, path: Path) -> str:
        folders = [folder for folder in self._layout_folders(path) if folder.name == "layouts"]
        known = [file.stem for folder in folders for file in _yaml_files(folder)]
        if close := nearest(manifest.layout, known):
            return t("did you mean {close!r}?", close=close)
        return t("write layouts/{layout}.yaml: where the files go", layout=manifest.layout)

    def _reach(self, path: Path) -> str:
        """What names a manifest to commands, "" for one of the project's own."""
        folder = os.path.abspath(path.parent)
        if folder == os.path.abspath(self.root / "manifests"):
            return ""
        if folder == os.path.abspath(catalog_folder("manifests")):
            return path.stem
        plain = path.name.endswith(SUFFIXES) or str(path).startswith(".") or path.is_absolute()
        return str(path) if plain else os.path.join(os.curdir, path)

    def check_own(self, path: Path) -> None:
        """Raise Failure if a file of the project's is a link out of it; what a person names
        elsewhere is their own choice."""
        if relative := below(self.root, path):
            own_file(self.root, relative)

    @staticmethod
    def _is_built_in(path: Path, layout: Path | None) -> bool:
        """Whether a manifest is the catalog's, and all that it stands for."""
        return path.parent == catalog_folder("manifests") and (
            layout is None or layout.parent == catalog_folder("layouts")
        )

    def _catalog_mark(self, path: Path, manifest: Manifest) -> Mark | None:
        """By what a unit of the catalog is known again; None for one that is not all its own.

        Raises Failure for a link out of the project.
        """
        layout = self._layout_path(manifest, path)
        if not self._is_built_in(path, layout):
            return None
        files = [path] if layout is None else [path, layout]
        for file in files:
            self.check_own(file)
        try:
            shown = [(file, _shown(file)) for file in files]
            return mark_of(shown, self.examine, self._reach(path))
        except OSError:
            return None

    def _load_unit(self, path: Path, problems: list[DocumentProblem]) -> Unit | None:
        if before := _CATALOG.of(path):
            unit, mark = before
            if mark == self._catalog_mark(path, unit.manifest):
                return unit
        said = len(problems)
        read = self._read_unit(path, problems)
        fine = read is not None and len(problems) == said
        if read and fine and (new := self._catalog_mark(path, read.manifest)):
            _CATALOG.keep(path, read, new)
        return read

    def _read_unit(self, path: Path, problems: list[DocumentProblem]) -> Unit | None:
        # A tree that is sealed needs no manifest to be read.
        from fetcher.project import layout as layouts
        from fetcher.project import manifest as manifests
        from fetcher.project.crosscheck import cross_check

        self.check_own(path)
        manifest, document = manifests.load(path, _shown(path))
        reach = self._reach(path)
        if manifest is not None and reach:
            for key, artifact in manifest.artifacts.items():
                manifest.artifacts[key] = replace(artifact, reach=reach)
        unit = None
        if manifest is not None and self.examine is not None:
            self.examine(manifest, document)
        if manifest is not None and manifest.layout:
            layout, layout_doc = self._layout_of(manifest, path, document)
            if layout is not None:
                layouts.add_targets(layout, manifest, document)
                # What came with this package was checked before it was packed.
                packed = reach and self._is_built_in(path, self._layout_path(manifest, path))
                if manifest.declared and not packed:
                    cross_check(manifest, layout, document, layout_doc)
                unit = Unit(manifest, layout)
            if layout_doc is not document:
                problems += layout_doc.problems
        problems += document.problems
        return unit

    def _layout_of(
        self, manifest: Manifest, path: Path, document: Document
    ) -> tuple[Layout | None, Document]:
        """A manifest's layout, and the document that says it: the manifest itself, where its
        artifacts say where they stand and no layout of the project's is called so."""
        from fetcher.project import layout as layouts

        layout_path = self._layout_path(manifest, path)
        if manifest.targets and not manifest.names_layout:
            catalog = catalog_folder("layouts")
            if layout_path is None or (
                layout_path.parent == catalog and catalog.parent != path.parent.parent
            ):
                layout = layouts.Layout(manifest.layout, manifest.file, has_tree=True)
                return layout, document
        if layout_path is None:
            document.at(
                *manifest.layout_place,
                t("layout {layout!r} is not there", layout=manifest.layout),
                self._layout_hint(manifest, path),
            )
            return None, document
        self.check_own(layout_path)
        return layouts.load(layout_path, _shown(layout_path))

    def load(self, names: Sequence[str] = ()) -> list[Unit]:
        """Load the named manifests, or all of the project's own.

        Raises InvalidDocument with every problem of every file, UsageError for unknown names,
        Failure for a link out of the project.
        """
        paths = [self.manifest_path(name) for name in names] or self.own_manifests()
        if not paths:
            raise UsageError(
                t("no manifests in {root}", root=self.root),
                t(
                    "`fetch add hf:OWNER/NAME` writes one; the built-in ones go by name, as in "
                    "`fetch all quickstart`: {names}",
                    names=", ".join(self.names()),
                ),
            )
        problems: list[DocumentProblem] = []
        unique = {path.resolve(): path for path in paths}
        units = [unit for path in unique.values() if (unit := self._load_unit(path, problems))]
        by_name: dict[str, Manifest] = {}
        for unit in units:
            other = by_name.setdefault(unit.manifest.name, unit.manifest)
            if other is not unit.manifest:
                where = DocumentProblem(
                    unit.manifest.file,
                    *unit.manifest.name_place,
                    t(
                        "manifest {name!r} is already in {file}",
                        name=unit.manifest.name,
                        file=other.file,
                    ),
                    t("give one of them another name"),
                )
                problems.append(where)
        if problems:
            raise InvalidDocument(problems)
        self._settle_names([unit.manifest for unit in units])
        return units

    def _settle_names(self, manifests: Sequence[Manifest]) -> None:
        """Settle what commands call the project's own artifacts.

        An id says it, unless several have it, or a manifest is called so. Where not all of the
        project's own manifests are among these, nobody has looked: they are called by both.
        """
        paths = set(self.own_manifests())
        own = [manifest for manifest in manifests if manifest.path in paths]
        whole = len(own) == len(paths)
        counts = Counter(key for manifest in own for key in manifest.artifacts)
        taken = set(self.names())
        for manifest in own:
            for key, artifact in manifest.artifacts.items():
                if not whole or counts[key] > 1 or key in taken:
                    manifest.artifacts[key] = replace(artifact, called=artifact.full_name)

    def load_everything(self) -> list[Unit]:
        """All of the project's manifests, and the catalog's that they do not replace."""
        return self.load([str(p) for p in self.own_manifests()] + self._catalog_names())

    def _catalog_names(self) -> list[str]:
        own = {path.stem for path in self.own_manifests()}
        return [p.stem for p in _yaml_files(catalog_folder("manifests")) if p.stem not in own]


def artifacts_of(units: Iterable[Unit], selection: Selection) -> Iterator[tuple[Unit, Artifact]]:
    """The artifacts a command takes, in file order."""
    for unit in units:
        for artifact in unit.manifest.artifacts.values():
            if selection.picks(artifact):
                yield unit, artifact
