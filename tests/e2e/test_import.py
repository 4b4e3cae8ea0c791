"""`fetch import`: from a document to the tree that it describes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cases.world import archive
from tests.conftest import Cli
from tests.e2e.conftest import files_below
from tests.servers import ohlora
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer
from tests.servers.sharepoint import SharePointServer

PAGE = Path(__file__).parents[1] / "importers" / "pages" / "ohlora.md"


@pytest.fixture
def stand_ins(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubServer]:
    git = tmp_path_factory.mktemp("git")
    with HubServer() as hub, GitHubServer(git) as github, SharePointServer() as sharepoint:
        ohlora.build_ohlora(hub, github, sharepoint, scale="tiny")
        for name, value in ohlora.environment(hub, github, sharepoint).items():
            monkeypatch.setenv(name, value)
        yield hub


@pytest.mark.heavy
def test_a_page_gives_the_tree_that_its_hand_made_manifest_gives(
    tmp_path: Path, cli: Cli, stand_ins: HubServer
) -> None:
    shutil.copy(PAGE, tmp_path / "page.md")
    made = cli("import", "page.md", "--name", "again", "--yes", "--json")
    assert made.code == 0, made.err
    assert {row["address"] for row in made.json["results"]} <= {"ok", "unchecked"}
    result = cli("all", "again", "--include-optional", "--json")
    assert result.code == 0, result.err
    found = files_below(tmp_path)
    for name in ("fetch.lock", "page.md", "manifests/again.yaml", "layouts/again.yaml"):
        found.pop(name)
    expected = ohlora.expected_tree()
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} == set()
    names = {row["reason"] for row in made.json["summary"]["left"]}
    assert any("mtcnn_onet.pt" in text and "onet.pt is taken" in text for text in names)


def test_without_a_terminal_it_writes_and_never_over_another_file(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "get.sh").write_text("wget https://weights.example.net/a.pt -P weights\n")
    arguments = ("import", "get.sh", "--name", "net", "--offline")
    shown = cli(*arguments, "--dry-run")
    assert shown.code == 0 and "+  weights/: " in shown.out and "nothing was written" in shown.out
    assert not (tmp_path / "manifests").exists()
    written = cli(*arguments)  # stdin is no terminal: nobody is asked
    assert written.code == 0 and "written: manifests/net.yaml, layouts/net.yaml" in written.out
    manifest = tmp_path / "manifests/net.yaml"
    assert cli(*arguments, "--yes").code == 0, "the same again changes nothing"
    manifest.write_text(manifest.read_text() + "# mine\n")
    refused = cli(*arguments, "--yes")
    assert refused.code == 2 and "--name" in refused.err
    assert manifest.read_text().endswith("# mine\n")


def test_scripts_that_a_script_runs_are_read_within_the_project_alone(
    tmp_path: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("away") / "secret.sh"
    secret.write_text("wget https://elsewhere.example.org/secret.pt\n")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/one.sh").write_text('wget https://w.example.net/one.pt -P "$1/one"\n')
    (tmp_path / "scripts/loop.sh").write_text("bash scripts/loop.sh\nbash scripts/all.sh\n")
    (tmp_path / "scripts/link.sh").symlink_to(secret)
    (tmp_path / "scripts/all.sh").write_text(
        'bash scripts/one.sh "${1:-weights}"\n'
        "bash scripts/loop.sh\n"
        "bash scripts/link.sh\n"
        f"bash {secret}\n"
        "source scripts/missing.sh\n"
    )
    made = cli("import", "scripts/all.sh", "--name", "all", "--offline", "--json")
    assert made.code == 0, made.err
    assert [row["source"] for row in made.json["results"]] == ["https://w.example.net/one.pt"]
    assert "weights/one/" in (tmp_path / "layouts/all.yaml").read_text()
    assert {row["line"] for row in made.json["summary"]["left"]} == {2, 3, 4, 5}
    assert "elsewhere" not in made.out


SCRIPTS = {
    "renamed": """
mkdir -p data && cd data
curl -sO $URL/pack.tar.gz && tar -xzf pack.tar.gz && rm pack.tar.gz
mv pack from_spin
""",
    "moved up": """
