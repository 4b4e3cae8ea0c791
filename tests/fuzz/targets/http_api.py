"""`fetch serve` from within: no request makes it fail, hang, or name a file that is not its own."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from fetcher.config import settings
from fetcher.mirror.bundle import LAYOUT_TEXT
from fetcher.server.app import App, ServeOptions
from fetcher.server.blob_check import BlobChecks
from fetcher.server.lookup import Lookup
from fetcher.server.rsgi import Service
from fetcher.server.served_inventory import ServedInventory, StoreLocation
from fetcher.server.tokens import Tokens
from fetcher.store.store import Store
from fetcher.web.routes import Web, WebOptions
from tests.conftest import write_project
from tests.fuzz.kit import Target, parts_of, scratch, seed

CONTENT = b"0123456789" * 10
SHA = hashlib.sha256(CONTENT).hexdigest()
TOKEN = "token-of-ana-1"


@dataclass
class _Headers:
    values: dict[str, str]

    def get(self, name: str) -> str | None:
        return self.values.get(name)


@dataclass
class _Scope:
    method: str
    path: str
    query_string: str
    headers: _Headers
    proto: str = "http"
    scheme: str = "http"
    authority: str = "localhost"
    client: str = "127.0.0.1:1"


@dataclass
class _Proto:
    """granian's side: keeps the answer."""

    body: bytes
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    readers: list[threading.Thread] = field(default_factory=list)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, headers

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers = status, headers

    def response_str(self, status: int, headers: list[tuple[str, str]], body: str) -> None:
        self.status, self.headers = status, headers

    def response_file_range(
        self, status: int, headers: list[tuple[str, str]], path: str, start: int, stop: int
    ) -> None:
        self.status, self.headers = status, headers
        self.files.append(path)

    def response_file(self, status: int, headers: list[tuple[str, str]], path: str) -> None:
        """A pipe that a thread feeds: read, as granian would."""
        self.status, self.headers = status, headers
        self.readers.append(threading.Thread(target=Path(path).read_bytes, daemon=True))
        self.readers[-1].start()

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> _Proto:
        self.status, self.headers = status, headers
        return self

    async def send_bytes(self, data: bytes) -> None:
        pass

    async def client_disconnect(self) -> None:
        await asyncio.sleep(3600)


@dataclass
class _Site:
    service: Service
    loop: asyncio.AbstractEventLoop
    said: list[str]
    root: Path


@lru_cache
def _site() -> _Site:
    home = scratch() / "served"
    root = home / "project"
    files = "{x.bin: {size: 100, sha256: " + SHA + "}}"
    write_project(
        root,
        "p",
        "artifacts:\n  pub: {visibility: public, source: 'hf:o/m', files: " + files + "}\n"
        "  own: {visibility: private, owner: eve, source: 'hf:o/own', files: " + files + "}\n",
        "tree: {pub/: pub, own/: own}\n",
    )
    store = Store(home / "store")
    store.prepare()
    (home / "store/oci-layout").write_bytes(LAYOUT_TEXT)
    (home / "store/blobs/sha256" / SHA).write_bytes(CONTENT)
    files_json = '[{"path": "x.bin", "size": 100, "sha256": "' + SHA + '"}]'
    entry = '{"source": "hf:%s@main", "revision": "' + "a" * 40 + '", "files": ' + files_json + "}"
    (root / "fetch.lock").write_text(
        '{"schema": "fetch.lock/1", "manifests": {"p": {"pub": '
        + entry % "o/m" + ', "own": ' + entry % "o/own" + "}}}"
    )  # fmt: skip
    (home / "tokens").write_text(f"ana read,upload {TOKEN}\n")
    said: list[str] = []
    loop = asyncio.new_event_loop()
    chosen = settings.Settings(root, {"store": settings.Value(str(home / "store"), "test")})
    location = StoreLocation(home / "store", (root,))
    service = loop.run_until_complete(_service(location, chosen, root, home, said))
    return _Site(service, loop, said, home)


async def _service(
    location: StoreLocation, chosen: settings.Settings, root: Path, home: Path, said: list[str]
) -> Service:
    inventory = ServedInventory([location])
    options = ServeOptions(Tokens(home / "tokens"), say=said.append)
    app = App(Lookup(inventory), options)
    Web(app, chosen, WebOptions(root, (), 1 << 20))
    return Service(app, BlobChecks(lambda sha256, stat: inventory.view.stamped(sha256, stat, [])))


