"""`fetch` alone says what can be done in a folder, and what it prints can be done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fetcher.commands import run
from tests.conftest import Cli, Result, write_project
from tests.e2e.conftest import files_below
from tests.ui.screens import Terminal

LINKS = (
    "[w](https://huggingface.co/a/b) and https://huggingface.co/a/b, `hf download c/d`\n"
    "https://example.org/x/model.pth https://example.org/paper.html\n"
)


def commands(found: Result) -> list[str]:
    """The commands that are offered, in their order."""
    assert found.code == 0, found.err
    lines = [line for line in found.out.splitlines() if line.startswith("  ")]
    return [line.strip().split("  ")[0] for line in lines]


def git(folder: Path) -> None:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)


def test_an_empty_folder(tmp_path: Path, cli: Cli) -> None:
    found = cli()
    assert "no project here" in found.out
    assert commands(found)[:2] == ["fetch init", "fetch init --from quickstart"]
    assert commands(found)[-1] == "fetch --help"
    assert not list(tmp_path.iterdir()), "it only looks"
    assert all(len(line) <= 96 for line in found.out.splitlines())


@pytest.mark.parametrize(
    ("name", "text", "first"),
    [
        ("README.md", LINKS, "fetch init --from README.md"),
        ("README_ko.md", LINKS, "fetch init --from README_ko.md"),
        ("read me.md", LINKS, "fetch init"),
        ("download_models.sh", LINKS, "fetch init --from download_models.sh"),
        ("README.md", "None: https://example.org/ https://huggingface.co/papers/1\n", "fetch init"),
        ("README.md", "Lies on https://huggingface.co/docs/hub and in file.pth\n", "fetch init"),
    ],
)  # fmt: skip
def test_a_folder_with_a_page(tmp_path: Path, cli: Cli, name: str, text: str, first: str) -> None:
    (tmp_path / name).write_text(text)
    found = cli()
    assert commands(found)[0] == first
    assert (f"{name} names 3 addresses" in found.out) == (first != "fetch init")


def test_of_several_pages_the_one_with_most_addresses(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "README.en.md").write_text(LINKS)
    (tmp_path / "README.md").write_text("https://huggingface.co/a/b\n")
    (tmp_path / "download.py").write_text(LINKS * 9)
    assert commands(cli())[0] == "fetch init --from README.en.md"


@pytest.mark.parametrize("what", ["latin-1", "a folder", "a dangling link", "a pipe"])
def test_a_page_that_cannot_be_read_is_no_page(tmp_path: Path, cli: Cli, what: str) -> None:
    page = tmp_path / "README.md"
    if what == "latin-1":
        page.write_bytes(LINKS.encode() + b"\xff")
    elif what == "a folder":
        page.mkdir()
    elif what == "a pipe":
        os.mkfifo(page)
    else:
        page.symlink_to("nowhere")
    assert commands(cli())[0] == "fetch init"


def test_a_git_repository_without_manifests(tmp_path: Path, cli: Cli) -> None:
    git(tmp_path)
    found = cli()
    assert "git repository has no manifests" in found.out and commands(found)[0] == "fetch init"
    below = tmp_path / "a folder/below"
    below.mkdir(parents=True)
    assert commands(cli(cwd=below))[:2] == [f"cd {tmp_path}", "fetch init"]
    (tmp_path / "README.md").write_text(LINKS)
    assert commands(cli(cwd=below))[1] == "fetch init --from README.md"


def test_a_project_on_its_way(tmp_path: Path, cli: Cli) -> None:
    cli("init")
    assert commands(cli())[0] == "fetch add hf:OWNER/NAME"
    (tmp_path / "README.md").write_text(LINKS)
    assert commands(cli())[0] == "fetch init --from README.md"
    (tmp_path / "w.bin").write_bytes(b"x")
    source = "artifacts:\n  one: {source: 'local:.', files: [w.bin]}\n"
    write_project(tmp_path, "p", source, "tree:\n  one.bin: one\n  sub/two.bin: one\n")
    before = files_below(tmp_path)
    found = cli()
    assert files_below(tmp_path) == before, "it only looks"
    assert "0 of 1 artifact here" in found.out and commands(found)[:2] == [
        "fetch all",
        "fetch plan",
    ]
    assert cli("all").code == 0
    for folder in (tmp_path, tmp_path / "sub"):  # a folder below is the project as well
        found = cli(cwd=folder)
        assert f"Project {tmp_path}: 1 of 1 artifact here" in found.out
        assert commands(found)[0] == "fetch verify"
    (tmp_path / "one.bin").chmod(0o644)
    (tmp_path / "one.bin").unlink()
    (tmp_path / "one.bin").write_bytes(b"changed")
    assert commands(cli())[0] == "fetch check"


def test_a_manifest_that_is_wrong_is_told(tmp_path: Path, cli: Cli) -> None:
    write_project(tmp_path, "p", "artefacts: {}\n", "tree: {}\n")
    found = cli()
    assert found.code == 2 and "manifests/p.yaml" in found.err


def test_the_words_fit_a_small_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns: the texts go on below, the commands stand whole."""
    (tmp_path / "README.md").write_text(LINKS)
    shown = Terminal(columns=80)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", shown)
    assert run([]) == 0
    lines = [line.rstrip() for line in shown.shown]
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("  fetch init --from README.md  ") for line in lines)
