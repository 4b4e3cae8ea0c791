"""Pages from templates: language, headers, and the links that all of them have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from fetcher import __version__
from fetcher.i18n import LANGUAGES
from fetcher.server.http import HttpRequest, HttpResponse
from fetcher.ui.units import human_bytes
from fetcher.web.i18n import NAMES, Translator, preferred
from fetcher.web.sessions import WebSessions, cookie, set_cookie

# What a template shows, by its name there: Jinja takes any type.
TemplateValues = dict[str, object]

LANGUAGE_COOKIE = "fetch_language"
_YEAR = 365 * 24 * 3600
FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["bytes"] = human_bytes
    made.filters["segment"] = lambda text: quote(str(text), safe="")
    return made


def translator(request: HttpRequest) -> Translator:
    """The language of a request: `?lang=`, else the cookie, else Accept-Language."""
    for wanted in (request.params.get("lang", ""), cookie(request, LANGUAGE_COOKIE)):
        if wanted in LANGUAGES:
            return Translator(wanted)
    return Translator(preferred(request.headers("accept-language")))


def page(
    request: HttpRequest,
    sessions: WebSessions,
    template: str,
    values: Mapping[str, object],
    *,
    status: int = 200,
    writable: bool = False,
) -> HttpResponse:
    """A page in the reader's language."""
    t = translator(request)
    session = sessions.of(request)
    query = {key: value for key, value in request.params.items() if key != "lang"}
    path = "/" if request.path in {"/-", "/-/"} else request.path
    prefix = urlsplit(request.base).path
    shared = {
        "t": t,
        "root": prefix,
        "base": request.base,
        "identity": request.identity,
        "csrf": session.csrf if session else "",
        "signed_in": session is not None,
        "has_tokens": bool(sessions.tokens),
        "may_write": writable and request.identity.upload,
        "other_language": NAMES[t.other],
        "other_link": f"{prefix}{quote(path)}?{urlencode({**query, 'lang': t.other})}",
        "version": __version__,
        "here": path,
    }
    text = _environment().get_template(template).render({**shared, **values})
    headers = {
        **SAFE,
        "Content-Type": "text/html; charset=utf-8",
        "Content-Language": t.language,
        "Vary": "Accept, Accept-Language, Authorization, Cookie",
    }
    if request.params.get("lang") in LANGUAGES:
        headers["Set-Cookie"] = set_cookie(request, LANGUAGE_COOKIE, t.language, _YEAR)
    return HttpResponse(status, headers, text.encode("utf-8", "replace"))


def redirect(
    request: HttpRequest, path: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Send a browser to another page of ours."""
    prefix = urlsplit(request.base).path
    return HttpResponse(303, {**SAFE, "Location": f"{prefix}{path}", **(headers or {})})


def static(name: str) -> HttpResponse | None:
    """A file of the pages' own."""
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    if name not in {"web.css", "web.js", "job.js", "icon.svg"}:
        return None
    headers = {**SAFE, "Content-Type": f"{kinds[name.rpartition('.')[2]]}; charset=utf-8"}
    headers["Cache-Control"] = "public, max-age=300"
    return HttpResponse(200, headers, (FOLDER / "static" / name).read_bytes())
