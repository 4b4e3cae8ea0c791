"""What the person at this machine allows: in a file of their own, never in a project's.

A cloned project is data. Where it asks for more than it may have by itself (a folder elsewhere, a
pickle's classes, code that runs), the person's own file says yes or nobody does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.config.named_roots import ROOTS, root_named
from fetcher.errors import UsageError
from fetcher.fs.home import config_folder
from fetcher.i18n import t
from fetcher.yamldoc.schema import Field, ListOf, MapOf, Record, Text, Values

VARIABLE = "FETCH_CONFIG"
FOLDERS = ("links", "local")  # the kinds that are lists of folders
LISTS = (*FOLDERS, "roots")
KINDS = (*LISTS, "pickles", "code")
_OTHERS_WRITE = stat.S_IWOTH

ALLOW_FIELDS: dict[str, Field] = {
    "links": Field(
        ListOf(Text(), or_one=True), t("folders that links in a project's tree may lead into")
    ),
    "local": Field(
        ListOf(Text(), or_one=True), t("folders outside a project that `local:` may take from")
    ),
    "roots": Field(
        ListOf(Text(choices=tuple(ROOTS)), or_one=True),
        t("libraries' folders, by name, that layouts may place files in"),
    ),
    "pickles": Field(
        MapOf(Text(r"[0-9a-f]{64}", t("a sha256")), ListOf(Text(), or_one=True)),
        t("classes and functions that the pickle with this sha256 may use"),
    ),
    "code": Field(
        MapOf(Text(), ListOf(Text(), or_one=True)),
        t("by a project's folder: the artifacts whose code may run"),
    ),
}
ALLOW = Field(Record("allow", ALLOW_FIELDS), t("what projects may do beyond their own folder"))


@dataclass(frozen=True)
class Allowed:
    """What the person allows projects beyond their own folder; nothing where there is no file.

    `links` and `local` are folders; `roots` names of libraries' folders; `pickles` names by a
    file's sha256; `code` artifacts' ids by a project's folder. All folders are real paths, symlinks
    followed.
    """

    links: tuple[Path, ...] = ()
    local: tuple[Path, ...] = ()
    roots: frozenset[str] = frozenset()
    pickles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    code: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)

    def may_lead_to(self, place: Path) -> bool:
        """Whether a link in a project's tree may lead to `place` (a real path)."""
        return _is_below(place, self.links)

    def may_take_from(self, place: Path) -> bool:
        """Whether `local:` may take `place` (a real path) though it is not the project's."""
        return _is_below(place, self.local)

    def may_run(self, project: Path, artifact: str) -> bool:
        """Whether the code of this artifact of the project in this folder may run."""
        return artifact in self.code.get(Path(os.path.realpath(project)), ())


def _is_below(place: Path, folders: tuple[Path, ...]) -> bool:
    return any(place == folder or folder in place.parents for folder in folders)


def path() -> Path | None:
    """Where the person's file lies, whether or not it is there; None without a home.

    Raises UsageError for a name that means another file in each project that one stands in: that
    would be a clone's word.
    """
    if named := os.environ.get(VARIABLE):
        whole = Path(os.path.expanduser(named))
        if whole.is_absolute():
            return whole
        raise UsageError(
            t("{variable}={named} is no whole path", variable=VARIABLE, named=named),
            t("begin it with / or ~: your own file lies in no project"),
        )
    folder = config_folder()
    return folder / "config.yaml" if folder else None


def existing() -> Path | None:
    """The person's file, None if there is none.

    Raises UsageError for a file that anybody may write: what it allows is not the person's word.
    """
    found = path()
    try:
        mode = found.stat().st_mode if found else 0
    except OSError:
        return None
    if found is None or not stat.S_ISREG(mode):
        return None
    if os.name == "posix" and mode & _OTHERS_WRITE:
        raise UsageError(
            t("{path} may be written by everybody on this machine", path=found),
            t("chmod o-w {path}", path=found),
        )
    return found


def allowed(values: Values | None) -> Allowed:
    """What `allow` in the person's file says (`values`, as decoded), and the variables beside it.

    `FETCH_ALLOW_LINKS` and `FETCH_ALLOW_LOCAL` are lists of folders as `PATH` is one, and
    `FETCH_ALLOW_ROOTS` is one of names. Raises UsageError.
    """
    said = dict(values or {})
    found: dict[str, list[str]] = {}
    for kind in LISTS:
        text = os.environ.get(f"FETCH_ALLOW_{kind.upper()}", "")
        found[kind] = [*said.get(kind, ()), *filter(None, text.split(os.pathsep))]
    folders = {kind: tuple(_real(item) for item in found[kind]) for kind in FOLDERS}
    for name in found["roots"]:
        root_named(name)
    code = {_real(folder): tuple(ids) for folder, ids in said.get("code", {}).items()}
    roots = frozenset(found["roots"])
    return Allowed(folders["links"], folders["local"], roots, dict(said.get("pickles", {})), code)


def _real(text: str) -> Path:
    expanded = os.path.expanduser(text)
    if not Path(expanded).is_absolute():
        raise UsageError(
            t("what is allowed is a folder by its whole path, not {text!r}", text=text),
            t("begin it with / or ~"),
        )
    return Path(os.path.realpath(expanded))
