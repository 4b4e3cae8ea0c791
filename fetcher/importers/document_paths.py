"""Paths as documents write them: in the project, or below a folder that is elsewhere."""

from __future__ import annotations

import posixpath
import re

from fetcher.fs.logins import hidden
from fetcher.i18n import t

# A path that begins so is absolute and lies in the project, or in the person's home. Both are of
# Unicode's private use: no path that a document writes begins so.
ROOT, HOME = "\ue000", "\ue001"
# What a document puts into a folder for temporary files, and takes from there again.
TEMPORARY = "\ue002"
# A folder that is not the project's: BASE, its words (`$1`, `~`, `..`, `/`), BASE_END, then a path.
BASE, BASE_END = "\ue003", "\ue004"
NOWHERE = "?"  # the words of a folder that could not be read


class Unreadable(Exception):
    """What a document means cannot be told; the text says why."""


def is_pattern(text: str) -> bool:
    """Whether it has wildcards."""
    return re.search(r"[*?\[{]", text) is not None


def join(folder: str, name: str) -> str:
    """A path in a folder; "" is the root."""
    return f"{folder}/{name}" if folder else name


def based(words: str) -> str:
    """The path of a folder outside the project, or of one that the person chooses."""
    return f"{BASE}{words}{BASE_END}"


def split_base(path: str) -> tuple[str, str]:
    """(the words of the folder that a path lies below, "" for the project; the rest)."""
    found = re.match(f"{BASE}([^{BASE}{BASE_END}]*){BASE_END}(?:/|\\Z)", path)
    return (found[1], path[found.end() :]) if found else ("", path)


def not_told(text: str) -> str:
    """What a value needs that the document does not say, such as `$1`; "" for nothing."""
    found = re.search(f"{BASE}([^{BASE_END}]*)", text)
    return found[1] if found else ""


def located(cwd: str, text: str) -> str:
    """A path as a document writes it, in the folder `cwd`, relative to the root.

    One that lies elsewhere begins with the folder that it lies below; see `split_base`. Raises
    Unreadable for what is no path.
    """
    path = text.replace("\\", "/") if re.match(r"[\w.-]+\\", text) else text
    if re.match(r"(/var)?/tmp(/|$)", path):
        path = TEMPORARY + path.partition("/tmp")[2]
    if path.startswith(TEMPORARY) or (cwd.startswith(TEMPORARY) and not _absolute(path)):
        return _temporary(path if path.startswith(TEMPORARY) else join(cwd, path), text)
    if re.match(r"[A-Za-z]:[/\\]", path):
        raise Unreadable(t("{path} lies outside the project", path=visible(text)))
    base, rest = _base_and_rest(cwd, path)
    if unknown := not_told(rest):
        raise Unreadable(t("the script does not say what {name} is", name=unknown))
    if re.search(f"[{ROOT}{HOME}{TEMPORARY}]", rest):
        raise Unreadable(t("{path} lies outside the project", path=visible(text)))
    rest = posixpath.normpath(rest) if rest else ""
    if above := re.match(r"(?:\.\./)*\.\.(?=/|\Z)", rest):
        if base != "/" and not re.fullmatch(r"(\.\.(/|\Z))*", base):
            raise Unreadable(t("{path} lies outside the project", path=visible(text)))
        base = base if base == "/" else join(base, above[0])
        rest = rest[above.end() :].lstrip("/")
    rest = "" if rest == "." else rest
    if not base:
        return rest
    return join(based(base), rest) if rest else based(base)


def inside(cwd: str, text: str) -> str:
    """The same for what must lie in the project. Raises Unreadable for what does not."""
    path = located(cwd, text)
    if path.startswith((BASE, TEMPORARY)):
        raise Unreadable(t("{path} lies outside the project", path=visible(text)))
    return path


def _base_and_rest(cwd: str, path: str) -> tuple[str, str]:
    if path == "~" or path.startswith((HOME, "~/")):
        return "~", path[1:].lstrip("/")
    if path.startswith(ROOT):
        return "", path[len(ROOT) :].lstrip("/")
    if path.startswith("/"):
        return "/", path.lstrip("/")
    return split_base(path if path.startswith(BASE) else join(cwd, path))


def _absolute(path: str) -> bool:
    return path.startswith((ROOT, HOME, BASE, "/", "~/")) or path == "~"


def _temporary(path: str, text: str) -> str:
    found = posixpath.normpath(path)
    if not found.startswith(TEMPORARY) or re.search(f"[{ROOT}{HOME}{BASE}]", found):
        raise Unreadable(t("{path} lies outside the project", path=visible(text)))
    return found


def visible(text: str) -> str:
    """A value for a remark, without our marks or a login in it."""
    text = re.sub(
        f"{BASE}([^{BASE_END}]*){BASE_END}(/?)",
        lambda m: "/" if m[1] == "/" else m[1] + m[2],
        text,
    )
    return (
        hidden(text)
        .replace(ROOT + "/", "./")
        .replace(ROOT, ".")
        .replace(HOME, "~")
        .replace(TEMPORARY, "/tmp")
    )
