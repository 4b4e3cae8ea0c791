"""The documents of a bundle as OCI images: one manifest per artifact, a layer per file.

    index.json ── manifest of an artifact (more than one if it has very many files)
               │    ├── config: what the artifact is (schema fetch.artifact/1)
               │    └── layers: its files, each with its path as title
               └── manifest of the project: fetch.lock, manifests, layouts

Everything read here comes from outside and is checked against its digest and against the rules.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypedDict

from fetcher.errors import Failure
from fetcher.fs.safe_paths import BadPath, PathClaims, check_relative, printable
from fetcher.fs.spelled import told_apart
from fetcher.i18n import t
from fetcher.mirror.inventory import ArtifactRecord, HeldArtifact, SourceFields
from fetcher.sources.base import FileEntry, shown, sound_size
from fetcher.verify.contract import json_text

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
ARTIFACT_TYPE = "application/vnd.fetch.artifact.v1"
PROJECT_TYPE = "application/vnd.fetch.project.v1"
CONFIG_TYPE = f"{ARTIFACT_TYPE}+json"
LAYER_TYPE = "application/octet-stream"
_CONFIG_TYPES = {ARTIFACT_TYPE: CONFIG_TYPE, PROJECT_TYPE: EMPTY_TYPE}
SCHEMA = "fetch.artifact/1"
FORMAT = "1"
PROJECT_TAG = "project"

_TITLE = "org.opencontainers.image.title"
_REF = "org.opencontainers.image.ref.name"
_FORMAT = "vnd.fetch.bundle"
_DELTA = "vnd.fetch.delta"
_GIT_BLOB = "vnd.fetch.git-blob"
_LFS = "vnd.fetch.lfs"
_ARCHIVE = "vnd.fetch.archive"
_EXECUTABLE = "vnd.fetch.executable"
# Registries refuse larger manifests; the rest of 4 MiB is for what is not layers.
MAX_MANIFEST = 4 << 20
_MAX_LAYERS = MAX_MANIFEST - (64 << 10)
MAX_DOCUMENT = 256 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_GIT = re.compile(r"[0-9a-f]{40}")
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DOCUMENT = re.compile(r"fetch\.lock|(?:manifests|layouts)/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\.yaml")
_LINE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")


class _Blob(TypedDict):
    mediaType: str
    digest: str
    size: int


class DescriptorJson(_Blob, total=False):
    """What refers to a blob, as a document has it; `size` in bytes."""

    artifactType: str
    annotations: dict[str, str]


class _ManifestKeys(TypedDict):
    schemaVersion: int
    mediaType: str
    artifactType: str
    config: DescriptorJson
    layers: list[DescriptorJson]


class ManifestJson(_ManifestKeys, total=False):
    """An OCI image manifest; `subject` is what it is about, for a signature."""

    annotations: dict[str, str]
    subject: DescriptorJson


class IndexJson(TypedDict):
    """An OCI image index."""

    schemaVersion: int
    mediaType: str
    manifests: list[DescriptorJson]
    annotations: dict[str, str]


class ConfigJson(TypedDict):
    """The config of an artifact's manifests: what the artifact is."""

    schema: str
    manifest: str
    id: str
    source: str
    origin: Mapping[str, object]
    revision: str
    record: Mapping[str, object]


class Descriptor(NamedTuple):
    """What refers to a blob."""

    digest: str
    size: int
    tag: str = ""
    manifest: bool = False  # registries keep manifests elsewhere than other blobs

    @property
    def sha256(self) -> str:
        """The digest's hex."""
        return self.digest.removeprefix("sha256:")


