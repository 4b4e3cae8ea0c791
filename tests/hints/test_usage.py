"""Options that were given wrongly: what the error says is typed, and is taken."""

from __future__ import annotations

import json
from pathlib import Path

from tests.hints.desk import Desk, about

# What was typed, the text that is printed, and what that text says to type.
WRONG = [
    (
        "lock --resolve ours --junit r.xml",
        "`fetch lock --check` writes",
        "lock --check --junit r.xml",
        0,
    ),
    (
        "mirror export b.tar --volume-size x",
        "--volume-size {text!r}",
        "mirror export b.tar --volume-size 650M",
        0,
    ),
    (
        "mirror export c.tar --volume-size 0",
        "--volume-size 0:",
        "mirror export c.tar --volume-size 4G",
        0,
    ),
    (
        "mirror export d.tar --volume-size 9",
        "at least 1M",
        "mirror export d.tar --volume-size 1M",
        0,
    ),
    (
        "mirror export e.tar --since no",
        "--since {path}",
        "mirror export e.tar --since b.tar.001",
        0,
    ),
    (
        "mirror export f.tar --with-tool --tool-extra zzz",
        "--tool-extra {name}",
        "mirror export f.tar",
        0,
    ),
    ("verify --device x", "--device {device}", "verify --device cpu", 0),
    ("verify --dtype x", "--dtype {dtype}", "verify --dtype float32", 0),
    ("verify --timeout 0", "--timeout {timeout:g}", "verify --timeout 60", 0),
    ("verify --memory x", "--memory {memory}", "verify --memory 8G", 0),
    ("add --upload", "--upload needs SOURCE", "add --upload model.pt --id u1 --license MIT", 0),
    (
        "add --upload",
        "fetch add --upload model.pt",
        "add --upload model.pt --id u2 --license MIT",
        0,
    ),
    ("add hf:o/m --checkpoint x.pt", "SOURCE and --checkpoint", "add hf:o/m --id u3", 0),
    ("add --from-json big.json", "--from-json {name}: larger", "add --from-json ok.json", 0),
    ("add --from-json none.json", "--from-json {name}: {e", "add --from-json ok2.json", 0),
    (
        "adopt c.json c.json --as m/config.json",
        "--as takes exactly one",
        "adopt c.json --as m/config.json",
        0,
    ),
    (
        "adopt c.json --as x/config.json",
        "no artifact {artifact_id!r}",
        "adopt c.json --as m/config.json",
        0,
    ),
    (
        "adopt c.json --as m/confg.json",
        "--as {name}: {id!r} has no",
        "adopt c.json --as m/config.json",
        0,
    ),
    ("outdated --markdown --json", "--markdown and --json", "outdated --json", 0),
    ("gc --dry-run --forget-imports", "--forget-imports cannot", "gc --forget-imports", 0),
    ("list --visibility x", "--visibility {seen}", "list --visibility public", 0),
    ("lock --check --update m", "--update, --check, --resolve", "lock --update m", 0),
    ("lock --resolve ours m", "--resolve and --merge-driver are", "lock --resolve ours", 2),
    ("lock --update mm", "--update {name}: no such", "lock --update m", 0),
    ("prune --older-than 1d", "--older-than goes with --kept", "prune --older-than 1d --kept", 0),
    ("prune --kept p", "--kept is about the whole tree", "prune --kept", 0),
    ("recommend --vram x", "--vram {memory}", "recommend --vram 24", 0),
    ("runtime --vram x", "--vram {size}", "runtime --vram 24", 4),
    ("all --locked --update", "--locked and --update", "all --locked", 0),
    ("all --offline --update", "--update needs the network", "all --offline", 0),
    ("all --json-events no/x", "--json-events {path}", "all --json-events e.jsonl", 0),
    (
        "add hf:o/m --id u4 --manifest a/b",
        "--manifest {wanted}",
        "add hf:o/m --id u4 --manifest q",
        0,
    ),
    (
        "init --name demo",
        "--name needs --from",
        "init --name demo --from quickstart --name demo",
        0,
    ),
    ("init --from quickstart --name a/b", "--name {chosen}", "init --from quickstart --name d3", 0),
    ("import page.sh --name a/b", "--name {name}: expected letters", "import page.sh --name q2", 0),
    ("check --licenses --deep", "--licenses and {flag} exclude", "check --deep", 0),
    ("schema manifest --install", "say either which schema", "schema --install", 0),
    ("schema", "fetch schema manifest, or", "schema manifest", 0),
    ("schema", "fetch schema manifest, or", "schema --install", 0),
    (
        "verify --trust-project-code",
        "--trust-project-code is for",
        "verify m --trust-project-code",
        0,
    ),
    (
        "verify --trust-project-code",
        "fetch verify NAME --trust",
        "verify m --trust-project-code",
        0,
    ),
    ("verify --trust-project-code", "fetch verify NAME --trust", "config allow code m", 0),
    (
        "init --from quickstart --from page.sh",
        "--from {name} is a manifest",
        "init --from quickstart",
        0,
    ),
    (
        "init --from quickstart --from page.sh",
        "a file or folder of that name",
        "init --from ./quickstart --from page.sh",
        0,
    ),
    ("init --from nope", "--from {origin}: no such", "init --from page.sh", 0),
    ("init --from quickstar", "--from {origin}: no such", "init --from quickstart", 0),
    (
        "init --name demo",
        "`fetch init --from quickstart --name demo`",
        "init --from quickstart --name demo",
        0,
    ),
    ("init --from empty", "name the file that says what", "init --from page.sh", 0),
    ("add", "name a source (fetch add", "add hf:o/m --id u9 --manifest p", 0),
    ("add", "name a source (fetch add", "add --from-json ok3.json --manifest p", 0),
    ("recommend --fetch --vram 0.1", "see --dtype int8", "recommend --vram 1 --dtype int4", 0),
]


def prepared(root: Path) -> None:
    (root / "model.pt").write_bytes(b"x" * 200)
    (root / "big.json").write_bytes(b" " * (9 << 20))
    (root / "ok.json").write_text(json.dumps({"source": "hf:o/m", "id": "u6", "license": "MIT"}))
    (root / "ok2.json").write_text(json.dumps({"source": "hf:o/m", "id": "u7", "license": "MIT"}))
    (root / "ok3.json").write_text(json.dumps({"source": "hf:o/m", "id": "u8", "license": "MIT"}))
    (root / "empty").mkdir()
    (root / "quickstart").mkdir()
    (root / "quickstart/get.sh").write_text("hf download o/m --local-dir models/y\n")
    (root / "c.json").write_bytes(b'{"a": 1}\n')
    (root / "page.sh").write_text("hf download o/m --local-dir models/x\n")


@about(*(part for _, part, _, _ in WRONG))
def test_a_wrong_option(desk: Desk, project: Path) -> None:
    prepared(project)
    desk.fetch("all")
    for wrong, part, right, code in WRONG:
        desk.fetch(*wrong.split(), code=2)
        desk.instead(part, *right.split(), code=code)


@about("{command} --help")
def test_a_wrong_word_is_explained(desk: Desk) -> None:
    desk.fails("all", "--lokced")
    assert "--locked" in desk.again("{command} --help", "--help", without=["--lokced"]).out
