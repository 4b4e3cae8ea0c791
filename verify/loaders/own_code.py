"""Code that a model's repository brings along for what transformers has built in."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.weights.folders import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.loaders.causal_lm import CausalLM

_MARKED = ("config.json", "tokenizer_config.json", "adapter_config.json")


def tell_of_code(files: Mapping[str, Path], loaded: CausalLM, context: Context) -> None:
    """Warn where a configuration names code of the repository that was not run."""
    if context.consent().given:
        return
    for name, path in files.items():
        if posixpath.basename(name) not in _MARKED:
            continue
        try:
            named = read_json(path, name).get("auto_map")
        except ProbeError:  # told where the file is needed
            continue
        if named:
            is_tokenizer = posixpath.basename(name) == "tokenizer_config.json"
            used = type(loaded.tokenizer if is_tokenizer else loaded.model).__name__
            classes = sorted(str(key) for key in named) if isinstance(named, dict) else []
            context.warn(
                "code of the repository",
                f"{name} names code of its own for {', '.join(classes) or 'its class'} (auto_map); "
                f"it was not run, {used} was used",
                "load it without trust_remote_code, or see that both give the same",
            )
