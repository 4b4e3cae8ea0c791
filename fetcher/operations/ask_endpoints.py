"""Ask the Hub and GitHub one question each: whether they are what they should be, and whether they
take this machine's tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fetcher.errors import Failure
from fetcher.fs.safe_paths import printable
from fetcher.i18n import local, t
from fetcher.network.hub_account import HubAccount
from fetcher.network.session import Network, Response
from fetcher.network.urls import host_of, public_url

_RAW = "https://raw.githubusercontent.com/"
_GITHUB = "https://api.github.com/rate_limit"  # any token may ask it, and it costs nothing


_Read = Callable[[Network, Response], "tuple[bool, str]"]

_ANONYMOUS = 60  # requests an hour that GitHub grants to whoever has no token


class Told(NamedTuple):
    """What one answer comes to; `good` is whether nothing stands in the way."""

    subject: str
    good: bool
    text: str


def endpoints(network: Network) -> Iterator[Told]:
    """What answers where the Hub and GitHub should be."""
    addresses: dict[str, _Read] = {
        f"{network.hub}/api/models?limit=1": _as_hub,
        _RAW: _as_files,
        _GITHUB: _as_github,
    }
    for url, read in addresses.items():
        yield _asked(network, url, host_of(network.rewrite(url)), read)


def _asked(network: Network, url: str, host: str, read: _Read) -> Told:
    try:
        good, text = read(network, network.request(url, patience=0, follow=read is _as_hub))
    except Failure as failure:
        return Told(host, False, _reason(failure, host))
    return Told(host, good, text)


def _reason(failure: Failure, host: str) -> str:
    text = local(failure.message).removeprefix(f"{host}: ")
    return t("{text}; {hint}", text=text, hint=failure.hint) if failure.hint else text


def _as_hub(network: Network, answer: Response) -> tuple[bool, str]:
    """Whether what answers at the Hub's address is one."""
    if answer.status == 200 and isinstance(_json(answer), list):
        return True, t("answers as a Hub (HTTP 200)")
    if answer.status in {401, 403, 429} and "error" in (_json(answer) or ()):
        return True, t(
            "answers as a Hub, which wants a login (HTTP {status})", status=answer.status
        )
    if answer.status == 429 or answer.status >= 500:
        return False, _busy(answer)
    settings = network.settings
    what = t("a web page") if _is_page(answer) else t("HTTP {status}", status=answer.status)
    return False, t(
        "is no Hub: {url} answers with {what}. Its address is {hub} (set by {origin}); it ends "
        "after the host unless a mirror says otherwise, and `fetch serve` and "
        "https://huggingface.co are Hubs",
        url=public_url(answer.url),
        what=what,
        hub=public_url(settings.hf_endpoint),
        origin=settings.origin("hf_endpoint"),
    )


def _as_files(_: Network, answer: Response) -> tuple[bool, str]:
    if answer.status == 429 or answer.status >= 500:
        return False, _busy(answer)
    return True, t("answers (HTTP {status} for its root, which is no file)", status=answer.status)


def _as_github(network: Network, answer: Response) -> tuple[bool, str]:
    if answer.status == 200 and isinstance(_json(answer), dict):
        return True, t("answers (HTTP 200)")
    if answer.status == 401:
        return True, t("answers, and refuses the token (HTTP 401)")
    if answer.status == 429 or answer.status >= 500:
        return False, _busy(answer)
    return False, t(
        "answers with HTTP {status} where GitHub's API would not: releases and commits cannot be "
        "asked for there",
        status=answer.status,
    )


def _busy(answer: Response) -> str:
    return t("answers with HTTP {status}: try again later", status=answer.status)


def hub_token(network: Network, account: HubAccount) -> Told:
    """Whether the Hub takes the token that there is."""
    subject = t("Hugging Face token")
    origin = account.origin()
    try:
        answer = network.request(f"{network.hub}/api/whoami-v2", patience=0)
        found = _json(answer)
    except Failure as failure:
        text = _reason(failure, host_of(network.rewrite(network.hub)))
        return Told(
            subject,
            False,
            t("set, by {origin}; not known to be good: {text}", origin=origin, text=text),
        )
    if answer.status == 200 and isinstance(found, dict):
        name = printable(str(found.get("name", "?"))[:80])
        return Told(
            subject, True, t("set, by {origin}; accepted, as {name}", origin=origin, name=name)
        )
    if answer.status in {401, 403} and not network.settings.hub_answers_to_person:
        text = t("set, by {origin}; not sent to an address that the project chose", origin=origin)
        return Told(subject, False, text)
    if answer.status in {401, 403}:
        return Told(subject, False, _refused(origin, answer.status, account.advice()))
    return Told(subject, False, _unknown(origin, answer))


def github_token(network: Network) -> Told:
    """Whether GitHub takes the token that there is."""
    subject, origin = t("GitHub token"), network.settings.origin("github_token")
    try:
        answer = network.request(_GITHUB, patience=0)
        found = _json(answer)
    except Failure as failure:
        text = _reason(failure, host_of(network.rewrite(_GITHUB)))
        return Told(
            subject,
            False,
            t("set, by {origin}; not known to be good: {text}", origin=origin, text=text),
        )
    if answer.status == 200 and _limit(found) > _ANONYMOUS:
        return Told(subject, True, t("set, by {origin}; accepted", origin=origin))
    if answer.status == 200:
        host = host_of(network.rewrite(_GITHUB))
        text = t("set, by {origin}; {host} does not get it", origin=origin, host=host)
        return Told(subject, False, text)
    if answer.status == 401:
        advice = t("make a new token, and set it in {origin}", origin=origin)
        return Told(subject, False, _refused(origin, answer.status, advice))
    return Told(subject, False, _unknown(origin, answer))


def _refused(origin: str, status: int, advice: str) -> str:
    return t(
        "set, by {origin}, and refused (HTTP {status}): {advice}",
        origin=origin,
        status=status,
        advice=advice,
    )


def _not_asked(origin: str, text: str) -> str:
    return t("set, by {origin}; not known to be good: {text}", origin=origin, text=text)


def _unknown(origin: str, answer: Response) -> str:
    host, status = host_of(answer.url), answer.status
    return _not_asked(origin, t("{host} answers with HTTP {status}", host=host, status=status))


def _limit(found: Any) -> int:
    """How many requests an hour GitHub grants."""
    rate = found.get("rate") if isinstance(found, dict) else None
    limit = rate.get("limit") if isinstance(rate, dict) else None
    return limit if isinstance(limit, int) else 0


def _json(answer: Response) -> Any:
    """The body as JSON, None if it is none."""
    try:
        return answer.json()
    except Failure:
        return None


def _is_page(answer: Response) -> bool:
    return answer.headers.get("content-type", "").startswith("text/html")
