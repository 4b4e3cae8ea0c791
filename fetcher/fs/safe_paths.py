"""Relative paths that come from outside: checked before they name a file.

A path in a manifest, a layout, a lock, a hub's listing, a wheel or a bundle is data. What could
leave the target directory, or mean another file on another system, is refused here by name.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
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


class PathClaims:
    """Who takes which path in one tree; finds two claims on one path, and files under files."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def claim(self, path: str) -> str | None:
        """Claim a file's path; returns the earlier path it collides with, or None."""
        key = collision_key(path)
        other = self._files.get(key) or self._folders.get(key)
        if other is None:
            other = self._claim_folders(key.rpartition("/")[0], path)
        if other is None:
            self._files[key] = path
        return other

    def claim_folder(self, path: str) -> str | None:
        """Claim a folder, which others may share; returns the file it collides with, or None."""
        return self._claim_folders(collision_key(path), path)

    def has(self, path: str) -> bool:
        """Whether a file or folder of this path is claimed."""
        key = collision_key(path)
        return key in self._files or key in self._folders

    def _claim_folders(self, folder: str, path: str) -> str | None:
        fresh = []
        while folder and folder not in self._folders:
            if folder in self._files:
                return self._files[folder]
            fresh.append(folder)
            folder = folder.rpartition("/")[0]
        for item in fresh:
            self._folders[item] = path
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
