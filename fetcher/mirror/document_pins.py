"""Whether a bundle keeps what its own manifests state: its lock, and what it calls artifacts."""

from __future__ import annotations

from collections.abc import Iterator

from fetcher.errors import LockError, Problem
from fetcher.i18n import join, t
from fetcher.mirror.oci_documents import Contents
from fetcher.project import lockfile, manifest, pins
from fetcher.project.lockfile import Lock
from fetcher.project.manifest import Manifest
from fetcher.project.pins import Contradiction
from fetcher.yamldoc import nodes


def contradictions_of(contents: Contents, label: str) -> list[Problem]:
    """A problem for each pin of a manifest in `contents` that its lock or artifacts do not keep.

    Documents that cannot be read are no matter here: nothing is fetched by them.
    """
    manifests = dict(_manifests(contents))
    found = {item: made for made in manifests.values() for item in _found(made, contents)}
    error = pins.mismatch((made, item) for item, made in found.items())
    hint = t("do not use it: ask whoever made it for one whose lock keeps its manifest")
    return [
        problem._replace(message=join((label, problem.message), ": "), hint=hint)
        for problem in (error.found if error else ())
    ]


def _manifests(contents: Contents) -> Iterator[tuple[str, Manifest]]:
    for name, data in contents.documents.items():
        if name.startswith("manifests/"):
            made = manifest.decode(nodes.parse(data, name))
            if made is not None:
                yield made.name, made


def _found(made: Manifest, contents: Contents) -> Iterator[Contradiction]:
    lock = _lock(contents)
    for artifact in made.artifacts.values():
        yield from lock.contradictions(artifact)
    for held in contents.artifacts:
        stated = made.artifacts.get(held.id) if held.manifest == made.name else None
        if stated is None or held.source != stated.source.describe():
            continue
        if stated.unpack is not None:
            continue  # what it states is about archives, and these are not in a bundle
        for item in pins.contradictions(stated, held.revision, held.files, len(held.files)):
            if item.fact not in {"md5", "published"}:  # an image has none
                yield item


def _lock(contents: Contents) -> Lock:
    try:
        text = contents.documents.get(lockfile.NAME, b"").decode("utf-8")
        return lockfile.loads(text) if text else Lock()
    except (LockError, UnicodeDecodeError):
        return Lock()
