"""Quantised language models: with the library of their method, where it is there and can run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from fetcher.verify.contract.install_line import pip_install
from fetcher.verify.contract.probe_errors import ProbeError, ProbeSkipped
from fetcher.verify.loaders import LoadError, causal_lm, first_line

if TYPE_CHECKING:
    from pathlib import Path

    from fetcher.verify.contract.consent import CodeConsent
    from fetcher.verify.contract.context import Context
    from fetcher.verify.weights.quantised import Method

# By the method: the module that has to be there, and its name for pip.
_LIBRARIES = {
    "gptq": ("gptqmodel", "gptqmodel"),
    "awq": ("gptqmodel", "gptqmodel"),
    "auto-round": ("auto_round", "auto-round"),
    "bitsandbytes": ("bitsandbytes", "bitsandbytes"),
    "compressed-tensors": ("compressed_tensors", "compressed-tensors"),
    "torchao": ("torchao", "torchao"),
    "quanto": ("optimum", "optimum-quanto"),
    "hqq": ("hqq", "hqq"),
    "aqlm": ("aqlm", "aqlm"),
    "eetq": ("eetq", "eetq"),
    "vptq": ("vptq", "vptq"),
    "spqr": ("spqr_quant", "spqr_quant"),
    "quark": ("quark", "amd-quark"),
}
# How transformers says that the method wants another machine.
_MACHINE = ("gpu", "cuda", "xpu", "accelerator", "not available", "not supported on")


def load_quantised(
    folder: Path, method: Method, consent: CodeConsent, context: Context
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Load a quantised model on the context's device, with its `missing` and `unused` tensors.

    Raises ProbeSkipped where its library is not there or wants another machine, LoadError for what
    does not load.
    """
    own = _LIBRARIES.get(method.name)
    for module, install in ([own] if own else []) + [("accelerate", "accelerate")]:
        if not context.has(module):
            hint = f"install it in the project's environment: {pip_install([install])}"
            _skip(f"it is quantised ({method}), and {module} is not installed", hint, context)
    device = context.device()
    try:
        return causal_lm.load_model(folder, "auto", consent, device)
    except LoadError as error:
        cause = error.__cause__
        told = str(cause).lower()
        elsewhere = isinstance(cause, ImportError) or any(word in told for word in _MACHINE)
        if cause is None or not elsewhere:
            raise
        reason = f"it is quantised ({method}), which does not run on {device} here"
        _skip(
            f"{reason}: {first_line(cause)}", "verify it on the machine that is to run it", context
        )


def _skip(reason: str, hint: str, context: Context) -> NoReturn:
    """Raise ProbeSkipped, or ProbeError for what was found wrong before."""
    for check in context.checks:
        if not check.ok:
            raise ProbeError(f"{check.name}: {check.detail}", context.hint)
    raise ProbeSkipped(f"{reason}; its files alone were looked at", hint)
