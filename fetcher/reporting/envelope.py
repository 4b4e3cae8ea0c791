"""Answers of commands: the JSON envelope, and the same in words."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, TextIO, TypedDict

from fetcher.config.project_choices import ProjectChoice
from fetcher.errors import Problem, exit_code_of, hint_of
from fetcher.fs.safe_paths import printable
from fetcher.i18n import current, echo_lines, join, localized, n, parts_of, t, translated
from fetcher.i18n.message import Parts
from fetcher.reporting.report import AlikeFiles, ArtifactReport, FileGroup, FileReport, Report
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:  # most runs have no orphans to speak of
    from fetcher.reporting.orphan_words import OrphanEntry

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

    summary: dict[str, object] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    results: Sequence[Mapping[str, object]] | None = None

    @property
    def exit_code(self) -> int:
        """The process exit code."""
        return exit_code_of(self.problems)


class ErrorEntry(Parts):
    """One of the envelope's `errors`; `template` and `values` are in English in every language."""

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


class VariantRow(TypedDict):
    """The choice of one variant; `why` says in words who chose."""

    manifest: str
    variant: str
    choice: str
    why: str


class Envelope(TypedDict, total=False):
    """The JSON object of the contract; `results` and what stands after it may be missing."""

    schema: str
    ok: bool
    exit_code: int
    exit_codes: list[int]
    summary: Mapping[str, object]
    artifacts: list[ArtifactEntry]
    errors: list[ErrorEntry]
    results: Sequence[Mapping[str, object]]
    orphans: Sequence[OrphanEntry]
    project_settings: Sequence[ProjectChoice]
    variants: Sequence[VariantRow]


# What the project itself chose of the settings that this command goes by; each answer tells it.
project_settings: ContextVar[tuple[ProjectChoice, ...]] = ContextVar("project_settings", default=())

# Which choices of variants this command is about.
variants: ContextVar[tuple[VariantRow, ...]] = ContextVar("variants", default=())


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
                **parts_of(problem.message),
            }
            for problem in answer.problems
        ],
    }
    if answer.results is not None:
        frame["results"] = answer.results
    if isinstance(answer, Report) and answer.orphans is not None:
        frame["orphans"] = answer.orphans
    if chosen := project_settings.get():
        frame["project_settings"] = chosen
    if rows := variants.get():
        frame["variants"] = rows
    return frame


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text_or_null(text: str | None) -> str:
    return "null" if text is None else _quoted(text)


def _file_text(file: FileReport, language: str) -> str:
    # Written by hand: there may be a million of them.
    path, target, size, sha256, state, source, error = file
    error = error and translated(error, language)
    return (
        f'{{"path": {_quoted(path)}, "target": {_quoted(target)}, '
        f'"size": {"null" if size is None else size}, "sha256": {_text_or_null(sha256)}, '
        f'"state": "{state}", "source": {_text_or_null(source)}, "error": {_text_or_null(error)}}}'
    )


def _artifact_text(artifact: ArtifactReport, language: str) -> Iterator[str]:
    head = {
        "id": artifact.id,
        "manifest": artifact.manifest,
        "name": artifact.name,
        "state": artifact.state,
        "revision": artifact.revision,
    }
    yield _dumps(head)[:-1] + ', "files": ['
    between = ""
    for group in artifact.groups():
        for text in _group_texts(group, language):
            yield between + text
            between = ", "
    yield "]}"


def _group_texts(group: FileGroup, language: str) -> Iterator[str]:
    """Files as JSON, a batch at a time."""
    if isinstance(group, AlikeFiles):
        if not (None in group.sizes or None in group.sha256):
            yield _alike_text(group)
            return
        group = group.reports()
    rows = (_file_text(row, language) for row in group)
    while batch := list(islice(rows, _BATCH)):
        yield ", ".join(batch)


_ALIKE = (
    '{"path": "%s", "target": "%s", "size": %d, "sha256": "%s", '
    '"state": "STATE", "source": null, "error": null}'
)


def _alike_text(files: AlikeFiles) -> str:
    """The same as `_file_text` of each; formatted in one go, as there may be a million."""
    columns = _unquoted(files.paths), _unquoted(files.targets), files.sizes, files.sha256
    texts = ", ".join([_ALIKE.replace("STATE", files.state)] * len(files.paths))
    return texts % tuple(chain.from_iterable(zip(*columns, strict=True)))


def _unquoted(texts: Sequence[str]) -> Sequence[str]:
    """Texts as they stand between quotation marks."""
    whole = "".join(texts)
    if whole.isprintable() and not ("\\" in whole or '"' in whole):
        return texts
    return [_quoted(text)[1:-1] for text in texts]


