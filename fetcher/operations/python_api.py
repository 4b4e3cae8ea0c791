"""What scripts and notebooks call: fetch, find where a file lies, look at a project.

These are the public names `fetcher.fetch`, `fetcher.path`, `fetcher.open` and `fetcher.Project`.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fetcher.errors import UsageError
from fetcher.fs.home import as_person_means, expanded
from fetcher.i18n import t
from fetcher.operations import open_project
from fetcher.project import names as naming
from fetcher.project.project import find_root
from fetcher.reporting.report import Report, of_seal, status_of_seal
from fetcher.ui.progress import Progress

if TYPE_CHECKING:
    from fetcher.operations.workspace import Workspace

Name = str | os.PathLike[str]
Link = Literal["auto", "reflink", "hardlink", "symlink", "copy"]

_log = logging.getLogger(__name__)
_guard = threading.Lock()
_busy: dict[Path, threading.Lock] = {}


@contextmanager
def _alone(tree: Path) -> Iterator[None]:
    """One thread of this process at a time fetches into a tree: the next finds it done."""
    with _guard:
        lock = _busy.setdefault(tree, threading.Lock())
    with lock:
        yield


def _explain(notes: Sequence[str]) -> None:
    for note in notes:
        _log.info(note)


@dataclass(frozen=True)
class Project:
    """A project: `root` has its manifests and fetch.lock, files stand below `tree`.

    Made by `fetcher.open`. It holds nothing open, and may be used from several threads.
    """

    root: Path
    tree: Path

    def fetch(
        self,
        *names: Name,
        only: Sequence[str] = (),
        skip: Sequence[str] = (),
        groups: Sequence[str] = (),
        variants: Mapping[str, str] | None = None,
        optional: bool = False,
        locked: bool = False,
        update: bool = False,
        offline: bool = False,
        mirrors: Sequence[str] = (),
        verify_key: Name | None = None,
        link: Link | None = None,
        jobs: int | None = None,
        limit_rate: str | None = None,
        overwrite: bool = False,
        first_trust: bool = False,
        quiet: bool = False,
        check: bool = False,
    ) -> Report:
        """Download, verify and lay out what `names` say, as `fetch all` does.

        See `fetcher.fetch` for all arguments and errors.
        """
        named = [os.fspath(name) for name in names]
        options: dict[str, object] = {
            "into": self.tree,
            "only": only,
            "skip": skip,
            "groups": groups,
            "variants": tuple(f"{name}={choice}" for name, choice in (variants or {}).items()),
            "optional": optional,
            "offline": offline,
            "mirrors": mirrors,
            "verify_key": None if verify_key is None else os.fspath(verify_key),
            "link": link,
            "jobs": jobs,
            "limit_rate": limit_rate,
        }
        with _alone(self.tree):
            seal = None
            if not (update or mirrors):
                seal = open_project.sealed(self.root, named, with_files=True, **_kwargs(options))
            if seal is not None:
                return of_seal(seal)
            options |= {"locked": locked, "update": update, "overwrite": overwrite}
            options["first_trust"] = first_trust
            report = self._run(named, quiet, options)
        if report.interrupted:
            raise KeyboardInterrupt
        if check:
            report.raise_for_problems()
        return report

    def _run(self, names: Sequence[str], quiet: bool, options: dict[str, object]) -> Report:
        from fetcher.operations.fetch_all import fetch_all

        with self._workspace(names, quiet=quiet, **options) as space:
            optional = [item.id for _, item in naming.pairs_of(space.units) if item.optional]
            if not space.wanted and optional:
                warnings.warn(
                    t(
                        "all {count} artifacts are optional, so none is fetched: name some, such "
                        "as {optional!r}, or pass optional=True",
                        count=len(optional),
                        optional=optional[0],
                    ),
                    stacklevel=4,
                )
            return fetch_all(space)

    @contextmanager
    def _workspace(
        self, names: Sequence[str], *, quiet: bool = True, **options: object
    ) -> Iterator[Workspace]:
        options.setdefault("into", self.tree)
        space = open_project.open_workspace(
            self.root, names, progress=Progress(quiet=quiet), explain=_explain, **_kwargs(options)
        )
        try:
            yield space
        finally:
            space.close()

    def path(self, name: str, *, fetch: bool = True, quiet: bool = False) -> Path:
        """Where an artifact, a file or a folder of it lies; fetched first if it is not there.

        See `fetcher.path` for arguments and errors.
        """
        from fetcher.operations import locate
        from fetcher.probes import check_options
        from fetcher.project.project import Project as Files

        settings = open_project.settings_of(self.root, {})
        wanted = locate.find(Files(self.root, check_options.examine), name)
        found = locate.standing(wanted, settings, self.tree)
        if found is None and fetch:
            with _alone(self.tree):
                found = locate.standing(wanted, settings, self.tree)
                found = found or locate.fetched(wanted, settings, self.tree, quiet)
        if found is None:
            raise UsageError(
                t("{name} is not there", name=name), t("let it be fetched: fetch=True")
            )
        return found

    def plan(
        self,
        *names: Name,
        only: Sequence[str] = (),
        skip: Sequence[str] = (),
        groups: Sequence[str] = (),
        optional: bool = False,
    ) -> Report:
        """What `fetch` would do, without writing anything; as `fetch plan`.

        The summary tells how much would be downloaded (`to_download_files`,
        `to_download_bytes`) and `disk_free`; problems are what would keep it from working.
        Sources are asked for artifacts that are not in the lock, repositories if they may be had.
        """
        from fetcher.operations.fetch_all import prepare
        from fetcher.operations.inspect_tree import plan_report

        with self._workspace(
            [os.fspath(name) for name in names],
            readonly=True,
            only=only,
            skip=skip,
            groups=groups,
            optional=optional,
        ) as space:
            prepared = prepare(space)
            return plan_report(
                space, prepared.plan, prepared.resolution.problems, prepared.orphans.orphans
            )

    def status(self, *names: Name) -> Report:
        """How each artifact stands, by stat alone; as `fetch status`. No network, no file is read.

        That something is missing is no problem here: look at each artifact's `state`.
        """
        from fetcher.operations.inspect_tree import status_report

        named = [os.fspath(name) for name in names]
        seal = open_project.sealed(self.root, named, into=self.tree, with_files=True)
        if seal is not None and seal.all_of_it:
            report = of_seal(seal)
            report.results = status_of_seal(seal)
            return report
        with self._workspace(named, optional=True, readonly=True) as space:
            report, report.results = status_report(space)
            return report

    def check(self, *names: Name, deep: bool = False, strict: bool = False) -> Report:
        """Compare every file with the lock; what is missing or modified is in `problems`.

        A file whose size, time and inode are as they were is trusted; `deep` reads every byte.
        `strict` also names files that are not ours. No network.
        """
        from fetcher.operations import check as checking
        from fetcher.operations.inspect_tree import check_report

        with self._workspace(
            [os.fspath(name) for name in names], optional=True, readonly=True
        ) as space:
            checking.only_what_was_fetched(space)
            plan, findings, orphans = checking.examine(space, deep, strict)
            return check_report(space, plan, findings, orphans)


def _kwargs(options: dict[str, object]) -> Any:
    """Options by name, for functions that take them one by one."""
    return options


def open(project: Name | None = None, *, into: Name | None = None) -> Project:
    """The project that a folder belongs to.

    `project` is a folder of it (default: the current one): its root is the nearest folder above
    with manifests/, fetch.yaml or fetch.lock, else that folder itself. `into` is where the tree
    stands (default: the root). Raises UsageError if `project` is no folder.
    """
    start = Path.cwd() if project is None else expanded(project).absolute()
    if not start.is_dir():
        raise UsageError(t("{start} is no folder", start=start), t("name the project's folder"))
    root = find_root(start)
    return Project(root, root if into is None else as_person_means(Path(into)).absolute())


def fetch(
    *names: Name,
    into: Name | None = None,
    root: Name | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    groups: Sequence[str] = (),
    variants: Mapping[str, str] | None = None,
    optional: bool = False,
    locked: bool = False,
    update: bool = False,
    offline: bool = False,
    mirrors: Sequence[str] = (),
    verify_key: Name | None = None,
    link: Link | None = None,
    jobs: int | None = None,
    limit_rate: str | None = None,
    overwrite: bool = False,
    first_trust: bool = False,
    quiet: bool = False,
    check: bool = False,
) -> Report:
    """Download, verify and lay out artifacts, as `fetch all` does; what is there is left alone.

    Args:
        names: Manifests (names or files), artifacts by id, alias or repository; the project's own,
            or the built-in catalog's. Without any: all manifests of the project.
        into: Folder that the layout's root is made in; default: the project's root.
        root: A folder of the project; default: the current one.
        only, skip: Globs of artifact ids to take, to leave out.
        groups: Take only artifacts of these groups.
        variants: Choices by the names of variants, such as {"precision": "fp16"}.
        optional: Take optional artifacts as well.
        locked: Raise LockError if fetch.lock is missing or out of date; never change it.
        update: Resolve anew, even what is locked.
        offline: Use no network.
        mirrors: Places to ask first: a bundle, a store's folder, an http, oci or s3 URL.
        verify_key: Refuse mirrors that are not signed with the public key in this file (PEM).
        link: How files are placed; default: as the settings say.
        jobs: Connections to one host, at most.
        limit_rate: Bytes per second, such as "50M".
        overwrite: Replace files that stand in the way; they go to .fetch/kept/.
        first_trust: Take files without a known digest, whatever their bytes look like.
        quiet: Show no progress.
        check: Raise ProblemsError if anything went wrong.

    Returns:
        What was done. One artifact that fails does not keep the others from being fetched: look at
        `report.ok`, or call `report.raise_for_problems()`.

    Raises:
        UsageError: A name, an option or a setting is wrong.
        InvalidDocument: Manifests or layouts are; it has every mistake with its place.
        LockError: The lock cannot be read, or is out of date with `locked`.
        ProblemsError: Something failed, with `check`.
        KeyboardInterrupt: After tidying; the next call goes on from the bytes that are there.
    """
    return open(root, into=into).fetch(
        *names,
        only=only,
        skip=skip,
        groups=groups,
        variants=variants,
        optional=optional,
        locked=locked,
        update=update,
        offline=offline,
        mirrors=mirrors,
        verify_key=verify_key,
        link=link,
        jobs=jobs,
        limit_rate=limit_rate,
        overwrite=overwrite,
        first_trust=first_trust,
        quiet=quiet,
        check=check,
    )


def path(
    name: str,
    *,
    into: Name | None = None,
    root: Name | None = None,
    fetch: bool = True,
    quiet: bool = False,
) -> Path:
    """Where an artifact lies, or a file or folder of it; fetched first if it is not there.

    Args:
        name: An artifact (id, manifest/id, alias or repository), or artifact/path, where the path
            is the source's own name for a file or folder, whatever the layout calls it.
        into: Folder that the layout's root is made in; default: the project's root.
        root: A folder of the project; default: the current one.
        fetch: Fetch the artifact if it is not whole; else UsageError says that it is not there.
        quiet: Show no progress.

    Returns:
        An absolute path: of the file; for a folder, or an artifact of several files, of the folder
        that they stand in. What is there is told by stat, and a file that you changed is left as
        it is.

    Raises:
        UsageError: There is no such artifact or file, or the layout gives it no place.
        InvalidDocument, LockError: As for `fetch`.
        ProblemsError: It could not be fetched.
        KeyboardInterrupt: After tidying.
    """
    return open(root, into=into).path(name, fetch=fetch, quiet=quiet)
