"""Who registers: the name that git knows somebody by, else that of the account.

git is not run in the project, whose settings could name programs: it reads one file of them.
"""

from __future__ import annotations

import getpass
import os
import tempfile
from pathlib import Path

from fetcher.register.values import printable
from fetcher.verify.host import child_process
from fetcher.verify.host.environment import clean_environment

_SECONDS = 5
_REPOSITORY = {"GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_CONFIG"}


def current_user(root: Path) -> str:
    """`user.name` of the repository around `root`, git's, the account's name, or "unknown"."""
    own = next((file for folder in (root, *root.absolute().parents)
                if (file := folder / ".git/config").is_file()), None)  # fmt: skip
    of_repository = _of_git("--file", str(own.absolute()), "--no-includes") if own else ""
    return of_repository or _of_git() or _of_account() or "unknown"


def _of_git(*which: str) -> str:
    environ = clean_environment(("GIT_CONFIG_*",))
    environ = {name: value for name, value in environ.items() if name not in _REPOSITORY}
    environ["GIT_CEILING_DIRECTORIES"] = os.path.realpath(tempfile.gettempdir())
    try:
        done = child_process.run(
            ["git", "config", *which, "--get", "user.name"], timeout=_SECONDS, environ=environ
        )
    except OSError:
        return ""
    return _line(done.out)


def _of_account() -> str:
    try:
        return _line(getpass.getuser())
    except (OSError, KeyError, ImportError):  # nobody has this user id
        return ""


def _line(text: str) -> str:
    name = text.strip()
    return name if name and len(name) <= 200 and "\n" not in name and printable(name) else ""
