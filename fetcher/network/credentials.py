"""What lets us in: tokens, logins of netrc, and the certificate authorities we trust."""

from __future__ import annotations

import base64
import logging
import os
import re
from pathlib import Path
from typing import NamedTuple

from fetcher.config.settings import Settings
from fetcher.errors import UsageError
from fetcher.fs.home import home
from fetcher.i18n import t
from fetcher.network.urls import Origin, origin_of

_log = logging.getLogger(__name__)

CIVITAI: Origin = ("https", "civitai.com", 443)
GITHUB = (
    ("https", "api.github.com", 443),
    ("https", "github.com", 443),
    ("https", "raw.githubusercontent.com", 443),
    ("https", "media.githubusercontent.com", 443),
)
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_BUNDLE_VARIABLES = ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_TOKEN = re.compile(r"[\x21-\x7e]+")

Login = tuple[str, str]  # user, password


class Trust(NamedTuple):
    """Certificate authorities: a file of them, and a folder that OpenSSL can search ("": none)."""

    file: str
    folder: str


def trust() -> Trust:
    """The authorities that TLS is checked with: the variables' before the system's.

    Raises UsageError if a variable names what is not there.
    """
    folders = [path for path in os.environ.get("SSL_CERT_DIR", "").split(os.pathsep) if path]
    if folders:
        _must_exist("SSL_CERT_DIR", folders[0])
    file, folder = "", os.pathsep.join(folders)
    for variable in _BUNDLE_VARIABLES:
        if path := os.environ.get(variable):
            _must_exist(variable, path)
            if not Path(path).is_dir():
                return Trust(path, folder)
            return Trust("", path)
    file = next((path for path in _BUNDLES if Path(path).is_file()), "")
    if not file:
        import certifi

        file = certifi.where()
    return Trust(file, folder)


def _must_exist(variable: str, path: str) -> None:
    if not os.path.exists(path):
        text = t("{variable}: {path} is not there", variable=variable, path=path)
        raise UsageError(text, t("name a file of certificate authorities, or unset the variable"))


def sound_token(name: str, token: str) -> str:
    """The token without spaces around it. Raises UsageError if it cannot be one."""
    token = token.strip()
    if token and not _TOKEN.fullmatch(token):
        raise UsageError(
            t("{name} holds characters that no token has", name=name),
            t("copy the token again: it is one word of letters, digits and signs"),
        )
    return token


def token_origins(settings: Settings) -> set[Origin]:
    """Where a setting's token lets in, whether it is set or not; the Hub's is elsewhere."""
    found: set[Origin] = {*GITHUB, CIVITAI}
    if host := settings.text("github_host"):
        found.add(_github_host(host))
    return found


def _github_host(host: str) -> Origin:
    return origin_of(host if "://" in host else f"https://{host}")


def settings_tokens(settings: Settings) -> dict[Origin, str]:
    """Tokens of the settings, each for the origins that it is for; the Hub's is elsewhere."""
    found: dict[Origin, str] = {}
    if token := sound_token("GITHUB_TOKEN", settings.text("github_token")):
        found |= dict.fromkeys(GITHUB, token)
    if token := sound_token("CIVITAI_API_TOKEN", settings.text("civitai_api_token")):
        found[CIVITAI] = token
    host = settings.text("github_host")
    token = sound_token("GH_ENTERPRISE_TOKEN", settings.text("github_enterprise_token"))
    if host and token:
        found[_github_host(host)] = token
    return found


def basic(login: Login) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(":".join(login).encode("utf-8")).decode("ascii")


class Netrc:
    """Logins by host, from $NETRC or the home folder's file; read when first asked for.

    A `default` entry is for FTP alone: over HTTP it would send the login to every host.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, Login] | None = None

    def login(self, scheme: str, host: str) -> Login | None:
        """User and password for this host."""
        if self._hosts is None:
            self._hosts = _read_netrc()
        return self._hosts.get(host) or (
            self._hosts.get("default") if scheme in {"ftp", "ftps"} else None
        )


def _read_netrc() -> dict[str, Login]:
    chosen = os.environ.get("NETRC")
    own = home()
    paths = [chosen] if chosen else [f"{own}/.netrc", f"{own}/_netrc"] if own else []
    path = next((path for path in paths if os.path.isfile(path)), None)
    if path is None:
        return {}
    from netrc import NetrcParseError, netrc

    try:
        hosts = netrc(path).hosts
    except (OSError, ValueError, NetrcParseError) as error:
        # The parser's words quote the line, which may hold a password.
        line = getattr(error, "lineno", None)
        place = f" (line {line})" if line else ""
        _log.warning("%s cannot be read%s: its logins are not used", path, place)
        return {}
    return {
        host.lower(): (login or account or "", password or "")
        for host, (login, account, password) in hosts.items()
    }
