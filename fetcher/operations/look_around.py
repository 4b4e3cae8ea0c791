"""What a folder is to fetch: a project, or one that could become one; by a few looks, unasked."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fetcher.importers.document_names import Kind, kind_of_name
from fetcher.project.project import MARKERS, Project, find_root
from fetcher.tree.gitignore import repository_of
from fetcher.verify.contract.regular import NotRegularError, read_regular_text

_MOST_READ = 4 << 20  # bytes of a document
_MOST_DOCUMENTS = 20
# A page first: a script says where, but rarely what.
_IN_ORDER = (Kind.README, Kind.PAGE, Kind.SCRIPT, Kind.LIST)
# Where models and datasets lie: a file by its ending, or a repository's page.
_ADDRESS = re.compile(
    r"https?://(?:"
    r"huggingface\.co/(?:datasets/)?(?!spaces/|docs/|papers/|blog/)[\w.-]+/[\w.-]+"
    r"|drive\.google\.com/\S+|(?:www\.)?modelscope\.cn/(?:models|datasets)/\S+"
    r"|zenodo\.org/records?/\d+|civitai\.com/\S+|(?:www\.)?kaggle\.com/(?:datasets|models)/\S+"
    r"|[^\s\"'<>)\]]+\.(?:safetensors|ckpt|pth?|gguf|onnx|bin|h5|npz|tar(?:\.\w+)?|tgz|zip|7z)\b"
    r")|\b(?:hf|huggingface-cli) download [\w.-]+/[\w.-]+"
    r"|(?:snapshot_download|from_pretrained)\([^)\n]*[\"'][\w.-]+/[\w.-]+[\"']",
    re.I,
)


@dataclass(frozen=True)
class Surroundings:
    """What there is around a folder.

    root: the project's root, or the folder itself; clone: the root of its git repository.
    document: the page or script with most `addresses` of models, "" if there is none; its name in
    a project's root, else in `clone` or `root`. A project that has manifests is not searched.
    """

    root: Path
    is_project: bool
    clone: Path | None
    document: str = ""
    addresses: int = 0


def look_around(folder: Path) -> Surroundings:
    """What is around this folder. Nothing is asked of the network, nothing is written."""
    root = find_root(folder)
    clone = repository_of(folder)
    if any((root / marker).exists() for marker in MARKERS):
        has_some = bool(Project(root).own_manifests())
        return Surroundings(root, True, clone, *("", 0) if has_some else _best_document(root))
    document, addresses = _best_document(clone or folder)
    return Surroundings(folder, False, clone, document, addresses)


def _best_document(folder: Path) -> tuple[str, int]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return "", 0
    for kind in _IN_ORDER:
        fitting = [name for name in names if kind_of_name(name) == kind][:_MOST_DOCUMENTS]
        counted = [(_addresses_in(folder / name), name) for name in fitting]
        count, name = max(counted, key=lambda one: (one[0], -len(one[1])), default=(0, ""))
        if count:
            return name, count
    return "", 0


def _addresses_in(path: Path) -> int:
    try:
        text = read_regular_text(path, _MOST_READ)
    except (OSError, NotRegularError, UnicodeDecodeError, ValueError):
        return 0  # not what this is about
    return len(set(_ADDRESS.findall(text)))
