"""What the read-only pages say: the catalog, one artifact, what was measured."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote, urlencode

from fetcher.i18n import revived
from fetcher.mirror.inventory import ArtifactRecord
from fetcher.project.names import visibility_of
from fetcher.register.form import BY_KEY
from fetcher.reporting import leaderboard
from fetcher.reporting.leaderboard import Ranking
from fetcher.server.tokens import Identity
from fetcher.ui.units import human_bytes
from fetcher.web import plots
from fetcher.web.catalog_view import FACETS, Catalog, CatalogCard, facets
from fetcher.web.i18n import Translator
from fetcher.web.labels import FACETS as FACET_LABELS
from fetcher.web.labels import FACTS, STATES
from fetcher.web.render import TemplateValues
from fetcher.web.verify_jobs import VerifyJob
from fetcher.yamldoc.json_fields import JsonFields

PAGE = 50
FILES = 300
_TREE = 200
_HASH = re.compile(r"[0-9a-f]{64}")


def catalog(
    shown: Catalog, identity: Identity, params: Mapping[str, str], tr: Translator
) -> TemplateValues:
    """One page of the artifacts that fit the filters."""
    cards = shown.visible(identity)
    wanted = {key: params.get(key, "")[:200] for key in ("q", *FACETS)}
    found = [card for card in cards if card.fits(wanted)]
    pages = max(-(-len(found) // PAGE), 1)
    text = params.get("page", "")
    number = min(max(int(text), 1), pages) if re.fullmatch(r"\d{1,6}", text) else 1
    kept = {key: value for key, value in wanted.items() if value}

    def link(page: int) -> str:
        return urlencode({**kept, "page": page}) if 1 <= page <= pages else ""

    return {
        "wanted": wanted,
        "labels": FACET_LABELS,
        "states": STATES,
        "facets": list(facets(cards).items()),
        "cards": found[(number - 1) * PAGE : number * PAGE],
        "total": len(found),
        "number": number,
        "pages": pages,
        "before": link(number - 1),
        "after": link(number + 1),
        "nothing": not cards,
        # A private artifact's manifest may be named there.
        "problems": [tr.say(text) for text in shown.problems if identity.upload],
    }


def find(cards: Iterable[CatalogCard], name: str) -> CatalogCard | None:
    """An artifact by manifest/id, or by an id or alias that only one has."""
    cards = list(cards)
    found = [card for card in cards if name == card.full_name]
    found = found or [card for card in cards if name == card.id]
    found = found or [card for card in cards if name in card.record.texts("aliases")]
    return found[0] if len(found) == 1 else None


def artifact(card: CatalogCard, tr: Translator, base: str) -> TemplateValues:
    """Everything about one artifact."""
    record = {**card.record.values, "licence": card.record.get("license")}
    return {
        "card": card,
        "states": STATES,
        "facts": [(tr.say(label), record[key]) for key, label in FACTS.items() if record.get(key)]
        + [(tr.say(BY_KEY[key].label), _shown(record[key])) for key in _MORE if record.get(key)],
        "commands": list(_commands(card, tr, base)),
        "proof": _proof(card.verified, tr) if card.verified else None,
        "files": card.files[:FILES],
        "more_files": max(len(card.files) - FILES, 0),
        "tree": _tree(card, tr),
    }


_MORE = ("tags", "class_path", "interface", "benchmarks", "metrics", "attributes", "params",
         "device", "max_batch_size", "repository_type", "code", "citation")  # fmt: skip


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_shown(item)}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _commands(card: CatalogCard, tr: Translator, base: str) -> Iterable[tuple[str, str]]:
    name = card.id
    here = f" --from {base}" if card.held else ""
    yield tr("In a project"), f"fetch all {name}{here}\nfetch verify {name}"
    if card.repo and card.held:
        kind = next((k for k in ("dataset", "space") if card.source.startswith(f"hf:{k}s/")), "")
        repo = shlex.quote(card.repo) + (f" --repo-type {kind}" if kind else "")
        yield tr("With any Hugging Face client"), f"export HF_ENDPOINT={base}\nhf download {repo}"
        more = f", repo_type={kind!r}" if kind else ""
        code = f"snapshot_download({card.repo!r}{more}, endpoint={base!r})"
        yield tr("In Python"), f"from huggingface_hub import snapshot_download\n{code}"
    elif card.held and card.files:
        path = quote(f"/files/{card.manifest}/{card.id}/{card.files[0].path}")
        yield tr("The files, by curl"), f"curl -fO {base}{path}"


def _tree(card: CatalogCard, tr: Translator) -> str:
    """The folders and files where the layout puts them, indented."""
    targets = sorted(target for file in card.files for target in file.targets)
    lines: list[str] = []
    above: list[str] = []
    for target in targets[:_TREE]:
        *folders, name = target.split("/")
        same = 0
        while same < min(len(above), len(folders)) and above[same] == folders[same]:
            same += 1
        lines += ["  " * depth + folders[depth] + "/" for depth in range(same, len(folders))]
        lines.append("  " * len(folders) + name)
        above = folders
    if len(targets) > _TREE:
        lines.append(
            tr.n("… and {count} more file", "… and {count} more files", len(targets) - _TREE)
        )
    return "\n".join(lines)


def _proof(result: JsonFields, tr: Translator) -> TemplateValues:
    """A result of `fetch verify`, whatever somebody has put into the report."""
    metrics = result.object("metrics").values
    tables = [
        {
            "name": str(table.get("name") or ""),
            "caption": str(table.get("caption") or ""),
            "columns": [str(name) for name in table.items("columns")],
            "rows": [
                [_cell(cell) for cell in row]
                for row in table.items("rows")[:100]
                if isinstance(row, list)
            ],
        }
        for table in result.objects("tables")
    ]
    return {
        **{key: str(result.get(key) or "") for key in ("state", "type", "time")},
        **{key: tr.say(str(result.get(key) or "")) for key in ("reason", "hint")},
        "shown_time": _moment(str(result.get("time") or "")),
        "checks": [_check(check, tr) for check in result.objects("checks")][:100],
        "tables": tables,
        "metrics": [(key, _figure(key, metrics[key])) for key in metrics if _plain(metrics[key])],
        "pictures": list(pictures(result)),
    }


def _check(check: JsonFields, tr: Translator) -> dict[str, str]:
    word = "warning" if check.get("warning") else "ok" if check.get("ok") else "failed"
    return {
        "name": tr.say(str(check.get("name") or "")),
        "detail": tr.say(str(check.get("detail") or "")[:500]),
        "mark": "partial" if word == "warning" else word,
        "word": word,
    }


def _moment(time: str) -> str:
    """A time for people, to the minute; as it stands if it is none of ours."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):[\d.]+(\+00:00)?(.*)", time)
    return f"{found[1]} {found[2]} {'UTC' if found[3] else found[4]}".strip() if found else time


