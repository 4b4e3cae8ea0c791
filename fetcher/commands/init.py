"""`fetch init`: start a project."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fetcher.commands import common, told_documents
from fetcher.config import settings as all_settings
from fetcher.config.boundaries import check_output
from fetcher.errors import UsageError
from fetcher.fs.nearest import nearest
from fetcher.i18n import echo, t
from fetcher.project.manifest import ID
from fetcher.project.project import Project, catalog_folder
from fetcher.register import changes
from fetcher.register.changes import Change
from fetcher.register.ci_templates import PLACES, text
from fetcher.reporting import envelope
from fetcher.tree.gitignore import repository_of
from fetcher.verify.contract.regular import read_regular_text
from fetcher.verify.host.environment import project_folder

if TYPE_CHECKING:
    from fetcher.operations.start_from_documents import Begun

_SETTINGS = """\
# Settings of this project; `fetch config` shows them all and where each comes from.
# jobs: 8
# link: auto
# runtime:
#   primary_model: sdxl
#   fallback_models: []
"""
# What sets up the merge driver of fetch.lock: for the repository, and for this clone.
MERGE_DRIVER = (
    "echo 'fetch.lock merge=fetch-lock' >> .gitattributes",
    "git config merge.fetch-lock.driver 'fetch lock --merge-driver %O %A %B'",
)


class _Folder(click.Path):
    """Where the project stands; a document in its place was meant for --from."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if os.path.isfile(value):
            raise UsageError(
                t("{file} is a file, not a project's folder", file=value),
                t("`fetch init --from {file}` begins with what it says", file=shlex.quote(value)),
            )
        return super().convert(value, param, ctx)


