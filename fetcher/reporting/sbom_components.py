"""Artifacts as components of a CycloneDX document: models, data sets, and their files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from fetcher.project.licenses import (
    Expression,
    License,
    Several,
    is_spdx,
    parse,
    says_something,
)
from fetcher.project.lockfile import LockedArtifact, shown_source
from fetcher.project.manifest import Artifact
from fetcher.reporting import purl
from fetcher.sources.base import FileEntry
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace

Json = dict[str, object]

_ALGORITHMS = {"sha512": "SHA-512", "sha1": "SHA-1"}
_MODEL_FACTS = (
    *("framework", "class_path", "parameters", "min_vram", "device", "type", "max_batch_size"),
    *("interface", "metrics", "benchmarks"),
)


@dataclass(frozen=True)
class Entry:
    """An artifact of the document: `page` is where a person reads of it, `variant` the choice
    (NAME=CHOICE) that it belongs to, `needed` whether a bare `fetch all` brings it."""

    artifact: Artifact
    locked: LockedArtifact
    page: str
    variant: str
    needed: bool

    @property
    def ref(self) -> str:
        """Its bom-ref."""
        return self.artifact.full_name

    @property
    def is_data(self) -> bool:
        """Whether it is a data set."""
        source = self.artifact.source
        kind = self.artifact.info.get("kind")
        return kind == "dataset" or (
            kind is None and isinstance(source, HuggingFace) and source.repo_type == "dataset"
        )

    @property
    def is_code(self) -> bool:
        """Whether it is code."""
        return self.artifact.info.get("kind") == "code"

    @property
    def base_model(self) -> str:
        """The repository of the model that it was made from, "" where that is not known."""
        attributes = self.artifact.info.get("attributes")
        found = attributes.get("base_model") if isinstance(attributes, Mapping) else None
        return found if isinstance(found, str) else ""

    @property
    def base_artifact(self) -> str:
        """The id of the artifact that it is an adapter of, "" where the probe names none."""
        base = (self.artifact.probe or {}).get("base")
        return base if isinstance(base, str) else ""


def component(entry: Entry) -> Json:
    """One artifact with its files."""
    artifact, locked = entry.artifact, entry.locked
    info = artifact.info
    kind = "data" if entry.is_data else "library" if entry.is_code else "machine-learning-model"
    found: Json = {"type": kind, "bom-ref": entry.ref, "name": artifact.name}
    if locked.revision:
        found["version"] = locked.revision
    if supplier := _supplier(entry):
        found["supplier"] = supplier
    if text := info.get("description"):
        found["description"] = str(text)
    found["scope"] = "required" if entry.needed else "optional"
    found["purl"] = purl.of_artifact(artifact, locked)
    stated = str(info.get("license") or "") or locked.license
    if stated:
        found["licenses"] = licenses(stated, entry.page)
    if tags := info.get("tags"):
        found["tags"] = [str(tag) for tag in tags]
    if kind == "machine-learning-model":
        found |= _of_model(entry)
    elif kind == "data":
        found["data"] = [_data(artifact.name, entry.page)]
    if links := list(_references(entry)):
        found["externalReferences"] = links
    if files := list(_files(entry)):
        found["components"] = files
    found["properties"] = properties(_facts(entry))
    return found


def properties(pairs: Iterable[tuple[str, object]]) -> list[Json]:
    """Facts without a field of their own, in fetch's namespace; those that say nothing go."""
    return [
        {"name": f"fetch:{name}", "value": _text(value)}
        for name, value in pairs
        if value not in (None, "", (), [])
    ]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_text(item)}" for key, item in value.items())
    return str(value)


def licenses(text: str, page: str) -> list[Json]:
    """A stated licence: by its SPDX id, as an SPDX expression, or by its name with the page."""
    declared = {"acknowledgement": "declared"}
    found = parse(text)
    if isinstance(found, License) and not found.exception:
        if found.spdx:
            return [{"license": {"id": found.name, **declared}}]
        name: Json = {"name": found.name if found.known else text, **declared}
        return [{"license": name | ({"url": page} if page else {})}]
    whole = str(found) if is_spdx(found) else str(_referred(found))
    return [{"expression": whole, **declared}]


def _referred(expression: Expression) -> Expression:
    """An expression whose licences are all such that SPDX tools read it."""
    if isinstance(expression, Several):
        return Several(expression.operator, tuple(map(_referred, expression.parts)))
    if expression.spdx or expression.name.startswith("LicenseRef-"):
        return expression
    words = str(expression).replace("+", "plus")
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", words).strip("-")
    return License(f"LicenseRef-{plain or 'unnamed'}")


def _supplier(entry: Entry) -> Json:
    source = entry.artifact.source
    named = isinstance(source, HuggingFace | GitHub) and "/" in source.repo
    owner = source.repo.partition("/")[0] if named else ""  # type: ignore[attr-defined]
    if not owner:
        return {}
    page = entry.page.rpartition("/")[0]
    return {"name": owner, **({"url": [page]} if page else {})}


