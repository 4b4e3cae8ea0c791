"""A project's own classes in probes: only where manifest and user both trust them."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from . import options
from .loaders import class_path
from .protocol import ProbeSkipped, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .context import Context
    from .protocol import ProbeRequest


def _args(value: Any) -> str:
    if isinstance(value, list):
        return ""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return ""
    return f"expected a list of arguments or a mapping of named ones, found {value!r}"


def _paths(value: Any) -> str:
    wrong = options.texts(value)
    for name in [] if wrong else options.as_list(value):
        if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or "\\" in name:
            return f"expected a folder relative to the root, found {name!r}"
    return wrong


RULES: Mapping[str, Callable[[Any], str]] = {
    "class_path": class_path.problem,
    "args": _args,
    "paths": _paths,
}


def needed(given: Mapping[str, Any], option: str, one_of: tuple[str, ...] = ()) -> list[Problem]:
    """Return the problems of options of which one, or one of several, is lacking."""
    problems = [] if option in given else [Problem(option, "is needed")]
    if one_of and not any(name in given for name in one_of):
        problems.append(Problem(one_of[0], f"{' or '.join(one_of)} is needed"))
    return problems


def require_trust(request: ProbeRequest) -> None:
    """Raise ProbeSkipped unless manifest and user both let the project's code be imported."""
    name = request.options["class_path"]
    if request.options.get("trust") != "project":
        raise ProbeSkipped(
            f"{name} is the project's own code, and the manifest does not trust it",
            "add `trust: project` to the probe, and run with --trust-project-code",
        )
    if not request.trust_code:
        raise ProbeSkipped(
            f"{name} is the project's own code, which is imported only when you say so",
            "run again with --trust-project-code if you trust this project",
        )


def build(request: ProbeRequest, context: Context) -> Any:
    """Import the class that the options name, and return a model of it.

    Raises ProbeSkipped if it is not trusted, and ProbeError.
    """
    require_trust(request)
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
