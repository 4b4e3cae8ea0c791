"""Zenodo, figshare and Dataverse: records, their digests, and what is not open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fetcher.sources.addresses import written_out
from fetcher.sources.base import Source
from fetcher.sources.records import Doi, Zenodo
from tests.conftest import Cli, write_project
from tests.kit import Run, sha256, tensors
from tests.servers.records import RecordServer, page_of_file

FILES = {"w.safetensors": tensors(30_000), "a b.txt": b"text"}
SOURCES = {
    "zenodo": Zenodo("7"),
    "zenodo-doi": Doi("10.5281/zenodo.7"),
    "figshare": Doi("10.6084/m9.figshare.9.v2"),
    "dataverse": Doi("10.7910/DVN/ABC"),
}


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("https://zenodo.org/record/7", Zenodo("7")),
        ("https://zenodo.org/records/7", Zenodo("7")),
        (page_of_file("a b.txt"), Zenodo("7", "a b.txt")),
        ("https://zenodo.org/api/records/7/files/w.pt/content", Zenodo("7", "w.pt")),
        ("https://doi.org/10.5281/zenodo.7", Doi("10.5281/zenodo.7")),
        ("https://figshare.com/articles/dataset/A_title/9/2", Doi("10.6084/m9.figshare.9.v2")),
        ("https://figshare.com/articles/9", Doi("10.6084/m9.figshare.9")),
        (
            "https://dataverse.harvard.edu/dataset.xhtml?persistentId=doi:10.7910/DVN/ABC",
            Doi("10.7910/DVN/ABC"),
        ),
    ],
)
def test_addresses(address: str, source: Source) -> None:
    found = written_out(address)
    assert found is not None and found[0](**found[1]) == source


@pytest.mark.parametrize("kind", SOURCES)
def test_what_the_record_says_is_locked_and_checked(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with RecordServer(FILES) as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        source = SOURCES[kind].describe()
        write_project(
            tmp_path, "p", f"artifacts:\n  w: {{source: '{source}'}}\n", "tree: {m/: w}\n"
        )
        assert cli("lock").code == 0
        lock = json.loads((tmp_path / "fetch.lock").read_text())["manifests"]["p"]["w"]
        stated = {file["path"]: file for file in lock["files"]}
        assert stated["w.safetensors"]["size"] == 30_000
        assert "sha256" not in stated["w.safetensors"]
        assert "md5" in stated["w.safetensors"] or "published" in stated["w.safetensors"]
        right = server.files["w.safetensors"]
        server.files["w.safetensors"] = tensors(30_000, 5)
        assert cli("all").code == 4
        server.files["w.safetensors"] = right
        result = cli("all")
        assert result.code == 0, result.err
        assert (tmp_path / "m/w.safetensors").read_bytes() == right
        assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0


@pytest.mark.parametrize("checksum", ["MD5", "SHA-1", "SHA-256", "SHA-512"])
def test_each_checksum_of_a_dataverse(tmp_path: Path, checksum: str) -> None:
    with RecordServer({"sub/w.pt": FILES["w.safetensors"]}) as server:
        server.checksum = checksum
        run = Run(tmp_path, rewrite=server.rewrite)
        (file,) = run.resolve(SOURCES["dataverse"]).values()
        assert file.path == "sub/w.pt"
        assert (file.sha256 is not None) == (checksum == "SHA-256")
        assert file.sha256 or file.md5 or file.published
        assert run.revision == "3.1"


def test_one_file_by_its_link(tmp_path: Path) -> None:
    with RecordServer(FILES) as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        source = Zenodo("5", "a b.txt")  # 5 stands for the latest
        found = run.resolve(source)
        assert list(found) == ["a b.txt"] and run.revision == "7"
        assert run.fetch(source, list(found.values())).failed == []
        assert run.blob(FILES["a b.txt"]) and sha256(FILES["a b.txt"])
        assert run.refused(Zenodo("7", "none.txt")).code == "missing-upstream"


@pytest.mark.parametrize("kind", SOURCES)
def test_records_that_are_not_open_or_not_there(tmp_path: Path, kind: str) -> None:
    with RecordServer(FILES) as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        found = list(run.resolve(SOURCES[kind]).values())
        server.closed = True
        problem = run.fetch(SOURCES[kind], found[:1]).failed[0][1]
        page = SOURCES[kind].page(run.network)
        assert problem.code == "auth" and page in problem.hint
        problem = Run(tmp_path, rewrite=server.rewrite).refused(SOURCES[kind])
        assert problem.code == "auth" and page in problem.hint


def test_dois_that_are_none_of_theirs(tmp_path: Path) -> None:
    with RecordServer(FILES) as server:
        rewrite = f"{server.rewrite} https://journal.example/={server.url}/doi/"
        run = Run(tmp_path, rewrite=rewrite)
        assert run.refused(Doi("10.5281/zenodo.8")).code == "not-found"
        assert run.refused(Doi("10.9999/none")).code == "not-found"
        problem = run.refused(Doi("10.1000/journal"))
        assert problem.code == "refused" and "journal.example" in problem.message
