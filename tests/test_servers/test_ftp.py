from __future__ import annotations

import ftplib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.ftp import FtpServer

BODY = bytes(range(256)) * 400

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


@needs_curl
@pytest.mark.parametrize("mode", ["--ftp-pasv", "--disable-epsv"])
def test_curl(tmp_path: Path, mode: str) -> None:
    target = tmp_path / "a.bin"
    with FtpServer({"/pub/a.bin": BODY}) as server:
        url = f"{server.url}/pub/a.bin"
        fresh = ["curl", "-sS", "--fail", mode, "-o", str(target), url]
        subprocess.run(fresh, check=True, timeout=20)
        assert target.read_bytes() == BODY
        target.write_bytes(BODY[:100])
        command = ["curl", "-sS", "--fail", mode, "-C", "-", "-o", str(target), url]
        subprocess.run(command, check=True, timeout=20)
        assert "REST 100" in server.commands
        missing = ["curl", "-sS", "--fail", "-o", str(target), f"{server.url}/pub/b.bin"]
        assert subprocess.run(missing, check=False, capture_output=True, timeout=20).returncode
    assert target.read_bytes() == BODY


def test_ftplib_and_a_cut(tmp_path: Path) -> None:
    with FtpServer({"/a.bin": BODY}) as server, ftplib.FTP(timeout=10) as client:
        client.connect("127.0.0.1", server.port)
        client.login()
        client.voidcmd("TYPE I")
        assert client.size("a.bin") == len(BODY)
        server.cut_after = 1000
        got = bytearray()
        with pytest.raises(ftplib.error_temp):
            client.retrbinary("RETR a.bin", got.extend)
        assert got == BODY[:1000]
        client.retrbinary("RETR a.bin", got.extend, rest=len(BODY) - 10)
        assert got[1000:] == BODY[-10:]
