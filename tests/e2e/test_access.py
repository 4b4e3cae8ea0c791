"""`fetch access`: what each repository answers, told apart; one request each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer

# The five that the catalog's users name, and what a reader with one approval gets.
NAMED = {
    "facebook/dinov3-vits16-pretrain-lvd1689m": "ok",
    "facebook/dinov3-vitb16-pretrain-lvd1689m": "need-approval",
    "google/siglip-base-patch16-224": "ok",
    "Qwen/Qwen3-8B-Instruct": "ok",  # an alias of Qwen/Qwen3-8B
    "facebook/dinov3-vitx16-pretrain-lvd1689m": "not-found",
}


@pytest.fixture
def gates(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    for repo in ("google/siglip-base-patch16-224", "Qwen/Qwen3-8B"):
        hub.add_repo(repo, {"config.json": b"{}"})
    for size in ("vits16", "vitb16", "vitl16", "vith16plus"):
        repo = f"facebook/dinov3-{size}-pretrain-lvd1689m"
        hub.add_repo(repo, {"config.json": b"{}"}, gated="manual")
    hub.add_token(
        "hf_good",
        approved=["facebook/dinov3-vits16-pretrain-lvd1689m"],
        pending=["facebook/dinov3-vitl16-pretrain-lvd1689m"],
        rejected=["facebook/dinov3-vith16plus-pretrain-lvd1689m"],
    )
    hub.add_token("hf_narrow", reads_gated=False)
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    return hub


def states(cli: Cli, *names: str) -> dict[str, tuple[str, str | None]]:
    found = cli("access", *names, "--json").json["results"]
    return {item["id"] or item["repository"]: (item["state"], item["detail"]) for item in found}


def test_the_five_named_models(cli: Cli, gates: HubServer) -> None:
    result = cli("access", *NAMED)
    assert result.code == 6
    lines = result.out.splitlines()
    labels = {"ok": "[OK]", "need-approval": "[NEED APPROVAL]", "not-found": "[ERROR]"}
    for repo, state in NAMED.items():
        name = {"Qwen/Qwen3-8B-Instruct": "qwen3-8b"}.get(repo, repo.partition("/")[2])
        name = name.removesuffix("-pretrain-lvd1689m")
        line = next(line for line in lines if name in line)
        assert line.startswith(labels[state]), line
    waiting = next(line for line in lines if line.startswith("[NEED APPROVAL]"))
    assert f"{gates.url}/facebook/dinov3-vitb16-pretrain-lvd1689m" in waiting
    assert "3 of 5 can be had" in result.out
    assert "Qwen/Qwen3-8B-Instruct is vision-language/qwen3-8b" in result.err
    asked = gates.matching("facebook|Qwen")
    assert len(asked) == 4 and all(item.path.endswith("/auth-check") for item in asked)
    assert "hf_good" not in result.out + result.err


def test_refusals_are_told_apart(
    cli: Cli, gates: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("dinov3-vitb16", "dinov3-vitl16", "dinov3-vith16", "nobody/nothing")
    assert states(cli, *names) == {
        "dinov3-vitb16": ("need-approval", "not-approved"),
        "dinov3-vitl16": ("need-approval", "pending"),
        "dinov3-vith16plus": ("need-approval", "rejected"),
        "hf:nobody/nothing@main": ("not-found", "no-repository"),
    }
    monkeypatch.setenv("HF_TOKEN", "hf_narrow")
    assert states(cli, "dinov3-vits16") == {"dinov3-vits16": ("need-approval", "narrow-token")}
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    wrong = cli("access", "dinov3-vits16", "qwen3-8b")
    assert wrong.code == 6 and wrong.out.count("[ERROR]") == 2 and "refused the token" in wrong.out
    monkeypatch.delenv("HF_TOKEN")
    assert states(cli, "dinov3-vits16", "qwen3-8b", "nobody/nothing") == {
        "dinov3-vits16": ("need-approval", "no-token"),
        "qwen3-8b": ("ok", None),
        "hf:nobody/nothing@main": ("not-found", "no-repository"),
    }
    assert "no Hugging Face token is set" in cli("access", "dinov3-vits16").out


def test_what_is_optional_is_shown_but_not_needed(
    tmp_path: Path, cli: Cli, gates: HubServer
) -> None:
    closed = "facebook/dinov3-vitb16-pretrain-lvd1689m"
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  a: {source: hf:o/m}\n  same: {source: 'hf:o/m@main:sub'}\n"
        f"  b: {{source: 'hf:{closed}', optional: true}}\n",
        "tree:\n  a/: a\n  s/: same\n  b/: b\n",
    )
    gates.requests.clear()
    result = cli("access")
    assert result.code == 0 and "b (optional)" in result.out
    assert len(gates.requests) == 2, "two artifacts of one repository are one question"
    assert cli("access", "b").code == 6 and cli("access", "p").code == 6


def test_a_mirror_without_that_question_is_asked_for_a_file(
    cli: Cli, gates: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "knows_auth_check", False)
    assert states(cli, "qwen3-8b", "dinov3-vitb16", "nobody/nothing") == {
        "qwen3-8b": ("ok", None),
        "dinov3-vitb16": ("need-approval", "not-approved"),
        "hf:nobody/nothing@main": ("not-found", "no-repository"),
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vision-langauge", "did you mean 'vision-language'?"),
        ("qwen3-8c", "did you mean 'qwen3-8b'?"),
        ("hf:no owner", "expected hf:owner/name"),
    ],
)
def test_a_wrong_name_is_an_error(cli: Cli, gates: HubServer, name: str, message: str) -> None:
    result = cli("access", name)
    assert result.code == 2 and message in result.err


def test_pages_and_other_hosts(cli: Cli, gates: HubServer, tmp_path: Path) -> None:
    page = f"{gates.url}/Qwen/Qwen3-8B/tree/main"
    found = cli("access", page, "--json").json["results"]
    assert found[0]["state"] == "ok"
    (tmp_path / "there").mkdir()
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  here: {source: 'local:there'}\n  gone: {source: 'local:not-there'}\n"
        f"  web: {{source: '{gates.url}/nowhere.bin'}}\n",
        "tree:\n  a/: here\n  b/: gone\n  c: web\n",
    )
    found = cli("access", "--json").json["results"]
    assert [item["state"] for item in found] == ["ok", "not-found", "not-found"]


def test_without_network(cli: Cli, gates: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETCH_OFFLINE", "1")
    assert cli("access", "qwen3-8b").code == 5
    monkeypatch.delenv("FETCH_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    result = cli("access", "qwen3-8b", "dinov3-vits16")
    assert result.code == 3 and result.out.count("[ERROR]") == 2
