"""`fetch outdated` and `fetch update`: what sources say now, and the lock that moves on."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest

from fetcher.project import lockfile
from tests.conftest import Cli, write_project
from tests.e2e.conftest import files_below
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

CARD = "---\nlicense: {licence}\n---\n# A model\n{text}\n"
TWO = """artifacts:
  m:
    source: hf:o/m
    license: MIT
    exclude: [.gitattributes, README.md, other.txt]
  n:
    source: hf:o/n
"""
TREE = "tree:\n  models/m/: m\n  models/n/: n\n"


@pytest.fixture
def two(project: Path, hub: HubServer, cli: Cli) -> Path:
    """Two artifacts that follow branches, locked, fetched."""
    hub.add_commit("o/m", {"README.md": CARD.format(licence="mit", text="one").encode()})
    hub.add_repo("o/n", {"a.bin": b"a" * 100, "b.txt": b"b"})
    write_project(project, "p", TWO, TREE)
    assert cli("all").code == 0
    return project


def move(hub: HubServer) -> str:
    """A commit of o/m: a file more, one less, one other, another licence."""
    return hub.add_commit(
        "o/m",
        {
            "config.json": b'{"a": 22}\n',
            "extra.safetensors": b"w" * 5000,
            "README.md": CARD.format(licence="apache-2.0", text="two").encode(),
        },
        delete=["sub/vocab.txt"],
    )


def test_nothing_has_moved(two: Path, cli: Cli) -> None:
    before = (two / "fetch.lock").read_text()
    result = cli("outdated", "--exit-code")
    assert result.code == 0 and result.out == "nothing has moved, 2 as locked\n"
    update = cli("update")
    assert update.code == 0 and update.out == "nothing has moved, 2 as locked\n"
    assert (two / "fetch.lock").read_text() == before


def test_what_has_moved_is_told_and_nothing_written(two: Path, cli: Cli, hub: HubServer) -> None:
    old = lockfile.read(two).artifacts["p", "m"].revision
    new = move(hub)
    before, lock = files_below(two), (two / "fetch.lock").read_text()
    result = cli("outdated")
    lines = result.out.splitlines()
    assert result.code == 0 and lines[0] == "changed p/m"
    assert any(
        re.fullmatch(rf"  revision  {old} \(2024-.*\) -> {new} \(2024-.*\)", x) for x in lines
    )
    for line in (
        "  licence   MIT -> Apache-2.0 (the manifest says MIT)",
        "  card      its text changed",
        "  files     1 added, 1 removed, 1 changed, 5.0 kB of new content",
        "  changed config.json  9 B (9) -> 10 B (10)",
        "  added extra.safetensors  5.0 kB (5,000)",
        "  removed sub/vocab.txt  8 B (8)",
    ):
        assert line in lines, (line, result.out)
    assert "1 artifact has moved, 5.0 kB of new content, 1 as locked" in lines
    assert "fetch update" in lines[-1]
    assert (two / "fetch.lock").read_text() == lock and files_below(two) == before
    assert cli("outdated", "--exit-code").code == 4


def test_json(two: Path, cli: Cli, hub: HubServer) -> None:
    new = move(hub)
    found = cli("outdated", "--json").json
    assert found["ok"] and found["summary"]["moved"] == 1 and found["summary"]["current"] == 1
    assert found["summary"]["new_bytes"] == 5010
    rows = {row["id"]: row for row in found["results"]}
    assert rows["n"]["state"] == "current" and rows["n"]["files"] == []
    moved = rows["m"]
    assert moved["state"] == "moved" and moved["new"]["revision"] == new
    assert moved["old_date"] < moved["new_date"] or moved["old_date"] == moved["new_date"]
    assert {file["path"]: file["state"] for file in moved["files"]} == {
        "config.json": "changed",
        "extra.safetensors": "added",
        "sub/vocab.txt": "removed",
    }
    licence = {"what": "license", "old": "MIT", "new": "Apache-2.0", "manifest": "MIT"}
    assert licence in moved["terms"]


def test_markdown(two: Path, cli: Cli, hub: HubServer) -> None:
    move(hub)
    for command in (["outdated"], ["update", "--dry-run"]):
        result = cli(*command, "--markdown")
        assert result.code == 0, result.err
        assert "| changed `p/m` | `hf:o/m@main`<br>`" in result.out
        assert "**licence**: `MIT -> Apache-2.0 (the manifest says MIT)`" in result.out
        assert "| `extra.safetensors` | added | 5.0 kB (5,000) |" in result.out
    assert cli("outdated", "--markdown", "--json").code == 2


def test_update_shows_then_writes_then_all_brings_it(two: Path, cli: Cli, hub: HubServer) -> None:
    new = move(hub)
    before = (two / "fetch.lock").read_text()
    dry = cli("update", "--dry-run")
    assert dry.code == 0 and "changed p/m" in dry.out and "nothing is written" in dry.out
    assert (two / "fetch.lock").read_text() == before
    result = cli("update")
    assert result.code == 0 and "fetch.lock written; next: `fetch all`" in result.out
    told = dry.out.splitlines()[:-1]
    assert result.out.splitlines()[:-1] == told
    assert lockfile.read(two).artifacts["p", "m"].revision == new
    assert (two / "models/m/config.json").read_bytes() == b'{"a": 1}\n'
    assert cli("all").code == 0
    assert (two / "models/m/config.json").read_bytes() == b'{"a": 22}\n'
    assert (two / "models/m/extra.safetensors").stat().st_size == 5000
    assert cli("check").code == 0 and cli("outdated").out.startswith("nothing has moved")


@pytest.mark.parametrize("name", ["n", "p/n", "o/n", "n*"])
def test_one_artifact_alone(two: Path, cli: Cli, hub: HubServer, name: str) -> None:
    move(hub)
    hub.add_commit("o/n", {"b.txt": b"bb"})
    before = lockfile.read(two).artifacts["p", "m"]
    asked = len(hub.requests)
    shown = cli("outdated", name)
    assert "changed p/n" in shown.out and "p/m" not in shown.out
    assert not [r for r in hub.requests[asked:] if "/o/m" in r.target], "only o/n is asked"
    assert cli("update", name).code == 0
    after = lockfile.read(two).artifacts
    assert after["p", "m"] == before
    assert {file.path: file.size for file in after["p", "n"].files}["b.txt"] == 2


def test_a_manifests_name_and_an_unknown_one(two: Path, cli: Cli, hub: HubServer) -> None:
    move(hub)
    assert "changed p/m" in cli("outdated", "p").out
    wrong = cli("update", "mm")
    assert wrong.code == 2 and "did you mean 'm'?" in wrong.err


def test_a_commit_that_touches_no_wanted_file(two: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_commit("o/m", {"other.txt": b"not wanted"})
    result = cli("outdated")
    assert "changed p/m" in result.out and "1 artifact has moved" in result.out
    assert " added " not in result.out and "of new content" not in result.out


def test_a_pinned_artifact_is_not_asked(project: Path, cli: Cli, hub: HubServer) -> None:
    commit = hub.repos["model", "o/m"].refs["refs/heads/main"]
    write_project(
        project, "p", f"artifacts: {{m: {{source: 'hf:o/m@{commit}'}}}}\n", "tree: {m/: m}\n"
    )
    assert cli("lock").code == 0
    hub.add_commit("o/m", {"config.json": b"{}"})
    asked = len(hub.requests)
    result = cli("outdated", "--exit-code")
    assert result.code == 0 and result.out == "nothing has moved, 1 pinned\n"
    assert len(hub.requests) == asked
    assert "1 pinned" in cli("update").out


def test_a_fresh_clone_sees_no_change_where_there_is_none(
    two: Path, cli: Cli, hub: HubServer, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sha256 of small files was learned by a download; this store has none of them."""
    assert lockfile.read(two).artifacts["p", "n"].files[1].computed
    monkeypatch.setenv("FETCH_STORE", str(hermetic / "empty"))
    before = (two / "fetch.lock").read_text()
    assert cli("outdated", "--exit-code").out == "nothing has moved, 2 as locked\n"
    assert cli("update").code == 0
    assert (two / "fetch.lock").read_text() == before


