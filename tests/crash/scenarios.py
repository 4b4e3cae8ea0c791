"""The commands that crash, each with a box in which it has much to do."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import write_project
from tests.crash.bench import Bench, Scenario, digest
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


WEIGHTS = noise(3_300_000, 1)  # more than is held in memory
NEWER = noise(3_200_000, 2)
RANGES = {
    "fetcher.transfer.partial_file.SEGMENT": 128 << 10,
    "fetcher.transfer.partial_file.RANGES_FROM": 256 << 10,
}
MODEL = {
    "config.json": b'{"base": "x", "n": 1}\n',
    "model.safetensors": WEIGHTS,
    "sub/vocab.txt": b"one\ntwo\n",
    "big.txt": noise(30_000, 3).hex().encode(),
}
OLD = {"a.bin": noise(5000, 4), "b/c.bin": noise(700, 5)}
MINE = b"my own notes\n"


MEMBERS = {"d/a.bin": noise(300_000, 8), "d/b/run.sh": b"#!/bin/sh\n", "d/c": noise(900, 9)}


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in MEMBERS.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, 0o755 << 16
            made.writestr(info, data)
    return out.getvalue()


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as made:
        for name, data in MEMBERS.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


@dataclass
class World:
    """The servers that everything comes from."""

    hub: HubServer
    files: FileServer

    def fill(self) -> None:
        """Put the repositories there, as they are at first."""
        self.hub.add_repo("o/m", MODEL)
        self.hub.add_repo("o/old", OLD)
        self.hub.add_repo("o/many", {f"{n:03}.txt": b"%d" % n * (n + 1) for n in range(40)})
        self.files.add("plain.bin", noise(4000, 6))
        self.files.add("large.bin", noise(900_000, 7))
        self.files.add("d.zip", _zip())
        self.files.add("d.tgz", _tar())

    @property
    def env(self) -> dict[str, str]:
        return {"HF_ENDPOINT": self.hub.url}


def project(bench: Bench, world: World) -> Path:
    """A project with everything that a layout can ask for; the artifact `old` is there."""
    root = bench.box / "project"
    large = world.files.url + "/large.bin"
    write_project(
        root,
        "p",
        "artifacts:\n"
        "  m: {source: 'hf:o/m'}\n"
        "  old: {source: 'hf:o/old'}\n"
        f"  plain: {{source: '{world.files.url}/plain.bin'}}\n"
        f"  large:\n    source: '{large}'\n    files: {{large.bin: {{size: 900000, "
        f"sha256: {digest(noise(900_000, 7))}}}}}\n",
        "tree:\n"
        "  models/m/: m\n"
        "  models/m/config.json: m/config.json\n"
        "  models/m/big.txt: m/big.txt\n"
        "  models/old/: old\n"
        "  plain/renamed.bin: plain/plain.bin\n"
        "  large/: large\n"
        "  copy/big.txt: m/big.txt\n"
        "  edited/config.json: m/config.json\n"
        "hub_cache: [m]\n"
        "writable: [copy/big.txt]\n"
        "edits: {edited/config.json: {base: '{root}/models/m'}}\n",
    )
    (root / "models").mkdir()
    (root / "models/mine.txt").write_bytes(MINE)
    bench.must("all", "--only", "old")
    return root


_OLD_FILES = ("project/models/old/a.bin", "project/models/old/b/c.bin")
_PRECIOUS = ("project/models/mine.txt", *_OLD_FILES, "project/manifests/p.yaml")
Maker = Callable[[Bench, World], Scenario]


def fresh(bench: Bench, world: World) -> Scenario:
    project(bench, world)
    return Scenario("all", ["all"], precious=_PRECIOUS)


def ranges(bench: Bench, world: World) -> Scenario:
    project(bench, world)
    return Scenario("all, in ranges", ["all"], patches=RANGES, precious=_PRECIOUS)


def archives(bench: Bench, world: World) -> Scenario:
    root = bench.box / "project"
    write_project(
        root,
        "p",
        "artifacts:\n"
        f"  z: {{source: '{world.files.url}/d.zip', unpack: true}}\n"
        f"  t: {{source: '{world.files.url}/d.tgz', unpack: {{strip: 1}}}}\n",
        "tree:\n  zip/: z\n  tar/: t\n",
    )
    small = {"fetcher.store.unpacking._SMALL": 1000, "fetcher.archives.members.CHUNK": 100_000}
    return Scenario("all, with archives", ["all"], patches=small)


def copies(bench: Bench, world: World) -> Scenario:
    project(bench, world)
    return Scenario("all --link copy", ["all", "--link", "copy"], precious=_PRECIOUS)


def workers(bench: Bench, world: World) -> Scenario:
    root = bench.box / "project"
    write_project(root, "p", "artifacts:\n  many: {source: 'hf:o/many'}\n", "tree: {many/: many}\n")
    few = {"fetcher.transfer.worker_pool.FEWEST": 8, "fetcher.transfer.worker_pool.PACKET": 3}
    return Scenario("all, by workers", ["all"], patches=few)


def update(bench: Bench, world: World) -> Scenario:
    project(bench, world)
    bench.must("all")
    world.hub.add_commit("o/m", {"model.safetensors": NEWER, "config.json": b'{"base": "y"}\n'})
    return Scenario("all --update", ["all", "--update"], precious=_PRECIOUS)


def overwrite(bench: Bench, world: World) -> Scenario:
    root = project(bench, world)
    bench.must("all")
    for name in ("models/m/config.json", "models/m/model.safetensors", "plain/renamed.bin"):
        os.unlink(root / name)
        (root / name).write_bytes(b"mine: " + name.encode())
    cached = next((bench.box / "home/huggingface/hub").glob("*/snapshots/*/big.txt"))
    cached.unlink()
    cached.write_bytes(b"mine, in the cache")
    shutil.rmtree(root / "large")
    (root / "large").write_bytes(b"a file where a folder is to be")
    return Scenario("all --overwrite", ["all", "--overwrite"], precious=_PRECIOUS)


def reconcile(bench: Bench, world: World) -> Scenario:
    """Targets move, an artifact goes, another gets a new id, and one wants fewer files."""
    root = project(bench, world)
    bench.must("all")
    (root / "models/old/mine.bin").write_bytes(MINE)
    changed = root / "copy/big.txt"
    changed.unlink()
    changed.write_bytes(b"trained here")
    large = world.files.url + "/large.bin"
    write_project(
        root,
        "p",
        "artifacts:\n"
        "  m: {source: 'hf:o/m', exclude: [big.txt]}\n"
        "  older: {source: 'hf:o/old'}\n"
        f"  large:\n    source: '{large}'\n    files: {{large.bin: {{size: 900000, "
        f"sha256: {digest(noise(900_000, 7))}}}}}\n",
        "tree:\n"
        "  weights/m/: m\n"
        "  weights/older/: older\n"
        "  models/m/model.safetensors/: large\n"
        "  edited/config.json: m/config.json\n"
        "hub_cache: [m]\n"
        "edits: {edited/config.json: {base: '{root}/weights/m'}}\n",
    )
    precious = (
        "project/models/mine.txt",
        "project/models/old/mine.bin",
        "project/manifests/p.yaml",
    )
    return Scenario("all --prune", ["all", "--prune"], precious=precious, shrinks=True)


def lock(bench: Bench, world: World) -> Scenario:
    project(bench, world)
    bench.must("all")
    world.hub.add_commit("o/m", {"more.txt": b"more"})
    return Scenario("lock --update", ["lock", "--update", "m"], precious=_PRECIOUS)


def add(bench: Bench, world: World) -> Scenario:
    project(bench, world)
    argv = ["add", "hf:o/many", "--manifest", "p", "--name", "Many"]
    return Scenario("add", argv, precious=_PRECIOUS[:3], once=True)


def add_upload(bench: Bench, world: World) -> Scenario:
    project(bench, world)
    source = bench.box / "other/w"
    source.mkdir()
    (source / "w.safetensors").write_bytes(noise(50_000, 8))
    (source / "config.json").write_bytes(b"{}")
    argv = ["add", "../other/w", "--upload", "--manifest", "p", "--name", "Mine"]
    precious = [*_PRECIOUS[:3], "other/w/w.safetensors"]
    return Scenario("add --upload", argv, precious=precious, once=True)


def _downloads(bench: Bench, world: World) -> None:
    project(bench, world)
    bench.must("lock")
    for name, data in MODEL.items():
        path = bench.box / "other" / name.replace("/", "-")
        path.write_bytes(data)
        os.chmod(path, 0o640)


_GIVEN = tuple(f"other/{name.replace('/', '-')}" for name in MODEL)


def adopt(bench: Bench, world: World) -> Scenario:
    _downloads(bench, world)
    return Scenario("adopt", ["adopt", "../other"], precious=[*_PRECIOUS, *_GIVEN])


def adopt_links(bench: Bench, world: World) -> Scenario:
    _downloads(bench, world)
    argv = ["adopt", "--link", "hardlink", "../other"]
    return Scenario("adopt --link hardlink", argv, precious=[*_PRECIOUS, *_GIVEN])


def gc(bench: Bench, world: World) -> Scenario:
    project(bench, world)
    bench.must("all")
    store = bench.box / "store"
    for seed in range(12):
        data = noise(300, 100 + seed)
        (store / "blobs/sha256" / digest(data)).write_bytes(data)
    machine = "elsewhere"
    for number in range(4):
        part = store / "partial" / f"{'0' * 31}{number}.{machine}.{number + 9}.ab-cd.part"
        part.write_bytes(b"x" * 100)
        Path(f"{part}.map").write_bytes(b"y")
    (store / "partial/wheels-left").mkdir()
    (store / "partial/wheels-left/a.whl").write_bytes(b"z")
    old = {"fetcher.store.gc.YOUNG_SECONDS": 0, "fetcher.store.gc.STALE_PART_SECONDS": 0}
    return Scenario("gc", ["gc"], patches=old, precious=_PRECIOUS)


def _bundle(bench: Bench, world: World, name: str) -> None:
    project(bench, world)
    bench.must("all")
    bench.must("mirror", "export", f"../other/{name}")
    shutil.rmtree(bench.box / "store")
    shutil.rmtree(bench.box / "project")
    (bench.box / "project").mkdir()
    (bench.box / "store").mkdir()
    (bench.box / "project/mine.txt").write_bytes(MINE)


def import_folder(bench: Bench, world: World) -> Scenario:
    _bundle(bench, world, "bundle")
    argv = ["mirror", "import", "../other/bundle", "--project", "."]
    return Scenario("mirror import, a folder", argv, precious=["project/mine.txt"])


def import_tar(bench: Bench, world: World) -> Scenario:
    _bundle(bench, world, "bundle.tar")
    argv = ["mirror", "import", "../other/bundle.tar"]
    return Scenario("mirror import, a tar", argv, precious=["other/bundle.tar"])


def _export(bench: Bench, world: World, name: str, *argv: str) -> Scenario:
    project(bench, world)
    bench.must("all")
    return Scenario(f"mirror export, {name}", ["mirror", "export", *argv], precious=_PRECIOUS)


def export_folder(bench: Bench, world: World) -> Scenario:
    return _export(bench, world, "a folder", "../other/bundle")


def export_tar(bench: Bench, world: World) -> Scenario:
    return _export(bench, world, "a tar", "../other/bundle.tar")


def export_volumes(bench: Bench, world: World) -> Scenario:
    return _export(bench, world, "volumes", "../other/bundle.tar", "--volume-size", "1M")


MAKERS: list[Maker] = [
    fresh,
    ranges,
    archives,
    copies,
    workers,
    update,
    overwrite,
    reconcile,
    lock,
    add,
    add_upload,
    adopt,
    adopt_links,
    gc,
    import_folder,
    import_tar,
    export_folder,
    export_tar,
    export_volumes,
]


def make(bench: Bench, maker: Maker) -> tuple[Scenario, World]:
    """Prepare a scenario; the servers run until they are stopped."""
    world = World(HubServer().start(), FileServer().start())
    world.fill()
    bench.env = world.env
    bench.empty()
    scenario = maker(bench, world)
    bench.keep_template(scenario)
    return scenario, world


def describe(scenario: Scenario) -> str:
    """For a person who looks into it."""
    return json.dumps({"argv": list(scenario.argv), "files": len(scenario.clean)})
