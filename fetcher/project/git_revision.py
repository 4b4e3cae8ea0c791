"""Files of a project as git has them at a revision.

git runs here in what may be a stranger's clone, so it is told to run nothing else: no hook, no
monitor, no pager, no transport (which a missing object would call for), and objects are read as
they are, without replacements.
"""

from __future__ import annotations

import os
from pathlib import Path

from fetcher.errors import LockError, UsageError
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.verify.host import child_process
from fetcher.verify.host.child_process import Finished
from fetcher.verify.host.environment import clean_environment

HEAD = "HEAD"
MAX_BYTES = 256 << 20  # the lock of a million files; git packs what is all alike into nothing
_SECONDS = 60
_NOT_THERE = ("does not exist in", "exists on disk, but not in")
_SAFE = (
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.sshCommand=false", "-c", "credential.helper="),
)
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


class GitRevision:
    """The project at `root` as it is at a branch, tag or commit called `name`."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self._commit = self._resolved()

    def _resolved(self) -> str:
        """The commit, "" for the HEAD of a repository without one. Raises UsageError."""
        if self.name.startswith("-") or not self.name.isprintable():
            raise UsageError(
                t("{name} is no git revision", name=printable(self.name)),
                t("name a lock's file, a branch, a tag or a commit"),
            )
        verify = ("rev-parse", "--verify", "--end-of-options", self.name + "^{commit}")
        found = self._git(*verify)
        if found.status == 0:
            return found.out.strip()
        if "Needed a single revision" not in found.err and "unknown revision" not in found.err:
            raise UsageError(
                t("git cannot be asked about {root}: {why}", root=self.root, why=_reason(found)),
                t("name two files instead: fetch diff OLD_LOCK NEW_LOCK"),
            )
        if self.name == HEAD:
            return ""
        raise UsageError(
            t("{name} is neither a file nor a git revision", name=printable(self.name)),
            t("name a lock's file, a branch, a tag or a commit"),
        )

    def read(self, path: str) -> str | None:
        """A file's text, `path` relative to the root; None if it is not there.

        What is not UTF-8 in it is replaced. Raises LockError.
        """
        if not self._commit:
            return None
        address = f"{self._commit}:./{path}"
        size = self._git("cat-file", "-s", address)
        if size.status and any(text in size.err for text in _NOT_THERE):
            return None
        if size.status:
            raise self._lost(path, size)
        if int(size.out) > MAX_BYTES:
            raise LockError(
                t("{path} at {name} is larger than any lock", path=path, name=self.name),
                t("look at it with git"),
            )
        blob = self._git("cat-file", "blob", address)
        if blob.status:
            raise self._lost(path, blob)
        return blob.out

    def _lost(self, path: str, done: Finished) -> LockError:
        return LockError(
            t("{path} at {name}: {reason}", path=path, name=self.name, reason=_reason(done)),
            t("the clone lacks it: `git fetch` brings it, if you trust the clone's settings"),
        )

    def names(self, folder: str) -> list[str]:
        """Files directly in a folder of the project, by their paths."""
        if not self._commit:
            return []
        listed = self._git("ls-tree", "-z", "--name-only", self._commit, f"./{folder}/")
        return [name for name in listed.out.split("\0") if name]

    def _git(self, *arguments: str) -> Finished:
        return _run(self.root, *arguments)


def stages(root: Path, path: str) -> dict[int, str]:
    """The texts of a file of which git's index has a conflict: 1 base, 2 ours, 3 theirs.

    Empty where there is no conflict of it, or no git repository. Raises UsageError without git,
    LockError for one that is too large.
    """
    listed = _run(root, "ls-files", "-u", "-z", "--", f"./{path}")
    found = {}
    for line in listed.out.split("\0") if listed.status == 0 else ():
        fields = line.partition("\t")[0].split()
        if len(fields) != 3 or not fields[2].isdigit():
            continue
        size = _run(root, "cat-file", "-s", fields[1])
        if size.status or int(size.out) > MAX_BYTES:
            raise LockError(
                t("{path}: git does not have all sides of it", path=path),
                t("restore it: git checkout --ours {path}", path=path),
            )
        found[int(fields[2])] = _run(root, "cat-file", "blob", fields[1]).out
    return found


def merge_lines(base: Path, ours: Path, theirs: Path) -> str:
    """Three texts merged as git does it, with its conflict markers. Raises UsageError."""
    folder = ours.absolute().parent
    names = [str(path.absolute()) for path in (ours, base, theirs)]
    labels = [part for label in ("ours", "base", "theirs") for part in ("-L", label)]
    return _run(folder, "merge-file", "-p", "-q", *labels, "--", *names).out


def _run(root: Path, *arguments: str) -> Finished:
    """Run one git command in the project at `root`. Raises UsageError if there is no git."""
    environ = {
        name: value for name, value in clean_environment().items() if not name.startswith("GIT_")
    }
    try:
        return child_process.run(
            ["git", "--no-pager", *_SAFE, "-C", str(root.absolute()), *arguments],
            timeout=_SECONDS,
            environ={**environ, **_ENVIRONMENT},
        )
    except OSError as error:
        raise UsageError(
            t("git cannot be run: {error}", error=error),
            t("name two files instead: fetch diff OLD_LOCK NEW_LOCK"),
        ) from error


def _reason(done: Finished) -> str:
    return printable(done.err.partition("\n")[0])[:200]
