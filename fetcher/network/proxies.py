"""Which proxy a request goes through: one rule for both HTTP clients.

Neither client reads the variables itself: libcurl leaves `HTTP_PROXY` out, and what the two make
of `NO_PROXY` differs.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.network.urls import origin_of, public_url

_KINDS = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})


def proxy_for(url: str, variables: Mapping[str, str] | None = None) -> str:
    """The proxy's address for a URL, "" for none.

    `<scheme>_proxy` counts before `all_proxy`, lower case before upper. Raises Failure for what
    is no URL, UsageError for what is no proxy's address.
    """
    variables = os.environ if variables is None else variables
    scheme, host, port = origin_of(url)
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"):
        # In a CGI script HTTP_PROXY is what the client sent as its header "Proxy".
        if name == "HTTP_PROXY" and "REQUEST_METHOD" in variables:
            continue
        if value := variables.get(name, "").strip():
            left_out = variables.get("no_proxy") or variables.get("NO_PROXY", "")
            return "" if is_left_out(host, port, left_out) else _sound(name, value)
    return ""


def _sound(name: str, value: str) -> str:
    """A proxy's address with its scheme."""
    address = value if "://" in value else f"http://{value}"
    kind, _, rest = address.partition("://")
    if kind.lower() not in _KINDS or not rest.rpartition("@")[2].strip("/"):
        text = t("{name}: {address} is no proxy's address", name=name, address=public_url(address))
        raise UsageError(text, t("write http://HOST:PORT or socks5h://HOST:PORT"))
    return address


def is_left_out(host: str, port: int, no_proxy: str) -> bool:
    """Whether `NO_PROXY` names this host: by name, by a domain above it, or by address."""
    address = _address(host)
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        if entry == "*":
            return True
        name, wanted = _split(entry)
        if not name or wanted not in {0, port}:
            continue
        if address is None:
            if host == name or host.endswith(f".{name}"):
                return True
            continue
        try:
            if address in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:
            continue
    return False


def _split(entry: str) -> tuple[str, int]:
    """Name and port (0 if none is named) of an entry such as .example.org:8080 or [::1]."""
    found = re.fullmatch(r"\[([^\]]*)\](?::(\d{1,5}))?|([^:]*)(?::(\d{1,5}))?", entry)
    if found is None:  # an IPv6 address without brackets
        return entry, 0
    name = found[1] if found[1] is not None else found[3]
    return name.removeprefix("*").lstrip("."), int(found[2] or found[4] or 0)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
