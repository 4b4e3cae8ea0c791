"""A pasted address is that file, wherever a source may stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fetcher.sources import SourceType
from fetcher.sources.base import Source
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace
from fetcher.sources.url import Url
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import INVALID
from tests.conftest import Cli, write_project
from tests.kit import tensors
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer

WEIGHTS, OTHER = tensors(20_000), tensors(30_000, 2)
HF, GH = "https://huggingface.co", "https://github.com"

ADDRESSES: dict[str, Source] = {
    f"{HF}/o/m/blob/main/a/x.pth": HuggingFace("o/m", path="a/x.pth"),
    f"{HF}/o/m/resolve/v1/x.pth?download=true": HuggingFace("o/m", revision="v1", path="x.pth"),
    f"{HF}/o/m/raw/main/LICENSE": HuggingFace("o/m", path="LICENSE"),
    f"{HF}/m/resolve/main/x.pth": HuggingFace("m", path="x.pth"),
    f"{HF}/datasets/o/d/resolve/main/a%20b.zip": HuggingFace("o/d", "dataset", path="a b.zip"),
    f"{HF}/spaces/o/s/blob/main/x.pt": HuggingFace("o/s", "space", path="x.pt"),
    f"{HF}/o/m/blob/refs%2Fpr%2F1/x": HuggingFace("o/m", revision="refs/pr/1", path="x"),
    f"{HF}/o/m/tree/main/sub": HuggingFace("o/m", path="sub"),
    f"{HF}/o/m": HuggingFace("o/m"),
    "https://hf.co/o/m/resolve/main/x.pth": HuggingFace("o/m", path="x.pth"),
    f"{GH}/o/r/blob/main/data/x.pt": GitHub("o/r", "main", "data/x.pt"),
    f"{GH}/o/r/raw/main/x.pt": GitHub("o/r", "main", "x.pt"),
    f"{GH}/o/r/raw/refs/heads/main/x.pt": GitHub("o/r", "main", "x.pt"),
    f"{GH}/o/r/blob/v1/x.pt?raw=true": GitHub("o/r", "v1", "x.pt"),
    f"{GH}/o/r/releases/download/v1/x.pt": GitHub("o/r", path="x.pt", release="v1"),
    f"{GH}/o/r/releases/latest/download/x.pt": GitHub("o/r", path="x.pt", release="latest"),
    f"{GH}/o/r/releases/tag/v1": GitHub("o/r", release="v1"),
    "https://raw.githubusercontent.com/o/r/main/a/x.pt": GitHub("o/r", "main", "a/x.pt"),
    "https://raw.githubusercontent.com/o/r/refs/heads/main/x.pt": GitHub("o/r", "main", "x.pt"),
    "https://example.org/o/m/resolve/main/x.pth": Url("https://example.org/o/m/resolve/main/x.pth"),
    "hf:o/m:a/x.pth": HuggingFace("o/m", path="a/x.pth"),
}


def decoded(text: str) -> tuple[Any, Document]:
    document = Document("m.yaml")
    return SourceType().decode(Node("scalar", 1, 1, text), document), document


@pytest.mark.parametrize("text", ADDRESSES)
def test_an_address_in_a_manifest(text: str) -> None:
    found, document = decoded(text)
    assert found == ADDRESSES[text], document.problems


@pytest.mark.parametrize(
    "text",
    [
        "https://me:secret@huggingface.co/o/m/resolve/main/x",
        "https://hf_secret@huggingface.co/o/m/resolve/main/x",
        "https://secret@github.com/o/r/releases/download/v1/x.pt",
        "https://secret@example.org/x.pt",
        "ftp://me:secret@example.org/x.pt",
    ],
)
def test_an_address_with_a_login_is_refused_without_it(text: str) -> None:
    found, document = decoded(text)
    assert found is INVALID
    assert "holds a login" in document.problems[0].message


@pytest.mark.parametrize(
    "text", [f"{HF}/docs/hub", f"{HF}/settings/tokens", GH, f"{HF}/o/m/blob/main/../x"]
)
def test_pages_that_are_no_source(text: str) -> None:
    found, document = decoded(text)
    assert found is INVALID and document.problems


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    with HubServer() as server:
        files = {"a/x.pth": WEIGHTS, "a/y.pth": OTHER, "x.pth": OTHER, "LICENSE": b"MIT\n"}
        for kind in ("model", "dataset", "space"):
            server.add_repo("o/m", files, kind)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        assert server.errors == []


HUB_FILES = {
    f"{HF}/o/m/resolve/main/a/x.pth": ("x.pth", WEIGHTS),
    f"{HF}/datasets/o/m/blob/main/a/y.pth": ("y.pth", OTHER),
    f"{HF}/spaces/o/m/resolve/main/x.pth": ("x.pth", OTHER),
    f"{HF}/o/m/raw/main/LICENSE": ("LICENSE", b"MIT\n"),
    "hf:o/m:a/x.pth": ("x.pth", WEIGHTS),
    "hf:o/m@main:x.pth": ("x.pth", OTHER),
}


@pytest.mark.parametrize("address", HUB_FILES)
def test_a_file_of_the_hub_alone(cli: Cli, tmp_path: Path, hub: HubServer, address: str) -> None:
    name, data = HUB_FILES[address]
    tree = f"tree:\n  m/{name}: w/{name}\n  other.bin: w/{name}\nhub_cache: [w]\n"
    write_project(tmp_path, "p", f"artifacts:\n  w: {{source: '{address}'}}\n", tree)
    result = cli("all")
    assert result.code == 0, result.err
    assert [path.name for path in (tmp_path / "m").iterdir()] == [name]
    assert (tmp_path / "m" / name).read_bytes() == data
    assert (tmp_path / "other.bin").read_bytes() == data
    assert cli("all", "--offline", "--locked").code == 0
    assert cli("check", "--deep").code == 0


def test_a_folder_with_an_ending_stays_one(cli: Cli, tmp_path: Path, hub: HubServer) -> None:
    hub.add_repo("o/f", {"v.model/a.txt": b"a", "v.model/b.txt": b"b"})
    write_project(tmp_path, "p", "artifacts:\n  w: {source: 'hf:o/f:v.model'}\n",
                  "tree:\n  m/: w\n")  # fmt: skip
    assert cli("all").code == 0
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["a.txt", "b.txt"]


def test_a_file_called_as_its_folder_is_named(cli: Cli, tmp_path: Path, hub: HubServer) -> None:
    hub.add_repo("o/f", {"model/model": WEIGHTS, "model/x": b"x"})
    write_project(tmp_path, "p", "artifacts:\n  w: {source: 'hf:o/f:model'}\n", "tree:\n  m/: w\n")
    result = cli("all")
    assert result.code == 3 and "called as its folder is" in result.err


def test_a_file_that_is_not_there(cli: Cli, tmp_path: Path, hub: HubServer) -> None:
    address = f"{HF}/o/m/resolve/main/a/z.pth"
    write_project(tmp_path, "p", f"artifacts:\n  w: {{source: '{address}'}}\n", "tree:\n  m/: w\n")
    result = cli("all")
    assert result.code == 3 and "o/m" in result.err


@pytest.mark.parametrize("down", [False, True], ids=["listed", "api-down"])
@pytest.mark.parametrize(
    "address",
    [
        f"{GH}/o/r/releases/download/v1/x.pth",
        f"{GH}/o/r/raw/main/a/x.pth",
        f"{GH}/o/r/blob/main/a/x.pth",
        "https://raw.githubusercontent.com/o/r/main/a/x.pth",
    ],
)
def test_a_file_of_github_alone(
    cli: Cli,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    down: bool,
) -> None:
    root = tmp_path
    with GitHubServer(tmp_path_factory.mktemp("repos")) as server:
        server.add_repo("o/r", {"a/x.pth": WEIGHTS, "a/y.pth": OTHER})
        server.add_release("o/r", "v1", {"x.pth": WEIGHTS, "y.pth": OTHER})
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        if down:
            headers = {"x-ratelimit-remaining": "0", "retry-after": "3000"}
            server.faults.add("/repos/", "status", code=403, headers=headers)
        write_project(root, "p", f"artifacts:\n  w: {{source: '{address}'}}\n", "tree:\n  m/: w\n")
        result = cli("all")
        assert result.code == 0, result.err
    assert [path.name for path in (root / "m").iterdir()] == ["x.pth"]
    assert (root / "m/x.pth").read_bytes() == WEIGHTS


@pytest.mark.parametrize("address", [f"{HF}/o/m/resolve/main/a/x.pth", "hf:o/m:a/x.pth"])
def test_a_mirror_by_address_is_that_file_whatever_it_is_called(
    cli: Cli, tmp_path: Path, hub: HubServer, address: str
) -> None:
    from tests.kit import sha256

    write_project(
        tmp_path,
        "p",
        "artifacts:\n  w:\n    source: http://127.0.0.1:9/w.pth\n"
        f"    mirrors: ['{address}']\n    files: {{w.pth: {{sha256: {sha256(WEIGHTS)}}}}}\n",
        "tree:\n  m/: w\n",
    )
    result = cli("all")
    assert result.code == 0, result.err
    assert (tmp_path / "m/w.pth").read_bytes() == WEIGHTS


@pytest.mark.parametrize("form", ["address", "short"])
def test_a_second_file_of_a_repository_joins_its_artifact(
    cli: Cli, tmp_path: Path, hub: HubServer, form: str
) -> None:
    start = f"{HF}/o/m/resolve/main/" if form == "address" else "hf:o/m:"
    for name in ("a/x.pth", "a/y.pth", "a/y.pth"):
        result = cli("add", start + name, "--yes")
        assert result.code == 0, result.err
    (manifest,) = (tmp_path / "manifests").iterdir()
    assert manifest.read_text().count("source:") == 1
    result = cli("all")
    assert result.code == 0, result.err
    found = sorted(path.name for path in (tmp_path / "models").rglob("*.pth"))
    assert found == ["x.pth", "y.pth"]
    # Of another folder, revision or kind, or under a name of its own, it is another artifact.
    for text, more in (
        (f"{start}x.pth", ()),
        (f"{HF}/datasets/o/m/resolve/main/a/x.pth", ()),
        (f"{start}a/x.pth", ("--id", "own")),
    ):
        assert cli("add", text, "--yes", *more).code == 0
    assert manifest.read_text().count("source:") == 4
    assert cli("all").code == 0


def test_a_file_joins_no_artifact_whose_layout_has_no_place_for_it(
    cli: Cli, tmp_path: Path, hub: HubServer
) -> None:
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  w:\n    source: {type: huggingface, repo: o/m, path: a}\n"
        "    files: [x.pth]\n",
        "tree:\n  m/one.pth: w/x.pth\n",
    )
    assert cli("add", f"{HF}/o/m/resolve/main/a/y.pth", "--yes").code == 0
    assert (tmp_path / "manifests/p.yaml").read_text().count("source:") == 2
    assert cli("all").code == 0
