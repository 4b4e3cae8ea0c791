"""What a first download is asked while no digest is known: is it the file that its name says?

It is judged by what its first bytes show, by what the name promises of the format, and by size.
Where a digest is known, none of this is needed.
"""

from __future__ import annotations

from fetcher.fs.formats import Body, format_complaint, start_complaint
from fetcher.fs.sniff import HEAD, junk_complaint, page_complaint

# So much of a body tells whether it begins as its format does.
ENOUGH = 4096


def look_at_start(head: bytes, name: str, declared: str = "") -> str:
    """What the beginning of a body that still comes shows it to be instead of `name`, or ""."""
    found = page_complaint(head, name, declared)
    return found or (start_complaint(head, name) if len(head) >= ENOUGH else "")


def look(body: Body, name: str, declared: str = "") -> str:
    """What a whole body shows itself to be instead of `name`, or "". Raises OSError.

    `declared` is the Content-Type of the answer that brought it.
    """
    return junk_complaint(body.read(0, HEAD), name, declared) or format_complaint(body, name)
