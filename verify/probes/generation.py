"""How a model's files have texts written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetcher.verify.weights import folders

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context

_FILE = "generation_config.json"
_NOT_OF_IT = ("transformers_version", "_from_model_config")


def keep_settings(files: Mapping[str, Path], context: Context) -> None:
    """Keep as a fact what ends texts, what is never written, and how tokens are drawn.

    Raises ProbeError for a file that is no table of settings.
    """
    if _FILE in files:
        found = folders.read_json(files[_FILE], _FILE)
        kept = {key: value for key, value in found.items() if key not in _NOT_OF_IT}
        context.fact("generation settings", kept)
