"""Hostile archives: refused by name before anything of them is placed, with what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import py7zr
import pytest
import zstandard

from fetcher.archives import members as bounds
from fetcher.archives.rules import Rules
from fetcher.archives.streams import JoinedFile
from fetcher.errors import Failure
from fetcher.store.store import Store
from fetcher.store.unpacking import Unpacked, Unpacking
from tests.conftest import Cli, write_project
from tests.kit import Made, payload
from tests.servers.plain import FileServer

Entry = tuple[str, bytes]


def unpack(tmp_path: Path, data: bytes, rules: Rules | None = None) -> dict[str, bytes]:
    """What comes of an archive, read back from the store."""
    path = tmp_path / "archive"
    path.write_bytes(data)
    store = Store(tmp_path / "store")
    found: list[Unpacked] = []
    try:
        with JoinedFile([str(path)]) as opened:
            Unpacking(store, "x.zip", opened, rules or Rules(), None, found.extend).run()
    finally:
        assert not list((tmp_path / "store/partial").glob("*.tmp"))
    return {one.path: Path(store.blob_path(one.sha256)).read_bytes() for one in found}


def refusal(tmp_path: Path, data: bytes, rules: Rules | None = None) -> Failure:
    with pytest.raises(Failure) as caught:
        unpack(tmp_path, data, rules)
    failure = caught.value
    assert failure.problem.code == "archive" and failure.problem.file == "x.zip"
    assert failure.message and failure.hint
    return failure


def zipped(*entries: Entry, change: Callable[[zipfile.ZipInfo], None] = lambda _: None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two members with one name
        for name, data in entries:
            info = zipfile.ZipInfo("placeholder")
            info.filename = info.orig_filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            made.writestr(info, data)
    return out.getvalue()


def tarred(*entries: Entry, change: Callable[[tarfile.TarInfo], None] = lambda _: None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            change(info)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sevened(*entries: Entry) -> bytes:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as made:
        for name, data in entries:
            made.writestr(data, name)
    return out.getvalue()


MAKERS: dict[str, Any] = {"zip": zipped, "tar": tarred}
BAD_NAMES = [
    "/etc/passwd",
    "../up",
    "a/../../up",
    "a/./b",
    "C:/windows",
    "C:x",
    "\\\\host\\share",
    "a\\b",
    "a/con",
    "aux.txt",
    "a\nb",
    "a\x1b[31m",
    ".git/config",
    "a/.git/hooks/post-checkout",
    "a\u202etxt",
    "a ",
    "a//b",
    "x" * 300,
]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", BAD_NAMES)
def test_paths(tmp_path: Path, kind: str, name: str) -> None:
    data = MAKERS[kind](("good.txt", b"1"), (name, b"2"))
    failure = refusal(tmp_path, data)
    assert "member" in failure.message and re.search("exclude: |`members`", failure.hint)
    # (A manifest may not speak of what leads out: what is wanted can be named.)
    if kind == "zip":
        assert unpack(tmp_path, data, Rules(members=("good.txt",))) == {"good.txt": b"1"}
    # A person who wants the rest can leave it out, and gets the rest.
    glob = Rules(exclude=(name.replace("\\", "[\\]"),))
    if kind == "zip" and "\\" not in name and "\n" not in name and "\x1b" not in name:
        assert unpack(tmp_path, data, glob) == {"good.txt": b"1"}


def test_a_name_with_a_nul_is_not_cut_short(tmp_path: Path) -> None:
    data = zipped(("evil.txt\0.png", b"1"))
    assert "evil.txt" in refusal(tmp_path, data).message


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(
    "names",
    [
        ("a/x", "a/x"),
        ("a/x", "A/X"),
        ("a/\u00e9", "a/e\u0301"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("a/x", "./a/x"),
    ],
)
def test_two_members_on_one_path(tmp_path: Path, kind: str, names: tuple[str, str]) -> None:
    data = MAKERS[kind]((names[0], b"1"), (names[1], b"2"))
    failure = refusal(tmp_path, data)
    assert "twice" in failure.message or "one path" in failure.message


@pytest.mark.parametrize("kind", MAKERS)
def test_two_members_that_strip_brings_on_one_path(tmp_path: Path, kind: str) -> None:
    data = MAKERS[kind](("a/x", b"1"), ("b/x", b"2"))
    assert "twice" in refusal(tmp_path, data, Rules(strip=1)).message


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "good.txt"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "good.txt"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (b"Z", ""),
    ],
)
def test_links_devices_and_unknown_kinds_of_a_tar(tmp_path: Path, kind: bytes, target: str) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "odd":
            info.type, info.linkname = kind, target

    failure = refusal(tmp_path, tarred(("good.txt", b"1"), ("odd", b""), change=change))
    assert "'odd'" in failure.message
    data = tarred(("good.txt", b"1"), ("odd", b""), change=change)
    assert unpack(tmp_path, data, Rules(exclude=("odd",))) == {"good.txt": b"1"}


def test_a_file_through_a_link_of_the_same_tar(tmp_path: Path) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "d":
            info.type, info.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")

    (tmp_path / "outside").mkdir()
    refusal(tmp_path, tarred(("d", b""), ("d/x", b"evil"), change=change))
    refusal(tmp_path, tarred(("d/x", b"evil"), ("d", b""), change=change))
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666, 0o140777])
def test_links_and_devices_of_a_zip(tmp_path: Path, mode: int) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        info.create_system, info.external_attr = 3, mode << 16

    assert "'odd'" in refusal(tmp_path, zipped(("odd", b"/etc/passwd"), change=change)).message


def test_sparse_files(tmp_path: Path) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.pax_headers = {"GNU.sparse.map": "0,1,1099511627776,0", "GNU.sparse.size": "1"}

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        info = tarfile.TarInfo("s")
        info.size = 1
        change(info)
        made.addfile(info, io.BytesIO(b"1"))
    refusal(tmp_path, out.getvalue())
    old = tarfile.TarInfo("s")
    old.type, old.size = tarfile.GNUTYPE_SPARSE, 0
    refusal(tmp_path, old.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


@pytest.mark.parametrize(
    "headers", [{"path": "../up"}, {"path": "/etc/x"}, {"size": "-1"}, {"size": "99999999999999"}]
)
def test_pax_headers_that_say_otherwise(tmp_path: Path, headers: dict[str, str]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        info = tarfile.TarInfo("good")
        info.size, info.pax_headers = 1, headers
        made.addfile(info, io.BytesIO(b"1"))
    refusal(tmp_path, out.getvalue())


@pytest.mark.parametrize("key", ["path", "size", "linkpath"])
def test_a_pax_header_for_all_members(tmp_path: Path, key: str) -> None:
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={key: "1"}
    ) as made:
        info = tarfile.TarInfo("good")
        info.size = 1
        made.addfile(info, io.BytesIO(b"1"))
    refusal(tmp_path, out.getvalue())


def test_a_header_that_wants_gigabytes_of_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 8 << 30
    refusal(tmp_path, info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))


def test_a_chain_of_long_names(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    one = info.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    refusal(tmp_path, one * 5000 + bytes(1024))


def _zeroes() -> bytes:
    return bytes(40 << 20)


BOMBS = Made(
    {
        "zip": lambda: zipped(("zeroes", _zeroes())),
        "tar.gz": lambda: gzip.compress(tarred(("zeroes", _zeroes()))),
        "bz2": lambda: bz2.compress(_zeroes()),
        "xz": lambda: lzma.compress(_zeroes()),
        "zst": lambda: zstandard.compress(_zeroes()),
        "gz": lambda: gzip.compress(_zeroes()),
    }
)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = BOMBS[name]
    assert unpack(tmp_path, data)  # small ones are honest
    monkeypatch.setattr(bounds, "FREE_BYTES", 1 << 20)
    written = tmp_path / "bomb"
    written.mkdir()
    failure = refusal(written, data)
    assert "bomb" in failure.message and "200" in failure.message
    assert sum(path.stat().st_size for path in written.rglob("*") if path.is_file()) < 20 << 20


def test_a_zip_whose_members_share_their_bytes(tmp_path: Path) -> None:
    """The bomb whose every member is the same kernel: it says less than it gives."""
    one = zipped(("a", payload(100_000)))
    end = one.rindex(b"PK\x05\x06")
    start = one.index(b"PK\x01\x02")
    entry = one[start:end]
    twice = entry + entry.replace(b"a", b"b", 1)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(twice), start, 0)
    assert "over one another" in refusal(tmp_path, one[:start] + twice + tail).message


def test_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_MEMBERS", 10)
    for maker in MAKERS.values():
        refusal(tmp_path, maker(*((f"f{n}", b"") for n in range(11))))


def test_encrypted(tmp_path: Path) -> None:
    data = bytearray(zipped(("secret", b"1")))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(magic) + offset
        data[at] |= 1
    failure = refusal(tmp_path, bytes(data))
    assert "encrypted" in failure.message and "secret" in failure.message


GOOD = {
    "zip": zipped(("a", payload(5000)), ("b", payload(5000, 2))),
    "tar": tarred(("a", payload(5000)), ("b", payload(5000, 2))),
    "tar.gz": gzip.compress(tarred(("a", payload(5000)), ("b", payload(5000, 2)))),
    "tar.bz2": bz2.compress(tarred(("a", payload(5000)))),
    "tar.xz": lzma.compress(tarred(("a", payload(5000)))),
    "tar.zst": zstandard.compress(tarred(("a", payload(5000)))),
    "7z": sevened(("a", payload(5000)), ("b", payload(5000, 2))),
    "gz": gzip.compress(payload(5000)),
    "xz": lzma.compress(payload(5000)),
    "bz2": bz2.compress(payload(5000)),
    "zst": zstandard.compress(payload(5000)),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("left", [0.2, 0.5, 0.9, 0.999])
def test_truncated(tmp_path: Path, name: str, left: float) -> None:
    assert unpack(tmp_path, GOOD[name])
    data = GOOD[name]
    length = int(len(data) * left)
    if name == "tar":
        length = min(length, len(data) - 9000)  # the rest is padding
    assert "damaged" in refusal(tmp_path, data[:length]).message


@pytest.mark.parametrize("name", ["tar", "tar.gz"])
def test_a_tar_cut_off_between_two_members(tmp_path: Path, name: str) -> None:
    cut = GOOD["tar"][: 512 + 5120]
    data = gzip.compress(cut) if name == "tar.gz" else cut
    assert "damaged" in refusal(tmp_path, data).message


@pytest.mark.parametrize("name", GOOD)
def test_flipped_bytes(tmp_path: Path, name: str) -> None:
    """Whatever comes, it is a refusal that names the archive, or the very bytes."""
    good = unpack(tmp_path, GOOD[name])
    checked = name != "tar" and not name.endswith("zst")  # these need have no checksum
    for at in range(0, len(GOOD[name]), max(1, len(GOOD[name]) // 60)):
        data = bytearray(GOOD[name])
        data[at] ^= 0x40
        try:
            found = unpack(tmp_path, bytes(data))
        except Failure as failure:
            assert failure.problem.file == "x.zip"
        else:
            assert not checked or sorted(found.values()) == sorted(good.values())


@pytest.mark.parametrize("name", ["zip", "tar"])
def test_concatenated(tmp_path: Path, name: str) -> None:
    other = MAKERS[name](("evil", b"2"))
    assert "several archives" in refusal(tmp_path, GOOD[name] + other).message


@pytest.mark.parametrize("name", ["gz", "bz2", "xz", "zst"])
def test_streams_one_after_another_are_one_file(tmp_path: Path, name: str) -> None:
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": zstandard.compress,
    }
    data = packers[name](b"one ") + packers[name](b"two")
    assert list(unpack(tmp_path, data).values()) == [b"one two"]
    refusal(tmp_path, data + b"something else")


@pytest.mark.parametrize("data", [b"", b"x", payload(1_000_000), bytes(3 << 20)])
@pytest.mark.parametrize("settings", [{}, {"level": 19}, {"write_checksum": True}])
@pytest.mark.parametrize("sized", [True, False])
def test_frames_of_zstd(tmp_path: Path, data: bytes, settings: dict[str, Any], sized: bool) -> None:
    """Of every kind that its writers make, those to be skipped among them, and cut off anywhere."""
    made = zstandard.ZstdCompressor(write_content_size=sized, **settings).compress(data)
    skipped = b"\x53\x2a\x4d\x18\5\0\0\0abcde"
    for whole in (made, made + made, skipped + made + skipped + made + skipped):
        assert list(unpack(tmp_path, whole).values()) == [data * (whole.count(made) or 1)]
    for length in {5, len(made) // 2, len(made) - 1} - {len(made)}:
        if 4 < length < len(made):
            assert "damaged" in refusal(tmp_path, made[:length]).message
    refusal(tmp_path, made + skipped[:-1])
    refusal(tmp_path, made + b"something else")


def test_a_zstd_block_that_says_too_much(tmp_path: Path) -> None:
    """A block of a single byte stands for no more than the window; none asks for gigabytes."""
    frame = b"\x28\xb5\x2f\xfd\x00\x88" + (3 | (1 << 21) - 1 << 3).to_bytes(3, "little") + b"\0"
    refusal(tmp_path, frame)


@pytest.mark.parametrize("name", ["tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
def test_packed_tars_one_after_another(tmp_path: Path, name: str) -> None:
    refusal(tmp_path, GOOD[name] + GOOD[name])


def test_a_zip_with_another_count_of_members_than_it_says(tmp_path: Path) -> None:
    data = bytearray(GOOD["zip"])
    end = data.rindex(b"PK\x05\x06")
    data[end + 8 : end + 12] = b"\3\0\3\0"
    refusal(tmp_path, bytes(data))
    refusal(tmp_path, struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 5, 5, 0, 0, 0))


def test_something_after_a_zips_end(tmp_path: Path) -> None:
    refusal(tmp_path, GOOD["zip"] + b"evil")


def _patched(offset: int, value: bytes, magic: bytes = b"PK\x03\x04") -> bytes:
    data = bytearray(zipped(("name.txt", b"content" * 100)))
    at = data.index(magic) + offset
    data[at : at + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        _patched(30, b"evil.txt"),
        _patched(8, b"\0\0"),
        _patched(14, b"\1\2\3\4"),
        _patched(18, b"\1\0\0\0"),
        _patched(22, b"\1\0\0\0"),
        _patched(6, b"\1\0"),
        _patched(26, b"\xff\x7f"),
        _patched(46, b"evil.txt", b"PK\x01\x02"),
        _patched(16, b"\1\2\3\4", b"PK\x01\x02"),
        _patched(24, b"\1\0\0\0", b"PK\x01\x02"),
        _patched(42, b"\5\0\0\0", b"PK\x01\x02"),
    ],
)
def test_a_zip_whose_directory_and_local_headers_differ(tmp_path: Path, data: bytes) -> None:
    refusal(tmp_path, data)


@pytest.mark.parametrize("encoding", ["cp949", "cp932"])
def test_names_in_an_encoding_of_old(tmp_path: Path, encoding: str) -> None:
    name = {"cp949": "한글/자료.txt", "cp932": "日本/資料.txt"}[encoding]
    raw = name.encode(encoding)
    data = zipped(("Q" * len(raw), b"1")).replace(b"Q" * len(raw), raw)
    assert encoding in refusal(tmp_path, data).hint
    assert unpack(tmp_path, data, Rules(encoding=encoding)) == {name: b"1"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, encoding=encoding) as made:
        info = tarfile.TarInfo(name)
        info.size = 1
        made.addfile(info, io.BytesIO(b"1"))
    refusal(tmp_path, out.getvalue())
    assert unpack(tmp_path, out.getvalue(), Rules(encoding=encoding)) == {name: b"1"}


def test_a_wrong_encoding_is_told(tmp_path: Path) -> None:
    raw = "한글".encode("cp949") + b"\xff"
    data = zipped(("QQQQQ", b"1")).replace(b"QQQQQ", raw)
    assert "utf-16" in refusal(tmp_path, data, Rules(encoding="utf-16")).message
    refusal(tmp_path, data, Rules(encoding="ascii"))


def test_unmarked_utf8_names_are_read(tmp_path: Path) -> None:
    raw = "한글.txt".encode()
    data = zipped(("Q" * len(raw), b"1")).replace(b"Q" * len(raw), raw)
    assert unpack(tmp_path, data) == {"한글.txt": b"1"}


@pytest.mark.parametrize("data", [b"", b"<html>sign in</html>", b"PK\x03\x04", bytes(10_000)])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    refusal(tmp_path, data)


def test_nothing_of_a_refused_archive_is_placed(cli: Cli, tmp_path: Path) -> None:
    data = tarred(("good.txt", b"1"), ("../../evil", b"2"))
    with FileServer() as files:
        files.add("d.tar", data)
        write_project(
            tmp_path,
            "p",
            f"artifacts:\n  d:\n    source: {files.url}/d.tar\n    unpack: true\n",
            "tree:\n  data/: d\n",
        )
        result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"archive"}
    assert "../../evil" in result.json["errors"][0]["message"]
    assert not (tmp_path / "data").exists()
    assert not list(tmp_path.rglob("evil*"))
    assert os.path.exists(tmp_path / "manifests")


@pytest.mark.parametrize("name", ["a/../../up", "a/con", ".git/config"])
def test_paths_of_a_7z(tmp_path: Path, name: str) -> None:
    placeholder = "Q" * len(name)
    data = io.BytesIO()
    with py7zr.SevenZipFile(data, "w", filters=[{"id": py7zr.FILTER_COPY}]) as made:
        made.set_encoded_header_mode(False)
        made.writestr(b"1", placeholder)
    raw = data.getvalue()
    changed = raw.replace(placeholder.encode("utf-16-le"), name.encode("utf-16-le"))
    assert changed != raw
    header = struct.unpack("<QQL", changed[12:32])
    start = 32 + header[0]
    crc = zlib.crc32(changed[start : start + header[1]])
    head = struct.pack("<QQL", header[0], header[1], crc)
    whole = changed[:8] + struct.pack("<L", zlib.crc32(head)) + head + changed[32:]
    assert name.rsplit("/", 1)[-1] in refusal(tmp_path, whole).message


def test_an_encrypted_7z(tmp_path: Path) -> None:
    data = io.BytesIO()
    with py7zr.SevenZipFile(data, "w", password="secret") as made:
        made.writestr(b"1", "a")
    assert "encrypted" in refusal(tmp_path, data.getvalue()).message


def _linked(info: tarfile.TarInfo) -> None:
    if info.name == "odd":
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"


def _device(info: tarfile.TarInfo) -> None:
    if info.name == "odd":
        info.type = tarfile.CHRTYPE


LARGE = ("large.bin", payload(600_000, 77))  # so large that it is read while it comes
STREAMED = {
    "path": (tarred(LARGE, ("../../evil", b"2")), "../../evil"),
    "link": (tarred(LARGE, ("odd", b""), change=_linked), "odd"),
    "device": (tarred(LARGE, ("odd", b""), change=_device), "odd"),
    "case": (tarred(LARGE, ("LARGE.bin", b"2")), "LARGE.bin"),
    "form": (tarred(LARGE, ("a/\u00e9", b"1"), ("a/e\u0301", b"2")), "one path"),
    "git": (tarred(LARGE, (".git/config", b"2")), ".git/config"),
    "cut": (tarred(LARGE, ("b", payload(600_000)))[:1_000_000], "damaged"),
    "twice": (tarred(LARGE) + tarred(LARGE), "several archives"),
    "bomb": (tarred(LARGE, ("zeroes", bytes(160 << 20))), "bomb"),
}


@pytest.mark.parametrize(
    ("kind", "packed"),
    [(kind, packed) for kind in STREAMED for packed in (True, False) if packed or kind != "bomb"],
)
def test_what_is_read_while_it_comes_is_refused_as_well(
    cli: Cli, tmp_path: Path, kind: str, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, told = STREAMED[kind]
    if kind == "bomb":
        monkeypatch.setattr(bounds, "FREE_BYTES", 1 << 20)
    name = "d.tar.gz" if packed else "d.tar"
    with FileServer() as files:
        files.add(name, gzip.compress(data, 6) if packed else data)
        write_project(
            tmp_path,
            "p",
            f"artifacts:\n  d:\n    source: {files.url}/{name}\n    unpack: true\n",
            "tree:\n  data/: d\n",
        )
        result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"archive"}, result.err
    assert told in result.json["errors"][0]["message"]
    assert not (tmp_path / "data").exists()
    assert "large.bin" not in (tmp_path / "fetch.lock").read_text()
    assert not list(tmp_path.rglob("*evil*"))