def texts(answer: Answer | Report, language: str = "en") -> Iterator[str]:
    """The envelope as JSON, piece by piece: it may be larger than memory should hold.

    Messages are in the language; all else is the same in every one.
    """
    between = "{"
    for key, value in _frame(answer).items():
        yield f"{between}{_dumps(key)}: "
        if key == "artifacts" and isinstance(answer, Report):
            between = "["
            for artifact in answer.each_artifact():
                yield between
                yield from _artifact_text(artifact, language)
                between = ", "
            yield "[]" if between == "[" else "]"
        else:
            yield _dumps(localized(value, language))
        between = ", "
    yield "}\n"


def print_json(answer: Answer | Report, stream: TextIO | None = None) -> None:
    """One JSON object: on stdout in the language of this process, into a file in English."""
    out = stream or sys.stdout
    encoding = (getattr(out, "encoding", None) or "utf-8").lower().replace("_", "-")
    for text in texts(answer, "en" if stream else current()):
        out.write(_encodable(text, encoding))


def _encodable(text: str, encoding: str) -> str:
    """JSON text whose bytes are UTF-8 in whatever encoding they are written: else it is escaped,
    as are bytes of a name that are no text."""
    if text.isascii():
        return text
    strange = _STRANGE if encoding in {"utf-8", "utf8", "utf-8-sig"} else _BEYOND_ASCII
    return strange.sub(lambda found: json.dumps(found[0])[1:-1], text)


_STRANGE = re.compile("[\ud800-\udfff]+")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


_SHOWN = 8


def print_problems(problems: Iterable[Problem], stream: TextIO | None = None) -> None:
    """Errors with their hints on stderr: one line for what is the same, some of what is alike."""
    out = stream or sys.stderr
    same: dict[tuple[str, str, str, str], list[str]] = {}
    for problem in problems:
        files = same.setdefault(
            (problem.artifact, problem.code, problem.message, hint_of(problem)), []
        )
        if problem.file and printable(problem.file) not in problem.message:
            files.append(problem.file)
    alike: dict[tuple[str, str, str], list[str]] = {}
    for (artifact, code, message, hint), files in same.items():
        # Mistakes in documents say their place themselves, and stay in that order.
        in_document = code == "invalid-document"
        line = join((message, *_named(files)), " ") if files else message
        if not in_document:
            named = message.partition(": ")[0].rpartition("/")[2] == artifact  # in full
            about = (line,) if named or not artifact else (artifact, line)
            line = t("error: {what}", what=join(about, ": "))
        group = (message if in_document else artifact, code, hint)
        alike.setdefault(group, []).append(line)
    log = sys.modules.get("fetcher.ui.log")
    if log is not None:
        for lines in alike.values():
            for line in lines:
                log.told(str.__str__(line))
    echo_lines(_shown(alike), out)


def _shown(alike: Mapping[tuple[str, str, str], Sequence[str]]) -> Iterator[str]:
    """Some of the lines of each group, with their hint, which is said once for all in a row."""
    hints = [*(hint for _, _, hint in alike), ""]
    for lines, hint, following in zip(alike.values(), hints, hints[1:], strict=False):
        yield from lines[:_SHOWN]
        if len(lines) > _SHOWN:
            yield t("error: … and {count} more of the same kind", count=len(lines) - _SHOWN)
        if hint and hint != following:
            yield t("hint: {hint}", hint=hint)


def _named(files: Sequence[str]) -> list[str]:
    """The files that a line is about, a few by name; nothing if there are none."""
    if not files:
        return []
    shown = ", ".join(map(printable, files[:3]))
    if len(files) <= 3:
        return [f"({shown})"]
    return [t("({count:,} files: {shown}, …)", count=len(files), shown=shown)]


def summary_line(report: Report) -> str:
    """One line that says what a run did."""
    summary = report.summary
    parts = [
        t(
            "{files} in {artifacts}",
            files=n("{count:,} file", "{count:,} files", summary["files"]),
            artifacts=n("{count:,} artifact", "{count:,} artifacts", summary["artifacts"]),
        ),
        human_bytes(summary["bytes"]),
        t(
            "downloaded {size}",
            size=human_bytes(summary["downloaded_bytes"]),
        ),
        t("placed {files:,}", files=summary["placed_files"]),
    ]
    if summary["failed_files"]:
        parts.append(
            t("{files:,} to do", files=summary["failed_files"])
            if report.interrupted
            else t("{files:,} failed", files=summary["failed_files"])
        )
    elif summary["failed_artifacts"]:
        parts.append(
            t(
                "{artifacts} failed",
                artifacts=n(
                    "{count:,} artifact", "{count:,} artifacts", summary["failed_artifacts"]
                ),
            )
        )
    parts.append(t("{seconds:.1f} s", seconds=summary["seconds"]))
    return join(parts)