def test_what_is_not_locked_is_told_and_update_locks_it(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    result = cli("outdated")
    assert result.code == 0 and "not locked: p/m: it has no entry" in result.out
    assert "1 not locked (`fetch lock`)" in result.out
    assert cli("outdated", "--exit-code").code == 7
    update = cli("update")
    assert update.code == 0 and "added p/m" in update.out
    assert cli("lock", "--check").code == 0


def test_a_gate_that_was_put_up(two: Path, cli: Cli, hub: HubServer) -> None:
    hub.repos["model", "o/n"].gated = "manual"
    result = cli("outdated")
    assert "the same revision of p/n, with other terms" in result.out
    assert "gate      open -> gated, approved by its authors (`fetch access`" in result.out
    by_code = cli("outdated", "--exit-code")
    assert by_code.code == 4 and "not as locked: p/n" in by_code.err
    assert "`requires_auth` in the manifest" in by_code.err
    (row,) = [row for row in cli("outdated", "--json").json["results"] if row["id"] == "n"]
    assert row["state"] == "current"
    assert row["terms"] == [{"what": "gate", "old": "open", "new": "manual", "manifest": None}]
    write_project(two, "p", TWO + "    requires_auth: true\n", TREE)  # as the hint says
    assert cli("outdated", "--exit-code").code == 0


def test_a_gate_that_the_manifest_knows_is_no_news(two: Path, cli: Cli, hub: HubServer) -> None:
    hub.repos["model", "o/n"].gated = "auto"
    write_project(two, "p", TWO + "    requires_auth: true\n", TREE)
    assert cli("outdated").out == "nothing has moved, 2 as locked\n"
    hub.repos["model", "o/n"].gated = False
    assert "gate      a login is needed -> open" in cli("outdated").out


def test_a_locked_commit_that_is_gone(two: Path, cli: Cli, hub: HubServer) -> None:
    """Somebody pushed with force: the old commit is not upstream any more."""
    move(hub)
    repo = hub.repos["model", "o/m"]
    del repo.commits[lockfile.read(two).artifacts["p", "m"].revision]
    result = cli("outdated")
    assert result.code == 0 and "the locked revision is not there any more" in result.out


def test_a_source_that_cannot_be_asked(two: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_commit("o/n", {"b.txt": b"bb"})
    gone = hub.repos.pop(("model", "o/m"))
    result = cli("outdated")
    assert result.code != 0 and "changed p/n" in result.out and "1 not known" in result.out
    assert "m: " in result.err and "hint:" in result.err
    before = lockfile.read(two).artifacts["p", "m"]
    assert cli("update").code == result.code
    assert lockfile.read(two).artifacts["p", "m"] == before, "what cannot be asked stays"
    assert lockfile.read(two).artifacts["p", "n"].files[1].size == 2
    hub.repos["model", "o/m"] = gone


def test_offline(two: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETCH_OFFLINE", "1")
    result = cli("outdated")
    assert result.code == 5 and "network may not be used" in result.err


def test_a_hostile_hub_is_safe_to_show(two: Path, cli: Cli, hub: HubServer) -> None:
    """Licence and file names turn text around, and are Markdown."""
    hub.add_commit(
        "o/n",
        {
            "x@team`![i](u).txt": b"1",
            "README.md": b"---\nlicense: 'a|b`@x<img>'\n---\n",
        },
    )
    out = cli("outdated", "--markdown").out
    row = next(line for line in out.splitlines() if "@team" in line)
    assert row.startswith("| ``x@team`![i](u).txt`` | added |")
    assert "``- -> a\\|b`@x<img>``" in out
    hub.repos["model", "o/n"].gated = "\u202e@evil"
    for flags in ([], ["--markdown"]):
        out = cli("outdated", *flags).out
        assert "\u202e" not in out and "@evil" not in out and "a login is needed" in out


def test_a_contradiction_is_resolved_by_update(two: Path, cli: Cli, hub: HubServer) -> None:
    text = (two / "fetch.lock").read_text()
    write_project(two, "p", TWO.replace("source: hf:o/n", "source: hf:o/n\n    count: 3"), TREE)
    assert cli("lock", "--check").code == 7
    hub.add_commit("o/n", {"c.txt": b"c"})
    assert cli("outdated").code == 0
    assert cli("update", "n").code == 0
    assert (two / "fetch.lock").read_text() != text
    assert cli("lock", "--check").code == 0


def test_a_plain_address(tmp_path: Path, cli: Cli) -> None:
    """No revision and no digest: a size is all that a server tells, if that."""
    with FileServer() as server:
        url = server.add("w.bin", b"one" * 100)
        write_project(
            tmp_path, "p", f"artifacts: {{u: {{source: '{url}'}}}}\n", "tree: {w.bin: u/w.bin}\n"
        )
        assert cli("all").code == 0
        lock = (tmp_path / "fetch.lock").read_text()
        assert cli("outdated", "--exit-code").out == "nothing has moved, 1 as locked\n"
        server.add("w.bin", b"two" * 100)  # as long as before
        assert cli("outdated", "--exit-code").out == "nothing has moved, 1 as locked\n"
        assert cli("update").code == 0 and (tmp_path / "fetch.lock").read_text() == lock
        server.add("w.bin", b"three" * 100)
        result = cli("outdated")
        assert "  changed w.bin  300 B (300) -> 500 B (500)" in result.out
        assert cli("update").code == 0
        assert cli("all").code == 0
        assert (tmp_path / "w.bin").read_bytes() == b"three" * 100
        assert cli("outdated", "--exit-code").code == 0
        server.resources.clear()
        assert cli("outdated", "--exit-code").out == "nothing has moved, 1 as locked\n"


def test_variants_and_optional_ones(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    """All that the lock has is asked about, also what is not fetched here."""
    write_project(
        tmp_path,
        "p",
        "variants:\n  v: {choices: {one: [m], two: [n]}, default: one}\n"
        "artifacts:\n  m: {source: hf:o/m}\n  n: {source: hf:o/n}\n"
        "  x: {source: hf:o/x, optional: true}\n",
        "tree: {w/: [m, n], x/: x}\n",
    )
    hub.add_repo("o/n", {"a.bin": b"a"})
    hub.add_repo("o/x", {"a.bin": b"a"})
    locked = cli("lock")
    assert locked.code == 0, locked.err
    hub.add_commit("o/n", {"a.bin": b"aa"})
    hub.add_commit("o/x", {"a.bin": b"aa"})
    result = cli("outdated")
    assert "changed p/n" in result.out and "changed p/x" in result.out
    assert "2 artifacts have moved, 4 B of new content, 1 as locked" in result.out
    assert cli("update").code == 0 and cli("lock", "--check").code == 0


def packed(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.txt"), content)
    return stream.getvalue()


def test_an_archive_whose_members_are_known(project: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/z", {"z.zip": packed(one=b"1")})
    write_project(
        project, "p", "artifacts: {z: {source: hf:o/z, unpack: true}}\n", "tree: {z/: z}\n"
    )
    assert cli("all").code == 0 and (project / "z/one.txt").read_bytes() == b"1"
    lock = (project / "fetch.lock").read_text()
    assert cli("outdated", "--exit-code").out == "nothing has moved, 1 as locked\n"
    assert cli("update").code == 0 and (project / "fetch.lock").read_text() == lock
    hub.add_commit("o/z", {"z.zip": packed(one=b"1", two=b"22")})
    result = cli("outdated")
    assert "  changed z.zip  " in result.out, "its members are not known before it is there"
    assert cli("update").code == 0 and cli("all").code == 0
    assert (project / "z/two.txt").read_bytes() == b"22"
    assert cli("outdated", "--exit-code").code == 0
