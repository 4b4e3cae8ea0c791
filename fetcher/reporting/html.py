"""The report of `fetch verify` as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fetcher import __version__
from fetcher.fs.safe_paths import printable
from fetcher.ui.units import human_bytes
from fetcher.verify.contract.protocol import METRICS, ProbeResult

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
    counts = [
        f'<span class="{state}">{number} {state}</span>'
        for state in ("passed", "failed", "skipped")
        if (number := sum(result.state == state for result in results))
    ]
    when = time.strftime("%Y-%m-%d %H:%M %Z")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>fetch verify: {_text(title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{_text(title)}</h1>",
        f'<p class="soft">{when}, {seconds:.1f} s, fetch {_text(__version__)}</p>',
        f"<p>{', '.join(counts) or 'no probes'}</p>",
        _overview(results),
        *(_section(n, *pair) for n, pair in enumerate(zip(results, golden, strict=True))),
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _overview(results: Sequence[ProbeResult]) -> str:
    rows = []
    for number, result in enumerate(results):
        metrics = result.metrics
        cells = [
            f'<td><a href="#a{number}">{_text(result.artifact)}</a></td>',
            f"<td>{_text(result.type or '-')}</td>",
            f'<td class="state {result.state}">{result.state}</td>',
            *(
                f'<td class="n">{_text(cell)}</td>'
                for cell in (
                    _number(metrics.get("parameters")),
                    _seconds(metrics.get("load_seconds")),
                    _seconds(metrics.get("infer_seconds")),
                    _size(metrics.get("peak_memory_bytes")),
                    _size(metrics.get("peak_gpu_memory_bytes")),
                )
            ),
            f"<td>{_text(metrics.get('device') or '-')}</td>",
            f"<td>{_text(metrics.get('dtype') or '-')}</td>",
        ]
        rows.append("<tr>" + "".join(cells) + "</tr>")
    plain = ("artifact", "probe", "result")
    numbers = ("parameters", "load", "inference", "memory", "GPU memory")
    heads = [f"<th>{name}</th>" for name in plain]
    heads += [f'<th class="n">{name}</th>' for name in numbers]
    heads += ["<th>device</th>", "<th>dtype</th>"]
    return (
        '<section><div class="scroll"><table><thead><tr>'
        + "".join(heads)
        + "</tr></thead><tbody>"
        + "".join(rows)
        + "</tbody></table></div></section>"
    )


def _section(number: int, result: ProbeResult, golden: str) -> str:
    parts = [
        f'<section id="a{number}"><h2>{_text(result.artifact)} '
        f'<span class="state {result.state}">{result.state}</span></h2>',
        f'<p class="soft">{_text(result.type or "no probe")}</p>',
    ]
    if result.reason:
        hint = f'<p class="soft">hint: {_text(result.hint)}</p>' if result.hint else ""
        parts.append(
            f'<div class="reason {result.state}"><p>{_text(result.reason)}</p>{hint}</div>'
        )
    parts += [_figure(picture) for picture in result.pictures]
    for table in result.tables:
        caption = f'<p class="soft">{_text(table.caption)}</p>' if table.caption else ""
        parts.append(f"<h3>{_text(table.name)}</h3>{caption}" + _table(table.columns, table.rows))
    if result.checks:
        parts.append("<h3>Checks</h3>" + _checks(result))
    if result.metrics.get("seconds") is not None:
        parts.append("<h3>Metrics</h3>" + _metrics(result.metrics, golden))
    if result.log:
        parts.append(
            f"<details><summary>last lines of the log</summary><pre>{_lines(result.log)}</pre>"
            "</details>"
        )
    return "\n".join([*parts, "</section>"])


def _figure(picture: Any) -> str:
    data = base64.b64encode(picture.png).decode()
    label = f"{picture.name}: {picture.caption}" if picture.caption else picture.name
    return (
        f'<figure><img width="{picture.width}" height="{picture.height}" alt="{_text(label)}" '
        f'src="data:image/png;base64,{data}"><figcaption>{_text(label)}</figcaption></figure>'
    )


def _checks(result: ProbeResult) -> str:
    rows = []
    for check in result.checks:
        kind = "warning" if check.warning else "ok" if check.ok else "bad"
        word = {"warning": "warning", "ok": "ok", "bad": "failed"}[kind]
        rows.append(
            f'<tr><td class="state {kind}">{word}</td><td>{_text(check.name)}</td>'
            f"<td>{_text(check.detail)}</td></tr>"
        )
    return f'<div class="scroll"><table><tbody>{"".join(rows)}</tbody></table></div>'


def _metrics(metrics: Mapping[str, Any], golden: str) -> str:
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
    libraries = metrics.get("libraries") or {}
    rows.append(("libraries", ", ".join(f"{name} {text}" for name, text in libraries.items())))
    rows.append(("interpreter", str(metrics.get("python", ""))))
    return _table(("metric", "value"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    first = rows[0] if rows else [""] * len(heads)
    titles = "".join(
        f"<th{_align(cell)}>{_text(head)}</th>" for head, cell in zip(heads, first, strict=False)
    )
    body = "".join(
        "<tr>" + "".join(f"<td{_align(cell)}>{_text(_cell(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _align(cell: Any) -> str:
    return ' class="n"' if isinstance(cell, (int, float)) and not isinstance(cell, bool) else ""


def _cell(cell: Any) -> str:
    return "" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "-"


def _seconds(value: Any) -> str:
    return f"{value:.2f} s" if isinstance(value, (int, float)) else "-"


def _size(value: Any) -> str:
    return human_bytes(value) if isinstance(value, (int, float)) else "-"


def _text(value: Any) -> str:
    return escape(printable(str(value)))


def _lines(text: str) -> str:
    return "\n".join(_text(line) for line in text.splitlines())
