"""The border of a folder that a stranger may have filled: no link leads over it unseen.

A cloned project is data, its symlinks too. What is placed, kept or removed below such a folder is
judged by the real folder that it falls into, and done in a folder that is held open, so that a
link that comes into being meanwhile changes nothing.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat as stats
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from fetcher.errors import Failure, from_os_error
from fetcher.fs.atomic import write_atomically
from fetcher.fs.reserved import folded, is_private
from fetcher.fs.safe_paths import is_below, native
from fetcher.i18n import t

Permit = Callable[[Path], bool]

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_DIRECTORY", 0)
# A folder to go through need not be one to list.
_WAY = getattr(os, "O_PATH", os.O_RDONLY) | _NO_LINK | getattr(os, "O_CLOEXEC", 0)
_HANDLES = "/proc/self/fd"
_PACKAGES = ("site-packages", "dist-packages")
_OF_ENVIRONMENTS = ("bin", "scripts", "lib", "lib64", "include", "share", "etc", "conda-meta")


def nowhere(_: Path) -> bool:
    """The permit of a folder that no link may lead out of."""
    return False


def _can_hold() -> bool:
    """Whether a path can go through an open folder here (Linux with /proc)."""
    return os.open in os.supports_dir_fd and bool(_NO_LINK) and os.path.isdir(_HANDLES)


class OpenFolder:
    """A folder held open: what is done `at(name)` is done in it, whatever its own name becomes.

    Where the system has no paths through open folders, `at` gives the plain one.
    """

    def __init__(self, path: str, handle: int | None) -> None:
        self.path = path
        self._handle = handle
        self._prefix = (path if handle is None else f"{_HANDLES}/{handle}").rstrip(os.sep) + os.sep

    def at(self, name: str) -> str:
        """The path of a file in it."""
        return native(self._prefix + name)

    def link(self, source: str, name: str) -> None:
        """Make a hard link to a file in it. Raises OSError.

        Through the handle itself: a path by way of /proc takes half as long again.
        """
        if self._handle is None:
            os.link(source, self.at(name))
        else:
            os.link(source, name, dst_dir_fd=self._handle)

    def named(self, name: str) -> str:
        """The same for people: its path by names."""
        return os.path.join(self.path, name)

    def close(self) -> None:
        """Let go of it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> OpenFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Location(NamedTuple):
    """Where a folder really is: `parts` below `base`, which is the boundary's root or a folder
    that the person allows; no part is a link. `absent`: it is not there yet. `below_root` are the
    parts from the nearest root of a project or repository on, after "" where there is none.
    """

    base: str
    parts: tuple[str, ...]
    absent: bool
    below_root: tuple[str, ...]

    @property
    def path(self) -> str:
        """The whole path."""
        return os.path.join(self.base, *self.parts)


