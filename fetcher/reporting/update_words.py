"""What sources say now, in words, JSON and Markdown: for `outdated` and `update`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fetcher.i18n import join, n, t
from fetcher.project.lock_diff import ArtifactChange, bytes_to_come
from fetcher.project.terms import TermChange
from fetcher.reporting import lock_markdown, lock_rows, lock_words
from fetcher.ui.units import human_bytes

# What became of an artifact: its source has moved; has not; cannot, as the manifest names a commit
# or all digests; the lock has no entry that counts; it could not be asked.
MOVED, CURRENT, PINNED, UNLOCKED, FAILED = "moved", "current", "pinned", "unlocked", "failed"
STATES = (MOVED, CURRENT, PINNED, UNLOCKED, FAILED)
_SHOWN = 100


@dataclass(frozen=True)
class Update:
    """One artifact: `state` (see above), `why` an entry does not count, `change` from the lock to
    what the source says now.

    `old_date` and `new_date` are days (2026-11-28) of the revisions, "" where nobody says it.
    `terms` are licence, gate and card, where they are other than before; a gate changes without a
    revision as well. `gone`: the locked revision is not there any more.
    """

    manifest: str
    id: str
    state: str
    why: str = ""
    change: ArtifactChange | None = None
    old_date: str = ""
    new_date: str = ""
    terms: Sequence[TermChange] = field(default=())
    gone: bool = False

    @property
    def is_news(self) -> bool:
        """Whether there is anything for a person to look at."""
        return self.state == MOVED or bool(self.terms)

    @property
    def name(self) -> str:
        """As manifest/id."""
        return f"{self.manifest}/{self.id}"


def summary(items: Sequence[Update]) -> dict[str, object]:
    """How many are in each state, and the bytes that an update brings at most."""
    states = [item.state for item in items]
    changes = [item.change for item in items if item.change is not None]
    return {
        "artifacts": len(items),
        **{state: states.count(state) for state in STATES},
        "terms": sum(bool(item.terms) for item in items),
        "new_bytes": sum(map(bytes_to_come, changes)),
    }


def rows(items: Sequence[Update]) -> Iterator[dict[str, object]]:
    """One row an artifact, those that have not moved as well."""
    for item in items:
        row: dict[str, object] = {
            "kind": "update",
            "manifest": item.manifest,
            "id": item.id,
            "state": item.state,
            "why": item.why or None,
            "old": None,
            "new": None,
            "old_date": item.old_date or None,
            "new_date": item.new_date or None,
            "locked_revision_gone": item.gone,
            "terms": lock_rows.term_rows(item.terms),
            "files": [],
        }
        if item.change is not None:
            told = lock_rows.artifact_row(item.change)
            row |= {key: told[key] for key in ("old", "new", "files")}
        yield row


def lines(items: Sequence[Update]) -> Iterator[str]:
    """In words: what moved, which terms changed, which have no entry; then a line for all."""
    news = [item for item in items if item.is_news]
    for item in news[:_SHOWN]:
        yield from _lines_of(item)
    if (more := len(news) - _SHOWN) > 0:
        yield t("… and {count:,} more artifacts", count=more)
    for item in [item for item in items if item.state == UNLOCKED][:_SHOWN]:
        yield t("not locked: {name}: {why}", name=item.name, why=item.why)
    yield total(items)


def _lines_of(item: Update) -> Iterator[str]:
    if item.change is None:
        yield t("the same revision of {name}, with other terms", name=item.name)
        yield from lock_words.term_lines(item.terms)
        return
    dates = item.old_date, item.new_date
    yield from lock_words.artifact_lines(item.change, item.terms, dates, digests=False)
    if item.gone:
        yield t("  the locked revision is not there any more: only stores and mirrors have it")


def total(items: Sequence[Update]) -> str:
    """One line: how many have moved, and what the others are."""
    counted = summary(items)
    moved = [item for item in items if item.state == MOVED]
    if not moved:
        what = t("nothing has moved")
    else:
        what = n("{count:,} artifact has moved", "{count:,} artifacts have moved", len(moved))
    words = {
        "new_bytes": t("{size} of new content", size=human_bytes(_number(counted, "new_bytes"))),
        CURRENT: t("{count:,} as locked", count=counted[CURRENT]),
        PINNED: t("{count:,} pinned", count=counted[PINNED]),
        UNLOCKED: t("{count:,} not locked (`fetch lock`)", count=counted[UNLOCKED]),
        FAILED: t("{count:,} not known", count=counted[FAILED]),
    }
    return join([what, *(words[key] for key in words if counted[key])])


def _number(counted: dict[str, object], key: str) -> int:
    value = counted[key]
    assert isinstance(value, int)
    return value


def markdown(items: Sequence[Update]) -> Iterator[str]:
    """The same for a pull request."""
    changes = [item.change for item in items if item.change is not None]
    terms = {(item.manifest, item.id): item.terms for item in items}
    yield from lock_markdown.document(t("Updates of models and data"), changes, terms)
    same = [item for item in items if item.change is None and item.terms]
    for item in same[:_SHOWN]:
        yield ""
        told = join([lock_markdown.term_cell(term) for term in item.terms], "; ")
        yield join((lock_markdown.code(item.name), told), ": ")
