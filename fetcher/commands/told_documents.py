"""What documents came to, for people and for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.i18n import echo, n, t
from fetcher.reporting import envelope

if TYPE_CHECKING:
    from fetcher.importers.address_check import Checked
    from fetcher.operations.start_from_documents import Begun

_SHOWN = 40
_LONGEST = 200


def answer(result: envelope.Answer, begun: Begun) -> None:
    """Put what documents came to into a JSON answer."""
    draft, sources = begun.draft, begun.gathered.sources
    result.summary |= {
        "manifest": begun.name,
        "documents": sources.names,
        "unread": [{"document": name, "reason": reason} for name, reason in begun.gathered.unread],
        "artifacts": len(draft.artifacts),
        "known": begun.had,
        "left": [
            {
                "document": sources.of(item.line)[0],
                "line": sources.of(item.line)[1],
                "reason": str(item.reason),
                "text": item.text,
            }
            for item in draft.remarks
        ],
    }
    result.results = [
        {
            "id": key,
            "document": sources.of(draft.lines[key])[0],
            "line": sources.of(draft.lines[key])[1],
            "address": begun.checked[key].state if key in begun.checked else "unchecked",
            **record,
        }
        for key, record in draft.artifacts.items()
    ]


def tell(begun: Begun) -> None:
    """What was read, what it brings and where to, and what is left to do by hand."""
    draft, sources = begun.draft, begun.gathered.sources
    names = sources.names
    if len(names) == 1:
        echo(t("read: {names}", names=names[0]))
    else:
        echo(t("read, {count} documents:", count=len(names)))
        for name in names[:_SHOWN]:
            echo(f"  {name}")
    for name, reason in begun.gathered.unread:
        echo(t("not read: {name}: {reason}", name=name, reason=reason))
    places = [
        (target, str(item).partition("/")[0])
        for target, value in draft.tree.items()
        for item in (value if isinstance(value, list) else [value])
    ]
    places += [("hub_cache", item) for item in draft.hub_cache]
    if draft.artifacts:
        count = len(draft.artifacts)
        echo(n("{count} artifact is new:", "{count} artifacts are new:", count))
    for target, key in places[:_SHOWN]:
        where = sources.told(draft.lines[key])
        echo(t("  {target} <- {id} ({where})", target=target, id=key, where=where))
    if len(places) > _SHOWN:
        echo(t("  and {count:,} more", count=len(places) - _SHOWN))
    if begun.had:
        count = len(begun.had)
        echo(n("{count} is known already", "{count} are known already", count))
    if not draft.artifacts and not begun.had:
        echo(t("nothing that could be fetched was found"))
    tell_of_addresses(begun.checked)
    _tell_of_rest(begun)


def tell_of_addresses(checked: Mapping[str, Checked]) -> None:
    """What those said that could be asked, by artifact."""
    states = [item.state for item in checked.values() if item.state != "unchecked"]
    if states:
        good = states.count("ok")
        echo(t("addresses: {good} of {count} answered", good=good, count=len(states)))
    for key, item in checked.items():
        if item.state == "unreachable":
            echo(t("  {id}: could not be asked: {message}", id=key, message=item.message))


def _tell_of_rest(begun: Begun) -> None:
    remarks, sources = begun.draft.remarks, begun.gathered.sources
    if not remarks:
        return
    count = len(remarks)
    echo(n("to look at by hand, {count} line:", "to look at by hand, {count} lines:", count))
    for remark in remarks[:_SHOWN]:
        where = sources.told(remark.line)
        echo(t("  {where}: {reason}", where=where, reason=remark.reason))
        if remark.text:
            echo(f"      {remark.text[:_LONGEST]}")
    if count > _SHOWN:
        echo(t("  and {count:,} more", count=count - _SHOWN))


def tell_written(made: Sequence[str]) -> None:
    """The files that were written, to be committed."""
    if made:
        echo(n("written, {count} file to commit:", "written, {count} files to commit:", len(made)))
    else:
        echo(t("nothing to do, all is there"))
    for path in made:
        echo(f"  {path}")


def tell_next(root: Path, begun: Begun) -> None:
    """The next command: files that are there already are taken, not downloaded again."""
    draft, top = begun.draft, begun.gathered.root
    if not draft.artifacts and not begun.had:
        echo(t("next: fetch add hf:owner/name"))
        return
    here = [key for key in draft.tree if (root / top / key).exists() and key != "./"]
    if here:
        shown = ", ".join(here[:3]) + (", …" if len(here) > 3 else "")
        echo(t("there already: {files}", files=shown))
        echo(t("next: fetch lock, fetch adopt . (takes what is there), fetch all, fetch check"))
    else:
        echo(t("next: fetch lock, fetch all, fetch check"))
