"""Changes of a lock in words: what `diff`, `outdated` and `update` print.

Locks, and what a Hub says, are somebody else's text: it is shown without what moves a cursor, and
cut short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from fetcher.fs.safe_paths import printable
from fetcher.i18n import join, n, t
from fetcher.project.lock_diff import (
    ADDED,
    CHANGED,
    FORGOTTEN,
    LEARNED,
    REMOVED,
    ArtifactChange,
    FileChange,
    bytes_to_come,
)
from fetcher.project.lockfile import shown_source
from fetcher.project.terms import CARD, CLOSED, GATE, LICENSE, OPEN, TermChange
from fetcher.sources.base import FileEntry
from fetcher.ui.units import human_bytes

FILES = 30  # at most, in words; JSON has all
LONGEST = 200
STATES = {
    ADDED: t("added"),
    REMOVED: t("removed"),
    CHANGED: t("changed"),
    LEARNED: t("learned"),
    FORGOTTEN: t("forgotten"),
}
TERMS = {
    LICENSE: t("licence"),
    GATE: t("gate"),
    CARD: t("card"),
    "task": t("task"),
    "library": t("library"),
    "base_models": t("base model"),
    "relation": t("made by"),
    "datasets": t("data sets"),
    "languages": t("languages"),
}
_GATES = {
    OPEN: t("open"),
    CLOSED: t("a login is needed"),
    "auto": t("gated, approved by itself"),
    "manual": t("gated, approved by its authors"),
}


def artifact_lines(
    change: ArtifactChange,
    terms: Sequence[TermChange] = (),
    dates: tuple[str, str] = ("", ""),
    digests: bool = True,
) -> Iterator[str]:
    """One artifact: source, revision with its day, terms, and its files."""
    yield t("{word} {name}", word=STATES[change.state], name=f"{change.manifest}/{change.id}")
    for name in ("source", "revision", "said_by"):
        old, new = (getattr(item, name, "") for item in (change.old, change.new))
        if old != new or name == "source":
            days = dates if name == "revision" else ("", "")
            yield f"  {name:<9} {_texts(old, new, days)}"
    yield from term_lines(terms)
    if line := counts(change):
        yield t("  {word:<9} {counts}", word=t("files"), counts=line)
    for file in change.files[:FILES]:
        yield from _file_lines(file, digests)
    if (more := len(change.files) - FILES) > 0:
        yield t("  … and {count:,} more files", count=more)


def term_lines(terms: Sequence[TermChange]) -> Iterator[str]:
    """Licence, gate and card, one a line."""
    for term in terms:
        yield t(
            "  {word:<9} {change}",
            word=TERMS.get(term.what, term.what),
            change=term_text(term),
        )


def term_text(term: TermChange) -> str:
    """What was and what is, with what to do about it."""
    if term.what == CARD:
        return t("its text changed")
    old, new = (_term(term.what, value) for value in (term.old, term.new))
    text = arrow(old, new)
    if term.what == GATE and term.new not in {OPEN, ""}:
        return t("{text} (`fetch access` says whether you may have it)", text=text)
    if term.stated:
        return t("{text} (the manifest says {stated})", text=text, stated=_cut(term.stated))
    return text


def _term(what: str, value: str) -> str:
    return _GATES.get(value, _cut(value)) if what == GATE else _cut(value)


def counts(change: ArtifactChange) -> str:
    """How many files were added, changed and so on, and the bytes that are to come; "" for none."""
    found = Counter(file.state for file in change.files)
    parts = [
        t("{count:,} {word}", count=found[state], word=word)
        for state, word in STATES.items()
        if found[state]
    ]
    if change.new is not None and (size := bytes_to_come(change)):
        parts.append(t("{size} of new content", size=human_bytes(size)))
    return join(parts)


def total_of(changes: Sequence[ArtifactChange]) -> str:
    """`3 artifacts, 12 files`."""
    files = sum(len(change.files) for change in changes)
    return join(
        (
            n("{count:,} artifact", "{count:,} artifacts", len(changes)),
            n("{count:,} file", "{count:,} files", files),
        )
    )


def _texts(old: str, new: str, days: tuple[str, str]) -> str:
    """Both as far as they can be shown: without queries, and cut short."""
    one, other = _cut(shown_source(old)), _cut(shown_source(new))
    same = one == other and old != new
    if same:
        return t("{text} (its query or its end differs)", text=one)
    one, other = (
        f"{text} ({day})" if day else text for text, day in zip((one, other), days, strict=True)
    )
    return arrow(one, other)


def _cut(text: str) -> str:
    return printable(text)[:LONGEST]


def arrow(old: str, new: str) -> str:
    """`old -> new`, or the one that both are."""
    return new if old == new else join([text or "-" for text in (old, new)], " -> ")


def _file_lines(file: FileChange, digests: bool) -> Iterator[str]:
    yield t(
        "  {word} {path}  {size}",
        word=STATES[file.state],
        path=_cut(file.path),
        size=sizes(file),
    )
    for name in ("sha256", "git_blob", "md5", "published") if digests else ():
        old, new = (getattr(entry, name, None) or "" for entry in (file.old, file.new))
        if old != new:
            shown = new if file.old is None else old if file.new is None else arrow(old, new)
            yield f"      {name:<8} {shown}"


def sizes(file: FileChange) -> str:
    """A file's size, before and after where they differ."""
    found = [_size(entry) for entry in (file.old, file.new) if entry is not None]
    return arrow(found[0], found[-1])


def _size(entry: FileEntry) -> str:
    return "?" if entry.size is None else f"{human_bytes(entry.size)} ({entry.size:,})"
