"""`fetch` alone: what can be done in this folder, the next command first."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.fs.safe_paths import printable
from fetcher.i18n import n, t
from fetcher.operations.look_around import Surroundings, look_around
from fetcher.ui.table import Column, print_table, print_text

if TYPE_CHECKING:
    from fetcher.reporting.report import ArtifactStatus

Steps = Sequence[tuple[str, str]]  # commands, and what each does
_ALL_COMMANDS = ("fetch --help", t("all commands"))
_GET = ("fetch get hf:OWNER/NAME", t("bring one model, without a project"))
_ADD = ("fetch add hf:OWNER/NAME", t("register a model or dataset"))
_ADOPT = ("fetch adopt FOLDER", t("take files that are already on this machine"))


def show() -> int:
    """Print it; returns the exit code. Raises FetchError where a project cannot be read."""
    around = look_around(Path.cwd())
    if around.is_project:
        said, steps = _project(around)
    elif around.document:
        said, steps = _document(around)
    else:
        said, steps = _nothing(around)
    print_text(said)
    print()
    rows = [(f"  {command}", text) for command, text in (*steps, _ALL_COMMANDS)]
    print_table((Column(), Column(wrap=True)), rows, heading=False)
    return 0


def _nothing(around: Surroundings) -> tuple[str, Steps]:
    said = t("There is no project here yet.")
    if around.clone is not None:
        said = t("This git repository has no manifests yet.")
    steps = [
        ("fetch init", t("start a project: manifests say where from, layouts where to")),
        ("fetch init --from quickstart", t("or begin with two small models, to try `fetch all`")),
        _GET,
    ]
    return said, _in_root(around, steps)


def _document(around: Surroundings) -> tuple[str, Steps]:
    said = n(
        "{document} names {count} address of a model or dataset, and there are no manifests yet.",
        "{document} names {count} addresses of models or datasets, and there are no manifests yet.",
        around.addresses,
        document=printable(around.document),
    )
    return said, _in_root(around, [_from_document(around), _ADOPT, _GET])


def _from_document(around: Surroundings) -> tuple[str, str]:
    name = shlex.quote(printable(around.document))
    return f"fetch init --from {name}", t("write manifest and layout from it")


def _in_root(around: Surroundings, steps: Steps) -> Steps:
    """A project begins at the root of its repository."""
    if around.clone is None or around.clone == around.root:
        return steps
    folder = shlex.quote(printable(str(around.clone)))
    return [(f"cd {folder}", t("the repository's root")), *steps]


def _project(around: Surroundings) -> tuple[str, Steps]:
    statuses = [status for status in _statuses(around.root) if not status["optional"]]
    where = printable(str(around.root))
    if not statuses:
        said = t("Project {root}: nothing is registered yet.", root=where)
        more = [_ADD, ("fetch list", t("what the built-in catalog has")), _ADOPT]
        return said, [_from_document(around), *more] if around.document else more
    complete = [status for status in statuses if status["state"] == "complete"]
    said = t(
        "Project {root}: {complete} of {artifacts} here.",
        root=where,
        complete=len(complete),
        artifacts=n("{count} artifact", "{count} artifacts", len(statuses)),
    )
    return said, _next_steps(statuses)


def _next_steps(statuses: Sequence[ArtifactStatus]) -> Steps:
    states = {status["state"] for status in statuses}
    if states & {"modified", "conflict"}:
        return [
            ("fetch check", t("name the files that are not as locked")),
            ("fetch all", t("bring what is missing; files of yours are left alone")),
            ("fetch status", t("how each artifact stands")),
        ]
    if states - {"complete"}:
        return [
            ("fetch all", t("download, verify and lay out what is missing")),
            ("fetch plan", t("what that would download, and how large it is")),
            ("fetch access", t("which repositories ask for an account")),
        ]
    return [
        ("fetch verify", t("load each model and run one inference")),
        ("fetch check", t("compare every file with fetch.lock")),
        ("fetch outdated", t("ask what has changed upstream")),
    ]


def _statuses(root: Path) -> Sequence[ArtifactStatus]:
    """How the artifacts stand, as `fetch status` has it."""
    from fetcher.commands import common
    from fetcher.config.project_choices import ON_DISK
    from fetcher.project.project import Project
    from fetcher.reporting.report import status_of_seal

    if not Project(root).own_manifests():
        return ()
    seal = common.sealed((), with_files=False)
    if seal is not None and seal.all_of_it:
        return status_of_seal(seal)
    from fetcher.operations.inspect_tree import status_report

    with common.workspace((), optional=True, quiet=True, readonly=True, uses=ON_DISK) as space:
        return status_report(space)[1]
