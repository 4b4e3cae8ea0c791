"""Bundles: the same bytes for the same content, a round trip in every form, gone on with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetcher.fs.extents import read
from fetcher.fs.processes import machine
from fetcher.mirror.bundle import open_bundle
from fetcher.store import imports
from fetcher.store.gc import YOUNG_SECONDS
from fetcher.store.store import Store
from fetcher.ui.progress import Progress
from tests.bundle.conftest import FILES, TREE, WEIGHTS, Site, exported
from tests.kit import sha256

FORMS = ["folder", "tar", "volumes"]
MakeSite = Callable[[str], Site]


@pytest.mark.parametrize("form", FORMS)
def test_the_round_trip(
    home: Site, site: MakeSite, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = exported(home, form)
    checked = home.fetch("mirror", "check", bundle, "--json")
    assert checked.code == 0, checked.err
    (told,) = checked.json["results"][:1]
    assert told["id"] == "model" and told["license"] == "Apache-2.0"
    assert told["bytes"] == len(WEIGHTS) + 2 and told["source"] == "local:data/model"
    away = site("away")
    taken = away.fetch("mirror", "import", bundle, "--project", away.root / "q", "--json")
    assert taken.code == 0, taken.err
    assert taken.json["summary"]["files"] == len(set(FILES.values()))
    assert away.leftovers() == []
    placed = away.fetch("all", "--offline", "--locked", cwd=away.root / "q")
    assert placed.code == 0, placed.err
    assert away.tree(away.root / "q") == home.tree() == TREE
    assert away.fetch("check", "--deep", cwd=away.root / "q").code == 0
    again = away.fetch("mirror", "import", bundle, "--json").json["summary"]
    assert again["files"] == 0 and again["reused_files"] == len(set(FILES.values()))
    # What was brought is not swept away before a project of the site needs it.
    shutil.rmtree(away.root / "q")
    now = time.time() + 2 * YOUNG_SECONDS
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now)
        assert away.fetch("gc", cwd=away.root / "r").code == 0
    assert len(away.blobs()) == len(set(FILES.values()))
    assert away.fetch("gc", "--forget-imports", "--dry-run", cwd=away.root / "r").code == 2
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now)
        assert away.fetch("gc", "--forget-imports", cwd=away.root / "r").code == 0
        assert len(away.blobs()) == len(set(FILES.values())), "the clone is only not here"
        gone = ("--forget", away.root / "q")
        assert away.fetch("gc", *gone, cwd=away.root / "r").code == 0
    assert away.blobs() == []


@pytest.mark.parametrize("form", FORMS)
def test_a_bundle_is_used_in_place(home: Site, site: MakeSite, form: str) -> None:
    bundle = exported(home, form)
    away = site("away")
    for name in ("manifests", "layouts"):
        shutil.copytree(home.root / name, away.root / name)
    shutil.copy(home.root / "fetch.lock", away.root)
    result = away.fetch("all", "--offline", "--from", bundle, "--json")
    assert result.code == 0, result.err
    assert away.tree() == TREE
    sources = {file["source"] for item in result.json["artifacts"] for file in item["files"]}
    assert sources == {f"mirror:{bundle}"}


def test_a_file_known_only_by_its_git_id_is_found_in_a_bundle(
    hub: object, project: Path, site: MakeSite, cli: object
) -> None:
    home = site("home")
    shutil.move(str(project / "manifests"), home.root / "manifests")
    shutil.move(str(project / "layouts"), home.root / "layouts")
    assert home.fetch("lock").code == 0
    lock = (home.root / "fetch.lock").read_text()
    assert '"git_blob"' in lock and home.fetch("all").code == 0
    bundle = exported(home, "tar")
    away = site("away")
    shutil.copytree(home.root / "manifests", away.root / "manifests")
    shutil.copytree(home.root / "layouts", away.root / "layouts")
    (away.root / "fetch.lock").write_text(lock)
    result = away.fetch("all", "--offline", "--from", bundle)
    assert result.code == 0, result.err
    assert (away.root / "models/m/config.json").read_bytes() == b'{"a": 1}\n'
    opened = open_bundle(str(bundle))
    (held,) = opened.artifacts()
    assert held.origin.repo == "o/m" and held.origin.text("repo_type") == "model"
    assert any(file.lfs for file in held.files) and any(file.git_blob for file in held.files)
    for file in held.files:
        extents = opened.locate(file.sha256 or "")
        assert extents is not None
        assert sha256(b"".join(read(extents))) == file.sha256
    opened.close()


def test_the_same_content_is_the_same_bytes(home: Site, site: MakeSite) -> None:
    tar = exported(home, "tar").read_bytes()
    # Another clone with another store, umask and clock, its files in another order.
    other = site("other")
    for name in ("manifests", "layouts"):
        shutil.copytree(home.root / name, other.root / name)
    for name, data in reversed(FILES.items()):
        path = other.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1, 1))
    old = os.umask(0o077)
    try:
        assert other.fetch("all").code == 0
        assert other.fetch("mirror", "export", other.root / "x.tar").code == 0
    finally:
        os.umask(old)
    assert (other.root / "x.tar").read_bytes() == tar
    volumes = exported(home, "volumes")
    parts = sorted(volumes.parent.glob("v.tar.0*"))
    assert b"".join(part.read_bytes() for part in parts) == tar and len(parts) == 2
    subprocess.run(["sha256sum", "--quiet", "-c", "v.tar.sha256"], cwd=volumes.parent, check=True)
    folder = exported(home, "folder")
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
    unpacked = site("unpacked").root
    unpacked.mkdir()
    subprocess.run(["tar", "xf", folder.parent / "b.tar", "-C", unpacked], check=True)
    names = {p.relative_to(unpacked) for p in unpacked.rglob("*") if p.is_file()}
    assert names == {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
    assert all((unpacked / name).read_bytes() == (folder / name).read_bytes() for name in names)


def test_a_folder_that_somebody_packed_is_a_bundle_as_well(home: Site, site: MakeSite) -> None:
    folder = exported(home, "folder")
    packed = folder.parent / "packed.tar"
    subprocess.run(["tar", "cf", packed, "-C", folder, "."], check=True)
    away = site("away")
    assert away.fetch("mirror", "import", packed).code == 0
    assert len(away.blobs()) == len(set(FILES.values()))


def test_the_index_for_people_says_what_is_there(home: Site) -> None:
    folder = exported(home, "folder")
    text = (folder / "INDEX.txt").read_text()
    for words in ("p/model", "A model", "local:data/model", "Apache-2.0", "sha256:", "p.model"):
        assert words in text
    assert (folder / "project/fetch.lock").read_text() == (home.root / "fetch.lock").read_text()
    assert (folder / "project/manifests/p.yaml").exists()
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_the_log_tells_what_is_written_and_proven(home: Site) -> None:
    out = home.root.parent / "told"
    written = home.fetch("mirror", "export", out, "-v")
    digest = written.out.rpartition("sha256:")[2].strip()
    assert f"{out} is written: sha256:{digest}" in written.err
    again = home.fetch("mirror", "export", out, "-v")
    assert f"{out} is there already: sha256:{digest}" in again.err
    sound = home.fetch("mirror", "check", out, "-v")
    assert f"proving {out}: " in sound.err and "bytes read: all sound" in sound.err
    blob = max((out / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.chmod(0o644)
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    damaged = home.fetch("mirror", "check", out, "-v")
    assert damaged.code == 4 and "bytes read: 1 problems" in damaged.err


def test_exporting_again(home: Site) -> None:
    for form in FORMS:
        out = exported(home, form)
        again = home.fetch(
            *("mirror", "export", out, "--json"),
            *(("--volume-size", "1M") if form == "volumes" else ()),
        )
        assert again.code == 0 and again.json["summary"]["written"] is False, again.err
    (home.root / "data/set/new.jpg").write_bytes(b"new")
    assert home.fetch("all", "--update").code == 0
    for form in ("folder", "tar"):
        out = home.root.parent / {"folder": "bundle", "tar": "b.tar"}[form]
        refused = home.fetch("mirror", "export", out)
        assert refused.code == 4 and "--overwrite" in refused.err
        assert home.fetch("mirror", "export", out, "--overwrite").code == 0
        assert home.fetch("mirror", "check", out).code == 0
    stranger = home.root.parent / "mine"
    stranger.mkdir()
    (stranger / "diary.txt").write_text("mine")
    assert home.fetch("mirror", "export", stranger, "--overwrite").code == 4
    assert (stranger / "diary.txt").read_text() == "mine"


@pytest.mark.parametrize("form", FORMS)
def test_an_interrupted_export_goes_on(
    home: Site, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    whole = exported(home, "tar").read_bytes()
    out = home.root.parent / {"folder": "x", "tar": "x.tar", "volumes": "x.tar"}[form]
    more = ["--volume-size", "1M"] if form == "volumes" else []
    advance, seen = Progress.advance, 0

    def breaking(self: Progress, received: int, files: int = 0) -> None:
        nonlocal seen
        seen += received
        if seen > 700_000:
            raise KeyboardInterrupt
        advance(self, received, files)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", breaking)
        assert home.fetch("mirror", "export", out, *more).code == 130
    assert home.fetch("mirror", "check", out).code in {2, 4}
    if form == "tar":  # what a power cut may leave: other bytes
        partial = out.with_name("x.tar.partial")
        data = bytearray(partial.read_bytes())
        assert len(data) > 10_000
        data[9_000] ^= 1
        partial.write_bytes(data)
    result = home.fetch("mirror", "export", out, *more)
    assert result.code == 0, result.err
    assert home.fetch("mirror", "check", out).code == 0
    if form == "tar":
        assert out.read_bytes() == whole
    elif form == "volumes":
        assert b"".join(p.read_bytes() for p in sorted(out.parent.glob("x.tar.0*"))) == whole
    assert not list(out.parent.glob("*.partial")) and not (out / ".fetch-export").exists()


def test_an_interrupted_import_goes_on(
    home: Site, site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = exported(home, "tar")
    away = site("away")
    from fetcher.bundle.blob_import import BlobImport

    def breaking(self: BlobImport) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BlobImport, "_publish", breaking)
        assert away.fetch("mirror", "import", bundle).code == 130
    assert away.blobs() == []
    (part,) = (away.store / "partial").iterdir()
    assert part.stat().st_size == len(WEIGHTS)
    data = bytearray(part.read_bytes()[:900_000])
    data[5] ^= 1  # what is left over is not trusted
    part.write_bytes(data)
    assert away.fetch("mirror", "import", bundle).code == 0
    assert sha256(WEIGHTS) in away.blobs() and away.leftovers() == []
    assert away.fetch("store", "check").code == 0


def test_a_damaged_blob_is_not_exported(home: Site) -> None:
    blob = home.store / "blobs/sha256" / sha256(WEIGHTS)
    stat = blob.stat()
    os.chmod(blob, 0o644)
    data = bytearray(WEIGHTS)
    data[77] ^= 1
    with blob.open("r+b") as stream:
        stream.write(data)
    os.utime(blob, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a failing disk does it
    out = home.root.parent / "b.tar"
    result = home.fetch("mirror", "export", out)
    assert result.code == 4 and sha256(WEIGHTS) in result.err and not out.exists()
    assert sha256(WEIGHTS) not in home.blobs()  # set aside


def test_what_is_not_there_or_does_not_fit_is_told(
    home: Site, site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = exported(home, "tar")
    shutil.rmtree(home.store)
    # The tree still has the bytes.
    assert home.fetch("mirror", "export", home.root / "y.tar").code == 0
    assert (home.root / "y.tar").read_bytes() == bundle.read_bytes()
    shutil.rmtree(home.root / "models")
    gone = home.fetch("mirror", "export", home.root / "z.tar", "--json")
    assert gone.code == 4 and {e["file"] for e in gone.json["errors"]} == {
        "config.json",
        "empty.txt",
        "model.safetensors",
    }
    away = site("away")
    full = shutil._ntuple_diskusage(10, 10, 1000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: full)
        refused = away.fetch("mirror", "import", bundle)
        assert refused.code == 9 and away.blobs() == []
        assert home.fetch("mirror", "export", home.root / "q.tar", "--only", "set").code == 9
    assert not (home.root / "q.tar.partial").exists()
    (home.root / "fetch.lock").unlink()
    assert home.fetch("mirror", "export", home.root / "q.tar").code == 7


def test_a_project_s_own_files_are_never_overwritten(home: Site, site: MakeSite) -> None:
    bundle = exported(home, "tar")
    away = site("away")
    mine = away.root / "q/manifests/p.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    result = away.fetch("mirror", "import", bundle, "--project", away.root / "q")
    assert result.code == 4 and "p.yaml" in result.err and mine.read_text() == "mine"
    assert (away.root / "q/fetch.lock").exists() and away.blobs()


def test_gc_waits_for_an_import(
    home: Site, site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, away = exported(home, "folder"), site("away")
    told: list[str] = []

    def while_kept(*arguments: Any) -> None:
        command = [sys.executable, "-m", "fetcher", "gc", "--forget-imports"]
        sweep = subprocess.Popen(command, cwd=away.root, stderr=subprocess.PIPE, text=True)
        assert sweep.stderr is not None
        told.append(sweep.stderr.readline())
        sweeps.append(sweep)
        keep(*arguments)

    sweeps: list[subprocess.Popen[str]] = []
    keep = imports.keep
    monkeypatch.setattr(imports, "keep", while_kept)
    assert away.fetch("mirror", "import", bundle).code == 0
    assert f"waiting for PID {os.getpid()} on" in told[0]
    assert sweeps[0].wait(30) == 0


def test_an_import_on_a_full_disk_has_what_others_had_begun_make_way(
    home: Site, site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there of partial downloads counts, not how far they reach; what an import goes on
    with stays, and is taken off what it needs."""
    bundle = exported(home, "folder")
    away = site("away")
    partial = away.root / "store/partial"
    partial.mkdir(parents=True)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    end = f"{machine()}.{child.pid}.0a-1b.part"
    sparse = partial / f"{'a' * 32}.{end}"
    with sparse.open("wb") as stream:
        stream.write(b"x" * 100_000)
        stream.truncate(1 << 40)
    own = partial / f"{Store.label_of(f'sha256:{sha256(WEIGHTS)}')}.{end}"
    own.write_bytes(WEIGHTS[:4096])
    missing = sum(map(len, set(FILES.values()))) - 4096

    def free(_: Path) -> int:
        return missing - 50_000 * sparse.exists()

    monkeypatch.setattr("fetcher.bundle.blob_import.free_bytes", free)
    result = away.fetch("mirror", "import", bundle)
    assert result.code == 0, result.err
    assert "1 partial download that this run does not go on with went, 102.4 kB" in result.err
    assert not sparse.exists() and away.leftovers() == []
    other = site("other")
    monkeypatch.setattr("fetcher.bundle.blob_import.free_bytes", lambda _: missing - 1)
    assert other.fetch("mirror", "import", bundle).code == 9


def test_gc_names_a_bundle_and_lets_go_of_it(
    home: Site, site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = site("away")
    bundle = exported(home, "folder")
    assert away.fetch("mirror", "import", bundle).code == 0
    now = time.time() + 2 * YOUNG_SECONDS
    monkeypatch.setattr(time, "time", lambda: now)
    dry = away.fetch("gc", "--dry-run", "--json").json
    (found,) = [one for one in dry["results"] if one["kind"] == "import"]
    words = away.fetch("gc", "--dry-run").out
    assert f"bundle {bundle}" in words and f"to let go of it: {found['forget']}" in words
    usage = away.fetch("store", "du")
    assert f"bundle {bundle}" in usage.out, usage.err
    assert away.fetch(*found["forget"].split()[1:], "--dry-run").code == 0
    assert len(away.blobs()) == len(set(FILES.values()))
    assert away.fetch(*found["forget"].split()[1:]).code == 0
    assert away.blobs() == [] and not list((away.store / "imported").iterdir())
