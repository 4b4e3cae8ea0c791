"""The JSON API, below /-/api/: no repository of the Hub is called `-`."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from fetcher import __version__
from fetcher.catalog import fallback
from fetcher.config import settings as all_settings
from fetcher.config.settings import Settings
from fetcher.errors import FetchError
from fetcher.i18n import localized, t
from fetcher.project.manifest import Artifact
from fetcher.register.form import form_json
from fetcher.reporting import saved
from fetcher.server.http import HttpError, HttpRequest, HttpResponse, json_response, refusal
from fetcher.verify.contract import json_text
from fetcher.web import openapi, pages
from fetcher.web.catalog_view import FACETS, CatalogCard, Listing
from fetcher.web.register_form import FieldError, Registrar
from fetcher.web.render import SAFE, translator
from fetcher.web.sessions import WebSessions
from fetcher.web.verify_jobs import VerifyJob, VerifyJobs
from fetcher.yamldoc.json_fields import JsonFields

_LARGEST_JSON = 4 << 20


class Api:
    """Answers programs. `registrar` and `jobs` are None where nothing may be written."""

    def __init__(
        self,
        listing: Listing,
        sessions: WebSessions,
        settings: Settings,
        registrar: Registrar | None,
        jobs: VerifyJobs | None,
    ) -> None:
        self.listing = listing
        self.sessions = sessions
        self.settings = settings
        self.registrar = registrar
        self.jobs = jobs

    async def handle(self, request: HttpRequest, rest: list[str]) -> HttpResponse:
        """Everything below /-/api/, in the language of who asks. Raises HttpError."""
        try:
            answer = await self._route(request, rest)
        except HttpError as error:
            raise error.saying(translator(request).say(error.message)) from None
        vary = "Accept-Language, Authorization, Cookie"
        answer.headers = {**SAFE, "Vary": vary, **answer.headers}
        return answer

    async def _route(self, request: HttpRequest, rest: list[str]) -> HttpResponse:
        posts = request.method == "POST"
        match rest:
            case ["openapi.json"] if not posts:
                return json_response(openapi.document(request.base))
            case ["form"] if not posts:
                return json_response(localized(form_json(), translator(request).language))
            case ["models"]:
                return await (self._register(request) if posts else self._models(request))
            case ["models", *name, "verify"] if posts and 1 <= len(name) <= 2:
                return await self.verify(request, "/".join(name))
            case ["models", *name] if not posts and 1 <= len(name) <= 2:
                return json_response(record(await self._find(request, "/".join(name)), True))
            case ["jobs", name] if not posts:
                return json_response((await self.job(request, name)).to_json())
            case ["propose-id"] if not posts:
                return await self._propose(request)
            case ["uploads", *name]:
                return await self._uploads(request, name)
            case ["status"] if not posts:
                return await self.status(request)
            case ["runtime"] if not posts:
                return await self.runtime(request)
        raise refusal(404, t("there is no such call: see /-/api/openapi.json"))

    def writer(self, request: HttpRequest, csrf: str = "") -> Registrar:
        """Who writes, if this request may. Raises HttpError."""
        if self.registrar is None:
            raise refusal(403, t("this server is read-only"))
        if not request.identity.upload:
            status = 403 if request.identity.name else 401
            raise refusal(status, t("writing takes a token with the right `upload`"))
        posts = request.method == "POST"
        if posts and not self.sessions.allows(
            request, csrf or request.headers("x-csrf-token") or ""
        ):
            raise refusal(403, t("the request is not from a page of this server (no CSRF token)"))
        return self.registrar

    async def _find(self, request: HttpRequest, name: str) -> CatalogCard:
        shown = await self.listing.shown()
        card = pages.find(shown.visible(request.identity), name)
        if card is None:
            raise refusal(404, t("there is no such artifact, or not for you, or more than one"))
        return card

    async def _models(self, request: HttpRequest) -> HttpResponse:
        shown = await self.listing.shown()
        wanted = {key: request.params.get(key, "")[:200] for key in ("q", *FACETS)}
        found = [card for card in shown.visible(request.identity) if card.fits(wanted)]
        limit = request.whole_number("limit", 100, 1, 1000)
        start = request.whole_number("offset", 0, 0, 10**9)
        some = found[start : start + limit]
        return json_response({"total": len(found), "models": [record(c, False) for c in some]})

    async def _register(self, request: HttpRequest) -> HttpResponse:
        registrar = self.writer(request)
        language = translator(request).language
        data = await _json(request)
        dry = request.truth("dry_run")
        outcome = await registrar.from_json(data, request.identity.name, not dry)
        if outcome.errors:
            answer = json_response({"errors": localized(outcome.errors, language)})
            answer.status = 422
            return answer
        self.listing.invalidate()
        answer = json_response(localized({**vars(outcome)} | {"errors": {}}, language))
        answer.status = 201 if outcome.written else 200
        return answer

    async def verify(self, request: HttpRequest, name: str, csrf: str = "") -> HttpResponse:
        """Start a verification."""
        self.writer(request, csrf)
        card = await self._find(request, name)
        if self.jobs is None or not any(
            artifact.full_name == card.full_name
            for _, artifact in (await self.listing.shown()).pairs
        ):
            raise refusal(403, t("this server verifies only what its own project declares"))
        answer = json_response(self.jobs.verify(card.full_name).to_json())
        answer.status = 202
        return answer

    async def job(self, request: HttpRequest, name: str) -> VerifyJob:
        """A verification of an artifact that exists for who asks. Raises HttpError."""
        job = self.jobs.find(name) if self.jobs else None
        if job is None:
            raise refusal(404, t("there is no such job"))
        await self._find(request, job.artifact)
        return job

    async def _propose(self, request: HttpRequest) -> HttpResponse:
        registrar = self.writer(request)
        name, manifest = (request.params.get(key, "") for key in ("name", "manifest"))
        try:
            found = await asyncio.to_thread(registrar.propose_id, name, manifest)
        except FieldError as wrong:
            raise refusal(422, str(wrong)) from None
        return json_response({"id": found})

    async def _uploads(self, request: HttpRequest, name: list[str]) -> HttpResponse:
        uploads, owner = self.writer(request).uploads, request.identity.name
        if not name and request.method == "POST":
            data = await _json(request)
            told = JsonFields.of(data)
            made = await asyncio.to_thread(uploads.begin, owner, told.get("name"), told.get("size"))
            answer = json_response(made.to_json())
            answer.status = 201
            return answer
        if len(name) != 1:
            raise refusal(404, t("there is no such upload"))
        found = await asyncio.to_thread(uploads.find, owner, name[0])
        if request.method == "POST":
            offset = request.params.get("offset", "")
            if not re.fullmatch(r"\d{1,15}", offset):
                raise refusal(400, t("expected ?offset=BYTES"))
            found = await uploads.take(found, int(offset), request)
        return json_response(found.to_json())

    async def status(self, request: HttpRequest) -> HttpResponse:
        """Numbers of what is held, and which model is in use."""
        cards = (await self.listing.shown()).visible(request.identity)
        states = Counter(card.state for card in cards)
        return json_response(
            {
                "version": __version__,
                "artifacts": len(cards),
                "states": dict(sorted(states.items())),
                "bytes": sum(card.size for card in cards if card.held),
                "verified": dict(Counter(card.proof for card in cards if card.proof)),
                "writable": self.registrar is not None,
                **await self._chain(request),
            }
        )

    def _settings(self) -> Settings:
        """The project's settings as they are now; as they were at the start if they are wrong."""
        if self.listing.root is None:
            return self.settings
        try:
            found = all_settings.load(self.listing.root)
            found.check()
        except FetchError:
            return self.settings
        return found

    async def runtime(self, request: HttpRequest) -> HttpResponse:
        """The models by name, and which of them the project's `runtime:` comes to."""
        cards = (await self.listing.shown()).visible(request.identity)
        models = {name: _runtime_entry(card) for name, card in _by_name(cards).items()}
        return json_response({"models": models, **await self._chain(request)})

    async def _chain(self, request: HttpRequest) -> RuntimeChain:
        """Names as `models` has them.

        What the asker may not see is left out; a name that nothing is called stays as it is.
        """
        shown = await self.listing.shown()
        cards = shown.visible(request.identity)
        keys = {card.full_name: name for name, card in _by_name(cards).items()}
        known: dict[str, str] = {}
        for _, artifact in shown.pairs:
            for name in _names(artifact):
                known.setdefault(name, artifact.full_name)
        hidden = known.keys() - {name for name, full in known.items() if full in keys}
        config = fallback.load(await asyncio.to_thread(self._settings))
        chain = [n for n in dict.fromkeys(config.chain) if n not in hidden]
        called = {name: keys.get(known.get(name, ""), name) for name in chain}
        primary = called.get(config.primary_model)
        return {
            "current": keys.get(_current(self.listing.root) or ""),
            "primary": primary,
            "fallback_chain": [name for name in called.values() if name != primary],
        }


