"""What can go wrong on the way to a host, in words: the same for both HTTP clients."""

from __future__ import annotations

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.urls import public_url


def proxy_unknown() -> Failure:
    """The proxy's name does not resolve."""
    return Failure("network", t("the proxy's name does not resolve"), t("check http(s)_proxy"))


def proxy_wants_login(proxy: str = "") -> Failure:
    """HTTP 407. `proxy` is the one that was asked, "" where no proxy is set."""
    if not proxy:
        return Failure(
            "network",
            t("a proxy that nobody has set here wants a login (HTTP 407)"),
            t("ask who runs this network, and set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"),
        )
    text = t("the proxy {proxy} wants a login (HTTP 407)", proxy=public_url(proxy))
    if "@" in proxy:
        text = t("the proxy {proxy} refuses its login (HTTP 407)", proxy=public_url(proxy))
    return Failure(
        "network",
        text,
        t("put it into the proxy's address: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"),
    )


def proxy_failed(why: str) -> Failure:
    """The proxy itself cannot be reached, or does not do what it is asked for."""
    return Failure(
        "network", t("the proxy does not work ({why})", why=why), t("check http(s)_proxy")
    )


def unknown_host(host: str) -> Failure:
    """The name does not resolve."""
    return Failure(
        "network",
        t("{host}: the name does not resolve", host=host),
        t("no internet here? set a proxy, HF_ENDPOINT, FETCH_MIRRORS or FETCH_REWRITE"),
    )


def no_connection(host: str, why: str) -> Failure:
    """Refused, or nobody answers."""
    return Failure(
        "network", t("{host}: no connection ({why})", host=host, why=why), t("is a proxy needed?")
    )


def tls_failed(host: str, why: str) -> Failure:
    """The certificate is not trusted, or there is no common protocol."""
    return Failure(
        "network",
        t("{host}: TLS failed ({why})", host=host, why=why),
        t("behind a company's proxy, set SSL_CERT_FILE to its CA bundle"),
    )


def too_slow(host: str, why: str) -> Failure:
    """Nothing comes any more."""
    return Failure("network", t("{host}: no answer in time ({why})", host=host, why=why))


def broke(host: str, why: str) -> Failure:
    """The connection ended too early."""
    return Failure("network", t("{host}: the connection broke ({why})", host=host, why=why))
