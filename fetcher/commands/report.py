"""`fetch report`: what has been measured, ranked."""

from __future__ import annotations

from pathlib import Path

import click

from fetcher.commands import common
from fetcher.commands.output_files import OutputFile
from fetcher.errors import UsageError
from fetcher.i18n import echo, n, t
from fetcher.project.project import Project, find_root
from fetcher.project.spellings import metric_name, task_name
from fetcher.reporting import envelope, leaderboard
from fetcher.reporting.leaderboard import Leaderboard, Ranking
from fetcher.ui.table import Column, print_table, print_text


@click.command("report")
@common.manifests_argument
@common.into_option
@click.option("--metric", default="", metavar="NAME", help="Rank by this, such as psnr.")
@click.option("--task", default="", metavar="TASK", help="Only models for this task.")
@click.option(
    "--visibility",
    type=click.Choice(leaderboard.VISIBILITIES, case_sensitive=False),
    default="public",
    show_default=True,
    help="The least public models to include.",
)
@click.option(
    "--html",
    type=OutputFile("html"),
    metavar="FILE",
    help="Write the tables as one page.",
)
@common.json_option
def command(
    manifests: tuple[str, ...],
    into: Path | None,
    metric: str,
    task: str,
    visibility: str,
    html: Path | None,
    as_json: bool,
) -> int:
    """Rank what `fetch verify` has measured, by task and benchmark.

    Only models that are public: private ones, which are those that say nothing, and those of an
    organization stay out of the terminal, the JSON and the page, unless --visibility asks for them.
    """
    metric, task = metric and metric_name(metric), task and task_name(task)
    root = find_root(Path.cwd())
    project = Project(root)
    _, pairs = common.chosen(project, manifests)
    measured = leaderboard.measurements(into or root, pairs)
    known = sorted({name for item in measured for name in item.metrics})
    if metric and metric not in known:
        raise UsageError(
            t("--metric {metric}: nothing has been measured by it", metric=metric),
            t("measured: {known}", known=", ".join(known)) if known else t("fetch verify measures"),
        )
    board = leaderboard.board(measured, widest=visibility, metric=metric, task=task)
    result = envelope.Answer(
        {"artifacts": board.seen - board.hidden, "tables": len(board.tables)},
        results=leaderboard.to_json(board),
    )
    if html:
        from fetcher.reporting.ranking_page import page

        text = page(board, t("Measured in {name}", name=root.name))
        result.problems += common.write_report(html, text)
    if as_json:
        envelope.print_json(result)
    else:
        _print(board, visibility)
    envelope.print_problems(result.problems)
    return result.exit_code


def _print(board: Leaderboard, visibility: str) -> None:
    for table in board.tables:
        print_text(leaderboard.title_of(table))
        print_table(_columns(table), _rows(table))
        echo()
    if not board.seen:
        print_text(t("nothing has been measured yet: fetch verify"))
    if board.hidden:
        what = n("{count:,} measurement", "{count:,} measurements", board.hidden)
        print_text(
            t("{what} left out as not public", what=what)
            if visibility == "public"
            else t("{what} left out", what=what)
        )


def _columns(table: Ranking) -> list[Column]:
    """The first metric is what is ranked by: it stays the longest."""
    return [
        Column("#"),
        Column(t("MODEL"), least=12, at="middle"),
        *(Column(name.upper(), rank=n) for n, name in enumerate(table.metrics, 1)),
        Column(t("DEVICE"), rank=90, least=6),
        Column(t("SEEN BY"), rank=91),
    ]


def _rows(table: Ranking) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for rank, item in table.rows:
        figures = (leaderboard.shown(name, item.metrics.get(name)) for name in table.metrics)
        device = item.device or "-"
        name = item.artifact.full_name
        rows.append((str(rank or "-"), name, *figures, device, item.visibility))
    return rows