class Boundary:
    """A folder and what may lie behind its links: itself, and what `permit` says of real paths.

    `roots` are folders below which names are reserved as below the folder itself; the person's
    home is one as well.
    """

    def __init__(self, root: Path, permit: Permit = nowhere, roots: Iterable[Path] = ()) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._permit = permit
        home = Path(os.path.expanduser("~"))
        self._roots = {os.path.realpath(folder) for folder in (root, home, *roots)}
        self._sound: set[str] = set()
        self._no_roots: set[str] = set()
        # Neither a repository nor an environment, when it was last looked at.
        self._root_is_plain = False

    def locate(self, folder: str) -> Location:
        """Where a folder below the root (with forward slashes, "" for the root itself) really is.

        Raises Failure if a link leads out, if it belongs to git or to fetch, or is no folder.
        """
        base, parts, link = self._real, list[str](), ""
        names = folder.split("/") if folder else []
        absent = not os.path.isdir(native(base))
        there = 0  # how many of the parts there are
        for index, name in enumerate(() if absent else names):
            path = os.path.join(base, *parts, name)
            try:
                mode = os.lstat(native(path)).st_mode
            except (FileNotFoundError, NotADirectoryError):
                absent, there = True, len(parts)
                parts += names[index:]
                break
            except OSError as error:
                raise from_os_error(error, t("looking at {path}", path=path)) from error
            if stats.S_ISDIR(mode):
                parts.append(name)
                continue
            if not stats.S_ISLNK(mode):
                raise _no_folder(path)
            link = path
            base, parts = self._behind(link)
            if not os.path.isdir(native(link)):
                raise _leads_nowhere(link)
        else:
            if absent:
                parts = names
            else:
                there = len(parts)
        self._refuse_private(base, parts, there, link, placing=True)
        return Location(base, tuple(parts), absent, self._below_root(base, parts, there))

    def open(self, folder: str, create: bool = True) -> OpenFolder:
        """The folder, held open; made if it is to be. Raises Failure, OSError."""
        self._root_is_plain = False  # what is placed meanwhile may change that
        found = self.locate(folder)
        return _descend(found.base, found.parts, create)

    def real_path(self, path: str) -> Path:
        """The real path of a file below the root, links followed. Raises Failure if it leads out,
        or belongs to git or fetch."""
        whole = os.path.join(self.root, path)
        real = os.path.realpath(whole)
        if real != os.path.join(self._real, *path.split("/")):
            for end in range(path.count("/") + 1):  # that which leads out is the one to name
                self._behind(os.path.join(self.root, *path.split("/")[: end + 1]))
            inside, parts = self._inside(real)
            self._refuse_private(inside, parts, len(parts), whole)
        return Path(real)

    def write(self, path: str, data: bytes) -> None:
        """Replace a file's content at once; one that is a link inside is written where it leads.

        Raises Failure, OSError.
        """
        real = self.real_path(path)
        base, parts = self._inside(str(real))
        with _descend(base, parts[:-1], create=True) as folder:
            write_atomically(Path(folder.at(parts[-1])), data)

    def _behind(self, link: str) -> tuple[str, list[str]]:
        """Where a link leads. Raises Failure if that is outside."""
        real = os.path.realpath(link)
        try:
            return self._inside(real)
        except ValueError:
            raise leads_out(link, real, self.root) from None

    def _inside(self, real: str) -> tuple[str, list[str]]:
        """A real path as parts below the folder that makes it ours. ValueError for none."""
        if is_below(real, self._real):
            return self._real, _parts(real, self._real)
        path = Path(real)
        allowed = [folder for folder in (path, *path.parents) if self._permit(folder)]
        if not allowed:
            raise ValueError(real)
        base = str(allowed[-1])
        return base, _parts(real, base)

    def _refuse_private(
        self, base: str, parts: list[str], there: int, link: str, placing: bool = False
    ) -> None:
        """Raise Failure for what belongs to somebody; a store too, which no tree is made in.

        Of the parts the first `there` exist; what does not is judged by its name alone.
        """
        path = base
        for index, part in enumerate(("", *parts)):
            path = os.path.join(path, part) if part else path
            if path in self._sound or (placing and self._root_is_plain and path == self._real):
                continue
            owner = is_private(part) if part else ""
            if index > there:
                owner = owner or _owner_by_name(part)
            else:
                owner = owner or self._owner_of(path, parts, placing)
                if placing and not owner and path != self._real and _is_store(path):
                    owner = t("a store or bundle of fetch's")
            if owner:
                way = link or path
                raise Failure(
                    "bad-path",
                    t(
                        "{way} leads to {path}, which belongs to {owner}",
                        way=way,
                        path=path,
                        owner=owner,
                    )
                    if link
                    else t("{path} belongs to {owner}", path=path, owner=owner),
                    t("remove the symlink {link}", link=link)
                    if link
                    else t("choose another folder in the layout"),
                )
            # Of the root, what lies below decides; nobody knows yet what is not there.
            if placing and path != self._real and index <= there:
                self._sound.add(path)

    def _owner_of(self, path: str, parts: list[str], placing: bool) -> str:
        """The same as `owner_of`; a project may itself be an environment: `python -m venv .`."""
        if path != self._real or _is_repository(path):
            return owner_of(path)
        if not _is_environment(path):
            self._root_is_plain = placing
            return ""
        return t("a Python environment") if parts and parts[0].lower() in _OF_ENVIRONMENTS else ""

    def _below_root(self, base: str, parts: list[str], there: int) -> tuple[str, ...]:
        start = 0 if self._is_root(base) else -1
        path = base
        for index, part in enumerate(parts):
            path = os.path.join(path, part)
            if self._is_root(path) if index < there else path in self._roots:
                start = index + 1
        # An allowed folder is no root by itself: "" stands for the way to it.
        return tuple(parts[start:]) if start >= 0 else ("", *parts)

    def _is_root(self, path: str) -> bool:
        """Whether an existing folder is one; asked of each folder once, as many lie in few."""
        if path not in self._roots and path not in self._no_roots:
            (self._roots if _has(path, ".git") else self._no_roots).add(path)
        return path in self._roots


def _parts(real: str, base: str) -> list[str]:
    return [part for part in real[len(base) :].split(os.sep) if part]


def owner_of(folder: str) -> str:
    """Whom a folder belongs to by its name or what it holds, "" for nobody: files in it are run."""
    if _is_repository(folder):
        return t("a git repository")
    return t("a Python environment") if _is_environment(folder) else ""


def _owner_by_name(name: str) -> str:
    """The same of a folder that is not there."""
    return t("a Python environment") if _is_packages(name) else ""


