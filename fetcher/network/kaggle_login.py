"""The person's login for Kaggle, from where Kaggle's own program has it."""

from __future__ import annotations

import json
import logging
import os

from fetcher.network.login_files import text_of
from fetcher.yamldoc.json_fields import JsonFields

_log = logging.getLogger(__name__)


def kaggle_token() -> str:
    """An access token for Kaggle, "" without one."""
    return os.environ.get("KAGGLE_API_TOKEN", "").strip() or _kaggle_file("access_token").strip()


def kaggle_login() -> tuple[str, str] | None:
    """Name and key: KAGGLE_USERNAME and KAGGLE_KEY, else of kaggle.json; None without them."""
    user, key = (os.environ.get(f"KAGGLE_{name}", "").strip() for name in ("USERNAME", "KEY"))
    if not (user and key):
        try:
            told = JsonFields.of(json.loads(_kaggle_file("kaggle.json") or "{}"))
        except ValueError:
            _log.warning("kaggle.json is no JSON: its key is not used")
            return None
        user, key = told.text("username"), told.text("key")
    return (user, key) if user and key else None


def _kaggle_file(name: str) -> str:
    folder = os.environ.get("KAGGLE_CONFIG_DIR")
    return text_of(os.path.join(folder, name) if folder else None, f".kaggle/{name}")
