"""Everything that can go wrong, with its exit code; messages and hints are made in one place.

    FetchError
    ├── UsageError            2   the command line or a setting
    ├── InvalidDocument       2   manifests, layouts, settings (carries every problem found)
    ├── LockError             7   lock missing or out of date under --locked
    │   └── LockMismatch      7   lock contradicts a manifest (carries every contradiction)
    └── Failure               3-9 one artifact or file; collected, never ends the run

A `Problem` is the value form of a failure: it is kept in plans and reports.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fetcher import __version__
from fetcher.i18n import n, t

OK = 0
INTERNAL = 1
USAGE = 2
DOWNLOAD = 3
INTEGRITY = 4
OFFLINE = 5
AUTH = 6
LOCK = 7
PROBE = 8
DISK = 9
INTERRUPTED = 130

# Where several apply, the first of these is the exit code.
PRECEDENCE = (DISK, AUTH, OFFLINE, INTEGRITY, DOWNLOAD, PROBE, USAGE, LOCK, INTERNAL)

# Error codes of the JSON report, each with its exit code.
EXIT_CODES = {
    "internal": INTERNAL,
    "usage": USAGE,
    "invalid-document": USAGE,
    "layout-mismatch": USAGE,
    "download": DOWNLOAD,
    "network": DOWNLOAD,
    "not-found": DOWNLOAD,
    "revision-not-found": DOWNLOAD,
    "missing-upstream": DOWNLOAD,
    "refused": DOWNLOAD,
    "not-a-file": DOWNLOAD,
    "link-expired": DOWNLOAD,
    "busy": DOWNLOAD,
    "quota": DOWNLOAD,
    "digest-mismatch": INTEGRITY,
    "size-mismatch": INTEGRITY,
    "unproven": INTEGRITY,
    "count": INTEGRITY,
    "conflict": INTEGRITY,
    "modified": INTEGRITY,
    "missing": INTEGRITY,
    "extra": INTEGRITY,
    "bad-path": INTEGRITY,
    "archive": INTEGRITY,
    "edit": INTEGRITY,
    "bundle": INTEGRITY,
    "signature": INTEGRITY,
    "license": INTEGRITY,
    "offline": OFFLINE,
    "gated": AUTH,
    "auth": AUTH,
    "lock": LOCK,
    "lock-mismatch": LOCK,
    "difference": INTEGRITY,
    "probe": PROBE,
    "memory": PROBE,
    "disk-space": DISK,
    "permission": DISK,
}


class Problem(NamedTuple):
    """One thing that went wrong: what, to which artifact and file, why, and what to do.

    `document`, `line` and `column` (from 1; 0 is unknown) are where somebody wrote what is wrong.
    """

    code: str
    message: str
    hint: str = ""
    artifact: str = ""
    file: str = ""
    document: str = ""
    line: int = 0
    column: int = 0

    @property
    def exit_code(self) -> int:
        """The process exit code that this problem alone would lead to."""
        return EXIT_CODES[self.code]

    def about(self, artifact: str, file: str = "") -> Problem:
        """The same problem, said of this artifact and file."""
        return self._replace(artifact=artifact or self.artifact, file=file or self.file)


class FetchError(Exception):
    """Base of all errors this package raises on purpose."""

    exit_code = INTERNAL

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def problems(self) -> list[Problem]:
        """What to report, as values."""
        codes = {USAGE: "usage", LOCK: "lock"}
        return [Problem(codes.get(self.exit_code, "internal"), self.message, self.hint)]


class UsageError(FetchError):
    """The command line or a setting is wrong."""

    exit_code = USAGE


class LockError(FetchError):
    """The lock is missing, out of date or unreadable; `artifacts` are those that it concerns."""

    exit_code = LOCK

    def __init__(self, message: str, hint: str = "", artifacts: Iterable[str] = ()) -> None:
        super().__init__(message, hint)
        self.artifacts = list(artifacts)

    def problems(self) -> list[Problem]:
        """One problem for each artifact, or one."""
        names = self.artifacts or [""]
        return [Problem("lock", self.message, self.hint, artifact=name) for name in names]


class LockMismatch(LockError):
    """The lock contradicts what a manifest states; carries a problem for each pin."""

    def __init__(self, message: str, found: Iterable[Problem]) -> None:
        self.found = list(found)
        hint = self.found[0].hint if self.found else ""
        super().__init__(message, hint, dict.fromkeys(item.artifact for item in self.found))

    def __str__(self) -> str:
        """Every pin: a script's traceback shows no more than this."""
        return "\n  ".join([f"{self.message}:", *(str(item.message) for item in self.found)])

    def problems(self) -> list[Problem]:
        """One problem for each pin that is not kept."""
        return self.found


class Failure(FetchError):
    """One artifact or file failed; the others go on."""

    def __init__(
        self, code: str, message: str, hint: str = "", artifact: str = "", file: str = ""
    ) -> None:
        super().__init__(message, hint)
        self.problem = Problem(code, message, hint, artifact, file)
        self.detail = ""  # a finer word than the code, where there is one
        self.exit_code = self.problem.exit_code

    def problems(self) -> list[Problem]:
        """The one problem this failure carries."""
        return [self.problem]


