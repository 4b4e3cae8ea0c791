"""Runs probes on folders, as `fetch verify` does, and looks at what they say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify import Check, ProbeRequest, ProbeResult, load_probe, run_probes
from fetcher.verify.contract.context import Context
from fetcher.verify.contract.probe_errors import ProbeError


def request(kind: str, root: Path, *names: str, **options: Any) -> ProbeRequest:
    """A probe of the files `names` below `root` (default: all). Fields of the request go by name,
    with an underscore before it; the rest are the probe's options.
    """
    fields = {key[1:]: options.pop(key) for key in list(options) if key.startswith("_")}
    found = names or tuple(
        path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if not path.is_dir()
    )
    files = {name: root / name for name in found}
    fields = {"timeout": 120.0, "device": "cpu", **fields}
    return ProbeRequest(fields.pop("artifact", root.name), kind, root, files, options, **fields)


def probe(kind: str, root: Path, *names: str, **options: Any) -> ProbeResult:
    return probe_all(request(kind, root, *names, **options))[0]


def probe_all(*requests: ProbeRequest) -> list[ProbeResult]:
    """Run several at once."""
    return run_probes(list(requests), python=sys.executable, jobs=2)


def run_here(made: ProbeRequest) -> ProbeError:
    """Run a probe in this process, up to the error that ends it: for what needs no model loaded."""
    context = Context(made, lambda event: None, made.root)
    with pytest.raises(ProbeError) as raised:
        load_probe(made.type).run(made, context)
    return raised.value


def named(result: ProbeResult) -> dict[str, Check]:
    return {check.name: check for check in result.checks}


def failures(result: ProbeResult) -> dict[str, str]:
    """The names of the checks that failed, and what they say."""
    return {check.name: check.detail for check in result.checks if not check.ok}
