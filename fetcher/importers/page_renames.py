"""Notes of a page on what files are called after their download: "rename `a.bin` to `b.bin`"."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import replace

from fetcher.importers.document_paths import Unreadable, join
from fetcher.importers.page_cells import Cell
from fetcher.importers.target_tree import FileOrigin, HubFile, Origin, RepoOrigin, TargetTree

_LONGEST = 2000  # characters of a sentence that is looked at
_FILE = r"[`\"'“]?([\w.+-]{1,120}\.[A-Za-z]\w{0,11})[`\"'”]?"
_RENAMES = (
    re.compile(rf"\brenam\w*\s+(?:the\s+)?(?:file\s+)?{_FILE}\s+(?:to|as|into)\s+{_FILE}", re.I),
    re.compile(rf"{_FILE}\s+(?:is|must be|should be|to be)?\s*renamed\s+(?:to|as)\s+{_FILE}", re.I),
    re.compile(
        rf"{_FILE}\s*(?:파일)?\s*(?:을|를|은|는|의)?\s*(?:이름을\s*)?{_FILE}\s*(?:으로|로)\s*(?:이름\s*)?(?:변경|바꾸|바꿔|저장)"
    ),
    re.compile(rf"(?:(?:将|把)\s*)?{_FILE}\s*(?:重命名为|改名为|更名为)\s*{_FILE}"),
    re.compile(rf"{_FILE}\s*を\s*{_FILE}\s*に(?:リネーム|変更|名前)"),
)
_SAYS_RENAME = re.compile(r"renam|이름|변경|重命名|改名|リネーム|名前", re.IGNORECASE)
_ARROW = re.compile(rf"{_FILE}\s*(?:→|⇒|➜|➡️?|-{{1,2}}>|=>)\s*{_FILE}")


def noted(cells: Iterable[Cell]) -> dict[str, str]:
    """Names by the ones that files are saved under, as sentences without a link of their own say.

    One that two files would get, or that is said of no file alone, is left out.
    """
    found: dict[str, set[str]] = {}
    for cell in cells:
        if len(cell.text) > _LONGEST or any("://" in address for _, address in cell.links):
            continue
        rules = (*_RENAMES, _ARROW) if _SAYS_RENAME.search(cell.text) else ()
        for rule in rules:
            for own, saved in rule.findall(cell.text):
                found.setdefault(saved, set()).add(own)
    return {saved: next(iter(own)) for saved, own in found.items() if len(own) == 1}


def apply(names: dict[str, str], tree: TargetTree) -> None:
    """Give what was placed the names that notes say. Raises nothing: what does not fit stays."""
    for saved, own in names.items():
        paths = [path for path in tree.files if posixpath.basename(path) in {saved, own}]
        for path in paths:
            folder, name = posixpath.split(path)
            if name == saved:
                tree.files[path] = _called(tree.files[path], saved, own)
            elif len(paths) == 1:
                tree.carry(path, join(folder, saved))
        for index, (folder, repo) in enumerate(tree.repos):
            tree.repos[index] = (folder, _without(repo, folder, saved, own, tree))


def _called(origin: Origin, saved: str, own: str) -> Origin:
    """A file that was looked for under the name that it only gets here."""
    if isinstance(origin, HubFile):
        return replace(origin, path=own) if origin.path == saved else origin
    if isinstance(origin, FileOrigin) and origin.address.endswith(f"/{saved}"):
        return replace(origin, address=origin.address[: -len(saved)] + own, name=own)
    return origin


def _without(repo: RepoOrigin, folder: str, saved: str, own: str, tree: TargetTree) -> RepoOrigin:
    if not {saved, own} & set(repo.files):
        return repo
    files = tuple(name for name in repo.files if name not in {saved, own})
    if not files:
        return repo
    try:
        tree.put(join(folder, saved), HubFile(replace(repo, files=(), count=None), own))
    except Unreadable:
        return repo
    return replace(repo, files=files)