class KeptPicture(TypedDict):
    """A picture of a result that was kept; its sides in pixels."""

    sha256: str
    name: str
    caption: str
    width: int
    height: int


def pictures(result: JsonFields) -> Iterable[KeptPicture]:
    """The pictures of a result that were kept."""
    for item in result.objects("pictures"):
        if _HASH.fullmatch(item.text("sha256")):
            yield {
                "sha256": item.text("sha256"),
                "name": str(item.get("name") or ""),
                "caption": str(item.get("caption") or ""),
                "width": item.whole("width"),
                "height": item.whole("height"),
            }


def _cell(cell: object) -> str:
    return "" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _plain(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _figure(key: str, value: object) -> str:
    if isinstance(value, int) and key.endswith("bytes"):
        return human_bytes(value)
    if isinstance(value, int):
        return f"{value:,}"
    return leaderboard.shown(key, value) if isinstance(value, float) else str(value)


def job(job: VerifyJob, tr: Translator) -> TemplateValues:
    """A verification: what failed, and why something was left out."""
    report = JsonFields.of(job.report)
    skipped = [item for item in report.objects("results") if item.get("state") == "skipped"]
    return {
        "job": job.to_json(),
        "states": STATES,
        "ended": job.ended is not None,
        "problems": [
            {
                "message": tr.say(revived(item.values, item.text("message"))),
                "hint": tr.say(item.text("hint")),
            }
            for item in report.objects("errors")
        ],
        "reasons": [tr.say(item.text("reason")) for item in skipped if item.text("reason")],
    }


def board(shown: Catalog, identity: Identity, root: Path | None, tr: Translator) -> TemplateValues:
    """The rankings of what somebody may see."""
    if root is None:
        return {"tables": []}
    # A report names artifacts by id: where a private one has the same, nobody can tell whose it is.
    ids = Counter(artifact.id for _, artifact in shown.pairs)
    closed = {a.id for _, a in shown.pairs if visibility_of(a) != "public"}
    pairs = [pair for pair in shown.pairs if ids[pair[1].id] == 1 or pair[1].id not in closed]
    measured = [
        item
        for item in leaderboard.measurements(root, pairs)
        if identity.may_see(item.artifact.full_name, ArtifactRecord(item.artifact.info))
    ]
    found = leaderboard.board(measured, widest="private")
    return {"tables": [_table(table, tr) for table in found.tables]}


def _table(table: Ranking, tr: Translator) -> TemplateValues:
    order = (
        tr("by {metric}, lower is better", metric=table.metric)
        if leaderboard.less_is_better(table.metric)
        else tr("by {metric}, higher is better", metric=table.metric)
    )
    where = " · " + tr("on {benchmark}", benchmark=table.benchmark) if table.benchmark else ""
    rows = [
        {
            "rank": rank,
            "manifest": item.artifact.manifest,
            "id": item.artifact.id,
            "name": item.artifact.name,
            "device": " ".join(filter(None, (item.device, item.dtype))),
            "figures": [leaderboard.shown(m, item.metrics.get(m)) for m in table.metrics],
        }
        for rank, item in table.rows
    ]
    ranked = [
        (item.artifact.name, item.metrics[table.metric], leaderboard.shown(table.metric, value))
        for _, item in table.rows[:20]
        if (value := item.metrics.get(table.metric)) is not None
    ]
    points = [
        (item.artifact.name, item.metrics["bpp"], item.metrics[table.metric])
        for _, item in table.rows[:50]
        if table.metric != "bpp" and {"bpp", table.metric} <= item.metrics.keys()
    ]
    plot = tr("Plot of {metric}", metric=table.metric)
    return {
        "title": (tr("other") if table.task == "other" else table.task) + where,
        "order": order,
        "metrics": table.metrics,
        "rows": rows,
        "plots": [
            plots.bars(ranked, plot),
            plots.scatter(points, plot + ", bpp", "bpp", table.metric),
        ],
    }
