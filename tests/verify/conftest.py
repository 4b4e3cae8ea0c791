from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify import ProbeRequest, ProbeResult, run_probes

from .probing import run_in_this_process

PLUGIN = Path(__file__).with_name("plugin")
ENTRY_POINTS = """\
[fetcher.probes]
misbehave = testprobes:MISBEHAVE
needy = testprobes:NEEDY
packaged = testprobes_pkg.deep:PROBE
broken = broken_probe:PROBE
gone = no_such_module:PROBE
state-dict = testprobes:MISBEHAVE
"""


@pytest.fixture
def plugin_path(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The folders that make the probes of `plugin/` an installed distribution."""
    site = tmp_path_factory.mktemp("site")
    info = site / "testprobes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: testprobes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return [str(site), str(PLUGIN)]


@pytest.fixture
def plugins(plugin_path: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in plugin_path:
        monkeypatch.syspath_prepend(folder)


def misbehaving(do: str, *, timeout: float = 30.0, **options: Any) -> ProbeRequest:
    memory = options.pop("memory_limit", None)
    seed = options.pop("seed", 0)
    return ProbeRequest(
        artifact=do,
        type="misbehave",
        root=Path("/"),
        files={},
        options={"do": do, **options},
        timeout=timeout,
        memory_limit=memory,
        seed=seed,
    )


def misbehave(do: str, **options: Any) -> ProbeResult:
    return run_probes([misbehaving(do, **options)], python=sys.executable)[0]


def state_dict(
    root: Path, *names: str, python: str = "", own_process: bool = False, **options: Any
) -> ProbeResult:
    """Run the state-dict probe on files of `root` (default: all in it).

    In this process, where torch is loaded already, unless `python` names an interpreter or
    `own_process` is set.
    """
    found = names or tuple(
        str(path.relative_to(root)) for path in sorted(root.rglob("*")) if not path.is_dir()
    )
    files = {name: root / name for name in found}
    request = ProbeRequest("weights", "state-dict", root, files, options, timeout=120)
    if python or own_process:
        return run_probes([request], python=python or sys.executable)[0]
    return run_in_this_process(request)
