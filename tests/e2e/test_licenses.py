"""`fetch check --licenses`: what is stated where, the policy of fetch.yaml, and reports for CI."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fetcher.project import lockfile
from tests.conftest import Cli, write_project
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer

CARD = b"---\nlicense: cc-by-nc-4.0\n---\n# A model\n"
FOUR = """artifacts:
  m: {source: "hf:o/m", license: MIT}
  carded: {source: "hf:o/carded", optional: true}
  none: {source: "hf:o/none"}
  llama: {source: "hf:o/llama", license: llama3}
"""
TREE = "tree:\n  m/: m\n  c/: carded\n  n/: none\n  l/: llama\n"


@pytest.fixture
def four(project: Path, hub: HubServer) -> Path:
    """Four artifacts, of which two state a licence; nothing is locked."""
    told = {"cardData": {"license": ["apache-2.0"]}, "tags": ["license:apache-2.0"]}
    hub.add_repo("o/carded", {"README.md": CARD, "a.bin": b"a"})
    hub.add_repo("o/none", {"b.bin": b"b"})
    hub.add_repo("o/llama", {"c.bin": b"c"}, info={"cardData": {"license": "llama3"}})
    hub.add_repo("o/told", {"d.bin": b"d"}, info=told)
    write_project(project, "p", FOUR, TREE)
    return project


def policy(project: Path, text: str) -> None:
    (project / "fetch.yaml").write_text("licenses:\n" + text, "utf-8")


def rows(cli: Cli, *more: str) -> dict[str, dict[str, object]]:
    return {
        row["artifact"]: row for row in cli("check", "--licenses", *more, "--json").json["results"]
    }


def test_each_licence_with_its_origin(four: Path, cli: Cli, hub: HubServer) -> None:
    found = rows(cli)
    assert {name: (row["license"], row["verdict"]) for name, row in found.items()} == {
        "m": ("MIT", "stated"),
        "carded": ("CC-BY-NC-4.0", "stated"),  # optional: who wants may fetch it
        "none": (None, "unknown"),
        "llama": ("Llama-3", "stated"),
    }
    places = {name: [s["origin"] for s in row["statements"]] for name, row in found.items()}  # type: ignore[attr-defined]
    assert places["m"] == ["manifest"] and places["carded"] == ["huggingface"]
    assert places["llama"] == ["manifest", "huggingface"]
    assert cli("check", "--licenses").code == 0
    assert not (four / "fetch.lock").exists()


def test_offline_the_lock_and_the_card_tell(four: Path, cli: Cli, hub: HubServer) -> None:
    assert cli("all", "--include-optional").code == 0
    assert lockfile.read(four).artifacts["p", "llama"].license == "llama3"
    before = len(hub.requests)
    found = rows(cli, "--offline")
    assert len(hub.requests) == before
    origins = {name: [s["origin"] for s in row["statements"]] for name, row in found.items()}  # type: ignore[attr-defined]
    assert origins == {
        "m": ["manifest"],
        "carded": ["card"],
        "none": [],
        "llama": ["manifest", "lock"],
    }
    text = (four / "fetch.lock").read_text("utf-8")
    assert lockfile.dumps(lockfile.loads(text)) == text == lockfile.dumps(lockfile.read(four))


def test_a_policy(four: Path, cli: Cli) -> None:
    policy(four, "  allow: [MIT, llama*]\n  deny: CC-BY-NC-*\n  unknown: fail\n")
    result = cli("check", "--licenses")
    assert result.code == 4
    assert (
        "carded: licence CC-BY-NC-4.0 (huggingface: o/carded@main) is denied by 'CC-BY-NC-*'"
        in result.err
    )
    assert "none: no licence is known" in result.err and "llama:" not in result.err
    policy(four, "  allow: [MIT]\n")
    found = rows(cli)
    assert found["llama"]["verdict"] == found["carded"]["verdict"] == "not-allowed"
    assert found["none"]["verdict"] == "unknown"  # told of, and not wrong
    assert cli("check", "--licenses", "--only", "m", "--only", "none").code == 0


def test_exceptions_have_reasons_and_are_about_something(four: Path, cli: Cli) -> None:
    excepted = "  exceptions:\n    - {artifact: carded, license: cc-by-nc-4.0, reason: bought}\n"
    policy(four, "  deny: CC-BY-NC-*\n" + excepted)
    result = cli("check", "--licenses")
    assert result.code == 0 and "note: carded: bought" in result.out
    policy(four, "  deny: CC-BY-NC-*\n" + excepted.replace("cc-by-nc-4.0", "MIT"))
    assert cli("check", "--licenses").code == 4
    policy(four, "  deny: CC-BY-NC-*\n" + excepted.replace("carded", "cardde"))
    result = cli("check", "--licenses")
    assert result.code == 2 and "fetch.yaml:4:7: there is no artifact 'cardde' here" in result.err
    assert "did you mean 'carded'?" in result.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  dney: MIT\n", "fetch.yaml:2:3: licenses has no key 'dney'"),
        ("  allow: [MIT OR GPL-2.0]\n", "fetch.yaml:2:11: 'MIT OR GPL-2.0' is an expression"),
        ("  unknown: maybe\n", "fetch.yaml:2:12: found 'maybe', expected one of warn, fail"),
        ("  exceptions:\n    - {artifact: m}\n", "fetch.yaml:3:7: an exception needs the key"),
        ("  - MIT\n", "fetch.yaml:2:3: found a list, expected a mapping with allow"),
    ],
)  # fmt: skip
def test_mistakes_have_their_place(four: Path, cli: Cli, text: str, told: str) -> None:
    policy(four, text)
    for command in (["check", "--licenses"], ["status"]):
        result = cli(*command)
        assert result.code == 2 and told in result.err, result.err


def test_manifest_and_upstream_contradict(four: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_commit("o/m", {"README.md": CARD})
    result = cli("check", "--licenses")
    assert result.code == 4
    assert "m: the manifest says MIT (manifests/p.yaml:3), upstream says CC-BY-NC-4.0" in result.err
    policy(four, "  exceptions: [{artifact: p/m, reason: their word by mail}]\n")
    assert cli("check", "--licenses").code == 0
    # An exception for what one side says is none for the other's.
    policy(four, "  exceptions: [{artifact: p/m, license: MIT, reason: x}]\n")
    assert cli("check", "--licenses").code == 4


def test_reports_for_ci(four: Path, cli: Cli) -> None:
    policy(four, "  deny: [CC-BY-NC-*]\n")
    result = cli("check", "--licenses", "--junit", "out/j.xml", "--sarif", "out/s.sarif")
    assert result.code == 4
    suites = ET.fromstring((four / "out/j.xml").read_text("utf-8"))
    kinds = {
        case.get("classname"): [child.tag for child in case] for case in suites.iter("testcase")
    }
    assert kinds == {"p/m": [], "p/carded": ["failure"], "p/none": ["skipped"], "p/llama": []}
    run = json.loads((four / "out/s.sarif").read_text("utf-8"))["runs"][0]
    assert {
        (r["ruleId"], r["level"], r["message"]["text"].partition(":")[0]) for r in run["results"]
    } == {
        ("license", "error", "carded"),
        ("license-unknown", "warning", "none"),
    }
    assert {r["id"] for r in run["tool"]["driver"]["rules"]} >= {"license", "license-unknown"}
    assert all("manifests/p.yaml" in json.dumps(r["locations"]) for r in run["results"])


def test_other_flags_do_not_fit(four: Path, cli: Cli) -> None:
    result = cli("check", "--licenses", "--deep")
    assert result.code == 2 and "--licenses and --deep exclude each other" in result.err


def test_github_says_it_of_the_locked_commit(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GitHubServer(tmp_path / "git") as server:
        server.add_repo("o/r", {"w.pt": b"w"})
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        write_project(
            tmp_path,
            "p",
            'artifacts:\n  g: {source: "github:o/r", license: MIT}\n',
            "tree: {g/: g}\n",
        )
        assert cli("lock").code == 0
        commit = lockfile.read(tmp_path).artifacts["p", "g"].revision
        hosted = server.repos["o/r"]
        hosted.licenses[commit] = "MIT"
        assert cli("check", "--licenses").code == 0
        hosted.licenses[commit] = "GPL-3.0"
        result = cli("check", "--licenses")
        assert result.code == 4 and f"upstream says GPL-3.0 (github: o/r@{commit})" in result.err
        hosted.licenses.clear()
        assert cli("check", "--licenses").code == 0
