"""Archives of a manifest: their members are the artifact's files, and they are not kept."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import py7zr
import pytest
import zstandard

from tests.conftest import Cli, write_project
from tests.e2e.conftest import files_below
from tests.kit import Made, payload, sha256
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

FILES = {
    "top/a.txt": b"one\n",
    "top/ckpt/model.bin": payload(6_000_000),
    "top/ckpt/run.sh": b"#!/bin/sh\necho ran\n",
    "top/b/한글.txt": "안녕".encode(),
}
STRIPPED = {name.removeprefix("top/"): data for name, data in FILES.items()}


def zipped(files: Mapping[str, bytes], programs: str = ".sh", method: int = 8) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        made.mkdir("top") if hasattr(made, "mkdir") else None
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = (0o755 if name.endswith(programs) else 0o644) << 16
            info.compress_type = method
            made.writestr(info, data)
    return out.getvalue()


def tarred(files: Mapping[str, bytes], programs: str = ".sh") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755 if name.endswith(programs) else 0o644
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sevened(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    quick = [{"id": py7zr.FILTER_DEFLATE}]  # the default takes seconds for random bytes
    with py7zr.SevenZipFile(out, "w", filters=quick) as made:
        for name, data in files.items():
            made.writestr(data, name)
    return out.getvalue()


FORMATS = Made(
    {
        "d.zip": lambda: zipped(FILES),
        "d.tar": lambda: tarred(FILES),
        "d.tar.gz": lambda: gzip.compress(tarred(FILES), 1),
        "d.tgz": lambda: gzip.compress(tarred(FILES), 1),
        "d.tar.bz2": lambda: bz2.compress(tarred(FILES), 1),
        "d.tar.xz": lambda: lzma.compress(tarred(FILES), preset=0),
        "d.tar.zst": lambda: zstandard.compress(tarred(FILES)),
    }
)


def declare(root: Path, source: str, unpack: str = "true", more: str = "", tree: str = "") -> None:
    write_project(
        root,
        "p",
        f"artifacts:\n  d:\n    source: {source}\n    unpack: {unpack}\n{more}",
        tree or "tree:\n  data/: d\n",
    )


def locked(root: Path, name: str = "d") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "fetch.lock").read_text())
    artifact: dict[str, Any] = found["manifests"]["p"][name]
    return artifact


def blobs(hermetic: Path) -> set[str]:
    return {path.name for path in (hermetic / "store/blobs/sha256").iterdir()}


@pytest.mark.parametrize("name", FORMATS)
def test_members_are_the_files(cli: Cli, tmp_path: Path, hermetic: Path, name: str) -> None:
    with FileServer() as files:
        files.add(name, FORMATS[name])
        declare(tmp_path, f"{files.url}/{name}", "{strip: 1}")
        result = cli("all", "--json")
        assert result.code == 0, result.err
        assert result.json["summary"]["downloaded_bytes"] == len(FORMATS[name])
        assert files_below(tmp_path / "data") == STRIPPED
        asked = len(files.requests)
        again = cli("all", "--json")
        assert again.code == 0 and again.json["summary"]["downloaded_bytes"] == 0
        assert len(files.requests) == asked
    entry = locked(tmp_path)
    assert [a["path"] for a in entry["archives"]] == [name]
    assert entry["archives"][0]["sha256"] == sha256(FORMATS[name])
    assert {f["path"]: f["sha256"] for f in entry["files"]} == {
        path: sha256(data) for path, data in STRIPPED.items()
    }
    assert {f["path"] for f in entry["files"] if f.get("executable")} == {"ckpt/run.sh"}
    assert {f["archive"] for f in entry["files"]} == {name}
    assert blobs(hermetic) == {sha256(data) for data in FILES.values()}
    assert os.stat(tmp_path / "data/ckpt/run.sh").st_mode & 0o100
    assert not os.stat(tmp_path / "data/a.txt").st_mode & 0o100
    ran = subprocess.run([tmp_path / "data/ckpt/run.sh"], capture_output=True, check=True)
    assert ran.stdout == b"ran\n"
    assert cli("check", "--deep").code == 0
    assert cli("status").code == 0
    assert cli("all", "--locked").code == 0


def test_what_is_lost_comes_from_the_store_and_else_from_the_archive(
    cli: Cli, tmp_path: Path, hermetic: Path
) -> None:
    with FileServer() as files:
        files.add("d.zip", FORMATS["d.zip"])
        declare(tmp_path, f"{files.url}/d.zip", "{strip: 1}")
        assert cli("all").code == 0
        (tmp_path / "data/a.txt").unlink()
        asked = len(files.requests)
        assert cli("status").code != 0 or "partial" in cli("status").out
        assert cli("all").code == 0 and len(files.requests) == asked
        (tmp_path / "data/a.txt").unlink()
        shutil.rmtree(hermetic / "store")
        plan = cli("plan", "--json").json["summary"]
        assert plan["to_download_bytes"] == len(FORMATS["d.zip"])
        result = cli("all", "--json")
        assert result.code == 0, result.err
        assert files_below(tmp_path / "data") == STRIPPED
        # Only what was wanted of it was written.
        assert blobs(hermetic) == {sha256(FILES["top/a.txt"])}


def test_members_chosen_by_name_and_glob(cli: Cli, tmp_path: Path) -> None:
    with FileServer() as files:
        files.add("d.zip", FORMATS["d.zip"])
        rules = "{members: ['ckpt/**', top/a.txt], exclude: '**/*.sh', strip: 1}"
        declare(tmp_path, f"{files.url}/d.zip", rules)
        assert cli("all").code == 0
        assert set(files_below(tmp_path / "data")) == {"a.txt", "ckpt/model.bin"}
        declare(tmp_path, f"{files.url}/d.zip", "{members: [top/a.tx]}")
        result = cli("all", "--json")
    assert result.code == 3 and result.codes == {"missing-upstream"}
    assert "top/a.txt" in result.json["errors"][0]["hint"]


def test_one_member_is_placed_by_name(cli: Cli, tmp_path: Path) -> None:
    with FileServer() as files:
        files.add("d.tgz", FORMATS["d.tgz"])
        declare(
            tmp_path,
            f"{files.url}/d.tgz",
            tree="tree:\n  weights/m.bin: d/top/ckpt/model.bin\n  other.txt: d/top/a.txt\n",
        )
        result = cli("all")
        assert result.code == 0, result.err
    assert files_below(tmp_path)["weights/m.bin"] == FILES["top/ckpt/model.bin"]
    assert files_below(tmp_path)["other.txt"] == FILES["top/a.txt"]


def test_a_layout_that_names_no_member_is_told_after_the_first_unpacking(
    cli: Cli, tmp_path: Path
) -> None:
    with FileServer() as files:
        files.add("d.zip", FORMATS["d.zip"])
        declare(tmp_path, f"{files.url}/d.zip", tree="tree:\n  a.txt: d/top/aa.txt\n")
        result = cli("all", "--json")
    assert result.code == 2 and result.codes == {"layout-mismatch"}
    assert "top/a.txt" in result.json["errors"][0]["hint"]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_a_single_compressed_file(cli: Cli, tmp_path: Path, kind: str) -> None:
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": zstandard.compress,
    }
    data = payload(300_000)
    with FileServer() as files:
        files.add(f"model.bin.{kind}", packers[kind](data))
        declare(tmp_path, f"{files.url}/model.bin.{kind}")
        result = cli("all")
        assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == {"model.bin": data}


def test_several_archives_and_a_plain_file(cli: Cli, tmp_path: Path) -> None:
    with FileServer() as files:
        files.add("w/a.zip", zipped({"a/one.txt": b"1"}))
        files.add("w/b.tar", tarred({"b/two.txt": b"2"}))
        files.add("w/c.zip", zipped({"kept": b"whole"}))
        files.add("w/readme.txt", b"read me")
        declare(
            tmp_path,
            f"{files.url}/w/",
            "{a.zip: true, b.tar: {strip: 1}}",
            "    files: [a.zip, b.tar, c.zip, readme.txt]\n    count: 4\n",
        )
        result = cli("all")
        assert result.code == 0, result.err
        found = files_below(tmp_path / "data")
        assert set(found) == {"a/one.txt", "two.txt", "c.zip", "readme.txt"}
        declare(
            tmp_path,
            f"{files.url}/w/",
            "{a.zip: true, bb.tar: true}",
            "    files: [a.zip, b.tar]\n",
        )
        result = cli("all", "--json")
    assert result.codes == {"missing-upstream"} and "b.tar" in result.json["errors"][0]["hint"]


def test_two_archives_with_a_file_on_one_path_are_refused(cli: Cli, tmp_path: Path) -> None:
    with FileServer() as files:
        files.add("w/a.zip", zipped({"x.txt": b"1"}))
        files.add("w/b.zip", zipped({"X.txt": b"2"}))
        declare(tmp_path, f"{files.url}/w/", "true", "    files: [a.zip, b.zip]\n")
        result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"bad-path"}
    assert not (tmp_path / "data").exists()


def split(data: bytes, count: int) -> list[bytes]:
    size = -(-len(data) // count)
    return [data[i : i + size] for i in range(0, len(data), size)]


@pytest.mark.parametrize(
    "names",
    [
        ["d.tgz.part-aa", "d.tgz.part-ab", "d.tgz.part-ac"],
        ["d.tgz.001", "d.tgz.002", "d.tgz.003"],
        ["d.tgz.aa", "d.tgz.ab", "d.tgz.ac"],
        ["d.tgz.part1", "d.tgz.part2", "d.tgz.part10"],
        ["d.tgz_00", "d.tgz_01", "d.tgz_02"],
    ],
)
def test_parts_are_joined_while_they_are_read(
    cli: Cli, tmp_path: Path, hermetic: Path, names: list[str]
) -> None:
    with FileServer() as files:
        for name, piece in zip(names, split(FORMATS["d.tgz"], 3), strict=True):
            files.add(f"w/{name}", piece)
        declare(
            tmp_path,
            f"{files.url}/w/",
            "{join: true, strip: 1}",
            f"    files: [{', '.join(names)}]\n",
        )
        result = cli("all")
        assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == STRIPPED
    assert blobs(hermetic) == {sha256(data) for data in FILES.values()}


def test_a_zip_in_parts(cli: Cli, tmp_path: Path) -> None:
    made = tmp_path / "made"
    for name, data in FILES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(data)
    subprocess.run(["zip", "-q", "-0", "-r", "-s", "2m", "d.zip", "top"], cwd=made, check=True)
    names = sorted(path.name for path in made.glob("d.z*"))
    assert names[:3] == ["d.z01", "d.z02", "d.zip"] or len(names) > 3
    with FileServer() as files:
        for name in names:
            files.add(f"w/{name}", (made / name).read_bytes())
        listed = f"    files: [{', '.join(names)}]\n"
        declare(tmp_path, f"{files.url}/w/", "{join: true, strip: 1}", listed)
        result = cli("all")
        assert result.code == 0, result.err
        assert files_below(tmp_path / "data") == STRIPPED
        declare(tmp_path, f"{files.url}/w/", "true", "    files: [d.zip]\n")
        result = cli("all", "--json")
    assert result.codes <= {"archive", "not-a-file"} and result.code in {3, 4}


def test_korean_names(cli: Cli, tmp_path: Path) -> None:
    data = zipped({"QQQQ/a.txt": b"1"}).replace(b"QQQQ", "가나".encode("cp949"))
    with FileServer() as files:
        files.add("d.zip", data)
        declare(tmp_path, f"{files.url}/d.zip")
        result = cli("all", "--json")
        assert result.codes == {"archive"} and "cp949" in result.json["errors"][0]["hint"]
        declare(tmp_path, f"{files.url}/d.zip", "{encoding: cp949}")
        result = cli("all")
        assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == {"가나/a.txt": b"1"}


def test_an_archive_of_the_hub(cli: Cli, tmp_path: Path, hub: HubServer, hermetic: Path) -> None:
    hub.add_repo("o/z", {"data.zip": FORMATS["d.zip"], "README.md": b"hello\n"})
    declare(tmp_path, "hf:o/z", "{strip: 1}")
    result = cli("all")
    assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == {**STRIPPED, "README.md": b"hello\n"}
    assert sha256(FORMATS["d.zip"]) not in blobs(hermetic)
    assert cli("check", "--deep").code == 0
    before = (tmp_path / "fetch.lock").read_bytes()
    assert cli("lock", "--update", "d").code == 0
    assert cli("all").code == 0
    assert (tmp_path / "fetch.lock").read_bytes() == before


def test_two_artifacts_of_one_archive_need_it_once(cli: Cli, tmp_path: Path) -> None:
    with FileServer() as files:
        files.add("d.zip", FORMATS["d.zip"])
        source = f"    source: {files.url}/d.zip\n"
        write_project(
            tmp_path,
            "p",
            f"artifacts:\n  a:\n{source}    unpack: {{members: top/a.txt}}\n"
            f"  b:\n{source}    unpack: {{members: ['top/ckpt/*'], strip: 2}}\n",
            "tree:\n  one/: a\n  two/: b\n",
        )
        result = cli("all", "--json")
        assert result.code == 0, result.err
        assert result.json["summary"]["downloaded_bytes"] == len(FORMATS["d.zip"])
    assert set(files_below(tmp_path / "one")) == {"top/a.txt"}
    assert set(files_below(tmp_path / "two")) == {"model.bin", "run.sh"}


def test_the_bundle_has_the_members_and_needs_no_archive(
    cli: Cli, tmp_path: Path, hermetic: Path
) -> None:
    with FileServer() as files:
        files.add("d.zip", FORMATS["d.zip"])
        declare(tmp_path, f"{files.url}/d.zip", "{strip: 1}")
        assert cli("mirror", "export", str(tmp_path / "b.tar")).code != 0
        assert cli("all").code == 0
        result = cli("mirror", "export", str(tmp_path / "b.tar"))
        assert result.code == 0, result.err
    shutil.rmtree(hermetic / "store")
    shutil.rmtree(tmp_path / "data")
    result = cli("all", "--offline", "--from", str(tmp_path / "b.tar"), "--json")
    assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == STRIPPED
    assert os.stat(tmp_path / "data/ckpt/run.sh").st_mode & 0o100
    assert cli("check", "--deep").code == 0
    shutil.rmtree(hermetic / "store")
    shutil.rmtree(tmp_path / "data")
    assert cli("mirror", "import", str(tmp_path / "b.tar")).code == 0
    assert cli("all", "--offline").code == 0
    assert files_below(tmp_path / "data") == STRIPPED


def test_an_archive_made_by_hand_is_adopted(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "saved.zip").write_bytes(FORMATS["d.zip"])
    digest = sha256(FORMATS["d.zip"])
    declare(
        tmp_path,
        "https://nobody.invalid/w/",
        "true",
        f"    files: {{d.zip: {{size: {len(FORMATS['d.zip'])}, sha256: {digest}}}}}\n",
    )
    assert cli("lock").code == 0
    result = cli("adopt", "saved.zip")
    assert result.code == 0, result.err
    result = cli("all", "--offline")
    assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == FILES


def test_gc_keeps_members_and_not_the_archive(cli: Cli, tmp_path: Path, hermetic: Path) -> None:
    with FileServer() as files:
        files.add("d.zip", FORMATS["d.zip"])
        declare(tmp_path, f"{files.url}/d.zip")
        assert cli("all").code == 0
    before = blobs(hermetic)
    for path in (hermetic / "store/blobs/sha256").iterdir():
        os.utime(path, (1, 1))
    assert cli("gc").code == 0
    assert blobs(hermetic) == before


def test_another_archive_at_the_address_is_not_taken(
    cli: Cli, tmp_path: Path, hermetic: Path
) -> None:
    with FileServer() as files:
        files.add("d.zip", FORMATS["d.zip"])
        declare(tmp_path, f"{files.url}/d.zip")
        assert cli("all").code == 0
        shutil.rmtree(hermetic / "store")
        shutil.rmtree(tmp_path / "data")
        files.add("d.zip", zipped({**FILES, "top/a.txt": b"two\n"}))
        result = cli("all", "--json")
    assert result.code == 4 and "digest-mismatch" in result.codes | {"size-mismatch"}
    assert not (tmp_path / "data/top/a.txt").exists()


def test_a_file_of_the_persons_own_is_a_conflict(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "data/top").mkdir(parents=True)
    (tmp_path / "data/top/a.txt").write_bytes(b"mine")
    (tmp_path / "data/top/ckpt").mkdir()
    (tmp_path / "data/top/ckpt/model.bin").write_bytes(FILES["top/ckpt/model.bin"])
    with FileServer() as files:
        files.add("d.zip", FORMATS["d.zip"])
        declare(tmp_path, f"{files.url}/d.zip")
        result = cli("all", "--json")
        assert result.code == 4 and result.codes == {"conflict"}
        assert (tmp_path / "data/top/a.txt").read_bytes() == b"mine"
        assert cli("all", "--overwrite").code == 0
    assert files_below(tmp_path / "data") == FILES


def test_a_plan_says_what_is_not_known_yet(cli: Cli, tmp_path: Path) -> None:
    with FileServer() as files:
        files.add("d.tgz", FORMATS["d.tgz"])
        declare(tmp_path, f"{files.url}/d.tgz")
        assert "what is in 1 archive" in cli("plan").out
        plan = cli("plan", "--json").json["summary"]
        assert plan["to_download_files"] == 1 and plan["unknown_archives"] == 1
        assert plan["to_download_bytes"] == len(FORMATS["d.tgz"])


def test_what_was_made_of_a_broken_archive_is_not_locked(
    cli: Cli, tmp_path: Path, hermetic: Path
) -> None:
    """Nobody knows a digest: the first download counts, but not one that is cut off."""
    with FileServer() as files:
        files.add("d.tgz", FORMATS["d.tgz"][:-1000])
        declare(tmp_path, f"{files.url}/d.tgz")
        result = cli("all", "--json")
        assert result.code == 4 and result.codes == {"archive"}
        assert not (tmp_path / "data").exists()
        files.add("d.tgz", FORMATS["d.tgz"])
        assert cli("lock", "--update", "d").code == 0
        result = cli("all")
        assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == FILES


def test_permissions_are_the_projects(cli: Cli, tmp_path: Path) -> None:
    odd = io.BytesIO()
    with tarfile.open(fileobj=odd, mode="w") as made:
        info = tarfile.TarInfo("s.sh")
        info.size, info.mode = 2, 0o4777
        made.addfile(info, io.BytesIO(b"hi"))
    with FileServer() as files:
        files.add("d.tar", odd.getvalue())
        declare(tmp_path, f"{files.url}/d.tar")
        assert cli("all").code == 0
    mode = stat.S_IMODE(os.stat(tmp_path / "data/s.sh").st_mode)
    assert mode & 0o111 and not mode & 0o7022


def test_a_7z_archive(cli: Cli, tmp_path: Path) -> None:
    """Solid, with an empty file, a large one, and one that is left out in their midst."""
    files = {**FILES, "top/empty": b"", "top/no/x": payload(3_000_000, 3), "top/z": b"last"}
    with FileServer() as server:
        server.add("d.7z", sevened(files))
        declare(tmp_path, f"{server.url}/d.7z", "{strip: 1, exclude: ['top/no/**']}")
        result = cli("all")
        assert result.code == 0, result.err
    wanted = {name[4:]: data for name, data in files.items() if name != "top/no/x"}
    assert files_below(tmp_path / "data") == wanted


BIG = {"a.bin": payload(3_000_000, 5), "b.bin": payload(200_000, 6), "c.bin": payload(3_000_000, 7)}


def test_one_member_of_a_large_zip_costs_little_more_than_its_bytes(
    cli: Cli, tmp_path: Path, hermetic: Path
) -> None:
    with FileServer() as files:
        files.add("d.zip", zipped(BIG))
        declare(tmp_path, f"{files.url}/d.zip", "{members: b.bin}")
        result = cli("all", "--json")
        assert result.code == 0, result.err
        assert files_below(tmp_path / "data") == {"b.bin": BIG["b.bin"]}
        assert 200_000 < result.json["summary"]["downloaded_bytes"] < 340_000
        assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0
        # Where what is wanted is known by its digest, the same.
        shutil.rmtree(hermetic / "store")
        shutil.rmtree(tmp_path / "data")
        result = cli("all", "--locked", "--json")
        assert result.code == 0, result.err
        assert result.json["summary"]["downloaded_bytes"] < 340_000
        # Another archive at that place is seen by the members' digests.
        shutil.rmtree(hermetic / "store")
        shutil.rmtree(tmp_path / "data")
        files.add("d.zip", zipped({**BIG, "b.bin": payload(200_000, 8)}))
        result = cli("all", "--json")
        assert result.code == 4 and result.codes == {"digest-mismatch"}
        assert not (tmp_path / "data/b.bin").exists()


def test_a_stated_digest_is_of_the_whole_archive(cli: Cli, tmp_path: Path) -> None:
    data = zipped(BIG)
    with FileServer() as files:
        files.add("d.zip", data)
        stated = f"    files: {{d.zip: {{sha256: {'0' * 64}}}}}\n"
        declare(tmp_path, f"{files.url}/", "{members: b.bin}", stated)
        result = cli("all", "--json")
        assert result.code == 4 and result.codes == {"digest-mismatch"}
        declare(
            tmp_path, f"{files.url}/", "{members: b.bin}", stated.replace("0" * 64, sha256(data))
        )
        result = cli("all", "--json")
        assert result.code == 0, result.err
        assert result.json["summary"]["downloaded_bytes"] == len(data)


@pytest.mark.parametrize("named", [True, False])
def test_a_digest_in_a_name_or_a_checksum_file_is_of_the_whole_archive(
    cli: Cli, tmp_path: Path, named: bool
) -> None:
    data = zipped(BIG)
    for digest, code in (("0a" * 32, 4), (sha256(data), 0)):
        name = f"d-{digest[:63]}.zip" if named else "d.zip"
        more = "" if named else "    checksums: SHA256SUMS\n"
        with FileServer() as files:
            files.add(name, data)
            files.add("SHA256SUMS", f"{digest}  {name}\n".encode())
            declare(tmp_path, f"{files.url}/{name}", "{members: b.bin}", more)
            result = cli("all", "--json")
        assert result.code == code, result.err
        assert result.codes == ({"digest-mismatch"} if code else set())
    assert result.json["summary"]["downloaded_bytes"] == len(data)
    lock = (tmp_path / "fetch.lock").read_text()
    assert sha256(data) in lock and "size_hint" not in lock


def test_a_server_without_ranges_gives_all_of_it(cli: Cli, tmp_path: Path) -> None:
    with FileServer() as files:
        files.add("d.zip", zipped(BIG), ranges=False)
        declare(tmp_path, f"{files.url}/d.zip", "{members: b.bin}")
        result = cli("all", "--json")
        assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == {"b.bin": BIG["b.bin"]}


def test_one_member_of_a_zip_on_the_hub(cli: Cli, tmp_path: Path, hub: HubServer) -> None:
    hub.add_repo("o/z", {"data.zip": zipped(BIG)})
    declare(tmp_path, "hf:o/z", "{members: b.bin}")
    result = cli("all", "--json")
    assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == {"b.bin": BIG["b.bin"]}
    assert result.json["summary"]["downloaded_bytes"] < 340_000


def test_an_archive_within_an_archive_is_named(cli: Cli, tmp_path: Path) -> None:
    inner = zipped({"in.txt": b"1"})
    with FileServer() as files:
        files.add("d.zip", zipped({"x/inner.zip": inner, "x/scan.nii.gz": gzip.compress(b"2")}))
        declare(tmp_path, f"{files.url}/d.zip")
        result = cli("all")
    assert result.code == 0
    assert "d.zip holds an archive, x/inner.zip: it stays a file" in result.err
    assert files_below(tmp_path / "data")["x/inner.zip"] == inner
