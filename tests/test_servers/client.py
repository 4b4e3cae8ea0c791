"""A bare HTTP client for these tests: it follows nothing and hides nothing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 10,
) -> Answer:
    split = urlsplit(url)
    assert split.hostname == "127.0.0.1"
    line = http.client.HTTPConnection(split.hostname, split.port or 80, timeout=timeout)
    target = split.path + ("?" + split.query if split.query else "")
    try:
        line.request(method, target, body, dict(headers or {}))
        answer = line.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        line.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
