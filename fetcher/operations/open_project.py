"""Opens a project for one command: its settings, the artifacts that were chosen, its tree.

What a sealed tree does without (manifests, lock, store, network) is imported only when a workspace
is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetcher.config import boundaries
from fetcher.config import settings as all_settings
from fetcher.config.project_choices import NAMED, choices, sentence
from fetcher.config.settings import Settings
from fetcher.errors import UsageError
from fetcher.fs.home import expanded
from fetcher.i18n import t
from fetcher.project import names as naming
from fetcher.project.project import Project, Selection
from fetcher.store.project_records import see
from fetcher.tree import uptodate as seals
from fetcher.tree.state import FOLDER, State
from fetcher.tree.uptodate import Seal

if TYPE_CHECKING:
    from fetcher.operations.workspace import Workspace
    from fetcher.project.manifest import Manifest
    from fetcher.ui.progress import Progress
    from fetcher.yamldoc.nodes import Document


def settings_of(root: Path, flags: Mapping[str, object], mirrors: Sequence[str] = ()) -> Settings:
    """The settings of the project at `root` under these flags. Raises UsageError."""
    flags = {**flags, "mirrors": tuple(mirrors)}
    if key := flags.get("verify_key"):  # meant from where the command was typed
        flags["verify_key"] = str(expanded(str(key)).absolute())
    settings = all_settings.load(root, flags)
    settings.check()
    keep_secrets(settings)
    return settings


def keep_secrets(settings: Settings) -> None:
    """Tell the log, if there is one, which values must never stand in it."""
    log = sys.modules.get("fetcher.ui.log")
    if log is not None:
        log.keep_secret(
            settings.text(name) for name, spec in all_settings.SPECS.items() if spec.secret
        )


def warn_of_choices(settings: Settings, uses: Collection[str] = NAMED) -> None:
    """Warn in the log of what the project itself chose of these settings."""
    if line := sentence(choices(settings, uses)):
        import logging  # a sealed tree does without

        logging.getLogger(__name__).warning("%s", str.__str__(line))


def sealed(
    root: Path,
    manifests: Sequence[str] = (),
    *,
    into: Path | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    groups: Sequence[str] = (),
    optional: bool = False,
    mirrors: Sequence[str] = (),
    variants: Sequence[str] = (),
    with_files: bool = False,
    **flags: Any,
) -> Seal | None:
    """The seal of the tree that `open_workspace` would open with these, if it still holds."""
    known = all_settings.SPECS.keys()
    settings = settings_of(root, {k: v for k, v in flags.items() if k in known}, mirrors)
    project, tree = Project(root), (into or root).absolute()
    if not (tree / FOLDER).is_dir() or not (manifests or project.own_manifests()):
        return None
    if not naming.are_manifests(project, manifests):
        return None  # which manifests hold these artifacts is only known once all are read
    selection = Selection(
        tuple(only), tuple(skip), tuple(groups), optional, variants=tuple(variants)
    )
    state = State(tree)
    try:
        mark = seals.mark(project, tree, selection, tuple(manifests), settings)
        found = seals.load(state, mark, with_files)
        # A store that does not know who uses it would let go of what it needs.
        return found if found and see(settings.store, root.absolute()) else None
    except (OSError, UsageError):
        return None  # the plan will say what is wrong
    finally:
        state.close()


def _locked_manifests(project: Project) -> list[str]:
    """In a folder without manifests of its own: those of the catalog that were fetched there."""
    if project.own_manifests():
        return []
    from fetcher.project import lockfile

    return sorted({manifest for manifest, _ in lockfile.read(project.root).artifacts})


def _check(settings: Settings, mirrors: Sequence[str], locked: bool, update: bool) -> None:
    if locked and update:
        raise UsageError(t("--locked and --update exclude each other"), t("choose one"))
    if settings.offline and update:
        raise UsageError(t("--update needs the network, which may not be used"), t("drop --update"))
    if mirrors:
        from fetcher.mirror.locations import check_location

        for location in mirrors:
            check_location(location, settings.root)


def open_workspace(
    root: Path,
    manifests: Sequence[str] = (),
    *,
    progress: Progress,
    into: Path | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    groups: Sequence[str] = (),
    optional: bool = False,
    locked: bool = False,
    overwrite: bool = False,
    prune: bool = False,
    update: bool = False,
    first_trust: bool = False,
    mirrors: Sequence[str] = (),
    variants: Sequence[str] = (),
    readonly: bool = False,
    probes: Callable[[Manifest, Document], None] | None = None,
    explain: Callable[[Sequence[str]], None] = lambda _: None,
    tell: Callable[[Settings, Collection[str]], None] | None = None,
    uses: Collection[str] = NAMED,
    none_is_well: bool = False,
    looks: bool = False,
    **flags: Any,
) -> Workspace:
    """Load what is chosen of the project at `root`; the caller closes it.

    `manifests` may name artifacts as well. `probes` looks at the probes of each manifest;
    `check_options.examine` if nothing is said. `explain` takes a line about each alias. `tell`
    says what the project itself chose (default: a warning in the log) of the settings that are
    going to be used, `uses`. `none_is_well`: a project may have no manifests any more. `looks`: all
    files of the tree are going to be looked at. `flags` are settings. Raises UsageError,
    InvalidDocument, LockError, Failure.
    """
    from fetcher.operations.workspace import Options, Workspace
    from fetcher.probes import check_options

    settings = settings_of(root, flags, mirrors)
    (tell or warn_of_choices)(settings, uses)
    _check(settings, mirrors, locked, update)
    if into is not None:
        boundaries.check_output(root, into)
    project = Project(root, probes or check_options.examine)
    wanted = naming.sort_out(project, manifests)
    chosen = wanted.manifests or _locked_manifests(project)
    if none_is_well and not project.own_manifests():
        known = project.names()
        chosen = [name for name in chosen if name in known or name in manifests]
    nothing = none_is_well and not (chosen or project.own_manifests())
    units = [] if nothing else project.load(chosen)
    pairs = naming.pairs_of(units)
    only, notes = naming.translated(only, pairs)
    skip, more = naming.translated(skip, pairs)
    explain([*wanted.notes, *notes, *more])
    options = Options(
        into=(into or root).absolute(),
        selection=Selection(
            tuple(only), tuple(skip), tuple(groups), optional, wanted.exact, tuple(variants)
        ),
        locked=locked,
        update=lambda _: update,
        overwrite=overwrite,
        prune=prune,
        first_trust=first_trust,
    )
    names = tuple(wanted.manifests)
    return Workspace(project, units, settings, options, progress, readonly, names, looks)
