"""A bundle's OCI documents: many files in several manifests, tags, and what is refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from fetcher.errors import Failure
from fetcher.fs.extents import Extent, part_of
from fetcher.mirror import oci_documents
from fetcher.mirror.inventory import ArtifactRecord, HeldArtifact, SourceFields
from fetcher.mirror.oci_documents import Descriptor, tag_of
from fetcher.sources.base import FileEntry


def held(name: str, count: int, manifest: str = "p") -> HeldArtifact:
    files = tuple(
        FileEntry(
            f"train/{i:07d}.jpg",
            i,
            hashlib.sha256(b"%d" % i).hexdigest(),
            hashlib.sha1(b"%d" % i).hexdigest() if i % 2 else None,
            i % 3 == 0,
        )
        for i in range(count)
    )
    origin = SourceFields({"type": "huggingface", "repo": "o/m", "repo_type": "model", "path": ""})
    record = ArtifactRecord({"name": "A name", "license": "MIT", "io": {"resolution": [1, 2]}})
    return HeldArtifact(manifest, name, "hf:o/m@main", origin, "c0ffee", files, record)


def parsed(built: oci_documents.BuiltDocuments) -> oci_documents.Contents:
    return oci_documents.parse(built.index, lambda d: built.blobs[d.sha256], "here")


def test_what_is_written_is_read_and_no_manifest_is_too_large() -> None:
    artifacts = [held("big", 30_000), held("empty-name.x", 3)]
    documents = {"fetch.lock": b"{}", "manifests/p.yaml": b"manifest: p\n"}
    built = oci_documents.build(artifacts, documents)
    found = parsed(built)
    assert [a.files for a in found.artifacts] == [a.files for a in artifacts]
    assert found.artifacts == artifacts and found.documents == documents and not found.delta
    images = found.images["p/big"]
    assert len(images) == 2
    for image in found.all_images():
        assert image.descriptor.size <= 4 << 20
    assert [image.descriptor.tag for image in images] == ["p.big", "p.big.part2"]
    again = oci_documents.build(artifacts[::-1], dict(reversed(documents.items())))
    assert again.index == built.index and again.blobs == built.blobs
    assert parsed(oci_documents.build(artifacts, documents, delta=True)).delta


def test_tags_are_valid_and_do_not_meet() -> None:
    pairs = [("a.b", "c"), ("a", "b.c"), ("a", "b"), ("m" * 128, "i" * 128), ("m" * 128, "j" * 128)]
    tags = [tag_of(*pair, part) for pair in pairs for part in (1, 2)]
    assert len(set(tags)) == len(tags)
    assert all(len(tag) <= 128 and tag != oci_documents.PROJECT_TAG for tag in tags)
    assert tag_of("ohlora", "polyglot-ko-1.3b") == "ohlora.polyglot-ko-1.3b"


def change(built: oci_documents.BuiltDocuments, edit: Any) -> oci_documents.BuiltDocuments:
    """The same documents after `edit` of the first artifact's (index, manifest, config)."""
    index = json.loads(built.index)
    entry = index["manifests"][0]
    manifest = json.loads(built.blobs[entry["digest"][7:]])
    config = json.loads(built.blobs[manifest["config"]["digest"][7:]])
    edit(index, manifest, config)
    blobs = dict(built.blobs)

    def keep(value: Any, descriptor: dict[str, Any]) -> None:
        data = oci_documents.as_json(value)
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        descriptor.update(digest=f"sha256:{digest}", size=len(data))

    if isinstance(manifest.get("config"), dict):
        keep(config, manifest["config"])
    keep(manifest, entry)
    return oci_documents.BuiltDocuments(oci_documents.as_json(index), blobs, {})


def retitle(title: Any) -> Any:
    def edit(index: Any, manifest: Any, config: Any) -> None:
        manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = title

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (retitle("../../etc/passwd"), "leads out"),
        (retitle("/abs"), "absolute"),
        (retitle(7), "without a name"),
        (retitle("train/0000001.jpg"), "stands there twice"),
        (retitle("TRAIN/0000001.JPG"), "collides"),
        (lambda i, m, c: i.update(annotations={}), "not that of a bundle"),
        (lambda i, m, c: i["annotations"].update({"vnd.fetch.bundle": "2"}), "format '2'"),
        (lambda i, m, c: m.update(layers=5), "no list of layers"),
        (lambda i, m, c: m["layers"][0].update(size=True), "digest and size"),
        (lambda i, m, c: m["layers"][0].update(size=-1), "digest and size"),
        (lambda i, m, c: m["layers"][0].update(digest="md5:1"), "digest and size"),
        (lambda i, m, c: m.update(artifactType="x"), "unknown type"),
        (lambda i, m, c: m.update(config=None), "no object"),
        (lambda i, m, c: c.update(schema="fetch.artifact/9"), "schema"),
        (lambda i, m, c: c.update(id="../x"), "no sound manifest and id"),
        (lambda i, m, c: c.update(source="a\x1b[2J"), "one line"),
        (lambda i, m, c: c.update(record=[]), "no object"),
        (lambda i, m, c: i["manifests"].append(i["manifests"][-1]), "lists manifest .* twice"),
        (lambda i, m, c: i["manifests"].pop(), "no project"),
    ],
)
def test_documents_that_are_not_as_they_must_be(edit: Any, said: str) -> None:
    built = change(oci_documents.build([held("a", 3)], {"fetch.lock": b"{}"}), edit)
    with pytest.raises(Failure, match=said) as caught:
        parsed(built)
    assert caught.value.exit_code == 4


def test_a_document_with_other_bytes_than_its_digest() -> None:
    built = oci_documents.build([held("a", 3)], {"fetch.lock": b"{}"})

    def read(descriptor: Descriptor) -> bytes:
        return built.blobs[descriptor.sha256].replace(b"fetch", b"fatch")

    with pytest.raises(Failure) as caught:
        oci_documents.parse(built.index, read, "here")
    assert caught.value.problem.code == "digest-mismatch"
    deep = b'{"manifests":' + b"[" * 100_000
    with pytest.raises(Failure, match="JSON"):
        oci_documents.parse(deep, read, "here")


def test_parts_of_pieces() -> None:
    pieces = [Extent("a", 10, 5), Extent("b", 0, 3)]
    assert part_of(pieces, 0, 8) == tuple(pieces)
    assert part_of(pieces, 3, 6) == (Extent("a", 13, 2), Extent("b", 0, 1))
    assert part_of(pieces, 5, 5) == () and part_of(pieces, 7, 99) == (Extent("b", 2, 1),)
