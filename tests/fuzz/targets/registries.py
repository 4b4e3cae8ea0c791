"""A registry's answers: challenges, tokens, manifests, signatures."""

from __future__ import annotations

from pathlib import Path

from fetcher.errors import Failure, UsageError
from fetcher.mirror.oci_registry import Reference, Registry, signed_blobs
from fetcher.network.urls import origin_of
from tests.fuzz.kit import ROOT, SPLIT, AnsweringNetwork, Target, response_of, seed

KEY = ROOT / "tests/data/bundles/format-1.pub"


def check(data: bytes) -> None:
    for ask in (_headers, _contents, _signed):
        network = AnsweringNetwork(response_of(part) for part in data.split(SPLIT))
        try:
            ask(Registry(Reference("r.example", "a/b"), network))
        except (Failure, UsageError) as failure:
            assert failure.message
        for url in network.asked:
            assert origin_of(url)[0] == "https" or "127.0.0.1" in url or "localhost" in url, url


def _headers(registry: Registry) -> None:
    for name, value in registry.headers():
        assert name == "Authorization" and value.isprintable() and value.isascii()


def _contents(registry: Registry) -> None:
    registry.contents()


def _signed(registry: Registry, key: Path = KEY) -> None:
    signed_blobs(registry, key)


DIGEST = "sha256:" + "ab" * 32
LAYERS = '{"artifactType": "application/vnd.fetch.signature.v1", "layers": [{"digest": "' + DIGEST + (
    '", "size": 3}, {"digest": "' + DIGEST + '", "size": 4}]}')  # fmt: skip
TARGET = Target(
    check,
    [
        seed('401\nwww-authenticate: Bearer realm="https://auth.example/t",service="s"\n\n',
             '200\n\n{"token": "abc", "expires_in": 60}', "200\n\n{}"),
        seed('401\nwww-authenticate: Basic realm="x"\n\n'),
        seed('401\nwww-authenticate: Bearer realm="https://[x"\n\n'),
        seed("200\n\n", "200\n\n{}", "200\n\n" + LAYERS, "200\n\nsums\n", "200\n\nsignature"),
    ],
    ["200\n", "401\n", "404\n", "\n\n", "www-authenticate: ", "Bearer ", "Basic ", 'realm="', "https://",
     "http://127.0.0.1/", "[", "]", '{"token": "', '"access_token": ', '"expires_in": ', LAYERS, DIGEST,
     "1e999", "null", "true", "\\n", "-1", '"layers": ', "@"],
    longest=1500,
)  # fmt: skip
