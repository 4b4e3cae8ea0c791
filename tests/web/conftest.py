"""One server for the tests that leave it as it is, and one for each that writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.kit import payload
from tests.server.kit import fetch, serving
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.web.kit import LAYOUT, MANIFEST, PNG, TOKENS, Place, report


@pytest.fixture(scope="session")
def hub() -> Iterator[HubServer]:
    with HubServer() as found:
        info = {"pipeline_tag": "text-generation", "tags": ["license:mit", "pytorch"]}
        files = {"config.json": b"{}", "model.safetensors": payload(5000)}
        found.add_repo("o/small", files, info=info)
        parts = {"sub/config.json": b"{}", "sub/net.bin": payload(3000), "README.md": b"text"}
        found.add_repo("o/parts", parts, info=info)
        found.add_commit("o/parts", {"sub/more.bin": payload(70)}, "v2")
        found.add_repo("o/data", {"data/train.parquet": payload(400)}, "dataset")
        yield found


@pytest.fixture(scope="session")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubServer]:
    with GitHubServer(tmp_path_factory.mktemp("github")) as found:
        found.add_repo("g/r", {"weights/net.pt": b"net", "README.md": b"text"})
        yield found


@contextmanager
def opened(home: Path, hub: HubServer, *arguments: str | Path, **more: str) -> Iterator[Place]:
    """A fetched project below `home`, served."""
    root = home / "project"
    (root / "src").mkdir(parents=True)
    for index, name in enumerate(("a.bin", "b.bin", "c.bin")):
        (root / "src" / name).write_bytes(payload(2000 + index, index))
    write_project(root, "demo", MANIFEST, LAYOUT)
    (home / "tokens").write_text(TOKENS)
    fetch(home, "all", "--quiet", cwd=root, HF_ENDPOINT=hub.url)
    digest = hashlib.sha256(PNG).hexdigest()
    pictures = root / ".fetch/reports/pictures"
    pictures.mkdir(parents=True)
    (pictures / f"{digest}.png").write_bytes(PNG)
    (root / ".fetch/reports/verify.json").write_text(json.dumps(report(digest)))
    (root / "models/vqgan-8/b.bin").unlink()
    tokens = ("--tokens", home / "tokens")
    with serving(home, *tokens, *arguments, cwd=root, HF_ENDPOINT=hub.url, **more) as mirror:
        yield Place(home, root, mirror, hub)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, hub: HubServer) -> Iterator[Place]:
    """A server that tests only read from."""
    with opened(tmp_path_factory.mktemp("web"), hub) as found:
        yield found


@pytest.fixture
def writable(tmp_path: Path, hub: HubServer) -> Iterator[Callable[..., Place]]:
    """Make a server of one's own."""
    with ExitStack() as stack:
        yield lambda *arguments, **more: stack.enter_context(
            opened(tmp_path, hub, *arguments, **more)
        )
