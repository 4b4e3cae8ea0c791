"""File names in messages and hints: two that look alike are told apart, and what a hint gives for
a manifest can be pasted."""

from __future__ import annotations

import re
import unicodedata

from fetcher.fs import placeholders
from fetcher.fs.globs import BadPattern, compile_glob
from fetcher.fs.patterns import expand, is_glob
from fetcher.i18n import t

_SIMPLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*[./][A-Za-z0-9_./-]*[A-Za-z0-9_]")  # no YAML word
_ESCAPED = {'"': '\\"', "\\": "\\\\"}


def quoted(name: str, escaped: bool = False) -> str:
    """A name in double quotes, as YAML and JSON read it; what cannot be shown stands as its code
    point, and with `escaped` so does all that is not ASCII."""
    return '"' + "".join(_sign(char, escaped) for char in name) + '"'


def _sign(char: str, escaped: bool) -> str:
    if char in _ESCAPED:
        return _ESCAPED[char]
    if char.isascii() and char.isprintable():
        return char
    # (A mark is shown as part of the letter before it: alone in a text it can be read.)
    if char.isprintable() and not escaped:
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def told_apart(one: str, other: str) -> tuple[str, str]:
    """Both names in quotes, so that a reader sees which is which."""
    if one == other or _looks(one) != _looks(other):
        return repr(one), repr(other)
    return quoted(one, escaped=True), quoted(other, escaped=True)


def _looks(name: str) -> str:
    """Equal for two names of which no eye could say which is which."""
    shown = (char for char in name if unicodedata.category(char) not in {"Cf", "Cc"})
    return unicodedata.normalize("NFKC", "".join(shown))


def exclusion(name: str, beside: str = "") -> str:
    """The entry of `exclude` that leaves out this name alone, "" if there is none.

    `beside` is a name that it may be mistaken for.
    """
    if name.startswith("/") or "\\" in name or ".." in name.split("/"):
        return ""  # a manifest may not speak of such
    pattern = name
    if is_glob(name):
        pattern = re.sub(r"[*?\[]", r"[\g<0>]", name)
    try:
        if expand(pattern) != [pattern]:
            pattern = re.sub(r"[{}]", "?", pattern)
        if what := placeholders.found_in(pattern, placeholders.Where.FILE):
            pattern = pattern.replace(what[0], "?")
        if placeholders.found_in(pattern, placeholders.Where.FILE) or not (
            pattern == name or compile_glob(pattern).matches(name)
        ):
            return ""
    except BadPattern:
        return ""
    if _SIMPLE.fullmatch(pattern):
        return pattern
    return quoted(pattern, bool(beside) and _looks(name) == _looks(beside))


def leave_out(name: str, where: str = "", key: str = "files", beside: str = "") -> str:
    """What to do about a file that may not stand under its name.

    `where` is the manifest's file, and `key` what chooses names where none can be left out.
    """
    where = where or t("the manifest")
    if entry := exclusion(name, beside):
        return t("leave it out in {where}: exclude: [{entry}]", where=where, entry=entry)
    return t("name in {where} under `{key}` what is wanted of it", where=where, key=key)