@click.command("init")
@click.argument(
    "folder", default=".", type=_Folder(file_okay=False, path_type=Path), metavar="[FOLDER]"
)
@click.option(
    "--from",
    "origins",
    multiple=True,
    metavar="DOCUMENT|MANIFEST",
    help="Begin with what this document says: a README, script, list, notebook, page's address, or "
    "a folder that has such; or with a copy of this manifest of the catalog. Repeatable.",
)
@click.option("--name", metavar="NAME", help="What the manifest is called.")
@click.option(
    "--ci",
    "services",
    multiple=True,
    type=click.Choice(sorted(PLACES)),
    help="Write a workflow that fetches and checks for this service as well.",
)
@click.option("--offline", is_flag=True, help="Do not ask whether the addresses are there.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@common.json_option
def command(
    folder: Path,
    origins: tuple[str, ...],
    name: str | None,
    services: tuple[str, ...],
    offline: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Start a project in FOLDER (default: here): fetch.yaml, manifests/ and layouts/.

    Files that are there already are left alone. With --from, the documents of a project become
    manifest and layout; nothing of them is run. Run again, it adds what is new in them. What they
    do not say plainly is listed, with its line.
    """
    root = Path(os.path.abspath(folder))
    if around := project_folder():  # a link of a clone's is not the folder that a person means
        check_output(around, root)
    template = _template(origins)
    if name and not origins:
        raise UsageError(t("--name needs --from"), t("`fetch init --from quickstart --name demo`"))
    begun = _begin(origins, root, name, offline) if origins and not template else None
    new = [Change("fetch.yaml", "", _SETTINGS)]
    new += _copies(template, name) if template else []
    new += [Change(PLACES[service], "", text(service)) for service in services]
    edits = [edit for edit in new if not (root / edit.path).exists()]
    edits += [edit for edit in begun.changes if edit.before != edit.after] if begun else []
    made = [] if dry_run else _write(root, edits, begun)
    result = envelope.Answer({"root": str(root), "written": made})
    if begun is not None:
        told_documents.answer(result, begun)
    if as_json:
        envelope.print_json(result)
        return 0
    if begun is not None:
        told_documents.tell(begun)
    if dry_run:
        echo(changes.diff(edits), end="")
        echo(t("nothing was written"))
        return 0
    if begun is None:
        _tell(root, made)
    else:
        told_documents.tell_written(made)
    _tell_of_services(root, [name for name in services if PLACES[name] not in made])
    if root != Path.cwd():
        echo(t("first: cd {folder}", folder=shlex.quote(os.path.relpath(root))))
    if begun is not None:
        told_documents.tell_next(root, begun)
    else:
        echo(t("next: fetch add hf:owner/name") if not template else t("next: fetch plan"))
        _tell_of_merges(root)
    return 0


def _write(root: Path, edits: Sequence[Change], begun: Begun | None) -> list[str]:
    """Write all of it; the files that were written or changed."""
    root.mkdir(parents=True, exist_ok=True)
    changes.write(root, edits)
    for sub in ("manifests", "layouts"):
        (root / sub).mkdir(exist_ok=True)
    made = [edit.path for edit in edits]
    if begun is not None and (begun.draft.artifacts or begun.had):
        from fetcher.operations.start_from_documents import ignore_placed

        made += [".gitignore"] if ignore_placed(root) else []
    return made


def _tell_of_merges(root: Path) -> None:
    if repository_of(root) is not None:
        echo(t("two branches that change fetch.lock merge by themselves after:"))
        for line in MERGE_DRIVER:
            echo(f"  {line}")


def _tell(root: Path, made: Sequence[str]) -> None:
    """What was written, and what belongs in git."""
    echo(
        t(
            "{root}: {which}",
            root=root,
            which=t("wrote {made}", made=", ".join(made))
            if made
            else t("nothing to do, all is there"),
        )
    )
    if repository_of(root) is not None:
        echo(t("commit to git: fetch.yaml, manifests/, layouts/, and later fetch.lock, .gitignore"))
        echo(t("not .fetch/ and the files that are fetched: `fetch all` has git ignore them"))


def _tell_of_services(root: Path, there: Sequence[str]) -> None:
    """A workflow that is there already is the person's own."""
    for service in there:
        if text(service) != changes.read_text(root, PLACES[service]):
            echo(
                t(
                    "{path} is there already and is left as it is; what belongs in it: "
                    "`fetch all --locked`, then `fetch check`",
                    path=PLACES[service],
                )
            )


def _template(origins: Sequence[str]) -> str:
    """The manifest of the catalog that `--from` names, "" for documents. Raises UsageError."""
    catalog = {path.stem for path in catalog_folder("manifests").glob("*.yaml")}
    named = [origin for origin in origins if origin in catalog]
    if named and len(origins) > 1:
        raise UsageError(
            t("--from {name} is a manifest of the catalog: it goes alone", name=named[0]),
            t("a file or folder of that name: --from ./{name}", name=named[0]),
        )
    return named[0] if named else ""


def _begin(origins: Sequence[str], root: Path, name: str | None, offline: bool) -> Begun:
    for origin in origins:
        if not origin or (not re.match(r"https?://", origin) and not Path(origin).exists()):
            raise UsageError(
                t("--from {origin}: no such file, folder or manifest", origin=origin or "''"),
                _instead_of(origin),
            )
    if name and not re.fullmatch(ID, name):
        raise UsageError(
            t("--name {chosen}: expected letters, digits, '_', '-' and '.'", chosen=name)
        )
    settings = all_settings.load(root, {"offline": offline})
    settings.check()
    common.tell_choices(settings)
    from fetcher.operations.start_from_documents import begin

    return begin(origins, root, name or "", settings)


def _instead_of(origin: str) -> str:
    """What to type where `--from` names nothing that is there."""
    if repository := re.match(r"github:([\w.-]+/[\w.-]+)", origin):
        return t(
            "`fetch init --from https://github.com/{repository}` reads its README",
            repository=repository[1],
        )
    if re.match(r"[a-z][a-z0-9-]+:(?!//)\S", origin):
        return t("a single source: `fetch add {source}`", source=shlex.quote(origin))
    names = Project(Path("/nonexistent")).names()
    if close := nearest(origin, names):
        return t("did you mean {close!r}?", close=close)
    return t("a README or script, `.` for this folder, or one of: {names}", names=", ".join(names))


def _copies(template: str, name: str | None) -> list[Change]:
    """A catalog manifest and its layout, renamed."""
    project = Project(Path("/nonexistent"))
    unit = project.load([template])[0]
    source, layout = unit.manifest.path, unit.manifest.layout
    assert source is not None
    chosen = name or unit.manifest.name
    if not re.fullmatch(ID, chosen):
        raise UsageError(
            t("--name {chosen}: expected letters, digits, '_', '-' and '.'", chosen=chosen)
        )
    text = read_regular_text(source)
    placed = (catalog_folder("layouts") / f"{layout}.yaml").read_text("utf-8")
    return [
        Change(
            f"manifests/{chosen}.yaml",
            "",
            _renamed(
                _renamed(text, "manifest", unit.manifest.name, chosen), "layout", layout, chosen
            ),
        ),
        Change(f"layouts/{chosen}.yaml", "", _renamed(placed, "layout", layout, chosen)),
    ]


def _renamed(text: str, key: str, old: str, new: str) -> str:
    return text.replace(f"\n{key}: {old}\n", f"\n{key}: {new}\n").replace(
        f"{key}: {old}\n", f"{key}: {new}\n", 1
    )
