"""What a record says that a probe would ask for: the options that need not be written twice."""

from __future__ import annotations

from typing import Any

from fetcher.manifest import Artifact
from fetcher.yamledit import jsonable


def options_of(artifact: Artifact) -> dict[str, Any]:
    """The probe's options without its type; those of a codec are filled from its record.

    A record's `class_path`, `interface`, `io`, `attributes.codebook_size` and `benchmarks` are the
    default of what the `compression` probe calls so; what the probe says itself wins.
    """
    given = {name: value for name, value in (artifact.probe or {}).items() if name != "type"}
    if (artifact.probe or {}).get("type") != "compression":
        return given
    info = artifact.info
    io, attributes = info.get("io", {}), info.get("attributes", {})
    found = {
        "class_path": info.get("class_path"),
        "interface": info.get("interface"),
        "size": io.get("resolution"),
        "input_range": io.get("input_range"),
        "codebook_size": attributes.get("codebook_size"),
        "dataset": info.get("benchmarks"),
    }
    return {**{key: jsonable(value) for key, value in found.items() if value}, **given}
