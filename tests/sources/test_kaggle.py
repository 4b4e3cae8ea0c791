"""Kaggle: datasets and models, versions, one archive of all, logins that go to it alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.sources.addresses import written_out
from fetcher.sources.base import Source
from fetcher.sources.kaggle import Kaggle
from fetcher.ui import redact
from tests.conftest import Cli, write_project
from tests.kit import Run, tensors
from tests.servers.kaggle import KaggleServer

FILES = {"train/w.safetensors": tensors(30_000), "train/a b.csv": b"a,b\n", "note.txt": b"x\n"}
SITE = "https://www.kaggle.com"
MODEL = "o/m/pt/base"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (f"{SITE}/datasets/o/d", Kaggle("o/d")),
        (f"{SITE}/datasets/o/d/data?select=train%2Fa+b.csv", Kaggle("o/d", path="train/a b.csv")),
        (f"{SITE}/datasets/o/d/versions/2", Kaggle("o/d", revision="2")),
        ("https://kaggle.com/datasets/o/d/", Kaggle("o/d")),
        (f"{SITE}/models/o/m/pt/base/1", Kaggle(MODEL, "model", "1")),
        (f"{SITE}/models/{MODEL}", Kaggle(MODEL, "model")),
        (f"{SITE}/models/o/m/frameworks/pt/variations/base/versions/2",
         Kaggle(MODEL, "model", "2")),
        (f"{SITE}/api/v1/datasets/download/o/d/a/b.csv?datasetVersionNumber=2",
         Kaggle("o/d", revision="2", path="a/b.csv")),
    ],
)  # fmt: skip
def test_addresses(address: str, source: Source) -> None:
    found = written_out(address)
    assert found is not None and found[0](**found[1]) == source
    if " " not in source.describe():
        assert Kaggle(**Kaggle.from_short(source.describe().removeprefix("kaggle:"))) == source  # type: ignore[arg-type]


def test_the_apis_archive_is_a_url() -> None:
    assert written_out(f"{SITE}/api/v1/datasets/download/o/d") is None


@pytest.mark.parametrize("tail", ["models/o/m", "datasets", "models"])
def test_pages_that_name_nothing(tail: str) -> None:
    with pytest.raises(ValueError, match=r"page|version"):
        written_out(f"{SITE}/{tail}")


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("kaggle:o/d", set(FILES)),
        ("kaggle:o/d:train", {"w.safetensors", "a b.csv"}),
        (f"kaggle:models/{MODEL}@3", set(FILES)),
        ("{type: kaggle, repo: o/d, archive: true}, unpack: true", set(FILES)),
        (f"{{type: kaggle, repo: {MODEL}, repo_type: model, archive: true}}, unpack: true",
         set(FILES)),
    ],
)  # fmt: skip
def test_in_a_project(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                      source: str, files: set[str]) -> None:  # fmt: skip
    with KaggleServer(FILES) as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        write_project(tmp_path, "p", f"artifacts:\n  w: {{source: {source}}}\n", "tree: {m/: w}\n")
        result = cli("all")
        assert result.code == 0, result.err
        found = {p.relative_to(tmp_path / "m").as_posix() for p in (tmp_path / "m").rglob("*.*")}
        assert found == files
        assert '"3"' in (tmp_path / "fetch.lock").read_text()
        assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0
        assert cli("check", "--deep").code == 0
        assert server.errors == []


def test_a_version(tmp_path: Path) -> None:
    with KaggleServer(FILES) as server:
        server.old = {"old.bin": tensors(900, 3)}
        run = Run(tmp_path, rewrite=server.rewrite)
        for source in (Kaggle("o/d", revision="1"), Kaggle(MODEL, "model", "1")):
            found = run.resolve(source)
            assert sorted(found) == ["old.bin"] and run.revision == "1"
            assert run.fetch(source, list(found.values())).failed == []
            assert source.admits("1") and not source.admits("3")
        assert run.refused(Kaggle("o/d", revision="9")).code == "not-found"


def test_what_is_closed(tmp_path: Path) -> None:
    with KaggleServer(FILES) as server:
        server.closed = True
        problem = Run(tmp_path, rewrite=server.rewrite).refused(Kaggle("o/d"))
        assert problem.code == "auth" and problem.exit_code == 6
        assert f"{SITE}/datasets/o/d" in problem.hint and "KAGGLE_KEY" in problem.hint


@pytest.mark.parametrize("place", ["variables", "file", "folder", "token"])
def test_its_login_goes_to_kaggle_alone(
    tmp_path: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == "variables":
        monkeypatch.setenv("KAGGLE_USERNAME", "me")
        monkeypatch.setenv("KAGGLE_KEY", "kaggle-secret")
    elif place == "token":
        monkeypatch.setenv("KAGGLE_API_TOKEN", "kaggle-secret")
    else:
        folder = hermetic / (".kaggle" if place == "file" else "elsewhere")
        folder.mkdir()
        (folder / "kaggle.json").write_text('{"username": "me", "key": "kaggle-secret"}')
        if place == "folder":
            monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder))
    network = Run(tmp_path).network
    sent = dict(network.outgoing(f"{SITE}/api/v1/x").headers)["Authorization"]
    assert sent == (
        "Bearer kaggle-secret" if place == "token" else "Basic bWU6a2FnZ2xlLXNlY3JldA=="
    )
    for url in ("https://storage.googleapis.com/x", "http://www.kaggle.com/x", "https://kaggle.com/x",
                "https://www.kaggle.com.evil.example/x"):  # fmt: skip
        assert network.outgoing(url).headers == () and network.outgoing(url).login is None
    hidden = redact.Redactor([*redact.of_environment(), *redact.of_files()])
    assert "kaggle-secret" not in hidden("it was kaggle-secret")


def test_a_file_that_comes_packed_is_not_taken_for_it(tmp_path: Path) -> None:
    with KaggleServer(FILES) as server:
        server.packed.add("train/w.safetensors")
        run = Run(tmp_path, rewrite=server.rewrite)
        found = run.resolve(Kaggle("o/d"), "train/w.safetensors")
        assert run.fetch(Kaggle("o/d"), list(found.values())).failed[0][1].code == "size-mismatch"


def test_listings_that_are_wrong(tmp_path: Path) -> None:
    with KaggleServer({"../x": b"x"}) as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        assert run.refused(Kaggle("o/d")).code == "bad-path"
        assert run.refused(Kaggle("o/none")).code == "not-found"
        server.files = dict(FILES)
        server.endless = True
        assert run.refused(Kaggle("o/d")).code == "refused"


def test_what_a_manifest_cannot_say(cli: Cli, tmp_path: Path) -> None:
    source = "{type: kaggle, repo: o/m, repo_type: model}"
    write_project(tmp_path, "p", f"artifacts:\n  w: {{source: {source}}}\n", "tree: {m/: w}\n")
    result = cli("all")
    assert result.code == 2 and "owner/model/framework/variation" in result.err


def test_by_its_short_form_without_a_project(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with KaggleServer(FILES) as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        result = cli("get", "kaggle:o/d", "--to", tmp_path / "got")
        assert result.code == 0, result.err
        assert (tmp_path / "got/train/a b.csv").read_bytes() == FILES["train/a b.csv"]
