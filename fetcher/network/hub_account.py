"""The token for the Hugging Face Hub: a variable's, or what huggingface_hub has of the account.

huggingface_hub refreshes the token of a browser login, exchanges a CI job's identity for one
(`HF_OIDC_RESOURCE`), and asks Colab's vault. It is imported only where it may have a token that
needs any of this: most people have none, or one that just lies in a file.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

from fetcher.config.settings import Settings
from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.credentials import sound_token

_log = logging.getLogger(__name__)

# huggingface_hub refreshes a day ahead: to ask again that often is enough for the longest run.
_ASK_AGAIN = 300.0
_OIDC = "HF_OIDC_RESOURCE"


class HubAccount:
    """The Hub's token of this run; safe among threads. Nothing is asked for before `token()`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._given = sound_token("HF_TOKEN", settings.hf_token)
        self._guard = threading.Lock()
        self._token = ""
        self._asked = float("-inf")

    def origin(self) -> str:
        """Where the token comes from, "" if there is none. Nobody is asked: it may be void."""
        if not self._settings.hub_login_allowed and not self._given:
            return ""
        if _truth("HF_HUB_DISABLE_IMPLICIT_TOKEN"):
            return ""
        if self._given:
            return self._settings.origin("hf_token")
        if os.environ.get(_OIDC) and knows_oidc():
            return _OIDC
        path = self._settings.hf_token_path
        if path.is_file():
            return t("{path} (hf auth login)", path=path)
        return t("Colab's vault") if _in_colab() else ""

    def token(self) -> str:
        """The token to send now, "" for none. Raises Failure, UsageError."""
        if time.monotonic() - self._asked >= _ASK_AGAIN:
            with self._guard:
                if time.monotonic() - self._asked >= _ASK_AGAIN:
                    self._renew()
        return self._token

    def renew(self, refused: str) -> bool:
        """The Hub refused this token: whether there is another one by now."""
        if self._given or not self.origin():
            return False
        with self._guard:
            if self._token == refused:
                self._renew()
            return bool(self._token) and self._token != refused

    def _renew(self) -> None:
        self._token = self._ask() if self.origin() else ""
        self._asked = time.monotonic()

    def _ask(self) -> str:
        if self._given:
            return self._given
        path = self._settings.hf_token_path
        if self._lies_in_a_file():
            try:
                text = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                return ""
            return sound_token(str(path), text)
        return sound_token(t("the token of huggingface_hub"), _get_token())

    def _lies_in_a_file(self) -> bool:
        """Whether huggingface_hub would do nothing but read the file."""
        path = self._settings.hf_token_path
        if os.environ.get(_OIDC) or not path.is_file() or _in_colab():
            return False
        return not self._refreshable()

    def _refreshable(self) -> bool:
        """Whether a stored login has a refresh token."""
        stored = self._settings.hf_token_path.with_name("stored_tokens")
        try:
            return b"refresh_token" in stored.read_bytes()
        except OSError:
            return False

    def advice(self) -> str:
        """What to do about a token that the Hub refuses."""
        if self._given:
            return t(
                "make a new token, and set it in {origin}", origin=self._settings.origin("hf_token")
            )
        if self._refreshable() and not can_refresh():
            from fetcher.installation.commands import install

            return t(
                "huggingface_hub {version} cannot refresh the token of a browser login: "
                "{command}, or run `hf auth login` anew",
                version=version(),
                command=install("huggingface_hub", upgrade=True),
            )
        return t("set HF_TOKEN or run `hf auth login` anew")


def _get_token() -> str:
    """What huggingface_hub says. Raises Failure."""
    # It reads its variables when it is imported: they are those of this process.
    started = time.monotonic()
    try:
        from huggingface_hub import get_token

        token = get_token() or ""
    except Exception as error:  # of its own kinds, which differ between versions, or its clients'
        what = t("huggingface_hub gives no token: {name}", name=type(error).__name__)
        if os.environ.get(_OIDC):
            hint = t(
                "check {oidc} and the job's permission `id-token: write`, or set HF_TOKEN",
                oidc=_OIDC,
            )
        else:
            hint = t("set HF_TOKEN, or run `hf auth login` anew")
        _log.info("%s", what)
        raise Failure("auth", what, hint) from error
    spent = time.monotonic() - started
    _log.debug("huggingface_hub: %s token, %.0f ms", "a" if token else "no", spent * 1000)
    return token


def can_refresh() -> bool:
    """Whether the installed huggingface_hub refreshes the token of a browser login."""
    return _has("huggingface_hub.utils._oauth_device")


def knows_oidc() -> bool:
    """Whether the installed huggingface_hub knows `HF_OIDC_RESOURCE`."""
    return _has("huggingface_hub._oidc")


def version() -> str:
    """huggingface_hub's version."""
    from importlib.metadata import version as version_of

    return version_of("huggingface_hub")


def _has(module: str) -> bool:
    # The file is looked for and not the module: that would import its packages.
    top, *rest = module.split(".")
    spec = find_spec(top)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return any(Path(place, *rest).with_suffix(".py").is_file() for place in places)


def _in_colab() -> bool:
    """Whether this process is Colab's kernel: only there the vault can be asked."""
    return "google.colab" in sys.modules


def _truth(variable: str) -> bool:
    return os.environ.get(variable, "").upper() in {"1", "ON", "YES", "TRUE"}
