"""What a server says beside its refusal: for the log, where an unknown fault is to be explained."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

# S3's errors also hold request ids, and an expired session's token: only these two are taken.
_XML = re.compile(r"<(Code|Message)>([^<]*)</\1>")
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_NAMES = ("error", "message", "error_description", "detail", "errors", "code")
_LOOKED_AT = 4096
_SHOWN = 300


def error_text(headers: Mapping[str, str], body: bytes) -> str:
    """The server's own words in one line, "" for none. `headers` are by lower-case name."""
    told = headers.get("x-error-message") or _of_body(body[:_LOOKED_AT].decode("utf-8", "replace"))
    return " ".join(told.split())[:_SHOWN]


def _of_body(text: str) -> str:
    if text.lstrip().startswith(("{", "[")):
        try:
            return "; ".join(_of_json(json.loads(text, strict=False)))
        except (ValueError, RecursionError):
            return ""
    import html  # its tables are large

    if found := _XML.findall(text):
        return html.unescape(": ".join(words for _, words in found))
    if text.lstrip().startswith("<"):
        title = _TITLE.search(text)
        return html.unescape(title[1]) if title else ""
    return text


def _of_json(value: object) -> list[str]:
    """The texts under the names that errors have."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value[:3] for text in _of_json(item)]
    if isinstance(value, dict):
        return [text for name in _NAMES if name in value for text in _of_json(value[name])]
    return []
