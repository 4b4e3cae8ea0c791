"""Links of a page: what they bring, and how it is put into the tree."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit

from fetcher.fs.patterns import expand
from fetcher.i18n import t
from fetcher.importers.addresses import (
    HUB_HOSTS,
    KAGGLE,
    ZENODO,
    clean_address,
    file_name,
    hub_repository,
    modelscope_repository,
)
from fetcher.importers.document_paths import Unreadable, is_pattern, join
from fetcher.importers.page_names import Named, is_file
from fetcher.importers.programs import drive_address
from fetcher.importers.target_tree import ARCHIVES, FileOrigin, HubFile, RepoOrigin, TargetTree

_DRIVE = {"drive.google.com", "docs.google.com", "drive.usercontent.google.com"}
_STUDIO = re.compile(r"modelscope\.cn/(studios|docs|home|topic)\b")
_SHARES = re.compile(
    r"(1drv\.ms|onedrive\.live\.com|sharepoint\.com|dropbox\.com|civitai\.com|zenodo\.org|figshare\.com|modelscope\.cn)$"
)
_BY_HAND = re.compile(
    r"(pan\.baidu\.com|pan\.quark\.cn|terabox\.com|mega\.nz|aliyundrive\.com|123pan\.com|disk\.yandex)"
)
WEIGHTS = re.compile(
    r"\.(pth?|pt2|ckpt|safetensors|bin|onnx|engine|gguf|ggml|h5|hdf5|keras|pkl|pickle|npz|npy|mat|tflite|pb|t7|caffemodel|prototxt"
    r"|th|onnx_data|nemo|mar|pdmodel|pdiparams|mlpackage|faiss|arpa|fst|tfrecords?|lmdb|sdf|pdb|ply"
    r"|model|zip|tar|tgz|gz|bz2|xz|zst|7z|rar|json|ya?ml|txt|csv|dat|pdparams|msgpack|index|jit|task|mlmodel|vocab|bpe|params|weights|whl|jsonl|parquet|tar\.gz)$",
    re.I,
)

_READ = re.compile(
    r"\.(md|rst|py|ipynb|sh|bat|ps1|html?|png|jpe?g|gif|svg|webp|mp4|pdf|ya?ml|toml|cfg|cpp|cu|h|js|ts)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Link:
    """A link that brings a file, or what is in a repository or share.

    `rank`: the lower, the surer. `name` is the file's own, "" for more than one or an unknown one.
    """

    address: str
    rank: int
    name: str = ""
    is_file: bool = False
    repo: str = ""
    kind: str = "model"
    revision: str = ""
    path: str = ""
    github: str = ""  # a folder or release of GitHub, for names behind it
    zoo: str = ""
    title: str = ""
    digest: str = ""
    written: str = ""  # the address as the page has it
    hub: str = "huggingface"

    @property
    def is_archive(self) -> bool:
        """Whether its name is that of an archive."""
        return bool(ARCHIVES.search(self.name))

    @property
    def has_many(self) -> bool:
        """Whether it leads to several files, of which a sentence may name those that are wanted."""
        whole = self.repo and not self.is_file
        return bool(whole or self.github or ZENODO.fullmatch(self.address))

    def of(self, address: str) -> bool:
        """Whether it was made of this address of the page."""
        return self.written == address

    def put(self, tree: TargetTree, named: Named, folder: str, line: int) -> None:
        """Put what it brings into a folder. Raises Unreadable."""
        if self.zoo:
            target = named.files[0] if len(named.files) == 1 else f"{self.zoo}.pth"
            tree.put(
                join(folder, target),
                FileOrigin(f"genforce:{self.zoo}", line, f"{self.zoo}.pth", title=self.title),
            )
        elif self.repo and self.is_file:
            self._hub_files(tree, [(self.name, _only(named, self.name))], folder, line)
        elif self.repo:
            self._of_repo(tree, named, folder, line)
        elif self.github:
            self._of_github(tree, named, folder, line)
        else:
            self._of_address(tree, named, folder, line)

    def _of_repo(self, tree: TargetTree, named: Named, folder: str, line: int) -> None:
        names = [name for name in named.files if not is_pattern(name)]
        patterns = tuple(name for name in named.files if is_pattern(name))
        if named.renamed and len(names) == 1 and "\0" not in names[0]:
            # Its own name is not told; it can be read from the listing.
            self._hub_files(tree, [("", names[0])], folder, line)
            return
        if names:
            pairs = [tuple(name.split("\0", 1)) if "\0" in name else (name, name) for name in names]
            self._hub_files(tree, [(pair[0], pair[-1]) for pair in pairs], folder, line)
        if patterns or not names:
            repo = RepoOrigin(
                self.repo,
                line,
                self.kind,
                self.revision,
                self.path,
                patterns,
                count=named.count,
                title=self.title,
                hub=self.hub,
                drawn=True,
            )
            tree.put_repo(folder, _joined_with(tree, folder, repo))

    def _hub_files(
        self, tree: TargetTree, pairs: Sequence[tuple[str, str]], folder: str, line: int
    ) -> None:
        for name, target in pairs:
            repo = RepoOrigin(
                self.repo,
                line,
                self.kind,
                self.revision,
                self.path,
                title=self.title,
                hub=self.hub,
            )
            tree.put(join(folder, posixpath.basename(target)), HubFile(repo, name))

    def _of_github(self, tree: TargetTree, named: Named, folder: str, line: int) -> None:
        names = [
            item for name in named.files for item in ([name] if "\0" in name else expand(name))
        ]
        if not names or any(re.search(r"[*?]", name) for name in names):
            raise Unreadable(
                t("it does not say which files of {address} are wanted", address=self.address)
            )
        for name in names:
            own, _, target = name.partition("\0")
            tree.put(
                join(folder, posixpath.basename(target or own)),
                FileOrigin(f"{self.github}/{own}", line, own, title=self.title),
            )

    def _of_address(self, tree: TargetTree, named: Named, folder: str, line: int) -> None:
        members = [_member(self.address, name.partition("\0")[0]) for name in named.files]
        if members and all(members):
            for name, address in zip(named.files, members, strict=True):
                own, _, saved = name.partition("\0")
                found = FileOrigin(address, line, own, title=self.title)
                tree.put(join(folder, posixpath.basename(saved or own)), found)
            return
        if KAGGLE.match(self.address):
            named = Named()  # what its one archive holds is what the dataset lists
        if len(named.files) > 1:
            raise Unreadable(t("one address, and {count} files", count=len(named.files)))
        name = _only(named, self.name)
        facts = {"sha256": self.digest} if len(self.digest) == 64 else {"md5": self.digest}
        origin = FileOrigin(self.address, line, self.name or name, title=self.title, **facts)  # type: ignore[arg-type]
        if name and not is_pattern(name):
            tree.put(join(folder, posixpath.basename(name)), origin)
        else:
            tree.unnamed.append((folder, origin))


def _only(named: Named, own: str) -> str:
    name = named.files[0] if len(named.files) == 1 else own
    return name.rpartition("\0")[2]


def _joined_with(tree: TargetTree, folder: str, repo: RepoOrigin) -> RepoOrigin:
    """The same repository's other patterns for this folder, put together."""
    for index, (where, other) in enumerate(tree.repos):
        if where != folder or other.repo != repo.repo:
            continue
        bare = replace(other, files=repo.files, line=repo.line, count=repo.count, title=repo.title)
        if bare == repo and other.files and repo.files:
            del tree.repos[index]
            count = other.count + repo.count if other.count and repo.count else None
            return replace(
                other,
                files=tuple(dict.fromkeys((*other.files, *repo.files))),
                count=count,
                title="",
            )
    return repo


