"""Addresses of this mirror's own: contents by digest, files by artifact, an OCI registry's.

/blobs/sha256/HEX                   what `fetch all --from http://…` asks for
/files/[MANIFEST/[ARTIFACT/[PATH]]] a listing as JSON, or a file
/projects/NAME                      fetch.lock, manifests and layouts of what is held
/v2/…                               an OCI registry, to pull from
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypedDict

from fetcher.i18n import t
from fetcher.mirror import oci_documents
from fetcher.mirror.inventory import HeldArtifact, Inventory
from fetcher.project import lockfile as locks
from fetcher.server.files import file_response, media_type
from fetcher.server.http import HttpError, HttpRequest, HttpResponse, json_response, refusal
from fetcher.server.lookup import Lookup, missing
from fetcher.server.repos import repo_file
from fetcher.server.tokens import Identity

_HEX = re.compile(r"[0-9a-f]{64}")
_FOREVER = "public, max-age=31536000, immutable"


def blob_response(request: HttpRequest, lookup: Lookup, sha256: str) -> HttpResponse:
    """A content by its digest. Raises HttpError."""
    content = None
    if _HEX.fullmatch(sha256) and lookup.view.may_read(request.identity, sha256):
        content = lookup.content_of(sha256)
    if content is None:
        raise refusal(404, t("This mirror does not hold that content"))
    headers = {"ETag": f'"{sha256}"', "Content-Type": "application/octet-stream"}
    return HttpResponse(200, {**headers, "Docker-Content-Digest": f"sha256:{sha256}"}, content)


class RawFiles:
    """Artifacts and their files."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Whatever is below /files/."""
        rest = request.segments[1:]
        artifacts = self.lookup.view.visible(request.identity)
        if rest[-1] == "":
            rest = rest[:-1]
        if len(rest) < 2:
            chosen = [item for item in artifacts if not rest or item.manifest == rest[0]]
            chosen = [item for item in chosen if item.latest]
            if rest and not chosen:
                raise missing(rest[0])
            return json_response({"artifacts": [_summary(item) for item in chosen]})
        artifact = self._artifact(request.identity, "/".join(rest[:2]))
        if len(rest) == 2:
            return json_response({**_summary(artifact), "files": _listing(artifact)})
        path = "/".join(rest[2:])
        file = next((file for file in artifact.files if file.path == path), None)
        if file is None:
            raise missing(path)
        entry = repo_file(file)
        return file_response(entry, self.lookup.content(entry))

    def _artifact(self, identity: Identity, name: str) -> HeldArtifact:
        """What a name means. Raises HttpError, too where parties contradict each other."""
        found = self.lookup.view.named(identity, name)
        if not found:
            raise missing(name)
        if len(found) > 1:
            raise refusal(409, _contradiction(name, found[0].party, found[-1].party))
        return found[0]

    def document(self, request: HttpRequest) -> HttpResponse:
        """A project's own file: the lock that a client at this site needs, and its manifests.

        Of the lock a client sees what it may see; a manifest with more than that is not shown.
        """
        name = "/".join(request.segments[1:])
        found, disputed = shown_documents(self.lookup.view.inventories, request.identity)
        if name in disputed:
            raise refusal(409, disputed[name])
        if name not in found:
            raise missing(name)
        data = found[name]
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        return HttpResponse(200, {"Content-Type": media_type("x.json"), "ETag": etag}, data)


def _contradiction(name: str, first: str, second: str) -> str:
    return t(
        "{name} is one thing to {first} and another to {second}: serve one of them alone",
        name=name,
        first=first,
        second=second,
    )


