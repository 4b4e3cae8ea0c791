"""The bundle's index for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fetcher.mirror.inventory import HeldArtifact
from fetcher.ui.units import human_bytes

_HEAD = """\
Models and datasets, packed by fetch. The folder is an OCI image layout.

Is it whole?     sha256sum -c SHA256SUMS
Is it genuine?   fetch mirror check --verify-key KEY.pub BUNDLE
Into a store:    fetch mirror import BUNDLE
Into a project:  fetch all --offline --from BUNDLE
One artifact:    oras pull --oci-layout BUNDLE:TAG -o DIRECTORY   (every tag of it)

The project's manifests, layouts and fetch.lock are in project/. A file's bytes are in
blobs/sha256/DIGEST; project/fetch.lock says which path has which digest.
"""
_DELTA = """
This is a delta: {count} that the other side has are not in it.
"""


def describe(
    artifacts: Sequence[HeldArtifact],
    tags: Mapping[str, Sequence[tuple[str, str]]],
    left_out: int | None,
) -> str:
    """What is in a bundle, from where, under which licence; the same text for the same content."""
    parts = [_HEAD]
    if left_out is not None:
        parts.append(_DELTA.format(count=f"{left_out:,} file contents"))
    for artifact in sorted(artifacts, key=lambda item: (item.manifest, item.id)):
        rows = [
            ("name", artifact.name),
            ("source", artifact.source),
            ("revision", artifact.revision or "(none)"),
            ("licence", artifact.record.text("license") or "(not stated)"),
            ("files", f"{len(artifact.files):,}"),
            ("size", f"{artifact.size:,} bytes ({human_bytes(artifact.size)})"),
        ]
        for tag, digest in tags[artifact.full_name]:
            rows += [("tag", tag), ("digest", digest)]
        lines = "".join(f"  {key:<9}{' '.join(value.split())}\n" for key, value in rows)
        parts.append(f"\n{artifact.full_name}\n{lines}")
    return "".join(parts)
