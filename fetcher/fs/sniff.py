"""Recognise what is sometimes delivered in place of a file: web pages and Git LFS pointers."""

from __future__ import annotations

import re

from fetcher.i18n import t

_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.I | re.S,
)
_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,80})", re.I)
_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
POINTER_BYTES = 1024  # no pointer is longer
_PAGES = (".html", ".htm", ".xhtml", ".md")


def is_pointer(head: bytes) -> bool:
    """Whether a body is a Git LFS pointer."""
    return head.startswith(_POINTER)


def page_complaint(head: bytes, name: str) -> str:
    """What the first bytes of a body show it to be instead of `name`, or ""."""
    if is_pointer(head):
        return t("a Git LFS pointer instead of the file")
    body = head.removeprefix(b"\xef\xbb\xbf")
    if name.lower().endswith(_PAGES) or not _HTML.match(body):
        return ""
    title = _TITLE.search(body)
    shown = f" ({title[1].decode('utf-8', 'replace').strip()!r})" if title else ""
    return t("a web page{shown}, perhaps a sign-in page, instead of the file", shown=shown)
