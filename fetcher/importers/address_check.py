"""Asking each source whether it is there, and whether it has what a document says of it.

A name that is not there but is plainly another one's (`mtcnn_onet.pt` of a repository that has
`onet.pt`) is corrected, and the correction is a remark.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from fetcher.errors import Failure
from fetcher.fs.patterns import expand, is_glob
from fetcher.i18n import t
from fetcher.importers.draft import UNNAMED, Draft, correct_names
from fetcher.importers.target_tree import Remark
from fetcher.network.session import Network
from fetcher.register.values import node_of_value
from fetcher.sources import SourceType
from fetcher.sources.base import Request, Source
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace
from fetcher.sources.url import Url
from fetcher.yamldoc.nodes import Document
from fetcher.yamldoc.schema import INVALID

_AT_ONCE = 8


@dataclass
class Checked:
    """What a source said: ok, missing, denied, unreachable; unchecked where it cannot be asked.

    `refused` says why, file by file, of an artifact whose files are asked for one by one.
    """

    state: str
    message: str = t("")
    names: Sequence[str] = ()
    refused: Sequence[str] = ()


@dataclass
class _Wanted:
    identifier: str
    source: Source
    files: tuple[str, ...] | None
    exclude: tuple[str, ...] = ()
    one: bool = False  # a single file whose own name is not told
    checked: Checked = field(default_factory=lambda: Checked("unchecked"))


def check(draft: Draft, network: Network) -> dict[str, Checked]:
    """Ask all sources of a draft, several at once; names are corrected in the draft."""
    wanted = [item for key in draft.artifacts if (item := _wanted(draft, key))]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for item, answer in zip(wanted, pool.map(lambda i: _ask(i, network), wanted), strict=True):
            item.checked = answer
    for item in wanted:
        if item.checked.state == "ok" and item.checked.names:
            _compare(draft, item)
        elif item.checked.state in {"missing", "denied"}:
            line = draft.lines[item.identifier]
            draft.remarks += [Remark(line, why, "") for why in item.checked.refused] or [
                Remark(line, item.checked.message, item.source.describe())
            ]
    draft.remarks.sort(key=lambda remark: remark.line)
    return {item.identifier: item.checked for item in wanted}


def _wanted(draft: Draft, identifier: str) -> _Wanted | None:
    record = draft.artifacts[identifier]
    source = SourceType().decode(node_of_value(record["source"]), Document(""))
    if source is INVALID or not isinstance(source, Source):
        return None
    files, exclude = record.get("files"), record.get("exclude")
    names = tuple(files) if isinstance(files, list | dict) else None
    left_out = tuple(exclude) if isinstance(exclude, list) else ()
    one = record.get("count") == 1 and names is None
    return _Wanted(identifier, source, names, left_out, one)


def _ask(item: _Wanted, network: Network) -> Checked:
    """What its source says. No more is asked of an address than whether something is there."""
    lists = isinstance(item.source, HuggingFace | GitHub)
    request = Request() if lists else Request(item.files, item.exclude)
    try:
        if isinstance(item.source, Url):
            return _ask_for_files(item.source, request, network)
        resolved = item.source.resolve(request, network)
    except Failure as failure:
        return _refused(failure)
    if not lists:
        return Checked("unchecked")
    return Checked("ok", names=[entry.path for entry in resolved.files])


def _ask_for_files(source: Url, request: Request, network: Network) -> Checked:
    if not source.url.startswith("http"):
        return Checked("unchecked")
    answered, refused = source.ask_for_each(request, network)
    if refused:
        return replace(_refused(refused[0]), refused=[one.message for one in refused])
    return Checked("ok") if answered else Checked("unreachable", t("no answer"))


def _refused(failure: Failure) -> Checked:
    states = {
        "not-found": "missing",
        "missing-upstream": "missing",
        "auth": "denied",
        "gated": "denied",
    }
    return Checked(states.get(str(failure.problem.code), "unreachable"), failure.message)


def _compare(draft: Draft, item: _Wanted) -> None:
    """Hold the names of a document against the listing."""
    there, line = list(item.checked.names), draft.lines[item.identifier]
    if item.one:
        _the_one(draft, item)
        return
    changed: dict[str, str] = {}
    for pattern in item.files or ():
        for name in expand(pattern):
            if is_glob(name) or name in there:
                continue
            other = _meant(name, there, set(item.files or ()) | set(changed.values()))
            if other and pattern == name:
                changed[name] = other
                why = t(
                    "there is no {name}: {other} is taken, under that name", name=name, other=other
                )
            else:
                item.checked.state = "missing"
                why = t("there is no {name}", name=name)
            draft.remarks.append(Remark(line, why, item.source.describe()))
    if changed:
        correct_names(draft, item.identifier, changed)


def _the_one(draft: Draft, item: _Wanted) -> None:
    """Find the one file whose own name is not told: the only one, or the only one of its kind."""
    line = draft.lines[item.identifier]
    target = next(key for key, value in draft.tree.items() if value == item.identifier)
    suffix = posixpath.splitext(target)[1].lower()
    alike = [name for name in item.checked.names if name.lower().endswith(suffix)]
    found = alike if len(item.checked.names) > 1 else list(item.checked.names)
    if len(found) != 1:
        item.checked.state = "missing"
        listed = ", ".join(list(item.checked.names)[:5])
        why = t("the page does not say which of its files is meant: {listed}", listed=listed)
        draft.remarks.append(Remark(line, why, item.source.describe()))
        return
    draft.artifacts[item.identifier]["files"] = found
    draft.remarks[:] = [r for r in draft.remarks if (r.line, r.reason) != (line, UNNAMED)]
    why = t("{name} is taken to be {target}", name=found[0], target=target)
    draft.remarks.append(Remark(line, why, item.source.describe()))


def _meant(name: str, there: Sequence[str], taken: set[str]) -> str:
    """The one file that a name which is not there must mean, "" if that is not plain."""
    free = [item for item in there if item not in taken]
    base = posixpath.basename(name)
    for alike in (
        [item for item in free if posixpath.basename(item) == base],
        [
            item
            for item in free
            if _ends(base, posixpath.basename(item)) or _ends(posixpath.basename(item), base)
        ],
        get_close_matches(name, free, 2, 0.92),
    ):
        if len(alike) == 1:
            return alike[0]
        if alike:
            return ""
    return ""


def _ends(longer: str, shorter: str) -> bool:
    """`mtcnn_onet.pt` ends in `onet.pt`."""
    stem = posixpath.splitext(shorter)[0]
    return len(stem) > 2 and longer.endswith(shorter) and longer[: -len(shorter)][-1:] in set("_-.")
