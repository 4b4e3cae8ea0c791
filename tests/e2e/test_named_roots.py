"""Libraries' folders: allowed by name once, filled by the source's word, never overwritten."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.config.named_roots import ROOTS
from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

WEIGHTS = os.urandom(40_000)
OTHER = os.urandom(40_000)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch keeps its checkpoints, for the person who runs this test."""
    folder = tmp_path_factory.mktemp("torch")
    monkeypatch.setenv("TORCH_HOME", str(folder))
    return folder / "hub"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer({"/r50.bin": WEIGHTS, "/mirror/r50.bin": OTHER}) as found:
        yield found


def declare(root: Path, server: FileServer, more: str = "", tree: str = "tree: {}\n") -> None:
    write_project(
        root,
        "p",
        f"artifacts:\n  net:\n    source: {server.url}/r50.bin\n{more}",
        f"{tree}torch_hub:\n  checkpoints/: net\n",
    )


def test_a_layout_fills_a_library_s_folder_once_it_is_allowed(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer
) -> None:
    declare(tmp_path, server)
    refused = cli("all")
    assert refused.code == 4 and "fetch config allow roots torch_hub" in refused.err
    assert not library.exists()
    assert cli("plan").code == 4
    assert cli("config", "allow", "roots", "torch_hub").code == 0
    assert f"torch_hub ({library})" in cli("config", "allow").out
    assert cli("all").code == 0
    placed = library / "checkpoints/r50.bin"
    assert placed.read_bytes() == WEIGHTS
    before = len(server.requests)
    again = cli("all", "--json")
    assert again.code == 0 and again.json["summary"]["downloaded_bytes"] == 0
    assert len(server.requests) == before
    shown = cli("tree").out
    assert f"torch_hub ({library}):" in shown and "+ r50.bin  (net)" in shown
    assert "complete" in cli("status").out
    assert cli("check", "--deep").code == 0 and cli("check", "--strict").code == 0
    assert cli("gc").code == 0 and placed.read_bytes() == WEIGHTS
    assert cli("config", "deny", "roots", "torch_hub").code == 0
    assert cli("all").code == 4 and placed.read_bytes() == WEIGHTS


