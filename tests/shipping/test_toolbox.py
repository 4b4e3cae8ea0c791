"""fetch travels along: its wheels install without network, and do what it does here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fetcher.shipping.toolbox import platform_tags
from tests.shipping.conftest import Site, exported

MakeSite = Callable[[str], Site]


def without_network() -> list[str]:
    """What runs a command in a network namespace without any interface, if that is allowed."""
    command = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") is None:
        return []
    done = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if done.returncode == 0 else []


@pytest.mark.heavy
def test_the_tool_installs_and_imports_without_network(home: Site, tmp_path: Path) -> None:
    isolated = without_network()
    if not isolated:
        pytest.skip("no network namespaces here")
    probe = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", tmp_path, "click"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("pip reaches no package index")
    bundle = home.root.parent / "b.tar"
    result = home.fetch("mirror", "export", bundle, "--with-tool", "--json")
    assert result.code == 0, result.err
    assert home.fetch("mirror", "check", bundle).code == 0
    site = tmp_path / "site"
    site.mkdir()
    with tarfile.open(bundle) as archive:
        for member in archive:
            if member.name.startswith("tool/"):
                archive.extract(member, site, filter="data")
    names = {path.name for path in (site / "tool").iterdir()}
    assert {"install.sh", "requirements.txt"} < names
    assert any(name.startswith("model_signing-") for name in names)
    clean = {"PATH": os.environ["PATH"], "HOME": str(site), "PYTHON": sys.executable}

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*isolated, *map(str, command)],
            cwd=site,
            env={**clean, "FETCH_STORE": str(site / "store")},
            capture_output=True,
            text=True,
            check=False,
        )

    installed = run("sh", "tool/install.sh", site / "env")
    assert installed.returncode == 0, installed.stderr
    fetch = site / "env/bin/fetch"
    for command in (
        (fetch, "mirror", "import", bundle, "--project", site / "p"),
        (fetch, "mirror", "check", bundle),
    ):
        done = run(*command)
        assert done.returncode == 0, done.stderr
    done = run("sh", "-c", f"cd p && {fetch} all --offline && {fetch} check --deep")
    assert done.returncode == 0, done.stderr
    assert home.tree() == {
        path.relative_to(site / "p").as_posix(): path.read_bytes()
        for name in ("models", "sets")
        for path in (site / "p" / name).rglob("*")
        if path.is_file()
    }
    wheel = next((site / "tool").glob("click-*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    assert run("sh", "tool/install.sh", site / "env2").returncode != 0


def test_wrong_wishes_are_told(home: Site) -> None:
    out = home.root.parent / "b.tar"
    unknown = home.fetch("mirror", "export", out, "--with-tool", "--tool-extra", "sgin")
    assert unknown.code == 2 and "'sign'" in unknown.err
    assert home.fetch("mirror", "export", out, "--with-tool", "--tool-python", "two").code == 2
    alone = home.fetch("mirror", "export", out, "--tool-python", "3.11")
    assert alone.code == 2 and "--with-tool" in alone.err
    assert not out.exists() and not list(out.parent.glob(".fetch-tool-*"))


def test_older_manylinux_wheels_are_taken_as_well() -> None:
    tags = platform_tags(["manylinux_2_28_x86_64"])
    assert tags[0] == "manylinux_2_28_x86_64" and "manylinux2014_x86_64" in tags
    assert platform_tags(["macosx_14_0_arm64"]) == ["macosx_14_0_arm64"]


@pytest.mark.parametrize("size", ["0", "4X", "-1", "1k", "G"])
def test_wrong_volume_sizes_are_told(home: Site, size: str) -> None:
    out = home.root.parent / "b.tar"
    assert home.fetch("mirror", "export", out, "--volume-size", size).code == 2
    assert not list(out.parent.glob("b.tar*"))


def test_names_that_volumes_have_are_refused(home: Site) -> None:
    assert home.fetch("mirror", "export", home.root / "b.tar.001").code == 2
    assert exported(home, "volumes").with_name("v.tar.001").exists()
