"""Every artifact of the catalog has a probe; what manifests and docs show of probes is valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fetcher.verify import load_probe, probe_types
from fetcher.verify.contract.built_in_probes import BUILT_IN, NONE, problems_of

import fetcher

ROOT = Path(fetcher.__file__).parent.parent
PAGE = ROOT / "docs/verify.md"


def catalog() -> Iterator[tuple[str, Any]]:
    for path in sorted((ROOT / "manifests").glob("*.yaml")):
        manifest = yaml.safe_load(path.read_text("utf-8"))
        for key, artifact in manifest["artifacts"].items():
            yield f"{path.stem}/{key}", artifact.get("probe")


def documented() -> Iterator[tuple[str, Any]]:
    text = PAGE.read_text("utf-8")
    for number, body in enumerate(re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)):
        probe = yaml.safe_load(body).get("probe")
        if probe is not None:
            yield f"docs-{number}", probe


@pytest.mark.parametrize(("name", "probe"), [*catalog(), *documented()])
def test_the_probe_is_there_and_valid(name: str, probe: Any) -> None:
    assert probe is not None, "it has no probe"
    options = dict(probe)
    kind = options.pop("type")
    assert not (
        problems_of(kind, options) if kind == NONE else load_probe(kind).validate_options(options)
    )


def test_the_whole_catalog_was_read() -> None:
    assert len(list(catalog())) >= 51


def test_every_probe_is_documented() -> None:
    sections = dict(
        re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.S)
    )
    for kind in set(probe_types()) - {NONE}:
        for option in BUILT_IN[kind].rules:
            assert f"`{option}" in sections[kind], f"{kind}: {option}"
