"""nginx as a Hub-protocol server: the same static files for every tool."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
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


def free_port() -> int:
    """A port of the loopback that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configuration(folder: Path, root: Path, port: int, served: Sequence[Served]) -> str:
    pages, following, etags, sizes, locations = [], [], [], [], []
    for item in served:
        work = item.workload
        tree = f"/api/models/{work.repo}/tree/{work.commit}"
        for number, page in enumerate(item.pages):
            key = f'"{tree}:{number or ""}"'
            pages.append(f"{key} /{page.relative_to(root)};")
            if number + 1 < len(item.pages):
                url = f"http://127.0.0.1:{port}{tree}?recursive=true&expand=false"
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
        port=port,
        root=root,
        pages=" ".join(pages),
        following=" ".join(following),
        etags=" ".join(etags),
        sizes=" ".join(sizes),
        locations="".join(locations),
    )


@contextmanager
def serving(root: Path, served: Sequence[Served]) -> Iterator[str]:
    """Run nginx over built workloads below `root`; yields the endpoint."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    folder = root / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(_configuration(folder, root, port, served), "utf-8")
    command = [
        program,
        "-c",
        str(configuration),
        "-p",
        str(folder),
        "-e",
        str(folder / "error.log"),
    ]
    process = subprocess.Popen(command)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _wait(process, f"{endpoint}/api/models/{served[0].workload.repo}", folder)
        yield endpoint
    finally:
        process.terminate()
        process.wait()


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
