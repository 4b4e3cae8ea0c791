"""GitHub's answers: trees, truncated trees, releases and LFS pointers."""

from __future__ import annotations

from fetcher.errors import Failure
from fetcher.network.urls import origin_of
from fetcher.register import repository_info
from fetcher.sources.base import FileEntry
from fetcher.sources.github import GitHub
from tests.fuzz.kit import SPLIT, AnsweringNetwork, Target, response_of, seed
from tests.fuzz.targets.hub_listings import COMMIT, answers_for

HOSTS = {"github.com", "api.github.com", "raw.githubusercontent.com", "media.githubusercontent.com"}


def check(data: bytes) -> None:
    answers_for(GitHub("o/r"), data, HOSTS)
    answers_for(GitHub("o/r", COMMIT, "sub"), data, HOSTS)
    answers_for(GitHub("o/r", release="latest"), data, HOSTS)
    network = AnsweringNetwork(response_of(part) for part in data.split(SPLIT))
    try:
        repository_info.read(GitHub("o/r"), network)
    except Failure as failure:
        assert failure.message
    _deferred(data)


def _deferred(data: bytes) -> None:
    """What LFS and the API say of one file: an address that is one, and headers that can be sent."""
    for file in (FileEntry("a.bin", 3, "ab" * 32, None, True), FileEntry("a.bin", 3)):
        network = AnsweringNetwork(response_of(part) for part in data.split(SPLIT))
        source = GitHub("o/r", release="" if file.lfs else "v1")
        try:
            found = source._batch(file, network) if file.lfs else source._asset("v1", file, network)
        except Failure as failure:
            assert failure.message
            continue
        assert origin_of(found.url)[0] == "https"


TREE = '{"tree": [{"type": "blob", "path": "a.bin", "size": 3, "mode": "100644", "sha": "' + (
    COMMIT + '"}, {"type": "tree", "path": "sub", "sha": "' + COMMIT + '"}], "truncated": false}'
)
TARGET = Target(
    check,
    [
        seed('200\n\n{"sha": "' + COMMIT + '"}', "200\n\n" + TREE),
        seed("200\n\n" + TREE.replace("false", "true"), "200\n\n" + TREE, "200\n\n" + TREE),
        seed('200\n\n{"tag_name": "v1", "assets": [{"name": "a.bin", "size": 3, "url": '
             '"https://api.github.com/x", "digest": "sha256:' + "ab" * 32 + '"}]}'),
        seed('200\n\n{"objects": [{"actions": {"download": {"href": "https://h/x", "header": '
             '{"Authorization": "Basic x"}}}}]}'),
        seed("403\nx-ratelimit-remaining: 0\nx-ratelimit-reset: 99\n\n"),
        seed("200\n\nversion https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 5\n"),
    ],
    ["200\n", "404\n", "\n\n", TREE, COMMIT, '"size": ', '"path": "', '"tree": [', '"assets": [', "[", "]",
     "{", "}", "null", "true", "1e5", "-1", "../", "\\u0000", "\\ud800", '"href": "', "http://", "[::1",
     '"header": {', "\\r\\n", '"truncated": true', ".gitattributes", '"mode": "120000"'],
)  # fmt: skip
