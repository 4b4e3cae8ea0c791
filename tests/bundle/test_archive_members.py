"""Members of archives through every kind of mirror: no archive is asked for, programs stay so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bundle.conftest import Site, exported
from tests.bundle.test_registries import bucket, clone, host, needs_registry
from tests.conftest import write_project
from tests.e2e.test_archives import tarred, zipped
from tests.kit import payload
from tests.server.kit import serving
from tests.servers.plain import FileServer

__all__ = ["bucket", "host"]

MakeSite = Callable[[str], Site]
TAR = {"top/run.sh": b"#!/bin/sh\necho ran\n", "top/w.bin": payload(1_200_000, 40)}
ZIP = {"z/tool.sh": b"#!/bin/sh\n", "z/t.txt": b"text\n"}
TREE = {f"models/m/{name}": data for name, data in {**TAR, **ZIP}.items()}


@pytest.fixture
def packed(site: MakeSite) -> Iterator[Site]:
    """A machine whose project has unpacked two archives; whose server then is gone."""
    made = site("home")
    with FileServer() as files:
        files.add("w/a.tar", tarred(TAR))
        files.add("w/b.zip", zipped(ZIP))
        manifest = (
            "artifacts:\n  m:\n    name: A model\n    license: MIT\n"
            f"    source: {files.url}/w/\n    files: [a.tar, b.zip]\n    unpack: true\n"
        )
        write_project(made.root, "p", manifest, "tree:\n  models/m/: m\n")
        result = made.fetch("all")
        assert result.code == 0, result.err
        assert made.tree() == TREE
    yield made


def programs(site: Site) -> set[str]:
    found = (path for path in (site.root / "models").rglob("*") if path.is_file())
    return {path.name for path in found if os.stat(path).st_mode & 0o100}


def is_right(site: Site) -> None:
    assert site.tree() == TREE and programs(site) == {"run.sh", "tool.sh"}
    assert site.fetch("check", "--deep").code == 0


def through(packed: Site, away: Site, mirror: str | Path, *flags: str) -> None:
    """What a clone with this mirror has, and no source."""
    clone(packed, away)
    result = away.fetch("all", "--from", mirror, *flags, "--json")
    assert result.code == 0, result.err
    sources = {f["source"] for item in result.json["artifacts"] for f in item["files"]}
    assert all(source.startswith("mirror:") for source in sources)
    is_right(away)
    again = away.fetch("all", "--json")
    assert again.code == 0 and again.json["summary"]["downloaded_bytes"] == 0


@pytest.mark.parametrize("form", ["folder", "tar", "volumes"])
def test_a_bundle(packed: Site, site: MakeSite, form: str) -> None:
    bundle = exported(packed, form)
    through(packed, site("away"), bundle, "--offline")
    other = site("other")
    clone(packed, other)
    assert other.fetch("mirror", "import", bundle).code == 0
    assert other.fetch("all", "--offline").code == 0
    is_right(other)


@needs_registry
def test_a_registry(packed: Site, site: MakeSite, host: str) -> None:
    target = f"oci://{host}/m"
    assert packed.fetch("mirror", "push", exported(packed, "tar"), target).code == 0
    through(packed, site("away"), target)
    pulled = site("pulled")
    result = pulled.fetch("mirror", "pull", target, "--project", pulled.root)
    assert result.code == 0, result.err
    assert pulled.fetch("all", "--offline").code == 0
    is_right(pulled)


@pytest.mark.filterwarnings("ignore")
def test_a_bucket(packed: Site, site: MakeSite, bucket: str) -> None:
    assert packed.fetch("mirror", "push", exported(packed, "folder"), bucket).code == 0
    through(packed, site("away"), bucket)


def test_a_bundle_on_a_web_server(packed: Site, site: MakeSite) -> None:
    with FileServer() as files:
        files.add_folder(exported(packed, "folder"), "/b")
        through(packed, site("away"), f"{files.url}/b/")


def test_a_mirror_server(packed: Site, site: MakeSite) -> None:
    with serving(packed.root, cwd=packed.root, FETCH_STORE=str(packed.store)) as server:
        through(packed, site("away"), server.url)


def test_a_mirror_of_the_manifest(packed: Site, site: MakeSite) -> None:
    bundle, away = exported(packed, "tar"), site("away")
    clone(packed, away)
    manifest = away.root / "manifests/p.yaml"
    shutil.copy(bundle, away.root / "b.tar")
    manifest.write_text(manifest.read_text() + "    mirrors: [{type: mirror, location: b.tar}]\n")
    result = away.fetch("all")
    assert result.code == 0, result.err
    is_right(away)


@pytest.mark.parametrize("way", ["chmod", "copy"])
def test_a_program_that_may_not_be_run_any_more_is_found_and_mended(packed: Site, way: str) -> None:
    """Without its store, and without the archive: its bytes are right."""
    program = packed.root / "models/m/top/run.sh"
    shutil.rmtree(packed.store)
    if way == "chmod":
        program.chmod(0o644)
    else:
        data = program.read_bytes()
        program.unlink()
        program.write_bytes(data)
    before = os.stat(program)
    found = packed.fetch("check", "--json")
    assert found.code == 4 and [f["state"] for f in found.json["results"]] == ["modified"]
    assert "may not be run" in found.json["results"][0]["message"]
    assert packed.fetch("check", "--deep").code == 4
    if way == "chmod":
        assert "modified" in packed.fetch("status").out
    plan = packed.fetch("plan", "--json").json
    assert plan["summary"]["to_download_files"] == 0
    result = packed.fetch("all", "--json")
    assert result.code == 0, result.err
    assert result.json["summary"]["placed_files"] == 1
    assert result.json["artifacts"][0]["state"] == "complete"
    now = os.stat(program)
    assert now.st_mode & 0o777 == 0o755 and now.st_ino == before.st_ino
    assert packed.fetch("check").code == 0
    assert packed.fetch("all", "--json").json["summary"]["placed_files"] == 0


def test_a_file_that_is_no_program_may_have_any_mode(packed: Site) -> None:
    text = packed.root / "models/m/z/t.txt"
    text.chmod(0o700)
    assert packed.fetch("check").code == 0
    assert packed.fetch("all", "--json").json["summary"]["placed_files"] == 0


def test_a_program_of_the_persons_own_is_let_be_run(packed: Site) -> None:
    """It has the bytes that are wanted; it stays the person's, and is no orphan later."""
    program = packed.root / "models/m/top/run.sh"
    shutil.rmtree(packed.root / ".fetch")
    program.chmod(0o640)
    result = packed.fetch("all", "--json")
    assert result.code == 0, result.err
    assert program.stat().st_mode & 0o777 == 0o750
    assert packed.fetch("check").code == 0
