"""`fetch get`: files of one source in a folder, without a project.

A run needs manifest, layout, lock and state. They lie in a folder of their own beside what comes,
which goes when the run ends; files get their names by renaming, when they are complete and
verified. What is on its way lies in the store, so the next run goes on with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fetcher.config import settings as all_settings
from fetcher.errors import Failure, Problem, UsageError, from_os_error
from fetcher.fs.atomic import move, publish, sha256_of
from fetcher.fs.boundary import Boundary
from fetcher.fs.home import cache_folder
from fetcher.fs.private_files import scratch_folder
from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.i18n import t
from fetcher.operations.fetch_all import fetch_all
from fetcher.operations.open_project import open_workspace
from fetcher.project.lockfile import NAME as LOCK_NAME
from fetcher.register import checkpoint
from fetcher.reporting.report import FileReport, Report
from fetcher.store.project_records import record_of
from fetcher.ui.progress import Progress
from fetcher.yamldoc.edit import dump

_NAME = "get"
_FILES = "files"


@dataclass(frozen=True)
class Wanted:
    """One source, which of its files (names and globs; none: all), and where they go.

    `unpack` is what a manifest says under that key, None for files that stay as they are. `name`:
    the folder below for what turns out to be more than one file.
    """

    source: object
    describes: str
    files: tuple[str, ...]
    exclude: tuple[str, ...]
    folder: Path
    lists: bool
    unpack: Mapping[str, object] | None = None
    name: str = ""


def wanted(
    source: str,
    files: Sequence[str],
    exclude: Sequence[str],
    to: Path | None,
    hub: str,
    *,
    unpack: bool = False,
    strip: int = 0,
) -> Wanted:
    """What a command line asks for. Raises UsageError for what is no source.

    Without `to`, a single file goes into the current folder, and a repository or what was in an
    archive into one of its name. To `unpack` one file, `files` and `exclude` choose among its
    members; of a source that has several they choose the archives.
    """
    found = checkpoint.of_text(source, Path.cwd(), hub)
    if found.source.type == "local":
        raise UsageError(
            t("{source} is on this machine already", source=source), t("copy it, or fetch adopt it")
        )
    one = bool(found.only) or not found.source.lists
    if unpack and one:
        rules = {"members": list(files), "exclude": list(exclude), "strip": strip}
        folder = Path(_stem(found.only or found.name or source))
        return Wanted(
            found.yaml,
            found.source.describe(),
            (found.only,) if found.only else (),
            (),
            (to or folder).absolute(),
            found.source.lists,
            {key: value for key, value in rules.items() if value},
        )
    if found.only and files:
        raise UsageError(
            t("{source} is one file already", source=source),
            t("name the repository to choose among its files"),
        )
    names = (found.only,) if found.only else tuple(files)
    # Of the others only what comes tells whether they are one file.
    told = bool(found.only) or found.source.type in {"huggingface", "github", "url"}
    default = Path(found.name) if told and not one else Path()
    return Wanted(
        found.yaml,
        found.source.describe(),
        names,
        tuple(exclude),
        (to or default).absolute(),
        found.source.lists,
        ({"strip": strip} if strip else {}) if unpack else None,
        "" if told or to is not None else _stem(checkpoint.called(found.source)),
    )


_PACKED = {
    *(".zip", ".7z", ".tar", ".gz", ".tgz", ".bz", ".bz2", ".tbz", ".tbz2"),
    *(".xz", ".txz", ".zst", ".tzst", ".lzma"),
}


def _stem(name: str) -> str:
    """A folder's name for what is in an archive: its own, without what says that it is one."""
    stem = PurePosixPath(name.partition("?")[0]).name or name
    bare = stem
    while (ending := PurePosixPath(bare).suffix.lower()) in _PACKED and bare != ending:
        bare = bare[: -len(ending)]
    try:
        return check_relative(bare)
    except BadPath:
        return "unpacked"


def get(
    asked: Wanted, progress: Progress, *, overwrite: bool = False, **options: Any
) -> tuple[Report, list[FileReport], Path]:
    """Bring the files. Returns the run's report, each file with its path in the folder, and that.

    A file that is there with other bytes is a problem (`conflict`), unless `overwrite`: then it is
    kept beside its name with the ending `.kept`. `options` are settings and flags of a run.
    """
    made = _make_folder(asked.folder)
    try:
        with scratch_folder(str(asked.folder)) as beside:
            return _run(asked, Path(beside), progress, overwrite, options)
    finally:
        _remove_empty(made)


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            break  # it has files now


