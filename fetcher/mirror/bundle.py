"""A bundle: an OCI image layout with SHA256SUMS over everything, as a folder, tar or volumes.

    oci-layout  index.json  INDEX.txt  SHA256SUMS  project/…  tool/…  blobs/sha256/…

`SHA256SUMS` names every other file; a file that it does not name, or that is not there, makes the
bundle unsound just as a changed byte does. The signature covers the same list.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from fetcher.errors import Failure, Problem, UsageError
from fetcher.fs.extents import Extent
from fetcher.i18n import t
from fetcher.mirror import oci_documents
from fetcher.mirror.containers import Container, Folder, open_archive
from fetcher.mirror.document_pins import contradictions_of
from fetcher.mirror.inventory import HeldArtifact
from fetcher.mirror.oci_documents import MAX_DOCUMENT, Contents, Descriptor
from fetcher.mirror.volumes import parse_sums, sums_path, volume_base

SUMS = "SHA256SUMS"
SIGNATURE = "bundle.sig"
MAX_SIGNATURE = 256 << 20  # bytes
SUMS_SIGNATURE = f"{SUMS}.sig"  # over SHA256SUMS alone, for openssl
INDEX = "index.json"
LAYOUT = "oci-layout"
README = "INDEX.txt"
PROJECT = "project/"
TOOL = "tool/"
LAYOUT_TEXT = b'{"imageLayoutVersion":"1.0.0"}'
# What fetch itself is packed as; pip takes more in a requirements file than names and digests.
_TOOL_FILE = re.compile(r"tool/(?:install\.sh|requirements\.txt|[A-Za-z0-9_.+!-]{1,200}\.whl)")
_REQUIREMENT = re.compile(r"[A-Za-z0-9_.-]+(?:\[[a-z0-9,_-]+\])?==\S+ --hash=sha256:([0-9a-f]{64})")
_LONGEST_REQUIREMENTS = 1 << 20
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_UNFINISHED = t("run `fetch mirror export` again to finish it, or copy the bundle again")


def blob_name(sha256: str) -> str:
    """A blob's name in an OCI image layout."""
    return f"blobs/sha256/{sha256}"


