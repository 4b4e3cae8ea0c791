"""A document's tree as manifest and layout: what comes from one place is one artifact."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fetcher.fs.safe_paths import BadPath, PathClaims, check_relative
from fetcher.i18n import t
from fetcher.importers.origins import Place, of_file, of_repo
from fetcher.importers.target_tree import (
    TEMPORARY,
    FileOrigin,
    HubFile,
    Origin,
    Remark,
    RepoOrigin,
    TargetTree,
    Unpacked,
    join,
    shown,
    visible,
    walk,
)
from fetcher.project.manifest import ARTIFACT
from fetcher.register.ids import propose

Facts = dict[str, object]
UNNAMED = t("its own name is not told: one file is expected there")


@dataclass
class Part:
    """One artifact in the making: files of one place by name, and where each goes."""

    place: Place
    line: int
    optional: bool = False
    files: dict[str, Facts] = field(default_factory=dict)
    patterns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    path: str = ""
    targets: list[tuple[str, str]] = field(default_factory=list)  # (target, name)
    folders: list[str] = field(default_factory=list)  # that take all of it
    cached: bool = False
    mirrors: tuple[str, ...] = ()
    unpack: object = None
    count: int | None = None
    title: str = ""
    titles: set[str] = field(default_factory=set)
    nameless: str = ""  # the folder of a file whose own name is not told

    @property
    def label(self) -> str:
        """A name for an id."""
        if self.place.kind in {"file", "folder"} and len(self.files) == 1:
            return posixpath.splitext(next(iter(self.files)))[0]
        if self.place.kind == "file" and self.title:
            return self.title
        return self.place.label


@dataclass
class Draft:
    """Artifacts by id with the line that each was read from, the layout's tree, and remarks."""

    artifacts: dict[str, dict[str, object]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    tree: dict[str, object] = field(default_factory=dict)
    hub_cache: list[str] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


def draft(tree: TargetTree, taken: Iterable[str] = ()) -> Draft:
    """The artifacts and the layout that make this tree. `taken` are ids that are in use."""
    return _Drafting(tree, taken).run()


class _Drafting:
    def __init__(self, tree: TargetTree, taken: Iterable[str]) -> None:
        self.tree = tree
        self.result = Draft(remarks=list(tree.remarks))
        self.taken = set(taken)
        self.parts: dict[object, Part] = {}
        self.claims = PathClaims()

    def run(self) -> Draft:
        """All steps."""
        self._files()
        for folder, repo in self.tree.repos:
            self._repo(folder, repo)
        for repo in self.tree.cached:
            self._repo(None, repo)
        for item in self.tree.unpacked:
            self._archive(item)
        for folder, origin in self.tree.unnamed:
            self._unnamed(folder, origin)
        for part in sorted(self.parts.values(), key=lambda part: part.line):
            self._artifact(part)
        self.result.remarks.sort(key=lambda remark: remark.line)
        return self.result

    def remark(self, line: int, reason: str, text: str = "") -> None:
        """Something that is left to do."""
        self.result.remarks.append(Remark(line, reason, text))

    def _free(self, target: str, origin: Origin) -> bool:
        """Whether a target can stand in a layout, beside what is there."""
        if target.startswith(TEMPORARY):
            why = t("it stays in {path}, outside the project", path=visible(target))
            self.remark(origin.line, why, shown(origin))
            return False
        try:
            check_relative(target)
        except BadPath as error:
            self.remark(origin.line, t("{path!r} {error}", path=target, error=error), shown(origin))
            return False
        if other := self.claims.claim(target):
            why = t("{path} collides with {other}", path=target, other=other)
            self.remark(origin.line, why, shown(origin))
            return False
        return True

    # --- parts

    def _files(self) -> None:
        found: list[tuple[str, Origin, Place, str]] = []
        for target, origin in walk(self.tree):
            if self._free(target, origin):
                found.append((target, origin, *of_file(origin)))
        single = _single_folders(place for _, _, place, _ in found)
        for target, origin, place, name in found:
            alone = place in single or (isinstance(origin, FileOrigin) and origin.mirrors)
            if place.kind == "folder" and alone:
                place_of_file = Place("file", place.address + place_name(origin))
                self._file(target, origin, place_of_file, name)
            else:
                self._file(target, origin, place, name)

    def _file(self, target: str, origin: Origin, place: Place, name: str) -> None:
        mirrors = origin.mirrors if isinstance(origin, FileOrigin) else ()
        own = place.kind == "file" and name
        key: object = (place, origin.optional, mirrors, own, shows_name(origin))
        part = self.parts.setdefault(
            key, Part(place, origin.line, origin.optional, mirrors=mirrors)
        )
        nameless = isinstance(origin, HubFile) and not origin.path
        if isinstance(origin, HubFile) and nameless:
            part.count, part.nameless = 1, origin.repo.path
        called = "" if nameless else name or posixpath.basename(target)
        part.line = min(part.line, origin.line)
        part.files.setdefault(called, {}).update(_facts(origin))
        part.targets.append((target, called))
        part.titles.add(origin.title if isinstance(origin, FileOrigin) else origin.repo.title)

    def _repo(self, folder: str | None, repo: RepoOrigin) -> None:
        if folder is not None and self._outside(folder, repo.line, repo.repo):
            return
        key = ("repo", of_repo(repo), repo.path, repo.files, repo.exclude, repo.optional)
        part = self.parts.setdefault(
            key,
            Part(
                of_repo(repo),
                repo.line,
                repo.optional,
                patterns=repo.files,
                exclude=repo.exclude,
                path=repo.path,
                count=repo.count,
                title=repo.title,
            ),
        )
        if folder is None:
            part.cached = True
        elif folder not in part.folders:
            part.folders.append(folder)

    def _outside(self, folder: str, line: int, text: str) -> bool:
        """Whether a folder is one for temporary files; that is a remark."""
        if folder.startswith(TEMPORARY):
            self.remark(
                line, t("it stays in {path}, outside the project", path=visible(folder)), text
            )
            return True
        return False

    def _archive(self, item: Unpacked) -> None:
        """An archive that is unpacked: its members, where manifests know `unpack`, else itself."""
        if self._outside(item.folder, item.line, shown(item.archive)):
            return
        place, name = of_file(item.archive)
        if place.kind == "folder":
            place = Place("file", place.address + place_name(item.archive))
        name = name or place.label
        part = Part(
            place, item.archive.line, item.archive.optional, files={name: _facts(item.archive)}
        )
        if "unpack" in ARTIFACT.fields:
            chosen: dict[str, object] = {}
            if item.strip:
                chosen["strip"] = item.strip
            if item.members:
                chosen["members"] = list(item.members)
            part.unpack = chosen or True
            part.folders.append(item.folder)
        else:
            target = join(item.folder, posixpath.basename(name))
            if not self._free(target, item.archive):
                return
            part.targets.append((target, name))
            into = item.folder or "."
            self.remark(
                item.line, t("unpack {name} into {folder} by hand", name=target, folder=into)
            )
        self.parts[("unpack", item)] = part

    def _unnamed(self, folder: str, origin: FileOrigin) -> None:
        if self._outside(folder, origin.line, origin.address):
            return
        part = Part(Place("file", origin.address), origin.line, origin.optional, title=origin.title)
        part.folders.append(folder)
        self.parts[("unnamed", folder, origin)] = part
        why = t("the server names this file: if the name matters, write `files: [NAME]`")
        self.remark(origin.line, why, origin.address)

    # --- artifacts

    def _artifact(self, part: Part) -> None:
        identifier = propose(part.label, self.taken)
        self.taken.add(identifier)
        if len(part.titles) == 1:
            part.title = next(iter(part.titles))
        if part.files.keys() == {""}:
            part.path = part.nameless
            self.remark(part.line, UNNAMED, part.targets[0][0])
        prefix = part.path or _common_folder(part)
        names = {
            name: name[len(prefix) + 1 :] if prefix and not part.path else name
            for name in part.files
        }
        record: dict[str, object] = {}
        if part.title and part.title != identifier:
            record["name"] = part.title
        record["source"] = part.place.source(prefix)
        if part.mirrors:
            record["mirrors"] = list(part.mirrors)
        if facts := _listed(part, names):
            record["files"] = facts
        if part.exclude:
            record["exclude"] = list(part.exclude)
        if part.count:
            record["count"] = part.count
        if part.unpack:
            record["unpack"] = part.unpack
        if part.optional:
            record["optional"] = True
        self.result.artifacts[identifier] = record
        self.result.lines[identifier] = part.line
        self._places(identifier, part, names)

    def _places(self, identifier: str, part: Part, names: Mapping[str, str]) -> None:
        if part.cached:
            self.result.hub_cache.append(identifier)
        for folder in part.folders:
            self._into(folder, identifier)
        pairs = [(target, names[name]) for target, name in part.targets]
        common = _one_folder(pairs)
        if common is not None and len(pairs) == len(names):
            self._into(common, identifier)
            return
        for target, name in pairs:
            alone = len(names) == 1
            self.result.tree[target] = identifier if alone else f"{identifier}/{name}"

    def _into(self, folder: str, identifier: str) -> None:
        key = f"{folder}/" if folder else "./"
        there = self.result.tree.get(key)
        if there is None:
            self.result.tree[key] = identifier
        elif isinstance(there, list):
            there.append(identifier)
        else:
            self.result.tree[key] = [there, identifier]


def shows_name(origin: Origin) -> str:
    """ "" for a file whose own name is told, else what keeps it apart from others."""
    return (
        ""
        if not isinstance(origin, HubFile) or origin.path
        else f"{origin.line}:{origin.repo.path}"
    )


def place_name(origin: Origin) -> str:
    """The last segment of a file's address, as it is written there."""
    assert isinstance(origin, FileOrigin)
    return origin.address.partition("?")[0].rpartition("/")[2]


def _single_folders(places: Iterable[Place]) -> set[Place]:
    """Folders of web servers that only one file comes from."""
    counts: dict[Place, int] = {}
    for place in places:
        counts[place] = counts.get(place, 0) + 1
    return {place for place, count in counts.items() if count == 1 and place.kind == "folder"}


def _facts(origin: Origin) -> Facts:
    if not isinstance(origin, FileOrigin):
        return {}
    found = {"size": origin.size, "sha256": origin.sha256, "md5": origin.md5}
    return {key: value for key, value in found.items() if value}


def _listed(part: Part, names: Mapping[str, str]) -> object:
    """`files`: names, or a mapping where digests are known; nothing where the address says it."""
    if part.patterns:
        return list(part.patterns)
    if any(part.files.values()):
        return {names[name]: facts or None for name, facts in part.files.items()}
    if not any(part.files):  # one file, whose own name is not told
        return None
    if part.place.kind == "file":
        name = next(iter(part.files), "")
        return [name] if name and name != part.place.label else None
    return [names[name] for name in part.files]


def _common_folder(part: Part) -> str:
    """The folder of the repository that all files lie in, "" for its top or none."""
    if part.place.kind not in {"hub", "git"} or not part.files:
        return ""
    folders = {name.rpartition("/")[0] for name in part.files}
    return folders.pop() if len(folders) == 1 else ""


def _one_folder(pairs: list[tuple[str, str]]) -> str | None:
    """The folder that all targets lie in under their own names, None if there is none."""
    found: set[str] = set()
    for target, name in pairs:
        if target == name:
            found.add("")
        elif target.endswith("/" + name):
            found.add(target[: -len(name) - 1])
        else:
            return None
    return found.pop() if len(found) == 1 else None


def correct_names(draft: Draft, identifier: str, names: Mapping[str, str]) -> None:
    """Give files of an artifact the names that its source has; their targets stay."""
    record = draft.artifacts[identifier]
    files = record.get("files")
    if isinstance(files, dict):
        record["files"] = {names.get(name, name): facts for name, facts in files.items()}
    elif isinstance(files, list):
        record["files"] = [names.get(name, name) for name in files]
    else:
        return
    tree: dict[str, object] = {}
    for key, value in draft.tree.items():
        items = value if isinstance(value, list) else [value]
        if key.endswith("/") and identifier in items:
            others = [item for item in items if item != identifier]
            if others:
                tree[key] = others if len(others) > 1 else others[0]
            folder = "" if key == "./" else key
            alone = len(files) == 1
            for name in files:
                value_of = identifier if alone else f"{identifier}/{names.get(name, name)}"
                tree[folder + name] = value_of
        elif isinstance(value, str) and value.startswith(identifier + "/"):
            own = value[len(identifier) + 1 :]
            tree[key] = f"{identifier}/{names.get(own, own)}"
        else:
            tree[key] = value
    draft.tree = tree