def _has(folder: str, name: str) -> bool:
    return os.path.lexists(native(os.path.join(folder, name)))


def _is_repository(folder: str) -> bool:
    return _has(folder, "HEAD") and (
        _has(folder, "commondir") or (_has(folder, "objects") and _has(folder, "refs"))
    )


def _is_store(folder: str) -> bool:
    return _has(folder, "oci-layout") and _has(folder, "blobs")


def _is_environment(folder: str) -> bool:
    """Whether Python finds modules there: in a venv, one of conda's, or where packages are put."""
    return (
        _is_packages(os.path.basename(folder))
        or _has(folder, "pyvenv.cfg")
        or _has(folder, "conda-meta")
    )


def _is_packages(name: str) -> bool:
    return folded(name) in _PACKAGES


def leads_out(link: str | Path, real: str, root: str | Path) -> Failure:
    """The error for a link that leads out of a folder; its hint tells how a person allows it."""
    hint = t("remove it")
    if os.path.isdir(real) or os.path.isfile(real):  # no device, nothing that waits for ever
        folder = real if os.path.isdir(real) else os.path.dirname(real)
        hint = t(
            "put what it leads to in its place; if you made it: fetch config allow links {folder}",
            folder=shlex.quote(folder),
        )
    message = t("{link} is a symlink to {real}, outside {root}", link=link, real=real, root=root)
    return Failure("bad-path", message, hint)


def _no_folder(path: str) -> Failure:
    message = t("{path} is a file where a folder must be", path=path)
    return Failure("conflict", message, t("move it away"))


def _leads_nowhere(path: str) -> Failure:
    message = t("{path} is a symlink that leads to no folder", path=path)
    return Failure("conflict", message, t("make the folder (is its disk there?), or remove it"))


def _is_link(path: str) -> Failure:
    return Failure(
        "bad-path",
        t("{path} is a symlink, through which fetch writes nothing", path=path),
        t("remove it; fetch makes its own"),
    )


def _descend(base: str, parts: Iterable[str], create: bool) -> OpenFolder:
    """Go down from `base`, a real path, following no link. Raises Failure, OSError."""
    if create:
        os.makedirs(native(base), exist_ok=True)
    if not _can_hold():
        return _walk_down(base, parts, create)
    path, handle = base, os.open(base, _WAY)
    try:
        for part in parts:
            path = os.path.join(path, part)
            below = _step(handle, part, path, create)
            os.close(handle)
            handle = below
    except BaseException:
        os.close(handle)
        raise
    return OpenFolder(path, handle)


def _step(handle: int, part: str, path: str, create: bool) -> int:
    while True:
        try:
            return os.open(part, _WAY, dir_fd=handle)
        except FileNotFoundError:
            if not create:
                raise
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
            mode = os.lstat(part, dir_fd=handle).st_mode
            raise (_is_link(path) if stats.S_ISLNK(mode) else _no_folder(path)) from None
        try:
            os.mkdir(part, dir_fd=handle)
        except FileExistsError:
            continue  # another run was faster


def _walk_down(base: str, parts: Iterable[str], create: bool) -> OpenFolder:
    """The same by names, where folders cannot be held open."""
    path = base
    for part in parts:
        path = os.path.join(path, part)
        if create and not os.path.lexists(native(path)):
            os.makedirs(native(path), exist_ok=True)
        mode = os.lstat(native(path)).st_mode
        if stats.S_ISLNK(mode) or os.path.realpath(path) != path:
            raise _is_link(path)
        if not stats.S_ISDIR(mode):
            raise _no_folder(path)
    return OpenFolder(path, None)


# What is fetch's own below a folder (.fetch, a store or cache that a project chose): no links.


def open_own(root: Path, folder: str, create: bool = True) -> OpenFolder:
    """A folder of fetch's own; no part of the way to it is a link. Raises Failure, OSError."""
    return _descend(os.path.realpath(root), folder.split("/") if folder else (), create)


def write_own(root: Path, path: str, data: bytes) -> None:
    """Replace the content of a file of fetch's own below `root`. Raises Failure, OSError."""
    folder, _, name = path.rpartition("/")
    with open_own(root, folder) as place:
        write_atomically(Path(place.at(name)), data)


def refuse_links(root: Path, paths: Iterable[str]) -> None:
    """Raise Failure if one of these files of fetch's own is there as something else."""
    for path in paths:
        whole = os.path.join(root, path)
        try:
            mode = os.lstat(native(whole)).st_mode
        except OSError:
            continue
        if stats.S_ISLNK(mode):
            raise _is_link(whole)
        if not stats.S_ISREG(mode) and not stats.S_ISDIR(mode):
            raise Failure(
                "bad-path", t("{path} is no file", path=whole), t("remove it; fetch makes its own")
            )