class RuntimeChain(TypedDict):
    """Which model is in use, which is wanted, and what comes after it: keys of `models`."""

    current: str | None
    primary: str | None
    fallback_chain: list[str]


def _by_name(cards: Iterable[CatalogCard]) -> dict[str, CatalogCard]:
    """Models by id; by manifest and id where two have one id."""
    models = [card for card in cards if card.record.text("kind") in {"", "model"}]
    often = Counter(card.id for card in models)
    return {card.id if often[card.id] == 1 else card.full_name: card for card in models}


def _names(artifact: Artifact) -> list[str]:
    return [artifact.id, artifact.full_name, *artifact.info.get("aliases", ())]


def _current(root: Path | None) -> str | None:
    """The model that `fetch runtime` chose last."""
    if root is None:
        return None
    return saved.read(saved.folder_of(root) / "runtime.json").summary.text("used") or None


def _runtime_entry(card: CatalogCard) -> dict[str, object]:
    """A model as an application asks for it: `id` is its repository, parameters stand flat."""
    found: dict[str, object] = {"id": card.repo or card.source}
    if kind := card.record.text("type"):
        found["type"] = kind
    found["requires_auth"] = card.gated
    params = card.record.object("params").values
    found |= {key: _plain(value) for key, value in params.items()}
    if description := card.record.text("description"):
        found["description"] = description
    return found


