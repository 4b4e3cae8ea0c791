"""libcurl's errors, in words."""

from __future__ import annotations

import re
from typing import Any

import pycurl

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network import faults
from fetcher.network.proxies import proxy_for
from fetcher.network.urls import host_of, public_url

# Failures that mean "this host cannot be reached", as opposed to one bad answer.
UNREACHABLE = {
    pycurl.E_COULDNT_RESOLVE_HOST,
    pycurl.E_COULDNT_RESOLVE_PROXY,
    pycurl.E_COULDNT_CONNECT,
}
TLS_ERRORS = {
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_ISSUER_ERROR,
}


def never_connected(curl: Any, number: int) -> bool:
    """Whether a handle's request failed because its host cannot be reached at all."""
    if number in UNREACHABLE:
        return True
    # A connection used again also has a connect time of 0, but its request was sent.
    return bool(
        number == pycurl.E_OPERATION_TIMEDOUT
        and curl.getinfo(pycurl.CONNECT_TIME) == 0
        and curl.getinfo(pycurl.REQUEST_SIZE) == 0
    )


def refused_by_proxy(message: str) -> bool:
    """Whether libcurl's error is a proxy's rule or its want of a login, which stay as they are."""
    found = re.search(r"\bresponse (4\d\d)$", message)
    return found is not None and "CONNECT" in message and found[1] not in {"408", "429"}


def explain(curl: Any, number: int, message: str, url: str) -> Failure:
    """What ended a handle's request for `url`, as a failure that names the host and the reason."""
    host = host_of(url)
    if number == pycurl.E_COULDNT_RESOLVE_PROXY:
        return faults.proxy_unknown()
    if number == pycurl.E_COULDNT_RESOLVE_HOST:
        return faults.unknown_host(host)
    if "CONNECT" in message and message.endswith("response 407"):
        return faults.proxy_wants_login(proxy_for(curl.getinfo(pycurl.EFFECTIVE_URL)))
    if message.startswith("CONNECT tunnel failed"):
        return faults.proxy_failed(message)
    if number == pycurl.E_COULDNT_CONNECT:
        # The address that was asked for may be rewritten; what libcurl was given decides.
        if proxy_for(curl.getinfo(pycurl.EFFECTIVE_URL)):
            return faults.proxy_failed(message)
        return faults.no_connection(host, message)
    if number in TLS_ERRORS:
        return faults.tls_failed(host, message)
    if number == pycurl.E_OPERATION_TIMEDOUT:
        return faults.too_slow(host, message)
    if number in {pycurl.E_FTP_COULDNT_RETR_FILE, pycurl.E_REMOTE_FILE_NOT_FOUND}:
        return Failure(
            "not-found", t("{url} is not there ({message})", url=public_url(url), message=message)
        )
    if number == pycurl.E_UNSUPPORTED_PROTOCOL:
        text = t("{host} does not answer in HTTP ({message})", host=host, message=message)
        return Failure("refused", text, t("is it the right address and port?"))
    if number == pycurl.E_LOGIN_DENIED:
        return Failure(
            "auth",
            t("{host} refused the login", host=host),
            t("put user and password into ~/.netrc"),
        )
    return Failure(
        "network", t("{host}: {message} (curl {number})", host=host, message=message, number=number)
    )
