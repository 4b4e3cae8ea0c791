"""`licenses:` of fetch.yaml: which licences a project may use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fetcher.i18n import t
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import INVALID, Field, JsonSchema, ListOf, Record, Text, Type

WARN, FAIL = "warn", "fail"


@dataclass(frozen=True)
class LicenseException:
    """An artifact (its id, manifest/id, or a glob of these) that is used whatever the lists say.

    `license` is the licence that it holds for, "" for any; `place` is (line, column).
    """

    artifact: str
    reason: str
    license: str = ""
    place: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class LicensePolicy:
    """Patterns of licences; `allow` is None where all that is not denied is allowed.

    `unknown`: whether an artifact without a licence is told of (`warn`) or is wrong (`fail`).
    """

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    unknown: str = WARN
    exceptions: tuple[LicenseException, ...] = ()


def _pattern_complaint(text: str) -> str | None:
    if re.search(r"(?i)(?:^|[\s(])(?:and|or)(?:[\s)]|$)", text):
        return t("is an expression: list its licences one by one")
    if text.count("[") != text.count("]"):
        return t("has a bracket without its other half")
    return None


_PATTERNS = ListOf(
    Text(
        r"[^\x00-\x1f\x7f]{1,200}",
        t("a licence or a pattern, such as MIT or CC-BY-NC-*"),
        check=_pattern_complaint,
    ),
    or_one=True,
    unique=True,
)
_EXCEPTION = Record(
    t("an exception"),
    {
        "artifact": Field(Text(), t("the artifact's id, manifest/id, or a glob"), required=True),
        "license": Field(Text(), t("the licence that it holds for; absent: any")),
        "reason": Field(Text(multiline=True), t("why it may be used"), required=True),
    },
    expected=t("a mapping with artifact and reason"),
)


@dataclass(eq=False, repr=False)
class _Exception(Type):
    """An exception, with its place."""

    expected: str = _EXCEPTION.expected

    def decode(self, node: Node, document: Document) -> Any:
        """A LicenseException, or INVALID."""
        values = _EXCEPTION.decode(node, document)
        if values is INVALID:
            return INVALID
        return LicenseException(**values, place=(node.line, node.column))

    def json_schema(self) -> JsonSchema:
        """The record."""
        return _EXCEPTION.json_schema()


_POLICY = Record(
    "licenses",
    {
        "allow": Field(_PATTERNS, t("licences that may be used; absent: all but those denied")),
        "deny": Field(_PATTERNS, t("licences that may not be used, whatever is allowed")),
        "unknown": Field(
            Text(choices=(WARN, FAIL)), t("what an artifact without a licence is; default: warn")
        ),
        "exceptions": Field(
            ListOf(_Exception()), t("artifacts that may be used all the same, with reasons")
        ),
    },
)


@dataclass(eq=False, repr=False)
class PolicyType(Type):
    """`licenses:`."""

    expected: str = t("a mapping with allow, deny, unknown and exceptions")

    def decode(self, node: Node, document: Document) -> Any:
        """A LicensePolicy, or INVALID."""
        if node.kind != "mapping":
            return self.wrong(node, document)
        values = _POLICY.decode(node, document)
        return INVALID if values is INVALID else LicensePolicy(**values)

    def json_schema(self) -> JsonSchema:
        """The record."""
        return _POLICY.json_schema()
