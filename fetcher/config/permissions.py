"""Changes of what the person allows: `allow` in their own file, comments and order kept."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fetcher.config import person
from fetcher.config.named_roots import root_named
from fetcher.errors import InvalidDocument, UsageError
from fetcher.fs.atomic import write_atomically
from fetcher.fs.safe_paths import is_below
from fetcher.i18n import t
from fetcher.yamldoc import edit, nodes

_Allow = dict[str, Any]


def allow(kind: str, what: Sequence[str], root: Path) -> Path:
    """Add to what is allowed; `root` is the project that `code` is meant for. The file's path.

    A folder that is named by its whole path need not be there yet. Raises UsageError for a kind's
    wrong values, InvalidDocument for a file that cannot be read.
    """
    key, values = _checked(kind, what, root)
    _refuse_everything(kind, values)
    for named, folder in zip(what, values, strict=True) if kind in person.FOLDERS else ():
        whole = Path(os.path.expanduser(named)).is_absolute()
        if not Path(folder).is_dir() and (os.path.lexists(folder) or not whole):
            raise UsageError(
                t("{folder} is not a folder", folder=folder), t("name one by its whole path")
            )

    def add(now: _Allow) -> Any:
        if kind in person.LISTS:
            return _united(now.get(kind), values)
        held = dict(now.get(kind) or {})
        return {**held, key: _united(held.get(key), values)}

    return _change(kind, add)


def _refuse_everything(kind: str, folders: Sequence[str]) -> None:
    """Raise UsageError for a folder that holds all a person has: no project needs that."""
    everything = {os.path.realpath(os.path.expanduser(name)) for name in (os.sep, "~")}
    for folder in folders if kind in person.FOLDERS else ():
        if folder in everything or any(is_below(one, folder) for one in everything):
            raise UsageError(
                t("{folder} holds everything that you have", folder=folder),
                t("name the folders below it that a project needs"),
            )


def deny(kind: str, what: Sequence[str], root: Path) -> Path:
    """Take from what is allowed. The file's path. Raises as `allow`, and for what is not there.

    Of `pickles` the sha256 alone takes all of it; of `code` the whole path of a project's folder,
    which may be gone.
    """
    values: list[str] = []
    if kind == "pickles" and len(what) == 1:
        key = what[0]
    elif kind == "code" and len(what) == 1 and os.path.isabs(what[0]):
        key = os.path.realpath(what[0])
    else:
        key, values = _checked(kind, what, root)

    def take(now: _Allow) -> Any:
        if kind == "roots":
            return _without(now.get(kind), values, kind)
        if kind in person.FOLDERS:
            held_as = {_folder(item): item for item in _items(now.get(kind))}
            return _without(now.get(kind), [held_as.get(one, one) for one in values], kind)
        held = dict(now.get(kind) or {})
        left = _without(held.get(key), values, kind) if values else []
        if key not in held:
            raise _not_there(kind, key)
        return {name: ids for name, ids in {**held, key: left}.items() if ids}

    return _change(kind, take)


def _checked(kind: str, what: Sequence[str], root: Path) -> tuple[str, list[str]]:
    """The key below the kind ("" for folders and roots) and its values."""
    if kind == "pickles":
        if len(what) < 2 or not re.fullmatch(r"[0-9a-f]{64}", what[0]):
            raise UsageError(
                t("pickles needs a sha256 and at least one name"),
                t("fetch config allow pickles SHA256 torch.nn.modules.linear.Linear"),
            )
        return what[0], list(what[1:])
    if not what:
        raise UsageError(
            t("{kind} needs at least one value", kind=kind), t("see fetch config allow --help")
        )
    if kind == "code":
        return os.path.realpath(root), list(what)
    if kind == "roots":
        return "", [root_named(name).name for name in what]
    return "", [_folder(folder) for folder in what]


def _folder(text: str) -> str:
    return os.path.realpath(os.path.expanduser(text))


def _items(held: Any) -> list[str]:
    return [held] if isinstance(held, str) else [str(item) for item in held or ()]


def _united(held: Any, values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*_items(held), *values]))


def _without(held: Any, values: Sequence[str], kind: str) -> list[str]:
    now = _items(held)
    for value in values:
        if value not in now:
            raise _not_there(kind, value)
    return [item for item in now if item not in values]


def _not_there(kind: str, value: str) -> UsageError:
    return UsageError(
        t("{kind} does not have {value}", kind=kind, value=value),
        t("`fetch config allow` shows what is allowed"),
    )


def _change(kind: str, changed: Callable[[_Allow], Any]) -> Path:
    path = person.path()
    if path is None:
        raise UsageError(
            t("there is no home to keep your settings in"),
            t("set {variable} to a file of your own", variable=person.VARIABLE),
        )
    text = path.read_text("utf-8") if person.existing() else ""
    document = nodes.parse(text.encode(), str(path))
    if document.problems and not document.empty:
        raise InvalidDocument(document.problems)
    now = {} if document.root is None else edit.plain(document.root, document)
    value = changed(dict(now.get("allow") or {}))
    place = path.resolve()  # some keep their settings elsewhere, and link to them
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, edit.put(text, ["allow"], kind, value, str(path)).encode())
    return path
