"""The keys of a layout's tree: relative paths, as they stand; `to` in a manifest takes the same."""

from __future__ import annotations

from functools import partial

from fetcher.fs import placeholders
from fetcher.fs.safe_paths import BadPath, check_relative, is_plain
from fetcher.i18n import t
from fetcher.yamldoc.schema import Text

_IN_TREE = placeholders.Where.TREE
ADVICE = partial(placeholders.advice, where=_IN_TREE)


def path_complaint(text: str) -> str | None:
    """What is wrong with a relative path, None for nothing."""
    if is_plain(text):
        return None
    if complaint := placeholders.complaint(text, _IN_TREE):
        return complaint
    try:
        check_relative(text)
    except BadPath as error:
        return str(error)
    return None


def _folder_complaint(text: str) -> str | None:
    if text in {".", "./"}:
        return None
    if text.startswith("~/"):
        return t("starts with '~', which is not replaced: paths are relative to --into")
    return path_complaint(text.rstrip("/") or text)


TARGET = Text(expected=t("a relative path"), check=_folder_complaint, advice=ADVICE)
