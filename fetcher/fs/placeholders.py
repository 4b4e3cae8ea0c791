"""What looks like a variable in a name: nothing replaces it, so it is no name that anybody meant.

A shell, a template or a person would put something in its place. Here it would become a folder
called `${NAME}`, or an address that nobody serves.
"""

from __future__ import annotations

import re
from enum import Enum

from fetcher.i18n import t

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_ESCAPE = r"%[0-9A-Fa-f]{2}"
# Texts, which `re` compiles when they are first needed: nearly no run has such a name.
_ANYWHERE = (
    r"\$\{[^{}]*\}?"  # ${NAME}, ${NAME:-default}
    r"|\$\([^()]*\)?"  # $(command), $(NAME)
    r"|`[^`]*`"
    r"|\{\{[^{},]*\}\}"  # {{ name }}
    r"|\{%[^{}]*%\}"
    r"|<[A-Za-z][A-Za-z0-9_ .-]*>"  # <your-folder>
    r"|@[A-Z][A-Z0-9_]*@"
    r"|\$[A-Z_][A-Z0-9_]*(?![A-Za-z0-9_])"  # $NAME; not Outer$Inner
)
# In a name only: addresses have folders called $web and /~user.
_IN_NAME = rf"(?:^|(?<=/))\$(?:env:)?{_NAME}|^~(?:{_NAME})?(?=/|$)"
_OF_WINDOWS = rf"%{_NAME}%"
# In a tree only: files of a repository may be called so.
_IN_TREE = rf"\{{{_NAME}(?:\.{_NAME})*\}}"
_SIGNS = frozenset("$`{<@~%")


class Where(Enum):
    """What a text is: a place in the tree, the name of a file, or an address."""

    TREE = (_ANYWHERE, _OF_WINDOWS, _IN_NAME, _IN_TREE)
    FILE = (_ANYWHERE, _OF_WINDOWS, _IN_NAME)
    ADDRESS = (_ANYWHERE, _OF_WINDOWS)


def has_sign(text: str) -> bool:
    """Whether a text has a character that variables begin with; nearly none has."""
    return not _SIGNS.isdisjoint(text)


def found_in(text: str, where: Where) -> str:
    """The first part of a text that looks like a variable, "" for none."""
    if not has_sign(text):
        return ""
    hits = (re.search(pattern, text) for pattern in where.value)
    return next((hit[0] for hit in hits if hit is not None and not _is_escape(text, hit)), "")


def _is_escape(text: str, hit: re.Match[str]) -> bool:
    """Whether %E3%83 and the like, a name with escaped bytes, was taken for %NAME%."""
    return bool(re.match(_ESCAPE, hit[0]) and re.match(_ESCAPE, text[hit.end() - 1 :]))


def complaint(text: str, where: Where) -> str | None:
    """What to say of such a text after its name, None where there is nothing to say."""
    what = found_in(text, where)
    return t("has {what!r}, which nothing here replaces", what=what) if what else None


def advice(text: str, where: Where) -> str:
    """What to do about such a text, "" for any other."""
    what = found_in(text, where)
    if not what:
        return ""
    variable = re.sub(r"^\W*(?:env:)?\s*|\W.*$", "", what)
    if where is Where.ADDRESS:
        return t("write the address as it is, without variables")
    if where is Where.FILE:
        # One sign less, and a glob finds what is really called so.
        glob = text.replace(what[0], "?")
        return t(
            "write the name as the source has it; what is really called so is named by a glob, "
            "{glob!r}, or with all of its folder",
            glob=glob if glob.isprintable() and "{" not in glob else "*.bin",
        )
    if root := _ROOT_OF.get(variable.upper()):
        return t("that cache has a name: place it under `{root}:`, beside `tree:`", root=root)
    if what.startswith("~") or variable.upper() in {"HOME", "USERPROFILE"}:
        return t(
            "write a path below the root; caches in your home have names, such as `torch_hub:`, "
            "which stand beside `tree:`"
        )
    return t(
        "write a folder's name; where the tree lies is said outside the project: "
        '--into "${variable}"',
        variable=variable if variable.isidentifier() else "DIR",
    )


_ROOT_OF: dict[str, str] = {}


def know(variable: str, root: str) -> None:
    """Let advice lead from a variable that a library reads to the named root that stands for it."""
    _ROOT_OF[variable] = root
