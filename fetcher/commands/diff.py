"""`fetch diff`: what two locks differ in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fetcher.commands import common
from fetcher.errors import Problem
from fetcher.fs.safe_paths import printable
from fetcher.i18n import echo, t
from fetcher.project.project import find_root
from fetcher.reporting import envelope

if TYPE_CHECKING:
    from fetcher.operations.diff_locks import LockDiff

_LINES, _ARTIFACTS = 30, 100  # at most, in words; JSON has all


@click.command("diff")
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option(
    "--exit-code",
    "by_code",
    is_flag=True,
    help="Exit with 4 if the locks differ, with 7 if only the manifest is contradicted.",
)
@common.markdown_option
@common.json_option
def command(old: str | None, new: str | None, by_code: bool, markdown: bool, as_json: bool) -> int:
    """Show what two locks differ in: artifacts, revisions, files with sizes and digests.

    OLD and NEW are files, or git revisions; by default the last commit's lock and the one that is
    there. First comes where the new one contradicts the manifests.
    """
    from fetcher.operations.diff_locks import diff

    common.one_format(markdown, as_json)
    found = diff(find_root(Path.cwd()), old, new)
    differs = Problem("difference", t("the locks differ"), t("review what changed"))
    problems = [*found.problems, *[differs] * bool(found.changes)] if by_code else []
    answer = envelope.Answer(_summary(found), problems=problems)
    if as_json:
        answer.results = [*_contradictions(found), *_artifacts(found)]
        envelope.print_json(answer)
    elif markdown:
        _print_markdown(found)
    else:
        _print(found)
    return answer.exit_code


def _summary(found: LockDiff) -> dict[str, object]:
    from fetcher.reporting.lock_words import STATES

    files = [file.state for change in found.changes for file in change.files]
    return {
        "old": found.old,
        "new": found.new,
        "artifacts": len(found.changes),
        "files": len(files),
        **{f"{state}_files": files.count(state) for state in STATES},
        "contradictions": len(found.contradictions),
        "outdated": len(found.outdated),
        "unread": found.unread,
    }


def _contradictions(found: LockDiff) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {
            "kind": "contradiction",
            "manifest": item.manifest,
            "id": item.artifact,
            "file": item.file,
            "fact": item.fact,
            "stated": item.stated,
            "locked": item.locked,
            "message": problem.message,
            "hint": problem.hint,
        }
        for item, problem in zip(found.contradictions, found.problems, strict=True)
    ]
    for name, why in found.outdated.items():
        manifest, _, artifact = name.partition("/")
        rows.append({"kind": "outdated", "manifest": manifest, "id": artifact, "message": why})
    return rows


def _artifacts(found: LockDiff) -> Iterable[dict[str, object]]:
    from fetcher.reporting.lock_rows import artifact_row, term_rows

    for change in found.changes:
        row = artifact_row(change)
        terms = found.terms.get((change.manifest, change.id), ())
        yield {**row, "terms": term_rows(terms)}


def _against(found: LockDiff) -> list[str]:
    return [
        *(problem.message for problem in found.problems),
        *(t("{name}: {why}", name=name, why=why) for name, why in found.outdated.items()),
    ]


def _print_markdown(found: LockDiff) -> None:
    from fetcher.reporting.lock_markdown import code, document

    title = t("{old} → {new}", old=code(found.old), new=code(found.new))
    for line in document(title, found.changes, found.terms, [*_against(found), *found.unread]):
        echo(line)


def _print(found: LockDiff) -> None:
    from fetcher.reporting.lock_words import artifact_lines, total_of
    from fetcher.ui.table import print_text

    old, new = printable(found.old), printable(found.new)
    if against := _against(found):
        print_text(t("!!! {new} CONTRADICTS THE MANIFEST", new=new))
        for line in against[:_LINES]:
            print_text(t("!!! {line}", line=line))
        if (more := len(against) - _LINES) > 0:
            print_text(t("… and {count:,} more", count=more))
        print_text(found.problems[0].hint if found.problems else t("run `fetch lock`"))
        echo("")
    for line in found.unread:
        print_text(t("not compared with its manifest: {line}", line=line))
    if not found.changes:
        print_text(t("nothing differs between {old} and {new}", old=old, new=new))
        return
    for change in found.changes[:_ARTIFACTS]:
        for line in artifact_lines(change, found.terms.get((change.manifest, change.id), ())):
            print_text(line)
    if (more := len(found.changes) - _ARTIFACTS) > 0:
        print_text(t("… and {count:,} more artifacts", count=more))
    print_text(
        t("{old} -> {new}: different in {what}", old=old, new=new, what=total_of(found.changes))
    )