def _member(address: str, name: str) -> str:
    """The address of one file of a record or dataset whose page this is, "" for another page."""
    if is_pattern(name) or not name:
        return ""
    if found := ZENODO.fullmatch(address):
        return f"https://zenodo.org/records/{found[1]}/files/{quote(name)}"
    packs = ARCHIVES.search(name)  # Kaggle packs all of it for those who load it down by hand
    return (
        f"{address.partition('?')[0]}?select={quote(name)}"
        if KAGGLE.match(address) and not packs
        else ""
    )


def is_download(address: str) -> bool:
    """Whether an address may bring a file or repository, rather than a page to read."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    segments = [part for part in parts.path.split("/") if part]
    if host in HUB_HOSTS:
        first = segments[0] if segments else ""
        if first == "spaces":  # an application, but for its files
            return segments[3:4] in (["tree"], ["blob"], ["resolve"], ["raw"])
        return len(segments) >= 2 and first not in {
            "docs",
            "papers",
            "blog",
            "collections",
            "learn",
            "join",
        }
    if host in _DRIVE or _SHARES.search(host) or KAGGLE.match(address):
        return not _STUDIO.search(address)
    if host in {"github.com", "www.github.com", "raw.githubusercontent.com"}:
        return (
            "releases" in segments
            or _is_raw(host, segments)
            or bool(WEIGHTS.search(parts.path))
            or bool(re.search(r"MODEL_ZOO", parts.path))
        )
    return bool(WEIGHTS.search(parts.path)) or bool(WEIGHTS.search(parts.query))


def brings(label: str, address: str, words: Sequence[str] = ()) -> bool:
    """The same, for a link whose label may be the file's own name, whatever its suffix is, or
    whose sentence has a path among its `words` that ends in that name."""
    if is_download(address):
        return True
    bare = address.partition("?")[0].partition("#")[0]
    name = bare.rpartition("/")[2]
    if not re.fullmatch(r"[\w.+-]+\.[A-Za-z]\w{1,11}", name) or _READ.search(name):
        return False
    return name == label.strip() or any(
        "://" not in word and word.endswith(f"/{name}") for word in words
    )


def own_name(link: Link, labels: Sequence[tuple[str, str]]) -> str:
    """The name of a link's file: of its address, else the label that is one."""
    words = (label.strip() for label, address in labels if link.of(address))
    return link.name or next((word for word in words if is_file(word)), "")


