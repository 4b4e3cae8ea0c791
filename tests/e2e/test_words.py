"""What a run says at its end, and hints that can be followed."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import fetcher
from fetcher.models import ModelManager
from tests.conftest import Cli, write_project
from tests.e2e.conftest import WEIGHTS
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer


def test_the_end_says_where_and_what_next(project: Path, cli: Cli, hub: HubServer) -> None:
    first = cli("all")
    assert first.code == 0 and "in models/" in first.out
    for _ in range(2):
        again = cli("all")
        assert "nothing to do: all of it was there" in again.out and "in models/" not in again.out
    assert cli("all", "--quiet").out == ""
    (project / "models/m/config.json").unlink()
    assert "in models/" in cli("all").out


def test_the_end_names_the_probe(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "w.bin").write_bytes(b"x")
    probe = "    probe: {type: state-dict}\n"
    write_project(
        tmp_path,
        "p",
        f"artifacts:\n  one:\n    source: local:.\n    files: [w.bin]\n{probe}",
        "tree:\n  one.bin: one\n  sub/two.bin: one\n",
    )
    found = cli("all")
    assert "next: `fetch verify`" in found.out and "in one.bin" in found.out


@pytest.mark.parametrize(
    "key", ["exclude: [aux.py]", "exclude: aux.py", "exclude: ['{aux,nul}.py']"]
)
def test_a_name_that_no_file_may_have_can_be_left_out(
    tmp_path: Path, cli: Cli, hub: HubServer, key: str
) -> None:
    hub.add_repo("o/bad", {"aux.py": b"1\n", "nul.py": b"3\n", "b.bin": b"2\n"})
    text = "artifacts:\n  m:\n    source: hf:o/bad\n"
    write_project(tmp_path, "p", text, "tree:\n  models/m/: m\n")
    refused = cli("all")
    assert refused.code == 4 and "leave it out in" in refused.err
    write_project(tmp_path, "p", f"{text}    {key}\n", "tree:\n  models/m/: m\n")
    found = cli("all")
    if "nul" in key:
        assert found.code == 0, found.err
    else:
        assert "aux.py" not in found.err and "nul.py" in found.err
    for wrong in ("../up", "/root", "a\\\\b"):
        write_project(tmp_path, "p", f'{text}    exclude: ["{wrong}"]\n', "tree:\n  models/m/: m\n")
        assert cli("all").code == 2


def test_a_digest_that_the_manifest_states_wrongly(
    tmp_path: Path, cli: Cli, hub: HubServer
) -> None:
    stated = "{config.json: {sha256: " + "0" * 64 + "}}"
    text = f"artifacts:\n  m:\n    source: hf:o/m\n    files: {stated}\n"
    write_project(tmp_path, "p", text, "tree:\n  models/m/: m\n")
    found = cli("all")
    assert found.code == 4
    assert "hint: manifests/p.yaml states it" in found.err and "lock --update" not in found.err


def test_the_tree_before_the_lock_shows_all_of_a_shared_folder(tmp_path: Path, cli: Cli) -> None:
    artifacts = "".join(f"  {name}: {{source: 'hf:o/{name}'}}\n" for name in ("m", "n", "x"))
    layout = "root: r\ntree:\n  models/: [m, n]\n  ./: x\n  one.bin: x/a.bin\n"
    write_project(tmp_path, "p", f"artifacts:\n{artifacts}", layout)
    shown = cli("tree").out
    assert all(shown.count(f"? …  ({name}, not resolved yet)") == 1 for name in ("m", "n", "x"))
    assert "? one.bin  (x, not resolved yet)" in shown
    rows = cli("tree", "--json").json["results"]
    assert sorted((row["target"], row["artifact"], row["path"]) for row in rows) == [
        ("r/", "x", None),
        ("r/models/", "m", None),
        ("r/models/", "n", None),
        ("r/one.bin", "x", "a.bin"),
    ]
    assert not any(row["present"] or row["resolved"] for row in rows)


TWINS = {
    "case": ("Model.bin", "model.bin"),
    "form": ("caf\u00e9.bin", "cafe\u0301.bin"),
    "joiner": ("a\u200db.bin", "ab.bin"),
    "ligature": ("\ufb01le.bin", "file.bin"),
    "glob": ("W[1].bin", "w[1].bin"),
    "folder": ("A/x.bin", "a"),
}


@pytest.mark.parametrize("followed", ["exclude", "rename"])
@pytest.mark.parametrize("twins", TWINS)
def test_twins_are_told_apart_and_the_hint_works(
    tmp_path: Path, cli: Cli, hub: HubServer, twins: str, followed: str
) -> None:
    names = TWINS[twins]
    hub.add_repo("o/twins", {**{name: name.encode() for name in names}, "z": b"z"})
    manifest, layout = "artifacts:\n  m:\n    source: hf:o/twins\n", "tree:\n  models/: m\n"
    write_project(tmp_path, "p", manifest, layout)
    planned = cli("plan")
    found = cli("all", "--json")
    assert planned.code == found.code == 4
    summary = found.json["summary"]
    assert summary["files"] == summary["failed_files"] == 3
    assert len(found.json["artifacts"][0]["files"]) == 3
    (error,) = found.json["errors"]
    message = str(error["message"])
    quoted = re.findall(r"'models/[^']*'|\"models/[^\"]*\"", message)
    assert {yaml.safe_load(item) for item in quoted} >= {f"models/{name}" for name in names[:1]}
    assert len(set(quoted)) == 2
    if twins in {"form", "joiner", "ligature"}:
        assert message.isascii(), "code points tell what no eye can"
    hint = str(error["hint"])
    if followed == "exclude":
        (entry,) = re.findall(r"(exclude: \[.*\]);", hint)
        manifest += f"    {entry}\n"
    else:
        (entry,) = re.findall(r"`tree`: (.*)$", hint)
        layout += f"  {entry}\n"
    write_project(tmp_path, "p", manifest, layout)
    assert cli("all").code == 0
    stand = [path for path in tmp_path.rglob("*") if path.suffix == ".bin" or path.name == "a"]
    files = [path for path in stand if path.is_file() and ".fetch" not in path.parts]
    assert len(files) == (1 if followed == "exclude" else 2)
    assert cli("check").code == 0


def _columns(out: str) -> dict[str, list[str]]:
    head, *rows = out.split("\n\n", maxsplit=1)[0].splitlines()
    names = re.split(r"  +", head.strip())
    cells = [re.split(r"  +", row.strip()) for row in rows]
    return {name: [row[at] for row in cells] for at, name in enumerate(names)}


def test_a_plans_table_and_its_sentence_agree(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/same", {"copy.json": b'{"a": 1}\n', "other.txt": b"other"})
    (tmp_path / "up").mkdir()
    with zipfile.ZipFile(tmp_path / "up/a.zip", "w") as archive:
        for name in ("one.txt", "two.txt", "three.txt"):
            archive.writestr(name, name)
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: 'hf:o/m', exclude: .gitattributes}\n"
        "  same: {source: 'hf:o/same'}\n  zipped: {source: 'local:up', unpack: true}\n",
        "tree:\n  models/m/: m\n  same/: same\n  zip/: zipped\n",
    )
    assert cli("lock").code == 0

    def agree() -> None:
        found = cli("plan")
        table, sentence = _columns(found.out), found.out.split("\n\n")[1]
        told = re.search(r"(\d+) files? to download(?:, [^,;]+, and (\d+) with)?", sentence)
        assert told is not None
        assert sum(map(int, table["TO DOWNLOAD"])) == int(told[1]) + int(told[2] or 0)
        summary = cli("plan", "--json").json["summary"]
        assert summary["to_download_files"] == int(told[1])

    agree()
    assert "1 with the same content as one of them" in cli("plan").out
    assert cli("all", "--only", "m").code == 0
    agree()
    assert cli("all").code == 0
    (tmp_path / "zip/one.txt").unlink()
    (tmp_path / "same/other.txt").write_text("mine")
    agree()
    assert _columns(cli("plan").out)["IN THE WAY"] == ["0", "1", "0"]


def test_a_name_of_nothing_has_what_there_is_listed(tmp_path: Path, cli: Cli) -> None:
    """The project's own first; the built-in catalog on asking."""
    (tmp_path / "up").mkdir()
    (tmp_path / "up/w.bin").write_bytes(b"w")
    ids = ("alpha", "beta")
    text = "".join(f"  {id}: {{source: 'local:up', task: text-generation}}\n" for id in ids)
    layout = "tree:\n  a/: alpha\n  b/: beta\n"
    write_project(tmp_path, "p", f"artifacts:\n{text}", layout)
    asked: list[tuple[str, ...]] = [
        *(
            (name, "qqqq")
            for name in ["all", "plan", "check", "status", "tree", "list", "access", "verify"]
        ),
        *(("show", "qqqq"), ("update", "qqqq"), ("outdated", "qqqq"), ("remove", "qqqq")),
        *(("lock", "--update", "qqqq"), ("all", "--only", "qqqq"), ("plan", "--skip", "qqqq")),
        *(("mirror", "export", "out", "qqqq"), ("adopt", "up/w.bin", "--as", "qqqq/w.bin")),
    ]
    for arguments in asked:
        found = cli(*arguments)
        assert found.code == 2, arguments
        assert "alpha, beta" in found.err and "ohlora" not in found.err, (arguments, found.err)
    assert "did you mean 'alpha'" in cli("all", "alhpa").err
    manager = ModelManager(tmp_path)
    getters: list[Any] = [
        *(manager.get_chat_model, manager.versions, manager.info),
        *(fetcher.open(tmp_path).fetch, fetcher.open(tmp_path).plan),
        *(fetcher.open(tmp_path).status, fetcher.open(tmp_path).path),
    ]
    for get in getters:
        with pytest.raises(fetcher.UsageError) as caught:
            get("qqqq")
        assert "alpha, beta" in str(caught.value.hint), get
    for other in (manager.get_embedding_model, manager.get_compression_model):
        with pytest.raises(fetcher.UsageError, match=r"no .* model 'qqqq'") as caught:
            other("qqqq")
        assert "there is none: lay one out" in str(caught.value.hint)


