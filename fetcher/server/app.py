"""From a request to its answer: who asks, which part answers, what the log and metrics say.

    /healthz /metrics           this server
    /blobs /files /projects /v2 contents, artifacts, an OCI registry   (fetcher.server.raw_files)
    /gh/                        GitHub's file addresses                (fetcher.server.github)
    /api/ and ID/resolve/…      the Hub                                (fetcher.server.hub)
    /  and /-/                  pages about what is held (fetcher.web): no repository is called `-`

A file's address on the Hub comes first where such a repository is held, so that none is hidden
by a name of ours.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from inspect import isawaitable

from fetcher import __version__
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.reporting.prometheus import CONTENT_TYPE
from fetcher.server.github import github_file
from fetcher.server.http import HttpError, HttpRequest, HttpResponse, refusal, text_response
from fetcher.server.hub import Hub
from fetcher.server.lookup import Lookup
from fetcher.server.metrics import BYTE_COUNTERS, Metrics
from fetcher.server.raw_files import RawFiles, RegistryHandler, blob_response
from fetcher.server.tokens import ANONYMOUS, Identity, Tokens
from fetcher.server.upload import BlobUpload

Handler = Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]


@dataclass
class ServeOptions:
    """How to serve."""

    tokens: Tokens = field(default_factory=Tokens)
    require_token: bool = False
    public_url: str = ""
    trust_forwarded: bool = False
    log: Callable[[str], None] | None = None
    say: Callable[[str], None] = lambda _: None


class App:
    """Answers requests.

    `pages` are further handlers by first segment, "" for the front page; `exact` are handlers of
    single paths. What is below `writable` segments may be posted to. `session` says who asks where
    no Authorization header does, `unknown` what somebody without a token is answered, if not 401.
    """

    def __init__(
        self,
        lookup: Lookup,
        options: ServeOptions,
        metrics: Metrics | None = None,
        upload: BlobUpload | None = None,
    ) -> None:
        self.lookup = lookup
        self.options = options
        self.metrics = metrics or Metrics()
        self.upload = upload
        self.hub = Hub(lookup)
        files, registry = RawFiles(lookup), RegistryHandler(lookup)
        self.pages: dict[str, Handler] = {
            "": self._front,
            "healthz": lambda _: text_response("ok\n"),
            "metrics": self._metrics,
            "api": self.hub.api,
            "blobs": self._blob,
            "files": files.handle,
            "projects": files.document,
            "v2": registry.handle,
            "gh": lambda request: github_file(request, lookup),
        }
        self.exact: dict[str, Handler] = {}
        self.writable = {"api"}
        self.session: Callable[[HttpRequest], Identity | None] = lambda _: None
        self.unknown: Callable[[HttpRequest], HttpResponse | None] = lambda _: None
        self.open_paths: tuple[str, ...] = ("/healthz",)
        self._tokens_looked = 0.0
        self.damaged: Callable[[], int] = lambda: 0
        self.model_metrics: Callable[[], str] = lambda: ""

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """The answer to one request; every error is one too."""
        self.lookup.inventory.refresh()
        try:
            self._admit(request)
            return await self._route(request)
        except HttpError as refused:
            return refused.response

    def _admit(self, request: HttpRequest) -> None:
        """Find out who asks. Raises HttpError.

        A token that nobody has is no error where nobody needs one: clients send the token that
        they have for the Hub to whatever stands in its place.
        """
        options = self.options
        now = time.monotonic()
        if options.tokens and now - self._tokens_looked > 1:
            self._tokens_looked = now
            if complaint := options.tokens.refresh():
                options.say(complaint)
        identity: Identity | None = options.tokens.identify(request.headers("authorization"))
        if identity is None and options.tokens:
            self.metrics.add("fetch_denied_tokens_total")
        own = request.method in {"GET", "HEAD"} or request.segments[0] == "-"
        if identity is ANONYMOUS and own:  # a cookie alone never writes elsewhere
            identity = self.session(request)
        request.identity = identity or ANONYMOUS
        if not options.require_token or request.path in self.open_paths:
            return
        if not request.identity.name:
            if (instead := self.unknown(request)) is not None:
                raise HttpError(instead)
            wrong = t("does not know this token") if identity is None else t("wants a token")
            raise refusal(
                401,
                t(
                    "This mirror {wrong}: set HF_TOKEN to one that its operator gave you",
                    wrong=wrong,
                ),
                headers={"WWW-Authenticate": 'Bearer realm="fetch", Basic realm="fetch"'},
            )

    async def _route(self, request: HttpRequest) -> HttpResponse:
        if request.method in {"PUT", "POST"} and request.segments[0] == "blobs":
            if self.upload is None:
                raise refusal(403, t("This mirror takes no uploads"))
            return await self.upload.take(request)
        posts = request.method == "POST" and request.segments[0] in self.writable
        if request.method not in {"GET", "HEAD"} and not posts:
            raise refusal(405, t("This mirror is read-only"), headers={"Allow": "GET, HEAD"})
        if (single := self.exact.get(request.path)) is not None:
            made = single(request)
            return await made if isawaitable(made) else made
        address = self.hub.file_address(request.segments)
        page = self.pages.get(request.segments[0])
        if address is not None and (page is None or self._held(request, address)):
            return await self.hub.file(request, address)
        if page is None:
            raise refusal(404, t("Nothing is served at this address"))
        made = page(request)
        return await made if isawaitable(made) else made

    def _held(self, request: HttpRequest, address: tuple[str, str, str, list[str]]) -> bool:
        return self.lookup.view.repo(address[0], address[1], request.identity) is not None

    def _blob(self, request: HttpRequest) -> HttpResponse:
        rest = request.segments[1:]
        if len(rest) != 2 or rest[0] != "sha256":
            raise refusal(404, "contents are at /blobs/sha256/<64 hex digits>")
        return blob_response(request, self.lookup, rest[1])

    def _metrics(self, request: HttpRequest) -> HttpResponse:
        artifacts = self.lookup.view.artifacts
        seen = [item for item in artifacts if request.identity.may_see(item.full_name, item.record)]
        whole = len(seen) == len(artifacts)
        text = self.metrics.text(
            # How many bytes others get or bring would tell the sizes of what is not seen.
            without=() if whole else BYTE_COUNTERS,
            artifacts=len(seen),
            files=sum(len(item.files) for item in seen),
            held_bytes=sum(item.size for item in seen),
            damaged_contents_total=self.damaged(),
        )
        if whole:  # names of models
            text += self.model_metrics()
        return text_response(text, kind=CONTENT_TYPE)

    def _front(self, request: HttpRequest) -> HttpResponse:
        if request.path != "/":
            raise refusal(404, t("Nothing is served at this address"))
        base = request.base
        held = len(self.lookup.view.visible(request.identity))
        lines = [
            f"fetch {__version__}: a mirror of {held} artifacts",
            "",
            f"export HF_ENDPOINT={base}    # then any Hugging Face client works",
            f"fetch all --from {base}      # by digest, for projects with a fetch.lock",
            f"{base}/files/                # what is held, as JSON",
        ]
        return text_response("\n".join(lines) + "\n")

    def finished(self, request: HttpRequest, status: int, size: int, seconds: float) -> None:
        """Count and log an answer that begins to leave."""
        part = request.segments[0]
        part = part if part in self.pages and part else "hub"
        self.metrics.add(
            "fetch_requests_total", part=part, method=_method(request), status=str(status)
        )
        self.metrics.add("fetch_response_bytes_total", size)
        if self.options.log is not None:
            self.options.log(
                f'{request.client} {request.identity.name or "-"} "{_method(request)} '
                f'{_shown(request.path)}" {status} {size} {seconds * 1000:.1f}ms'
            )


def _method(request: HttpRequest) -> str:
    """A method, but not whatever text a client puts in its place."""
    return request.method if request.method in {"GET", "HEAD", "POST", "PUT"} else "OTHER"


def _shown(path: str) -> str:
    """A path on one line, without the query, which may hold what is nobody's business."""
    return printable(path if len(path) <= 500 else path[:500] + "…").replace('"', "%22")
