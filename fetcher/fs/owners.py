"""Whose a file is, and who else may change it behind our back."""

from __future__ import annotations

import os
import stat as stats

_OTHERS_WRITE = stats.S_IWGRP | stats.S_IWOTH


def is_foreign(stat: os.stat_result) -> bool:
    """Whether a file is another person's, who may change it whatever its mode; root may anyway."""
    return os.name == "posix" and stat.st_uid not in {0, os.geteuid()}


def is_ours_alone(stat: os.stat_result) -> bool:
    """Whether only this person may write a file or folder."""
    if os.name != "posix":
        return True
    return stat.st_uid == os.geteuid() and not stat.st_mode & _OTHERS_WRITE


def is_word_of_ours(stat: os.stat_result) -> bool:
    """Whether nobody but this person, or root, can have written what a file says."""
    return not (is_foreign(stat) or (os.name == "posix" and stat.st_mode & _OTHERS_WRITE))


def my_name() -> str:
    """What tells this person's files in a shared folder from others': a number; "" on Windows."""
    return str(os.geteuid()) if os.name == "posix" else ""


def hard_link(source: str, target: str) -> bool:
    """Make `target` (new) another name of a regular file that is ours alone; False for others.

    A symlink is followed. Raises FileNotFoundError.
    """
    try:
        os.link(os.path.realpath(source), target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        return False
    # Judged by what was linked: the name may have come to mean something else meanwhile.
    found = os.lstat(target)
    if stats.S_ISREG(found.st_mode) and is_ours_alone(found):
        return True
    os.unlink(target)
    return False


def may_remove(path: str, stat: os.stat_result) -> bool:
    """Whether this person may remove a file with this stat from its folder."""
    folder = os.path.dirname(path) or os.curdir
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    above = os.stat(folder)
    if os.name != "posix" or not above.st_mode & stats.S_ISVTX:
        return True
    return os.geteuid() in {0, stat.st_uid, above.st_uid}
