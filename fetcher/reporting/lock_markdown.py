"""Changes of a lock as GitHub's Markdown, for the text of a pull request.

Whatever comes from a lock, a manifest or a Hub stands in code spans: no link, mention, picture or
HTML of a stranger's is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from fetcher.fs.safe_paths import printable
from fetcher.i18n import join, t
from fetcher.project.lock_diff import ArtifactChange
from fetcher.project.lockfile import shown_source
from fetcher.project.terms import CARD, GATE, TermChange
from fetcher.reporting.lock_words import (
    FILES,
    LONGEST,
    STATES,
    TERMS,
    counts,
    sizes,
    term_text,
    total_of,
)

_ARTIFACTS = 100
_SHORT = 12  # characters of a commit
Terms = Mapping[tuple[str, str], Sequence[TermChange]]


def code(text: str) -> str:
    """A text as a code span, also inside a table; "" stays empty."""
    shown = printable(text)[:LONGEST]
    if not shown:
        return ""
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}".replace("|", "\\|")


def document(
    title: str, changes: Sequence[ArtifactChange], terms: Terms, warnings: Sequence[str] = ()
) -> Iterator[str]:
    """The lines: a heading, what speaks against it, a table of artifacts, the files of each."""
    yield join(("###", title), " ")
    yield ""
    for line in warnings[:FILES]:
        yield join(("> **!**", code(line)), " ")
        yield ">"
    if warnings:
        yield ""
    if not changes:
        yield t("Nothing differs.")
        return
    yield join((total_of(changes), "."), "")
    yield ""
    yield join(("|", t("artifact"), "|", t("revision"), "|", t("files"), "|", t("terms"), "|"), " ")
    yield "|---|---|---|---|"
    for change in changes[:_ARTIFACTS]:
        yield _row(change, terms.get((change.manifest, change.id), ()))
    if (more := len(changes) - _ARTIFACTS) > 0:
        yield ""
        yield t("… and {count:,} more artifacts", count=more)
    for change in changes[:_ARTIFACTS]:
        yield from _details(change)


def _row(change: ArtifactChange, terms: Sequence[TermChange]) -> str:
    name = code(f"{change.manifest}/{change.id}")
    told = join([term_cell(term) for term in terms], "<br>")
    first = join((STATES[change.state], name), " ")
    return join(("|", first, "|", _revision(change), "|", counts(change), "|", told, "|"), " ")


def term_cell(term: TermChange) -> str:
    """One change of terms; a stranger's words are code."""
    word, text = TERMS.get(term.what, term.what), term_text(term)
    shown = text if term.what in {GATE, CARD} else code(text)
    return t("**{word}**: {text}", word=word, text=shown)


def _revision(change: ArtifactChange) -> str:
    old, new = ("" if item is None else _short(item.revision) for item in (change.old, change.new))
    entry = change.new or change.old
    where = code(shown_source(entry.source)) if entry is not None else ""
    if not (old or new):
        return where
    moved = code(new) if old == new else " → ".join(code(text) or "-" for text in (old, new))
    return f"{where}<br>{moved}"


def _short(revision: str) -> str:
    return revision[:_SHORT] if re.fullmatch("[0-9a-f]{40,64}", revision) else revision


def _details(change: ArtifactChange) -> Iterator[str]:
    if not change.files:
        return
    yield ""
    name = f"{change.manifest}/{change.id}"
    yield join(("<details><summary>", t("files of {name}", name=name), "</summary>"), "")
    yield ""
    yield join(("|", t("file"), "|", t("change"), "|", t("size"), "|", t("digest"), "|"), " ")
    yield "|---|---|---|---|"
    for file in change.files[:FILES]:
        digests = [
            (entry.key or entry.md5 or entry.published or "")
            for entry in (file.old, file.new)
            if entry is not None
        ]
        shown = dict.fromkeys(_cut(digest) for digest in digests)
        told = " → ".join(code(text) or "-" for text in shown)
        row = (code(file.path), STATES[file.state], sizes(file), told)
        yield join(("|", row[0], "|", row[1], "|", row[2], "|", row[3], "|"), " ")
    if (more := len(change.files) - FILES) > 0:
        yield ""
        yield t("… and {count:,} more files", count=more)
    yield ""
    yield "</details>"


def _cut(digest: str) -> str:
    kind, _, text = digest.rpartition(":")
    return f"{kind}:{text[:_SHORT]}" if kind else text[:_SHORT]
