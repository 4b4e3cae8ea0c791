"""Names for values whose shape other libraries and other people's files decide.

Read by both interpreters: syntax of Python 3.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    # A manifest's options of a probe: any YAML; each probe's rules judge them before it runs.
    ProbeOptions = Mapping[str, Any]
    # torch's tensors by name; torch is the project's own and is never imported for its types.
    Tensors = Mapping[str, Any]
    # Named arguments of a library's call, also when they come out of its own processor.
    Arguments = dict[str, Any]
    # A configuration that lies beside weights: who reads a key checks what it holds.
    ModelConfig = Mapping[str, object]


def inner(config: ModelConfig, name: str) -> ModelConfig:
    """Return a table inside a configuration; the configuration itself where there is none."""
    found = config.get(name)
    return cast("ModelConfig", found) if isinstance(found, dict) and found else config
