"""ModelScope and Civitai: addresses, digests from their listings, logins."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.network.credentials import settings_tokens
from fetcher.sources.addresses import written_out
from fetcher.sources.base import Source
from fetcher.sources.civitai import Civitai
from fetcher.sources.modelscope import ModelScope
from tests.conftest import Cli, write_project
from tests.kit import Run, sha256, tensors
from tests.servers.model_sites import CivitaiServer, ModelScopeServer

FILES = {"w.safetensors": tensors(30_000), "config.yaml": b"a: 1\n"}
SITE, CIVITAI = "https://modelscope.cn", "https://civitai.com"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (f"{SITE}/models/o/r", ModelScope("o/r")),
        ("https://www.modelscope.cn/models/o/r/summary", ModelScope("o/r")),
        (f"{SITE}/datasets/o/r/files", ModelScope("o/r", "dataset")),
        (f"{SITE}/models/o/r/resolve/v1/a/w.pt", ModelScope("o/r", revision="v1", path="a/w.pt")),
        (f"{SITE}/models/o/r/file/view/master/w.pt", ModelScope("o/r", path="w.pt")),
        (f"{CIVITAI}/models/7?modelVersionId=42", Civitai("42")),
        (f"{CIVITAI}/models/7/some-name?modelVersionId=42", Civitai("42")),
        (f"{CIVITAI}/api/download/models/42?type=Model&format=SafeTensor", Civitai("42")),
    ],
)
def test_addresses(address: str, source: Source) -> None:
    found = written_out(address)
    assert found is not None and found[0](**found[1]) == source


@pytest.mark.parametrize("tail", ["models/7", "api/download/models/42?token=secret"])
def test_addresses_of_civitai_that_are_refused(tail: str) -> None:
    with pytest.raises(ValueError, match=r"version|CIVITAI_API_TOKEN") as refused:
        written_out(f"{CIVITAI}/{tail}")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("address", [f"{SITE}/models/o/r/resolve/master/w.safetensors",
                                     f"{CIVITAI}/models/7?modelVersionId=42"])  # fmt: skip
def test_the_listing_knows_the_digest(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    kind = ModelScopeServer if SITE in address else CivitaiServer
    with kind(FILES) as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        write_project(
            tmp_path, "p", f"artifacts:\n  w: {{source: '{address}'}}\n", "tree: {m/: w}\n"
        )
        assert cli("lock").code == 0
        assert sha256(FILES["w.safetensors"]) in (tmp_path / "fetch.lock").read_text()
        right = server.files["w.safetensors"]
        result = cli("all")
        assert result.code == 0, result.err
        assert [path.name for path in (tmp_path / "m").iterdir()] == ["w.safetensors"]
        assert (tmp_path / "m/w.safetensors").read_bytes() == right
        assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0


def test_a_login_of_civitai(tmp_path: Path) -> None:
    with CivitaiServer(FILES) as server:
        server.token = "civ_secret"
        run = Run(tmp_path, rewrite=server.rewrite)
        found = list(run.resolve(Civitai("42")).values())
        problem = run.fetch(Civitai("42"), found).failed[0][1]
        assert problem.code == "auth" and problem.exit_code == 6
        assert (
            "CIVITAI_API_TOKEN" in problem.hint and f"{CIVITAI}/model-versions/42" in problem.hint
        )
        assert run.refused(Civitai("43")).code == "not-found"


def test_its_token_goes_to_civitai_alone(tmp_path: Path) -> None:
    run = Run(tmp_path, civitai_api_token="civ_secret")
    tokens = settings_tokens(run.settings)
    assert tokens == {("https", "civitai.com", 443): "civ_secret"}
    for url in ("https://cdn.civitai.example/x", "http://civitai.com/x", "https://a.civitai.com/"):
        assert run.network.authorization(url) is None
    assert run.network.authorization(f"{CIVITAI}/api/x") == "Bearer civ_secret"


def test_a_version_with_a_crc_alone(tmp_path: Path) -> None:
    with CivitaiServer(FILES) as server:
        server.hashes = ("CRC32",)
        run = Run(tmp_path, rewrite=server.rewrite)
        (file,) = run.resolve(Civitai("42")).values()
        assert file.published is not None and file.size_hint and file.size == 30_000
        server.files["w.safetensors"] = tensors(30_000, 9)
        assert run.fetch(Civitai("42"), [file]).failed[0][1].code == "digest-mismatch"


def test_listings_of_modelscope_that_are_wrong(tmp_path: Path) -> None:
    with ModelScopeServer({"../x": b"x"}) as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        assert run.refused(ModelScope("o/r")).code == "bad-path"
        assert run.refused(ModelScope("o/none")).code == "not-found"
        assert run.refused(ModelScope("o/r", revision="v9")).code == "not-found"


@pytest.mark.parametrize("listed", [True, False])
def test_a_name_of_the_manifests_own_needs_no_listing(tmp_path: Path, listed: bool) -> None:
    with CivitaiServer(FILES) as server:
        if not listed:
            server.faults.add("/api/v1/", "status", code=404)
        run = Run(tmp_path, rewrite=server.rewrite)
        (file,) = run.resolve(Civitai("42"), "own.safetensors").values()
        assert (file.sha256 == sha256(FILES["w.safetensors"])) == listed
        assert run.fetch(Civitai("42"), [file]).failed == []
        assert run.blob(FILES["w.safetensors"]) == FILES["w.safetensors"]
