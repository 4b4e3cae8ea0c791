"""Patterns of `hf download` and `snapshot_download` as a manifest writes them.

There `*` crosses folders, as in fnmatch; in a manifest it stays within one, and `**/` crosses.
"""

from __future__ import annotations

from collections.abc import Iterable


def manifest_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """The manifest's patterns that match the same names."""
    found: list[str] = []
    for pattern in patterns:
        text = pattern + "*" if pattern.endswith("/") else pattern
        found += [text] if "**" in text else _crossing(text)
    return tuple(dict.fromkeys(found))


def _crossing(text: str) -> list[str]:
    if text == "*":
        return ["**"]
    if text.startswith("*") and "*" not in text[1:]:
        return ["**/" + text]
    if text.endswith("/*") and "*" not in text[:-1]:
        return [text + "*"]
    head, star, tail = text.partition("*")
    if not star:
        return [text]
    if head.endswith("/") or not head:
        return [f"{head}**/*{rest}" for rest in _rest(tail)]
    return [item for rest in _rest(tail) for item in (f"{head}*{rest}", f"{head}*/**/*{rest}")]


def _rest(tail: str) -> list[str]:
    """What stands behind a star: another star crosses folders as well."""
    head, star, more = tail.partition("*")
    if not star:
        return [tail]
    if not more:
        return [f"{head}*", f"{head}*/**"]
    return [item for rest in _rest(more) for item in (f"{head}*{rest}", f"{head}*/**/*{rest}")]
