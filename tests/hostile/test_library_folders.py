"""Libraries' folders, which every project reads, get no claim of a project's.

In each test a clone tries to have its own bytes, or code, where torch looks for weights.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.servers.plain import FileServer

WEIGHTS = os.urandom(40_000)
OTHER = os.urandom(40_000)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch keeps its checkpoints, for the person who runs this test."""
    folder = tmp_path_factory.mktemp("torch")
    monkeypatch.setenv("TORCH_HOME", str(folder))
    return folder / "hub"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer({"/r50.bin": WEIGHTS, "/mirror/r50.bin": OTHER}) as found:
        yield found


def declare(root: Path, server: FileServer, more: str = "", tree: str = "tree: {}\n") -> None:
    write_project(
        root,
        "p",
        f"artifacts:\n  net:\n    source: {server.url}/r50.bin\n{more}",
        f"{tree}torch_hub:\n  checkpoints/: net\n",
    )


def test_bytes_of_the_store_need_the_source_s_word(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone's lock says that bytes which it had placed before are a well-known file's."""
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    (tmp_path / "evil.bin").write_bytes(OTHER)
    write_project(
        tmp_path,
        "q",
        "artifacts:\n  evil: {source: 'local:evil.bin'}\n",
        "tree:\n  e/: evil\n",
    )
    assert cli("all", "q").code == 0
    declare(tmp_path, server, f"    files: {{r50.bin: {{sha256: {digest(OTHER)}}}}}\n")
    result = cli("all", "p")
    assert result.code == 4 and digest(WEIGHTS) in result.err and digest(OTHER) in result.err
    assert not (library / "checkpoints/r50.bin").exists()
    offline = cli("all", "p", "--offline")
    assert offline.code == 4 and "nobody but the project says" in offline.err
    assert not (library / "checkpoints/r50.bin").exists()


def test_a_manifest_s_mirror_says_nothing(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    declare(
        tmp_path,
        server,
        f"    files: {{r50.bin: {{sha256: {digest(OTHER)}}}}}\n"
        f"    mirrors: ['{server.url}/mirror/r50.bin']\n",
        "tree:\n  m/: net\n",
    )
    result = cli("all")
    assert result.code == 4, result.err
    assert not (library / "checkpoints/r50.bin").exists()
    assert (tmp_path / "m/r50.bin").read_bytes() == OTHER, "its own folder gets what it claims"


def test_a_project_s_rewriting_says_nothing(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    declare(tmp_path, server)
    (tmp_path / "fetch.yaml").write_text(
        f"rewrite: '{server.url}/r50.bin={server.url}/mirror/r50.bin'\n"
    )
    result = cli("all")
    assert result.code == 4 and "the project itself rewrites" in result.err
    assert not (library / "checkpoints/r50.bin").exists()


@pytest.mark.parametrize(
    "name", ["hubconf.py", "trusted_list", "x.so", ".git/config", "a/run.sh", "x.PYC"]
)
def test_nothing_that_is_run_gets_in(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    declare(tmp_path, server)
    layout = tmp_path / "layouts/p.yaml"
    layout.write_text(f"layout: p\ntree: {{}}\ntorch_hub:\n  {name}: net\n")
    assert cli("all").code in {2, 4}
    assert not [path for path in library.rglob("*") if path.is_file()]


def test_no_link_in_a_library_s_folder_leads_out(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    declare(tmp_path, server)
    library.mkdir()
    (tmp_path / "out").mkdir()
    (library / "checkpoints").symlink_to(tmp_path / "out")
    assert cli("all").code == 4
    assert not list((tmp_path / "out").iterdir())


def test_a_project_cannot_say_where_the_folder_lies(
    cli: Cli, tmp_path: Path, server: FileServer, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    (tmp_path / ".env").write_text(f"TORCH_HOME={tmp_path}/theirs\nFETCH_ALLOW_ROOTS=nltk_data\n")
    declare(tmp_path, server)
    assert cli("all").code == 0
    assert (library / "checkpoints/r50.bin").is_file() and not (tmp_path / "theirs").exists()