def test_what_comes_after_adopting(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/opt", {"o.bin": WEIGHTS, "more.txt": b"more"})
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: 'hf:o/m', exclude: .gitattributes}\n"
        "  opt: {source: 'hf:o/opt', optional: true}\n"
        "  one: {source: 'http://127.0.0.1:9/one.bin', optional: true}\n",
        "tree:\n  models/: m\n  o/: opt\n  u/: one\n",
    )
    here = tmp_path / "here"
    here.mkdir()
    (here / "weights").write_bytes(WEIGHTS[:-1] + b"x")
    refused = cli("adopt", "here")
    assert refused.code == 4 and "fetch.lock does not say yet what m, opt, one has" in refused.err
    assert cli("lock").code == 0
    assert "no digest that fetch.lock has is theirs" in cli("adopt", "here").err
    (here / "weights").write_bytes(WEIGHTS)
    found = cli("adopt", "here")
    told = re.findall(r"next: `fetch (.*)` places them, and downloads (.*) more, (.*)", found.out)
    assert told == [("all", "2 files", "17 B"), ("all opt", "1 file", "4 B")], "both want it"
    result = cli("all", "opt", "--json").json
    assert result["summary"]["downloaded_files"] == 1 and not result["errors"]
    # A file of which nobody knew anything has a size now.
    (here / "u").write_bytes(b"\x80\x02}q\x00.1234")
    found = cli("adopt", "here/u", "--as", "one")
    assert "next: `fetch all one` places them without downloading" in found.out
    assert cli("plan", "one", "--json").json["summary"]["unknown_sizes"] == 0
    assert cli("all", "one", "--offline").code == 0
    (here / "c").write_bytes(b'{"a": 1}\n')
    found = cli("adopt", "here/c")
    assert re.search(r"next: `fetch all` places them, and downloads 1 file more, 8 B", found.out)
    assert cli("adopt", "here/c", "--json").json["summary"]["to_download_bytes"] == 8


def test_a_digest_of_the_manifest_lets_adopting_learn_a_size(
    tmp_path: Path, cli: Cli, hub: HubServer
) -> None:
    """A size that was only a server's hint keeps no file from being recognised."""
    with FileServer() as server:
        server.add("w.bin", WEIGHTS)
        server.faults.add("HEAD", "status", code=200, headers={"Content-Length": "77"})
        digest = hashlib.sha256(WEIGHTS).hexdigest()
        text = f"artifacts:\n  w:\n    source: {server.url}/w.bin\n"
        text += f"    files: {{w.bin: {{sha256: {digest}}}}}\n"
        write_project(tmp_path, "p", text, "tree:\n  models/: w\n")
        assert cli("lock").code == 0
    (tmp_path / "here").write_bytes(WEIGHTS)
    found = cli("adopt", "here")
    assert found.code == 0 and "`fetch all` places them without downloading" in found.out
    (entry,) = json.loads((tmp_path / "fetch.lock").read_text())["manifests"]["p"]["w"]["files"]
    assert entry["size"] == len(WEIGHTS) and "size_hint" not in entry
    assert cli("all", "--offline").code == 0