@dataclass(frozen=True)
class Image:
    """One OCI manifest: its own bytes' descriptor, its config and its layers."""

    descriptor: Descriptor
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass
class Contents:
    """What an index leads to. `delta` marks an index whose blobs need not all be there."""

    index: bytes
    artifacts: list[HeldArtifact] = field(default_factory=list)
    images: dict[str, list[Image]] = field(default_factory=dict)  # by an artifact's full name
    project: Image | None = None
    documents: dict[str, bytes] = field(default_factory=dict)
    delta: bool = False

    def all_images(self) -> Iterator[Image]:
        """Every manifest, the project's last."""
        for images in self.images.values():
            yield from images
        if self.project is not None:
            yield self.project

    def metadata(self) -> set[str]:
        """Digests of all blobs that are no artifact's files."""
        found = set()
        for image in self.all_images():
            found |= {image.descriptor.sha256, image.config.sha256}
        if self.project is not None:
            found |= {layer.sha256 for layer in self.project.layers}
        return found

    def payload(self) -> dict[str, int]:
        """Size of every file's content by sha256."""
        return {
            file.sha256: file.size or 0
            for artifact in self.artifacts
            for file in artifact.files
            if file.sha256
        }


# Writing


@dataclass
class BuiltDocuments:
    """Documents made: the index, and all other blobs by sha256."""

    index: bytes
    blobs: dict[str, bytes]
    tags: dict[str, list[tuple[str, str]]]  # an artifact's full name: (tag, digest) of each part


def as_json(value: object) -> bytes:
    """JSON in one form only: the same value is the same bytes."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8")


def tag_of(manifest: str, name: str, part: int = 1) -> str:
    """An artifact's tag. Names whose dots could be read in two ways get a digest behind them."""
    tag = f"{manifest}.{name}"
    if "." in manifest or len(tag) > 100 or tag == PROJECT_TAG:
        tag = f"{tag[:100]}-{hashlib.sha256(f'{manifest}/{name}'.encode()).hexdigest()[:12]}"
    return tag if part == 1 else f"{tag}.part{part}"


class DocumentBuilder:
    """Gathers documents, each under its digest."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: list[DescriptorJson] = []

    def blob(self, media_type: str, data: bytes) -> DescriptorJson:
        """Keep a document; its descriptor."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.blobs[sha256] = data
        return {"mediaType": media_type, "digest": f"sha256:{sha256}", "size": len(data)}

    def file(self, name: str, data: bytes) -> DescriptorJson:
        """Keep a small file; the layer that it is."""
        return {**self.blob(LAYER_TYPE, data), "annotations": {_TITLE: name}}

    def image(self, manifest: ManifestJson, tag: str) -> str:
        """Add one manifest to the index; its digest."""
        descriptor = self.blob(MANIFEST_TYPE, as_json(manifest))
        kind = manifest["artifactType"]
        self.manifests.append({**descriptor, "artifactType": kind, "annotations": {_REF: tag}})
        return descriptor["digest"]


