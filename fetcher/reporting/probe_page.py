"""The report of `fetch verify` as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence

from fetcher import __version__
from fetcher.reporting.html import Html, document, lines, table, tag
from fetcher.ui.units import human_bytes
from fetcher.verify.contract.exhibits import Picture
from fetcher.verify.contract.protocol import METRICS, ProbeResult
from fetcher.yamldoc.json_fields import JsonFields

_STYLE = """
:root { color-scheme: light dark; --line: #d8dce2; --soft: #5b6472; --good: #1a7f37;
  --bad: #c3222b; --warn: #9a6700; --card: #ffffff; --page: #f6f7f9; --ink: #1d2430; }
@media (prefers-color-scheme: dark) { :root { --line: #353c47; --soft: #9aa4b2; --good: #4ac26b;
  --bad: #ff7b72; --warn: #d9a520; --card: #1b2029; --page: #12161c; --ink: #e4e8ee; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK KR", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 0; }
h3 { font-size: .95rem; margin: 1.25rem 0 .4rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem 1.25rem; margin: 1rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n { text-align: right; white-space: nowrap; } th.n { text-align: right; }
.passed, .ok { color: var(--good); } .failed, .bad { color: var(--bad); }
.skipped, .warning { color: var(--warn); }
.state { font-weight: 600; white-space: nowrap; } a { color: inherit; }
.reason { border-left: 3px solid var(--bad); padding: .2rem .75rem; margin: .75rem 0; }
.reason.skipped { border-color: var(--warn); color: inherit; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; max-width: 100%; }
figure img { max-width: 100%; height: auto; border-radius: 4px; border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: .85rem; }
pre { overflow-x: auto; background: var(--page); padding: .75rem; border-radius: 4px;
  font-size: .8rem; }
summary { cursor: pointer; color: var(--soft); }
"""
_TIMINGS = (
    ("load", "load_seconds"),
    ("inference", "infer_seconds"),
    ("whole process", "seconds"),
)
_MEMORY = (
    ("peak host memory", "peak_memory_bytes"),
    ("peak resident", "peak_resident_bytes"),
    ("peak GPU memory", "peak_gpu_memory_bytes"),
)


def page(results: Sequence[ProbeResult], golden: Sequence[str], title: str, seconds: float) -> str:
    """The page for all results, in their order; `golden` says how each compares with before."""
    counts: list[object] = []
    for state in ("passed", "failed", "skipped"):
        if number := sum(result.state == state for result in results if result.type):
            counts += [", " if counts else "", tag("span", f"{number} {state}", class_=state)]
    if number := sum(not result.type for result in results):
        told = f"{number} without a probe"
        counts += [", " if counts else "", tag("span", told, class_="skipped")]
    when = time.strftime("%Y-%m-%d %H:%M %Z")
    main = tag(
        "main",
        tag("h1", title),
        tag("p", f"{when}, {seconds:.1f} s, fetch {__version__}", class_="soft"),
        tag("p", *(counts or ["no probes"])),
        _overview(results),
        *(_section(n, *pair) for n, pair in enumerate(zip(results, golden, strict=True))),
    )
    return document(f"fetch verify: {title}", _STYLE, main)


def _overview(results: Sequence[ProbeResult]) -> Html:
    numbers = ("parameters", "load", "inference", "memory", "GPU memory")
    heads = [
        *(tag("th", name) for name in ("artifact", "probe", "result")),
        *(tag("th", name, class_="n") for name in numbers),
        *(tag("th", name) for name in ("device", "dtype")),
    ]
    return tag("section", table(heads, [_row(n, result) for n, result in enumerate(results)]))


def _row(number: int, result: ProbeResult) -> Html:
    metrics = result.metrics
    figures = (
        _number(metrics.get("parameters")),
        _seconds(metrics.get("load_seconds")),
        _seconds(metrics.get("infer_seconds")),
        _size(metrics.get("peak_memory_bytes")),
        _size(metrics.get("peak_gpu_memory_bytes")),
    )
    return tag(
        "tr",
        tag("td", tag("a", result.artifact, href=f"#a{number}")),
        tag("td", result.type or "-"),
        tag("td", result.state, class_=f"state {result.state}"),
        *(tag("td", figure, class_="n") for figure in figures),
        tag("td", metrics.get("device") or "-"),
        tag("td", metrics.get("dtype") or "-"),
    )


def _section(number: int, result: ProbeResult, golden: str) -> Html:
    state = tag("span", result.state, class_=f"state {result.state}")
    parts = [
        tag("h2", result.artifact, " ", state),
        tag("p", result.type or "no probe", class_="soft"),
    ]
    if result.reason:
        hint = tag("p", f"hint: {result.hint}", class_="soft") if result.hint else ""
        parts.append(tag("div", tag("p", result.reason), hint, class_=f"reason {result.state}"))
    parts += [_figure(picture) for picture in result.pictures]
    for shown in result.tables:
        parts.append(tag("h3", shown.name))
        parts += [tag("p", shown.caption, class_="soft")] if shown.caption else []
        parts.append(_table(shown.columns, shown.rows))
    if result.checks:
        parts += [tag("h3", "Checks"), _checks(result)]
    if result.metrics.get("seconds") is not None:
        parts += [tag("h3", "Metrics"), _metrics(result.metrics, golden)]
    if result.log:
        summary = tag("summary", "last lines of the log")
        parts.append(tag("details", summary, tag("pre", lines(result.log))))
    return tag("section", *parts, id=f"a{number}")


def _figure(picture: Picture) -> Html:
    label = f"{picture.name}: {picture.caption}" if picture.caption else picture.name
    image = tag(
        "img",
        width=picture.width,
        height=picture.height,
        alt=label,
        src=f"data:image/png;base64,{base64.b64encode(picture.png).decode()}",
    )
    return tag("figure", image, tag("figcaption", label))


def _checks(result: ProbeResult) -> Html:
    rows = []
    for check in result.checks:
        kind = "warning" if check.warning else "ok" if check.ok else "bad"
        word = {"warning": "warning", "ok": "ok", "bad": "failed"}[kind]
        state = tag("td", word, class_=f"state {kind}")
        rows.append(tag("tr", state, tag("td", check.name), tag("td", check.detail)))
    return table([], rows)


def _metrics(metrics: Mapping[str, object], golden: str) -> Html:
    rows: list[tuple[str, str]] = [
        (label, _seconds(metrics.get(key))) for label, key in _TIMINGS if metrics.get(key)
    ]
    rows += [(label, _size(metrics.get(key))) for label, key in _MEMORY if metrics.get(key)]
    if metrics.get("parameters") is not None:
        rows.append(("parameters", _number(metrics["parameters"])))
    rows += [(key, str(metrics[key])) for key in ("device", "dtype") if metrics.get(key)]
    known = {*METRICS, "libraries", "python"}
    rows += [
        (key.replace("_", " "), str(value))
        for key, value in metrics.items()
        if key not in known and value is not None
    ]
    if golden:
        rows.append(("compared with before", golden))
    libraries = JsonFields(metrics).object("libraries").values
    rows.append(
        ("libraries", ", ".join(f"{name} {version}" for name, version in libraries.items()))
    )
    rows.append(("interpreter", str(metrics.get("python", ""))))
    return _table(("metric", "value"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Html:
    first = rows[0] if rows else [""] * len(heads)
    titles = [
        tag("th", head, class_=_align(cell)) for head, cell in zip(heads, first, strict=False)
    ]
    body = [
        tag("tr", *(tag("td", _cell(cell), class_=_align(cell)) for cell in row)) for row in rows
    ]
    return table(titles, body)


def _align(cell: object) -> str:
    """The class of a cell: figures stand at the right."""
    return "n" if isinstance(cell, (int, float)) and not isinstance(cell, bool) else ""


def _cell(cell: object) -> str:
    return "" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "-"


def _seconds(value: object) -> str:
    return f"{value:.2f} s" if isinstance(value, (int, float)) else "-"


def _size(value: object) -> str:
    return human_bytes(value) if isinstance(value, (int, float)) else "-"
