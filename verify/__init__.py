"""Load-and-infer probes: proof that placed artifacts work under the project's own libraries.

Importing this package imports neither torch nor the runner; names are looked up when used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.options import GENERAL, check_options
    from fetcher.verify.contract.probe import Probe
    from fetcher.verify.contract.probe_errors import MissingLibraryError, ProbeError, ProbeSkipped
    from fetcher.verify.contract.probe_registry import UnknownProbeError, load_probe, probe_types
    from fetcher.verify.contract.protocol import Check, ProbeRequest, ProbeResult, Problem
    from fetcher.verify.host.runner import run_probes

__all__ = [
    "GENERAL",
    "Check",
    "Context",
    "MissingLibraryError",
    "Probe",
    "ProbeError",
    "ProbeRequest",
    "ProbeResult",
    "ProbeSkipped",
    "Problem",
    "UnknownProbeError",
    "check_options",
    "load_probe",
    "probe_types",
    "run_probes",
]

_HOMES = {
    "Context": "contract.context",
    "GENERAL": "contract.options",
    "MissingLibraryError": "contract.probe_errors",
    "Probe": "contract.probe",
    "ProbeError": "contract.probe_errors",
    "ProbeSkipped": "contract.probe_errors",
    "check_options": "contract.options",
    "Check": "contract.protocol",
    "ProbeRequest": "contract.protocol",
    "ProbeResult": "contract.protocol",
    "Problem": "contract.protocol",
    "UnknownProbeError": "contract.probe_registry",
    "load_probe": "contract.probe_registry",
    "probe_types": "contract.probe_registry",
    "run_probes": "host.runner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("." + _HOMES[name], __name__), name)
