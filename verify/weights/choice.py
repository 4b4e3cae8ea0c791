"""Which of an artifact's files a probe is about."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fetcher.verify.contract import options
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.weights.fileformat import ARRAY_SUFFIXES, SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fetcher.verify.contract.protocol import ProbeRequest

# Saved beside weights under the same suffixes by trainers and exporters.
_NOT_WEIGHTS = (
    "training_args.bin",
    "optimizer.*",
    "scheduler.*",
    "scaler.*",
    "rng_state*",
    "openvino_*.bin",
)


def weight_files(request: ProbeRequest, globs: Sequence[str] = ()) -> list[str]:
    """Return the artifact's paths that match, sorted; without globs, its weight files.

    Raises ProbeError if a glob finds nothing, or if there is no weight file.
    """
    if globs:
        return matching(request, globs)
    for suffixes in (SUFFIXES, ARRAY_SUFFIXES):
        chosen = sorted(name for name in request.files if _is_weights(name, suffixes))
        if chosen:
            break
    else:
        raise ProbeError(
            f"the artifact has no weight file ({', '.join(SUFFIXES + ARRAY_SUFFIXES)})",
            "name its weights in the probe's options, or choose another probe type",
        )
    return chosen


def with_suffix(request: ProbeRequest, suffix: str, hint: str) -> list[str]:
    """Return the artifact's paths that the option `files` matches, else those of a suffix, sorted.

    Raises ProbeError with the hint if there are none, and for a glob that finds none.
    """
    globs = options.as_list(request.options.get("files", []))
    chosen = matching(request, globs) if globs else []
    chosen = chosen or sorted(name for name in request.files if name.lower().endswith(suffix))
    if not chosen:
        raise ProbeError(f"the artifact has no {suffix} file", hint)
    return chosen


def matching(request: ProbeRequest, globs: Sequence[str]) -> list[str]:
    """Return the artifact's paths that match any of the globs, sorted.

    Raises ProbeError for a glob that finds none.
    """
    chosen = set()
    for glob in globs:
        found = [name for name in request.files if fnmatchcase(name, glob)]
        if not found:
            close = options.nearest(glob, request.files)
            meant = f"did you mean {close[0]!r}?" if close else "see the artifact's `files`"
            raise ProbeError(f"no file of the artifact matches {glob!r}", meant)
        chosen.update(found)
    return sorted(chosen)


def _is_weights(name: str, suffixes: tuple[str, ...]) -> bool:
    base = name.rpartition("/")[2]
    return name.endswith(suffixes) and not any(fnmatchcase(base, glob) for glob in _NOT_WEIGHTS)