mkdir -p data/pymaf && cd data/pymaf
curl -sO $URL/up.zip
unzip -q up.zip
mv up/* .
rm -rf up && rm -f up.zip
""",
    "one member": """
OUT=checkpoints/base
mkdir -p $OUT
curl -sO $URL/base_wts.tar.gz
tar -xzf base_wts.tar.gz && rm base_wts.tar.gz
mv latest_net.pth $OUT
""",
    "tidied": """
for name in pack up; do
  mkdir -p sets/$name
done
curl -s $URL/mess.zip -o sets/mess.zip
unzip -q sets/mess.zip -d sets/mess && rm sets/mess.zip
rm -rf sets/mess/__MACOSX
rm sets/mess/README.txt
curl -s $URL/pack.tar.gz | tar -xz -C sets/pack --strip-components=1
""",
    "several and kept": """
get() { curl -s "$URL/$1" -o "$2/$1"; }
mkdir -p a/b
get plain.bin a
get plain.bin a/b
cp a/plain.bin a/copied.bin
get up.zip a
(cd a && unzip -qo up.zip "up/one.txt" -d chosen)
rm a/up.zip
ln a/b/plain.bin a/linked.bin
""",
}


@pytest.fixture
def shelf() -> Iterator[FileServer]:
    with FileServer() as server:
        server.add("/plain.bin", b"\x93plain" * 50)
        for name, members in {
            "pack.tar.gz": ["pack/a.bin", "pack/deep/b.bin"],
            "base_wts.tar.gz": ["latest_net.pth"],
        }.items():
            server.add(f"/{name}", archive("tgz", name, members))
        server.add("/up.zip", archive("zip", "up.zip", ["up/one.txt", "up/deep/two.txt"]))
        mess = ["kept/x.bin", "README.txt", "__MACOSX/kept/._x.bin"]
        server.add("/mess.zip", archive("zip", "mess.zip", mess))
        yield server


@pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("bash", "curl", "unzip", "tar")),
    reason="needs bash, curl, unzip and tar",
)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_gives_the_tree_that_bash_makes_of_it(
    name: str, tmp_path: Path, cli: Cli, shelf: FileServer
) -> None:
    script = f"URL={shelf.url}\n{SCRIPTS[name]}"
    ran, read = tmp_path / "ran", tmp_path / "read"
    for folder in (ran, read):
        folder.mkdir()
        (folder / "get.sh").write_text(script)
    subprocess.run(["bash", "-eu", "get.sh"], cwd=ran, check=True, timeout=60)
    made = cli("import", "get.sh", "--name", "got", "--json", cwd=read)
    assert made.code == 0, made.err
    result = cli("all", "got", "--json", cwd=read)
    assert result.code == 0, result.out
    found = files_below(read)
    for path in ("fetch.lock", ".gitignore", "manifests/got.yaml", "layouts/got.yaml"):
        found.pop(path, None)
    assert found == files_below(ran)


LOGINS = (
    "https://me:s3cret99@w.example.net/a.pt",
    "https://w.example.net/a.pt?token=s3cret99",
    "https://w.example.net/a.pt?se=2030&sig=s3cret99",
    "https://b.s3.amazonaws.com/a.pt?X-Amz-Signature=s3cret99",
)


@pytest.mark.parametrize("address", LOGINS)
def test_an_address_with_a_login_is_neither_stored_nor_shown(
    address: str, tmp_path: Path, cli: Cli, hermetic: Path
) -> None:
    script = f'wget "{address}" -P w\ncurl -H "Authorization: Bearer s3cret99" -o x.pt https://w.example.net/x.pt\n'
    (tmp_path / "get.sh").write_text(
        script + "wget --password=s3cret99 https://w.example.net/y.pt\n"
    )
    imported = cli("import", "get.sh", "--name", "g", "--offline", "--json")
    assert imported.code == 0 and imported.json["summary"]["written"] is False
    assert len(imported.json["summary"]["left"]) == 3
    shown = cli("import", "get.sh", "--name", "g", "--offline")
    added = cli("add", address, "--id", "a", "--yes")
    got = cli("get", address, "--to", "out")
    assert (added.code, got.code) == (2, 2)
    text = "".join(r.out + r.err for r in (imported, shown, added, got))
    assert "login" in text and "s3cret99" not in text
    (tmp_path / "get.sh").unlink()
    found = [path for folder in (tmp_path, hermetic) for path in folder.rglob("*")]
    stored = [path for path in found if path.is_file()]
    assert not [path for path in stored if b"s3cret99" in path.read_bytes()]
