"""What `fetch recommend` says to type: it asks for, and brings, just what is recommended."""

from __future__ import annotations

import shutil

import pytest

from tests.conftest import write_project
from tests.hints.desk import Desk, about
from tests.servers.hub import HubServer

BRING, ASK = "  fetch all {id}", "check with: fetch access {gated2}"


def manifest(owner: str) -> str:
    """An encoder that is gated, a language model, and what is none of both."""
    return (
        "combinations:\n  - {gpu: T4, vram: 16G, artifacts: [enc, llm]}\nartifacts:\n"
        f"  enc: {{source: 'hf:{owner}/enc', kind: model, task: vision-encoder,"
        " parameters: 21M, requires_auth: true}\n"
        f"  llm: {{source: 'hf:{owner}/llm', kind: model, task: text-generation,"
        " parameters: 4B, optional: true}\n"
        f"  more: {{source: 'hf:{owner}/more'}}\n"
    )


TREE = "tree: {enc/: enc, llm/: llm, more/: more}\n"


@about(BRING, ASK)
@pytest.mark.parametrize("place", ["own", "twice", "named"])
def test_what_fits_together(
    desk: Desk, hub: HubServer, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Also where two manifests have these ids, and of a manifest that lies elsewhere."""
    root, words = desk.root, []
    for owner in ("o", "p"):
        hub.add_repo(f"{owner}/enc", {"config.json": owner.encode()}, gated="auto")
        for name in ("llm", "more"):
            hub.add_repo(f"{owner}/{name}", {"config.json": owner.encode()})
    hub.add_token("hf_right", approved=["o/enc", "p/enc"])
    write_project(root, "a", manifest("o"), TREE)
    if place == "twice":
        write_project(root, "b", manifest("p"), "root: b\n" + TREE)
        words = ["a"]
    elif place == "named":
        (root / "a way").mkdir()
        for folder in ("manifests", "layouts"):
            shutil.move(root / folder, root / "a way" / folder)
        write_project(root, "b", manifest("p"), "root: b\n" + TREE)
        words = [str(root / "a way/manifests/a.yaml")]
    desk.fetch("recommend", "--gpu", "T4", *words)
    desk.follow(ASK, code=6)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    told = desk.follow(ASK).out
    assert "hf:o/enc" in told and ("llm" in told) is (place == "named")
    desk.follow(BRING)
    desk.fetch("recommend", "--gpu", "T4", *words, "--fetch")
    for name in ("enc", "llm"):
        assert (root / name / "config.json").read_bytes() == b"o"
    assert not (root / "b").exists() and not (root / "more").exists()
