"""Refusals that say more than "not now": what each status means, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from fetcher.errors import Failure
from fetcher.fs.safe_paths import printable
from fetcher.i18n import Message, t
from fetcher.network import faults
from fetcher.network.error_text import error_text
from fetcher.network.proxies import proxy_for


def refusal(
    status: int, where: str, url: str, headers: Mapping[str, str], body: bytes
) -> Failure | None:
    """What one of the rarer refusals of `where` means, None for any other status.

    `url` is what was asked for (rewritten), `headers` are by lower-case name, `body` is the
    answer's, or its beginning.
    """
    if status == 407:
        return faults.proxy_wants_login(proxy_for(url) if url else "")
    if status not in _CODES:
        return None
    words, hint = _words(status)
    said = printable(error_text(headers, body))
    text = t("{where}: {words} (HTTP {status})", where=where, words=words, status=status)
    if said:
        text = t("{text}; it says: {said}", text=text, said=said)
    return Failure(_CODES[status], text, hint)


_CODES = {
    402: "quota",
    423: "busy",
    451: "refused",
    508: "refused",
    509: "quota",
    511: "network",
    525: "network",
    526: "network",
    530: "network",
}


def _words(status: int) -> tuple[str | Message, str | Message]:
    """What a status means, and a hint."""
    match status:
        case 402:
            return (
                t("it wants payment, or what was paid for is used up"),
                t("see the account at this host, or name another source"),
            )
        case 423:
            return (
                t("it is locked there, as somebody works on it"),
                t("run again when the lock is gone"),
            )
        case 451:
            return (
                t("withheld for legal reasons"),
                t("trying again does not help: name another source that you may use"),
            )
        case 508:
            return (
                t("the server goes round in a circle"),
                t("tell who runs it, or name another source"),
            )
        case 509:
            return (
                t("its bandwidth is used up"),
                t("run again later: what is there is kept; or name another source"),
            )
        case 511:
            return (
                t("this network wants you to sign in first"),
                t("open any page in a browser here, sign in, then run again"),
            )
        case 530:
            return (
                t("the network before it does not find the server itself"),
                t("tell who runs it, or name another source"),
            )
        case _:
            return (
                t("the network before it does not trust the server's own certificate"),
                t("tell who runs it, or name another source"),
            )