def _of_model(entry: Entry) -> Json:
    info = entry.artifact.info
    attributes = info.get("attributes")
    attributes = attributes if isinstance(attributes, Mapping) else {}
    parameters: Json = {}
    if task := info.get("task"):
        parameters["task"] = str(task)
    if family := attributes.get("architecture") or attributes.get("model_type"):
        parameters["architectureFamily"] = str(family)
    if info.get("class_path"):
        parameters["modelArchitecture"] = str(info["class_path"])
    if isinstance(names := attributes.get("datasets"), list) and names:
        parameters["datasets"] = [{"type": "dataset", "name": str(name)} for name in names]
    card: Json = {"modelParameters": parameters} if parameters else {}
    if purpose := info.get("purpose"):
        card["considerations"] = {"useCases": [str(purpose)]}
    facts = [(name, info.get(name)) for name in _MODEL_FACTS]
    facts += [("io", info.get("io"))]
    facts += [(f"attribute:{name}", value) for name, value in attributes.items()]
    if own := properties(facts):
        card["properties"] = own
    found: Json = {"modelCard": card} if card else {}
    if entry.base_model:
        base: Json = {"type": "machine-learning-model", "name": entry.base_model}
        base["purl"] = purl.of_repository(entry.base_model)
        found["pedigree"] = {"ancestors": [base]}
    return found


def _data(name: str, page: str) -> Json:
    return {"type": "dataset", "name": name, **({"contents": {"url": page}} if page else {})}


def _references(entry: Entry) -> Iterator[Json]:
    artifact, locked, page = entry.artifact, entry.locked, entry.page
    source = artifact.source
    if isinstance(source, HuggingFace):
        at = quote(locked.revision, safe="")
        yield {"type": "distribution", "url": f"{page}/tree/{at}" if at else page}
        yield {"type": "vcs", "url": page}
        if not entry.is_data:
            yield {"type": "model-card", "url": f"{page}/blob/{at}/README.md" if at else page}
    elif isinstance(source, GitHub):
        at = quote(locked.revision, safe="")
        yield {"type": "distribution", "url": f"{page}/tree/{at}" if at else page}
        yield {"type": "vcs", "url": page}
    elif address := purl.download_url(artifact):
        yield {"type": "distribution", "url": address}
    if page:
        yield {"type": "website", "url": page}
    for mirror in artifact.mirrors:
        if text := purl.address(mirror.describe()):
            yield {"type": "distribution", "url": text, "comment": "mirror"}


def _files(entry: Entry) -> Iterator[Json]:
    """Files; members stand in their archive, if that is one file."""
    locked = entry.locked
    members: dict[str, list[Json]] = {}
    for file in locked.files:
        if file.archive:
            members.setdefault(file.archive, []).append(_file(entry, file))
    for archive in locked.archives:
        found = _file(entry, archive)
        if archive.archive in members and len(locked.parts_of(archive.archive)) == 1:
            found["components"] = members.pop(archive.archive)
        yield found
    for left in members.values():
        yield from left
    yield from (_file(entry, file) for file in locked.files if not file.archive)


def _file(entry: Entry, file: FileEntry) -> Json:
    is_archive = file in entry.locked.archives
    inside = f"!{file.archive}" if file.archive and not is_archive else ""
    found: Json = {
        "type": "file",
        "bom-ref": f"{entry.ref}{inside}/{file.path}",
        "name": file.path,
    }
    if hashes := list(_hashes(file)):
        found["hashes"] = hashes
    own = properties(
        (
            ("size", file.size),
            ("gitBlob", file.git_blob),
            ("published", file.published),
            ("archive", file.archive),
            ("executable", file.executable or None),
        )
    )
    return found | ({"properties": own} if own else {})


def _hashes(file: FileEntry) -> Iterator[Json]:
    if file.sha256:
        yield {"alg": "SHA-256", "content": file.sha256}
    kind, _, digest = (file.published or "").partition(":")
    if kind in _ALGORITHMS:
        yield {"alg": _ALGORITHMS[kind], "content": digest}
    if file.md5:
        yield {"alg": "MD5", "content": file.md5}


def _facts(entry: Entry) -> Iterator[tuple[str, object]]:
    """Where it came from, and what else is known of it."""
    artifact, locked, info = entry.artifact, entry.locked, entry.artifact.info
    yield "id", artifact.id
    yield "manifest", artifact.manifest
    yield "source", shown_source(locked.source)
    yield "listedBy", locked.said_by
    yield "lockedOn", locked.said_at
    for mirror in artifact.mirrors:
        yield "mirror", shown_source(mirror.describe())
    for group in artifact.groups:
        yield "group", group
    yield "variant", entry.variant
    yield "owner", info.get("owner")
    yield "visibility", info.get("visibility")
    yield "requiresAuth", info.get("requires_auth")
    yield "citation", info.get("citation")
    yield "remarks", info.get("remarks")
    if says_something(locked.license):
        yield "upstreamLicense", locked.license
    if artifact.code is not None:
        yield "code", shown_source(artifact.code.describe())
    sizes = [file.size for file in locked.files]
    if None not in sizes:
        yield "size", sum(filter(None, sizes))
