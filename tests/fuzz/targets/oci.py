"""A bundle's OCI documents; `@1` stands for the digest of part 1, so that mutants lead somewhere."""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial

from fetcher.errors import Failure
from fetcher.fs.safe_paths import PathClaims, check_relative
from fetcher.mirror import oci_documents
from fetcher.mirror.oci_documents import Descriptor
from tests.fuzz.kit import SPLIT, Target, seed


def check(data: bytes) -> None:
    parts, blobs = data.split(SPLIT)[:8], dict[str, bytes]()
    for index in range(len(parts) - 1, -1, -1):
        parts[index] = re.sub(rb"@(\d)", partial(_named, parts, index), parts[index])
        blobs[hashlib.sha256(parts[index]).hexdigest()] = parts[index]

    def read(descriptor: Descriptor) -> bytes:
        if descriptor.sha256 not in blobs:
            raise Failure("missing", "not here")
        return blobs[descriptor.sha256]

    try:
        found = oci_documents.parse(parts[0], read, "here")
    except Failure as failure:
        assert failure.problem.code in {"bundle", "missing", "digest-mismatch"} and failure.message
        return
    for artifact in found.artifacts:
        claims = PathClaims()
        for file in artifact.files:
            assert check_relative(file.path) == file.path and claims.claim(file.path) is None
            assert isinstance(file.size, int) and 0 <= file.size < 2**63 and file.sha256
    _reads_back(found)


def _named(parts: list[bytes], index: int, found: re.Match[bytes]) -> bytes:
    """A descriptor of a later part."""
    number = int(found[1])
    if not index < number < len(parts):
        return b"null"
    digest = hashlib.sha256(parts[number]).hexdigest()
    return b'{"digest": "sha256:%s", "size": %d}' % (digest.encode(), len(parts[number]))


def _reads_back(found: oci_documents.Contents) -> None:
    """Written by our own writer, it is the same."""
    try:
        built = oci_documents.build(found.artifacts, found.documents, found.delta)
    except (
        UnicodeEncodeError
    ):  # half a surrogate pair in a record: json.loads makes them of \\ud800
        raise AssertionError("read, and cannot be written") from None
    again = oci_documents.parse(built.index, lambda d: built.blobs[d.sha256], "here")
    names = [artifact.full_name for artifact in found.artifacts]
    assert sorted(a.full_name for a in again.artifacts) == sorted(names)
    assert {a.full_name: a.files for a in again.artifacts} == {
        a.full_name: a.files for a in found.artifacts
    }
    assert again.documents == found.documents


FILE = {"digest": "sha256:" + "ab" * 32, "size": 3,
        "annotations": {"org.opencontainers.image.title": "a/b.bin", "vnd.fetch.lfs": "true"}}  # fmt: skip
CONFIG = {"schema": "fetch.artifact/1", "manifest": "m", "id": "a", "source": "hf:o/m", "revision": "r",
          "origin": {"type": "huggingface"}, "record": {"name": "A"}}  # fmt: skip
GOOD = seed(
    '{"annotations": {"vnd.fetch.bundle": "1"}, "manifests": [@1, @2]}',
    '{"artifactType": "application/vnd.fetch.project.v1", "config": @3, "layers": []}',
    '{"artifactType": "application/vnd.fetch.artifact.v1", "config": @4, "layers": ['
    + json.dumps(FILE) + "]}",
    "{}",
    json.dumps(CONFIG),
)  # fmt: skip
TARGET = Target(
    check,
    [GOOD, GOOD.replace(b"a/b.bin", b"../x"), GOOD.replace(b'"name": "A"', b'"name": "\\ud800"')],
    ["@1", "@2", "@3", "@4", "@5", '"annotations": {', '"vnd.fetch.delta": "true"', '"layers": [', "null",
     "[", "]", "{", "}", "true", "-1", "1e3", "\\ud800", json.dumps(FILE), json.dumps(CONFIG), ", ",
     '"artifactType": ', "fetch.lock", "manifests/m.yaml", "[" * 60, '"size": '],
)  # fmt: skip