def image_manifest(kind: str, config: DescriptorJson, layers: list[DescriptorJson]) -> ManifestJson:
    """A manifest of an artifact type, without annotations."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": kind,
        "config": config,
        "layers": layers,
    }


def build(
    artifacts: Sequence[HeldArtifact], documents: Mapping[str, bytes], delta: bool = False
) -> BuiltDocuments:
    """The OCI documents of artifacts and their project."""
    builder = DocumentBuilder()
    tags: dict[str, list[tuple[str, str]]] = {}
    for artifact in sorted(artifacts, key=lambda item: (item.manifest, item.id)):
        config = builder.blob(CONFIG_TYPE, as_json(_config(artifact)))
        parts = list(_parts(artifact.files))
        for number, layers in enumerate(parts, 1):
            tag = tag_of(artifact.manifest, artifact.id, number)
            manifest = image_manifest(ARTIFACT_TYPE, config, layers)
            manifest["annotations"] = _notes(artifact, number, len(parts))
            digest = builder.image(manifest, tag)
            tags.setdefault(artifact.full_name, []).append((tag, digest))
    layers = [builder.file(name, data) for name, data in sorted(documents.items())]
    empty = builder.blob(EMPTY_TYPE, b"{}")
    builder.image(image_manifest(PROJECT_TYPE, empty, layers), PROJECT_TAG)
    notes = {_FORMAT: FORMAT} | ({_DELTA: "true"} if delta else {})
    index: IndexJson = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": builder.manifests,
        "annotations": notes,
    }
    return BuiltDocuments(as_json(index) + b"\n", builder.blobs, tags)


def _config(artifact: HeldArtifact) -> ConfigJson:
    return {
        "schema": SCHEMA,
        "manifest": artifact.manifest,
        "id": artifact.id,
        "source": artifact.source,
        "origin": artifact.origin.values,
        "revision": artifact.revision,
        "record": artifact.record.values,
    }


def _notes(artifact: HeldArtifact, part: int, parts: int) -> dict[str, str]:
    """Annotations for people and other tools."""
    notes = {_TITLE: artifact.name}
    if artifact.revision:
        notes["org.opencontainers.image.revision"] = artifact.revision
    if licence := artifact.record.text("license"):
        notes["org.opencontainers.image.licenses"] = licence
    if parts > 1:
        notes["vnd.fetch.part"] = f"{part}/{parts}"
    return notes


def _layer(file: FileEntry) -> DescriptorJson:
    notes = {_TITLE: file.path}
    if file.git_blob:
        notes[_GIT_BLOB] = file.git_blob
    if file.lfs:
        notes[_LFS] = "true"
    if file.archive:
        notes[_ARCHIVE] = file.archive
    if file.executable:
        notes[_EXECUTABLE] = "true"
    return {
        "mediaType": LAYER_TYPE,
        "digest": f"sha256:{file.sha256}",
        "size": file.size or 0,
        "annotations": notes,
    }


def _parts(files: Iterable[FileEntry]) -> Iterator[list[DescriptorJson]]:
    """Layers in as few manifests as registries take."""
    part: list[DescriptorJson] = []
    used = 0
    for file in sorted(files):
        layer = _layer(file)
        size = len(as_json(layer)) + 1
        if used + size > _MAX_LAYERS:
            yield part
            part, used = [], 0
        part.append(layer)
        used += size
    yield part


# Reading


class _Malformed(Exception):
    """A document is not as it must be."""


def parse(index: bytes, read: Callable[[Descriptor], bytes], label: str) -> Contents:
    """Follow an index. `read` gives a blob's bytes or raises Failure. Raises Failure."""
    try:
        return _IndexReader(index, read).run()
    except _Malformed as refused:
        raise Failure(
            "bundle",
            t("{label}: {refused}", label=label, refused=refused),
            t("was it made by `fetch mirror export`? copy it again"),
        ) from None
    except (ValueError, RecursionError) as error:
        raise Failure(
            "bundle", t("{label}: a document is no sound JSON: {error}", label=label, error=error)
        ) from error


