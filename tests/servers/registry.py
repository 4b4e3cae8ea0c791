"""Debian's docker-registry on loopback, open or with a token server of its own."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from .base import Server
from .wire import Request, Response

PROGRAM = shutil.which("docker-registry")
USER, PASSWORD = "ann", "s3cret-pass"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer(Server):
    """Gives tokens as the distribution specification has them, to who knows the password."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
        now = datetime.now(timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        builder = builder.public_key(self.key.public_key()).serial_number(1)
        builder = builder.not_valid_before(now - timedelta(hours=1))
        self.certificate = builder.not_valid_after(now + timedelta(hours=9)).sign(
            self.key, hashes.SHA256()
        )
        self.bundle = folder / "tokens.crt"
        self.bundle.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        self.given = 0

    def respond(self, request: Request) -> Response:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("authorization") != wanted:
            return Response(401, b"{}")
        scope = parse_qs(urlsplit(request.target).query)["scope"][0]
        kind, name, actions = scope.split(":")
        self.given += 1
        token = self._token([{"type": kind, "name": name, "actions": actions.split(",")}])
        return Response(200, json.dumps({"token": token, "expires_in": 60}).encode())

    def _token(self, access: list[dict[str, object]]) -> str:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        der = self.certificate.public_bytes(serialization.Encoding.DER)
        head = {"alg": "ES256", "typ": "JWT", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        claims = {
            "iss": "tests",
            "sub": USER,
            "aud": "registry",
            "iat": now,
            "nbf": now - 60,
            "exp": now + 300,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        text = f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(claims).encode())}"
        signature = self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(signature)
        return f"{text}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def docker_config(home: Path, host: str) -> None:
    """What `docker login` writes."""
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (home / ".docker").mkdir(exist_ok=True)
    text = json.dumps({"auths": {host: {"auth": auth}}})
    (home / ".docker/config.json").write_text(text)


@contextmanager
def registry(folder: Path, tokens: TokenServer | None = None) -> Iterator[str]:
    """A registry that keeps its blobs below `folder`; gives its host:port."""
    assert PROGRAM is not None
    port = _free_port()
    auth = ""
    if tokens is not None:
        auth = (
            f"auth:\n  token:\n    realm: {tokens.url}/token\n    service: registry\n"
            f"    issuer: tests\n    rootcertbundle: {tokens.bundle}\n"
        )
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage:\n  filesystem: {{rootdirectory: {folder / 'blobs'}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n{auth}"
    )
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, "docker-registry ended"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("docker-registry does not answer")
