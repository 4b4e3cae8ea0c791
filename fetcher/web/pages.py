"""What the read-only pages say: the catalog, one artifact, what was measured."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fetcher.reporting import leaderboard
from fetcher.reporting.leaderboard import Table
from fetcher.server.tokens import Identity
from fetcher.ui.units import human_bytes
from fetcher.web import plots
from fetcher.web.catalog_view import FACETS, Card, Shown, facets
from fetcher.web.i18n import Translator
from fetcher.web.messages import translated

PAGE = 50
FILES = 300
_TREE = 200
_FACTS = ("task", "framework", "owner", "licence", "visibility", "parameters", "min_vram")
_HASH = re.compile(r"[0-9a-f]{64}")


def catalog(
    shown: Shown, identity: Identity, params: Mapping[str, str], t: Translator
) -> dict[str, Any]:
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
        "facets": list(facets(cards).items()),
        "cards": found[(number - 1) * PAGE : number * PAGE],
        "total": len(found),
        "number": number,
        "pages": pages,
        "before": link(number - 1),
        "after": link(number + 1),
        "nothing": not cards,
        # A private artifact's manifest may be named there.
        "problems": [translated(text, t) for text in shown.problems if identity.upload],
    }


def find(cards: Iterable[Card], name: str) -> Card | None:
    """An artifact by manifest/id, or by an id or alias that only one has."""
    cards = list(cards)
    found = [card for card in cards if name == card.full_name]
    found = found or [card for card in cards if name == card.id]
    found = found or [card for card in cards if name in card.record.get("aliases", ())]
    return found[0] if len(found) == 1 else None


def artifact(card: Card, t: Translator, base: str) -> dict[str, Any]:
    """Everything about one artifact."""
    record = {**card.record, "licence": card.record.get("license")}
    return {
        "card": card,
        "facts": [(t(key), record[key]) for key in _FACTS if record.get(key)]
        + [(t(f"f.{key}"), _shown(record[key])) for key in _MORE if record.get(key)],
        "commands": list(_commands(card, t, base)),
        "proof": _proof(card.verified) if card.verified else None,
        "files": card.files[:FILES],
        "more_files": max(len(card.files) - FILES, 0),
        "tree": _tree(card, t),
    }


_MORE = ("tags", "class_path", "interface", "benchmarks", "metrics", "attributes", "params",
         "device", "max_batch_size", "citation")  # fmt: skip


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_shown(item)}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _commands(card: Card, t: Translator, base: str) -> Iterable[tuple[str, str]]:
    name = card.id
    here = f" --from {base}" if card.held else ""
    yield t("use_fetch"), f"fetch all {name}{here}\nfetch verify {name}"
    if card.repo and card.held:
        kind = next((k for k in ("dataset", "space") if card.source.startswith(f"hf:{k}s/")), "")
        repo = shlex.quote(card.repo) + (f" --repo-type {kind}" if kind else "")
        yield t("use_hub"), f"export HF_ENDPOINT={base}\nhf download {repo}"
        more = f", repo_type={kind!r}" if kind else ""
        code = f"snapshot_download({card.repo!r}{more}, endpoint={base!r})"
        yield t("use_python"), f"from huggingface_hub import snapshot_download\n{code}"
    elif card.held and card.files:
        path = quote(f"/files/{card.manifest}/{card.id}/{card.files[0].path}")
        yield t("use_files"), f"curl -fO {base}{path}"


def _tree(card: Card, t: Translator) -> str:
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
        lines.append(t("more_files", number=len(targets) - _TREE))
    return "\n".join(lines)


def _proof(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result of `fetch verify`, whatever somebody has put into the report."""
    metrics = result.get("metrics")
    metrics = metrics if isinstance(metrics, Mapping) else {}
    checks = [
        {
            "name": str(check.get("name", "")),
            "detail": str(check.get("detail", ""))[:500],
            "mark": "partial" if check.get("warning") else "ok" if check.get("ok") else "failed",
            "word": "warning" if check.get("warning") else "ok" if check.get("ok") else "failed",
        }
        for check in _dicts(result.get("checks"))
    ]
    tables = [
        {
            "name": str(table.get("name", "")),
            "caption": str(table.get("caption", "")),
            "columns": [str(name) for name in _list(table.get("columns"))],
            "rows": [
                [_cell(cell) for cell in _list(row)] for row in _list(table.get("rows"))[:100]
            ],
        }
        for table in _dicts(result.get("tables"))
    ]
    return {
        **{key: str(result.get(key) or "") for key in ("state", "type", "time", "reason", "hint")},
        "shown_time": _moment(str(result.get("time") or "")),
        "checks": checks[:100],
        "tables": tables,
        "metrics": [(key, _figure(key, metrics[key])) for key in metrics if _plain(metrics[key])],
        "pictures": list(pictures(result)),
    }


