"""The report of a run: the JSON envelope, and the same in words."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from fetcher.errors import INTERRUPTED, Problem, exit_code_of, hint_of
from fetcher.tree.plan import (
    BLOCKED,
    CONFLICT,
    GET,
    KEEP,
    PLACE,
    UNVERIFIED,
    WITHHELD,
    ArtifactPlan,
    Item,
    Plan,
)
from fetcher.tree.uptodate import Seal
from fetcher.ui.progress import human_bytes

SCHEMA = "fetch.report/1"
STARTED = time.perf_counter()
SUMMARY = (
    "artifacts",
    "files",
    "bytes",
    "downloaded_files",
    "downloaded_bytes",
    "reused_files",
    "placed_files",
    "failed_files",
    "seconds",
)
_WORDS = {
    GET: "missing",
    PLACE: "missing",
    CONFLICT: "conflict",
    BLOCKED: "blocked",
    WITHHELD: "missing",
    UNVERIFIED: "unverified",
    KEEP: "present",
}


@dataclass
class Report:
    """What a command found or did. `results` holds what only some commands have."""

    summary: dict[str, Any] = field(default_factory=dict)
    parts: Sequence[ArtifactPlan] = ()
    problems: list[Problem] = field(default_factory=list)
    results: list[dict[str, Any]] | None = None
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """The process exit code."""
        return INTERRUPTED if self.interrupted else exit_code_of(self.problems)

    def _artifacts(self) -> list[dict[str, Any]]:
        errors = {(p.artifact, p.file): p.message for p in self.problems if p.file}
        return [artifact_entry(part, errors) for part in self.parts]

    def envelope(self) -> dict[str, Any]:
        """The JSON object of the contract."""
        code = self.exit_code
        found: dict[str, Any] = {
            "schema": SCHEMA,
            "ok": code == 0,
            "exit_code": code,
            "exit_codes": sorted({problem.exit_code for problem in self.problems}),
            "summary": {**dict.fromkeys(SUMMARY, 0), **self.summary},
            "artifacts": self._artifacts(),
            "errors": [{**asdict(p), "hint": hint_of(p)} for p in self.problems],
        }
        if self.results is not None:
            found["results"] = self.results
        return found


def _file_state(item: Item) -> str:
    if item.placed:
        return "placed"
    if item.changed_by_user:
        return "modified"
    return _WORDS[item.action]


def artifact_entry(part: ArtifactPlan, errors: dict[tuple[str, str], str]) -> dict[str, Any]:
    """One artifact of the envelope."""
    return {
        "id": part.artifact.id,
        "manifest": part.artifact.manifest,
        "name": part.artifact.name,
        "state": part.state,
        "revision": part.locked.revision if part.locked else None,
        "files": [
            {
                "path": item.file.path,
                "target": item.target,
                "size": item.file.size,
                "sha256": item.file.sha256 or item.sha256 or None,
                "state": _file_state(item),
                "source": item.origin or None,
                "error": errors.get((part.artifact.id, item.file.path)),
            }
            for item in part.items
        ],
    }


def of_plan(plan: Plan, problems: Sequence[Problem], seconds: float) -> Report:
    """The report of what a plan's artifacts are now."""
    items = list(plan.items)
    placed = [item for item in items if item.placed]
    reused = [item for item in items if item.action == KEEP and item.origin in {"", "store"}]
    summary = {
        "artifacts": len(plan.artifacts),
        "files": len(items),
        "bytes": sum(item.file.size or 0 for item in items),
        "downloaded_files": 0,
        "downloaded_bytes": 0,
        "reused_files": len(reused),
        "placed_files": len(placed),
        "failed_files": sum(1 for item in items if item.action != KEEP),
        "failed_artifacts": len({problem.artifact for problem in problems if problem.artifact}),
        "seconds": round(seconds, 3),
    }
    return Report(summary, plan.artifacts, list(problems))


def of_seal(seal: Seal) -> Report:
    """The report of a tree that is as it was when it was complete."""
    summary = {
        **dict.fromkeys(SUMMARY, 0),
        "artifacts": len(seal.artifacts),
        "files": seal.files,
        "bytes": seal.bytes,
        "reused_files": seal.files,
        "failed_artifacts": 0,
        "seconds": round(time.perf_counter() - STARTED, 3),
    }
    return Report(summary)


def print_json(report: Report, stream: TextIO | None = None) -> None:
    """One JSON object on stdout."""
    json.dump(report.envelope(), stream or sys.stdout, ensure_ascii=False)
    print(file=stream or sys.stdout)


_SHOWN = 8


def print_problems(problems: Iterable[Problem], stream: TextIO | None = None) -> None:
    """Errors with their hints on stderr: one line for what is the same, some of what is alike."""
    out = stream or sys.stderr
    same: dict[tuple[str, str, str, str], list[str]] = {}
    for problem in problems:
        files = same.setdefault(
            (problem.artifact, problem.code, problem.message, hint_of(problem)), []
        )
        if problem.file and problem.file not in problem.message:
            files.append(problem.file)
    alike: dict[tuple[str, str, str], list[str]] = {}
    for (artifact, code, message, hint), files in same.items():
        # Mistakes in documents say their place themselves, and stay in that order.
        in_document = code == "invalid-document"
        label = "" if in_document else "error: " + (f"{artifact}: " if artifact else "")
        group = (message if in_document else artifact, code, hint)
        alike.setdefault(group, []).append(f"{label}{message}{_named(files)}")
    for (_, _, hint), lines in alike.items():
        for line in lines[:_SHOWN]:
            print(line, file=out)
        if len(lines) > _SHOWN:
            print(f"error: … and {len(lines) - _SHOWN} more of the same kind", file=out)
        if hint:
            print(f"hint: {hint}", file=out)


def _named(files: Sequence[str]) -> str:
    """The files that a line is about, a few by name."""
    if not files:
        return ""
    shown = ", ".join(files[:3])
    return f" ({shown})" if len(files) <= 3 else f" ({len(files):,} files: {shown}, …)"


def counted(number: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def summary_line(report: Report) -> str:
    """One line that says what a run did."""
    summary = report.summary
    parts = [
        counted(summary["files"], "file") + " in " + counted(summary["artifacts"], "artifact"),
        f"{human_bytes(summary['bytes'])}",
        f"downloaded {human_bytes(summary['downloaded_bytes'])}",
        f"placed {summary['placed_files']:,}",
    ]
    if summary["failed_files"]:
        parts.append(
            f"{summary['failed_files']:,} " + ("to do" if report.interrupted else "failed")
        )
    elif summary["failed_artifacts"]:
        parts.append(counted(summary["failed_artifacts"], "artifact") + " failed")
    parts.append(f"{summary['seconds']:.1f} s")
    return ", ".join(parts)
