"""Logins for registries, as `docker login` and its like leave them."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from fetcher.fs.home import home
from fetcher.network.credentials import Login
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import read_regular
from fetcher.verify.host import child_process

DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
REFRESH_TOKEN = "<token>"  # in place of a user: the password is a refresh token
_HELPER = re.compile(r"[A-Za-z0-9_.-]+")
_HELPER_SECONDS = 30
# What helpers make logins of: those of clouds, and docker-credential-env and -ghcr-login.
_FOR_HELPERS = (
    *("AWS_*", "AZURE_*", "GOOGLE_*", "CLOUDSDK_*", "DOCKER_*", "REGISTRY_*"),
    *("GITHUB_TOKEN", "GH_TOKEN", "*_PROXY", "*_proxy"),
)


def _config_files() -> list[Path]:
    named = os.environ.get("REGISTRY_AUTH_FILE")
    docker = os.environ.get("DOCKER_CONFIG")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    found = [Path(named)] if named else []
    own = home()
    if docker:
        found.append(Path(docker, "config.json"))
    elif own:
        found.append(own / ".docker/config.json")
    if runtime:
        found.append(Path(runtime, "containers/auth.json"))
    if own:
        found.append(own / ".config/containers/auth.json")
    return found


def login_for(host: str) -> Login | None:
    """(user, password) for a registry, or (REFRESH_TOKEN, refresh token)."""
    names = [
        host,
        f"https://{host}",
        f"https://{host}/",
        f"https://{host}/v1/",
        f"https://{host}/v2/",
    ]
    if host in DOCKER_HUB:
        names += ["https://index.docker.io/v1/", "docker.io"]
    for path in _config_files():
        try:
            config = json_text.loads(read_regular(path))
        except (OSError, ValueError):
            continue
        if isinstance(config, dict) and (found := _login_in(config, names)):
            return found
    return None


def _login_in(config: Mapping[str, object], names: list[str]) -> Login | None:
    helpers, auths = config.get("credHelpers"), config.get("auths")
    for name in names:
        helper = helpers.get(name) if isinstance(helpers, dict) else None
        if isinstance(helper, str) and (found := _from_helper(helper, name)):
            return found
        entry = auths.get(name) if isinstance(auths, dict) else None
        if isinstance(entry, dict):
            if isinstance(token := entry.get("identitytoken"), str) and token:
                return REFRESH_TOKEN, token
            try:
                text = base64.b64decode(str(entry.get("auth", ""))).decode("utf-8")
            except ValueError:
                continue
            user, colon, password = text.partition(":")
            if colon:
                return user, password
    helper = config.get("credsStore")
    if isinstance(helper, str):
        return next((found for name in names if (found := _from_helper(helper, name))), None)
    return None


def _from_helper(helper: str, name: str) -> Login | None:
    """Ask a credential helper; one that is not there or has nothing gives None."""
    if not _HELPER.fullmatch(helper):
        return None
    command = [f"docker-credential-{helper}", "get"]
    try:
        done = child_process.run(command, input=name, timeout=_HELPER_SECONDS, keep=_FOR_HELPERS)
        if done.status:
            return None
        found = json.loads(done.out)
        user, secret = found["Username"], found["Secret"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (user, secret) if isinstance(user, str) and isinstance(secret, str) else None