def _moment(time: str) -> str:
    """A time for people, to the minute; as it stands if it is none of ours."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):[\d.]+(\+00:00)?(.*)", time)
    return f"{found[1]} {found[2]} {'UTC' if found[3] else found[4]}".strip() if found else time


def pictures(result: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The pictures of a result that were kept."""
    for item in _dicts(result.get("pictures")):
        sha256 = item.get("sha256")
        if isinstance(sha256, str) and _HASH.fullmatch(sha256):
            sides = {key: item.get(key) for key in ("width", "height")}
            size = {key: side if isinstance(side, int) else 0 for key, side in sides.items()}
            texts = {key: str(item.get(key) or "") for key in ("name", "caption")}
            yield {"sha256": sha256, **size, **texts}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _cell(cell: Any) -> str:
    return "" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _figure(key: str, value: Any) -> str:
    if isinstance(value, int) and key.endswith("bytes"):
        return human_bytes(value)
    if isinstance(value, int):
        return f"{value:,}"
    return leaderboard.shown(key, value) if isinstance(value, float) else str(value)


def job(told: Mapping[str, Any], ended: bool) -> dict[str, Any]:
    """A verification: what failed, and why something was left out."""
    report = told.get("report") or {}
    skipped = [item for item in _dicts(report.get("results")) if item.get("state") == "skipped"]
    reasons = [str(item["reason"]) for item in skipped if item.get("reason")]
    problems = _dicts(report.get("errors"))
    return {"job": told, "ended": ended, "problems": problems, "reasons": reasons}


def board(shown: Shown, identity: Identity, root: Path | None, t: Translator) -> dict[str, Any]:
    """The rankings of what somebody may see."""
    if root is None:
        return {"tables": []}
    # A report names artifacts by id: where a private one has the same, nobody can tell whose it is.
    ids = Counter(artifact.id for _, artifact in shown.pairs)
    closed = {a.id for _, a in shown.pairs if a.info.get("visibility") == "private"}
    pairs = [pair for pair in shown.pairs if ids[pair[1].id] == 1 or pair[1].id not in closed]
    measured = [
        item
        for item in leaderboard.gather(root, pairs)
        if identity.may_see(item.artifact.full_name, item.artifact.info)
    ]
    found = leaderboard.board(measured, widest="private")
    return {"tables": [_table(table, t) for table in found.tables]}


def _table(table: Table, t: Translator) -> dict[str, Any]:
    order = "by_lower" if leaderboard.less_is_better(table.metric) else "by_higher"
    where = " · " + t("on_benchmark", benchmark=table.benchmark) if table.benchmark else ""
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
    plot = t("plot_of", metric=table.metric)
    return {
        "title": f"{t('other') if table.task == 'other' else table.task}{where}",
        "order": t(order, metric=table.metric),
        "metrics": table.metrics,
        "rows": rows,
        "plots": [
            plots.bars(ranked, plot),
            plots.scatter(points, plot + ", bpp", "bpp", table.metric),
        ],
    }