class Bundle:
    """An opened bundle; what its files contain is for the reader to prove."""

    published = True
    imported = False

    def __init__(self, container: Container, signature: str) -> None:
        self.container = container
        self.label = container.label
        self.signature = signature  # the path where its signature lies, or would lie
        self.sums_bytes = self._document(SUMS)
        self.sums = parse_sums(self.sums_bytes.decode("utf-8", "replace"), self._at(SUMS))
        index = self._document(INDEX)
        if self.sums.get(INDEX) != hashlib.sha256(index).hexdigest():
            text = t("{at} has another digest than {sums} says", at=self._at(INDEX), sums=SUMS)
            raise Failure("modified", text, t("copy the bundle again"), file=INDEX)
        self.contents: Contents = oci_documents.parse(index, self._blob, self.label)

    def close(self) -> None:
        """Release the files."""
        self.container.close()

    def _at(self, name: str) -> str:
        return f"{self.label}: {name}"

    def _document(self, name: str) -> bytes:
        size = self.container.sizes.get(name)
        if size is None:
            raise Failure(
                "bundle", t("{at} is not there", at=self._at(name)), _UNFINISHED, file=name
            )
        if size > MAX_DOCUMENT:
            raise Failure(
                "bundle",
                t("{at} is too large ({size:,} bytes)", at=self._at(name), size=size),
                file=name,
            )
        return self.container.read(name)

    def _blob(self, descriptor: Descriptor) -> bytes:
        return self._document(blob_name(descriptor.sha256))

    @property
    def sums_signature(self) -> str:
        """The path where the signature over SHA256SUMS alone lies, or would lie."""
        folder, name = os.path.split(self.signature)
        if name == SIGNATURE:
            return os.path.join(folder, SUMS_SIGNATURE)
        return f"{self.signature.removesuffix('.sig')}.{SUMS_SIGNATURE}"

    @cached_property
    def digest(self) -> str:
        """The sha256 of SHA256SUMS, which stands for the whole bundle."""
        return hashlib.sha256(self.sums_bytes).hexdigest()

    # Inventory

    def artifacts(self) -> Sequence[HeldArtifact]:
        """Every artifact, sorted; of a delta, files may be missing here."""
        return self.contents.artifacts

    def locate(self, sha256: str) -> tuple[Extent, ...] | None:
        """Where a blob lies."""
        try:
            return self.container.extents(blob_name(sha256))
        except KeyError:
            return None

    def documents(self) -> Mapping[str, bytes]:
        """The lock, manifests and layouts."""
        return self.contents.documents

    @property
    def delta(self) -> bool:
        """Whether it builds on another bundle."""
        return self.contents.delta

    def hide_names(self, names: Collection[str]) -> None:
        """Leave these names (`MANIFEST/ARTIFACT`) to a delta that builds on this bundle."""
        self.contents.artifacts = [
            replace(item, latest=item.full_name not in names) for item in self.contents.artifacts
        ]

    # Soundness

    @cached_property
    def _payload_names(self) -> dict[str, int]:
        return {blob_name(key): size for key, size in self.contents.payload().items()}

    def absent(self) -> dict[str, int]:
        """Contents (sha256, size) that the artifacts need and this bundle does not have."""
        sizes = self.container.sizes
        found = self.contents.payload().items()
        return {key: size for key, size in found if blob_name(key) not in sizes}

    def structure(self) -> list[Problem]:
        """Everything that is wrong without reading contents: missing, extra, wrongly named."""
        return list(self._structure())

    def _structure(self) -> Iterator[Problem]:
        sizes, sums = self.container.sizes, self.sums
        for name in sorted(sums.keys() - sizes.keys()):
            yield self.problem_of("missing", name, t("is listed in SHA256SUMS and not there"))
        for name in sorted(sizes.keys() - sums.keys() - {SUMS, SIGNATURE, SUMS_SIGNATURE}):
            yield self.problem_of("extra", name, t("is not listed in SHA256SUMS"))
        for name in (SUMS, SIGNATURE, SUMS_SIGNATURE):
            if name in sums:
                yield self.problem_of("bundle", name, t("cannot be listed in SHA256SUMS"))
        expected = self._expected()
        yield from self._tool_structure()
        for name in sorted(sums):
            if name not in expected and not name.startswith(TOOL):
                yield self.problem_of("extra", name, t("belongs to no artifact of this bundle"))
        for name, sha256 in sorted(expected.items()):
            if name in sums and sha256 not in {None, sums[name]}:
                yield self.problem_of("modified", name, t("has another digest than the index says"))
            elif name not in sums and not (self.contents.delta and name in self._payload_names):
                yield self.problem_of("missing", name, t("belongs to an artifact and is not there"))
        for name, size in sorted(self._payload_names.items()):
            if sizes.get(name, size) != size:
                text = t("has {sizes:,} bytes instead of {size:,}", sizes=sizes[name], size=size)
                yield self.problem_of("modified", name, text)
        yield from contradictions_of(self.contents, self.label)

    def _tool_structure(self) -> Iterator[Problem]:
        """fetch itself is an installer, a list of wheels with their digests, and these wheels."""
        names = sorted(name for name in self.sums if name.startswith(TOOL))
        wheels: set[str] = set()
        listed = f"{TOOL}requirements.txt"
        if 0 <= self.container.sizes.get(listed, -1) <= _LONGEST_REQUIREMENTS:
            lines = self.container.read(listed).decode("utf-8", "replace").splitlines()
            found = [_REQUIREMENT.fullmatch(line) for line in lines]
            wheels = {match[1] for match in found if match}
            if None in found:
                number = found.index(None) + 1
                text = t("has a line {number} that is no wheel with its digest", number=number)
                yield self.problem_of("bundle", listed, text)
        for name in names:
            unlisted = name.endswith(".whl") and self.sums[name] not in wheels
            if unlisted or not _TOOL_FILE.fullmatch(name):
                yield self.problem_of("extra", name, t("does not belong to fetch's own wheels"))

    def _expected(self) -> dict[str, str | None]:
        """All names that the index leads to, with their digests where these are known."""
        found: dict[str, str | None] = {LAYOUT: None, README: None}
        found[LAYOUT] = hashlib.sha256(LAYOUT_TEXT).hexdigest()
        found[INDEX] = hashlib.sha256(self.contents.index).hexdigest()
        for sha256 in {*self.contents.metadata(), *self.contents.payload()}:
            found[blob_name(sha256)] = sha256
        for name, data in self.contents.documents.items():
            found[PROJECT + name] = hashlib.sha256(data).hexdigest()
        return found

    def problem_of(self, code: str, name: str, what: str) -> Problem:
        """A problem with one file of this bundle, which says whose it is and where it lies."""
        owner, shown = self.owner_of(name)
        place = self.container.place_of(name)
        text = t(
            "{label}: {name} {what}{which}",
            label=self.label,
            name=name,
            what=what,
            which=t(" (in {place})", place=place) if place else "",
        )
        if shown:
            text = t("{text}; it is {shown}", text=text, shown=shown)
        return Problem(code, text, t("copy the bundle again from where it was made"), owner, name)

    @cached_property
    def _owners(self) -> dict[str, tuple[str, str]]:
        return {
            blob_name(file.sha256): (artifact.id, file.path)
            for artifact in self.contents.artifacts
            for file in artifact.files
            if file.sha256
        }

    def owner_of(self, name: str) -> tuple[str, str]:
        """(artifact's id, `artifact/path`) of a blob's name, "" where it is no artifact's file."""
        artifact, path = self._owners.get(name, ("", ""))
        return artifact, f"{artifact}/{path}" if path else ""

    def sealed_digests(self) -> dict[str, str]:
        """Digest by name of everything that a signature covers. Raises Failure."""
        return {**self.sums, SUMS: self.digest}


