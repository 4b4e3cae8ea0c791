"""Recognise what is delivered in place of a file: pages, error reports, pointers, compressed bytes.

Everything here looks at a body's beginning alone. What a name promises of the format is
`fetcher.fs.formats`; `fetcher.fs.first_look` asks both.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator

from fetcher.fs.pointers import is_pointer
from fetcher.fs.safe_paths import printable
from fetcher.fs.text import text_of
from fetcher.i18n import t

HEAD = 64 << 10  # what is looked at

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
_WORDS = re.compile(r"[^\W\d_]{2}[.,:!]? [^\W\d_]{2}")
_ANY_TAG = re.compile(r"<(?:[!?/]?[a-z]|!--|!\[)", re.I)
# An answer within the answer, and one in parts: what a proxy passes on that it did not read.
_ANSWER = re.compile(rb"HTTP/\d(?:\.\d)? \d{3}\b[^\n]{0,200}\n(?:[\w-]+:|\r?\n)")
_PARTS = re.compile(
    rb"(?:\r?\n)?--\S{1,70}\r?\n(?:[\w-]{1,80}:[^\n]{0,400}\n){0,20}?content-", re.I
)
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
    r"|under maintenance|try again later|upstream (?:connect )?error|blocked by"
    r"|no (?:valid )?credentials|limit (?:has been |was |is )?(?:reached|exceeded)"
    r"|(?:no|not have|lack|without|insufficient) (?:\w+ ){0,2}permissions?\b"
    r"|(?:account|service|site) (?:has been |was |is )?(?:suspended|disabled|blocked)"
    r"|contact (?:the |your )?(?:\w+ )?administrator"
    # What they say in Korean, Japanese and Chinese.
    r"|로그인|권한이|오류|찾을 수 없|존재하지 않|만료|초과|거부|점검 중|차단"
    r"|ログイン|権限|エラー|見つかりません|存在しません|期限切れ|拒否|メンテナンス"
    r"|登录|登錄|登入|权限|權限|错误|錯誤|找不到|不存在|已过期|已過期|拒绝|拒絕",
    re.I,
)
_ERROR_OPENING = re.compile(
    r"\W{0,3}(?:(?:http|error|err|status|warning|code)\b[\s:/.\d]{0,12})?"
    r"(?:[45]\d\d\b[\s:,.-]{0,4}|error\b[:!]\s*)?",
    re.I,
)
# How a sentence begins that stands where bytes of no readable kind were asked for.
_ERROR_START = re.compile(
    r"\W{0,3}(?:errors?|err|fatal|fail(?:ed|ure)|sorry|oops|unable|cannot|can't|could ?n[o']t"
    r"|exception|traceback)\b[\s:!,]",
    re.I,
)
_LONGEST_ERROR_TEXT = 2048
_LONGEST_PLAIN_ERROR = 512
_LONGEST_SENTENCE = 200
_CODE = re.compile(r"[\n#(){}\[\]<>=\"`$]")  # what no sentence has
_LONGEST_ERROR_JSON = 32 << 10
_MOST_ERRORS = 10  # in a list

# The words of which error objects are made.
_ERROR_KEYS = frozenset(
    (
        *("error", "errors", "fault", "exception", "error_message", "errormessage"),
        *("errormessages", "error_msg", "errmsg"),
    )
)
_MESSAGE_KEYS = frozenset(
    ("message", "msg", "detail", "details", "error_description", "reason", "title", "description")
)
# Of these, those that nothing but a report has; titles and descriptions are of anything.
_SAYING = _MESSAGE_KEYS - {"title", "description"}
_OUTCOME_KEYS = frozenset(
    (
        *("code", "status", "statuscode", "status_code", "success", "ok", "result"),
        *("error_code", "errorcode", "__type"),
    )
)
# An outcome that is none by its word, its name for the error, or a status with digits behind it.
_NO = re.compile(
    r"(?i:error|fail(?:ed|ure)?|denied|unauthori[sz]ed)|[A-Z][a-z]+(?:[A-Z][a-z]+)+"
    r"|[A-Z]{3,}(?:_[A-Z]+)+|[45]\d\d\d\d"
)
_BESIDE_KEYS = frozenset(
    (
        *("code", "status", "statuscode", "status_code", "success", "ok", "result", "type"),
        *("documentation_url", "docs", "help", "path", "timestamp", "requestid", "request_id"),
        *("trace_id", "traceid", "instance", "error_code", "errorcode", "error_uri", "data"),
        *("trace", "stack", "details_url", "more_info", "moreinfo", "level", "fields"),
        *("resource", "hostid", "domain", "url", "method", "name", "info", "__type", "id"),
    )
)


def page_complaint(head: bytes, name: str, declared: str = "") -> str:
    """Whether a body begins as a page or an error report in XML does: what it is, or "".

    `declared` is the answer's Content-Type, "" where nobody says.
    """
    name = name.lower()
    if told := _framed(head, name, declared):
        return told
    text = text_of(head[:HEAD])
    return "" if text is None else _markup(text, name, declared)


def junk_complaint(head: bytes, name: str, declared: str = "") -> str:
    """What a body (its first 64 KiB) shows itself to be instead of `name`, or ""."""
    if is_pointer(head):
        return t("a pointer (Git LFS, Xet or git-annex) instead of the file")
    name = name.lower()
    if told := _framed(head, name, declared):
        return told
    if head.startswith(b"\x1f\x8b\x08") and name.endswith(_TEXTS):
        return t("bytes compressed with gzip instead of the file")
    if name.endswith(_OPAQUE) and (unpacked := _unpacked(head)):
        return page_complaint(unpacked, name, declared)
    text = text_of(head[:HEAD])
    if text is None:
        return ""
    return (
        _markup(text, name, declared) or _error_object(text) or _error_text(text, len(head), name)
    )


def _framed(head: bytes, name: str, declared: str) -> str:
    """Whether the file's bytes stand between lines of HTTP, if the file is not such lines."""
    parts = name.endswith(_OPAQUE) or declared.lower().startswith("multipart/")
    if parts and (_PARTS.match(head) or _ANSWER.match(head)):
        return t("lines of an HTTP answer, around the file or in its place")
    return ""


