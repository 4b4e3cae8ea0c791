"""`fetch list`: the artifacts in reach."""

from __future__ import annotations

from pathlib import Path

import click

from fetcher.commands import common
from fetcher.errors import UsageError
from fetcher.i18n import n, t
from fetcher.project import names
from fetcher.project.manifest import Artifact
from fetcher.project.project import Project, find_root
from fetcher.project.spellings import VISIBILITIES, known_as
from fetcher.reporting import envelope
from fetcher.ui.table import Column, print_table, print_text

_COLUMNS = (
    Column(t("MANIFEST"), rank=2, least=8),
    Column(t("ARTIFACT"), least=20, at="middle"),
    Column(t("TASK"), rank=1, least=12),
    Column(t("FOR"), rank=5, least=24),
    Column(t("LICENSE"), rank=4, least=12),
    Column(t("SEEN BY"), rank=6, least=7),
    Column(t("SOURCE"), rank=3, least=24, at="middle"),
)


def describe(artifact: Artifact) -> dict[str, object]:
    """One artifact for JSON output."""
    return {
        "id": artifact.id,
        "manifest": artifact.manifest,
        "source": artifact.source.describe(),
        "mirrors": [source.describe() for source in artifact.mirrors],
        "optional": artifact.optional,
        "groups": list(artifact.groups),
        **{
            key: list(value) if isinstance(value, tuple) else value
            for key, value in names.described(artifact).items()
        },
    }


def _matches(artifact: Artifact, filters: dict[str, str | None]) -> bool:
    for field in ("task", "owner", "framework", "visibility"):
        wanted, found = filters[field], names.described(artifact).get(field, "")
        same = not wanted or wanted.lower() == str(found).lower()
        if not same and known_as(str(wanted), [str(found)]) is None:
            return False
    tags = [tag.lower() for tag in artifact.info.get("tags", ())]
    return not filters["tag"] or filters["tag"].lower() in tags


@click.command("list")
@common.manifests_argument
@click.option("--task", metavar="TASK", help="Only artifacts for this task.")
@click.option("--tag", metavar="TAG", help="Only artifacts with this tag.")
@click.option("--owner", metavar="OWNER", help="Only artifacts of this owner.")
@click.option("--framework", metavar="NAME", help="Only artifacts of this framework.")
@click.option(
    "--visibility",
    metavar="|".join(VISIBILITIES),
    help="Only artifacts that these may see.",
)
@click.option("--catalog", is_flag=True, help="List the built-in catalog as well.")
@common.json_option
def command(manifests: tuple[str, ...], as_json: bool, catalog: bool, **filters: str | None) -> int:
    """List the artifacts of the project's manifests; without any, of the built-in catalog."""
    seen = filters["visibility"]
    if seen is not None and known_as(seen, VISIBILITIES) is None:
        raise UsageError(
            t(
                "--visibility {seen}: expected one of {names}",
                seen=seen,
                names=", ".join(VISIBILITIES),
            )
        )
    project = Project(find_root(Path.cwd()))
    _, pairs = common.chosen(project, manifests)
    every = [pair for pair in pairs if _matches(pair[1], filters)]
    own = names.of_project(every)
    # (A catalog that nobody has asked for would bury what the project is about.)
    narrow = not (manifests or catalog) and bool(names.of_project(pairs))
    chosen = [artifact for _, artifact in (own if narrow else every)]
    if as_json:
        found = envelope.Answer({"artifacts": len(chosen)})
        found.results = [describe(artifact) for artifact in chosen]
        envelope.print_json(found)
        return 0
    if chosen:
        print_table(_COLUMNS, [_cells(artifact) for artifact in chosen])
    else:
        print_text(t("no artifact is like that") if any(filters.values()) else t("no artifact"))
    if chosen and not (own or manifests or catalog):
        print_text(t("\nthe built-in catalog; the project has no artifact of its own: `fetch add`"))
    if narrow and (others := len(every) - len(own)):
        print_text(
            n(
                "\nand {count:,} in the built-in catalog: `fetch list --catalog`",
                "\nand {count:,} in the built-in catalog: `fetch list --catalog`",
                others,
            )
        )
    return 0


def _cells(artifact: Artifact) -> tuple[str, ...]:
    name = artifact.id
    return (
        artifact.manifest,
        t("{name} (optional)", name=name) if artifact.optional else name,
        str(artifact.info.get("task", "")),
        str(artifact.info.get("purpose") or artifact.info.get("remarks", "")),
        str(artifact.info.get("license", "")),
        names.visibility_of(artifact),
        artifact.source.describe(),
    )
