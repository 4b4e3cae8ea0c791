"""Links of a page whose places only a drawn tree tells, and what of a tree no link brings."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fetcher.i18n import t
from fetcher.importers.document_paths import Unreadable, is_pattern
from fetcher.importers.folder_trees import Entry, FolderTree
from fetcher.importers.page_links import WEIGHTS, Link, is_download, link_of
from fetcher.importers.page_names import Named, original_name
from fetcher.importers.page_places import says_unpack
from fetcher.importers.page_rows import HOST
from fetcher.importers.target_tree import HubFile, TargetTree

# A note of a tree: the file is of this folder at its source, or a copy of another one.
_FROM = re.compile(
    r"^(?:(?:downloaded\s+)?from\s+(?:the\s+)?([A-Za-z0-9_.-]{1,120})\s+(?:sub)?(?:folder|directory)"
    r"|([A-Za-z0-9_.-]{1,120})\s?(?:폴더|디렉토리)?\s?에서\s?(?:다운|내려|받)"
    r"|从\s?([A-Za-z0-9_.-]{1,120})\s?(?:目录|文件夹)?(?:中|里)?下载"
    r"|([A-Za-z0-9_.-]{1,120})\s?(?:フォルダ)?からダウンロード)",
    re.IGNORECASE,
)
_COPY = re.compile(r"복사|\bcop(y|ied)\b|拷贝|复制|複製|コピー", re.IGNORECASE)
_TEXTS = re.compile(r"\.(json|ya?ml|txt|csv|py|md|sh|cfg|toml|ini)$", re.IGNORECASE)
_MOST_LISTED = 6


Names = dict[str, list[str]]  # paths by what stands last in them


@dataclass(eq=False)
class Waiting:
    """A link whose sentence names no folder: what it calls it, and the files that it names."""

    link: Link
    label: str
    named: Named
    line: int
    folder: str | None = None  # below which its sentence or section says that it lies
    before: str = ""  # what stands in front of a colon: `decoder: [OneDrive](…)`; a row's link
    in_row: bool = False  # of a table: a folder must be called as its row is
    codes: tuple[str, ...] = ()  # what else its sentence names: perhaps a folder

    @property
    def words(self) -> set[str]:
        """What a folder for it may be called, in small letters and figures alone."""
        names = (
            self.label,
            self.before,
            self.link.repo.rpartition("/")[2],
            posixpath.basename(self.link.path),
            *self.codes,
        )
        return {plain for name in names if (plain := _plain(name)) and not HOST.fullmatch(name)}

    @property
    def called(self) -> set[str]:
        """What its file may be called without its suffix, as the sentence calls it."""
        return {plain for name in (self.label, self.before) if len(plain := _plain(name)) > 2}


def drawn(trees: Sequence[FolderTree]) -> Iterator[Entry]:
    """The files of all trees."""
    for found in trees:
        yield from found.files()


def place_by_folders(trees: Sequence[FolderTree], waiting: list[Waiting], tree: TargetTree) -> None:
    """Give links the drawn folder that is called as they are; those without one are remarks."""
    folders = _folders(trees)
    names = by_base(trees)
    done = {item for item in waiting if item.link.is_file and _by_name(names, item, tree)}
    done.update(i for i in waiting if i not in done and _by_stem(trees, i, tree))
    done |= _by_notes(trees, [item for item in waiting if item not in done], tree)
    left = [item for item in waiting if item not in done]
    for matches in (_same, _alike):
        for path, files in folders.items():
            free = [entry for entry in files if not _placed(tree, entry.path)]
            some = left if matches is _same else [item for item in left if not item.in_row]
            items = [] if files and not free else _for_folder(path, some, matches)
            if items and _bring_all(items, path, free, trees, tree):
                done.update(items)
    rest = [item for item in waiting if item not in done and not _named_in(names, item, tree)]
    if len(rest) == 1 and rest[0].folder and rest[0].link.repo:
        # The one link that is left brings the files that are left in its folder.
        top = rest[0].folder
        free = [e for e in folders.get(top, []) if not _placed(tree, e.path) and _above(e) == top]
        if free and _bring(rest[0], top, free, trees, tree):
            rest = []
    for item in rest:
        tree.remark(item.line, t("the page does not say where this belongs"), item.link.address)


def place_noted(trees: Sequence[FolderTree], tree: TargetTree) -> None:
    """Place what the lines of trees have an address beside them for."""
    for entry in (entry for drawn in trees for entry in drawn.entries if entry.address):
        link = link_of("", entry.address, "", entry.line) if is_download(entry.address) else None
        if link is None:
            continue
        name = posixpath.basename(entry.path)
        is_file = bool(re.search(r"\.\w{1,12}$", name)) and not entry.folder
        named = Named((name,), renamed=True) if is_file and name != link.name else Named()
        try:
            link.put(tree, named, _above(entry) if is_file else entry.path, entry.line)
            if link.is_archive and not is_file and says_unpack(entry.note):
                tree.unpack(f"{entry.path}/{link.name}", entry.path, entry.line)
        except Unreadable as why:
            tree.remark(entry.line, why.args[0], entry.address)


def draws_folder(trees: Sequence[FolderTree], waiting: Sequence[Waiting]) -> bool:
    """Whether trees have a folder that is called as one of these links is."""
    words = {word for item in waiting for word in item.words}
    return any(_plain(posixpath.basename(path)) in words for path in _folders(trees))


def own_path(entry: Entry) -> str:
    """The path of a drawn file at its source, as its note tells it; else its name."""
    name = original_name(entry.note) or posixpath.basename(entry.path)
    found = _FROM.match(entry.note)
    folder = next(filter(None, found.groups()), "") if found else ""
    # One of several parts is a folder: `from Hugging Face` or `from x.zip` is none.
    if not re.search(r"[\d_-]", folder) or "." in folder or HOST.fullmatch(folder):
        return name
    return f"{folder}/{name}"


def listed_below(trees: Sequence[FolderTree], folder: str) -> tuple[str, ...]:
    """The files that trees draw below a folder, by their paths from it: `own\0path` for one that is
    called otherwise at its source. None where not all are drawn."""
    every, found = list(drawn(trees)), []
    for entry in every:
        if not entry.path.startswith(folder + "/"):
            continue
        if "." not in posixpath.basename(entry.path) or is_pattern(entry.path):
            return ()  # a folder whose content is not drawn
        source = _copied(entry, every) if is_copy(entry) else entry
        if source is None or not source.path.startswith(folder + "/"):
            continue  # of another folder, which comes from elsewhere
        path = entry.path[len(folder) + 1 :]
        own = posixpath.join(posixpath.dirname(source.path[len(folder) + 1 :]), own_path(source))
        found.append(path if own == path else f"{own}\0{path}")
    some = any(
        entry.more and (entry.path + "/").startswith(folder + "/")
        for tree in trees
        for entry in tree.entries
    )
    return () if some else tuple(dict.fromkeys(found))


def is_copy(entry: Entry) -> bool:
    """Whether a note says that a drawn file is a copy of another one."""
    return bool(_COPY.search(entry.note))


def place_copies(trees: Sequence[FolderTree], tree: TargetTree) -> None:
    """Give copies the origin of the one drawn file that their notes name by folder and name."""
    every = list(drawn(trees))
    for entry in every:
        source = _copied(entry, every) if is_copy(entry) else None
        if source is not None and source.path in tree.files:
            tree.files[entry.path] = tree.files[source.path]


def _copied(entry: Entry, every: Sequence[Entry]) -> Entry | None:
    """The one drawn file that a note names as what a file is a copy of."""
    words = set(re.findall(r"[\w.-]+", entry.note))
    found = [
        other
        for other in every
        if other.path != entry.path
        and posixpath.basename(other.path) in words
        and posixpath.basename(posixpath.dirname(other.path)) in words
    ]
    return found[0] if len(found) == 1 else None


def unexplained(trees: Sequence[FolderTree], tree: TargetTree) -> None:
    """Remarks on weights that a tree shows and nothing brings."""
    for drawn in trees:
        files = [entry for entry in drawn.files() if WEIGHTS.search(entry.path)]
        if not any(_placed(tree, entry.path) for entry in files):
            continue
        left = [
            entry
            for entry in files
            if not _placed(tree, entry.path) and not _TEXTS.search(entry.path)
        ]
        if left:
            names = ", ".join(entry.path for entry in left[:_MOST_LISTED])
            more = ", …" if len(left) > _MOST_LISTED else ""
            why = t("the page does not say where these come from: {names}", names=names + more)
            tree.remark(left[0].line, why)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9가-힣]", "", text.lower())


def _folders(trees: Sequence[FolderTree]) -> dict[str, list[Entry]]:
    """Each drawn folder with the files below it, the deepest first."""
    found: dict[str, list[Entry]] = {}
    for drawn in trees:
        for entry in drawn.entries:
            if entry.folder:
                found.setdefault(entry.path, [])
        for entry in drawn.files():
            if "." not in posixpath.basename(entry.path):  # a folder whose content is not drawn
                found.setdefault(entry.path, [])
                continue
            folder = posixpath.dirname(entry.path)
            while folder:
                found.setdefault(folder, []).append(entry)
                folder = posixpath.dirname(folder)
    return dict(sorted(found.items(), key=lambda pair: -pair[0].count("/")))


def _same(folder: str, words: set[str]) -> bool:
    return folder in words


def _alike(folder: str, words: set[str]) -> bool:
    return len(folder) > 3 and any(
        word.startswith(folder) or folder.startswith(word) for word in words if len(word) > 3
    )


def _for_folder(path: str, left: Sequence[Waiting], matches: object) -> list[Waiting]:
    """The link that a folder is called as, or the links of one row."""
    assert callable(matches)
    name = _plain(posixpath.basename(path))
    return _one([item for item in left if matches(name, item.words)])


def _one(found: Sequence[Waiting]) -> list[Waiting]:
    """The one link of several statements, or the several of one row; else none."""
    if len({item.link.address for item in found}) == 1:
        return list(found[:1])
    same_row = len({item.line for item in found}) == 1 and all(item.in_row for item in found)
    return list(found) if same_row else []


def _by_notes(
    trees: Sequence[FolderTree], waiting: Sequence[Waiting], tree: TargetTree
) -> set[Waiting]:
    """Place what the lines of trees name in words: `sbert (Memory S-BERT goes here)`."""
    done: set[Waiting] = set()
    for drawn in trees:
        for entry in drawn.entries:
            if not entry.note:
                continue
            items = _meant(_plain(entry.note), [item for item in waiting if item not in done])
            if not items or _placed(tree, entry.path):
                continue
            if entry.folder or "." not in posixpath.basename(entry.path):
                below = [e for e in drawn.files() if e.path.startswith(entry.path + "/")]
                free = [e for e in below if not _placed(tree, e.path)]
                done.update(items if _bring_all(items, entry.path, free, trees, tree) else ())
            elif len(items) == 1:
                named = Named((posixpath.basename(entry.path),))
                placed = _put(items[0].link, named, _above(entry), entry.line, tree)
                done.update(items if placed else ())
    return done


def _meant(note: str, waiting: Sequence[Waiting]) -> list[Waiting]:
    """The links that a note speaks of: those whose name in it is the longest."""
    sizes = [
        max((len(word) for word in item.words if len(word) > 3 and word in note), default=0)
        for item in waiting
    ]
    most = max(sizes, default=0)
    return _one([item for item, size in zip(waiting, sizes, strict=True) if most and size == most])


def _bring_all(
    items: Sequence[Waiting],
    folder: str,
    files: Sequence[Entry],
    trees: Sequence[FolderTree],
    tree: TargetTree,
) -> bool:
    """Put the links of one row into a folder: each the file whose suffix its label tells."""
    if len(items) == 1:
        return _bring(items[0], folder, files, trees, tree)
    told = []
    for item in items:
        words = set(re.findall(r"\w+", f"{item.before} {item.link.name}".lower()))
        told.append([e for e in files if e.path.rpartition(".")[2].lower() in words])
    if any(len(found) != 1 for found in told) or len({e.path for (e,) in told}) != len(items):
        return False
    for item, (entry,) in zip(items, told, strict=True):
        named = Named((posixpath.basename(entry.path),), renamed=True)
        if not _put(item.link, named, _above(entry), item.line, tree):
            return False
    return True


def _placed(tree: TargetTree, path: str) -> bool:
    return (
        path in tree.files
        or any(not folder or path.startswith(folder + "/") for folder, _ in tree.repos)
        or any(not i.folder or path.startswith(i.folder + "/") for i in tree.unpacked)
        or any(folder == posixpath.dirname(path) for folder, _ in tree.unnamed)
    )


def _bring(
    item: Waiting,
    folder: str,
    files: Sequence[Entry],
    trees: Sequence[FolderTree],
    tree: TargetTree,
) -> bool:
    """Put a link's files into its folder; False if it cannot be told which those are."""
    link = item.link
    if link.repo and not link.is_file and (not files or has_more(trees, folder)):
        return _put(link, Named(), folder, item.line, tree)
    if link.repo and not link.is_file:
        for entry in files:
            name = entry.path[len(folder) + 1 :]
            if is_pattern(name):
                return False
            own = posixpath.join(posixpath.dirname(name), own_path(entry))
            named = Named((f"{own}\0{posixpath.basename(name)}",))
            link.put(tree, named, _above(entry), item.line)
        return True
    weights = [entry for entry in files if not _TEXTS.search(entry.path)]
    if len(weights) != 1:
        return False
    name = posixpath.basename(weights[0].path)
    return _put(link, Named((name,)), _above(weights[0]), item.line, tree)


