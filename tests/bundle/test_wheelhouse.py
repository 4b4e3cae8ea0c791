"""fetch travels along: its wheels install without network, and do what it does here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fetcher.bundle.wheelhouse import platform_tags
from tests.bundle.conftest import Site, exported
from tests.e2e.test_docs import blocks


def without_network() -> list[str]:
    """What runs a command in a network namespace without any interface, if that is allowed."""
    command = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") is None:
        return []
    done = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if done.returncode == 0 else []


@pytest.mark.heavy
def test_the_walk_of_the_docs(home: Site, tmp_path: Path) -> None:
    """docs/offline.md as written, the site's part without any network interface."""
    isolated = without_network()
    if not isolated:
        pytest.skip("no network namespaces here")
    probe = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "-d",
        str(tmp_path),
        "click",
    ]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("pip reaches no package index")
    media, site = tmp_path / "usb", tmp_path / "site"
    media.mkdir()
    site.mkdir()
    connected = {**os.environ, "FETCH_STORE": str(home.store)}
    connected["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    away = {"PATH": "/usr/bin:/bin", "HOME": str(site), "PYTHON": sys.executable}

    def run(block: str, at_site: bool, folder: Path) -> None:
        script = block.replace("/media/usb", str(media))
        done = subprocess.run(
            [*(isolated if at_site else []), "bash", "-ec", script],
            cwd=folder,
            env=away if at_site else connected,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (block, done.stdout, done.stderr)

    walk, arrive, other, have, delta, volumes, place, sign = blocks("docs/offline.md", "sh")
    assert "tool12" in other  # a download of its own
    run(walk, False, home.root)
    shutil.copy(home.root / "release.pub", site)
    run(arrive, True, site)
    assert home.tree() == files_below(site / "project")
    away["PATH"] = f"{site}/fetch-tool/bin:{away['PATH']}"
    run(have, True, site)
    (home.root / "data/set/new.jpg").write_bytes(b"new")
    assert home.fetch("all", "--update").code == 0
    for block in (delta, volumes, sign):
        run(block, False, home.root)
    run(
        f"fetch mirror import {media}/delta.tar --verify-key release.pub --project later",
        True,
        site,
    )
    run("fetch all --offline", True, site / "later")
    assert home.tree() == files_below(site / "later")
    shutil.rmtree(site / "project/models")
    shutil.rmtree(site / ".cache")
    run(place, True, site / "project")
    assert (site / "project/models/m/model.safetensors").exists()


def files_below(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for name in ("models", "sets")
        for path in (root / name).rglob("*")
        if path.is_file()
    }


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