# Opening


def is_bundle(path: str) -> bool:
    """Whether a path on this machine looks like a bundle, as opposed to a plain store."""
    if os.path.isdir(path):
        return os.path.lexists(os.path.join(path, SUMS))
    return os.path.isfile(path) or os.path.isfile(sums_path(path)) or volume_base(path) is not None


def open_bundle(path: str, volumes: Sequence[str] = ()) -> Bundle:
    """Open a bundle: a folder, a .tar, or volumes by their common name or any one of them.

    Raises Failure, UsageError.
    """
    if os.path.isdir(path):
        if not os.path.lexists(os.path.join(path, SUMS)):
            raise _no_bundle(path)
        return _with(Folder(path), os.path.join(path, SIGNATURE))
    named = volume_base(path)
    if named is not None and not os.path.isfile(sums_path(path)):
        return open_bundle(named[0], [path, *volumes])
    if volumes or (not os.path.isfile(path) and os.path.isfile(sums_path(path))):
        found = next((v for v in volumes if os.path.isfile(_signature_beside(v))), "")
        beside = _signature_beside(found) if found else path + ".sig"
        return _with(open_archive(path, list(volumes)), beside)
    if not os.path.isfile(path):
        raise UsageError(
            t("{path}: no bundle there", path=path),
            t("name a bundle's folder, its .tar, or one of its volumes"),
        )
    return _with(open_archive(path), path + ".sig")


def _no_bundle(folder: str) -> Exception:
    """Why a folder without SHA256SUMS is no bundle."""
    if os.path.lexists(os.path.join(folder, INDEX)) or os.path.lexists(
        os.path.join(folder, "blobs")
    ):
        text = t(
            "{folder} has no {sums}: it is a store, or a bundle that is not finished",
            folder=folder,
            sums=SUMS,
        )
        return Failure("bundle", text, _UNFINISHED, file=SUMS)
    return UsageError(
        t("{folder} is no bundle: it has no {sums}", folder=folder, sums=SUMS),
        t("name the bundle's folder or .tar"),
    )


def _signature_beside(volume: str) -> str:
    named = volume_base(volume)
    return (named[0] if named else volume) + ".sig"


def _with(container: Container, signature: str) -> Bundle:
    try:
        return Bundle(container, signature)
    except BaseException:
        container.close()
        raise


def open_bundles(arguments: Sequence[str]) -> list[Bundle]:
    """Open each bundle that was named; several volumes of one set are one bundle."""
    groups: dict[str, list[str]] = {}
    for argument in arguments:
        text = str(argument)
        named = volume_base(text) if not os.path.isdir(text) else None
        key = Path(named[0]).name if named else text
        groups.setdefault(key, []).append(text)
    found: list[Bundle] = []
    try:
        for paths in groups.values():
            found.append(open_bundle(paths[0], paths[1:]))
    except BaseException:
        for bundle in found:
            bundle.close()
        raise
    return found


class ArtifactSummary(TypedDict):
    """An artifact of a bundle in JSON reports; `files` is their number."""

    manifest: str
    id: str
    name: str
    source: str
    revision: str | None
    license: str | None
    files: int
    bytes: int


def summary_of(artifact: HeldArtifact) -> ArtifactSummary:
    """What JSON reports say of an artifact of a bundle."""
    return {
        "manifest": artifact.manifest,
        "id": artifact.id,
        "name": artifact.name,
        "source": artifact.source,
        "revision": artifact.revision or None,
        "license": artifact.record.text("license") or None,
        "files": len(artifact.files),
        "bytes": artifact.size,
    }
