"""Codecs of a project's own code: built from its class, one checkpoint loaded into it strictly.

Its code is imported only if the manifest says so and the person does (project_code.py).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.probe_errors import MissingLibraryError, ProbeError
from fetcher.verify.loaders import LoadError, class_path, obeys, project_code, strict
from fetcher.verify.weights.choice import weight_files
from fetcher.verify.weights.weights import WeightFile, open_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.protocol import ProbeRequest


@dataclass(frozen=True)
class Codec:
    """A loaded model in eval mode on the device, and the file that its weights are from."""

    model: Any
    file: str
    weights: WeightFile
    obedience: obeys.Obedience


def load(request: ProbeRequest, context: Context) -> Codec:
    """Load the codec that a request's options describe: `class_path`, `args`, `paths`,
    `checkpoint`, `key`. Raises ProbeSkipped for code that is not trusted, ProbeError.
    """
    project_code.require_trust(request, context)
    name = _only_file(request)
    key = request.options.get("key", "")
    with _about(name):
        opened = open_weights(context, request.files[name], name, key)
        context.stored_as(opened.dtype)
    model = project_code.build(request, context)
    context.stage(f"loading {name}")
    with _about(name):
        tensors = opened.load(opened.tensors)
        class_path.load_strictly(model, tensors, request.options["class_path"])
    obedience = obeys.Obedience(context.require("torch"), model, tensors, name, context)
    model = model.to(context.device(), context.torch_dtype())
    model = model.eval() or model  # a class may forget to return itself
    obedience.after_eval()
    return Codec(model, name, opened, obedience)


@contextmanager
def _about(name: str) -> Iterator[None]:
    """Say of which file an error is."""
    try:
        yield
    except MissingLibraryError:
        raise
    except ProbeError as error:
        raise LoadError(f"{name}: {error.reason}", error.hint) from error


def _only_file(request: ProbeRequest) -> str:
    if "checkpoint" in request.options:
        if request.options["checkpoint"] not in request.files:
            raise ProbeError(
                f"checkpoint: the artifact has no file {request.options['checkpoint']!r}"
            )
        return str(request.options["checkpoint"])
    found = weight_files(request)
    if len(found) > 1:
        raise ProbeError(
            f"{len(found)} files hold weights: {strict.listed(found)}", "set `checkpoint`"
        )
    return found[0]