def _run(
    asked: Wanted, beside: Path, progress: Progress, overwrite: bool, options: Mapping[str, Any]
) -> tuple[Report, list[FileReport], Path]:
    _declare(asked, beside)
    kept = _kept_lock(asked)
    if kept is not None and kept.is_file():
        shutil.copyfile(kept, beside / LOCK_NAME)
    # What lists its files is asked anew; of another its digest, once learned, is known, and what
    # is in an archive is.
    update = asked.lists and asked.unpack is None and not options.get("offline")
    space = open_workspace(beside, progress=progress, update=update, **options)
    try:
        report = fetch_all(space)
    finally:
        space.close()
        # It was a project for this run only: the store keeps nothing for it.
        record_of(space.store.root, space.project.root.absolute()).forget()
    report.problems[:] = map(_without_adopting, report.problems)
    rows = [row for artifact in report.artifacts for row in artifact.files]
    folder = _folder_for(asked, [row.target.removeprefix(f"{_FILES}/") for row in rows])
    made = _make_folder(folder) if (beside / _FILES).is_dir() else []
    results = [_settle(folder, beside, row, report.problems, overwrite) for row in rows]
    _remove_empty(made)
    if kept is not None and (beside / LOCK_NAME).is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        move(str(beside / LOCK_NAME), str(kept))
    return report, results, folder


def _without_adopting(problem: Problem) -> Problem:
    """A problem whose hint does not speak of artifacts: there is no project that has any."""
    if "fetch adopt" not in problem.hint:
        return problem
    return problem._replace(hint=t("open its address in a browser, and save the file yourself"))


def _folder_for(asked: Wanted, names: Sequence[str]) -> Path:
    one = asked.unpack is None and len(names) == 1 and "/" not in names[0]
    return asked.folder if one or not asked.name else asked.folder / asked.name


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it; those that were made, the innermost first."""
    made = []
    above = folder
    while not above.exists() and above != above.parent:
        made.append(above)
        above = above.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, t("making {path}", path=folder)) from error
    return made


def _declare(asked: Wanted, root: Path) -> None:
    """The manifest and layout of this one run."""
    record: dict[str, object] = {"source": asked.source}
    if asked.files:
        record["files"] = list(asked.files)
    if asked.exclude:
        record["exclude"] = list(asked.exclude)
    if asked.unpack is not None:
        record["unpack"] = dict(asked.unpack) or True
    documents = {
        "manifests": {"manifest": _NAME, "artifacts": {_NAME: record}},
        "layouts": {"layout": _NAME, "tree": {f"{_FILES}/": _NAME}},
    }
    for folder, document in documents.items():
        (root / folder).mkdir()
        (root / folder / f"{_NAME}.yaml").write_text(dump(document, 3), "utf-8")


def _kept_lock(asked: Wanted) -> Path | None:
    """Where this person's runs keep what they learned of this source and choice."""
    cache = cache_folder()
    chosen = [asked.source, asked.files, asked.exclude]
    chosen += [] if asked.unpack is None else [asked.unpack]
    key = json.dumps(chosen, sort_keys=True)
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return cache / "get" / f"{name}.lock" if cache else None


def _settle(
    folder: Path, beside: Path, row: FileReport, problems: list[Problem], overwrite: bool
) -> FileReport:
    """Give one file its place below the folder, never over another's bytes."""
    name = row.target.removeprefix(f"{_FILES}/")
    row = row._replace(target=name)
    source = beside / _FILES / name
    if not source.is_file():
        return row
    try:
        above, _, base = name.rpartition("/")
        with Boundary(folder).open(above) as held:
            target = held.at(base)
            if os.path.lexists(target):
                if os.path.isfile(target) and sha256_of(target) == (
                    row.sha256 or sha256_of(str(source))
                ):
                    return row._replace(state="present")
                if not overwrite:
                    why = t("{path} is there with other bytes", path=name)
                    hint = t("--overwrite keeps it as {path}.kept", path=name)
                    problems.append(Problem("conflict", why, hint, _NAME, name))
                    return row._replace(state="conflict", error=why)
                move(target, _unused(target + ".kept"))
            publish(str(source), target)
    except Failure as failure:
        problems += failure.problems()
        return row._replace(state="blocked", error=failure.message)
    return row


def _unused(path: str) -> str:
    number, found = 1, path
    while os.path.lexists(found):
        number, found = number + 1, f"{path}-{number}"
    return found


def settings_for(flags: dict[str, object]) -> all_settings.Settings:
    """The person's own settings: no project's count here."""
    return all_settings.load(Path(tempfile.gettempdir()) / "no-project", flags)
