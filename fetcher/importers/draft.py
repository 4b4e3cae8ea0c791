"""A document's tree as manifest and layout: what comes from one place is one artifact."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fetcher.fs.safe_paths import PathClaims
from fetcher.fs.spelled import told_apart
from fetcher.i18n import t
from fetcher.importers.addresses import file_name, lists_files
from fetcher.importers.document_paths import (
    NOWHERE,
    TEMPORARY,
    based,
    split_base,
    visible,
)
from fetcher.importers.origins import Place, of_file, of_repo
from fetcher.importers.target_tree import (
    FileOrigin,
    HubFile,
    Origin,
    Remark,
    RepoOrigin,
    TargetTree,
    Unpacked,
    shown,
    walk,
    without_login,
)
from fetcher.project.manifest import ARTIFACT
from fetcher.project.target_keys import path_complaint
from fetcher.register.ids import Ids
from fetcher.register.values import node_of_value
from fetcher.yamldoc.nodes import Document

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
    moved: list[tuple[str, str]] = field(default_factory=list)  # (member, target) of an archive
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
        self.ids = Ids(taken)
        self.parts: dict[object, Part] = {}
        self.claims = PathClaims()
        self.whole: dict[str, RepoOrigin] = {}  # whole repositories by their folders

    def run(self) -> Draft:
        """All steps."""
        self.base = base_of(self.tree)
        if self.base:
            words, line = visible(self.base), min(self._lines(), default=1)
            why = t("all of it goes into {folder}: fetch all --into {folder}", folder=words)
            self.remark(line, why)
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
        self.result.remarks.append(Remark(line, reason, without_login(text)))

    def _free(self, target: str, origin: Origin) -> bool:
        """Whether a target can stand in a layout, beside what is there."""
        if self._outside(target, origin.line, shown(origin)):
            return False
        if other := self.claims.claim(target):
            path, taken = told_apart(target, other)
            why = t("{path} collides with {other}", path=path, other=taken)
            self.remark(origin.line, why, shown(origin))
            return False
        return True

    # --- parts

    def _files(self) -> None:
        found: list[tuple[str, Origin, Place, str]] = []
        for path, origin in walk(self.tree):
            target = self._inside(path)
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
        folder = None if folder is None else self._inside(folder)
        if folder is not None and (
            self._outside(folder, repo.line, repo.repo)
            or self._on_file(folder, repo.line, repo.repo)
        ):
            return
        if folder is not None and not repo.files:
            other = self.whole.setdefault(folder, repo)
            if (other.repo, other.kind, other.hub) != (repo.repo, repo.kind, repo.hub):
                why = t(
                    "{repo} stands in {folder} already (line {line}): this one was left out",
                    repo=other.repo,
                    folder=folder or ".",
                    line=other.line,
                )
                self.remark(repo.line, why, repo.repo)
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
        """Whether a path lies outside the project, or is none; that is a remark."""
        words, _ = split_base(folder)
        if not words and not folder.startswith(TEMPORARY):
            return not self._sound(folder, line, text)
        if words == NOWHERE:
            why = t("the folder that it goes into could not be read")
        else:
            why = t("it stays in {path}, outside the project", path=visible(folder))
        self.remark(line, why, text)
        return True

    def _on_file(self, folder: str, line: int, text: str) -> bool:
        """Whether a folder is to stand where a file does; that is a remark."""
        other = self.claims.claim_folder(folder) if folder else None
        if other:
            path, taken = told_apart(f"{folder}/", other)
            self.remark(line, t("{path} collides with {other}", path=path, other=taken), text)
        return bool(other)

    def _sound(self, path: str, line: int, text: str) -> bool:
        """Whether a path can stand in a layout; one that cannot is a remark."""
        complaint = path_complaint(path) if path else None
        if complaint:
            self.remark(line, t("{path!r} {error}", path=path, error=complaint), text)
        return not complaint

    def _inside(self, path: str) -> str:
        """A path from the folder that all paths of the document lie below."""
        if path == self.base:
            return ""
        return path[len(self.base) + 1 :] if self.base else path

    def _lines(self) -> list[int]:
        tree = self.tree
        origins = [*tree.files.values(), *(origin for _, origin in tree.unnamed)]
        return [
            *(origin.line for origin in origins),
            *(repo.line for _, repo in tree.repos),
            *(item.archive.line for item in tree.unpacked),
        ]

    def _archive(self, item: Unpacked) -> None:
        """An archive that is unpacked: its members, and those that stand elsewhere."""
        folder = self._inside(item.folder)
        moved = [(member, self._inside(end)) for member, end in item.moved]
        text = shown(item.archive)
        moved = [
            (member, end)
            for member, end in moved
            if not self._outside(end, item.line, text)
            and self._sound(member.rstrip("/"), item.line, text)
        ]
        rest = item.rest and not (
            self._outside(folder, item.line, text) or self._on_file(folder, item.line, text)
        )
        if not rest and not moved:
            return
        place, name = of_file(item.archive)
        if place.kind == "folder":
            place = Place("file", place.address + place_name(item.archive))
        part = Part(place, item.archive.line, item.archive.optional)
        if name or file_name(place.address):
            part.files[name or place.label] = _facts(item.archive)
        chosen = {"strip": item.strip, "members": item.members, "exclude": item.exclude}
        part.unpack = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in chosen.items()
            if value
        } or True
        part.moved = [
            (member, end)
            for member, end in moved
            if member.endswith("/") or self._free(end, item.archive)
        ]
        if rest:
            part.folders.append(folder)
        elif item.rest is False and part.moved:
            names = ", ".join(member for member, _ in part.moved)
            why = t("of what it unpacks only {names} is placed", names=names)
            self.remark(item.line, why, text)
        self.parts[("unpack", item)] = part

    def _unnamed(self, folder: str, origin: FileOrigin) -> None:
        folder = self._inside(folder)
        if self._outside(folder, origin.line, origin.address) or self._on_file(
            folder, origin.line, origin.address
        ):
            return
        part = Part(Place("file", origin.address), origin.line, origin.optional, title=origin.title)
        part.folders.append(folder)
        self.parts[("unnamed", folder, origin)] = part
        if lists_files(origin.address):
            return
        why = t("the server names this file: if the name matters, write `files: [NAME]`")
        self.remark(origin.line, why, origin.address)

    # --- artifacts

    def _artifact(self, part: Part) -> None:
        identifier = self.ids.propose(part.label)
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
        if complaint := _complaint(record):
            self.remark(part.line, complaint, part.place.address)
            return
        self.result.artifacts[identifier] = record
        self.result.lines[identifier] = part.line
        self._places(identifier, part, names)

    def _places(self, identifier: str, part: Part, names: Mapping[str, str]) -> None:
        if part.cached:
            self.result.hub_cache.append(identifier)
        for folder in part.folders:
            self._into(folder, identifier)
        for member, target in part.moved:
            if member.endswith("/"):
                self._into(target, f"{identifier}/{member[:-1]}")
            else:
                self.result.tree[target] = f"{identifier}/{member}"
        if part.unpack:
            return
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


def _complaint(record: Mapping[str, object]) -> str:
    """What is wrong with an artifact, as the manifest's schema says it; "" for nothing."""
    document = Document("")
    ARTIFACT.decode(node_of_value(record), document)
    return document.problems[0].message if document.problems else ""


def base_of(tree: TargetTree) -> str:
    """The folder outside the project that all of a document's paths lie below, "" for the project.

    A folder that the script names in full is as deep as all paths have it in common.
    """
    folders = [posixpath.dirname(path) for path in tree.files]
    folders += [folder for folder, _ in (*tree.repos, *tree.unnamed)]
    folders += [item.folder for item in tree.unpacked if item.rest]
    folders += [
        end if member.endswith("/") else posixpath.dirname(end)
        for item in tree.unpacked
        for member, end in item.moved
    ]
    folders = [folder for folder in folders if not folder.startswith(TEMPORARY)]
    words = {split_base(folder)[0] for folder in folders}
    if len(words) != 1 or words & {"", NOWHERE}:
        return ""
    if words <= {"~", "/"}:
        common = posixpath.commonpath(folders)
        return "" if common == based("/") else common
    return based(words.pop())


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
    found |= {"sha1": origin.sha1, "sha512": origin.sha512}
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
    if part.place.kind not in {"hub", "modelscope", "git"} or not part.files:
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
