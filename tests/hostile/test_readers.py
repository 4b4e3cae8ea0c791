"""What a clone or a server sends to readers that trust it: refused in words, or passed over."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fetcher.errors import Failure
from fetcher.fs.safe_paths import BadPath, check_relative, collision_key
from fetcher.network.urls import joined, origin_of
from fetcher.sources.addresses import source_of
from fetcher.tree.state import State, StateRow
from fetcher.ui.redact import Redactor
from tests.conftest import Cli, write_project

ROW = StateRow("a", 1, 2, 3, "s", "w", "", "m/a", 1)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "


def database(tree: Path, *statements: str) -> State:
    path = tree / ".fetch/state.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
    return State(tree)


OURS = "PRAGMA user_version = 3"


@pytest.mark.parametrize(
    "statements",
    [
        (OURS, f"CREATE VIEW files AS {ENDLESS} 'p', i, i, i, '', '', '', '', 1 FROM n"),
        (OURS, "CREATE TABLE files (path, size)", "INSERT INTO files VALUES (1, 2)"),
        (
            OURS,
            "CREATE TABLE files (path TEXT PRIMARY KEY, size TEXT, mtime_ns INTEGER, "
            "inode INTEGER, sha256 TEXT, want TEXT, edit TEXT, artifact TEXT, placed INTEGER) "
            "WITHOUT ROWID",
        ),
        (
            "CREATE TABLE x (i)",
            f"CREATE TRIGGER t AFTER INSERT ON x BEGIN {ENDLESS} count(*) FROM n; END",
        ),
        (OURS,),
    ],
    ids=["view", "columns", "types", "trigger", "empty"],
)
def test_a_database_that_the_clone_brought(tmp_path: Path, statements: tuple[str, ...]) -> None:
    """It tries to run its own SQL in whoever opens it, without end, or to stop every run."""
    state = database(tmp_path, *statements)
    assert state.rows() == {}
    state.record([ROW])
    assert state.rows() == {"a": ROW}
    state.close()


def test_rows_of_other_types_are_passed_over_and_sound_ones_are_kept(tmp_path: Path) -> None:
    """It tries to make arithmetic fail: a size that is text, a path that is a number."""
    with closing(State(tmp_path)) as state:
        state.record([ROW])
    state = database(
        tmp_path,
        "INSERT INTO files VALUES ('b', 'x', 1, 1, 's', 'w', '', 'm/a', 1)",
        "INSERT INTO files VALUES (x'ff', 1, 1, 1, 's', 'w', '', 'm/a', 1)",
        "INSERT INTO files VALUES ('c', 1, 1, 1, NULL, 'w', '', 'm/a', 1)",
    )
    assert state.rows() == {"a": ROW}
    state.close()


def test_a_clone_with_a_strange_database_is_set_up(tmp_path: Path, cli: Cli) -> None:
    """It tries to hang `fetch all`; the honest files are placed all the same."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.bin").write_bytes(b"honest")
    write_project(tmp_path, "p", "artifacts:\n  a: {source: 'local:src'}\n", "tree: {m/: a}\n")
    database(tmp_path, OURS, f"CREATE VIEW files AS {ENDLESS} i FROM n")
    assert cli("all").code == 0
    assert (tmp_path / "m/a.bin").read_bytes() == b"honest"
    assert cli("status").code == 0 and cli("all").code == 0


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/o/r/tree/main/..%2f..%2fetc",
        "https://huggingface.co/o/m/tree/main/a%0ab",
        "https://huggingface.co/o/m/resolve/main/%2e%2e/%2e%2e/x/y.bin",
        "hf:o/m:../x",
        "gh:o/r@main:/etc",
    ],
)
def test_an_address_to_paste_that_leads_out(address: str) -> None:
    """It tries to make a source's folder one outside of the repository."""
    with pytest.raises(ValueError, match=r"leads out|absolute|empty|expected text"):
        source_of(address)


def test_honest_addresses_are_understood() -> None:
    found = source_of("https://github.com/o/r/tree/main/a%20b/c/")
    assert found is not None and found.describe() == "github:o/r@main:a b/c"
    found = source_of("hf:o/m:sub/")
    assert found is not None and found.describe() == "hf:o/m@main:sub"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: joined("https://hub.example/a", "//[x>"),
        lambda: origin_of("https://hub%2eexample/a"),
        lambda: origin_of("https://[x]/"),
    ],
    ids=["next page", "encoded host", "brackets"],
)
def test_a_server_that_leads_to_no_address(ask: Callable[[], object]) -> None:
    """It tries to end the run by a redirect or a next page that no parser takes, or two read."""
    with pytest.raises(Failure) as caught:
        ask()
    assert caught.value.problem.code == "refused"


def test_honest_references_are_followed() -> None:
    assert joined("https://h.example/a/b", "../c?d=e") == "https://h.example/c?d=e"
    assert origin_of("http://[fe80::1%25eth0]:8080/x")[2] == 8080


@pytest.mark.parametrize("path", ["a/\u200c/b", ".\u200c./x", "\u200b"])
def test_names_that_nobody_sees(path: str) -> None:
    """It tries to pass for no name, or for the folder above."""
    with pytest.raises(BadPath):
        check_relative(path)


def test_joiners_within_a_name_are_honest_and_collide_with_the_name_without() -> None:
    assert check_relative("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.txt")
    assert collision_key("a\u200cb") == collision_key("ab")


@pytest.mark.parametrize("password", ["p@ss-word-1", "it's-pass-word", "@@pass-word"])
def test_a_password_that_ends_a_login_early(password: str) -> None:
    """It tries to show its second half: a log shows nothing up to the last @."""
    assert "word" not in Redactor()(f"asking https://me:{password}@host.example/x")
