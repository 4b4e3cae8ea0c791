"""The Hub's answers: an artifact is listed soundly, or refused in words; no page leads elsewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

from fetcher.errors import Failure
from fetcher.fs.safe_paths import check_relative
from fetcher.register import repository_info
from fetcher.sources.base import FileEntry, Request, Source, sound_size
from fetcher.sources.huggingface import HuggingFace
from tests.fuzz.kit import SPLIT, AnsweringNetwork, Target, response_of, seed

COMMIT = "0123456789" * 4
HOST = "huggingface.co"


def check(data: bytes) -> None:
    answers_for(HuggingFace("o/m"), data, {HOST})
    answers_for(HuggingFace("o/m", "dataset", COMMIT, "sub"), data, {HOST})
    network = AnsweringNetwork(response_of(part) for part in data.split(SPLIT))
    try:
        found = repository_info.read(HuggingFace("o/m"), network)
    except Failure as failure:
        assert failure.message
        return
    assert isinstance(found.values, dict) and found.size >= 0


def answers_for(source: Source, data: bytes, hosts: set[str]) -> None:
    """What any source may do with the answers."""
    url = "https://" + min(hosts, key=len) + "/api/x"
    network = AnsweringNetwork(response_of(part, url) for part in data.split(SPLIT))
    try:
        found = source.resolve(Request(), network)
    except Failure as failure:
        assert failure.message and failure.problem.code != "internal"
        return
    finally:
        for asked in network.asked:
            assert urlsplit(asked).hostname in hosts, asked
    assert found.files
    for file in found.files:
        assert isinstance(file, FileEntry) and check_relative(file.path) == file.path
        assert sound_size(file.size)
        for candidate in source.candidates(found.revision, file, network):
            place = getattr(candidate, "url", None)
            assert place is None or urlsplit(place).hostname in hosts | {
                "raw.githubusercontent.com"
            }


ENTRY = '{"type": "file", "path": "a.bin", "size": 3, "oid": "' + COMMIT + '"}'
LFS = '{"type": "file", "path": "sub/b", "size": 3, "oid": "' + COMMIT + '", "lfs": {"oid": "' + (
    "ab" * 32) + '", "size": 9}}'  # fmt: skip
TARGET = Target(
    check,
    [
        seed('200\n\n{"sha": "' + COMMIT + '"}', f"200\n\n[{ENTRY}, {LFS}]"),
        seed(f'200\nlink: <https://{HOST}/api/y?cursor=1>; rel="next"\n\n[{ENTRY}]', f"200\n\n[{LFS}]"),
        seed('200\nlink: <//[x>; rel="next"\n\n[]'),
        seed("404\nx-error-code: EntryNotFound\n\n", f"200\n\n[{LFS}]"),
        seed("403\nx-error-code: GatedRepo\nx-error-message: awaiting\n\n"),
        seed('200\n\n{"sha": "' + COMMIT + '", "tags": ["license:mit"], "cardData": {"license": "mit"},'
             '"gated": "auto", "pipeline_tag": "text-to-image", "safetensors": {"total": 7}}',
             f"200\n\n[{ENTRY}]"),
        seed("200\ncontent-type: text/html\n\n<html>"),
    ],
    ["200\n", "401\n", "404\n", "link: <", '>; rel="next"', "\n\n", ENTRY, LFS, COMMIT, '"size": ',
     '"path": "', '"lfs": {', '"oid": "', "[", "]", "{", "}", "null", "true", "1e5", "-1", "../",
     "\\u0000", "\\ud800", "//evil.example/", "https://", "[::1", "?cursor=", '"type": "directory"',
     "x-error-code: GatedRepo\n", "9" * 5000],
)  # fmt: skip
