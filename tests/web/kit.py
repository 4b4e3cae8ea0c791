"""A project with something of everything, its server with tokens, and forms for it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fetcher.verify.contract import png

from tests.server.kit import Answer, Mirror, bearer
from tests.servers.hub import HubServer

WRITER, READER, OTHER = "writer-token-1", "reader-token-1", "other-token-12"
TOKENS = f"ana read,upload {WRITER}\nbob read {READER}\neve upload {OTHER}\n"
HTML = {"Accept": "text/html,application/xhtml+xml"}

MANIFEST = """visibility: public
artifacts:
  vqgan-16:
    name: VQGAN ImageNet (f=16), 1024
    description: "First line\\nsecond <b>line</b>"
    task: image-compression
    framework: pytorch
    license: MIT
    owner: research
    visibility: public
    tags: [vqgan, first-stage]
    attributes: {codebook_size: 1024}
    metrics: [psnr]
    source: {type: local, path: src}
    files: [a.bin]
  vqgan-8:
    name: VQGAN OpenImages
    task: image-compression
    framework: jax
    license: MIT
    visibility: public
    source: {type: local, path: src}
    files: [b.bin]
  small: {name: Small, source: "hf:o/small", task: text-generation, aliases: [tiny]}
  evil:
    name: <script>alert(1)</script>
    source: "hf:o/gated"
    owner: '"><img src=x onerror=alert(1)>'
    tags: ["'onmouseover='alert(1)"]
    requires_auth: true
    optional: true
  hidden: {name: Hidden, visibility: private, source: {type: local, path: src}, files: [c.bin]}
"""
LAYOUT = "tree:\n  models:\n" + "".join(
    f"    {name}/: {name}\n" for name in ("vqgan-16", "vqgan-8", "small", "evil", "hidden")
)
PNG = png.encode(bytes((200, 30, 30)) * 64, 8, 8, 3)


def report(digest: str) -> dict[str, Any]:
    """What `fetch verify` would have left."""
    passed = {
        "artifact": "vqgan-16",
        "type": "compression",
        "state": "passed",
        "checks": [{"name": "loads", "ok": True, "detail": "<i>all</i> tensors"}],
        "metrics": {"parameters": 12, "benchmarks": {"kodak24": {"psnr": 24.5, "bpp": 0.1}}},
        "tables": [{"name": "Quality", "columns": ["picture", "psnr"], "rows": [["k1", 23.0]]}],
        "pictures": [
            {"name": "Before", "caption": "after", "width": 1, "height": 1, "sha256": digest}
        ],
        "time": "2026-11-24T10:00:00+00:00",
    }
    failed = {
        "artifact": "vqgan-8",
        "type": "compression",
        "state": "failed",
        "reason": "weights do not fit <x>",
        "metrics": {},
    }
    better = {"artifact": "hidden", "state": "passed", "metrics": {"psnr": 99.0}}
    return {"schema": "fetch.report/1", "results": [passed, failed, better]}


@dataclass
class Place:
    """A running server and what it shows."""

    home: Path
    root: Path
    mirror: Mirror
    hub: HubServer

    def page(self, path: str, token: str = "", **headers: str) -> Answer:
        """A page as a browser asks for it."""
        more = bearer(token) if token else {}
        return self.mirror.ask(path, headers={**HTML, **more, **headers})

    def post(
        self, path: str, form: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A form as a browser sends it."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form, doseq=True).encode()
        return self.mirror.ask(path, "POST", {**HTML, **kind, **(headers or {})}, body)

    def call(
        self, path: str, value: Any, token: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """JSON posted by a program."""
        more = bearer(token) if token else {}
        kind = {"Content-Type": "application/json"}
        body = json.dumps(value).encode()
        return self.mirror.ask(path, "POST", {**kind, **more, **(headers or {})}, body)

    def sign_in(self, token: str = WRITER) -> dict[str, str]:
        """The cookie of somebody."""
        answer = self.post("/-/login", {"token": token, "next": "/-/add"})
        assert answer.status == 303, answer.body
        return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}

    def csrf(self, cookie: Mapping[str, str]) -> str:
        """What stands in the forms of a sign-in."""
        found = re.search(r'name="csrf" value="([^"]+)"', text_of(self.page("/", **cookie)))
        assert found
        return found[1]


Make = Callable[..., Place]


def text_of(answer: Answer) -> str:
    return answer.body.decode()


def words_of(answer: Answer) -> str:
    """A page's text without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", " ", text_of(answer)))


def tags_of(text: str) -> list[tuple[str, dict[str, str]]]:
    """Every element of a page, as a browser would see it."""
    found: list[tuple[str, dict[str, str]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, {name: value or "" for name, value in attrs}))

    Reader().feed(text)
    return found
