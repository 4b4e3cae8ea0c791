"""What a policy says of a licence: SPDX expressions, families of licences, WITH."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fetcher.config.license_policy import LicenseException, LicensePolicy
from fetcher.project.licenses import Expression, License, Several, parse, same, squashed

ALLOWED, UNKNOWN, UNLISTED, DENIED = "allowed", "unknown", "not-allowed", "denied"
# From best to worst: one's choice (OR) is as good as its best, all together (AND) as their worst.
_ORDER = (ALLOWED, UNKNOWN, UNLISTED, DENIED)

# The family of OpenRAIL licences, whose names begin in many ways: `openrail*` means them all.
_RAIL = re.compile(r"(?:^|-)(?:open-?)?rail(?![a-z])")


@dataclass(frozen=True)
class Judgement:
    """A verdict, and what decided it: a licence, and the pattern that is about it ("" for none)."""

    verdict: str
    license: str = ""
    pattern: str = ""

    @property
    def rank(self) -> int:
        """0 for the best verdict, and higher for worse ones."""
        return _ORDER.index(self.verdict)


def judge(policy: LicensePolicy, text: str) -> Judgement:
    """What the lists say of a licence as it is stated; "" is none."""
    if not text:
        return Judgement(UNKNOWN)
    return _judge(policy, parse(text))


def _judge(policy: LicensePolicy, expression: Expression) -> Judgement:
    if isinstance(expression, Several):
        found = [_judge(policy, part) for part in expression.parts]
        best: Callable[..., Judgement] = min if expression.operator == "OR" else max
        return best(found, key=lambda one: one.rank)
    name = str(expression)
    if expression.exception and _first(policy.allow or (), expression, whole=True):
        return Judgement(ALLOWED, name)  # GPL denied, GPL WITH Classpath-exception allowed
    if pattern := _first(policy.deny, expression):
        return Judgement(DENIED, name, pattern)
    if policy.allow is not None and (pattern := _first(policy.allow, expression)):
        return Judgement(ALLOWED, name, pattern)
    if not expression.known:
        return Judgement(UNKNOWN, name)
    return Judgement(ALLOWED if policy.allow is None else UNLISTED, name)


def _first(patterns: Iterable[str], one: License, whole: bool = False) -> str:
    """The first pattern that means a licence; `whole`: only those that name what is behind WITH."""
    return next((p for p in patterns if _means(p, one, whole)), "")


def _means(pattern: str, one: License, whole: bool) -> bool:
    base, _, exception = (part.strip() for part in _split(pattern))
    if whole and not exception:
        return False
    if exception and not fnmatch.fnmatchcase(one.exception.lower(), exception.lower()):
        return False
    if not any(letter in base for letter in "*?["):
        found = parse(base)
        wanted = {base, *(found.names if isinstance(found, License) else ())}
        return not {*map(squashed, wanted)}.isdisjoint(map(squashed, one.names))
    names = set(one.names)
    if any(map(_RAIL.search, names)):
        names |= {f"openrail-{name}" for name in names}
    glob = re.sub(r"[\s_]+", "-", base.lower())
    return any(fnmatch.fnmatchcase(name, glob) for name in names)


def _split(pattern: str) -> tuple[str, str, str]:
    at = pattern.upper().find(" WITH ")
    return (pattern, "", "") if at < 0 else (pattern[:at], " WITH ", pattern[at + 6 :])


def exception_for(
    policy: LicensePolicy, names: Iterable[str], license: str
) -> LicenseException | None:
    """The exception that is about an artifact (by its names) with this licence, if there is one."""
    known = list(names)
    for one in policy.exceptions:
        if not any(fnmatch.fnmatchcase(name, one.artifact) for name in known):
            continue
        if not one.license or not license or same(one.license, license):
            return one
    return None
