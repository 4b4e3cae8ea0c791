"""Licence, gate and card of a Hub's repository: what changed beside the files.

Best effort: what the Hub does not tell is left out, and never fails a command. All of it is
somebody else's text; it is bounded, and one line.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

from fetcher.errors import Failure
from fetcher.network.session import Network
from fetcher.project.licenses import license_of_hub
from fetcher.project.terms import CARD, CLOSED, GATE, LICENSE, OPEN, TermChange
from fetcher.register.card import MAX_CARD, Card, of_data, of_text
from fetcher.sources.base import FileEntry, UrlCandidate
from fetcher.sources.huggingface import HuggingFace

_log = logging.getLogger(__name__)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?=T)")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


@dataclass(frozen=True)
class Terms:
    """Days of both revisions, what changed, and whether the old one is gone."""

    old_date: str
    new_date: str
    changes: tuple[TermChange, ...]
    gone: bool


@dataclass(frozen=True)
class _Told:
    """What the Hub says of one revision; `card` is None where it cannot be had."""

    date: str = ""
    gate: str = ""
    card: Card | None = None
    text: str = ""  # the card's sha256


def ask(
    source: HuggingFace, old: str, new: str, stated: Mapping[str, object], network: Network
) -> Terms:
    """Ask about two commits, or ("" for both) about the gate alone. `stated`: the manifest's."""
    now, _ = _ask(replace(source, revision=new or source.revision), bool(new), network)
    before, gone = _ask(replace(source, revision=old), True, network) if old else (_Told(), False)
    changes = [*_gate(now, stated)]
    if old and now.card is not None and before.card is not None:
        changes += _cards(before.card, now.card, str(stated.get("license") or ""))
        if before.text and now.text and before.text != now.text:
            changes.append(TermChange(CARD, before.text[:12], now.text[:12]))
    return Terms(before.date, now.date, tuple(changes), gone)


def license_at(source: HuggingFace, revision: str, network: Network) -> str:
    """The licence that the card of a revision states, "" if it cannot be had or states none."""
    told, _ = _ask(replace(source, revision=revision or source.revision), True, network)
    return told.card.license if told.card is not None else ""


def _ask(source: HuggingFace, with_card: bool, network: Network) -> tuple[_Told, bool]:
    try:
        info = source.info(network)
        card, text = _card(source, info, network) if with_card else (None, "")
    except Failure as failure:
        _log.info("%s says nothing of its terms: %s", source.describe(), failure.message)
        return _Told(), failure.problem.code == "revision-not-found"
    stamp = info.get("lastModified")
    day = _DAY.match(stamp) if isinstance(stamp, str) else None
    return _Told(day[0] if day else "", _gate_of(info), card, text), False


def _gate_of(info: Mapping[str, object]) -> str:
    """Who approves; "" where the Hub does not say it, or only members see the repository."""
    gated = info.get("gated")
    if info.get("private") is True or "gated" not in info:
        return ""
    if gated in ("auto", "manual"):
        return str(gated)
    return CLOSED if gated else OPEN


def _gate(now: _Told, stated: Mapping[str, object]) -> Iterator[TermChange]:
    known = bool(stated.get("requires_auth"))
    if now.gate and (now.gate != OPEN) is not known:
        yield TermChange(GATE, CLOSED if known else OPEN, now.gate)


def _card(
    source: HuggingFace, info: Mapping[str, object], network: Network
) -> tuple[Card | None, str]:
    """The card of a commit: its README as it is there, else what the Hub has parsed of it."""
    dataset = source.repo_type == "dataset"
    readme = FileEntry("README.md")
    place = replace(source, path="").candidates(source.revision, readme, network)[-1]
    assert isinstance(place, UrlCandidate)
    try:
        answer = network.request(place.url)
    except Failure as failure:
        _log.info("the card of %s: %s", source.describe(), failure.message)
    else:
        if answer.status == 200 and len(answer.body) <= MAX_CARD:
            text = answer.body.decode("utf-8", "replace")
            return of_text(text, dataset), hashlib.sha256(answer.body).hexdigest()
    data, tags = info.get("cardData"), info.get("tags")
    if isinstance(data, Mapping) and data:
        return of_data(data, dataset), ""
    words = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    short = next((word[8:] for word in words if word.startswith("license:")), "")
    return Card(license=license_of_hub(short) if _TEXT.fullmatch(short) else ""), ""


def _cards(old: Card, new: Card, stated: str) -> Iterator[TermChange]:
    for one in fields(Card):
        before, after = (_words(getattr(card, one.name)) for card in (old, new))
        if before != after:
            other = one.name == LICENSE and stated != after
            yield TermChange(one.name, before, after, stated if other else "")


def _words(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
