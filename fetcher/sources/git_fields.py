"""What the sources that are git repositories share: fields of a manifest, and what a commit is."""

from __future__ import annotations

import re

from fetcher.fs.safe_paths import check_relative
from fetcher.i18n import t
from fetcher.yamldoc.schema import Field, Text

COMMIT = re.compile(r"[0-9a-f]{40}")
# In a URL, a segment of dots leads elsewhere; git has no such names either.
_SEGMENT = r"(?!\.{1,2}(?:[/:]|\Z))[^\s:/]+"
REVISION = rf"(?:{_SEGMENT}/)*{_SEGMENT}"
# How a short form ends: `@revision` and `:path`, both if wanted.
SHORT_TAIL = rf"(?:@({REVISION}))?(?::(\S+))?"

# A name that can only be a shortened commit: with a letter and a digit, as dates and words are not.
_SHORT_COMMIT = re.compile(r"(?=[^a-f]*[a-f])(?=[^0-9]*[0-9])[0-9a-f]{7,39}")


def admits_revision(stated: str, revision: str) -> bool:
    """Whether `revision` is one that the stated branch, tag or commit can stand for."""
    if revision == stated:
        return True
    name = stated.lower()
    if COMMIT.fullmatch(name) or _SHORT_COMMIT.fullmatch(name):
        return bool(COMMIT.fullmatch(revision)) and revision.startswith(name)
    return bool(COMMIT.fullmatch(revision))


def path_complaint(text: str) -> str | None:
    """Why a sub-path of a source is refused, or None; it may end in a slash."""
    try:
        check_relative(text.removesuffix("/"))
    except ValueError as error:
        return str(error)
    return None


def repository_field(pattern: str) -> Field:
    """The repository, whose name matches `pattern`."""
    return Field(Text(pattern, t("a repository such as owner/name")), t("owner/name"), True)


REVISION_FIELD = Field(Text(REVISION, t("a branch, tag or commit")), t("branch, tag or commit"))
PATH_FIELD = Field(Text(check=path_complaint), t("sub-folder that file names are relative to"))