def has_more(trees: Sequence[FolderTree], folder: str) -> bool:
    """Whether a tree draws `…` among a folder's own files."""
    return any(e.more for drawn in trees for e in drawn.entries if e.path == folder)


def _above(entry: Entry) -> str:
    return posixpath.dirname(entry.path)


def _put(link: Link, named: Named, folder: str, line: int, tree: TargetTree) -> bool:
    try:
        link.put(tree, named, folder, line)
    except Unreadable:
        return False
    return True


def _by_name(names: Names, item: Waiting, tree: TargetTree) -> bool:
    """Place a file where a tree shows its name."""
    path = highest(names, item.link.name) if item.link.name else ""
    if not path or _placed(tree, path):
        return False
    return _put(item.link, Named(), posixpath.dirname(path), item.line, tree)


def _by_stem(trees: Sequence[FolderTree], item: Waiting, tree: TargetTree) -> bool:
    """Place a file whose name only the server knows where a tree shows one that is called so."""
    if item.link.name or item.link.repo or item.link.github:
        return False
    free = {
        entry.path
        for drawn in trees
        for entry in drawn.files()
        if not _placed(tree, entry.path)
        and _plain(posixpath.splitext(posixpath.basename(entry.path))[0]) in item.called
    }
    if len(free) != 1:
        return False
    folder, name = posixpath.split(free.pop())
    return _put(item.link, Named((name,)), folder, item.line, tree)


