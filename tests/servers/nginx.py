"""A real nginx on loopback: TLS with a certificate of its own, HTTP/2, IPv6."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

_CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  log_format short '$server_protocol $status $connection $body_bytes_sent $uri';
  access_log {folder}/access.log short;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000;
  server {{
    listen 127.0.0.1:{secure} ssl http2;
    listen 127.0.0.1:{old} ssl;
    listen 127.0.0.1:{plain};
    {six}
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    root {root};
  }}
}}
"""


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@dataclass
class Line:
    """One line of the access log."""

    protocol: str
    status: int
    connection: str
    sent: int
    path: str


class Nginx:
    """Serves the files below `root`; `with` starts and stops it."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.certificate = folder / "cert.pem"
        self.ipv6 = _has_ipv6()
        secure, old, plain = _free_ports(3)
        self.http2 = f"https://127.0.0.1:{secure}"
        self.https = f"https://127.0.0.1:{old}"
        self.plain = f"http://127.0.0.1:{plain}"
        self.six = f"http://[::1]:{plain}"
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", folder / "key.pem", "-out", self.certificate),
            ],
            check=True,
            capture_output=True,
        )
        text = _CONFIGURATION.format(
            folder=folder,
            root=root,
            secure=secure,
            old=old,
            plain=plain,
            six=f"listen [::1]:{plain};" if self.ipv6 else "",
        )
        (folder / "nginx.conf").write_text(text)

    def __enter__(self) -> Nginx:
        assert PROGRAM is not None
        folder = self.folder
        self._process = subprocess.Popen(
            [PROGRAM, "-c", folder / "nginx.conf", "-p", folder, "-e", folder / "error.log"]
        )
        address = self.plain.removeprefix("http://").split(":")
        for _ in range(200):
            try:
                socket.create_connection((address[0], int(address[1]))).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise RuntimeError((folder / "error.log").read_text())

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def log(self) -> list[Line]:
        found = []
        for line in (self.folder / "access.log").read_text().splitlines():
            protocol, status, connection, sent, path = line.split(" ", 4)
            found.append(Line(protocol, int(status), connection, int(sent), path))
        return found
