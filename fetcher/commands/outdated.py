"""`fetch outdated`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fetcher.commands import ci_reports, common
from fetcher.commands.ci_reports import Reports
from fetcher.errors import Problem, exit_code_of
from fetcher.i18n import echo, t
from fetcher.reporting import envelope

if TYPE_CHECKING:
    from fetcher.operations.outdated import Updates
    from fetcher.reporting.verdict import Case


@click.command("outdated")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--exit-code",
    "by_code",
    is_flag=True,
    help="Exit with 4 if something has moved, with 7 if something is not locked.",
)
@common.markdown_option
@ci_reports.options("fetch outdated")
@common.json_option
def command(
    names: tuple[str, ...], by_code: bool, markdown: bool, as_json: bool, reports: Reports
) -> int:
    """Ask the sources what has moved since fetch.lock: revisions, files, licence, gate, card.

    NAME is an artifact, a manifest, or a glob of artifacts. Nothing is written. Exit code 0,
    whatever has moved, unless --exit-code is given; a source that cannot be asked is a failure.
    """
    from fetcher.operations import outdated
    from fetcher.reporting import update_words
    from fetcher.ui.table import print_text

    common.one_format(markdown, as_json)
    with common.workspace((), optional=True, quiet=True, readonly=True) as space:
        common.narrow(space, names)
        found = outdated.look(space)
        units = space.units
    problems = [*found.problems, *(_by_code(found) if by_code else ())]
    if reports:
        told, code = [update_words.total(found.items)], exit_code_of(problems)
        others = [problem for problem in problems if problem.code != "difference"]  # cases have it
        problems += reports.write(_cases(found, by_code), others, units, told, code)
    answer = envelope.Answer(update_words.summary(found.items), problems)
    if as_json:
        answer.results = list(update_words.rows(found.items))
        envelope.print_json(answer)
    else:
        for line in (update_words.markdown if markdown else update_words.lines)(found.items):
            (echo if markdown else print_text)(line)
        if found.moved and not markdown:
            print_text(
                t("next: `fetch update` takes it into fetch.lock, `fetch all` then brings it")
            )
    envelope.print_problems(problems)
    return answer.exit_code


def _cases(found: Updates, by_code: bool) -> list[Case]:
    """A case for each artifact that could be asked about; what has moved is a failure `by_code`,
    else worth a note."""
    from fetcher.reporting.update_words import FAILED, UNLOCKED
    from fetcher.reporting.verdict import Case

    cases = []
    for item in found.items:
        if item.state == FAILED or (by_code and item.state == UNLOCKED):
            continue  # a problem tells of it
        if item.state == UNLOCKED:
            cases.append(Case(item.name, "upstream", "skipped", item.why))
        elif not item.is_news:
            cases.append(Case(item.name, "upstream"))
        else:
            told = t("upstream has moved since fetch.lock was written")
            if item.change is None:
                told = t("upstream has other terms than fetch.lock")
            hint = t("`fetch update` takes it into fetch.lock")
            kind, advice = ("difference", "") if by_code else ("ok", "moved")
            cases.append(Case(item.name, "upstream", kind, told, hint=hint, advice=advice))
    return cases


def _by_code(found: Updates) -> list[Problem]:
    from fetcher.reporting.update_words import UNLOCKED

    problems = []
    if news := [item.name for item in found.items if item.is_news]:
        hint = t(
            "`fetch update` takes what moved; of a licence or gate correct `license` or "
            "`requires_auth` in the manifest"
        )
        told = ", ".join(news[:5])
        problems.append(Problem("difference", t("not as locked: {told}", told=told), hint))
    problems += [
        Problem("lock", t("{name}: {why}", name=item.name, why=item.why), t("fetch lock"), item.id)
        for item in found.items
        if item.state == UNLOCKED
    ]
    return problems