def test_a_missing_file_is_missing_and_comes_back(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    declare(tmp_path, server)
    assert cli("all").code == 0
    (library / "checkpoints/r50.bin").unlink()
    assert cli("check").code == 4
    before = len(server.requests)
    assert cli("all", "--offline").code == 0, "an earlier run heard it from the source"
    assert len(server.requests) == before
    assert (library / "checkpoints/r50.bin").read_bytes() == WEIGHTS


def test_what_is_there_is_never_overwritten(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    declare(tmp_path, server)
    placed = library / "checkpoints/r50.bin"
    placed.parent.mkdir(parents=True)
    placed.write_bytes(OTHER)
    for flags in ([], ["--overwrite"]):
        result = cli("all", *flags)
        assert result.code == 4 and "shared with other projects" in result.err, result.err
        assert placed.read_bytes() == OTHER
    assert not (library / ".fetch").exists()
    # An earlier lock's file is somebody else's by now.
    placed.unlink()
    assert cli("all").code == 0
    server.add("/r50.bin", OTHER)
    assert cli("all", "--update").code == 4 and placed.read_bytes() == WEIGHTS


def test_the_right_bytes_that_are_there_are_taken_as_they_are(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    declare(tmp_path, server, f"    files: {{r50.bin: {{sha256: {digest(WEIGHTS)}}}}}\n")
    placed = library / "checkpoints/r50.bin"
    placed.parent.mkdir(parents=True)
    placed.write_bytes(WEIGHTS)
    result = cli("all", "--json")
    assert result.code == 0 and result.json["summary"]["downloaded_bytes"] == 0


def test_members_of_an_archive_go_there_by_their_source_s_word(
    cli: Cli, tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("top/a.bin", WEIGHTS)
        packed.writestr("top/b.bin", OTHER)
    with FileServer({"/x.zip": stream.getvalue()}) as server:
        write_project(
            tmp_path,
            "p",
            f"artifacts:\n  net: {{source: '{server.url}/x.zip', unpack: {{strip: 1}}}}\n",
            "tree:\n  here/: net\ntorch_hub:\n  checkpoints/: net\n",
        )
        result = cli("all", "--json")
        assert result.code == 0, result.err
        assert (library / "checkpoints/a.bin").read_bytes() == WEIGHTS
        assert (tmp_path / "here/b.bin").read_bytes() == OTHER
        assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0
        # The store has the members, and a new person's runs have heard nothing of them.
        (library / "checkpoints/a.bin").unlink()
        for said in Path(os.environ["FETCH_STORE"]).glob("upstream/delivered*"):
            said.unlink()
        again = cli("all", "--json")
        assert again.code == 0 and (library / "checkpoints/a.bin").read_bytes() == WEIGHTS
        assert again.json["summary"]["downloaded_bytes"] > 0


def test_the_hub_s_listing_is_its_word(
    cli: Cli, tmp_path: Path, library: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: hf:o/m, files: [config.json, model.safetensors]}\n",
        "tree:\n  m/: m\ntorch_hub:\n  checkpoints/: m\n",
    )
    result = cli("all", "--json")
    assert result.code == 0, result.err
    assert result.json["summary"]["downloaded_bytes"] < 3_200_000, "once for both places"
    assert (library / "checkpoints/model.safetensors").is_file()
    for path in (library / "checkpoints").iterdir():
        path.unlink()
    assert cli("all", "--offline").code == 0
    assert (library / "checkpoints/config.json").is_file()


def test_a_bundle_that_the_person_names_is_its_word(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    declare(tmp_path, server)
    assert cli("all").code == 0
    assert cli("mirror", "export", "bundle").code == 0
    (library / "checkpoints/r50.bin").unlink()
    monkeypatch.setenv("FETCH_STORE", str(tmp_path / "elsewhere"))
    assert cli("all", "--offline").code == 5
    result = cli("all", "--offline", "--from", "bundle")
    assert result.code == 0, result.err
    assert (library / "checkpoints/r50.bin").read_bytes() == WEIGHTS


def test_adopt_takes_what_a_library_has_had(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer
) -> None:
    declare(
        tmp_path,
        server,
        f"    files: {{r50.bin: {{sha256: {digest(WEIGHTS)}}}}}\n",
        "tree:\n  m/: net\n",
    )
    path = tmp_path / "layouts/p.yaml"
    path.write_text(path.read_text().partition("torch_hub:")[0])
    (library / "checkpoints").mkdir(parents=True)
    (library / "checkpoints/any-name.bin").write_bytes(WEIGHTS)
    assert cli("adopt", "torch_hub").code == 0
    result = cli("all", "--json")
    assert result.code == 0 and result.json["summary"]["downloaded_bytes"] == 0
    assert (tmp_path / "m/r50.bin").read_bytes() == WEIGHTS


def test_a_plan_counts_what_must_come_anew(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree has the file already; nobody heard its source say so for the library's folder."""
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    pinned = f"    files: {{r50.bin: {{size: {len(WEIGHTS)}, sha256: {digest(WEIGHTS)}}}}}\n"
    declare(tmp_path, server, pinned, "tree:\n  m/: net\n")
    layout = tmp_path / "layouts/p.yaml"
    whole = layout.read_text()
    layout.write_text(whole.partition("torch_hub:")[0])
    assert cli("all").code == 0
    layout.write_text(whole)
    planned = cli("plan", "--json").json["summary"]
    assert planned["to_download_files"] == 1 and planned["to_download_bytes"] == len(WEIGHTS)
    done = cli("all", "--json").json["summary"]
    assert done["downloaded_bytes"] == len(WEIGHTS) and done["failed_files"] == 0
    assert cli("plan", "--json").json["summary"]["to_download_files"] == 0


def test_a_blocked_file_is_told_by_check(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer
) -> None:
    declare(tmp_path, server)
    assert cli("all").code == 4
    result = cli("check")
    assert result.code == 4 and "fetch config allow roots torch_hub" in result.err


def test_two_places_of_one_file_need_one_download(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    declare(tmp_path, server, tree="tree:\n  m/: net\n")
    result = cli("all", "--json")
    assert result.code == 0 and result.json["summary"]["downloaded_bytes"] == len(WEIGHTS)
    assert (tmp_path / "m/r50.bin").read_bytes() == WEIGHTS


def test_to_names_a_library_s_folder(
    cli: Cli, tmp_path: Path, library: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    write_project(
        tmp_path,
        "p",
        f"artifacts:\n  net:\n    source: {server.url}/r50.bin\n"
        "    to: {torch_hub: checkpoints/, tree: m/}\n",
        "tree: {}\n",
    )
    (tmp_path / "layouts/p.yaml").unlink()
    assert cli("all").code == 0
    assert (library / "checkpoints/r50.bin").is_file() and (tmp_path / "m/r50.bin").is_file()


def test_what_comes_from_this_machine_is_no_source(cli: Cli, tmp_path: Path) -> None:
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  net: {source: 'local:x'}\n",
        "tree: {}\ntorch_hub:\n  checkpoints/: net\n",
    )
    result = cli("plan")
    assert result.code == 2 and "layouts/p.yaml:4:17: 'net' comes from this machine" in result.err


def test_names_are_told_where_they_are_wrong(cli: Cli, tmp_path: Path) -> None:
    assert "did you mean 'torch_hub'?" in cli("config", "allow", "roots", "torchhub").err
    write_project(
        tmp_path, "p", "artifacts:\n  n: {source: hf:o/n}\n", "tree: {}\ntorch_hubs:\n  c/: n\n"
    )
    assert "did you mean 'torch_hub'?" in cli("plan").err


PLACES = [
    ("torch_hub", {}, "~/.cache/torch/hub"),
    ("torch_hub", {"XDG_CACHE_HOME": "/x"}, "/x/torch/hub"),
    ("torch_hub", {"XDG_CACHE_HOME": "/x", "TORCH_HOME": "/t"}, "/t/hub"),
    ("torch_hub", {"TORCH_HOME": "~/t"}, "~/t/hub"),
    ("torch_hub", {"TORCH_HOME": ""}, "~/.cache/torch/hub"),
    ("torch_home", {"TORCH_HOME": "/t"}, "/t"),
    ("insightface", {}, "~/.insightface"),
    ("clip_cache", {"XDG_CACHE_HOME": "/x"}, "~/.cache/clip"),
    ("whisper_cache", {"XDG_CACHE_HOME": "/x"}, "/x/whisper"),
    ("nltk_data", {}, "~/nltk_data"),
    ("nltk_data", {"NLTK_DATA": f"/a{os.pathsep}/b"}, "/a"),
    ("keras_cache", {"KERAS_HOME": "/k"}, "/k"),
    ("u2net", {}, "~/.u2net"),
    ("u2net", {"XDG_DATA_HOME": "/d"}, "/d/.u2net"),
    ("u2net", {"U2NET_HOME": "/u"}, "/u"),
    ("tts", {}, "~/.local/share/tts"),
    ("tts", {"TTS_HOME": "/t"}, "/t/tts"),
    ("tts", {"XDG_DATA_HOME": "/d"}, "/d/tts"),
    ("nltk_data", {"NLTK_DATA": f"{os.pathsep}/n{os.pathsep}/m"}, "/n"),
    ("gpt4all", {"XDG_CACHE_HOME": "/c"}, "~/.cache/gpt4all"),
    ("bark", {}, "~/.cache/suno/bark_v0"),
    ("bark", {"XDG_CACHE_HOME": "/c"}, "/c/suno/bark_v0"),
    ("skimage", {}, "~/.cache/scikit-image"),
    ("skimage", {"SKIMAGE_DATADIR": "/s"}, "/s"),
    ("easyocr", {}, "~/.EasyOCR"),
    ("easyocr", {"EASYOCR_MODULE_PATH": "/e", "MODULE_PATH": "/m"}, "/e"),
    ("easyocr", {"MODULE_PATH": "/m"}, "/m"),
    ("huggingface_assets", {}, "~/.cache/huggingface/assets"),
    ("huggingface_assets", {"HF_HOME": "/h"}, "/h/assets"),
    ("huggingface_assets", {"HF_HOME": "/h", "HF_ASSETS_CACHE": "/a"}, "/a"),
    ("deepface", {"DEEPFACE_HOME": "/d"}, "/d/.deepface"),
    ("modelscope_cache", {}, "~/.cache/modelscope/hub"),
]


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="paths of Linux")
@pytest.mark.parametrize(("name", "variables", "place"), PLACES)
def test_each_lies_where_its_library_looks(
    name: str, variables: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in {v for root in ROOTS.values() for v in root.variables} | {"XDG_DATA_HOME"}:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/home/person")
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert str(ROOTS[name].path()) == place.replace("~", "/home/person")


def test_the_schema_and_the_page_have_every_name() -> None:
    docs = Path(__file__).parents[2] / "docs"
    schema = json.loads((docs / "layout.schema.json").read_text("utf-8"))
    page = (docs / "manifests.md").read_text("utf-8")
    for name, root in ROOTS.items():
        assert name in schema["properties"]
        assert f"`{name}`" in page and root.default in page, name