class DocumentProblem(NamedTuple):
    """A mistake at a place in a YAML or JSON document; line and column count from 1."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return t(
            "{file}:{line}:{column}: {message}",
            file=self.file,
            line=self.line,
            column=self.column,
            message=self.message,
        )


class InvalidDocument(FetchError):
    """One or more documents are wrong; carries every problem found, in order."""

    exit_code = USAGE

    def __init__(self, found: Iterable[DocumentProblem]) -> None:
        self.found = sorted(set(found))
        count = len(self.found)
        super().__init__(
            n(
                "{count} problem in the project's files",
                "{count} problems in the project's files",
                count,
            )
        )

    def __str__(self) -> str:
        """Every mistake: a script's traceback shows no more than this."""
        places = (f"{item}; {item.hint}" if item.hint else str(item) for item in self.found)
        return "\n  ".join([f"{self.message}:", *places])

    def problems(self) -> list[Problem]:
        """One problem a mistake, with file, line and column in front of its message."""
        return [
            Problem(
                "invalid-document",
                str(item),
                item.hint,
                file=item.file,
                document=item.file,
                line=item.line,
                column=item.column,
            )
            for item in self.found
        ]


_HINTS = {
    "offline": t(
        "run once where there is a network, or take the files from a store (--from DIR) or from "
        "this machine (fetch adopt PATH)"
    ),
    "not-found": t("check the address in the manifest, or add a mirror"),
    "missing-upstream": t("compare the manifest with what the source holds"),
    "auth": t("is a token needed? `fetch doctor` tells which are set"),
    "network": t("run again later: what is there is kept; a mirror helps"),
}


def newer_hint(found: object, ours: str) -> str:
    """What to do about a document whose schema (`name/NUMBER`) is not `ours`: "" if not newer."""
    name, _, number = ours.rpartition("/")
    head, _, told = found.rpartition("/") if isinstance(found, str) else ("", "", "")
    plain = told.isascii() and told.isdigit() and len(told) < 10
    if head != name or not plain or int(told) <= int(number):
        return ""
    from fetcher.installation import commands

    told = t("a newer fetch wrote it: upgrade fetch (this is {version})", version=__version__)
    command = commands.upgrade()
    return t("{told}: {command}", told=told, command=command) if command else told


def hint_of(problem: Problem) -> str:
    """The problem's own hint, else the usual one for its code."""
    if not problem.hint and problem.code in {"digest-mismatch", "size-mismatch"}:
        return t(
            "if the change upstream is meant, run `fetch lock --update {id}`; otherwise do not "
            "trust that place",
            id=problem.artifact or "NAME",
        )
    return problem.hint or _HINTS.get(problem.code, "")


def exit_code_of(problems: Iterable[Problem]) -> int:
    """The exit code of a run that met these problems (0 if none)."""
    codes = {problem.exit_code for problem in problems}
    return next((code for code in PRECEDENCE if code in codes), OK)


def _file_system(path: str) -> str:
    """Where a path's file system is mounted and what is free there, "" if nothing is known."""
    import os
    import shutil

    try:
        folder = os.path.abspath(path)
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        free = shutil.disk_usage(folder).free
        device = os.stat(folder).st_dev
        while (above := os.path.dirname(folder)) != folder and os.stat(above).st_dev == device:
            folder = above
    except OSError:
        return ""
    return t("{megabytes:,.1f} MB are free on {folder}", megabytes=free / 1e6, folder=folder)


def _disk_full(reason: str, path: str, needed: int | None) -> str:
    told = [reason]
    if path and (system := _file_system(path)):
        told.append(system)
    if needed:
        told.append(t("{megabytes:,.1f} MB are needed", megabytes=needed / 1e6))
    return "; ".join(told)


def from_os_error(error: OSError, doing: str, path: str = "", needed: int | None = None) -> Failure:
    """An operating-system error as a failure with a hint; `doing` ends in what was touched.

    `path` is what was touched, if the error does not know it; `needed` are the bytes that were to
    be written there.
    """
    import errno

    reason = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        named = error.filename if isinstance(error.filename, str) else ""
        reason = _disk_full(reason, path or named, needed)
        hint = t("free some space, or point FETCH_STORE or --into at another disk; then run again")
        return Failure("disk-space", t("{doing}: {reason}", doing=doing, reason=reason), hint)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        hint = t("check the owner and mode of the folder, or name another one")
        return Failure("permission", t("{doing}: {reason}", doing=doing, reason=reason), hint)
    if error.errno == errno.ENAMETOOLONG:
        return Failure(
            "bad-path",
            t("{doing}: {reason}", doing=doing, reason=reason),
            t("choose a shorter name in the layout"),
        )
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return Failure(
            "not-found", t("{doing}: {reason}", doing=doing, reason=reason), t("check the path")
        )
    return Failure("permission", t("{doing}: {reason}", doing=doing, reason=reason))
