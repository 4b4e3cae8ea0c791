"""Artifact manager and offline model fetcher for machine-learning projects.

    import fetcher

    fetcher.fetch("quickstart")                   # what `fetch all quickstart` does
    fetcher.path("minilm/config.json")            # where a file lies, fetched if it is not there
    fetcher.open().status()                       # how each artifact of this project stands

Names are looked up when they are used: importing this package imports nothing else. Models are
loaded by `fetcher.models`, probes run by `fetcher.verify`.
"""

import sys

# `python -m fetcher` puts the folder that one stands in before the standard library. It may be a
# stranger's clone: it goes before anything is imported that is not built in.
if sys.argv[:1] == ["-m"] and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[:1]

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fetcher.errors import (
        Failure,
        FetchError,
        InvalidDocument,
        LockError,
        Problem,
        UsageError,
    )
    from fetcher.network.session import Network
    from fetcher.operations.python_api import Project, fetch, path
    from fetcher.operations.python_api import open as open
    from fetcher.reporting.report import (
        ArtifactReport,
        FileReport,
        ProblemsError,
        Report,
        Summary,
    )
    from fetcher.sources.base import (
        Candidate,
        DeferredCandidate,
        FileEntry,
        PathCandidate,
        Request,
        Resolved,
        Source,
        UrlCandidate,
    )
    from fetcher.verify.contract.probe import Probe

__version__ = "0.1.0"

__all__ = [  # without `open`: `from fetcher import *` is not to hide Python's own
    "ArtifactReport",
    "Candidate",
    "DeferredCandidate",
    "Failure",
    "FetchError",
    "FileEntry",
    "FileReport",
    "InvalidDocument",
    "LockError",
    "Network",
    "PathCandidate",
    "Probe",
    "Problem",
    "ProblemsError",
    "Project",
    "Report",
    "Request",
    "Resolved",
    "Source",
    "Summary",
    "UrlCandidate",
    "UsageError",
    "fetch",
    "path",
]

_HOMES = {
    "errors": ("Failure", "FetchError", "InvalidDocument", "LockError", "Problem", "UsageError"),
    "network.session": ("Network",),
    "operations.python_api": ("Project", "fetch", "open", "path"),
    "reporting.report": ("ArtifactReport", "FileReport", "ProblemsError", "Report", "Summary"),
    "sources.base": (
        *("Candidate", "DeferredCandidate", "FileEntry", "PathCandidate"),
        *("Request", "Resolved", "Source", "UrlCandidate"),
    ),
    "verify.contract.probe": ("Probe",),
}


if not TYPE_CHECKING:  # type checkers are to know a name that is not there

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                from importlib import import_module

                return getattr(import_module(f"{__name__}.{home}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "open"})
