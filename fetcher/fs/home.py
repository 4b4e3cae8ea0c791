"""The person's home directory, which there may be none of: containers run as ids without a name."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from fetcher.errors import UsageError
from fetcher.i18n import t

_PLATFORM: str = sys.platform


def home() -> Path | None:
    """The home directory, None where neither HOME nor the system knows one."""
    found = os.path.expanduser("~")
    # A relative one would lie in whatever clone one stands in.
    return Path(found) if os.path.isabs(found) else None


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~user` replaced where they are known, else as it is."""
    return Path(os.path.expanduser(path))


def as_person_means(path: Path) -> Path:
    """A folder that the person names, with `~`, `$NAME` and `${NAME}` as their environment has
    them: some shells, and whatever starts fetch without one, leave these as they are.

    Raises UsageError for a variable that is not set. A folder that is called so stays.
    """
    text = os.path.expanduser(path)
    if "$" not in text or os.path.isdir(text):
        return Path(text)

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if not os.environ.get(name):
            raise UsageError(
                t("{path}: the variable {name} is not set", path=path, name=name),
                t("set it, or write the folder's path"),
            )
        return os.environ[name]

    return Path(re.sub(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})", value, text))


def cache_folder() -> Path | None:
    """Where fetch keeps what can be had again, None without a home."""
    if _PLATFORM not in {"darwin", "win32"}:  # as below
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        return _absolute(lambda: os.path.join(base, "fetch"))
    import platformdirs

    return _absolute(lambda: platformdirs.user_cache_dir("fetch", appauthor=False))


def config_folder() -> Path | None:
    """Where the person's own settings of fetch lie, None without a home."""
    # What platformdirs says too, without the 2 ms that it takes of each command.
    if _PLATFORM not in {"darwin", "win32"}:
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return _absolute(lambda: os.path.join(base, "fetch"))
    import platformdirs

    return _absolute(lambda: platformdirs.user_config_dir("fetch", appauthor=False))


def _absolute(named: Callable[[], str]) -> Path | None:
    try:
        found = named()
    except RuntimeError:  # what newer versions of platformdirs say where there is no home
        return None
    # Older ones give a relative path then: it would lie in whatever clone one stands in.
    return Path(found) if os.path.isabs(found) else None
