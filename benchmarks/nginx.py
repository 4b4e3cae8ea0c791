"""nginx as a Hub-protocol server: the same static files for every tool."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from benchmarks.workload import Served

_CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {log};
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  http2_max_concurrent_streams 128;
  default_type application/octet-stream;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map_hash_max_size 65536;
  map_hash_bucket_size 256;
  map "$uri:$arg_cursor" $page {{ default /none; {pages} }}
  map "$uri:$arg_cursor" $following {{ default ""; {following} }}
  map $uri $linked_etag {{ default ""; {etags} }}
  map $uri $linked_size {{ default ""; {sizes} }}
  server {{
    listen 127.0.0.1:{port};
    {secure}
    root {root};
{locations}
  }}
}}
"""
_LOCATIONS = """\
    location = /api/models/{repo} {{ default_type application/json; alias {info}; }}
    location = /api/models/{repo}/revision/main {{ default_type application/json; alias {info}; }}
    location = /api/models/{repo}/tree/{commit} {{
      default_type application/json;
      set $next $following;  # $uri is another one once try_files has found the page
      add_header Link $next;
      try_files $page =404;
    }}
    location ~ ^/{repo}/resolve/(?:main|{commit})/(.+)$ {{
      add_header X-Repo-Commit {commit};
      add_header X-Linked-Etag $linked_etag;
      add_header X-Linked-Size $linked_size;
      alias {files}/$1;
    }}
"""
_SECURE = """\
listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {folder}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
"""


@dataclass(frozen=True)
class Line:
    """A long line: `round_trip` in ms; `rate` of each connection in MB/s, 0 for no bound."""

    round_trip: float
    rate: float

    @contextmanager
    def before(self, port: int) -> Iterator[int]:
        """Relay to a port of the loopback over this line; yields the port to connect to."""
        argv = [sys.executable, "-m", "benchmarks.far_line", str(port)]
        argv += ["--round-trip", str(self.round_trip), "--rate", str(self.rate)]
        root = Path(__file__).parents[1]
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, cwd=root, stdin=pipe, stdout=pipe, text=True) as relay:
            assert relay.stdin is not None and relay.stdout is not None
            try:
                yield int(relay.stdout.readline())
            finally:
                relay.stdin.close()


def free_port() -> int:
    """A port of the loopback that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configuration(
    folder: Path,
    root: Path,
    port: int,
    served: Sequence[Served],
    log: Path | None,
    secure: str,
    endpoint: str,
) -> str:
    pages, following, etags, sizes, locations = [], [], [], [], []
    for item in served:
        work = item.workload
        tree = f"/api/models/{work.repo}/tree/{work.commit}"
        for number, page in enumerate(item.pages):
            key = f'"{tree}:{number or ""}"'
            pages.append(f"{key} /{page.relative_to(root)};")
            if number + 1 < len(item.pages):
                url = f"{endpoint}{tree}?recursive=true&expand=false"
                following.append(f"{key} '<{url}&cursor={number + 1}>; rel=\"next\"';")
        for entry in item.entries if "safetensors" in str(item.entries[0]["path"]) else ():
            for revision in ("main", work.commit):
                uri = f"/{work.repo}/resolve/{revision}/{entry['path']}"
                etags.append(f"{uri} '\"{entry['sha256']}\"';")
                sizes.append(f"{uri} {entry['size']};")
        locations.append(
            _LOCATIONS.format(repo=work.repo, commit=work.commit, info=item.info, files=item.files)
        )
    return _CONFIGURATION.format(
        folder=folder,
        log=f"{log} combined" if log else "off",
        port=port,
        secure=secure,
        root=root,
        pages=" ".join(pages),
        following=" ".join(following),
        etags=" ".join(etags),
        sizes=" ".join(sizes),
        locations="".join(locations),
    )


@contextmanager
def serving(
    root: Path,
    served: Sequence[Served],
    log: Path | None = None,
    line: Line | None = None,
) -> Iterator[str]:
    """Run nginx over built workloads below `root`; yields the endpoint.

    `log` gets a line for each request, with the bytes of its body. With a `line` the endpoint
    speaks TLS and HTTP/2, behind that line; its certificate is `certificate(root)`.
    """
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    folder = root / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    plain = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        secure, endpoint = "", plain
        if line is not None:
            behind = free_port()
            endpoint = f"https://127.0.0.1:{stack.enter_context(line.before(behind))}"
            secure = _SECURE.format(port=behind, folder=folder, certificate=certificate(root))
        configuration = folder / "nginx.conf"
        text = _configuration(folder, root, port, served, log, secure, endpoint)
        configuration.write_text(text, "utf-8")
        errors = str(folder / "error.log")
        argv = [program, "-c", str(configuration), "-p", str(folder), "-e", errors]
        process = subprocess.Popen(argv)
        try:
            asked = f"api/models/{served[0].workload.repo}" if served else "nginx/nginx.conf"
            _wait(process, f"{plain}/{asked}", folder)
            yield endpoint
        finally:
            process.terminate()
            process.wait()


def certificate(root: Path) -> Path:
    """What clients must trust of a server with TLS; made if it is not there."""
    folder = root / "nginx"
    made = folder / "certificate.pem"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subject = ["-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        files = ["-keyout", str(folder / "key.pem"), "-out", str(made)]
        argv = ["openssl", "req", "-x509", "-days", "3650", *kind, *subject, *files]
        subprocess.run(argv, check=True, capture_output=True)
    return made


def _wait(process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    for _ in range(100):
        try:
            with urlopen(url):
                return
        except OSError:
            time.sleep(0.05)
        if process.poll() is not None:
            break
    raise SystemExit(f"nginx did not start: see {folder / 'error.log'}")
