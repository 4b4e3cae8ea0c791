"""Which probes there are, and where the code of each lies.

Built-in probes are one module each; installed packages add theirs as entry points in the group
`fetcher.probes` (name: the type, value: `module:attribute`). A probe's module runs in a child under
another interpreter, so it is located here by file, not imported.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from fetcher.verify.contract.built_in_probes import BUILT_IN
from fetcher.verify.contract.options import nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from fetcher.verify.contract.probe import Probe
    from fetcher.verify.contract.wire import ProbeLocationJson

GROUP = "fetcher.probes"
_PACKAGE = "fetcher.verify.probes"


class UnknownProbeError(LookupError):
    """No probe has this type; `nearest` are the valid types that may have been meant."""

    def __init__(self, wanted: str, known: tuple[str, ...]) -> None:
        self.wanted = wanted
        self.known = known
        self.nearest = nearest(wanted, known)
        super().__init__(f"unknown probe type {wanted!r}")

    @property
    def hint(self) -> str:
        """Say which types may have been meant, else which there are."""
        if self.nearest:
            return "did you mean " + " or ".join(repr(name) for name in self.nearest) + "?"
        return "valid types: " + ", ".join(self.known)


@dataclass(frozen=True)
class ProbeLocation:
    """Where a probe's object is: `attribute` of `module`.

    For a plug-in, `top` is its top-level module, `file` that module's file (None for a namespace
    package) and `folders` its search path (None for a plain module). Empty for built-ins, whose
    package the child mounts in any case.
    """

    type: str
    module: str
    attribute: str
    top: str = ""
    file: str | None = None
    folders: tuple[str, ...] | None = None

    def to_json(self) -> ProbeLocationJson:
        """Return a mapping that `json` can write."""
        return {
            "type": self.type,
            "module": self.module,
            "attribute": self.attribute,
            "top": self.top,
            "file": self.file,
            "folders": None if self.folders is None else list(self.folders),
        }


def probe_types() -> tuple[str, ...]:
    """Return the types of all probes, sorted; nothing is imported."""
    return tuple(sorted({*BUILT_IN, *_plugins()}))


def is_built_in(wanted: str) -> bool:
    """Tell whether this type is one of fetch's own; nothing is imported."""
    return wanted in BUILT_IN


def find_probe(wanted: str) -> ProbeLocation:
    """Locate a probe by type.

    Raises UnknownProbeError, and ImportError for a plug-in whose module is not there.
    """
    if wanted in BUILT_IN:
        return ProbeLocation(wanted, f"{_PACKAGE}.{BUILT_IN[wanted].module}", "PROBE")
    plugin = _plugins().get(wanted)
    if plugin is None:
        raise UnknownProbeError(wanted, probe_types())
    top = plugin.module.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise ImportError(f"probe {wanted!r} is declared in {plugin.value}, which is not there")
    folders = spec.submodule_search_locations
    return ProbeLocation(
        wanted,
        plugin.module,
        plugin.attr or "PROBE",
        top=top,
        file=spec.origin if spec.has_location else None,
        folders=None if folders is None else tuple(folders),
    )


def load_probe(wanted: str) -> Probe:
    """Import a probe into this process, to validate its options.

    Raises UnknownProbeError, and whatever importing a plug-in raises.
    """
    location = find_probe(wanted)
    module = importlib.import_module(location.module)
    probe: Any = module
    for name in location.attribute.split("."):
        probe = getattr(probe, name)
    return cast("Probe", probe)


def _plugins() -> dict[str, EntryPoint]:
    import importlib.metadata  # takes longer than all built-in probes together

    found = importlib.metadata.entry_points(group=GROUP)
    by_name: dict[str, EntryPoint] = {}
    for point in sorted(found, key=lambda point: (point.name, point.value)):
        by_name.setdefault(point.name, point)
    return by_name