class FileJson(TypedDict):
    """A file of an artifact; `size` in bytes, `targets` relative to the project's root."""

    path: str
    size: int | None
    sha256: str | None
    targets: list[str]


class _Model(TypedDict):
    manifest: str
    id: str
    name: str
    source: str
    revision: str | None
    state: str
    held: bool
    gated: bool
    bytes: int
    record: object
    verified: Mapping[str, object] | None


class ModelJson(_Model, total=False):
    """An artifact as the API shows it."""

    files: list[FileJson]


def record(card: CatalogCard, files: bool) -> ModelJson:
    """An artifact for the API."""
    found: ModelJson = {
        "id": card.id,
        "manifest": card.manifest,
        "name": card.name,
        "source": card.source,
        "revision": card.revision or None,
        "state": card.state,
        "held": card.held,
        "gated": card.gated,
        "bytes": card.size,
        "record": _plain(card.record.values),
        "verified": card.verified.values if card.verified else None,
    }
    if files:
        found["files"] = [
            {
                "path": file.path,
                "size": file.size,
                "sha256": file.sha256,
                "targets": list(file.targets),
            }
            for file in card.files
        ]
    return found


def _plain(value: object) -> object:
    """Tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


async def _json(request: HttpRequest) -> object:
    kind = (request.headers("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise refusal(415, t("expected Content-Type: application/json"))
    body = await request.body(_LARGEST_JSON)
    try:
        found: object = json_text.loads(body)
    except (ValueError, RecursionError):
        raise refusal(400, t("the body is no JSON")) from None
    return found