def _mapping(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _Malformed(t("{what} is no object", what=what))
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not _LINE.fullmatch(value):
        raise _Malformed(t("{what} is no text of one line", what=what))
    return value


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and sound_size(value) else None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose keys stand there once: readers differ in which of two they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Malformed(t("a document has a key twice"))
    return found


def _loads(data: bytes) -> object:
    found: object = json_text.loads(data, object_pairs_hook=_once)
    return found


def _descriptor(value: object, what: str, *types: str) -> tuple[Descriptor, dict[str, object]]:
    """What refers to a blob of one of these media types, and its annotations.

    Bytes come from where the document came from, under their digest: what leads elsewhere is
    refused rather than passed over, as another reader might follow it.
    """
    item = _mapping(value, what)
    digest, size = item.get("digest"), _size(item.get("size"))
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or size is None:
        raise _Malformed(t("{what} has no sound digest and size", what=what))
    if item.get("mediaType") not in types:
        raise _Malformed(
            t(
                "{what} leads to something of type {found}, expected {types}",
                what=what,
                found=shown(item.get("mediaType")),
                types=", ".join(types),
            )
        )
    if item.get("urls"):
        raise _Malformed(
            t(
                "{what} names addresses of its own for {digest} ({urls}), which are never followed",
                what=what,
                digest=digest,
                urls=shown(item["urls"]),
            )
        )
    if item.get("data") is not None and not _is_of(item["data"], digest, size):
        raise _Malformed(
            t("{what} carries other bytes than those of {digest}", what=what, digest=digest)
        )
    notes = _mapping(item.get("annotations") or {}, t("the annotations of {what}", what=what))
    return Descriptor(digest, size, str(notes.get(_REF, ""))), notes


def _is_of(data: object, digest: str, size: int) -> bool:
    """Whether the bytes that a descriptor carries (in Base64) are those of its digest."""
    if not isinstance(data, str):
        return False
    try:
        found = base64.b64decode(data, validate=True)
    except ValueError:
        return False
    return len(found) == size and hashlib.sha256(found).hexdigest() == digest.partition(":")[2]


def _title(notes: Mapping[str, object], what: str) -> str:
    path = notes.get(_TITLE)
    if not isinstance(path, str):
        raise _Malformed(t("{what} has a file without a name", what=what))
    try:
        return check_relative(path)
    except BadPath as error:
        raise _Malformed(
            t("{what}: {path!r} {error}", what=what, path=printable(path)[:100], error=error)
        ) from error


class _IndexReader:
    def __init__(self, index: bytes, read: Callable[[Descriptor], bytes]) -> None:
        self.contents = Contents(index)
        self.read = read
        self._files: dict[str, list[FileEntry]] = {}
        self._claims: dict[str, PathClaims] = {}
        self._heads: dict[str, tuple[Descriptor, HeldArtifact]] = {}
        self._sizes: dict[str, int] = {}
        self._seen: set[str] = set()

    def run(self) -> Contents:
        """Read the index and all that it leads to."""
        index = _mapping(_loads(self.contents.index), t("the index"))
        notes = _mapping(index.get("annotations") or {}, t("the index's annotations"))
        version = notes.get(_FORMAT)
        if version is None:
            raise _Malformed(t("the index is not that of a bundle"))
        if version != FORMAT:
            raise _Malformed(
                t(
                    "format {version!r}; this version of fetch reads format {format}",
                    version=version,
                    format=FORMAT,
                )
            )
        self.contents.delta = notes.get(_DELTA) == "true"
        manifests = index.get("manifests")
        if not isinstance(manifests, list):
            raise _Malformed(t("the index has no list of manifests"))
        for entry in manifests:
            descriptor = self._refer(entry, t("the index"), MANIFEST_TYPE)[0]
            if descriptor.digest in self._seen:
                raise _Malformed(
                    t("the index lists manifest {digest} twice", digest=descriptor.digest)
                )
            self._seen.add(descriptor.digest)
            self._image(descriptor._replace(manifest=True))
        for name, (_, head) in sorted(self._heads.items()):
            files = tuple(sorted(self._files[name]))
            self.contents.artifacts.append(replace(head, files=files))
        if self.contents.project is None:
            raise _Malformed(t("the index has no project"))
        return self.contents

    def _refer(self, value: object, what: str, *types: str) -> tuple[Descriptor, dict[str, object]]:
        """A descriptor and its annotations; all that refer to one blob must agree on its size."""
        found = _descriptor(value, what, *types)
        if self._sizes.setdefault(found[0].digest, found[0].size) != found[0].size:
            raise _Malformed(t("{digest} has two sizes", digest=found[0].digest))
        return found

    def _blob(self, descriptor: Descriptor) -> bytes:
        if descriptor.size > (MAX_MANIFEST if descriptor.manifest else MAX_DOCUMENT):
            raise _Malformed(t("{digest} is too large for a document", digest=descriptor.digest))
        data = self.read(descriptor)
        found = hashlib.sha256(data).hexdigest()
        if len(data) != descriptor.size or found != descriptor.sha256:
            raise Failure(
                "digest-mismatch",
                t("blob {sha256} has other bytes than its name says", sha256=descriptor.sha256),
                t("copy the bundle again"),
                file=f"blobs/sha256/{descriptor.sha256}",
            )
        return data

    def _image(self, descriptor: Descriptor) -> None:
        what = t("manifest {digest}", digest=descriptor.digest)
        manifest = _mapping(_loads(self._blob(descriptor)), what)
        kind = manifest.get("artifactType")
        if manifest.get("mediaType") != MANIFEST_TYPE:
            raise _Malformed(t("{what} is no image manifest", what=what))
        if manifest.get("subject") is not None:
            raise _Malformed(t("{what} refers to another manifest (subject)", what=what))
        if not isinstance(kind, str) or kind not in _CONFIG_TYPES:
            raise _Malformed(t("{what} is of an unknown type", what=what))
        config, _ = self._refer(
            manifest.get("config"), t("the config of {what}", what=what), _CONFIG_TYPES[kind]
        )
        layers = manifest.get("layers")
        if not isinstance(layers, list):
            raise _Malformed(t("{what} has no list of layers", what=what))
        found = [self._refer(layer, what, LAYER_TYPE) for layer in layers]
        image = Image(descriptor, config, tuple(layer for layer, _ in found))
        if kind == PROJECT_TYPE:
            self._project(image, found)
        else:
            self._artifact(image, found)

    def _project(self, image: Image, layers: list[tuple[Descriptor, dict[str, object]]]) -> None:
        if self.contents.project is not None:
            raise _Malformed(t("the index has two projects"))
        self._blob(image.config)
        self.contents.project = image
        for layer, notes in layers:
            name = _title(notes, t("the project"))
            if not _DOCUMENT.fullmatch(name) or name in self.contents.documents:
                raise _Malformed(t("the project has an unexpected file {name!r}", name=name))
            self.contents.documents[name] = self._blob(layer)

    def _artifact(self, image: Image, layers: list[tuple[Descriptor, dict[str, object]]]) -> None:
        head = self._head(image.config)
        name = head.full_name
        known = self._heads.setdefault(name, (image.config, head))
        if known[0] != image.config:
            raise _Malformed(t("the artifact {name} is there twice", name=name))
        self.contents.images.setdefault(name, []).append(image)
        files = self._files.setdefault(name, [])
        claims = self._claims.setdefault(name, PathClaims())
        for layer, notes in layers:
            path = _title(notes, name)
            if (other := claims.claim(path)) is not None:
                own, taken = told_apart(path, other)
                raise _Malformed(
                    t("{name}: {own} stands there twice", name=name, own=own)
                    if path == other
                    else t("{name}: {own} collides with {other}", name=name, own=own, other=taken)
                )
            git_blob = notes.get(_GIT_BLOB)
            if git_blob is not None and not (
                isinstance(git_blob, str) and _GIT.fullmatch(git_blob)
            ):
                raise _Malformed(t("{name}: {path!r} has a wrong git id", name=name, path=path))
            lfs = notes.get(_LFS) == "true"
            archive = notes.get(_ARCHIVE, "")
            if not isinstance(archive, str):
                raise _Malformed(t("{name}: {path!r} is of no archive", name=name, path=path))
            entry = FileEntry(path, layer.size, layer.sha256, git_blob, lfs, archive=archive)
            files.append(entry._replace(executable=notes.get(_EXECUTABLE) == "true"))

    def _head(self, config: Descriptor) -> HeldArtifact:
        item = _mapping(_loads(self._blob(config)), t("a config"))
        if item.get("schema") != SCHEMA:
            raise _Malformed(
                t(
                    "a config has schema {get!r}, expected {schema!r}",
                    get=item.get("schema"),
                    schema=SCHEMA,
                )
            )
        as_json(item)  # half a surrogate pair can be read, and never written
        names = [item.get("manifest"), item.get("id")]
        if not all(isinstance(name, str) and _ID.fullmatch(name) for name in names):
            raise _Malformed(t("a config has no sound manifest and id"))
        return HeldArtifact(
            str(names[0]),
            str(names[1]),
            _text(item.get("source"), t("a source")),
            SourceFields(_mapping(item.get("origin"), t("an origin"))),
            _text(item.get("revision"), t("a revision")),
            (),
            ArtifactRecord(_mapping(item.get("record"), t("a record"))),
        )
