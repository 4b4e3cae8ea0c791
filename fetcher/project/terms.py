"""Terms of an artifact beside its files: licence, gate, and what its card says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LICENSE, GATE, CARD = "license", "gate", "card"
# What is known of a gate: nobody is asked; a manifest says that a login is needed. The Hub says
# `auto` or `manual` in its place: who approves.
OPEN, CLOSED = "open", "requires_auth"


@dataclass(frozen=True)
class TermChange:
    """What was and what is: of `license`, `gate`, `card` (its text), or a field of the card.

    "" is nothing known. `stated` is the licence that the manifest has, if it is not the new one.
    """

    what: str
    old: str
    new: str
    stated: str = ""


def of_manifests(
    old: Mapping[str, object] | None, new: Mapping[str, object] | None
) -> Iterator[TermChange]:
    """What two manifests say of one artifact, where they differ; None where one lacks it."""
    before, after = _known(old), _known(new)
    for what in (LICENSE, GATE):
        if before[what] != after[what] and {before[what], after[what]} != {"", OPEN}:
            yield TermChange(what, before[what], after[what])


def _known(info: Mapping[str, object] | None) -> dict[str, str]:
    if info is None:
        return {LICENSE: "", GATE: ""}
    return {
        LICENSE: str(info.get("license") or ""),
        GATE: CLOSED if info.get("requires_auth") else OPEN,
    }
