"""The person's own logins for clouds, from where the clouds' own programs have them.

Read from the environment of this process and from files in the person's home, never from a
project. Nothing of it is asked for before an object is not open to everyone.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import hmac
import json
import logging
import os
import re
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlencode

from fetcher.network.login_files import text_of
from fetcher.network.sigv4 import AwsKeys
from fetcher.yamldoc.json_fields import JsonFields

if TYPE_CHECKING:
    from fetcher.network.session import Network

_log = logging.getLogger(__name__)

_GOOGLE_TOKENS = "https://oauth2.googleapis.com/token"
_RENEW_AFTER = 1500.0  # seconds
_SAS_VERSION, _SAS_SECONDS = "2020-12-06", 6 * 3600


class Aws(NamedTuple):
    """What the person has set for S3: `keys` None for none; `region`, `endpoint` "" for none."""

    keys: AwsKeys | None
    region: str
    endpoint: str


def aws() -> Aws:
    """From the AWS_… variables, else from the profile in ~/.aws."""
    env = os.environ
    profile = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or "default"
    section = profile if profile == "default" else f"profile {profile}"
    general = _ini(env.get("AWS_CONFIG_FILE"), ".aws/config").get(section, {})
    secret = _ini(env.get("AWS_SHARED_CREDENTIALS_FILE"), ".aws/credentials").get(profile, {})
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or general.get("region", "")
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL", "")
    endpoint = endpoint or general.get("endpoint_url", "")
    if env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        found = AwsKeys(
            env["AWS_ACCESS_KEY_ID"],
            env["AWS_SECRET_ACCESS_KEY"],
            env.get("AWS_SESSION_TOKEN", ""),
        )
    else:
        named = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        found = AwsKeys(*(secret.get(name) or general.get(name, "") for name in named))
    sound = found.key_id and found.secret
    return Aws(found if sound else None, region.strip(), endpoint.strip().rstrip("/"))


def _ini(chosen: str | None, beneath: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text_of(chosen, beneath))
    except configparser.Error:  # its words quote the line, which may hold a secret
        _log.warning("%s is no file of settings: its logins are not used", chosen or beneath)
        return {}
    return {name: {k: v.strip() for k, v in parser.items(name)} for name in parser.sections()}


# Google


_GOOGLE_VARIABLES = ("CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN")


def has_google_login() -> bool:
    """Whether there may be a token; nothing is asked."""
    return any(os.environ.get(name) for name in _GOOGLE_VARIABLES) or bool(_google_file())


def google_token(network: Network) -> str:
    """A token of the person's Google account, "" without one. Raises Failure.

    From CLOUDSDK_AUTH_ACCESS_TOKEN or GOOGLE_OAUTH_ACCESS_TOKEN, else for the login of
    `gcloud auth application-default login`.
    """
    for variable in _GOOGLE_VARIABLES:
        if token := os.environ.get(variable, "").strip():
            return token
    # A token lives for an hour, a run may take longer.
    part = int(time.monotonic() // _RENEW_AFTER)
    return network.once(f"google-token {part}", lambda: _google_renewed(network))


def _google_file() -> str:
    chosen = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    return text_of(chosen, ".config/gcloud/application_default_credentials.json")


def _google_renewed(network: Network) -> str:
    text = _google_file()
    try:
        login = JsonFields.of(json.loads(text or "{}"))
    except ValueError:
        return ""
    fields = {name: login.text(name) for name in ("client_id", "client_secret", "refresh_token")}
    if login.text("type") != "authorized_user" or not all(fields.values()):
        if text:
            _log.warning("a login of type %r is not used: fetch reads those of "
                         "`gcloud auth application-default login`", login.text("type"))  # fmt: skip
        return ""
    body = urlencode({**fields, "grant_type": "refresh_token"}).encode()
    # This address is no project's to choose: a rewriting of its own would send the login there.
    if network.settings.is_from_project("rewrite"):
        return ""
    answer = network.request(_GOOGLE_TOKENS, method="POST", data=body, follow=False)
    if answer.status != 200:
        _log.warning("Google gives no token for your login: HTTP %d", answer.status)
        return ""
    token = JsonFields.of(answer.json()).text("access_token")
    return token if re.fullmatch(r"[\x21-\x7e]+", token) else ""


# Azure


def azure_query(account: str, container: str, now: float | None = None) -> dict[str, str]:
    """What lets a request to a container in, as its query; {} without a login for the account.

    A shared access signature (AZURE_STORAGE_SAS_TOKEN), or one made with the account's key
    (AZURE_STORAGE_KEY, or AZURE_STORAGE_CONNECTION_STRING). AZURE_STORAGE_ACCOUNT says whose it is.
    """
    env = os.environ
    pieces = (
        part.partition("=") for part in env.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";")
    )
    joined = {name.strip(): value.strip() for name, _, value in pieces}
    owner = joined.get("AccountName") or env.get("AZURE_STORAGE_ACCOUNT", "").strip()
    if owner != account:
        return {}
    signature = joined.get("SharedAccessSignature") or env.get("AZURE_STORAGE_SAS_TOKEN", "")
    if signature:
        return dict(parse_qsl(signature.strip().lstrip("?")))
    key = (
        joined.get("AccountKey")
        or env.get("AZURE_STORAGE_KEY")
        or env.get("AZURE_STORAGE_ACCESS_KEY")
    )
    return _azure_signature(account, container, key.strip(), now) if key else {}


def _azure_signature(account: str, container: str, key: str, now: float | None) -> dict[str, str]:
    """A service SAS that lets one read and list a container for some hours."""
    moment = time.time() if now is None else now
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment + _SAS_SECONDS))
    resource = f"/blob/{account}/{container}"
    # permissions, start, expiry, resource, identifier, IP, protocol, version, kind, snapshot,
    # encryption scope, and five headers of the answer
    text = "\n".join(
        ("rl", "", until, resource, "", "", "https", _SAS_VERSION, "c", "", "", *[""] * 5)
    )
    try:
        secret = base64.b64decode(key, validate=True)
    except ValueError:
        _log.warning("AZURE_STORAGE_KEY is no key of an account: it is not used")
        return {}
    digest = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return {
        "sv": _SAS_VERSION,
        "sr": "c",
        "sp": "rl",
        "se": until,
        "spr": "https",
        "sig": base64.b64encode(digest).decode(),
    }