def _unpacked(head: bytes) -> bytes:
    """The beginning of what gzip packed without saying so, b"" where it did not."""
    if not head.startswith(b"\x1f\x8b\x08"):
        return b""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD)
    except zlib.error:
        return b""


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
        if said_html and name.endswith(_MARKUP_FREE) and _WORDS.search(body):
            return t("text that is declared as a web page instead of the file")
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
    if not body.startswith(("{", "[")) or len(body) > _LONGEST_ERROR_JSON:
        return ""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    parts = found if isinstance(found, list) else [found]
    if not 0 < len(parts) <= _MOST_ERRORS:
        return ""
    if not all(isinstance(part, dict) and _tells_error(part) for part in parts):
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
    outcomes = [keys[key] for key in _OUTCOME_KEYS & keys.keys()]
    if any(value is False or _is_refusal(value) for value in outcomes):
        return bool(_MESSAGE_KEYS & keys.keys())
    if any(isinstance(value, str | int) and _NO.fullmatch(str(value)) for value in outcomes):
        return bool(_SAYING & keys.keys())
    if keys.keys() == {"detail"} and _is_error(keys["detail"]):
        return True
    return any(
        # A title or description that begins otherwise describes something.
        (_ERROR_WORDS.search if key in _SAYING else _ERROR_WORDS.match)(said)
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
        if not told and name.endswith(_OPAQUE) and sentence:
            told = _ERROR_START.match(body)
    elif name.endswith(_CODES):
        return ""
    else:
        opening = _ERROR_OPENING.match(body)
        told = _ERROR_WORDS.match(body, opening.end() if opening else 0)
    if not told:
        return ""
    line = printable(" ".join(body.split()))[:80]
    return t("an error message ({line!r}) instead of the file", line=line)
