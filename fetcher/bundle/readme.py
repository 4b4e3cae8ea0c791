"""The bundle's index for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fetcher.bundle.first_steps import Form, commands
from fetcher.mirror.inventory import HeldArtifact
from fetcher.ui.units import human_bytes

_HEAD = """\
Models and datasets, packed by fetch. The folder is an OCI image layout.

Is it whole?     sha256sum -c SHA256SUMS
Is it genuine?   see below, then: fetch mirror check --verify-key KEY.pub BUNDLE
Into a store:    fetch mirror import BUNDLE
Into a project:  fetch all --offline --from BUNDLE
One artifact:    oras pull --oci-layout BUNDLE:TAG -o DIRECTORY   (every tag of it)

The project's manifests, layouts and fetch.lock are in project/. A file's bytes are in
blobs/sha256/DIGEST; project/fetch.lock says which path has which digest.
"""
_FIRST = """
Before anything of it runs, tool/install.sh included: prove SHA256SUMS by what came another way than
this bundle, the sender's public key or the digest on paper. Whoever changed a file here could have
changed these lines as well: type them from the manual if you have it (docs/offline.md).

By the public key, for BUNDLE.tar:

{by_key}

By the digest of SHA256SUMS: the same with these lines in place of those with key:

{by_digest}

For a bundle in a folder, unpack from it instead of tar xf, and its signature is
"$bundle/SHA256SUMS.sig":

{in_folder}
"""
_DELTA = """
This is a delta: {count} that the other side has are not in it.
"""


def _first() -> str:
    """How to prove the tool, for any name that the bundle will get."""
    bundle = "/media/usb/BUNDLE.tar"
    by_key = commands(Form.TAR, bundle, key="KEY.pub")
    by_digest = commands(Form.TAR, bundle, digest="DIGEST")
    in_folder = commands(Form.FOLDER, bundle, key="KEY.pub")
    return _FIRST.format(
        by_key=_block(by_key),
        by_digest=_block(line for line in by_digest if line not in by_key),
        in_folder=_block(line for line in in_folder if line not in by_key),
    )


def _block(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def describe(
    artifacts: Sequence[HeldArtifact],
    tags: Mapping[str, Sequence[tuple[str, str]]],
    left_out: int | None,
    tool: bool = False,
) -> str:
    """What is in a bundle, from where, under which licence; the same text for the same content."""
    parts = [_HEAD, _first()] if tool else [_HEAD]
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
