"""What many a project's download script does: a pool of threads, a `requests` session in each."""

from __future__ import annotations

import hashlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

_LOCAL = threading.local()


def get(line: str) -> None:
    """Fetch one file, and check its digest."""
    url, target, wanted = line.split("\t")
    session = getattr(_LOCAL, "session", None)
    if session is None:
        session = _LOCAL.session = requests.Session()
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with session.get(url, stream=True, timeout=30) as answer, path.open("wb") as stream:
        answer.raise_for_status()
        for chunk in answer.iter_content(1 << 20):
            digest.update(chunk)
            stream.write(chunk)
    if digest.hexdigest() != wanted:
        raise SystemExit(f"{url}: wrong digest")


if __name__ == "__main__":
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(get, Path(sys.argv[1]).read_text("utf-8").splitlines()))
