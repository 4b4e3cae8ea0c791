"""Recognise what is delivered in place of a file: pages, error reports, pointers, compressed bytes.

Everything here looks at a body's beginning alone. What a name promises of the format is
`fetcher.fs.formats`; `fetcher.fs.first_look` asks both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from fetcher.fs.safe_paths import printable
from fetcher.i18n import t

POINTER_BYTES = 1024  # no pointer is longer
HEAD = 64 << 10  # what is looked at

_POINTER = re.compile(
    rb"\s*version https?://(?:git-lfs\.github\.com|hawser\.github\.com|git-media\.io)/"
    rb"(?:spec/)?v\d[^\n]*\n(?:[^\n]*\n)*?oid ",
)
_XET_POINTER = re.compile(rb"\s*# xet version \d[^\n]*\n\s*filesize\s*=")
_ANNEX_POINTER = re.compile(rb"(?:\.\./)*(?:\.git)?/annex/objects/[^\n]{1,400}\s*")

# Names whose content begins like a web page, and is meant to.
_PAGES = (
    *(".html", ".htm", ".xhtml", ".shtml", ".mhtml", ".md", ".mdx", ".markdown", ".vue"),
    *(".svelte", ".php", ".asp", ".aspx", ".jsp", ".erb", ".hbs", ".ejs", ".njk", ".jinja"),
    *(".jinja2", ".j2", ".tmpl", ".tpl"),
)
# Names of anything: bytes as they please, but no text that tells of an error.
_OPAQUE = (".bin", ".ckpt", ".weights", ".params", ".data", ".dat", ".model", ".npraw")
_MARKUP_FREE = (".bin", ".ckpt", ".weights", ".params")
_TEXTS = (
    *(".txt", ".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".py"),
    *(".csv", ".tsv", ".xml", ".svg", *_PAGES),
)
_CODES = (".py", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".sh", ".csv", ".tsv", *_PAGES)
_PAGE_TAG = re.compile(
    r"<(?:!doctype\s+html|(?:html|head|body|title|script|meta|frameset|noscript|iframe|base)\b)",
    re.I,
)
_ANY_TAG = re.compile(r"<[a-z!?/]", re.I)
_TITLE = re.compile(r"<title[^<>]{0,200}>\s{0,80}([^<]{1,80})", re.I)
_ERROR_ROOT = re.compile(r"<(?:\w{1,40}:)?(error|errorresponse|errors|fault|envelope)\b", re.I)
_ERROR_PART = re.compile(
    r"<(?:\w{1,40}:)?(?:code|message|requestid|faultcode|faultstring|reason|fault)\b", re.I
)
_SAID = re.compile(r"<(?:\w{1,40}:)?(?:code|faultstring|message)[^>]*>\s*([^<]{1,80})", re.I)

# What servers say, in a line or a few, instead of the file.
_ERROR_WORDS = re.compile(
    r"quota\b[^\n]{0,60}exceeded|exceeded (?:\w+ ){0,4}quota|rate.?limit(?:ed|s)?\b"
    r"|too many (?:users|requests|connections)|access(?: is| was)? (?:denied|forbidden|expired)"
    r"|\bforbidden\b|permission denied|unauthori[sz]ed|authentication (?:is )?(?:required|failed)"
    r"|(?:log|sign)[ -]?in (?:is )?required|(?:please|must|need to) (?:log|sign)[ -]?in"
    r"|bad credentials|(?:invalid|expired|missing) (?:\w+ ){0,2}(?:token|signature|credentials|"
    r"api.?key|session|link)|(?:token|signature|link|session|url) (?:has |is |was )?(?:expired|"
    r"invalid)|not found\b|no such (?:file|key|bucket|object|page)|does ?n[o']t exist"
    r"|internal (?:server )?error|bad gateway|gateway time-?out|service (?:is )?(?:temporarily )?"
    r"unavailable|temporarily unavailable|bad request|method not allowed|bandwidth limit"
    r"|(?:has been|was|permanently) (?:moved|removed|deleted)|entry not found|virus.?scan"
    r"|enable javascript|are you (?:a )?human|just a moment|checking your browser|captcha"
    r"|under maintenance|try again later|upstream (?:connect )?error|blocked by",
    re.I,
)
_ERROR_OPENING = re.compile(
    r"\W{0,3}(?:(?:http|error|err|status|warning|code)\b[\s:/.\d]{0,12})?"
    r"(?:[45]\d\d\b[\s:,.-]{0,4}|error\b[:!]\s*)?",
    re.I,
)
_LONGEST_ERROR_TEXT = 2048
_LONGEST_PLAIN_ERROR = 512
_LONGEST_SENTENCE = 200
_CODE = re.compile(r"[\n#(){}\[\]<>=\"`$]")  # what no sentence has
_LONGEST_ERROR_JSON = 32 << 10

# The words of which error objects are made.
_ERROR_KEYS = frozenset(("error", "errors", "fault", "exception", "error_message", "errormessage"))
_MESSAGE_KEYS = frozenset(
    ("message", "msg", "detail", "details", "error_description", "reason", "title", "description")
)
_BESIDE_KEYS = frozenset(
    (
        *("code", "status", "statuscode", "status_code", "success", "ok", "result", "type"),
        *("documentation_url", "docs", "help", "path", "timestamp", "requestid", "request_id"),
        *("trace_id", "traceid", "instance", "error_code", "errorcode", "error_uri", "data"),
        *("resource", "hostid", "domain", "url", "method", "name", "info", "__type", "id"),
    )
)


def is_pointer(head: bytes) -> bool:
    """Whether a body is a pointer of Git LFS, Xet or git-annex, whatever ends its lines."""
    body = head[:POINTER_BYTES].removeprefix(b"\xef\xbb\xbf")
    return any(found.match(body) for found in (_POINTER, _XET_POINTER)) or bool(
        _ANNEX_POINTER.fullmatch(body)
    )


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


_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def _printable(text: str) -> str | None:
    return None if not text or _CONTROL.search(text) else text


def _unmarked_utf16(head: bytes) -> str | None:
    """Text in UTF-16 without a mark: every other byte of its first letters is zero."""
    even = head[: len(head) // 2 * 2]
    for encoding, high in (("utf-16-le", 1), ("utf-16-be", 0)):
        if even and not any(even[high:64:2]):
            return _printable(even.decode(encoding, "replace"))
    return None


def page_complaint(head: bytes, name: str, declared: str = "") -> str:
    """Whether a body begins as a page or an error report in XML does: what it is, or "".

    `declared` is the answer's Content-Type, "" where nobody says.
    """
    text = text_of(head[:HEAD])
    return "" if text is None else _markup(text, name.lower(), declared)


def junk_complaint(head: bytes, name: str, declared: str = "") -> str:
    """What a body (its first 64 KiB) shows itself to be instead of `name`, or ""."""
    if is_pointer(head):
        return t("a pointer (Git LFS, Xet or git-annex) instead of the file")
    name = name.lower()
    if head.startswith(b"\x1f\x8b\x08") and name.endswith(_TEXTS):
        return t("bytes compressed with gzip instead of the file")
    text = text_of(head[:HEAD])
    if text is None:
        return ""
    return (
        _markup(text, name, declared) or _error_object(text) or _error_text(text, len(head), name)
    )


# Pages and error reports in XML


def _markup(text: str, name: str, declared: str) -> str:
    body, whole = _beyond_comments(text)
    error = _ERROR_ROOT.match(body)
    if error and (error[1].lower() == "errorresponse" or _ERROR_PART.search(body, error.end())):
        said = _SAID.search(body, error.end())
        shown = f" ({printable(said[1].strip())!r})" if said else ""
        return t("an error report{shown} instead of the file", shown=shown)
    if name.endswith(_PAGES):
        return ""
    said_html = "html" in declared.lower()
    tag = _ANY_TAG if said_html or name.endswith(_MARKUP_FREE) else _PAGE_TAG
    if not tag.match(body) and (whole or not said_html):
        return ""
    title = _TITLE.search(text)
    shown = f" ({printable(title[1].strip())!r})" if title else ""
    return t("a web page{shown}, perhaps a sign-in page, instead of the file", shown=shown)


def _beyond_comments(text: str) -> tuple[str, bool]:
    """A document after white space, declarations and comments; False where a comment is open."""
    at = 0
    while True:
        at += len(text[at:]) - len(text[at:].lstrip("\ufeff \t\r\n\f\v"))
        for start, end in (("<!--", "-->"), ("<?", "?>")):
            if text.startswith(start, at):
                stop = text.find(end, at + len(start))
                if stop < 0:
                    return text[at:], False
                at = stop + len(end)
                break
        else:
            return text[at:], True


# Error reports in JSON


def _error_object(text: str) -> str:
    body = text.strip()
    if not body.startswith("{") or len(body) > _LONGEST_ERROR_JSON:
        return ""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, dict) or not _tells_error(found):
        return ""
    said = next(_strings(found), "")
    shown = f" ({printable(said)[:80]!r})" if said else ""
    return t("an error report{shown} instead of the file", shown=shown)


def _tells_error(found: dict[str, object]) -> bool:
    """Whether an object consists of an error alone: data has other keys beside."""
    keys = {key.lower(): value for key, value in found.items()}
    if not keys or not keys.keys() <= _ERROR_KEYS | _MESSAGE_KEYS | _BESIDE_KEYS:
        return False
    if any(_is_error(keys[key]) for key in _ERROR_KEYS & keys.keys()):
        return True
    if any(_is_refusal(keys[key]) for key in ("code", "status", "statuscode") if key in keys):
        return bool(_MESSAGE_KEYS & keys.keys())
    return any(
        _ERROR_WORDS.search(said)
        for key in _MESSAGE_KEYS & keys.keys()
        for said in _strings(keys[key])
    )


def _is_error(value: object) -> bool:
    """Whether the value of `error` can be one: words, a truth, or an object that tells."""
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, dict):
        return any(str(key).lower() in _MESSAGE_KEYS | _BESIDE_KEYS for key in value)
    if isinstance(value, list):
        return bool(value) and all(
            isinstance(item, str | dict) and _is_error(item) for item in value
        )
    return value is True or _is_refusal(value)


def _is_refusal(value: object) -> bool:
    text = str(value)
    return not isinstance(value, bool) and bool(re.fullmatch(r"[45]\d\d", text))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


# Error reports in words


def _error_text(text: str, size: int, name: str) -> str:
    """A few words that tell of an error: anywhere in a sentence, at the start of other texts."""
    longest = _LONGEST_ERROR_TEXT if name.endswith(_OPAQUE) else _LONGEST_PLAIN_ERROR
    body = text.strip()
    if size > longest or not body or body[0] in "{[":
        return ""
    sentence = len(body) <= _LONGEST_SENTENCE and not _CODE.search(body)
    if name.endswith(_OPAQUE) or sentence:
        told = _ERROR_WORDS.search(body)
    elif name.endswith(_CODES):
        return ""
    else:
        opening = _ERROR_OPENING.match(body)
        told = _ERROR_WORDS.match(body, opening.end() if opening else 0)
    if not told:
        return ""
    line = printable(" ".join(body.split()))[:80]
    return t("an error message ({line!r}) instead of the file", line=line)
