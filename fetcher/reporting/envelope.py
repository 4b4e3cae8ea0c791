"""Answers of commands: the JSON envelope, and the same in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TextIO, TypedDict

from fetcher.errors import Problem, exit_code_of, hint_of
from fetcher.reporting.report import ArtifactReport, FileReport, Report
from fetcher.ui.units import human_bytes

SCHEMA = "fetch.report/1"
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
_BATCH = 1000  # files that are written at a time
_quoted = json.encoder.encode_basestring


@dataclass
class Answer:
    """What a command answers that is not about files in a tree."""

    summary: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    results: Sequence[Mapping[str, Any]] | None = None

    @property
    def exit_code(self) -> int:
        """The process exit code."""
        return exit_code_of(self.problems)


class ErrorEntry(TypedDict):
    """One of the envelope's `errors`."""

    code: str
    message: str
    hint: str
    artifact: str
    file: str


class FileRow(TypedDict):
    """One file of an artifact of the envelope: a FileReport by names."""

    path: str
    target: str
    size: int | None
    sha256: str | None
    state: str
    source: str | None
    error: str | None


class ArtifactEntry(TypedDict):
    """One artifact of the envelope."""

    id: str
    manifest: str
    name: str
    state: str
    revision: str | None
    files: list[FileRow]


class Envelope(TypedDict, total=False):
    """The JSON object of the contract; only `results` may be missing."""

    schema: str
    ok: bool
    exit_code: int
    exit_codes: list[int]
    summary: Mapping[str, Any]
    artifacts: list[ArtifactEntry]
    errors: list[ErrorEntry]
    results: Sequence[Mapping[str, Any]]


def _frame(answer: Answer | Report) -> Envelope:
    """The envelope without its artifacts."""
    code = answer.exit_code
    frame: Envelope = {
        "schema": SCHEMA,
        "ok": code == 0,
        "exit_code": code,
        "exit_codes": sorted({problem.exit_code for problem in answer.problems}),
        "summary": {**dict.fromkeys(SUMMARY, 0), **answer.summary},
        "artifacts": [],
        "errors": [
            {
                "code": problem.code,
                "message": problem.message,
                "hint": hint_of(problem),
                "artifact": problem.artifact,
                "file": problem.file,
            }
            for problem in answer.problems
        ],
    }
    if answer.results is not None:
        frame["results"] = answer.results
    return frame


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text_or_null(text: str | None) -> str:
    return "null" if text is None else _quoted(text)


def _file_text(file: FileReport) -> str:
    # Written by hand: there may be a million of them.
    path, target, size, sha256, state, source, error = file
    return (
        f'{{"path": {_quoted(path)}, "target": {_quoted(target)}, '
        f'"size": {"null" if size is None else size}, "sha256": {_text_or_null(sha256)}, '
        f'"state": "{state}", "source": {_text_or_null(source)}, "error": {_text_or_null(error)}}}'
    )


def _artifact_text(artifact: ArtifactReport) -> Iterator[str]:
    head = {
        "id": artifact.id,
        "manifest": artifact.manifest,
        "name": artifact.name,
        "state": artifact.state,
        "revision": artifact.revision,
    }
    yield _dumps(head)[:-1] + ', "files": ['
    rows, between = map(_file_text, artifact.rows()), ""
    while batch := list(islice(rows, _BATCH)):
        yield between + ", ".join(batch)
        between = ", "
    yield "]}"


def texts(answer: Answer | Report) -> Iterator[str]:
    """The envelope as JSON, piece by piece: it may be larger than memory should hold."""
    between = "{"
    for key, value in _frame(answer).items():
        yield f"{between}{_dumps(key)}: "
        if key == "artifacts" and isinstance(answer, Report):
            between = "["
            for artifact in answer.each_artifact():
                yield between
                yield from _artifact_text(artifact)
                between = ", "
            yield "[]" if between == "[" else "]"
        else:
            yield _dumps(value)
        between = ", "
    yield "}\n"


def print_json(answer: Answer | Report, stream: TextIO | None = None) -> None:
    """One JSON object on stdout."""
    out = stream or sys.stdout
    for text in texts(answer):
        out.write(text)


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
    log = sys.modules.get("fetcher.ui.log")
    for (_, _, hint), lines in alike.items():
        if log is not None:
            for line in lines:
                log.told(line)
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
