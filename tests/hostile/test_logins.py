"""Addresses that let in whoever has them: refused everywhere, kept nowhere, shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.fs.logins import query_name
from tests.conftest import Cli, write_project
from tests.servers.plain import FileServer

SECRET = "s3cr3tpw77"
ADDRESSES = [
    f"https://user:{SECRET}@127.0.0.1/w.bin",
    f"HTTP://{SECRET}@127.0.0.1/w.bin",
    f"ftp://user:{SECRET}@127.0.0.1/w.bin",
    f"git:https://user:{SECRET}@127.0.0.1/r.git",
    f"https://user:{SECRET}@127.0.0.1/r.git",
    f"https://user:{SECRET}@github.com/o/r",
    f"https://{SECRET}@huggingface.co/o/m/resolve/main/w.bin",
    f"https://user:{SECRET}@drive.google.com/file/d/abcdefghijklmnopqrst/view",
    f"https://huggingface.co/o/m/resolve/main/w.bin?token={SECRET}",
    f"https://gitlab.com/o/r/-/raw/main/w.bin?private_token={SECRET}",
    "{server}/w.bin?token=" + SECRET,
    "{server}/w.bin?a=1&ACCESS_TOKEN=" + SECRET,
    "{server}/w.bin?api-key=" + SECRET,
    "{server}/w.bin?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=" + SECRET,
    "{server}/w.bin?Expires=1&Signature=" + SECRET + "&Key-Pair-Id=K",
    "{server}/w.bin?sv=2020&sig=" + SECRET,
    "{server}/w.bin#token=" + SECRET,
    f"https://bucket.s3.amazonaws.com/k?X-Amz-Signature={SECRET}",
    f"https://civitai.com/api/download/models/5?token={SECRET}",
    f"s3://AKIA:{SECRET}@bucket/key",
    f"az:account/container/key?sig={SECRET}",
    f"https://x.sharepoint.com/:u:/s/a/b?e=x&tempauth={SECRET}",
]


def kept_in(*roots: Path) -> list[str]:
    """The files that hold the secret."""
    found = (path for root in roots for path in root.rglob("*") if path.is_file())
    return [str(path) for path in found if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("command", ["get", "add", "all", "import"])
def test_an_address_with_a_login_is_kept_nowhere(
    cli: Cli, tmp_path: Path, hermetic: Path, command: str, address: str
) -> None:
    with FileServer({"/w.bin": b"\x00\x01" * 3000}) as server:
        text = address.format(server=server.url)
        if command == "all":
            artifact = f"artifacts:\n  w: {{source: {text!r}, to: w.bin}}\n"
            write_project(tmp_path, "p", artifact, "tree: {}\n")
            result = cli("all")
            assert "has no place" not in result.err, "it has one: its source is what is wrong"
            (tmp_path / "manifests/p.yaml").unlink()
        elif command == "import":
            (tmp_path / "x.sh").write_text(f"wget '{text}' -O models/w.bin\n")
            result = cli("import", "x.sh", "--yes")
            (tmp_path / "x.sh").unlink()
        else:
            result = cli(command, text, *(["--yes"] if command == "add" else []))
        assert result.code == 2 or command == "import", result.err
        assert kept_in(tmp_path, hermetic) == []
        assert SECRET not in result.out + result.err
        # A part of an address that no server ever sees is left out by an import.
        assert not server.requests or (command == "import" and "#" in text)


@pytest.mark.parametrize(
    "source",
    [
        "{type: url, url: 'https://host/w.bin?sig=SECRET'}",
        "{type: git, url: 'https://u:SECRET@host/r.git'}",
        "{type: sharepoint, url: 'https://x.sharepoint.com/:u:/s/a/b?tempauth=SECRET'}",
        "{type: dropbox, url: 'https://u:SECRET@www.dropbox.com/s/abc/w.bin'}",
        "hf:o/m, mirrors: ['https://host/w.bin?token=SECRET']",
        "hf:o/m, mirrors: [{type: mirror, location: 'https://u:SECRET@host/bundle'}]",
        "hf:o/m, checksums: 'https://u:SECRET@host/SHA256SUMS'",
        "hf:o/m, checksums: ['https://host/SHA256SUMS?token=SECRET']",
    ],
)
def test_no_key_of_an_artifact_takes_one(cli: Cli, tmp_path: Path, source: str) -> None:
    artifact = f"artifacts:\n  w: {{source: {source.replace('SECRET', SECRET)}, to: w/}}\n"
    write_project(tmp_path, "p", artifact, "tree: {}\n")
    result = cli("plan")
    assert result.code == 2 and "manifests/p.yaml:3" in result.err, result.err
    assert SECRET not in result.err and "has no place" not in result.err


@pytest.mark.parametrize(
    "address",
    [
        "https://host/w.bin?download=true",
        "https://drive.google.com/open?id=abc&resourcekey=0-x",
        "https://www.dropbox.com/scl/fi/abc/w.bin?rlkey=xyz&dl=0",
        "https://1drv.ms/u/s!Abc?e=xyz",
        "https://onedrive.live.com/?authkey=%21Abc&id=1",
        "https://host/tokens/w.bin?page=2",
        "https://host/signature=1/w.bin",
        "https://host/w.bin?token=",
        "https://host/@team/w.bin",
        "https://firebasestorage.googleapis.com/v0/b/x/o/w.bin?alt=media&token=abc",
    ],
)
def test_what_is_shared_by_its_address_is_no_login(address: str) -> None:
    assert query_name(address) == ""
