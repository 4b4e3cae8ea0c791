"""Reports for CI systems: one set of options for every command that judges."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fetcher.commands import common
from fetcher.commands.output_files import OutputFile, is_of_job
from fetcher.errors import (
    INTERNAL,
    INTERRUPTED,
    FetchError,
    Problem,
    UsageError,
    exit_code_of,
    from_os_error,
)
from fetcher.i18n import t
from fetcher.project.project import find_root

if TYPE_CHECKING:  # most runs write no report
    from fetcher.project.project import Unit
    from fetcher.reporting.verdict import Case, Verdict

F = TypeVar("F", bound=Callable[..., Any])

_TO_FILE = functools.partial(click.option, metavar="FILE")
# Each format by its parameter.
_FORMATS = {
    "junit": functools.partial(_TO_FILE, help="Write a JUnit report."),
    "sarif": functools.partial(_TO_FILE, help="Write a SARIF report."),
    "code_quality": functools.partial(
        _TO_FILE, help="Write a code quality report, as GitLab reads it."
    ),
    "summary": functools.partial(
        _TO_FILE, help="Write a summary in Markdown; add it to GitHub's, if FILE is that."
    ),
    "annotations": functools.partial(
        _TO_FILE, help="Write annotations, as GitHub reads them in a job's output."
    ),
}


class Reports:
    """The report files that one run of a command is to write.

    `command` is what they call it, such as `fetch check`.
    """

    def __init__(self, command: str, wanted: Mapping[str, Path]) -> None:
        self.command = command
        self._wanted = wanted
        self._started = time.monotonic()
        self.written = False

    def __bool__(self) -> bool:
        return bool(self._wanted)

    @property
    def each_case(self) -> bool:
        """Whether what is right has to be named as well."""
        return "junit" in self._wanted

    def write(
        self,
        cases: Sequence[Case],
        problems: Sequence[Problem],
        units: Iterable[Unit],
        told: Sequence[str] = (),
        exit_code: int | None = None,
    ) -> list[Problem]:
        """Write all of them; returns what went wrong with that.

        `cases` are what was judged, `problems` all that the command fails by, `units` the
        manifests that it was about, `told` sentences on how it went. `exit_code` is the command's,
        if it is not that of the problems.
        """
        self.written = True
        if not self._wanted:
            return []
        from fetcher.reporting.places import Places
        from fetcher.reporting.verdict import Verdict, with_end

        root = find_root(Path.cwd())
        code = exit_code_of(problems) if exit_code is None else exit_code
        located = Places(root, units).located(with_end(cases, problems, code))
        seconds = time.monotonic() - self._started
        verdict = Verdict(self.command, code, located, seconds, [str(line) for line in told])
        return [
            problem
            for name, path in self._wanted.items()
            for problem in _write(path, _text(name, verdict, root), name == "summary")
        ]

    def fail(self, problems: Sequence[Problem], exit_code: int) -> None:
        """Say in each report that the command ended before it could judge."""
        from fetcher.reporting import envelope

        envelope.print_problems(self.write((), problems, units_in_reach(), (), exit_code))


def options(command: str) -> Callable[[F], F]:
    """The options, and an argument `reports` for the command called so.

    A command that ends by an error is in every report all the same.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **values: Any) -> Any:
            named = {name: values.pop(name) for name in _FORMATS}
            reports = Reports(command, {name: path for name, path in named.items() if path})
            _refuse_same(reports._wanted)
            return _run(functools.partial(function, *args, reports=reports, **values), reports)

        for name, option in reversed(_FORMATS.items()):
            call = option(f"--{name.replace('_', '-')}", type=OutputFile(name))(call)
        return call  # type: ignore[return-value]

    return decorate


def _run(function: Callable[[], Any], reports: Reports) -> Any:
    try:
        return function()
    except FetchError as error:
        if reports and not reports.written:
            reports.fail(error.problems(), error.exit_code)
        raise
    except (KeyboardInterrupt, click.Abort):
        if reports and not reports.written:
            reports.fail((), INTERRUPTED)
        raise
    except Exception as error:
        if reports and not reports.written:
            # No more than its kind: what it says may hold secrets.
            told = t("internal error: {name}", name=type(error).__name__)
            reports.fail([Problem("internal", told)], INTERNAL)
        raise


def _refuse_same(wanted: Mapping[str, Path]) -> None:
    flags: dict[str, str] = {}
    for name, path in wanted.items():
        flag = f"--{name.replace('_', '-')}"
        other = flags.setdefault(os.path.abspath(path), flag)
        if other != flag:
            raise UsageError(
                t("{other} and {flag} name one file: {path}", other=other, flag=flag, path=path),
                t("give each report a file of its own"),
            )


def units_in_reach() -> Sequence[Unit]:
    """The project's manifests, if they can be read: the command ended before it had any."""
    from fetcher.project.project import Project

    try:
        return Project(find_root(Path.cwd())).load()
    except (FetchError, OSError):
        return ()


def _text(name: str, verdict: Verdict, root: Path) -> str:
    if name == "junit":
        from fetcher.reporting.junit import junit

        return junit(verdict)
    if name == "sarif":
        from fetcher.reporting.sarif import sarif

        return sarif(verdict, str(root))
    if name == "code_quality":
        from fetcher.reporting.code_quality import code_quality

        return code_quality(verdict, str(root))
    if name == "summary":
        from fetcher.reporting.summary_markdown import summary_markdown

        return summary_markdown(verdict)
    from fetcher.reporting.workflow_commands import workflow_commands

    return workflow_commands(verdict)


def _write(path: Path, text: str, is_summary: bool) -> list[Problem]:
    if is_summary and is_of_job(path):
        try:
            with path.open("a", encoding="utf-8") as stream:  # all steps of a job write there
                stream.write(f"{text}\n")
        except OSError as error:
            return [from_os_error(error, t("writing {path}", path=path)).problem]
        return []
    return common.write_report(path, text)
