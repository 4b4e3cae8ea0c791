"""What scripts do with what comes out of archives: members moved, renamed and taken away."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace

from fetcher.i18n import t
from fetcher.importers.document_paths import TEMPORARY, is_pattern, join, visible
from fetcher.importers.target_tree import ARCHIVES, TargetTree, Unpacked, shown

_WEIGHTS = re.compile(
    r"\.(pth?|ckpt|safetensors|bin|onnx|gguf|h5|hdf5|keras|pkl|npz|npy|mat|tflite|pb|t7"
    r"|caffemodel|weights|params|model|tar)$",
    re.IGNORECASE,
)


def move_members(tree: TargetTree, source: str, target: str, line: int, copy: bool = False) -> bool:
    """Move or copy what archives have at `source` (a path, or a glob in its last part).

    False if no archive was unpacked there, or what it would take cannot be told.
    """
    head = posixpath.dirname(source)
    if is_pattern(head) or source == target:
        return False
    found = list(_candidates(tree, source))
    if not found:
        return False
    is_file = _is_file(source)
    if is_file and len(found) > 1:
        why = t("several archives may have {name}: the last one is taken", name=source)
        tree.remark(line, why)
        found = found[-1:]
    end = target
    if not is_pattern(source) and tree.is_folder(target):
        end = join(target, posixpath.basename(source))
    for index in found:
        item = tree.unpacked[index]
        inner = item.inner(source) or ""
        if is_pattern(source):
            _move_pattern(tree, index, inner, target, copy)
        else:
            moved = (inner if is_file else inner + "/", end)
            tree.unpacked[index] = _moving(item, moved, copy)
    return True


def _candidates(tree: TargetTree, path: str) -> Iterator[int]:
    """Archives that may have brought what is at a path: by its name, else all that are whole."""
    below = [
        (index, inner)
        for index, item in enumerate(tree.unpacked)
        if (inner := item.inner(path))
        and (item.rest or item.folder.startswith(TEMPORARY))
        and not _elsewhere(item, inner)
    ]
    # At the project's root there are files of its own as well.
    below = [
        (index, inner)
        for index, inner in below
        if tree.unpacked[index].folder
        or not _is_file(path)
        or _WEIGHTS.search(path)
        or tree.unpacked[index].stem == inner.partition("/")[0]
    ]
    named = [
        index for index, inner in below if tree.unpacked[index].stem == inner.partition("/")[0]
    ]
    # The deeper folder is the surer one.
    deepest = max((len(tree.unpacked[index].folder) for index, _ in below), default=0)
    yield from named or [i for i, _ in below if len(tree.unpacked[i].folder) == deepest]


def _elsewhere(item: Unpacked, inner: str) -> bool:
    """Whether a member was moved away before."""
    return any((inner + "/").startswith(member.rstrip("/") + "/") for member, _ in item.moved)


def _moving(item: Unpacked, moved: tuple[str, str], copy: bool) -> Unpacked:
    """The archive with one of its members elsewhere.

    What moves its topmost folder or file moves what it is unpacked for; of the others of the
    archive nothing is known then.
    """
    topmost = "/" not in moved[0].rstrip("/")
    return replace(item, moved=(*item.moved, moved), rest=item.rest and (copy or not topmost))


def _move_pattern(tree: TargetTree, index: int, inner: str, target: str, copy: bool) -> None:
    item = tree.unpacked[index]
    head, _, last = inner.rpartition("/")
    depth = item.strip + (head.count("/") + 1 if head else 0)
    if last == "*" and head and target == item.folder and not copy and not item.moved:
        members = tuple(f"{head}/{name}" for name in item.members) or (f"{head}/**",)
        tree.unpacked[index] = replace(item, strip=depth, members=members)
    elif last == "*" and head:
        tree.unpacked[index] = _moving(item, (head + "/", target), copy)
    else:
        # The same archive once more: of its members only these, without the folders above them.
        chosen = join(head, last)
        tree.unpacked.append(Unpacked(item.archive, target, item.line, depth, (chosen,)))
        if copy:
            return
        if head:
            left = not item.folder.startswith(TEMPORARY)
            tree.unpacked[index] = replace(item, exclude=(*item.exclude, chosen), rest=left)
        else:
            del tree.unpacked[index]


def remove_members(tree: TargetTree, path: str) -> bool:
    """Leave out what archives have at a path or glob; True if an archive may have it."""
    if ARCHIVES.search(path) and path not in tree.folders:
        return False
    found = False
    single = [
        index for index, item in enumerate(tree.unpacked) if item.stem == item.inner(path) != ""
    ]
    if single and _is_file(path):  # all that was compressed there
        item = tree.unpacked[single[-1]]
        tree.unpacked[single[-1]] = replace(item, rest=False)
        why = t("{path} is fetched and removed again: it was left out", path=visible(path))
        tree.remark(item.line, why, shown(item.archive))
        return True
    for index, item in enumerate(tree.unpacked):
        if path and (item.folder + "/").startswith(path + "/"):
            tree.unpacked[index] = replace(item, rest=False)
            found = True
            if item.rest and not item.moved:
                why = t("{path} is fetched and removed again: it was left out", path=visible(path))
                tree.remark(item.line, why, shown(item.archive))
    if found:
        return True
    return _leave_out(tree, path)


def _leave_out(tree: TargetTree, path: str) -> bool:
    """Leave members out of the archives that may have them: those unpacked nearest to them."""
    below = [(i, inner) for i, item in enumerate(tree.unpacked) if (inner := item.inner(path))]
    deepest = max((len(tree.unpacked[index].folder) for index, _ in below), default=0)
    near = [(i, inner) for i, inner in below if len(tree.unpacked[i].folder) == deepest]
    own = [(i, inner) for i, inner in near if _brings_alone(tree.unpacked[i], inner)]
    for index, inner in own or near:
        item = tree.unpacked[index]
        if item.strip and item.members and item.members[0].startswith(inner + "/"):
            continue  # its contents stand one folder higher already
        if any((member + "/").startswith(inner + "/") for member, _ in item.moved):
            if all((member + "/").startswith(inner + "/") for member, _ in item.moved):
                tree.unpacked[index] = replace(item, rest=False)
            continue
        gone = (inner,) if _is_file(inner) or is_pattern(inner) else (inner, f"{inner}/**")
        exclude = tuple(dict.fromkeys((*item.exclude, *gone)))
        tree.unpacked[index] = replace(item, exclude=exclude)
    return bool(near)


def _brings_alone(item: Unpacked, inner: str) -> bool:
    """Whether it is this archive that has a folder: by its name, or by what was moved of it."""
    return (
        item.stem == inner
        or any((member + "/").startswith(inner + "/") for member, _ in item.moved)
        or bool(item.strip and item.members and item.members[0].startswith(inner + "/"))
    )


def _is_file(path: str) -> bool:
    """Whether a name is more likely a file's than a folder's."""
    return re.search(r"[^.]\.[A-Za-z]\w{0,14}$", posixpath.basename(path)) is not None
