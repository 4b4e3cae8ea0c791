"""Tars: written as tarfile writes them, read as others write them, refused where hostile."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import Failure
from fetcher.mirror.tar import BLOCK, END, header, padding, scan
from fetcher.mirror.volumes import VolumeReader


def member(name: str, data: bytes) -> bytes:
    return header(name, len(data)) + data + bytes(padding(len(data)))


def scanned(path: Path) -> dict[str, tuple[int, int]]:
    reader = VolumeReader([str(path)])
    try:
        return {name: (at, size) for name, (at, size) in scan(reader, "b.tar").items()}
    finally:
        reader.close()


def refusal(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "b.tar"
    path.write_bytes(data)
    with pytest.raises(Failure) as caught:
        scanned(path)
    assert caught.value.exit_code == 4
    return caught.value.message


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), min_size=1, max_size=60),
    st.integers(0, 1 << 45),
)
def test_headers_are_those_of_tarfile(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    assert header(name, size) == info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


@pytest.mark.parametrize("style", ["gnu", "pax", "ustar", "python-pax", "dot"])
def test_tars_of_others_are_read(tmp_path: Path, style: str) -> None:
    folder = tmp_path / "d"
    long = "x" * 90 + "/" + "y" * 60 if style != "ustar" else "x/y"
    for name, data in {"a": b"", "blobs/b": b"12", long: bytes(1000)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    path = tmp_path / "b.tar"
    if style == "python-pax":
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            archive.add(folder, ".")
    else:
        form = "gnu" if style == "dot" else style
        names = ["."] if style == "dot" else sorted(os.listdir(folder))
        command = ["tar", "cf", str(path), f"--format={form}", "-C", str(folder), *names]
        subprocess.run(command, check=True)
    found = scanned(path)
    data = path.read_bytes()
    assert {name: data[at : at + size] for name, (at, size) in found.items()} == {
        "a": b"",
        "blobs/b": b"12",
        long: bytes(1000),
    }


def test_a_member_of_more_than_8_gib(tmp_path: Path) -> None:
    size = (9 << 30) + 5
    path = tmp_path / "b.tar"
    with path.open("wb") as stream:
        stream.write(header("big", size))
        stream.seek(size + padding(size), os.SEEK_CUR)  # a hole
        stream.write(member("small", b"1") + END)
    assert scanned(path) == {"big": (512, size), "small": (512 + size + padding(size) + 512, 1)}
    with tarfile.open(path) as archive:
        assert [item.size for item in archive] == [size, 1]


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (member("../x", b"1"), "leads out"),
        (member("/etc/x", b"1"), "absolute"),
        (member("a/../../x", b"1"), "leads out"),
        (member("C:/x", b"1"), "drive"),
        (member("a\\x", b"1"), "backslash"),
        (member("nul", b"1"), "device name"),
        (member("a\nb", b"1"), "control character"),
        (entry("l", tarfile.SYMTYPE, "/etc/passwd"), "a symbolic link"),
        (entry("l", tarfile.LNKTYPE, "a"), "a hard link"),
        (entry("d", tarfile.CHRTYPE), "a device"),
        (entry("d", tarfile.BLKTYPE), "a device"),
        (entry("p", tarfile.FIFOTYPE), "a named pipe"),
        (entry("s", tarfile.GNUTYPE_SPARSE), "a sparse file"),
        (member("a", b"1") + member("a", b"2"), "stands there twice"),
        (member("a", b"1") + member("A", b"2"), "collides"),
        (member("a", b"1") + member("a/b", b"2"), "collides"),
        (header("a", 1 << 40), "longer than the tar"),
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in refusal(tmp_path, data + END)


def pax(records: bytes) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    return info.tobuf(tarfile.GNU_FORMAT) + records + bytes(padding(len(records)))


def record(key: str, value: str) -> bytes:
    body = f" {key}={value}\n".encode()
    size = len(body) + len(str(len(body) + 2))
    return str(size).encode() + body


def test_hostile_extended_headers_are_refused(tmp_path: Path) -> None:
    plain = member("a", b"1")
    assert "leads out" in refusal(tmp_path, pax(record("path", "../evil")) + plain + END)
    assert "longer" in refusal(tmp_path, pax(record("size", "99999999999")) + plain + END)
    assert "longer" in refusal(tmp_path, pax(record("size", "-5")) + plain + END)
    assert "sparse" in refusal(tmp_path, pax(record("GNU.sparse.major", "1")) + plain + END)
    assert "none" in refusal(tmp_path, pax(b"7 path=") + plain + END)
    assert "none" in refusal(tmp_path, pax(b"x path=a\n") + plain + END)
    huge = tarfile.TarInfo("pax")
    huge.type, huge.size = tarfile.XHDTYPE, 1 << 20
    data = huge.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)
    assert "extended header of" in refusal(tmp_path, data + plain + END)
    whole = tarfile.TarInfo("g")
    whole.type = tarfile.XGLTYPE
    assert "entry of type" in refusal(tmp_path, whole.tobuf(tarfile.GNU_FORMAT) + plain + END)


def test_bytes_that_no_digest_covers_are_refused(tmp_path: Path) -> None:
    plain = member("a", b"1")
    padded = bytearray(plain + END)
    padded[BLOCK + 100] = 1
    assert "belong to no file" in refusal(tmp_path, bytes(padded))
    assert "belong to no file" in refusal(tmp_path, plain + END + b"x")
    assert "ends early" in refusal(tmp_path, plain + END[:BLOCK])
    assert "ends early" in refusal(tmp_path, plain)
    assert "longer" in refusal(tmp_path, plain[:BLOCK])
    assert "ends early" in refusal(tmp_path, b"")
    for place in range(BLOCK):
        changed = bytearray(plain + END)
        changed[place] ^= 0x11
        assert refusal(tmp_path, bytes(changed)), place


def test_volumes_are_read_across_their_borders(tmp_path: Path) -> None:
    data = b"".join(member(f"f{i}", bytes([i]) * (300 * i)) for i in range(9)) + END
    cuts = [0, 100, 513, 1024, 4000, len(data)]
    paths = []
    for number, (low, high) in enumerate(itertools.pairwise(cuts)):
        path = tmp_path / f"v{number}"
        path.write_bytes(data[low:high])
        paths.append(str(path))
    reader = VolumeReader(paths)
    for name, found in scan(reader, "v").items():
        wanted = bytes([int(name[1])]) * (300 * int(name[1]))
        assert reader.read_at(*found) == wanted
        pieces = io.BytesIO()
        for place, offset, length in reader.extents(*found):
            pieces.write(Path(place).read_bytes()[offset : offset + length])
        assert pieces.getvalue() == wanted
    reader.close()