def _named_in(names: Names, item: Waiting, tree: TargetTree) -> bool:
    """Place the files that the link's sentence names where a tree shows them."""
    own = [name for name in item.named.files if not is_pattern(name) and "\0" not in name]
    places = {name: highest(names, name) for name in own}
    if not own or not all(places.values()) or not (item.link.repo or item.link.github):
        return False
    for name, path in places.items():
        if not _placed(tree, path):
            _put(item.link, Named((name,)), posixpath.dirname(path), item.line, tree)
    return True


def highest(names: Names, name: str) -> str:
    """Where a tree shows a file of this name: the one place that is highest, "" for several."""
    found = sorted(names.get(posixpath.basename(name), ()), key=lambda path: path.count("/"))
    if len(found) > 1 and found[0].count("/") == found[1].count("/"):
        return ""
    return found[0] if found else ""


def by_base(trees: Sequence[FolderTree]) -> Names:
    """The drawn files by their names alone."""
    found: Names = {}
    for drawn in trees:
        for entry in drawn.files():
            found.setdefault(posixpath.basename(entry.path), []).append(entry.path)
    return found


def brings_repository(tree: TargetTree, link: Link) -> bool:
    """Whether the same repository was placed by another part of the page."""
    return any(repo.repo == link.repo for _, repo in tree.repos) or any(
        isinstance(origin, HubFile) and origin.repo.repo == link.repo
        for origin in tree.files.values()
    )