def check(data: bytes) -> None:
    """Method, path and query, headers, body."""
    line, head, body = parts_of(data, 3)
    method, _, target = line.decode("latin-1").partition(" ")
    if not (method.isascii() and method.isalpha() and len(method) < 20):
        method = "GET"
    path, _, query = target.partition("?")
    headers = {}
    for pair in head.decode("latin-1").split("\n"):
        name, colon, value = pair.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    if headers.get("authorization") == "ana":
        headers["authorization"] = f"Bearer {TOKEN}"
    site = _site()
    site.said.clear()
    proto = _Proto(body)
    shown = unquote(path.encode("latin-1").decode("utf-8", "replace"), errors="replace")
    scope = _Scope(method, shown, query, _Headers(headers))
    site.loop.run_until_complete(asyncio.wait_for(site.service.__rsgi__(scope, proto), 20))
    for reader in proto.readers:
        reader.join(20)
        assert not reader.is_alive(), "a body that never ends"
    assert proto.status and proto.status != 500, (scope, site.said)
    for name, value in proto.headers:
        assert value.isprintable() and "\n" not in name, (name, value)
    for file in proto.files:
        assert Path(file).resolve().is_relative_to(site.root), file


TARGET = Target(
    check,
    [
        seed("GET /", "Accept: text/html"),
        seed("GET /healthz"),
        seed("GET /metrics", "authorization: ana"),
        seed(f"GET /blobs/sha256/{SHA}", "range: bytes=0-4,9-12"),
        seed("GET /o/m/resolve/main/x.bin", 'if-none-match: "x"'),
        seed("HEAD /api/models/o/m/tree/main?recursive=true&limit=1"),
        seed("GET /api/models/o/own/revision/main", "authorization: ana"),
        seed("POST /api/models/o/m/paths-info/main", "content-type: application/x-www-form-urlencoded",
             "paths=x.bin&expand=true"),
        seed("POST /api/models/o/m/paths-info/main", "content-type: application/json",
             '{"paths": ["x.bin"]}'),
        seed("GET /v2/p.pub/manifests/latest"),
        seed("GET /v2/_catalog?n=1&last=x"),
        seed("GET /files/p/pub/x.bin"),
        seed("GET /projects/p/fetch.lock"),
        seed("GET /gh/o/r/main/x.bin"),
        seed(f"PUT /blobs/sha256/{SHA}", "authorization: ana\ncontent-length: 3", "abc"),
        seed("GET /-/api/models?q=x&task=y&limit=2&offset=1"),
        seed("GET /-/api/models/p/pub"),
        seed("GET /-/api/openapi.json"),
        seed("GET /-/api/propose-id?name=a&manifest=p", "authorization: ana"),
        seed("POST /-/api/models?dry_run=true", "authorization: ana\ncontent-type: application/json",
             '{"name": "N", "source": "local:x", "task": "segmentation", "io": {"resolution": [1, 2]}}'),
        seed("POST /-/api/uploads", "authorization: ana\ncontent-type: application/json",
             '{"name": "a.bin", "size": 3}'),
        seed("GET /-/model/p/pub", "Accept: text/html\naccept-language: ko"),
        seed("POST /-/login", "content-type: application/x-www-form-urlencoded", "token=x&next=/-/add"),
        seed("GET /api/models?search=o&author=o&limit=9"),
        seed("GET /models"),
        seed("GET /status"),
    ],
    ["GET ", "HEAD ", "POST ", "PUT ", "/api/models/", "/api/datasets/", "/resolve/", "/raw/", "/tree/",
     "/paths-info/", "/revision/", "/refs", "/-/api/", "/-/", "%2e%2e", "%2F", "%00", "%0a", "%ff", "../",
     "//", "?limit=", "&cursor=", "range: bytes=", "if-range: ", "if-match: ", "authorization: ana",
     "authorization: Bearer x", "cookie: ", "x-forwarded-host: ", "content-type: application/json", SHA,
     "host: ", "null", "[]", "{}", '{"name": ', '"source": ', "\\ud800", "1e999", "accept-language: ",
     "-/model/", "-/compare?ids=", "-/leaderboard", "-/static/", "x.bin"],
    longest=700,
)  # fmt: skip