def _is_raw(host: str, segments: Sequence[str]) -> bool:
    """Whether GitHub answers with a file's bytes, and the file is none that people read."""
    raw = host.startswith("raw.") or segments[2:3] == ["raw"]
    return raw and bool(segments) and "." in segments[-1] and not _READ.search(segments[-1])


def is_by_hand(address: str) -> bool:
    """Whether an address is that of a share which only a person can get."""
    return bool(_BY_HAND.search(address))


def link_of(label: str, address: str, around: str, line: int) -> Link | None:
    """What a link brings, None for one that brings nothing. `around` is the text beside it."""
    found = _link_of(address, around)
    return replace(found, written=address) if found else None


def _link_of(address: str, around: str) -> Link | None:
    if _BY_HAND.search(address):
        return None
    try:
        address = clean_address(address)
    except Unreadable:
        return None
    parts = urlsplit(address)
    host, segments = (
        (parts.hostname or "").lower(),
        [unquote(p) for p in parts.path.split("/") if p],
    )
    if host in HUB_HOSTS:
        return _hub(address, segments)
    if repo := modelscope_repository(address):
        return Link(address, 2, repo=repo, hub="modelscope")
    if host in {"github.com", "www.github.com", "raw.githubusercontent.com"}:
        return _github(address, host, segments, around)
    if host in _DRIVE:
        try:
            return Link(drive_address(address), 4)
        except Unreadable:
            return None
    name = file_name(address)
    if "." not in name:
        name = ""  # a page, or a share that has no name of its own
    return Link(address, 3 if not _SHARES.search(host) else 5, name, True)


def _hub(address: str, segments: list[str]) -> Link | None:
    found = hub_repository(address)
    if found is None or len(segments) < 2:
        return None
    kind, repo = found
    rest = segments[3:] if kind != "model" else segments[2:]
    revision = "" if len(rest) < 2 or rest[1] == "main" else rest[1]
    path = "/".join(rest[2:])
    if rest[:1] in (["blob"], ["resolve"], ["raw"]) and path:
        folder, name = posixpath.split(path)
        return Link(address, 1, name, True, repo, kind, revision, folder)
    return Link(address, 2, "", False, repo, kind, revision, path if rest[:1] == ["tree"] else "")


def _github(address: str, host: str, segments: list[str], around: str) -> Link | None:
    if "MODEL_ZOO" in address and segments[:2] == ["genforce", "genforce"]:
        zoo = _zoo_name(around)
        return Link(address, 1, zoo=zoo) if zoo else None
    if segments[2:4] == ["releases", "download"] and len(segments) == 6:
        return Link(address, 1, segments[5], True)
    if segments[2:4] == ["releases", "tag"] and len(segments) == 5:
        return Link(
            address,
            2,
            github=f"https://github.com/{segments[0]}/{segments[1]}/releases/download/{segments[4]}",
        )
    if segments[2:3] == ["releases"]:
        return Link(
            address,
            2,
            github=f"https://github.com/{segments[0]}/{segments[1]}/releases/latest/download",
        )
    if host.startswith("raw.") or segments[2:3] in (["blob"], ["raw"]):
        name = segments[-1]
        if WEIGHTS.search(name) or _is_raw(host, segments):
            return Link(address, 1, name, True)
    if segments[2:3] in (["tree"], ["blob"]) and len(segments) > 3:
        base = f"https://github.com/{segments[0]}/{segments[1]}/raw/" + "/".join(segments[3:])
        return Link(address, 2, github=base)
    return None


def _zoo_name(around: str) -> str:
    """A model of GenForce's zoo by the text at its link: `StyleGAN Ours > celeba-256x256`."""
    from fetcher.sources.genforce import ZOO

    text = around.lower()
    last = text.rpartition(">")[2].strip().split()[:1]
    plain = re.sub(r"(?<!\d)-?(\d{1,5})x\1$", r"\1", last[0]) if last else ""
    found = [
        name
        for name in ZOO
        if plain and name.endswith(f"_{plain}") and name.partition("_")[0] in text
    ]
    return found[0] if len(found) == 1 else ""