def shown_documents(
    inventories: Iterable[Inventory], identity: Identity
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The documents of what the operator named, as somebody may see them; and why others are not
    shown, by name: those of which two parties have two.

    Of what was imported one after the other, the latest counts, and a delta more than its base.
    """
    found: dict[str, tuple[Inventory, bytes]] = {}
    disputed: dict[str, str] = {}
    for inventory in inventories:
        for name, data in public_documents(inventory, identity) if inventory.published else ():
            other, before = found.setdefault(name, (inventory, data))
            if before == data:
                continue
            if inventory.delta or (inventory.imported and other.imported):
                found[name] = inventory, data
            else:
                disputed[name] = _contradiction(name, other.label, inventory.label)
    return {k: data for k, (_, data) in found.items() if k not in disputed}, disputed


def public_documents(inventory: Inventory, identity: Identity) -> Iterator[tuple[str, bytes]]:
    """The documents of an inventory as somebody may see them."""
    hidden = {
        (item.manifest, item.id)
        for item in inventory.artifacts()
        if not identity.may_see(item.full_name, item.record)
    }
    for name, data in inventory.documents().items():
        shown = _without(name, data, hidden) if hidden else data
        if shown is not None:
            yield name, shown


def _without(name: str, data: bytes, hidden: set[tuple[str, str]]) -> bytes | None:
    """A document that does not tell of these artifacts, None if that is all it could do."""
    if name == locks.NAME:
        lock = locks.loads(data.decode())
        for key in hidden:
            lock.artifacts.pop(key, None)
        return locks.dumps(lock).encode()
    return None


class _ListedArtifact(TypedDict):
    manifest: str
    id: str
    name: str
    source: str
    revision: str
    license: str | None
    file_count: int
    bytes: int


class _ListedFile(TypedDict):
    path: str
    size: int | None
    sha256: str | None


def _summary(artifact: HeldArtifact) -> _ListedArtifact:
    return {
        "manifest": artifact.manifest,
        "id": artifact.id,
        "name": artifact.name,
        "source": artifact.source,
        "revision": artifact.revision,
        "license": artifact.record.text("license") or None,
        "file_count": len(artifact.files),
        "bytes": artifact.size,
    }


def _listing(artifact: HeldArtifact) -> list[_ListedFile]:
    return [
        {"path": file.path, "size": file.size, "sha256": file.sha256} for file in artifact.files
    ]


@dataclass
class _RepositoryImages:
    """One repository of the registry: its documents by sha256, manifests' digests by tag."""

    blobs: dict[str, bytes]
    tags: dict[str, str]
    kinds: dict[str, str]  # media types of manifests and indexes by sha256


class RegistryHandler:
    """The pulling half of the OCI distribution protocol.

    An artifact is a repository: `oras pull HOST/MANIFEST/ARTIFACT:latest` restores its files. The
    repository `all` has everything as one bundle, for `fetch mirror pull oci://HOST/all`.
    """

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self._made: dict[tuple[object, ...], _RepositoryImages] = {}

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Whatever is below /v2/."""
        rest = request.segments[1:]
        version = {"Docker-Distribution-API-Version": "registry/2.0"}
        if rest in ([], [""]):
            return json_response({}, version)
        if rest == ["_catalog"]:
            shown = self.lookup.view.visible(request.identity)
            names = {_repository(item) for item in shown if item.latest}
            return json_response({"repositories": sorted(names | {_EVERYTHING})}, version)
        if len(rest) < 3 or rest[-2] not in {"manifests", "blobs", "tags"}:
            raise _oci_refusal("UNSUPPORTED", t("this registry can only be pulled from"), 404)
        name = "/".join(rest[:-2])
        images = self._images(request.identity, name)
        made = self._answer(request, images, rest[-2], rest[-1], name)
        made.headers |= version
        return made

    def _answer(
        self, request: HttpRequest, images: _RepositoryImages, action: str, ref: str, name: str
    ) -> HttpResponse:
        if action == "tags":
            return json_response({"name": name, "tags": sorted(images.tags)})
        digest = (images.tags.get(ref) or ref).removeprefix("sha256:")
        data = images.blobs.get(digest)
        if action == "blobs" and data is None:
            return blob_response(request, self.lookup, digest)
        kind = images.kinds.get(digest, "") if action == "manifests" else "application/octet-stream"
        if data is None or not kind:
            raise _oci_refusal(
                "MANIFEST_UNKNOWN", t("{name} has no {ref}", name=name, ref=ref), 404
            )
        headers = {"Content-Type": kind, "ETag": f'"{digest}"'}
        return HttpResponse(200, {**headers, "Docker-Content-Digest": f"sha256:{digest}"}, data)

    def _images(self, identity: Identity, name: str) -> _RepositoryImages:
        view = self.lookup.view
        chosen: dict[str, HeldArtifact] = {}
        for item in view.visible(identity):
            wanted = item.published if name == _EVERYTHING else name == _repository(item)
            if item.files and wanted and item.full_name not in chosen:
                found = view.named(identity, item.full_name)
                if len(found) > 1 and name != _EVERYTHING:
                    text = _contradiction(name, found[0].party, found[-1].party)
                    raise _oci_refusal("DENIED", text, 409)
                if len(found) == 1 and found[0].files:
                    chosen[item.full_name] = found[0]
        if not chosen and name != _EVERYTHING:
            raise _oci_refusal("NAME_UNKNOWN", t("this registry has no {name}", name=name), 404)
        key = (name, view, *map(id, chosen.values()))
        if key not in self._made:
            if len(self._made) > 64 or any(other[1] is not view for other in self._made):
                self._made.clear()
            documents: dict[str, bytes] = {}
            if name == _EVERYTHING:
                documents, _ = shown_documents(view.inventories, identity)
            self._made[key] = _built(list(chosen.values()), documents, name == _EVERYTHING)
        return self._made[key]


_EVERYTHING = "all"  # that the operator named, or a source said


def _built(
    artifacts: list[HeldArtifact], documents: dict[str, bytes], everything: bool
) -> _RepositoryImages:
    """`latest` is the bundle's index, or an artifact's manifest; `partN` those that follow it."""
    built = oci_documents.build(artifacts, documents)
    entries = json.loads(built.index)["manifests"]
    kinds = {
        entry["digest"].removeprefix("sha256:"): oci_documents.MANIFEST_TYPE for entry in entries
    }
    if everything:
        index = hashlib.sha256(built.index).hexdigest()
        tags = {"latest": f"sha256:{index}"}
        return _RepositoryImages(
            built.blobs | {index: built.index}, tags, kinds | {index: oci_documents.INDEX_TYPE}
        )
    ((_, parts),) = built.tags.items()
    tags = {f"part{i}" if i > 1 else "latest": digest for i, (_, digest) in enumerate(parts, 1)}
    return _RepositoryImages(built.blobs, tags, kinds)


def _repository(artifact: HeldArtifact) -> str:
    """The name in the registry, where upper case is not allowed."""
    return artifact.full_name.lower()


def _oci_refusal(code: str, message: str, status: int) -> HttpError:
    found = refusal(status, message)
    body = {"errors": [{"code": code, "message": message}]}
    found.response.body = json.dumps(body).encode()
    return found
