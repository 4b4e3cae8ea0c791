"""Relative paths that come from outside: checked before they name a file.

A path in a manifest, a layout, a lock, a hub's listing, a wheel or a bundle is data. What could
leave the target directory, or mean another file on another system, is refused here by name.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Sequence
from operator import lt
from pathlib import Path

from fetcher.i18n import t

MAX_SEGMENT_BYTES = 255
MAX_PATH_BYTES = 4096

_DEVICES = r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])"
_DEVICE = re.compile(rf"{_DEVICES}(?:[ .].*)?", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")
_WINDOWS_ONLY = re.compile(r'[<>:"|?*]')
# Git treats these as its own directory on case-folding and 8.3 file systems.
_GIT = re.compile(r"(?:\.git|git~1)[ .]*", re.IGNORECASE)
# Marks that turn the direction of what follows: a name that reads as another one.
_TURNING = set("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Nearly every path is of this shape; one match is all that it then costs.
_PLAIN = re.compile(
    rf"(?!{_DEVICES}(?:[./]|\Z))[A-Za-z0-9_-](?:[A-Za-z0-9_.-]{{0,126}}[A-Za-z0-9_-])?"
    rf"(?:/(?!{_DEVICES}(?:[./]|\Z))[A-Za-z0-9_-](?:[A-Za-z0-9_.-]{{0,126}}[A-Za-z0-9_-])?){{0,15}}",
    re.IGNORECASE | re.ASCII,
)


class BadPath(ValueError):
    """A path that is refused; its text says why."""


def _is_invisible(char: str) -> bool:
    """Whether HFS+ passes over the character when it compares names."""
    return not char.isascii() and unicodedata.category(char) == "Cf"


def _check_segment(segment: str, path: str) -> None:
    which = "" if segment == path else t("has {segment!r}, which ", segment=segment)
    if segment in {"", "."}:
        raise BadPath(t("has an empty or '.' segment"))
    if segment == "..":
        raise BadPath(t("leads out of its directory with '..'"))
    if _DRIVE.match(segment):
        raise BadPath(t("names a drive ({segment!r})", segment=segment[:2]))
    if _DEVICE.fullmatch(segment):
        raise BadPath(t("{which}is a device name on Windows", which=which))
    visible = "".join(char for char in segment if not _is_invisible(char))
    if visible != segment and not visible.strip(" ."):
        raise BadPath(t("{which}has characters that nobody sees", which=which))
    if _GIT.fullmatch(visible):
        raise BadPath(t("{which}belongs to git", which=which))
    if segment[-1] in " .":
        raise BadPath(t("{which}ends in a space or a dot, which Windows drops", which=which))
    if sys.platform == "win32" and _WINDOWS_ONLY.search(segment):
        raise BadPath(t("{which}has a character that Windows does not allow", which=which))
    if len(segment.encode("utf-8")) > MAX_SEGMENT_BYTES:
        raise BadPath(
            t(
                "name too long: {segment!r}… has more than {most} bytes",
                segment=segment[:40],
                most=MAX_SEGMENT_BYTES,
            )
        )


def is_plain(path: str) -> bool:
    """Whether a path is of the usual shape, which is safe: letters, figures, '-', '_', '.', '/'."""
    return _PLAIN.fullmatch(path) is not None


def check_relative(path: str) -> str:
    """Return `path` if it is a safe relative path with forward slashes.

    Raises BadPath for absolute paths, `..`, drives, backslashes, device names, control
    characters, git's own directory, and names too long for common file systems.
    """
    if _PLAIN.fullmatch(path):
        return path
    if not path:
        raise BadPath(t("is empty"))
    if path[0] == "/":
        raise BadPath(t("is absolute"))
    if "\\" in path:
        raise BadPath(t("has a backslash"))
    for char in path:
        if unicodedata.category(char) in {"Cc", "Cs"} or char in _TURNING:
            raise BadPath(t("has a control character (U+{char:04X})", char=ord(char)))
    for segment in path.split("/"):
        _check_segment(segment, path)
    if len(path.encode("utf-8")) > MAX_PATH_BYTES:
        raise BadPath(t("path too long: more than {most} bytes", most=MAX_PATH_BYTES))
    return path


def collision_key(path: str) -> str:
    """Equal for two paths that are one file on some file system (case, Unicode form, joiners)."""
    if path.isascii():
        lower = path.lower()
        return path if lower == path else lower  # most keys are the path itself: keep one
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
    return "".join(char for char in folded if not _is_invisible(char))


class _FolderNames:
    """Names that were claimed in one folder many at a time, by its key."""

    def __init__(self) -> None:
        self._runs: list[tuple[str, Sequence[str]]] = []  # the folder as it was spelled, names
        self._last = ""  # while the names' keys ascend
        self._keys: set[str] | None = None
        self._paths: dict[str, str] | None = None

    def add(self, folder: str, names: Sequence[str]) -> bool:
        """Claim ascending names; False if two may be one file somewhere: then none is."""
        folded = _folded_alike(names) if self._keys is None else None
        if folded and self._last < folded[0]:
            self._last = folded[-1]
        else:
            keys, new = self._all_keys(), set(map(collision_key, names))
            if len(new) != len(names) or not keys.isdisjoint(new):
                return False
            keys |= new
        self._runs.append((folder, names))
        return True

    def path(self, key: str) -> str | None:
        """The path of the file whose name has a key."""
        if key not in self._all_keys():
            return None
        if self._paths is None or key not in self._paths:
            self._paths = {
                collision_key(name): f"{folder}/{name}" if folder else name
                for folder, names in self._runs
                for name in names
            }
        return self._paths[key]

    def _all_keys(self) -> set[str]:
        if self._keys is None:
            self._keys = {collision_key(name) for _, names in self._runs for name in names}
        return self._keys


def _folded_alike(names: Sequence[str]) -> Sequence[str] | None:
    """The keys of ascending names if these ascend as well."""
    text = "\n".join(names)
    if not text.isascii():
        return None
    lower = text.lower()
    if lower == text:
        return names
    folded = lower.split("\n")
    return folded if all(map(lt, folded, folded[1:])) else None


class PathClaims:
    """Who takes which path in one tree; finds two claims on one path, and files under files."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        # By key of a folder: folders in it, whether files in it were claimed one by one, and those
        # that were claimed together.
        self._below: dict[str, set[str]] = {}
        self._singly: set[str] = set()
        self._together: dict[str, _FolderNames] = {}

    def claim(self, path: str) -> str | None:
        """Claim a file's path; returns the earlier path it collides with, or None."""
        key = collision_key(path)
        folder = key.rpartition("/")[0]
        other = self._file(key) or self._folders.get(key)
        if other is None:
            other = self._claim_folders(folder, path)
        if other is None:
            self._files[key] = path
            self._singly.add(folder)
        return other

    def claim_names(self, folder: str, names: Sequence[str]) -> bool:
        """Claim files of a folder ("" for the top), whose names ascend, all together.

        False if one may collide with anything: then they are to be claimed one by one.
        """
        key = collision_key(folder)
        if self._claim_folders(key, f"{folder}/{names[0]}") is not None:
            return False
        below = self._below.get(key)
        if below is not None and not below.isdisjoint(map(collision_key, names)):
            return False
        if key in self._singly:
            prefix = key and f"{key}/"
            if any(prefix + collision_key(name) in self._files for name in names):
                return False
        known = self._together.get(key)
        if known is None:
            known = self._together[key] = _FolderNames()
        return known.add(folder, names)

    def claim_folder(self, path: str) -> str | None:
        """Claim a folder, which others may share; returns the file it collides with, or None."""
        return self._claim_folders(collision_key(path), path)

    def has(self, path: str) -> bool:
        """Whether a file or folder of this path is claimed."""
        key = collision_key(path)
        return self._file(key) is not None or key in self._folders

    def _file(self, key: str) -> str | None:
        """The file that was claimed under a key."""
        if (found := self._files.get(key)) is not None or not self._together:
            return found
        folder, _, name = key.rpartition("/")
        known = self._together.get(folder)
        return None if known is None else known.path(name)

    def _claim_folders(self, folder: str, path: str) -> str | None:
        fresh = []
        while folder and folder not in self._folders:
            if (other := self._file(folder)) is not None:
                return other
            fresh.append(folder)
            folder = folder.rpartition("/")[0]
        for item in fresh:
            self._folders[item] = path
            above, _, name = item.rpartition("/")
            self._below.setdefault(above, set()).add(name)
        return None


def is_below(path: str, folder: str) -> bool:
    """Whether a real path is this real folder, or lies in it."""
    return path == folder or path.startswith(os.path.join(folder, ""))


def native(path: Path | str) -> str:
    r"""The path as the system calls take it: `\\?\` in front of long ones on Windows."""
    text = os.fspath(path)
    if sys.platform == "win32" and len(text) > 240 and not text.startswith("\\\\?\\"):
        return "\\\\?\\" + os.path.abspath(text)
    return text


def printable(text: str) -> str:
    """Text from outside, safe to show on a terminal."""
    return "".join(
        char if char.isprintable() else f"\\x{ord(char):02x}" if ord(char) < 256 else "\ufffd"
        for char in text
    )
