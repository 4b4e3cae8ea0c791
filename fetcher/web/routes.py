"""The pages' addresses, joined to the server.

/                       the catalog, for browsers
/-/artifact/M/ID        one artifact            /-/leaderboard   what was measured
/-/add /-/verify/M/ID   writing                 /-/login /-/logout
/-/api/…                JSON (fetcher.web.api)  /-/static/…
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode

from fetcher.config.settings import Settings
from fetcher.i18n import t
from fetcher.reporting import saved
from fetcher.server.app import App
from fetcher.server.http import HttpError, HttpRequest, HttpResponse, refusal
from fetcher.web import pages, register_form, render
from fetcher.web.api import Api
from fetcher.web.catalog_view import Listing
from fetcher.web.register_form import Registrar, RegistrationResult
from fetcher.web.sessions import COOKIE, WebSessions, same_origin, set_cookie
from fetcher.web.uploads import MOST_BYTES, Uploads
from fetcher.web.verify_jobs import VerifyJobs

_LARGEST_FORM = 1 << 20
_OPEN = ("/-/login", "/-/static/web.css", "/-/static/web.js", "/-/static/icon.svg")
_WRONG_TOKEN_SECONDS = 0.5
_NOT_FOUND = t("There is no such page, or not for you.")
_STALE = t("The form is too old, or comes from another site: send it again.")


@dataclass
class WebOptions:
    """What the pages may do: `root` is the project shown, `folders` may be named by path."""

    root: Path | None = None
    folders: tuple[Path, ...] = ()
    most_bytes: int = field(default=MOST_BYTES)


class Web:
    """The pages of one server."""

    def __init__(self, app: App, settings: Settings, options: WebOptions) -> None:
        self.app = app
        self.root = options.root
        self.listing = Listing(app.lookup.inventory, options.root, settings)
        self.sessions = WebSessions(app.options.tokens)
        self.jobs = VerifyJobs(options.root) if options.root else None
        self.registrar: Registrar | None = None
        if options.root and app.options.tokens:
            uploads = Uploads(options.root, options.most_bytes)
            self.registrar = Registrar(options.root, settings, uploads, options.folders)
        self.api = Api(self.listing, self.sessions, settings, self.registrar, self.jobs)
        self._plain_front = app.pages[""]
        self._hub = app.pages["api"]
        app.pages |= {"": self._front, "-": self.handle, "api": self._aliases}
        app.exact |= {"/models": self.api.runtime, "/status": self.api.status}
        app.writable |= {"-"}
        app.session = self.sessions.identity
        app.unknown = self._unknown
        app.open_paths += _OPEN

    def close(self) -> None:
        """End what runs."""
        if self.jobs is not None:
            self.jobs.close()

    # Addresses

    async def _front(self, request: HttpRequest) -> HttpResponse:
        html = "text/html" in (request.headers("accept") or "")
        if request.path == "/" and html and request.method != "POST":
            return await self._page(request, [])
        made = self._plain_front(request)
        assert isinstance(made, HttpResponse)
        made.headers["Vary"] = "Accept"
        return made

    async def _aliases(self, request: HttpRequest) -> HttpResponse:
        """Calls of ours that the Hub has nothing at: posts of records, verifications, jobs."""
        rest = request.segments[1:] or [""]
        posts = request.method == "POST"
        ours = posts and (rest == ["models"] or (rest[0] == "models" and rest[-1] == "verify"))
        job = rest[0] == "jobs" and len(rest) == 2 and re.fullmatch(r"[0-9a-f]{32}", rest[1])
        if ours or (job and not posts):
            return await self.api.handle(request, rest)
        made = self._hub(request)
        return made if isinstance(made, HttpResponse) else await made

    def _unknown(self, request: HttpRequest) -> HttpResponse | None:
        """A browser without a token is led to the page that asks for it."""
        html = "text/html" in (request.headers("accept") or "")
        mine = request.path == "/" or request.segments[0] == "-"
        if not (html and mine and request.method == "GET" and not request.headers("authorization")):
            return None
        return render.redirect(request, "/-/login?" + urlencode({"next": request.path}))

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Everything below /-/."""
        rest = [] if request.segments[1:] == [""] else request.segments[1:]
        if rest[:1] == ["api"]:
            return await self.api.handle(request, rest[1:])
        try:
            return await self._page(request, rest)
        except HttpError as refused:
            return self._error(request, refused)

    def _error(self, request: HttpRequest, error: HttpError) -> HttpResponse:
        status, message = error.response.status, error.message
        if status == 404:
            message = _NOT_FOUND
        message = render.translator(request).say(message)
        return self._render(request, "message.html", {"message": message}, status)

    def _render(
        self, request: HttpRequest, template: str, values: Mapping[str, object], status: int = 200
    ) -> HttpResponse:
        writable = self.registrar is not None
        return render.page(
            request, self.sessions, template, values, status=status, writable=writable
        )

    async def _page(self, request: HttpRequest, rest: list[str]) -> HttpResponse:
        posts = request.method == "POST"
        match rest:
            case [] if not posts:
                shown, tr = await self.listing.shown(), render.translator(request)
                values = pages.catalog(shown, request.identity, request.params, tr)
                return self._render(request, "catalog.html", values)
            case ["artifact", manifest, name] if not posts:
                return await self._artifact(request, f"{manifest}/{name}")
            case ["leaderboard"] if not posts:
                shown, tr = await self.listing.shown(), render.translator(request)
                values = await asyncio.to_thread(
                    pages.board, shown, request.identity, self.root, tr
                )
                return self._render(request, "leaderboard.html", values)
            case ["login"]:
                return await (self._login(request) if posts else self._ask_login(request))
            case ["logout"] if posts:
                return await self._logout(request)
            case ["add"]:
                return await self._add(request)
            case ["verify", manifest, name] if posts:
                return await self._verify(request, f"{manifest}/{name}")
            case ["job", name] if not posts:
                job = await self.api.job(request, name)
                values = pages.job(job, render.translator(request))
                return self._render(request, "job.html", values)
            case ["picture", sha256] if not posts:
                return await self._picture(request, sha256)
            case ["static", name] if not posts and (found := render.static(name)):
                return found
        raise refusal(404, _NOT_FOUND)

    # Reading

    async def _artifact(self, request: HttpRequest, name: str) -> HttpResponse:
        shown = await self.listing.shown()
        cards = shown.visible(request.identity)
        card = next((card for card in cards if card.full_name == name), None)
        if card is None:
            raise refusal(404, _NOT_FOUND)
        values = pages.artifact(card, render.translator(request), request.base)
        declared = any(artifact.full_name == name for _, artifact in shown.pairs)
        values["may_verify"] = bool(
            declared and self.registrar and request.identity.upload and self.sessions.of(request)
        )
        values["registered"] = request.truth("registered")
        return self._render(request, "artifact.html", values)

    async def _picture(self, request: HttpRequest, sha256: str) -> HttpResponse:
        """A picture of a report that somebody may see."""
        cards = (await self.listing.shown()).visible(request.identity)
        named = (p["sha256"] for c in cards if c.verified for p in pages.pictures(c.verified))
        if self.root is None or sha256 not in named:
            raise refusal(404, _NOT_FOUND)
        data = await asyncio.to_thread(saved.picture, self.root, sha256)
        if data is None:
            raise refusal(404, _NOT_FOUND)
        headers = {**render.SAFE, "Content-Type": "image/png"}
        return HttpResponse(200, headers | {"Cache-Control": "private, max-age=3600"}, data)

    # Signing in

    async def _ask_login(self, request: HttpRequest) -> HttpResponse:
        values = {"next": _local(request.params.get("next", "")), "wrong": False}
        return self._render(request, "login.html", values)

    async def _login(self, request: HttpRequest) -> HttpResponse:
        form = await _form(request)
        after = _local(form.get("next", [""])[-1])
        if not same_origin(request):
            raise refusal(403, _STALE)
        name = self.sessions.begin(form.get("token", [""])[-1].strip())
        if name is None:
            await asyncio.sleep(_WRONG_TOKEN_SECONDS)
            return self._render(request, "login.html", {"next": after, "wrong": True}, 403)
        cookie = set_cookie(request, COOKIE, name, 12 * 3600)
        return render.redirect(request, after, {"Set-Cookie": cookie})

    async def _logout(self, request: HttpRequest) -> HttpResponse:
        form = await _form(request)
        if not self.sessions.allows(request, form.get("csrf", [""])[-1]):
            raise refusal(403, _STALE)
        self.sessions.end(request)
        return render.redirect(request, "/", {"Set-Cookie": set_cookie(request, COOKIE, "", 0)})

    # Writing

    def _writer(self, request: HttpRequest, csrf: str | None) -> Registrar:
        if self.registrar is None:
            raise refusal(
                403,
                t("This server is read-only: it was started without tokens, or serves no project."),
            )
        if not request.identity.upload:
            raise refusal(403, t("Sign in with a token that has the right “upload”."))
        if csrf is not None and not self.sessions.allows(request, csrf):
            raise refusal(403, _STALE)
        return self.registrar

    async def _add(self, request: HttpRequest) -> HttpResponse:
        tr = render.translator(request)
        if request.method != "POST":
            registrar = self._writer(request, None)
            empty = {"kind": ["model"], "visibility": ["private"]}
            values = register_form.view(empty, RegistrationResult(), registrar, tr)
            return self._render(request, "add.html", values)
        form = await _form(request)
        registrar = self._writer(request, form.get("csrf", [""])[-1])
        write = form.get("action", [""])[-1] == "save"
        outcome = await registrar.from_form(form, request.identity.name, write)
        if outcome.written:
            self.listing.invalidate()
            path = f"/-/artifact/{quote(outcome.manifest)}/{quote(outcome.id)}"
            return render.redirect(request, f"{path}?registered=1")
        if outcome.id and not form.get("id", [""])[-1].strip():
            form["id"] = [outcome.id]
        status = 422 if outcome.errors else 200
        values = register_form.view(form, outcome, registrar, tr)
        return self._render(request, "add.html", values, status)

    async def _verify(self, request: HttpRequest, name: str) -> HttpResponse:
        csrf = (await _form(request)).get("csrf", [""])[-1]
        self._writer(request, csrf)
        answer = await self.api.verify(request, name, csrf)
        assert isinstance(answer.body, bytes)
        return render.redirect(request, f"/-/job/{json.loads(answer.body)['id']}")


def _local(path: str) -> str:
    """Where to go after signing in: a page of ours, nothing else."""
    return path if re.fullmatch(r"/(-/[\w./-]*)?", path) and ".." not in path else "/"


async def _form(request: HttpRequest) -> dict[str, list[str]]:
    body = await request.body(_LARGEST_FORM)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=300)
    except ValueError:
        raise refusal(400, t("the form cannot be read")) from None
