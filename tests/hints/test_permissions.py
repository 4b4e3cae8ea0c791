"""What a project may not do by itself: the hint names the word that lets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.hints.desk import Desk, about
from tests.hints.test_sources import DATA, declare


@about("if you want it: fetch config allow local")
def test_a_folder_outside_the_project(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> None:
    away = tmp_path_factory.mktemp("a way")
    (away / "w.pth").write_bytes(DATA)
    declare(desk.root, f"'local:{away}'")
    desk.fails("all")
    desk.follow("if you want it: fetch config allow local")
    desk.fetch("all")
    assert (desk.root / "models/w.pth").read_bytes() == DATA


@about("put what it leads to in its place; if you made it")
def test_a_link_out_of_the_tree(
    desk: Desk, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away = tmp_path_factory.mktemp("a disk")
    (project / "models").symlink_to(away)
    desk.fails("all")
    desk.follow("put what it leads to in its place; if you made it")
    desk.fetch("all")
    assert (away / "m/config.json").exists()


@about("if you want it: fetch config allow roots")
def test_a_librarys_folder(desk: Desk, project: Path) -> None:
    write_project(
        project, "p", "artifacts:\n  m: {source: 'hf:o/m'}\n", "torch_hub: {checkpoints/: m}\n"
    )
    desk.fails("all")
    desk.follow("if you want it: fetch config allow roots")
    desk.fetch("all")


@about(
    "`fetch config allow` shows what is allowed",
    "see fetch config allow --help",
    "fetch config allow pickles SHA256",
    "`fetch config` shows every setting",
)
def test_words_that_are_wrong(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.fails("config", "deny", "code", "x")
    desk.follow("`fetch config allow` shows what is allowed")
    desk.fails("config", "allow", "code")
    desk.follow("see fetch config allow --help")
    desk.fails("config", "allow", "pickles", "x")
    desk.follow("fetch config allow pickles SHA256", SHA256="a" * 64)
    assert "a" * 64 in desk.fetch("config", "allow").out
    monkeypatch.setenv("FETCH_JOBS", "x")
    desk.fails("all")
    assert "FETCH_JOBS" in desk.follow("`fetch config` shows every setting").out
