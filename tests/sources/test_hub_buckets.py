"""Buckets of the Hub: lists in pages, one file, private ones; no cache and no revisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fetcher.sources.addresses import source_of, written_out
from fetcher.sources.hf_bucket import HubBucket
from fetcher.sources.huggingface import HuggingFace
from tests.conftest import Cli, write_project
from tests.kit import Run, sha256, tensors
from tests.servers.hub_buckets import BucketHub

FILES = {"ckpt/w.safetensors": tensors(30_000), "ckpt/a b.txt": b"x\n", "top.bin": tensors(400)}
HF = "https://huggingface.co"


@pytest.fixture
def hub() -> Any:
    with BucketHub(page_size=2) as server:
        server.add_bucket("o/b", FILES)
        yield server
        assert server.errors == []
        assert server.cdn.leaks == []


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (f"{HF}/buckets/o/b", HubBucket("o/b")),
        (f"{HF}/buckets/o/b/tree/ckpt", HubBucket("o/b", "ckpt")),
        (f"{HF}/buckets/o/b/resolve/ckpt%2Fw.safetensors", HubBucket("o/b", "ckpt/w.safetensors")),
        (f"{HF}/buckets/o/b/resolve/ckpt/a%20b.txt", HubBucket("o/b", "ckpt/a b.txt")),
    ],
)
def test_addresses(text: str, source: HubBucket) -> None:
    found = written_out(text)
    assert found is not None
    assert found[0](**found[1]) == source == source_of(text)


def test_short_forms() -> None:
    assert source_of("hf:buckets/o/b:ckpt") == HubBucket("o/b", "ckpt")
    assert source_of("hf:buckets/b") == HuggingFace("buckets/b")  # a model of somebody called so
    assert source_of(HubBucket("o/b", "ckpt").describe()) == HubBucket("o/b", "ckpt")


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("hf:buckets/o/b", {"ckpt/w.safetensors", "ckpt/a b.txt", "top.bin"}),
        ("hf:buckets/o/b:ckpt", {"w.safetensors", "a b.txt"}),
        ("hf:buckets/o/b:ckpt/w.safetensors", {"w.safetensors"}),
        ("{type: hf-bucket, bucket: o/b, path: ckpt}", {"w.safetensors", "a b.txt"}),
    ],
)
def test_a_bucket_in_a_project(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                               hub: BucketHub, source: str, files: set[str]) -> None:  # fmt: skip
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    write_project(tmp_path, "p", f"artifacts:\n  w: {{source: {source}}}\n", "tree: {m/: w}\n")
    result = cli("all")
    assert result.code == 0, result.err
    found = {p.relative_to(tmp_path / "m").as_posix() for p in (tmp_path / "m").rglob("*.*")}
    assert found == files
    assert sha256(FILES["ckpt/w.safetensors"]) in (tmp_path / "fetch.lock").read_text()
    assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0
    assert cli("check", "--deep").code == 0


def test_a_private_bucket(tmp_path: Path, hub: BucketHub) -> None:
    hub.add_bucket("o/secret", FILES, private=True)
    problem = Run(tmp_path, hf_endpoint=hub.url).refused(HubBucket("o/secret"))
    assert problem.code == "auth" and f"{hub.url}/buckets/o/secret" in problem.hint
    assert "HF_TOKEN" in problem.hint
    hub.add_token("hf_1")
    run = Run(tmp_path, hf_endpoint=hub.url, hf_token="hf_1")
    found = run.resolve(HubBucket("o/secret"))
    assert run.fetch(HubBucket("o/secret"), list(found.values())).failed == []
    assert HubBucket("o/secret").check_access(run.network)


def test_bad_lists(tmp_path: Path, hub: BucketHub) -> None:
    run = Run(tmp_path, hf_endpoint=hub.url)
    hub.add_bucket("o/bad", {"../x": b"x"})
    assert run.refused(HubBucket("o/bad")).code == "bad-path"
    assert run.refused(HubBucket("o/none")).code in {"auth", "not-found"}
    assert run.refused(HubBucket("o/b", "none")).code == "missing-upstream"
    hub.link_origin = "http://127.0.0.1:9"  # nobody is asked there: the cursor is the link's
    assert len(run.resolve(HubBucket("o/b"))) > 1
