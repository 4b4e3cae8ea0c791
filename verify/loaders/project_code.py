"""A project's own classes in probes: only where the manifest says so and the person trusts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import options
from fetcher.verify.contract.probe_errors import ProbeSkipped
from fetcher.verify.loaders import class_path

if TYPE_CHECKING:
    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.protocol import ProbeRequest


def require_trust(request: ProbeRequest, context: Context) -> None:
    """Raise ProbeSkipped unless the manifest says so and the person lets its code be imported."""
    name = request.options["class_path"]
    if request.options.get("trust") != "project":
        raise ProbeSkipped(
            f"{name} is the project's own code, and the manifest does not trust it",
            f"add `trust: project` to the probe; {context.consent().how}",
        )
    if not request.trust_code:
        raise ProbeSkipped(
            f"{name} is the project's own code, which is imported only when you say so",
            context.consent().how,
        )


def build(request: ProbeRequest, context: Context) -> Any:
    """Import the class that the options name, and return a model of it.

    Raises ProbeSkipped if it is not trusted, and ProbeError.
    """
    require_trust(request, context)
    name = request.options["class_path"]
    context.stage(f"importing {name}")
    make = class_path.find(name, request.root, options.as_list(request.options.get("paths", [])))
    context.stage(f"building {name}")
    return class_path.construct(make, name, _filled(request.options.get("args"), request))


def _filled(value: Any, request: ProbeRequest) -> Any:
    """Replace `{root}` in texts by the absolute root, as layouts do."""
    if isinstance(value, str):
        return value.replace("{root}", str(request.root))
    if isinstance(value, list):
        return [_filled(item, request) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, request) for key, item in value.items()}
    return value
