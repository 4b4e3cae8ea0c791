"""Nothing of the user's is ever lost, and nothing wrong is ever called right."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.e2e.conftest import WEIGHTS
from tests.servers.hub import HubServer


def flip(path: Path, at: int = 100) -> None:
    """Change one byte in place, as a program with the right to write would."""
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte[0] ^ 1]))


def kept(project: Path) -> list[Path]:
    return [path for path in (project / ".fetch/kept").rglob("*") if path.is_file()]


def test_a_users_own_file_is_a_conflict_and_stays(project: Path, cli: Cli) -> None:
    mine = project / "models/m/config.json"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"conflict"}
    assert "models/m/config.json" in result.json["errors"][0]["message"]
    assert mine.read_bytes() == b"mine"
    assert (project / "models/m/model.safetensors").read_bytes() == WEIGHTS
    assert cli("status", "--json").json["results"][0]["state"] == "conflict"
    assert cli("check").code == 4
    assert cli("all", "--overwrite").code == 0
    assert mine.read_bytes() == b'{"a": 1}\n'
    assert [path.read_bytes() for path in kept(project)] == [b"mine"]
    assert cli("check", "--deep").code == 0


def test_a_users_file_with_the_right_bytes_is_taken(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    mine = project / "models/m/model.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(WEIGHTS)
    result = cli("all", "--json")
    assert result.code == 0
    assert result.json["summary"]["downloaded_files"] == 2
    assert hub.cdn.requests == []


def test_a_byte_flipped_behind_a_symlink_is_mended(project: Path, cli: Cli, hermetic: Path) -> None:
    assert cli("all", "--link", "symlink").code == 0
    target = project / "models/m/model.safetensors"
    flip(target)
    broken = target.read_bytes()
    for deep in ([], ["--deep"]):
        result = cli("check", "--json", *deep)
        assert result.code == 4
        assert [f["target"] for f in result.json["results"]] == ["models/m/model.safetensors"]
    assert cli("all", "--link", "symlink").code == 0
    assert target.read_bytes() == WEIGHTS
    assert [path.read_bytes() for path in (hermetic / "store/damaged").iterdir()] == [broken]


@pytest.mark.parametrize("link", ["auto", "hardlink", "copy"])
def test_one_flipped_byte(project: Path, cli: Cli, link: str) -> None:
    assert cli("all", "--link", link).code == 0
    target = project / "models/m/model.safetensors"
    flip(target)
    result = cli("check", "--deep", "--json")
    assert result.code == 4
    assert [f["target"] for f in result.json["results"]] == ["models/m/model.safetensors"]
    assert [f["state"] for f in result.json["results"]] == ["modified"]
    broken = target.read_bytes()
    again = cli("all", "--json", "--link", link)
    assert again.code == 4 and again.codes == {"conflict"}
    assert target.read_bytes() == broken
    assert cli("all", "--overwrite", "--link", link).code == 0
    assert target.read_bytes() == WEIGHTS
    assert [path.read_bytes() for path in kept(project)] == [broken]
    assert cli("check", "--deep").code == 0
    assert cli("store", "check").code == 0


def test_an_edit_in_one_clone_never_reaches_another(
    project: Path, cli: Cli, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert cli("all", "--into", one).code == 0
    flip(one / "models/m/model.safetensors")
    assert cli("all", "--into", two).code == 0
    assert (two / "models/m/model.safetensors").read_bytes() == WEIGHTS


def test_a_touched_file_is_read_and_kept(project: Path, cli: Cli) -> None:
    assert cli("all").code == 0
    os.utime(project / "models/m/config.json", (1, 1))
    assert cli("check").code == 0
    result = cli("all", "--json")
    assert result.code == 0 and result.json["summary"]["placed_files"] == 0


def test_without_its_state_a_tree_is_recognised_by_reading(project: Path, cli: Cli) -> None:
    assert cli("all").code == 0
    (project / ".fetch/state.db").unlink()
    result = cli("all", "--json")
    assert result.code == 0 and result.json["summary"]["placed_files"] == 0
    (project / ".fetch/state.db").write_bytes(b"not a database" * 100)
    assert cli("all").code == 0
    assert cli("check").code == 0


def test_equal_files_of_one_tree_do_not_change_together(
    tmp_path: Path, cli: Cli, hub: HubServer
) -> None:
    hub.add_repo("o/twins", {"a.bin": b"same" * 500, "b.bin": b"same" * 500})
    write_project(tmp_path, "p", "artifacts:\n  t: {source: hf:o/twins}\n", "tree: {t/: t}\n")
    assert cli("all").code == 0
    flip(tmp_path / "t/a.bin")
    result = cli("check", "--deep", "--json")
    assert [f["target"] for f in result.json["results"]] == ["t/a.bin"]


def test_writable_files_may_be_trained_in_place(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: hf:o/m, files: [config.json, model.safetensors]}\n",
        "tree: {m/: m}\nwritable: [m/model.*]\n",
    )
    assert cli("all").code == 0
    weights, config = tmp_path / "m/model.safetensors", tmp_path / "m/config.json"
    assert weights.stat().st_mode & 0o200 and not config.stat().st_mode & 0o200
    weights.write_bytes(b"trained")
    assert cli("all").code == 0 and cli("check").code == 0
    assert cli("all", "--overwrite").code == 0
    assert weights.read_bytes() == b"trained"
    assert cli("status", "--json").json["results"][0]["state"] == "modified"
    assert cli("store", "check").code == 0


def test_missing_and_extra_files_are_named(project: Path, cli: Cli) -> None:
    assert cli("all").code == 0
    (project / "models/m/sub/vocab.txt").unlink()
    (project / "models/m/notes.txt").write_text("mine")
    junit, sarif = project / "r.xml", project / "r.sarif"
    result = cli("check", "--json", "--junit", junit, "--sarif", sarif)
    assert result.code == 4
    assert [(f["state"], f["target"]) for f in result.json["results"]] == [
        ("missing", "models/m/sub/vocab.txt")
    ]
    suite = ET.parse(junit).getroot()
    assert suite.get("tests") == "3" and suite.get("failures") == "1"
    assert "sub/vocab.txt" in sarif.read_text()
    strict = cli("check", "--strict", "--json")
    assert {(f["state"], f["target"]) for f in strict.json["results"]} == {
        ("missing", "models/m/sub/vocab.txt"),
        ("extra", "models/m/notes.txt"),
    }
    manifest = project / "manifests/p.yaml"
    manifest.write_text(manifest.read_text() + "    files: ['*.json']\n")
    assert cli("lock").code == 0
    result = cli("check", "--json")
    assert result.json["results"] == []
    assert ("replaced", "models/m/model.safetensors") in {
        (orphan["why"], orphan["path"]) for orphan in result.json["orphans"]
    }


def test_a_symlink_out_of_the_tree_is_refused(project: Path, cli: Cli, tmp_path: Path) -> None:
    outside = tmp_path.parent / (tmp_path.name + "-outside")
    outside.mkdir()
    (project / "models").symlink_to(outside)
    result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"bad-path"}
    assert list(outside.iterdir()) == []


def test_a_symlink_within_the_tree_is_fine(project: Path, cli: Cli) -> None:
    (project / "big").mkdir()
    (project / "models").symlink_to("big")
    assert cli("all").code == 0
    assert (project / "big/m/config.json").exists()


def test_a_file_where_a_folder_must_be(project: Path, cli: Cli) -> None:
    (project / "models").write_text("a file")
    result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"conflict"}
    assert (project / "models").read_text() == "a file"


def test_a_folder_where_a_file_must_be(project: Path, cli: Cli) -> None:
    (project / "models/m/config.json").mkdir(parents=True)
    (project / "models/m/config.json/mine").write_text("x")
    result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"conflict"}
    assert cli("all", "--overwrite").code == 0
    assert (project / "models/m/config.json").read_bytes() == b'{"a": 1}\n'
    assert [path.read_text() for path in kept(project)] == ["x"]


def test_two_manifests_on_one_path(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/n", {"config.json": b"other"})
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: hf:o/m, files: [config.json]}\n",
        "tree: {x.json: m}\n",
    )
    write_project(tmp_path, "q", "artifacts:\n  n: {source: hf:o/n}\n", "tree: {x.json: n}\n")
    result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"bad-path"}
    assert "x.json" in result.json["errors"][0]["message"]
    write_project(
        tmp_path,
        "q",
        "artifacts:\n  n: {source: hf:o/m, files: [config.json]}\n",
        "tree: {x.json: n}\n",
    )
    assert cli("all").code == 0, "the same content on one path is no conflict"


def test_two_files_that_differ_by_case(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/case", {"Readme.md": b"1", "README.md": b"2"})
    write_project(tmp_path, "p", "artifacts:\n  m: {source: hf:o/case}\n", "tree: {m/: m}\n")
    result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"bad-path"}
    assert "collides" in result.json["errors"][0]["message"]


@pytest.mark.parametrize(
    "path", ["../evil", "/etc/evil", "a/../../evil", "C:/evil", "con.txt", ".git/hooks/x", "a\\b"]
)
def test_hostile_listings_are_refused_by_name(
    tmp_path: Path, cli: Cli, hub: HubServer, path: str
) -> None:
    hub.add_raw_tree_entry("o/m", path, b"x")
    write_project(tmp_path, "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {m/: m}\n")
    result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"bad-path"}
    assert not (tmp_path / "m").exists()


def test_a_path_that_is_too_long_is_refused_first(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    deep = "{x: m/config.json}"
    for _ in range(30):
        deep = f"{{{'d' * 200}: {deep}}}"
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: hf:o/m, files: [config.json, sub/vocab.txt]}\n",
        f"tree: {{long: {deep}, v.txt: m/sub/vocab.txt}}\n",
    )
    result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"bad-path"}
    assert "too long" in result.json["errors"][0]["message"]
    assert not (tmp_path / "v.txt").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anything")
def test_a_read_only_target(project: Path, cli: Cli) -> None:
    target = project / "ro"
    target.mkdir(mode=0o555)
    result = cli("all", "--into", target, "--json")
    assert result.code == 9 and result.codes == {"permission"}
