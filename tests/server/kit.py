"""A running `fetch serve`, and a bare client for it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KEPT = {"PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"}


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """An environment without tokens, caches and proxies of the machine's user."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT}
    return {
        **kept,
        "HOME": str(home),
        "FETCH_STORE": str(home / "store"),
        **more,
    }


def attempt(
    home: Path, *arguments: str | Path, cwd: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a fetch command."""
    return subprocess.run(
        [sys.executable, "-m", "fetcher", *map(str, arguments)],
        cwd=cwd,
        env=clean_environment(home, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def fetch(home: Path, *arguments: str | Path, cwd: Path, **more: str) -> None:
    """Run a fetch command that must succeed."""
    done = attempt(home, *arguments, cwd=cwd, **more)
    assert done.returncode == 0, done.stderr


@dataclass
class Answer:
    """One answer; `cut` if the connection ended before the body."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool = False

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.headers.get("x-error-code", "")


@dataclass
class Mirror:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    url: str
    greeting: str
    said: list[str] = field(default_factory=list)
    killed: bool = False

    def kill(self) -> None:
        """End it as a power cut would."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 30,
    ) -> Answer:
        """One request on a connection of its own; the path is sent as it is."""
        split = urlsplit(self.url)
        line = http.client.HTTPConnection(split.hostname or "", split.port, timeout=timeout)
        try:
            own = "Host" in (headers or {})
            line.putrequest(method, path, skip_host=own, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                line.putheader(name, value)
            if body is not None:
                line.putheader("Content-Length", str(len(body)))
            line.endheaders(body)
            answer = line.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            try:
                return Answer(answer.status, found, answer.read())
            except http.client.IncompleteRead as error:
                return Answer(answer.status, found, error.partial, cut=True)
        finally:
            line.close()

    def says(self, word: str, seconds: float = 20) -> bool:
        """Whether a line of its standard error holds `word`, by and by: a pipe and a thread
        lie between."""
        deadline = time.monotonic() + seconds
        while not any(word in line for line in list(self.said)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def raw(self, data: bytes) -> bytes:
        """Whatever comes back for these bytes."""
        split = urlsplit(self.url)
        with socket.create_connection((split.hostname or "", split.port or 0), timeout=10) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            found = b""
            while block := sock.recv(1 << 16):
                found += block
        return found

    def stop(self) -> int:
        """End it as systemd would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def memory(self) -> int:
        """Resident bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def serving(home: Path, *arguments: str | Path, cwd: Path, **more: str) -> Iterator[Mirror]:
    """`fetch serve ARGUMENTS` in `cwd`, ready for requests; it must end in an orderly way."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fetcher", "serve", "--port", "0", *map(str, arguments)],
        cwd=cwd,
        env=clean_environment(home, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    reader.start()
    greeting = ""
    for line in process.stdout:
        greeting += line
        if line.startswith("Ctrl-C"):
            break
    found = re.search(r" at (https?://\S+)", greeting)
    assert found, f"{greeting}{said}"
    threading.Thread(target=lambda: list(process.stdout or ()), daemon=True).start()
    mirror = Mirror(process, found[1], greeting, said)
    try:
        yield mirror
    finally:
        code = mirror.stop()
        reader.join(5)
        print(*said)
    assert code == (-signal.SIGKILL if mirror.killed else 0), said
