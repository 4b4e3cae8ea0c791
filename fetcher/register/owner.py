"""Who registers: the name that git knows somebody by, else that of the account."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

from fetcher.register.values import printable

_SECONDS = 5


def current_user(root: Path) -> str:
    """`user.name` of git as it stands in `root`, else the account's name, else "unknown"."""
    return _of_git(root) or _of_account() or "unknown"


def _of_git(root: Path) -> str:
    command = ["git", "-C", str(root), "config", "--get", "user.name"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return _line(done.stdout.decode("utf-8", "replace"))


def _of_account() -> str:
    try:
        return _line(getpass.getuser())
    except (OSError, KeyError, ImportError):  # nobody has this user id
        return ""


def _line(text: str) -> str:
    name = text.strip()
    return name if name and len(name) <= 200 and "\n" not in name and printable(name) else ""
