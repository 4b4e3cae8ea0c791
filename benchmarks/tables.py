"""What was measured, as a table of ratios and as plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers import COPIED, DUMPED, HASHED, RECEIVED, UNSYNCED

_ROWS = (
    ("small", "10,000 files × 20 kB, cold"),
    ("nothing", "the same, nothing to do"),
    ("large", "one file of 2 GiB"),
    ("eight", "8 files of 256 MiB"),
)
_PEERS = (
    "curl --parallel",
    "curl, sha256sum",
    "aria2c",
    "requests pool",
    "hf download",
)


def table(found: dict[str, Any]) -> str:
    """How many times as long as `fetch all` each tool takes, as a Markdown table."""
    lines = [
        "| work | fetch all | " + " | ".join(_PEERS) + " |",
        "|---|---|" + "---|" * len(_PEERS),
    ]
    for key, label in _ROWS:
        costs = found.get(key)
        if not costs:
            continue
        ours = costs["fetch all"]["median"]
        cells = [
            f"{costs[name]['median'] / ours:.1f} ×" if name in costs else "–" for name in _PEERS
        ]
        lines.append(f"| {label} | {ours:.2f} s | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rounds(found: dict[str, Any]) -> str:
    """How often each tool has done each work of the table, hf download of the first row apart."""
    counts = {
        len(costs["seconds"])
        for key, _ in _ROWS
        for name, costs in found.get(key, {}).items()
        if (key, name) != ("small", "hf download")
    }
    return " to ".join(map(str, sorted({min(counts), max(counts)})))


def _details(found: dict[str, Any]) -> str:
    machine, versions = found["machine"], found["versions"]
    lines = [
        f"{found['date']}, medians of {_rounds(found)} rounds; {machine['cores']} cores "
        f"({machine['processor']}), {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}; nginx, the tools and the disk share the machine.",
        "",
        "; ".join(f"{name}: {text}" for name, text in versions.items()),
        "",
        table(found),
        "",
        "`fetch` checks every digest, brings all to disk, places the files and writes the lock; "
        "curl checks and places nothing, `hf download` checks no digest; none of the others waits "
        "for the disk.",
    ]
    lines += _limits(found)
    if "clone" in found:
        seconds = found["clone"]["fetch all"]["median"]
        lines += ["", f"A second clone, store filled, 10,000 files: {seconds:.2f} s."]
    if "nothing-100000" in found:
        seconds = found["nothing-100000"]["fetch all"]["median"]
        lines += [f"100,000 files, nothing to do: {seconds:.2f} s."]
    for work, used in found.get("memory", {}).items():
        text = ", ".join(f"{name} {size:.0f}" for name, size in used.items())
        lines += ["", f"Peak memory of all processes together, MB, {work}: {text}."]
    return "\n".join(lines) + "\n"


def _limits(found: dict[str, Any]) -> list[str]:
    """What the machine takes for the same bytes at least, and how many times that `fetch` takes."""
    lines = []
    for key, label in _ROWS:
        costs = found.get(key, {})
        there = [name for name in (COPIED, DUMPED, HASHED, RECEIVED) if name in costs]
        if not there or UNSYNCED not in costs:
            continue
        shown = ", ".join(f"{name} {costs[name]['median']:.2f} s" for name in there)
        synced, unsynced = costs["fetch all"]["median"], costs[UNSYNCED]["median"]
        lines += ["", f"The machine's own limit, {label}: {shown}."]
        for name in (COPIED, DUMPED):
            if name in costs:
                lines.append(f"`fetch all` takes {synced / costs[name]['median']:.2f} × {name}.")
        for name in ("curl --parallel", "requests pool"):
            if name in costs:
                ratio = unsynced / costs[name]["median"]
                lines.append(f"Without waiting for the disk it takes {ratio:.2f} × {name}.")
    return lines


def _plot(series: dict[str, dict[str, float]], label: str, target: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fetch"  # the same picture from the same figures
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    names = list(dict.fromkeys(name for values in series.values() for name in values))
    for name in names:
        points = [(int(n), values[name]) for n, values in series.items() if name in values]
        bold = 2.5 if name == "fetch all" else 1.2
        axes.plot(*zip(*points, strict=True), marker="o", linewidth=bold, label=name)
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


def write(found: dict[str, Any], folder: Path) -> None:
    """Write the table and the plots beside the figures."""
    (folder / "transfer.md").write_text(_details(found), "utf-8")
    if "files" in found:
        _plot(found["files"], "files of 20 kB", folder / "files.svg")
    if "sizes" in found:
        _plot(found["sizes"], "size of one file, MiB", folder / "sizes.svg")
    print(table(found))
