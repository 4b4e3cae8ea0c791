"""Notebooks as pages in Markdown: cells of text as they stand, cells of code as blocks."""

from __future__ import annotations

import re

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.verify.contract import json_text
from fetcher.yamldoc.json_fields import JsonFields

_SHELL_CELL = re.compile(r"%%(bash|sh|shell|script\s+bash)\b")
_SHELL_LINE = re.compile(r"\s*(?:!|%(?:cd|mkdir|pip|env)\b)")
# Where a hosted notebook runs: the clone is made in there.
_HOSTED = re.compile(r"(/content|/kaggle/working|~)(/|$)")


def as_markdown(text: str) -> tuple[str, tuple[int, ...]]:
    """(the page, the line on which each cell begins). Raises UsageError for no notebook."""
    cells = _cells(text)
    out: list[str] = []
    starts: list[int] = []
    folder = ""
    for kind, source in cells:
        starts.append(len(out) + 1)
        if kind == "markdown":
            out += [*source.splitlines(), ""]
        elif kind == "code":
            block, folder = _code(source, folder)
            out += [*block, ""]
    return "\n".join(out) + "\n", tuple(starts)


def _cells(text: str) -> list[tuple[str, str]]:
    try:
        fields = JsonFields.of(json_text.loads(text.lstrip("\ufeff")))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            t("this is no JSON: {error}", error=error), t("is it whole? save it again")
        ) from error
    found = []
    for item in fields.items("cells"):
        cell = JsonFields.of(item)
        lines = cell.items("source")
        source = "".join(str(line) for line in lines) if lines else cell.text("source")
        found.append((cell.text("cell_type"), source))
    if not found:
        raise UsageError(t("this JSON is no notebook: it has no cells"))
    return found


def _code(source: str, folder: str) -> tuple[list[str], str]:
    """(a cell's blocks, the folder that the next cell runs in)."""
    lines = source.splitlines()
    if lines and _SHELL_CELL.match(lines[0]):
        return [*_fence("bash", lines[1:], folder), ""], folder
    shell = [line for line in lines if _SHELL_LINE.match(line)]
    python = [line for line in lines if not _SHELL_LINE.match(line)]
    out: list[str] = []
    if shell:
        body, here = [], folder
        for line in shell:
            typed = line.strip()[1:].strip()
            if line.strip().startswith("!") and re.match(r"cd\s+\S+\s*$", typed):
                continue  # of its own shell alone
            if line.strip().startswith("%") and (entered := re.match(r"cd\s+(\S+)", typed)):
                here = _entered(here, entered[1])
            body.append(_below_clone(typed))
        out += _fence("bash", body, folder)
        folder = here
    if any(line.strip() for line in python):
        out += ["", *_fence("python", python, "")]
    return out, folder


def _fence(language: str, lines: list[str], folder: str) -> list[str]:
    mark = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", "\n".join(lines))), 3)
    entered = [f"cd {folder}"] if folder else []
    return [f"{mark}{language}", *entered, *lines, mark]


def _entered(here: str, there: str) -> str:
    there = _HOSTED.sub("", there.strip("\"'"))
    if there in {"", "."}:
        return ""
    if there == "..":
        return here.rpartition("/")[0]
    return f"{here}/{there}" if here else there


def _below_clone(line: str) -> str:
    return re.sub(r"(?<![\w.])(/content|/kaggle/working)/", "./", line)
