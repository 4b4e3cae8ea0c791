"""A body's beginning as text, in whichever encoding it is."""

from __future__ import annotations

import re

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def text_of(head: bytes) -> str | None:
    """A body's beginning as text, None if it is none: UTF-8, UTF-16, UTF-32, or mostly ASCII."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return _printable(head[len(mark) :].decode(encoding, "replace"))
    if b"\0" in head[:64]:
        return _unmarked_utf16(head)
    try:
        return _printable(head.decode("utf-8"))
    except UnicodeDecodeError as error:
        if error.start >= len(head) - 4 and len(head) >= 16:  # cut within a letter
            return _printable(head[: error.start].decode("utf-8"))
    plain = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return _printable(head.decode("latin-1")) if plain >= 0.8 * len(head) else None


def _printable(text: str) -> str | None:
    return None if not text or _CONTROL.search(text) else text


def _unmarked_utf16(head: bytes) -> str | None:
    """Text in UTF-16 without a mark: every other byte of its first letters is zero."""
    even = head[: len(head) // 2 * 2]
    for encoding, high in (("utf-16-le", 1), ("utf-16-be", 0)):
        if even and not any(even[high:64:2]):
            return _printable(even.decode(encoding, "replace"))
    return None
