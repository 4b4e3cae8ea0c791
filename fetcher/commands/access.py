"""`fetch access`: which repositories may be had."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fetcher.commands import ci_reports, common
from fetcher.commands.ci_reports import Reports
from fetcher.config import settings
from fetcher.errors import Problem, UsageError, hint_of
from fetcher.i18n import local, t
from fetcher.network.session import Network
from fetcher.operations import access
from fetcher.operations.access import AccessAnswer, Question
from fetcher.operations.open_project import keep_secrets
from fetcher.project import names as naming
from fetcher.project.project import Project, find_root
from fetcher.reporting import envelope
from fetcher.sources.addresses import repository_of
from fetcher.ui.table import Column, print_table, print_text

if TYPE_CHECKING:
    from fetcher.reporting.verdict import Case

_COLUMNS = (Column(), Column(least=12, at="middle"), Column(wrap=True))


def _questions(project: Project, names: Sequence[str], hub: str) -> list[Question]:
    """What to ask, in the order of the names; without names, all that the project has."""
    known = set(project.names())
    pairs = naming.pairs_of(project.load_everything()) if names else []
    outright: dict[str, Question] = {}
    for name in names:
        try:
            source = repository_of(name, hub)
        except ValueError as error:
            raise UsageError(t("{name}: {error}", name=name, error=error)) from error
        if source is not None and name not in known and not naming.matching(pairs, name)[0]:
            outright[name] = Question(source)
    others = [name for name in names if name not in outright]
    wanted = naming.sort_out(project, others) if others or not names else naming.RequestedNames()
    common.explain(wanted.notes)
    of_projects: list[Question] = []
    for unit in project.load(wanted.manifests) if others or not names else ():
        exact = wanted.exact.get(unit.manifest.name)
        for artifact in unit.manifest.artifacts.values():
            if exact is None or artifact.id in exact:
                needed = bool(names) or not artifact.optional
                of_projects.append(
                    Question(artifact.source, artifact.id, artifact.manifest, needed)
                )
    if not names:
        return of_projects
    ids = {name: {a.full_name for _, a in naming.matching(pairs, name)[0]} for name in others}
    asked: dict[Question, None] = {}
    for name in names:
        if name in outright:
            asked[outright[name]] = None
        asked |= dict.fromkeys(
            question
            for question in of_projects
            if f"{question.manifest}/{question.artifact}" in ids.get(name, ())
            or question.manifest == name
        )
    # Manifests named by their path, and what else a name stands for.
    return list(asked | dict.fromkeys(of_projects))


@click.command("access")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@ci_reports.options("fetch access")
@common.json_option
def command(names: tuple[str, ...], as_json: bool, reports: Reports) -> int:
    """Ask each repository, with your token, if its files may be had.

    NAME is a manifest, an artifact, one of its aliases, or a repository such as owner/name or the
    address of its page; without NAME, all of the project's manifests. What is optional is shown
    but needed only if it was named; exit code 6 if something needed cannot be had.
    """
    started = time.monotonic()
    root = find_root(Path.cwd())
    found = settings.load(root)
    found.check()
    keep_secrets(found)
    common.tell_choices(found)
    network = Network(found)
    answers = access.ask_all(_questions(Project(root), names, network.hub), network)
    problems = [problem for answer in answers if (problem := answer.failing)]
    accessible = sum(answer.state == access.OK for answer in answers)
    result = envelope.Answer(
        {
            "artifacts": len(answers),
            "accessible": accessible,
            "seconds": round(time.monotonic() - started, 3),
        },
        problems=list(problems),
        results=[answer.to_json() for answer in answers],
    )
    unwritten = []
    if reports:
        told = [t("{accessible} of {count} can be had", accessible=accessible, count=len(answers))]
        units = ci_reports.units_in_reach()
        unwritten = reports.write(_cases(answers), problems, units, told)
        result.problems += unwritten
    if as_json:
        envelope.print_json(result)
    else:
        _print(answers, accessible, bool(network.account.origin()))
    envelope.print_problems(unwritten)
    return result.exit_code


def _cases(answers: Sequence[AccessAnswer]) -> list[Case]:
    """A case for each repository; what is refused and not needed is worth a note."""
    from fetcher.reporting.verdict import Case

    cases = []
    for answer in answers:
        question, problem = answer.question, answer.problem
        repository = question.source.describe()
        suite = question.artifact or repository
        if question.manifest:
            suite = f"{question.manifest}/{question.artifact}"
        if failing := answer.failing:
            kind, hint = failing.code, hint_of(failing)
            cases.append(Case(suite, repository, kind, failing.message, hint=hint))
        elif problem is not None:
            advice, hint = problem.code, hint_of(problem)
            cases.append(Case(suite, repository, message=problem.message, hint=hint, advice=advice))
        elif answer.state == access.OK:
            cases.append(Case(suite, repository))
        else:
            cases.append(Case(suite, repository, "skipped", t("not asked")))
    return cases


def _print(answers: Sequence[AccessAnswer], accessible: int, has_token: bool) -> None:
    width = max(map(len, access.LABELS.values()))
    rows: list[tuple[str, ...]] = []
    hints: dict[str, None] = {}
    for answer in answers:
        name = answer.name
        if not answer.question.needed:
            name = t("{name} (optional)", name=name)
        more = "  ".join(map(local, _more(answer)))
        rows.append((f"{access.LABELS[answer.state]:<{width}}", name, more))
        if answer.problem and (hint := hint_of(answer.problem)):
            said = local(hint)
            if answer.page:
                said = said.replace(answer.page, local(t("its page")))
            hints.setdefault(said)
    print_table(_COLUMNS, rows, heading=False)
    print_text(t("\n{accessible} of {count} can be had", accessible=accessible, count=len(answers)))
    if not has_token and any(answer.state == access.GATED for answer in answers):
        hints.setdefault(local(t("no Hugging Face token is set: gates open only to one")))
    for hint in hints:
        print_text(t("hint: {hint}", hint=hint))


def _more(answer: AccessAnswer) -> list[str]:
    if answer.state == access.OK:
        return [answer.question.source.describe()] if answer.question.artifact else []
    if answer.state == access.UNKNOWN:
        source = answer.question.source.describe()
        return [t("{source} cannot tell before the download", source=source)]
    problem = answer.problem or Problem("internal", "")
    return [*([answer.page] if answer.page else []), problem.message]
