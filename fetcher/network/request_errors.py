"""What `requests` raises, in words. Its own texts are not shown: they quote whole addresses."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

import requests
from urllib3 import exceptions as lower

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network import faults
from fetcher.network.proxies import proxy_for
from fetcher.network.urls import host_of


class Kind(Enum):
    """What to do about a fault."""

    PASSING = auto()  # ask again
    UNREACHABLE = auto()  # once more, then leave the host alone
    SILENT = auto()  # nobody answers there: once was long enough
    FINAL = auto()


class Fault(NamedTuple):
    """A request that got no answer."""

    failure: Failure
    kind: Kind


# Whatever comes out of a request that did not end as it should.
ERRORS = (requests.RequestException, lower.HTTPError, OSError, ValueError)


def explain(error: Exception, url: str) -> Fault:
    """An error as a failure that names the host and the reason."""
    host, chain = host_of(url), list(_causes(error))
    if any(isinstance(e, lower.ProxyError) for e in chain):
        return _of_proxy(chain, url)
    if any(isinstance(e, socket.gaierror) for e in chain):
        return Fault(faults.unknown_host(host), Kind.UNREACHABLE)
    if any(isinstance(e, lower.NewConnectionError) for e in chain):
        return Fault(faults.no_connection(host, _reason(chain)), Kind.UNREACHABLE)
    if any(isinstance(e, lower.ConnectTimeoutError) for e in chain):
        return Fault(faults.no_connection(host, t("nobody answers")), Kind.SILENT)
    for e in chain:
        if isinstance(e, ssl.SSLError) and not isinstance(e, (ssl.SSLEOFError, TimeoutError)):
            return Fault(faults.tls_failed(host, _of_tls(e)), Kind.FINAL)
    if any(isinstance(e, (lower.TimeoutError, TimeoutError)) for e in chain):
        return Fault(faults.too_slow(host, t("nothing came for too long")), Kind.PASSING)
    if isinstance(error, requests.exceptions.InvalidSchema) and "SOCKS" in str(error):
        from fetcher.installation.commands import install

        hint = t("install it: {command}", command=install("pysocks"))
        failure = Failure("network", t("a SOCKS proxy needs the package pysocks"), hint)
        return Fault(failure, Kind.FINAL)
    if isinstance(error, ValueError) and not isinstance(error, requests.ConnectionError):
        return Fault(
            Failure("refused", t("{host}: the address cannot be used", host=host)), Kind.FINAL
        )
    return Fault(faults.broke(host, _reason(chain)), Kind.PASSING)


def _of_proxy(chain: list[BaseException], url: str) -> Fault:
    if any(isinstance(e, socket.gaierror) for e in chain):
        return Fault(faults.proxy_unknown(), Kind.UNREACHABLE)
    if any("407" in str(e) for e in chain if type(e) is OSError):
        return Fault(faults.proxy_wants_login(proxy_for(url)), Kind.FINAL)
    for e in chain:
        if type(e) is OSError and str(e).startswith("Tunnel connection failed"):
            why = str(e).partition(":")[2].strip()
            # 403 and the like are the proxy's rules, and stay; 502 may pass.
            refused = why.startswith("4") and not why.startswith(("408", "429"))
            return Fault(faults.proxy_failed(why), Kind.FINAL if refused else Kind.PASSING)
    return Fault(faults.proxy_failed(_reason(chain)), Kind.UNREACHABLE)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, outermost first."""
    waiting, seen = [error], set()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        found = [*current.args, current.__cause__, current.__context__]
        found += [getattr(current, name, None) for name in ("reason", "original_error")]
        waiting += [item for item in found if isinstance(item, BaseException)]


def _reason(chain: list[BaseException]) -> str:
    """The operating system's words, or what kind of error it is."""
    for error in reversed(chain):
        if isinstance(error, OSError) and error.errno and error.strerror:
            return error.strerror.lower()
    for error in chain:
        if isinstance(error, lower.IncompleteRead):
            return t("the answer is cut off")
    return t("the other side closed it")


def _of_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    return (error.reason or "no common protocol").lower().replace("_", " ")
