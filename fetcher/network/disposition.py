"""The name that a server gives to what it sends: `Content-Disposition`, which is data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from fetcher.fs.safe_paths import BadPath, check_relative

_ENCODED = re.compile(r"(?i)\bfilename\*\s*=\s*([\w.-]+)'[\w-]*'([^;\s]+)")
_PLAIN = re.compile(r'(?i)\bfilename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))')
# An ending that tells what a file is, and not which program made the answer.
_ENDING = re.compile(r"\.(?!(?:php|aspx?|cgi|do|jsp|html?)$)[A-Za-z][A-Za-z0-9]{0,11}$")


def has_ending(name: str) -> bool:
    """Whether a name says what kind of file it is."""
    return bool(_ENDING.search(name))


def safe_name(text: str) -> str:
    """The last segment of a name from outside, "" if no file can be called so."""
    name = re.split(r"[/\\]", text.strip())[-1]
    try:
        return check_relative(name) if len(name) <= 255 else ""
    except BadPath:
        return ""


def server_name(headers: Mapping[str, str], url: str) -> str:
    """What the answer of `url` says its file is called; "" if it does not, or is a web page.

    `headers` by lower-case name. Where no header says it, the last segment of the address that
    was led to does, if it has an ending.
    """
    if headers.get("content-type", "").lower().startswith("text/html"):
        return ""
    text = headers.get("content-disposition", "")
    if found := _ENCODED.search(text):
        try:
            return safe_name(unquote(found[2], found[1], "strict"))
        except (LookupError, UnicodeError):
            pass
    if found := _PLAIN.search(text):
        quoted = found[1]
        # A path of Windows has its backslashes as they are, whatever the rules of quoting say.
        whole = quoted is None or re.match(r"[A-Za-z]:\\|\\\\", quoted)
        name = (quoted or found[2] or "") if whole else re.sub(r"\\(.)", r"\1", quoted)
        return safe_name(_utf8(name))
    try:
        last = safe_name(unquote(urlsplit(url).path))
    except ValueError:
        return ""
    return last if has_ending(last) else ""


def _utf8(text: str) -> str:
    """A header's bytes, which arrive as Latin-1, as the UTF-8 that servers mean."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
