from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ohlora
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.servers.sharepoint import SharePointServer
from tests.servers.wire import read

from .client import ask

SBERT = f"{ohlora.ROOT}/llm/models/memory_sbert/trained_sbert_model"


@pytest.fixture(scope="module")
def tree() -> dict[str, bytes]:
    return ohlora.expected_tree()


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[HubServer, GitHubServer, SharePointServer]]:
    folder = tmp_path_factory.mktemp("git")
    with HubServer() as hub, GitHubServer(folder) as github, SharePointServer() as sharepoint:
        ohlora.build_ohlora(hub, github, sharepoint)
        yield hub, github, sharepoint


def test_the_tree_has_14765_files(tree: dict[str, bytes]) -> None:
    assert len(tree) == 14_765
    folders = Counter(path.rpartition("/")[0].rpartition("/")[2] for path in tree)
    assert folders == {
        "synthesize_results": 10_000,
        "synthesize_results_filtered": 4_703,
        "polyglot_original": 12,
        "polyglot_fine_tuned": 8,
        "original": 9,
        "trained_sbert_model": 10,
        "1_Pooling": 1,
        "eval": 1,
        "models": 14,
        "stylegan_modified": 6,
        "stylegan": 1,
    }
    assert all(path.startswith("2025_04_08_OhLoRA/") for path in tree)
    assert f"{SBERT}/.gitattributes" not in tree


def test_the_filtered_names_are_the_published_ones() -> None:
    listed = ohlora.NAMES.read_bytes()
    digest = "e0163be7e769946e3cd79b2ab0bba9c613c899b648c9ed2c4631a2c0aec92746"
    assert hashlib.sha256(listed).hexdigest() == digest


def test_images_differ_and_the_filtered_ones_are_the_same(tree: dict[str, bytes]) -> None:
    full = {Path(p).name: body for p, body in tree.items() if "/synthesize_results/" in p}
    some = {Path(p).name: body for p, body in tree.items() if "/synthesize_results_filtered/" in p}
    assert len(set(full.values())) == 10_000
    assert all(full[name] == body for name, body in some.items())
    assert {(body[:3], body[-2:]) for body in full.values()} == {(b"\xff\xd8\xff", b"\xff\xd9")}


def test_the_servers_hold_every_file(
    servers: tuple[HubServer, GitHubServer, SharePointServer], tree: dict[str, bytes]
) -> None:
    hub, github, sharepoint = servers
    for repo, name, target in ohlora.placements():
        if repo == ohlora.SHAREPOINT or repo.startswith("github:") or target.endswith(".jpg"):
            continue
        (entry,) = [hub.repos["model", repo].commit("main").files[name]]
        assert entry.content == tree[f"{ohlora.ROOT}/{target}"]
    counts = {key: len(repo.commit("main").files) for key, repo in hub.repos.items()}
    assert counts["model", ohlora.SBERT] == 13
    assert counts["model", ohlora.LLM] == 8
    assert counts["model", ohlora.GEMMA] == 9
    assert counts["model", ohlora.POLYGLOT] == 12
    assert counts["model", ohlora.CNNS] == 13
    images = ohlora.IMAGES.partition("/")[2]
    assert counts["dataset", images] == 10_002
    net = ask(f"{github.url}/raw/timesler/facenet-pytorch/{ohlora.FACENET_COMMIT}/data/pnet.pt")
    assert len(net.body) == 28_570
    link = ohlora.SHARE_LINK.replace("https://mycuhk-my.sharepoint.com", sharepoint.url)
    assert ask(link).status == 302


def test_replaced_contents() -> None:
    own = {(ohlora.CNNS, "gender_model_0.pt"): b"own"}
    tree = ohlora.expected_tree(contents=own, root="")
    assert tree["stylegan_and_segmentation/cnn/models/gender_model_0.pt"] == b"own"


def test_as_a_program() -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "tests.servers.ohlora", "--port", "0", "--env"]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, cwd=root, env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        found = re.fullmatch(r"export HF_ENDPOINT='(.*)'\n", lines[0])
        assert found
        assert ask(f"{found[1]}/api/models/klue/roberta-base").json()["sha"]
        assert re.fullmatch(r"export FETCH_REWRITE='https://api\.github\.com/=\S+ .*'\n", lines[1])
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_the_tokenizer_loads(
    servers: tuple[HubServer, GitHubServer, SharePointServer], tmp_path: Path
) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    content = ohlora.repositories()[ohlora.ROBERTA]["tokenizer.json"]
    (tmp_path / "t.json").write_bytes(read(content))
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "t.json"))
    assert tokenizer.encode("a").tokens == ["[CLS]", "a", "[SEP]"]
