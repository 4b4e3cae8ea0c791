"""The rankings of `fetch report` as one HTML page that needs nothing else."""

from __future__ import annotations

from fetcher.reporting.html import Html, document, join, tag
from fetcher.reporting.leaderboard import Leaderboard, Measurement, Ranking, shown, title_of

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 2rem; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #8886; }
th:nth-child(2), td:nth-child(2) { text-align: left; }
tr.first td { font-weight: 600; }
small { color: #888; }
"""


def page(found: Leaderboard, title: str) -> str:
    """The page for all rankings."""
    empty = [] if found.tables else [tag("p", "Nothing has been measured yet.")]
    return document(title, _STYLE, tag("h1", title), *empty, *map(_ranking, found.tables))


def _ranking(ranking: Ranking) -> Html:
    names = ("#", "model", *ranking.metrics, "device")
    head = tag("tr", *(tag("th", name) for name in names))
    rows = [_row(ranking, rank, item) for rank, item in ranking.rows]
    table = tag("div", tag("table", head, *rows), class_="wide")
    return join([tag("h2", title_of(ranking)), table])


def _row(ranking: Ranking, rank: int | None, item: Measurement) -> Html:
    about = " · ".join(filter(None, (item.artifact.full_name, item.artifact.info.get("owner"))))
    return tag(
        "tr",
        tag("td", rank or "-"),
        tag("td", item.artifact.name, Html("<br>"), tag("small", about)),
        *(tag("td", shown(name, item.metrics.get(name))) for name in ranking.metrics),
        tag("td", " ".join(filter(None, (item.device, item.dtype))) or "-"),
        class_="first" if rank == 1 else None,
    )
