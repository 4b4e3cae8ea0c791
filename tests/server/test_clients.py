"""Unmodified clients against the mirror and against the stand-in Hub: the same, byte for byte."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.server.conftest import DATA
from tests.server.kit import Mirror, clean_environment, fetch, serving
from tests.servers.hub import HubServer

REPOSITORY = Path(__file__).parents[2]
KINDS = {"text": "", "adapter": "", "sentences": "", "diffusion": "", "data": "datasets/"}
pytestmark = pytest.mark.heavy


@dataclass
class Both:
    """The Hub that the repositories are on, and a mirror of them."""

    hub: HubServer
    mirror: Mirror
    home: Path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    home = tmp_path_factory.mktemp("clients")
    for name in ("diffusers", "datasets", "sentence_transformers", "peft"):
        pytest.importorskip(name)
    made = home / "made"
    run(home, sys.executable, "-m", "tests.server.hubmodels", made)
    with HubServer() as hub:
        for name, prefix in KINDS.items():
            files = {
                path.relative_to(made / name).as_posix(): path.read_bytes()
                for path in sorted((made / name).rglob("*"))
                if path.is_file()
            }
            hub.add_repo(f"tiny/{name}", files, "dataset" if prefix else "model")
        sources = "".join(f'  {n}: {{source: "hf:{p}tiny/{n}"}}\n' for n, p in KINDS.items())
        tree = "".join(f"  {name}/: {name}\n" for name in KINDS)
        write_project(home / "project", "p", f"artifacts:\n{sources}", f"tree:\n{tree}")
        fetch(home, "all", "--quiet", cwd=home / "project", HF_ENDPOINT=hub.url)
        with serving(home, cwd=home / "project") as mirror:
            yield Both(hub, mirror, home)


def run(home: Path, *command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(
        home,
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        HF_HUB_DISABLE_UPDATE_CHECK="1",
        PYTHONPATH=str(REPOSITORY),
        **more,
    )
    done = subprocess.run(
        [str(part) for part in command],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def cached(home: Path) -> dict[str, str]:
    """Every file and ref of a Hub cache, with its digest."""
    return {
        path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((home / "hub").rglob("*"))
        if path.is_file() and path.parent.name != "trees"
    }


def trouble(text: str) -> list[str]:
    """Lines that a client wrote to stderr: no progress bars, nor what one library tells another."""
    lines = re.split(r"[\r\n]+", text)
    bars = r".*(\d+%\||\d+ examples|\d+it |it/s\]|Loading weights|FutureWarning|warnings\.warn\().*"
    return [line for line in lines if line.strip() and not re.fullmatch(bars, line)]


def test_every_client_loads_the_same_from_an_empty_cache(both: Both) -> None:
    found = {}
    for name, url in (("hub", both.hub.url), ("mirror", both.mirror.url)):
        home = both.home / f"cache-{name}"
        done = run(
            both.home,
            sys.executable,
            "-m",
            "tests.server.clients",
            HF_ENDPOINT=url,
            HF_HOME=str(home),
        )
        found[name] = (json.loads(done.stdout), trouble(done.stderr), cached(home))
    assert found["mirror"] == found["hub"]
    assert found["mirror"][1] == []
    assert both.mirror.said == []


def test_the_hf_command(mirror: Mirror, tmp_path: Path) -> None:
    """An old token in the environment does no harm."""
    hf = Path(sys.executable).with_name("hf")
    more = {"HF_ENDPOINT": mirror.url, "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_of_the_past"}
    run(tmp_path, hf, "download", "o/m", **more)
    folder = tmp_path / "here"
    run(tmp_path, hf, "download", "o/d", "--repo-type", "dataset", "--local-dir", folder, **more)
    assert (folder / "data/003/a.txt").read_bytes() == DATA["data/003/a.txt"]
    verified = run(tmp_path, hf, "cache", "verify", "o/m", **more)
    assert "mismatch" not in verified.stdout.lower() + verified.stderr.lower()
    listed = run(tmp_path, hf, "models", "ls", "--search", "tagged", **more)
    assert "o/tagged" in listed.stdout
