"""The last line of defence: nothing secret leaves through a log, whoever wrote it there.

What is secret is known in two ways: the values that this run has (variables, netrc, settings),
and the forms that secrets have (headers, signed addresses, tokens with a prefix).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from fetcher.fs.home import expanded, home
from fetcher.fs.logins import HIDDEN, hidden

# A shorter one would be found in every second word.
_SHORTEST = 4

_SECRET_NAME = re.compile(
    r"(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_KEY(?:_ID)?"
    r"|(?:ACCOUNT|STORAGE|KAGGLE)_KEY|CONNECTION_STRING"
    r"|CREDENTIALS?|COOKIE)$",
    re.IGNORECASE,
)
_NETRC_PASSWORD = re.compile(r"\bpassword\s+(\S+)")
_GCLOUD = ".config/gcloud/application_default_credentials.json"
_WHOLE = re.compile(r"\S+")
_JSON_VALUE = re.compile(r'"(?:key|client_secret|refresh_token)"\s*:\s*"([^"\s]+)"')
_INI_VALUE = re.compile(
    r"^[ \t]*(?:hf_token|refresh_token|aws_\w+_key(?:_id)?|aws_session_token)\s*=\s*(\S+)",
    re.MULTILINE,
)

_FORMS = (
    # Headers, as requests, curl, http.client and their reprs write them.
    (
        re.compile(
            r"\b((?:proxy-)?authorization|(?:set-)?cookie|[\w-]{0,80}-(?:token|api-key|signature)"
            r"|x-amz-[\w-]{0,80}key)(['\"]?\s*[:=,]\s*b?['\"]?)[^'\"\r\n]+",
            re.IGNORECASE,
        ),
        rf"\1\2{HIDDEN}",
    ),
    (
        re.compile(r"\b(Bearer|Basic|Negotiate|Digest)\s+[\w.~+/=:-]{6,}", re.IGNORECASE),
        rf"\1 {HIDDEN}",
    ),
    # Tokens that show what they are.
    (
        re.compile(
            r"\b(?:hf_(?:oauth_)?[A-Za-z0-9]{8,}|api_org_\w{8,}|gh[pousr]_\w{16,}"
            r"|github_pat_\w{16,}|glpat-[\w-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{12,}"
            r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?)"
        ),
        HIDDEN,
    ),
    (
        re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END|$)", re.DOTALL),
        rf"\1{HIDDEN}",
    ),
)


class Redactor:
    """Hides secrets in texts. Made once for a run; `keep_secret` tells it of more."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.keep_secret(*secrets)

    def keep_secret(self, *secrets: str) -> None:
        """These values, also as they stand in addresses and in reprs, are hidden from now on."""
        for secret in secrets:
            plain = secret.strip()
            for form in (plain, quote(plain, safe=""), quote(plain), repr(plain)[1:-1]):
                if len(form) >= _SHORTEST:
                    self._known.add(form)
        # The longest first: one secret may begin another.
        ordered = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        text = hidden(text)
        for pattern, instead in _FORMS:
            text = pattern.sub(instead, text)
        return self._pattern.sub(HIDDEN, text) if self._pattern else text


def of_environment(variables: Mapping[str, str] | None = None) -> Iterable[str]:
    """The secrets that variables hold: tokens and keys, and logins inside addresses."""
    for name, value in (os.environ if variables is None else variables).items():
        if _SECRET_NAME.search(name):
            yield value
        elif "@" in value and "://" in value:
            for address in value.replace("=", " ").split():
                yield from _login(address)
        elif "@" in value and name.lower().endswith("_proxy"):
            yield from _login(f"http://{value}")


def _login(address: str) -> Iterable[str]:
    try:
        password = urlsplit(address).password
    except ValueError:
        return
    if password:
        yield password
        yield unquote(password)


def of_files() -> Iterable[str]:
    """The secrets in the user's own files: netrc, `hf auth login`'s tokens, those of clouds."""
    own = home() or Path(os.devnull)
    hub = Path(
        os.environ.get("HF_HOME")
        or Path(os.environ.get("XDG_CACHE_HOME") or own / ".cache", "huggingface")
    )
    kaggle = Path(os.environ.get("KAGGLE_CONFIG_DIR") or own / ".kaggle")
    for named, paths, pattern in (
        ("NETRC", (own / ".netrc", own / "_netrc"), _NETRC_PASSWORD),
        ("HF_TOKEN_PATH", (hub / "token",), _WHOLE),
        ("HF_STORED_TOKENS_PATH", (hub / "stored_tokens",), _INI_VALUE),
        ("AWS_SHARED_CREDENTIALS_FILE", (own / ".aws/credentials",), _INI_VALUE),
        ("", (kaggle / "kaggle.json",), _JSON_VALUE),
        ("", (kaggle / "access_token",), _WHOLE),
        ("GOOGLE_APPLICATION_CREDENTIALS", (own / _GCLOUD,), _JSON_VALUE),
    ):
        chosen = os.environ.get(named) if named else None
        for path in (Path(chosen),) if chosen else paths:
            try:
                text = expanded(path).read_text("utf-8", "replace")
            except (OSError, RuntimeError):
                continue
            yield from (secret.strip("\"'") for secret in pattern.findall(text))
