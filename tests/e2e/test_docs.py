"""What README and docs show is true: their examples are run as written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import fetcher
from fetcher.project import layout, manifest
from fetcher.yamldoc import nodes
from tests.conftest import Cli
from tests.servers.hub import HubServer

ROOT = Path(fetcher.__file__).parent.parent
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text("utf-8")
    return [body for name, body in FENCE.findall(text) if name == language]


def test_the_readme_s_project_works_as_shown(
    tmp_path: Path, cli: Cli, hub: HubServer, write: Callable[[str, str], Path]
) -> None:
    torch = pytest.importorskip("torch")

    weights = tmp_path / "w.pt"
    torch.save({"a": torch.ones(3)}, weights)
    from safetensors.torch import save

    hub.add_repo(
        "sentence-transformers/all-MiniLM-L6-v2",
        {
            "config.json": b"{}",
            "model.safetensors": save({"a": torch.ones(3)}),
            "tokenizer.json": b"{}",
            "tokenizer_config.json": b"{}",
            "vocab.txt": b"a\n",
            "README.md": b"not wanted",
        },
    )
    for body in blocks("README.md", "yaml"):
        name = re.match(r"# (\S+)", body)
        assert name
        write(name[1], body)
    commands = [
        shlex.split(line, comments=True)[1:]
        for body in blocks("README.md", "sh")
        for line in body.splitlines()
        if line.startswith("fetch ")
    ]
    assert ["all"] in commands and ["verify"] in commands
    for command in commands:
        result = cli(*command)
        assert result.code == 0, (command, result.err)
    assert (tmp_path / "models/minilm/config.json").exists()
    assert (tmp_path / "models/encoder.safetensors").exists()
    assert not (tmp_path / "models/minilm/README.md").exists()


@pytest.mark.parametrize(
    "body", blocks("docs/manifests.md", "yaml") + blocks("docs/sources.md", "yaml")
)
def test_the_documents_examples_are_valid(body: str) -> None:
    document = nodes.parse(body.replace("sha256: …", "sha256: " + "0" * 64).encode(), "doc")
    if re.match(r"(#.*\n)?manifest:", body):
        assert manifest.decode(document) is not None
    else:
        assert re.match(r"(#.*\n)?layout:", body)
        assert layout.decode(document) is not None
    assert document.problems == []


def test_inline_commands_of_the_docs_are_known(cli: Cli) -> None:
    pages = ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    for page in pages:
        for line in re.findall(r"`fetch ([a-z]+)(?: |`)", (ROOT / page).read_text("utf-8")):
            assert cli(line, "--help").code == 0, f"{page}: fetch {line}"
