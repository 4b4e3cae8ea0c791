"""Files that a person names for what a command writes: a slip costs no other file."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import click

from fetcher.config.boundaries import below, of_project
from fetcher.errors import Failure, UsageError
from fetcher.i18n import t
from fetcher.project.project import find_root

_HEAD = 4096  # bytes that tell what a file is
# How each kind begins; what begins so may be replaced.
_BEGINNINGS = {
    "junit": rb"(?:<\?xml[^>]*>\s*)?<testsuites?[\s>]",
    "sarif": rb'\{.*(?:sarif|"runs")',
    "code_quality": rb'\[\s*(?:\]|\{.*"(?:fingerprint|check_name)")',
    "summary": rb"### \S+ fetch ",
    "annotations": rb"::(?:error|warning|notice)\b",
    "html": rb"(?i:<!doctype html)",
    "sbom": rb'\{.*"bomFormat"',
    "have": rb"# fetch\.have/",
    "events": rb'\{"event"',
}


class OutputFile(click.Path):
    """A file to be written, of one kind. One that is there must be of that kind, empty, or no
    regular file: else it is refused, before anything is done."""

    def __init__(self, kind: str) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self._begins = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*(?:" + _BEGINNINGS[kind] + rb")", re.S)
        self._is_summary = kind == "summary"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path. Raises UsageError for a file of another kind and for an empty name."""
        flag = max(param.opts, key=len) if param is not None else ""
        if value == "":
            raise UsageError(t("{flag} names no file", flag=flag), t("give it a file's name"))
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not (self._may_replace(path) or (self._is_summary and is_of_job(path))):
            raise UsageError(
                t("{flag} {path}: a file of another kind is there", flag=flag, path=path),
                t("it would be lost: move it away, or name another file"),
            )
        return path

    def _may_replace(self, path: Path) -> bool:
        if path.is_relative_to("/dev"):  # also where a shell leads it into a file
            return True
        try:
            real = _behind_links(path)
            if not stat.S_ISREG(os.stat(real).st_mode):
                return True  # a pipe: nothing is replaced
            with real.open("rb") as stream:
                head = stream.read(_HEAD)
        except (OSError, ValueError, Failure):  # writing it says why, and what allows it
            return True
        return not head.strip() or self._begins.match(head) is not None


def _behind_links(path: Path) -> Path:
    """Where a file is written. Raises Failure where a link of the project leads out of it."""
    root = find_root(Path.cwd())
    inside = below(root, path)
    return of_project(root).real_path(inside) if inside else path


def is_of_job(path: Path) -> bool:
    """Whether a file is the summary that all steps of a GitHub job add to."""
    own = os.environ.get("GITHUB_STEP_SUMMARY", "")
    return bool(own) and os.path.exists(own) and path.exists() and os.path.samefile(own, path)
