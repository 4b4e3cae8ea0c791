"""What a bundle will consist of, to the byte, before anything is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fetcher.bundle.export_contents import ExportContents
from fetcher.bundle.readme import describe
from fetcher.mirror import oci_documents
from fetcher.mirror.bundle import (
    INDEX,
    LAYOUT,
    LAYOUT_TEXT,
    PROJECT,
    README,
    SUMS,
    blob_name,
)
from fetcher.mirror.tar import END, header, padding


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle: its bytes in memory (`data`), or in a file on disk (`path`)."""

    name: str
    size: int
    sha256: str
    data: bytes | None = None
    path: str = ""


@dataclass
class BundlePlan:
    """The files of a bundle in the order in which a tar has them."""

    files: list[BundleFile]
    sums: bytes
    payload_files: int
    payload_bytes: int
    left_out: int

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def tar_size(self) -> int:
        """Bytes of the tar."""
        return sum(
            len(header(file.name, file.size)) + file.size + padding(file.size)
            for file in self.files
        ) + len(END)

    @property
    def digest(self) -> str:
        """The sha256 of SHA256SUMS, which stands for the whole bundle."""
        return hashlib.sha256(self.sums).hexdigest()


def _inline(name: str, data: bytes) -> BundleFile:
    return BundleFile(name, len(data), hashlib.sha256(data).hexdigest(), data)


def plan_bundle(
    contents: ExportContents,
    has: Callable[[str], bool] | None,
    tool: Mapping[str, str] | None = None,
) -> BundlePlan:
    """Plan a bundle. `has` tells what the other side has already: the rest makes a delta.

    `tool` has files (paths by name below tool/) that come along.
    """
    built = oci_documents.build(contents.artifacts, contents.documents, delta=has is not None)
    files = [_inline(LAYOUT, LAYOUT_TEXT), _inline(INDEX, built.index)]
    project = [_inline(PROJECT + name, data) for name, data in sorted(contents.documents.items())]
    tools = [_of_file(f"tool/{name}", path) for name, path in sorted((tool or {}).items())]
    documents = [
        BundleFile(blob_name(sha256), len(data), sha256, data)
        for sha256, data in sorted(built.blobs.items())
    ]
    payload: dict[str, BundleFile] = {}
    left_out: set[str] = set()
    for artifact in sorted(contents.artifacts, key=lambda item: (item.manifest, item.id)):
        for file in artifact.files:
            sha256 = file.sha256 or ""
            if sha256 in payload or sha256 in built.blobs:
                continue
            if has is not None and has(sha256):
                left_out.add(sha256)
                continue
            name = blob_name(sha256)
            payload[sha256] = BundleFile(
                name, file.size or 0, sha256, None, contents.places[sha256]
            )
    missing = len(left_out) if has is not None else None
    readme = describe(contents.artifacts, built.tags, missing, bool(tools))
    files.append(_inline(README, readme.encode("utf-8")))
    everything = files + project + tools + documents + list(payload.values())
    lines = sorted((file.name, file.sha256) for file in everything)
    sums = "".join(f"{sha256}  {name}\n" for name, sha256 in lines).encode("utf-8")
    everything.insert(len(files), _inline(SUMS, sums))
    size = sum(file.size for file in payload.values())
    assert len({file.name for file in everything}) == len(everything)
    return BundlePlan(everything, sums, len(payload), size, len(left_out))


def _of_file(name: str, path: str) -> BundleFile:
    with open(path, "rb") as stream:  # noqa: PTH123
        data = stream.read()
    return _inline(name, data)
