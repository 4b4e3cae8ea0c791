"""What a record says that a probe would ask for: the options that need not be written twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fetcher.project.manifest import Artifact
from fetcher.yamldoc.edit import jsonable

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import ProbeOptions

# Where a record says what the `compression` probe calls so.
IN_RECORD: dict[str, tuple[str, ...]] = {
    "class_path": ("class_path",),
    "interface": ("interface",),
    "size": ("io", "resolution"),
    "input_range": ("io", "input_range"),
    "codebook_size": ("attributes", "codebook_size"),
    "dataset": ("benchmarks",),
}


def options_of(artifact: Artifact) -> ProbeOptions:
    """The probe's options without its type; those of a codec are filled from its record.

    What `IN_RECORD` names is the default; what the probe says itself wins.
    """
    given = {name: value for name, value in (artifact.probe or {}).items() if name != "type"}
    if (artifact.probe or {}).get("type") != "compression":
        return given
    found = {option: _look_up(artifact.info, path) for option, path in IN_RECORD.items()}
    return {**{key: jsonable(value) for key, value in found.items() if value}, **given}


def _look_up(info: Mapping[str, object], path: tuple[str, ...]) -> object:
    value: object = info
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
