"""`fetch init`: start a project."""

from __future__ import annotations

import re
from pathlib import Path

import click

from fetcher.commands import common
from fetcher.config.boundaries import check_output
from fetcher.errors import UsageError
from fetcher.i18n import echo, t
from fetcher.project.manifest import ID
from fetcher.project.project import Project, catalog_folder
from fetcher.register import changes
from fetcher.register.changes import Change
from fetcher.reporting import envelope
from fetcher.verify.contract.regular import read_regular_text
from fetcher.verify.host.environment import project_folder

_SETTINGS = """\
# Settings of this project; `fetch config` shows them all and where each comes from.
# jobs: 8
# link: auto
# runtime:
#   primary_model: sdxl
#   fallback_models: []
"""


@click.command("init")
@click.argument(
    "folder", default=".", type=click.Path(file_okay=False, path_type=Path), metavar="[FOLDER]"
)
@click.option(
    "--from",
    "template",
    metavar="MANIFEST",
    help="Begin with a copy of this manifest of the catalog and its layout.",
)
@click.option("--name", metavar="NAME", help="What the copy is called; default: as in the catalog.")
@common.json_option
def command(folder: Path, template: str | None, name: str | None, as_json: bool) -> int:
    """Start a project in FOLDER (default: here): fetch.yaml, manifests/ and layouts/.

    Files that are there already are left alone.
    """
    root = folder.absolute()
    if around := project_folder():  # a link of a clone's is not the folder that a person means
        check_output(around, root)
    edits = [Change("fetch.yaml", "", _SETTINGS)]
    if template:
        edits += _copies(template, name)
    elif name:
        raise UsageError(t("--name needs --from"), t("fetch init --from quickstart --name demo"))
    made = []
    for edit in edits:
        if (root / edit.path).exists():
            continue
        changes.write(root, [edit])
        made.append(edit.path)
    for sub in ("manifests", "layouts"):
        (root / sub).mkdir(parents=True, exist_ok=True)
    result = envelope.Answer({"root": str(root), "written": made})
    if as_json:
        envelope.print_json(result)
        return 0
    echo(
        t(
            "{root}: {which}",
            root=root,
            which=t("wrote {made}", made=", ".join(made))
            if made
            else t("nothing to do, all is there"),
        )
    )
    echo(t("next: fetch add hf:owner/name") if not template else t("next: fetch plan"))
    return 0


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
