"""A project's models and data sets as a CycloneDX document (ML-BOM)."""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from fetcher import __version__
from fetcher.reporting.sbom_components import Entry, Json, component, properties

SPEC = "1.6"
_ROOT = "project"


@dataclass(frozen=True)
class Origin:
    """What a document was made from: `lock` is the text of fetch.lock; `epoch` are seconds since
    1970 that it is to bear (SOURCE_DATE_EPOCH), None for now: then each document is another."""

    name: str
    lock: str
    epoch: int | None = None

    def serial_number(self, refs: Sequence[str]) -> str:
        """A URN that is the same for the same lock and artifacts, if a time is stated."""
        if self.epoch is None:
            return uuid.uuid4().urn
        digest = hashlib.sha256("\n".join([self.lock, *refs]).encode("utf-8", "surrogatepass"))
        return uuid.uuid5(uuid.NAMESPACE_URL, f"fetch.lock:sha256:{digest.hexdigest()}").urn

    @property
    def timestamp(self) -> str:
        """When the document was made, in UTC."""
        zone = datetime.timezone.utc
        if self.epoch is None:
            now = datetime.datetime.now(zone)
        else:
            now = datetime.datetime.fromtimestamp(self.epoch, zone)
        return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def document(origin: Origin, entries: Sequence[Entry]) -> Json:
    """The whole document, as JSON values; artifacts in the order given."""
    refs = [entry.ref for entry in entries]
    known = [entry for entry in entries if all(file.sha256 for file in entry.locked.files)]
    others = [entry for entry in entries if entry not in known]
    found: Json = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": origin.serial_number(refs),
        "version": 1,
        "metadata": _metadata(origin),
        "components": [component(entry) for entry in entries],
        "dependencies": _dependencies(entries),
    }
    # A file without a sha256 is one that nobody has downloaded yet: its git id is locked.
    compositions = [
        {"aggregate": aggregate, "assemblies": [entry.ref for entry in part]}
        for aggregate, part in (("complete", known), ("incomplete", others))
        if part
    ]
    if compositions:
        found["compositions"] = compositions
    return found


def _metadata(origin: Origin) -> Json:
    digest = hashlib.sha256(origin.lock.encode("utf-8", "surrogatepass")).hexdigest()
    return {
        "timestamp": origin.timestamp,
        "lifecycles": [{"phase": "pre-build"}],
        "tools": {"components": [{"type": "application", "name": "fetch", "version": __version__}]},
        "component": {"type": "application", "bom-ref": _ROOT, "name": origin.name},
        "properties": properties([("lock:sha256", digest)]),
    }


def _dependencies(entries: Sequence[Entry]) -> list[Json]:
    """The project needs all of them; an adapter needs its base, if that is one of them."""
    by_name = {entry.ref: entry.ref for entry in entries}
    by_repo: dict[str, str] = {}
    for entry in entries:
        repo = getattr(entry.artifact.source, "repo", "")
        by_repo.setdefault(repo, entry.ref)
    found: list[Json] = [{"ref": _ROOT, "dependsOn": [entry.ref for entry in entries]}]
    for entry in entries:
        wanted = by_name.get(f"{entry.artifact.manifest}/{entry.base_artifact}")
        wanted = wanted or by_repo.get(entry.base_model or "-")
        needs = [wanted] if wanted and wanted != entry.ref else []
        found.append({"ref": entry.ref, **({"dependsOn": needs} if needs else {})})
    return found
