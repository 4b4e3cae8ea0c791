"""`fetch update`: the lock moves on to what sources say now."""

from __future__ import annotations

import click

from fetcher.commands import common
from fetcher.i18n import echo, t
from fetcher.reporting import envelope
from fetcher.ui.table import print_text


@click.command("update")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@common.markdown_option
@common.json_option
def command(names: tuple[str, ...], dry_run: bool, markdown: bool, as_json: bool) -> int:
    """Move fetch.lock on to what the sources say now; shows first what that changes.

    NAME is an artifact, a manifest, or a glob of artifacts; default: all. Only the lock is written:
    `fetch all` then brings the files. What the manifest pins to a commit stays.
    """
    from fetcher.operations import outdated
    from fetcher.reporting import update_words

    common.one_format(markdown, as_json)
    with common.workspace((), optional=True, quiet=True, readonly=dry_run) as space:
        common.narrow(space, names)
        found = outdated.look(space, with_unlocked=True)
        if not as_json:
            for line in (update_words.markdown if markdown else update_words.lines)(found.items):
                (echo if markdown else print_text)(line)
        written = not dry_run and outdated.take(space, found)
    summary = {**update_words.summary(found.items), "written": written}
    answer = envelope.Answer(summary, list(found.problems))
    if as_json:
        answer.results = list(update_words.rows(found.items))
        envelope.print_json(answer)
    elif found.moved and not markdown:
        print_text(
            t("fetch.lock written; next: `fetch all` brings the files")
            if written
            else t("nothing is written: without --dry-run, `fetch update` does it")
        )
    envelope.print_problems(answer.problems)
    return answer.exit_code
