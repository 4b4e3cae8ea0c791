"""What a record says that a probe would ask for: the options that need not be written twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fetcher.project.manifest import Artifact
from fetcher.yamldoc.edit import jsonable

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import ProbeOptions

_CODING: dict[str, tuple[str, ...]] = {
    "size": ("io", "resolution"),
    "input_range": ("io", "input_range"),
    "codebook_size": ("attributes", "codebook_size"),
    "dataset": ("benchmarks",),
}
# Where a record says what each probe calls so.
IN_RECORD: dict[str, dict[str, tuple[str, ...]]] = {
    "compression": {"class_path": ("class_path",), "interface": ("interface",), **_CODING},
    "vqgan": {
        **_CODING,
        "embedding_dim": ("attributes", "embedding_dim"),
        "downsample_factor": ("attributes", "downsample_factor"),
    },
}


def options_of(artifact: Artifact) -> ProbeOptions:
    """The probe's options without its type; those of a codec are filled from its record.

    What `IN_RECORD` names is the default; what the probe says itself wins.
    """
    given = {name: value for name, value in (artifact.probe or {}).items() if name != "type"}
    places = IN_RECORD.get(str((artifact.probe or {}).get("type")), {})
    found = {option: _look_up(artifact.info, path) for option, path in places.items()}
    return {**{key: jsonable(value) for key, value in found.items() if value}, **given}


def _look_up(info: Mapping[str, object], path: tuple[str, ...]) -> object:
    value: object = info
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
