"""`.fetch/reports/`: what commands leave behind for others to read, one JSON report each."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fetcher.errors import Failure
from fetcher.fs.atomic import write_atomically
from fetcher.fs.boundary import open_own, write_own
from fetcher.reporting.envelope import SCHEMA, Answer, print_json
from fetcher.reporting.report import Report
from fetcher.tree.state import FOLDER, State
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import read_regular
from fetcher.yamldoc.json_fields import JsonFields

_PLACE = f"{FOLDER}/reports"
_LARGEST = 64 * 1024 * 1024
_HISTORY = 20  # earlier results that are kept of each artifact
_OF_HISTORY = ("device", "dtype", "load_seconds", "infer_seconds", "peak_memory_bytes", "seconds")


@dataclass(frozen=True)
class SavedReport:
    """What a command left: whatever lies there is only data, read field by field."""

    summary: JsonFields = field(default_factory=JsonFields)
    results: list[JsonFields] = field(default_factory=list)


def folder_of(tree: Path) -> Path:
    """Where the reports of a tree lie."""
    return tree / _PLACE


def save(tree: Path, name: str, report: Answer | Report) -> None:
    """Keep a command's report as `name`.json, in place of the one before. Raises OSError."""
    State(tree).ensure_folder()
    text = io.StringIO()
    print_json(report, text)
    write_own(tree, f"{_PLACE}/{name}.json", text.getvalue().encode())


def save_results(tree: Path, name: str, report: Answer | Report, now: str) -> None:
    """Keep a report whose `results` are about single artifacts, by their `manifest` and `artifact`.

    What an earlier run found out about others stays. A skip proves nothing: it takes the place of
    another skip alone, and is noted as `skipped` beside what was found before. `now` (ISO 8601) is
    noted with each result; `history` has the ones before, newest first, 20 at most. Raises OSError.
    """
    before: dict[tuple[str, str], JsonFields] = {}
    for item in read(folder_of(tree) / f"{name}.json").results:
        before[_about(item)] = item
    found = {key: dict(item.values) for key, item in before.items()}
    for result in report.results or ():
        fresh = JsonFields.of(result)
        key = _about(fresh)
        # Older versions did not say which manifest.
        old = before.get(key) or before.get(("", key[1]))
        found.pop(("", key[1]), None)
        found[key] = _after(old, {**result, "time": now})
    save(tree, name, replace(report, results=list(found.values())))


def _about(result: JsonFields) -> tuple[str, str]:
    return result.text("manifest"), result.text("artifact")


def _after(old: JsonFields | None, fresh: dict[str, object]) -> dict[str, object]:
    """A result with what was found before it."""
    if old is None:
        return fresh
    if fresh.get("state") == "skipped" and old.text("state") not in ("", "skipped"):
        skip = {"time": fresh["time"], "reason": fresh.get("reason", "")}
        return {**old.values, "manifest": fresh.get("manifest", ""), "skipped": skip}
    metrics = old.object("metrics").values
    entry = {key: old.get(key) for key in ("time", "state", "reason", "golden", "type")}
    entry["metrics"] = {key: metrics[key] for key in _OF_HISTORY if key in metrics}
    earlier = [dict(item.values) for item in old.objects("history")]
    return {**fresh, "history": [entry, *earlier][:_HISTORY]}


def keep_results(tree: Path, name: str, report: Answer | Report) -> None:
    """As `save_results`, now; a tree that cannot be written keeps nothing, and that is no error."""
    from datetime import datetime, timezone

    now = datetime.now(timezone.utc).replace(microsecond=0).isoformat()
    with suppress(OSError, Failure):
        save_results(tree, name, report, now)


def keep_pictures(tree: Path, pictures: Mapping[str, bytes]) -> None:
    """Keep PNGs by their sha256, and remove those that no result of `verify` names any more.

    As `keep_results`, a tree that cannot be written keeps nothing.
    """
    results = read(folder_of(tree) / "verify.json").results
    named = {picture.text("sha256") for item in results for picture in item.objects("pictures")}
    with (
        suppress(OSError, Failure),
        open_own(tree, f"{_PLACE}/pictures", create=bool(pictures)) as folder,
    ):
        for sha256, png in pictures.items():
            write_atomically(Path(folder.at(f"{sha256}.png")), png)
        for name in os.listdir(folder.at(".")):
            if name.endswith(".png") and name[:-4] not in named:
                os.unlink(folder.at(name))


def picture(tree: Path, sha256: str) -> bytes | None:
    """A kept PNG, None if it is not there or not what it was."""
    try:
        data = read_regular(folder_of(tree) / "pictures" / f"{sha256}.png")
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def read(path: Path) -> SavedReport:
    """A report that a command has left; an empty one where none is, or none that can be read."""
    try:
        found = JsonFields.of(json_text.loads(read_regular(path, _LARGEST)))
    except (OSError, ValueError, RecursionError):
        return SavedReport()
    if found.get("schema") != SCHEMA:
        return SavedReport()
    return SavedReport(found.object("summary"), list(found.objects("results")))
