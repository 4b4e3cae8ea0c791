"""Logins in addresses: told, so that nothing stores one, and hidden where an address is shown."""

from __future__ import annotations

import re

from fetcher.i18n import t

HIDDEN = "***"
# What a query is called that lets in whoever has the address: a signature, a token, a password.
QUERY_NAMES = (
    r"x-(?:amz|goog)-(?:signature|credential|security-token)|awsaccesskeyid|googleaccessid"
    r"|accesskeyid|signature|policy|key-pair-id|sig|tempauth|hdnea|__token__"
    r"|[\w.-]*(?:token|secret|password|passwd|api[_-]?key|access[_-]?key|auth|session)"
)
# A password may hold an @ itself: the last one ends the login.
USER = re.compile(r"(?<=://)[^/\s?#]+@")
# Texts, which `re` compiles when they are first needed: what says that all is there shows none.
_QUERY = rf"(?i)[?&;#]({QUERY_NAMES})=[^&#\s'\"<>;]"
# Its token belongs to the address of a file that anybody may have.
_OPEN = r"(?i)https?://(?:[\w.-]+\.)?firebasestorage\.googleapis\.com/"
_QUERY_VALUE = rf"(?i)((?:[?&;#]|%3F|%26)(?:{QUERY_NAMES})(?:=|%3D))(?:(?!%26|%23)[^&#\s'\"<>;])+"


def has_user(text: str) -> bool:
    """Whether an address says who asks: https://user:password@host."""
    return bool(USER.search(text))


def query_name(text: str) -> str:
    """The first name in an address' query that stands for a login, "" for none."""
    found = None if re.match(_OPEN, text) else re.search(_QUERY, text)
    return found[1] if found else ""


def complaint(address: str) -> str | None:
    """What to say of an address that lets somebody in, None where there is nothing to say."""
    if has_user(address):
        return t("holds a login: put it into ~/.netrc instead")
    if name := query_name(address):
        return t("holds a login, its {name}", name=name)
    return None


def advice(address: str) -> str:
    """What to do about such an address, "" for any other."""
    if has_user(address) or not query_name(address):
        return ""
    return t(
        "a manifest or lock would keep it: give the address without it, or download the file "
        "yourself and `fetch adopt` it"
    )


def hidden(text: str) -> str:
    """A text whose addresses are without what lets somebody in, fit for messages."""
    return re.sub(_QUERY_VALUE, rf"\1{HIDDEN}", USER.sub(f"{HIDDEN}@", text))
