"""A verdict as workflow commands: lines by which GitHub's runner marks lines of a change."""

from __future__ import annotations

from collections.abc import Iterator

from fetcher.fs.safe_paths import printable
from fetcher.reporting.verdict import ERROR, NOTE, WARNING, Case, Verdict

_COMMANDS = {ERROR: "error", WARNING: "warning", NOTE: "notice"}
_SHOWN = 10  # of each level: the runner shows no more of one step


def workflow_commands(verdict: Verdict) -> str:
    """One line for each finding, the first ten of each level; what they hold is data alone."""
    return "".join(f"{line}\n" for line in _lines(verdict))


def _lines(verdict: Verdict) -> Iterator[str]:
    for level, command in _COMMANDS.items():
        found = [case for case in verdict.findings if case.level == level]
        shown = found if len(found) <= _SHOWN else found[: _SHOWN - 1]
        yield from (_line(command, verdict.command, case) for case in shown)
        if more := len(found) - len(shown):
            title = _property(verdict.command)
            yield f"::{command} title={title}::and {more} more: the job's summary has them"


def _line(command: str, title: str, case: Case) -> str:
    told = {"title": title}
    if case.place:
        place = case.place
        told = {"file": place.path, "line": str(place.line), "col": str(place.column), **told}
    properties = ",".join(f"{name}={_property(value)}" for name, value in told.items())
    hint = f"\n{printable(case.hint)}" if case.hint else ""
    return f"::{command} {properties}::{_data(printable(case.sentence) + hint)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")
