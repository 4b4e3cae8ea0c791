"""The document on approvals: its tables are in the catalog, its code runs as printed."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fetcher.hardware import memory_estimate
from fetcher.project import names
from fetcher.project.manifest import Artifact
from fetcher.project.project import Project, Unit
from tests.conftest import Cli
from tests.documents.blocks import blocks, tables
from tests.servers.hub import HubServer

ROOT = Path(__file__).parents[2]
GATED = {
    "facebook/dinov3-vitl16-pretrain-lvd1689m",
    "facebook/dinov3-vitb16-pretrain-lvd1689m",
}
CODE = blocks("002", "python")[0].text
LISTED = re.findall(r'^    "([^"]+)": (?:True|False)', CODE, re.M)


def rows() -> list[tuple[str, dict[str, str]]]:
    """Every model that a table lists, by its id as the document writes it."""
    found = []
    for table in tables("002"):
        if "모델 ID" in table.columns:
            found += [(row["모델 ID"].strip("`"), row) for row in table.rows]
    return found


@cache
def units() -> list[Unit]:
    """The catalog, which no test here changes."""
    return Project(ROOT).load_everything()


def find(name: str) -> Artifact:
    found, _ = names.matching(names.pairs_of(units()), name)
    assert len(found) == 1, name
    return found[0][1]


def test_there_are_as_many_as_the_document_lists() -> None:
    assert len(rows()) == 9 + 9 + 3 + 3


@pytest.mark.parametrize(("name", "row"), rows(), ids=lambda value: str(value)[:40])
def test_every_model_is_found_by_the_document_s_id(name: str, row: dict[str, str]) -> None:
    info = find(name).info
    assert bool(info.get("requires_auth")) == ("승인 링크" in row)
    # What the document says of it stands in the record, in the document's words too.
    if "용도" in row:
        assert row["용도"] in info["purpose"]
    if "특징" in row:
        assert row["특징"] in info["remarks"]


@pytest.mark.parametrize(("name", "row"), rows(), ids=lambda value: str(value)[:40])
def test_show_says_what_it_is_for(name: str, row: dict[str, str], cli: Cli) -> None:
    told = row.get("용도") or row.get("특징")
    shown = cli("show", name).out
    assert told is None or told in shown


def test_list_says_what_each_is_for(cli: Cli) -> None:
    listed = cli("list", "vision-language", "--json").json["results"]
    for name, _ in rows():
        artifact = find(name)
        entry = next(item for item in listed if item["id"] == artifact.id)
        assert entry.get("purpose") == artifact.info.get("purpose"), name
        assert entry.get("remarks") == artifact.info.get("remarks"), name


def test_the_combinations_are_the_document_s() -> None:
    manifest = next(u.manifest for u in units() if u.manifest.combinations)
    table = next(table for table in tables("002") if "GPU" in table.columns)
    listed = [(row["GPU"], memory_estimate.bytes_of(row["VRAM"])) for row in table.rows]
    ours = [(item["gpu"], memory_estimate.bytes_of(item["vram"])) for item in manifest.combinations]
    assert ours == listed
    for row, item in zip(table.rows, manifest.combinations, strict=True):
        encoder, language = (find(name) for name in item["artifacts"])
        assert row["LLM Backbone"].lower() == language.id
        short = row["Vision Encoder"].partition(" ")[0].lower().replace("-", "").replace("vit", "")
        assert encoder.id.replace("-", "").replace("vit", "").startswith(short)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def colab(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colab's secrets, and a Hub where one of the two gates is open for its token."""
    for name in LISTED:
        hub.add_repo(
            name.replace("-Instruct", ""),
            {"config.json": b"{}"},
            gated="manual" if name in GATED else None,
        )
        if name.endswith("-Instruct"):  # as the document spells it
            hub.add_repo(name, {"config.json": b"{}"})
    hub.add_token("hf_document", approved=[LISTED[0]])
    userdata: Any = types.ModuleType("google.colab.userdata")
    userdata.get = {"HF_TOKEN": "hf_document"}.__getitem__
    package: Any = types.ModuleType("google.colab")
    package.userdata = userdata
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setitem(sys.modules, "google.colab.userdata", userdata)
    monkeypatch.setenv("HF_TOKEN", "")


def test_fetch_access_says_what_the_printed_code_says(
    colab: None, hub: HubServer, cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The code as printed, with the Hub's client, beside our command on the same list."""
    import huggingface_hub

    client = huggingface_hub.HfApi(hub.url, token="hf_document")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: client)
    monkeypatch.setattr(huggingface_hub, "login", lambda token: None)
    exec(compile(CODE, "002", "exec"), {})
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert [line.partition("] ")[2] for line in printed] == LISTED
    monkeypatch.setenv("HF_TOKEN", "hf_document")
    ours = cli("access", *LISTED, "--json").json["results"]
    assert [item["repository"].removeprefix("hf:").partition("@")[0] for item in ours] == [
        name.replace("-Instruct", "") for name in LISTED
    ]
    assert [item["state"] for item in ours] == ["ok", "need-approval", "ok", "ok", "ok"]
    text = cli("access", *LISTED).out
    assert f"{hub.url}/{LISTED[1]}" in text and "every token of the account" in text


def test_the_notebook_has_the_document_s_name_and_models() -> None:
    assert "`00_setup_and_access_test.ipynb`" in (ROOT / "tests/data/documents/002.txt").read_text(
        "utf-8"
    )
    text = (ROOT / "examples/00_setup_and_access_test.ipynb").read_text("utf-8")
    places = [text.index(name) for name in LISTED]
    assert len(LISTED) == 5 and places == sorted(places)
