"""An existing project, its README and half of its weights: five commands to a green check."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.cases.world import archive
from tests.conftest import Cli
from tests.e2e.conftest import files_below
from tests.servers.gdrive import DriveServer
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

DOCS = Path(__file__).parents[2] / "docs" / "adopting.md"
ENCODER = b"\x80\x02}q\x00." + bytes(range(256)) * 40
HEAD = b"\x80\x02}q\x01." + bytes(range(255, -1, -1)) * 50
SBERT = {"config.json": b"{}\n", "model.safetensors": b"\x02\0\0\0\0\0\0\0{}" + b"w" * 9000}
DRIVE = "1HeadAbCdEfGhIjKlMnOpQrStUv"

README = """# face-chat

![build](https://img.shields.io/badge/build-passing-green)
[Paper](https://arxiv.org/abs/2401.00001)

## Models

| Model | File | Put into | Download |
|---|---|---|---|
| encoder | `encoder.pth` | `weights/vision` | [link]({files}/v1/encoder.pth) |
| head | `head.pth` | `weights/vision` | [Drive](https://drive.google.com/file/d/{drive}/view) |
| licensed | `smpl.pkl` | `weights/body` | [Baidu](https://pan.baidu.com/s/1abc) |

Embeddings:

```bash
hf download team/sbert --local-dir llm/sbert
```

## Data

Download [faces.zip]({files}/faces.zip) and unzip it into `data/faces`.
"""


@dataclass
class World:
    """A project's folder, and the servers that its README names."""

    root: Path
    files: FileServer
    hub: HubServer


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    root = tmp_path / "face-chat"
    root.mkdir()
    with FileServer() as files, HubServer() as hub, DriveServer() as drive:
        files.add("/v1/encoder.pth", ENCODER)
        files.add("/faces.zip", archive("zip", "faces.zip", ["a.png", "b/c.png"]))
        hub.add_repo("team/sbert", SBERT)
        drive.add_file(DRIVE, "epoch_9.pth", HEAD)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("FETCH_REWRITE", drive.rewrite)
        (root / "README.md").write_text(README.format(files=files.url, drive=DRIVE))
        (root / ".gitignore").write_text("*.log\n")
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        yield World(root, files, hub)


def by_hand(root: Path) -> None:
    """What somebody has downloaded before there was fetch."""
    for name, data in {
        "weights/vision/encoder.pth": ENCODER,
        "weights/vision/head.pth": HEAD,
        **{f"llm/sbert/{name}": data for name, data in SBERT.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def commands() -> list[list[str]]:
    """The commands that the page shows first."""
    block = re.findall(r"^```sh\n(.*?)^```", DOCS.read_text("utf-8"), re.M | re.S)[0]
    return [shlex.split(line)[1:] for line in block.splitlines()]


def untracked(root: Path) -> set[str]:
    """What `git add .` would take."""
    asked = ["git", "-C", str(root), "status", "--porcelain", "-uall"]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    return {line[3:] for line in told.splitlines()}


def test_five_commands_of_the_page_make_a_green_check(world: World, cli: Cli) -> None:
    by_hand(world.root)
    shown = commands()
    assert len(shown) <= 5 and shown[-1] == ["check"]
    results = [cli(*words, cwd=world.root) for words in shown]
    assert [result.code for result in results] == [0] * len(shown), [r.err for r in results]
    began, adopted = results[0].out, results[2].out
    assert "README.md:12: its only source cannot be fetched" in began and "smpl.pkl" in began
    assert "arxiv" not in began and max(map(len, began.splitlines()[:9])) <= 80
    assert "head.pth as head/head.pth" in adopted and "2 of them by place" in adopted
    files = files_below(world.root)
    assert files["weights/vision/head.pth"] == HEAD and "data/faces/b/c.png" in files
    assert untracked(world.root) == {
        *("README.md", ".gitignore", "fetch.lock", "fetch.yaml"),
        *("manifests/face-chat.yaml", "layouts/face-chat.yaml", ".github/workflows/fetch.yml"),
    }
    assert files[".gitignore"].startswith(b"*.log\n")
    workflow = yaml.safe_load(files[".github/workflows/fetch.yml"])
    runs = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert any("fetch check" in run for run in runs) or "uses" in str(workflow)
    got = [r for r in world.files.requests if r.method == "GET" and r.path.endswith("encoder.pth")]
    assert got == [], "what is there is not downloaded again"


def test_running_it_again_adds_what_is_new_and_nothing_else(world: World, cli: Cli) -> None:
    first = cli("init", "--from", "README.md", "--offline", "--json", cwd=world.root)
    assert first.code == 0 and first.json["summary"]["artifacts"] == 4
    manifest = world.root / "manifests/face-chat.yaml"
    manifest.write_text("# ours\n" + manifest.read_text().replace("  head:", "  our-head:"))
    layout = world.root / "layouts/face-chat.yaml"
    layout.write_text(layout.read_text().replace("head", "our-head"))
    before = manifest.read_text(), layout.read_text()
    again = cli("init", "--from", "README.md", "--offline", "--json", cwd=world.root)
    assert again.json["summary"]["artifacts"] == 0 and again.json["summary"]["written"] == []
    assert (manifest.read_text(), layout.read_text()) == before
    with (world.root / "README.md").open("a") as page:
        page.write(
            "\nPut [more.pth](https://w.example.net/more.pth) into `weights/vision`.\n"
            "Put [encoder.pth](https://w.example.net/other/encoder.pth) into `weights/vision`.\n"
        )
    more = cli("init", "--from", "README.md", "--offline", "--json", cwd=world.root)
    assert more.code == 0, more.err
    assert [row["id"] for row in more.json["results"]] == ["more"]
    assert manifest.read_text().startswith(before[0].rstrip("\n"))
    told = " ".join(item["reason"] for item in more.json["summary"]["left"])
    assert "weights/vision/encoder.pth" in told
    assert cli("lock", cwd=world.root).code != 2, "manifest and layout are valid"


def test_documents_of_a_folder_are_one(world: World, cli: Cli) -> None:
    for name, text in {
        "scripts/download_models.sh": (
            f"wget {world.files.url}/v1/encoder.pth -P ckpt\n"
            "touch ran; curl -o x.sh https://w.example.net/x.sh && bash x.sh\n"
        ),
        "docs/INSTALL.rst": "Get\n---\n\nPut `v <https://w.example.net/voc.pt>`_ into ``v/``.\n",
        "docs/broken.ipynb": "{",
        "models.txt": "https://w.example.net/list.pt extra/list.pt\nhf:team/tiny extra/tiny\n",
        "node_modules/x/README.md": "Put [x](https://w.example.net/no.pt) into `no/`.\n",
        "README_zh.md": "[x](https://w.example.net/no.pt) 放到 `no/`。\n",
    }.items():
        (world.root / name).parent.mkdir(parents=True, exist_ok=True)
        (world.root / name).write_text(text)
    made = cli("init", "--from", ".", "--offline", "--json", cwd=world.root)
    assert made.code == 0, made.err
    summary = made.json["summary"]
    names = ["scripts/download_models.sh", "models.txt", "README.md", "docs/INSTALL.rst"]
    assert summary["documents"] == names
    layout = (world.root / "layouts/face-chat.yaml").read_text()
    assert "ckpt/" in layout and "weights/vision/: encoder" not in layout
    assert "v/" in layout and "extra/list.pt" in layout and "extra/tiny/" in layout
    assert "no/" not in layout and not (world.root / "ran").exists()
    places = {(item["document"], item["line"]) for item in summary["left"]}
    assert ("README.md", 10) in places, "the README puts it elsewhere than the script"
    assert ("README.md", 12) in places


def test_half_a_download_is_not_adopted(world: World, cli: Cli) -> None:
    by_hand(world.root)
    encoder = world.root / "weights/vision/encoder.pth"
    encoder.write_bytes(ENCODER[:5000])
    assert cli("init", "--from", ".", cwd=world.root).code == 0
    assert cli("lock", cwd=world.root).code == 0
    result = cli("adopt", ".", "--first-trust", "--json", cwd=world.root)
    left = {item["file"]: item["reason"] for item in result.json["summary"]["left"]}
    assert list(left) == ["weights/vision/encoder.pth"] and "its source says" in left.popitem()[1]
    plain = cli("adopt", "weights", "--json", cwd=world.root)
    assert plain.json["summary"]["in_place_files"] == 0
    wrong = cli("all", cwd=world.root)
    assert wrong.code == 4 and encoder.read_bytes() == ENCODER[:5000]


def test_a_page_of_the_web(world: World, cli: Cli) -> None:
    page = (
        "<!doctype html><html><head><title>x</title><script>fetch('/no')</script></head><body>"
        "<h2>Weights</h2>\n<p>Download <a href='v1/encoder.pth'>the encoder</a> into "
        "<code>nets/</code>.</p>\n<pre><code class='language-bash'>hf download team/sbert "
        "--local-dir llm/sbert\n</code></pre></body></html>"
    )
    address = world.files.add("/page", page.encode(), content_type="text/html; charset=utf-8")
    made = cli("init", "--from", address, "--json", cwd=world.root)
    assert made.code == 0, made.err
    layout = (world.root / "layouts/face-chat.yaml").read_text()
    assert "nets/" in layout and "llm/sbert/" in layout
    assert {row["address"] for row in made.json["results"]} == {"ok"}
    missing = cli("init", "--from", f"{world.files.url}/none", cwd=world.root)
    assert missing.code == 3 and "HTTP 404" in missing.err


def test_what_cannot_be_read_is_said(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.xyz").write_text("hello\n")
    (tmp_path / ".gitlab-ci.yml").write_text("mine: {}\n")
    for words, told in {
        ("--from", "empty"): "no README, download script or list is in empty",
        ("--from", "READ.md"): "no such file, folder or manifest",
        ("--from", "note.xyz"): "this kind of file is not known",
        ("--from", "quickstart", "--from", "empty"): "it goes alone",
        ("--name", "x"): "--name needs --from",
    }.items():
        result = cli("init", *words, cwd=tmp_path)
        assert result.code == 2 and told in result.err, result.err
    assert not (tmp_path / "fetch.yaml").exists()
    own = cli("init", "--ci", "gitlab", cwd=tmp_path)
    assert own.code == 0 and "is left as it is" in own.out
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "mine: {}\n"


def notebook(*cells: tuple[str, str]) -> str:
    """A notebook of (kind, source) cells."""
    return json.dumps({"cells": [{"cell_type": kind, "source": text} for kind, text in cells]})


# What a document must never bring: a path out of the tree, one of git's, one with odd characters.
HOSTILE = {
    "paths.md": (
        "## Weights\n\n| File | Folder | Link |\n|---|---|---|\n"
        "| a.pt | ../../out | [x](https://w.example.net/a.pt) |\n"
        "| b.pt | /etc | [x](https://w.example.net/b.pt) |\n"
        "| `config` | .git | [x](https://w.example.net/c.pt) |\n"
        "\nPut [d](https://w.example.net/d.pt) → `../d.pt`\n"
        "Save [e](https://w.example.net/e.pt) as `.git/hooks/pre-commit.sh`\n"
        "Save [f](https://w.example.net/f.pt) as `a\u202e/f.pt`\n"
    ),
    "list.txt": "https://w.example.net/a.pt ../a.pt\nhttps://w.example.net/b.pt /b.pt\n"
    "https://w.example.net/c.pt\n out=../../c.pt\n dir=..\nhttps://w.example.net/d\x07.pt d/\n",
    "code.ipynb": notebook(
        ("code", "!touch ran; echo x > ran\n%cd ../..\n!wget https://w.example.net/a.pt\n"),
        ("code", "open('ran','w').write('x')\n__import__('os').system('touch ran')\n"),
        ("markdown", "x" * 1000),
    ),
    "wide.rst": "+" + "-+" * 3000 + "\n" + "|x" * 3000 + "|\n" + "=" * 5000 + "\n" + "`a" * 5000,
    "deep.html": "<html>" + "<div><table><tr><td>" * 3000 + "<pre>" * 500,
    "long.md": "## Models\n\n| File | Folder | Link |\n|---|---|---|\n"
    + "".join(f"| {i}.pt | w | [x](https://w.example.net/{i}.pt) |\n" for i in range(3000)),
    "slow.md": "## Weights\n\n"
    + "save it " * 4000
    + "\n\n"
    + "-> `" * 8000
    + "\n\n"
    + "a/" * 20000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_harms_nothing(name: str, tmp_path: Path, cli: Cli) -> None:
    root = tmp_path / "deep" / "inside" / "project"
    root.mkdir(parents=True)
    (root / name).write_text(HOSTILE[name], "utf-8")
    started = time.monotonic()
    made = cli("init", "--from", name, "--name", "p", "--offline", "--json", cwd=root)
    assert time.monotonic() - started < 60
    assert made.code == 0, made.err
    assert not list(tmp_path.rglob("ran"))
    inside = {"fetch.yaml", "manifests/p.yaml", "layouts/p.yaml", name}
    assert set(files_below(root)) <= inside and set(files_below(tmp_path)) == {
        f"deep/inside/project/{path}" for path in files_below(root)
    }
    layout = root / "layouts/p.yaml"
    text = layout.read_text() if layout.exists() else ""
    text = re.sub(r"^#.*$", "", text, flags=re.M)  # where editors find the schema
    assert not re.search(r"\.\.|\.git|\u202e|\x07|^  /", text, re.M)
    if made.json["summary"]["artifacts"]:
        assert cli("plan", "p", "--offline", cwd=root).code != 2


def test_every_address_is_asked(world: World, cli: Cli) -> None:
    """What a plain server has not, or keeps for itself, is named; so is one that is silent."""
    world.files.add("/v1/closed.pt", HEAD, authorization="Basic x")
    pages = {"/v1/gone.pt": "is not there", "/v1/closed.pt": "access denied (HTTP 401)"}
    lines = [
        f"wget {world.files.url}{path} -P nets/{n}"
        for n, path in enumerate(("/v1/encoder.pth", *pages))
    ]
    (world.root / "get.sh").write_text("\n".join([*lines, "wget http://127.0.0.1:1/x.pt -P y"]))
    first = cli("init", "--from", "get.sh", cwd=world.root)
    assert first.code == 0 and "addresses: 0 of 2 answered" in first.out, first.out
    for path, why in pages.items():
        assert f"{world.files.url}{path} {why}".replace(" access", ": access") in first.out
    assert "could not be asked: no answer" in first.out
    again = cli("init", "--from", "get.sh", cwd=world.root)
    told = re.search(r"addresses: (\d+) of (\d+) answered", again.out)
    assert told and int(told[1]) <= int(told[2]), again.out
    known = cli("init", "--from", "README.md", "--from", "get.sh", cwd=world.root)
    told = re.search(r"addresses: (\d+) of (\d+) answered", known.out)
    assert told and int(told[1]) <= int(told[2]), "those that cannot be asked do not count"


def test_errors_name_their_document(world: World, cli: Cli) -> None:
    (world.root / "half.ipynb").write_text('{"cells": [')
    (world.root / "list.json").write_text("{")
    for name in ("half.ipynb", "list.json"):
        for command in (("init", "--from", name), ("import", name)):
            found = cli(*command, cwd=world.root)
            assert found.code == 2 and f"error: {name}: this is no JSON" in found.err
            assert "hint: " in found.err
    os.mkfifo(world.root / "pipe.md")
    for wrong, told in {"pipe.md": "pipe.md cannot be read: it is a FIFO", "": "--from ''"}.items():
        found = cli("init", "--from", wrong, cwd=world.root)
        assert found.code == 2 and told in found.err and "hint: " in found.err
    missing = cli("init", "--from", f"{world.files.url}/none", cwd=world.root)
    assert "hint: open it in a browser" in missing.err and "manifest" not in missing.err


def test_another_folder_is_named_as_it_is(world: World, cli: Cli, tmp_path: Path) -> None:
    """`..` is taken out: what lies beside a repository is not in it."""
    found = cli("init", "../beside me", cwd=world.root)
    assert found.code == 0 and f"{tmp_path}/beside me: wrote fetch.yaml" in found.out
    assert "first: cd '../beside me'\nnext: fetch add" in found.out
    assert "git" not in found.out, "it is in no repository"
    inside = cli("init", "sub/../own", cwd=world.root)
    assert "commit to git" in inside.out and "first: cd own\n" in inside.out
    assert not (world.root / "sub").exists()


def test_what_follows_counts_all_that_is_downloaded(world: World, cli: Cli) -> None:
    """One is adopted, `fetch all` brings the others as well, and the plan says the same."""
    (world.root / "weights/vision").mkdir(parents=True)
    (world.root / "weights/vision/encoder.pth").write_bytes(ENCODER)
    for words in (("init", "--from", "README.md"), ("lock",)):
        assert cli(*words, cwd=world.root).code == 0
    adopted = cli("adopt", ".", cwd=world.root)
    told = re.search(r"downloads (\d+) files? more, ([\d.]+ \w+)", adopted.out)
    planned = cli("plan", cwd=world.root)
    plan = re.search(r"(\d+) files to download, ([\d.]+ \w+); needs ([\d.]+ \w+)", planned.out)
    assert told and plan and told.groups() == plan.groups()[:2], (adopted.out, planned.out)
    assert plan[3] == plan[2], "a size that a server says counts here, if only as a hint"
