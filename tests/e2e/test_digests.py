"""Digests as publishers give them: the strongest known is checked, the lock has the sha256."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetcher.project.checksums import parse
from tests.conftest import Cli, write_project
from tests.kit import checkpoint, sha256
from tests.servers.plain import FileServer

DATA, OTHER = checkpoint(1_300_000), checkpoint(50_000, 2)


def digest(kind: str, data: bytes) -> str:
    if kind == "crc32":
        return f"{zlib.crc32(data):08x}"
    return hashlib.new(kind, data, usedforsecurity=False).hexdigest()


def locked(root: Path) -> dict[str, Any]:
    lock = json.loads((root / "fetch.lock").read_text())
    return {file["path"]: file for file in lock["manifests"]["p"]["w"]["files"]}


def declare(root: Path, text: str) -> None:
    write_project(root, "p", f"artifacts:\n  w:\n    {text}\n", "tree:\n  m/: w\n")


@pytest.mark.parametrize("kind", ["sha512", "sha1", "md5", "crc32"])
def test_a_digest_in_the_manifest(cli: Cli, tmp_path: Path, kind: str) -> None:
    with FileServer() as files:
        files.add("w.pth", DATA)
        stated = f"source: {files.url}/w.pth\n    files: {{w.pth: {{{kind}: '%s'}}}}"
        declare(tmp_path, stated % digest(kind, OTHER))
        result = cli("all", "--json")
        assert result.code == 4 and result.codes == {"digest-mismatch"}
        assert f"{kind} {digest(kind, DATA)} instead of" in result.json["errors"][0]["message"]
        declare(tmp_path, stated % digest(kind, DATA))
        assert cli("all", "--update", "w").code == 0
        assert locked(tmp_path)["w.pth"]["sha256"] == sha256(DATA)
        assert cli("all", "--locked", "--json").json["summary"]["downloaded_bytes"] == 0
        assert cli("lock", "--update", "w").code == 0
        assert locked(tmp_path)["w.pth"]["sha256"] == sha256(DATA)
        # A lock that says otherwise than the manifest was changed by somebody.
        declare(tmp_path, stated % digest(kind, OTHER))
        assert cli("all", "--locked").code == 7


@pytest.mark.parametrize("kind", ["sha512", "sha1", "crc32"])
def test_a_file_by_hand_is_taken_by_its_digest(cli: Cli, tmp_path: Path, kind: str) -> None:
    declare(
        tmp_path,
        "source: http://127.0.0.1:9/w.pth\n    files: {w.pth: "
        f"{{{kind}: '{digest(kind, DATA)}'}}}}",
    )
    (tmp_path / "good").write_bytes(DATA)
    (tmp_path / "bad").write_bytes(OTHER)
    assert cli("adopt", "bad", "--as", "w/w.pth").code == 4
    assert cli("adopt", "good", "--as", "w/w.pth").code == 0
    assert cli("all", "--offline").code == 0


def test_a_sha512_is_checked_beside_a_sha256(cli: Cli, tmp_path: Path) -> None:
    with FileServer() as files:
        files.add("w.pth", DATA)
        facts = f"{{sha256: '{sha256(DATA)}', sha512: '{digest('sha512', OTHER)}'}}"
        declare(tmp_path, f"source: {files.url}/w.pth\n    files: {{w.pth: {facts}}}")
        assert cli("all").code == 4


@pytest.mark.parametrize("length", [8, 10, 63])
def test_a_prefix_in_the_name(cli: Cli, tmp_path: Path, length: int) -> None:
    good, bad = (f"net-{sha256(data)[:length]}.pth" for data in (DATA, OTHER))
    with FileServer() as files:
        files.add(good, DATA)
        files.add(bad, DATA)
        declare(tmp_path, f"source: {files.url}/{good}")
        assert cli("all").code == 0
        declare(tmp_path, f"source: {files.url}/{bad}")
        result = cli("all")
        assert result.code == 4 and sha256(DATA) in result.err and "state the sha256" in result.err
        # What the manifest states is more than a name.
        declare(
            tmp_path, f"source: {files.url}/{bad}\n    files: {{{bad}: {{sha256: {sha256(DATA)}}}}}"
        )
        result = cli("all")
        assert result.code == 0, result.err


@pytest.mark.parametrize(
    "name",
    ["net-20200130.pth", "net-deadbeef.pth", "net-1a2b3c.pth", "a-1a2b3c4d.txt", "1a2b3c4d.pth"],
)
def test_names_without_a_digest(cli: Cli, tmp_path: Path, name: str) -> None:
    with FileServer() as files:
        files.add(name, DATA)
        declare(tmp_path, f"source: {files.url}/{name}")
        result = cli("all")
        assert result.code == (0 if name.endswith(".pth") else result.code), result.err
        assert "digest-mismatch" not in result.err and "begin with" not in result.err


SUMS: dict[str, Callable[[str, bytes], str]] = {
    "SHA256SUMS": lambda n, d: f"{digest('sha256', d)}  {n}\n",
    "SHA512SUMS": lambda n, d: f"{digest('sha512', d)} *{n}\n",
    "md5sums.txt": lambda n, d: f"{digest('md5', d)}  ./{n}\n",
    "CHECKSUM": lambda n, d: f"SHA1 ({n}) = {digest('sha1', d)}\n",
    "all.sfv": lambda n, d: f"; made by hand\n{n} {digest('crc32', d).upper()}\n",
}


@pytest.mark.parametrize("name", SUMS)
def test_a_checksum_file(cli: Cli, tmp_path: Path, name: str) -> None:
    line = SUMS[name]
    with FileServer() as files:
        for file, data in {"a.pth": DATA, "sub/b.pth": OTHER}.items():
            files.add(f"d/{file}", data)
        files.add(f"d/{name}", (line("a.pth", DATA) + line("sub/b.pth", OTHER)).encode())
        text = f"source: {files.url}/d/\n    files: [a.pth, sub/b.pth]\n    checksums: {name}"
        declare(tmp_path, text)
        result = cli("all")
        assert result.code == 0, result.err
        assert locked(tmp_path)["a.pth"]["sha256"] == sha256(DATA)
        files.add(f"d/{name}", (line("a.pth", DATA + b"x") + line("sub/b.pth", OTHER)).encode())
        assert cli("all", "--update", "w").code == 4
        files.add(f"d/{name}", line("a.pth", DATA).encode())
        result = cli("lock", "--update", "w")
        assert result.code == 3 and "says nothing of sub/b.pth" in result.err
        files.add(f"d/{name}", b"<html>not here</html>")
        assert cli("lock", "--update", "w").code == 3


@pytest.mark.parametrize("address", [False, True])
def test_a_checksum_file_of_one_digest(cli: Cli, tmp_path: Path, address: bool) -> None:
    with FileServer() as files:
        files.add("d/a.pth", DATA)
        files.add("d/a.pth.sha256", digest("sha256", DATA).encode())
        named = f"{files.url}/d/a.pth.sha256" if address else "a.pth.sha256"
        declare(tmp_path, f"source: {files.url}/d/a.pth\n    checksums: {named}")
        result = cli("all")
        assert result.code == 0, result.err
        assert locked(tmp_path)["a.pth"]["sha256"] == sha256(DATA)


def test_what_is_no_line_of_a_checksum_file() -> None:
    assert parse("hello world\n\n# x\nabc  file\n" + "g" * 64 + "  f\n", "SUMS") == {}
    assert parse("a" * 96 + "  f\n", "SHA384SUMS") == {}
    assert parse("A" * 64 + "  a b.pth\n", "S") == {"a b.pth": {"sha256": "a" * 64}}
