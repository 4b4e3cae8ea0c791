"""fetch.golden.json from the command line: what is compared, what vanishes, what is replaced."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from fetcher.verify.contract import fingerprints

from tests.conftest import Cli, write_project
from tests.verify.conftest import plugin_path, plugins

__all__ = ["plugin_path", "plugins"]

_SOURCE = random.Random(5)
VALUES = [_SOURCE.gauss(0, 1) for _ in range(400)]
FACTS = {"tokens": [3, 1, 4], "template": "<s>hello</s>"}


def write(folder: Path, apart: float = 0.0, dtype: str = "float32", **facts: object) -> None:
    """An artifact that answers `VALUES`, each moved by `apart` of their spread."""
    source = random.Random(7)
    values = [value + apart * source.gauss(0, 1) for value in VALUES]
    found = {"dtype": dtype, "values": {"logits": values}, "facts": {**FACTS, **facts}}
    (folder / "m/one/w.json").write_text(json.dumps(found))


def declare(folder: Path, name: str = "one", probe: str = "{type: misbehave, do: answers}") -> None:
    given = f"    probe: {probe}\n" if probe else ""
    write_project(
        folder,
        "p",
        f"artifacts:\n  {name}:\n    source: local:files/one\n    files: [w.json]\n{given}",
        f"writable: [m/]\ntree:\n  m/one/: {name}\n",
    )


@pytest.fixture
def project(tmp_path: Path, cli: Cli, plugins: None) -> Path:
    """One artifact whose answers are stored."""
    (tmp_path / "files/one").mkdir(parents=True)
    (tmp_path / "files/one/w.json").write_text("{}")
    declare(tmp_path)
    assert cli("all").code == 0
    write(tmp_path)
    stored = cli("verify", "--update-golden")
    assert stored.code == 0 and "stored one" in stored.out
    assert word(cli) == "same"
    return tmp_path


def word(cli: Cli, *flags: str, code: int = 0) -> str:
    result = cli("verify", *flags, "--json")
    assert result.code == code, result.err
    return str(result.json["results"][0]["golden"])


@pytest.mark.parametrize(
    ("dtype", "apart", "same"),
    [
        ("float32", 0.001, True),
        ("float32", 0.01, False),
        ("float16", 0.004, True),
        ("float16", 0.03, False),
        ("bfloat16", 0.015, True),
        ("bfloat16", 0.06, False),
        ("int8", 0.1, True),
        ("int8", 1.0, False),
    ],
)
def test_another_number_type_is_compared_by_the_coarser_tolerance(
    project: Path, cli: Cli, dtype: str, apart: float, same: bool
) -> None:
    write(project, apart, dtype)
    assert word(cli, code=0 if same else 8) == ("same" if same else "differs")


def test_the_flag_for_the_number_type_does_not_hide_other_weights(project: Path, cli: Cli) -> None:
    assert word(cli, "--dtype", "bfloat16") == "same"
    write(project, 1.0)
    assert word(cli, "--dtype", "bfloat16", code=8) == "differs"


@pytest.mark.parametrize(
    "probe",
    [
        "{type: misbehave, do: answers, values: [1.0]}",
        "{type: state-dict}",
        "{type: none, reason: it is fine}",
        "",
    ],
)
def test_what_is_stored_for_something_else_fails(project: Path, cli: Cli, probe: str) -> None:
    declare(project, probe=probe)
    result = cli("verify", "one", "--json")
    assert result.code == 8 and result.json["results"][0]["golden"] == "stale"
    (error,) = result.json["errors"]
    assert "fetch.golden.json" in error["message"]
    if "answers" in probe:
        assert "fetch verify one --update-golden" in error["hint"]
        assert cli("verify", "one", "--update-golden", "--yes").code == 0
        assert word(cli) == "same"


def test_a_renamed_artifact_has_nothing_stored_and_it_is_told(project: Path, cli: Cli) -> None:
    declare(project, name="uno")
    assert cli("all").code == 0
    result = cli("verify")
    assert result.code == 0 and "warning fetch.golden.json: p/one is stored" in result.out
    required = cli("verify", "--require-golden", "--json")
    assert required.code == 8 and required.json["results"][0]["golden"] == "none"
    assert "fetch verify uno --update-golden" in required.json["errors"][0]["hint"]
    assert cli("verify", "uno", "--update-golden").code == 0
    assert cli("verify", "--require-golden").code == 0


@pytest.mark.parametrize("changed", [{"tokens": [3, 1, 5]}, {"template": "<s>hello"}])
def test_what_is_read_is_compared_exactly(
    project: Path, cli: Cli, changed: dict[str, object]
) -> None:
    write(project, 0.0, "bfloat16", **changed)
    result = cli("verify", "--json")
    (error,) = result.json["errors"]
    assert result.code == 8 and f"{next(iter(changed))} as before" in error["message"]


def test_nothing_is_replaced_without_a_word(project: Path, cli: Cli) -> None:
    before = (project / "fetch.golden.json").read_text()
    write(project, 0.4, template="<s>bye</s>")
    refused = cli("verify", "--update-golden", "--json")
    assert refused.code == 8 and refused.json["results"][0]["golden"] == "kept"
    assert "replaces one: logits: the values differ by 0." in refused.err
    assert "replaces one: template: it is '<s>bye</s>', it was '<s>hello</s>'" in refused.err
    assert (project / "fetch.golden.json").read_text() == before
    assert "fetch verify one --update-golden --yes" in refused.json["errors"][0]["hint"]
    agreed = cli("verify", "--update-golden", "--yes")
    assert agreed.code == 0 and "replaces one: logits" in agreed.err
    assert word(cli) == "same"


def test_an_update_that_changes_nothing_writes_nothing(project: Path, cli: Cli) -> None:
    before = (project / "fetch.golden.json").read_text()
    write(project, 0.001)
    assert cli("verify", "--update-golden", "--json").json["results"][0]["golden"] == "same"
    assert (project / "fetch.golden.json").read_text() == before
    write(project, 0.004, "float16")
    assert cli("verify", "--update-golden", "--json").json["results"][0]["golden"] == "stored"
    dtypes = json.loads((project / "fetch.golden.json").read_text())["probes"]["p/one"]["misbehave"]
    assert set(dtypes) == {"float32", "float16"}


def test_a_replacement_leaves_no_old_answers_of_other_types(project: Path, cli: Cli) -> None:
    write(project, 0.002, "bfloat16")
    assert cli("verify", "--update-golden").code == 0
    write(project, 2.0, "bfloat16")
    assert cli("verify", "--update-golden", "--yes").code == 0
    write(project, 0.0, "float32")
    assert word(cli, code=8) == "differs"


def test_the_first_format_is_still_compared(project: Path, cli: Cli) -> None:
    path = project / "fetch.golden.json"
    plain = json.loads(path.read_text())
    entry = plain["probes"]["p/one"]["misbehave"]["float32"]
    del entry["facts"], entry["outputs"]["logits"]["sketch"]
    plain["schema"] = "fetch.golden/1"
    path.write_text(json.dumps(plain))
    result = cli("verify")
    assert result.code == 0 and "not stored yet, so not compared: tokens, template" in result.out
    assert cli("verify", "--update-golden").code == 0
    assert json.loads(path.read_text())["schema"] == "fetch.golden/2"
    write(project, 1.0)
    assert word(cli, code=8) == "differs"


@pytest.mark.parametrize("kind", ["swapped", "one changed", "shifted", "reversed halves"])
def test_what_moves_between_the_samples_is_seen(kind: str) -> None:
    """Thirty-two samples of 4,000 values see none of these."""
    source = random.Random(3)
    values = [source.gauss(0, 1) for _ in range(4000)]
    sampled = {(2 * n + 1) * 4000 // 64 for n in range(32)}
    free = [n for n in range(4000) if n not in sampled]
    other = list(values)
    if kind == "swapped":
        for n in range(0, 400, 2):
            a, b = free[n], free[n + 1]
            other[a], other[b] = other[b], other[a]
    elif kind == "one changed":
        other[free[9]] += 40
        other[free[10]] -= 40
    elif kind == "shifted":
        for a, b in zip(free, [*free[1:], free[0]], strict=True):
            other[a] = values[b]
    else:
        for a, b in zip(free, reversed(free), strict=True):
            other[a] = values[b]
    then, now = fingerprints.take("x", values), fingerprints.take("x", other)
    assert then.samples == now.samples
    assert fingerprints.difference(then, now, "float32")


def test_artifacts_without_a_probe_are_counted(project: Path, cli: Cli) -> None:
    (project / "fetch.golden.json").unlink()
    text = (project / "manifests/p.yaml").read_text()
    more = "  plain:\n    source: local:files/one\n    files: [w.json]\n"
    settled = f"{more.replace('plain', 'config')}    probe: {{type: none, reason: a setting}}\n"
    (project / "manifests/p.yaml").write_text(text + more + settled)
    layout = (project / "layouts/p.yaml").read_text()
    (project / "layouts/p.yaml").write_text(layout + "  m/plain/: plain\n  m/config/: config\n")
    assert cli("all").code == 0
    write(project)
    result = cli("verify")
    assert result.code == 0
    assert "1 passed, 0 failed, 1 skipped, 1 without a probe" in result.out
    assert "without a probe, so nothing was proven: plain" in result.out
    summary = cli("verify", "--json").json["summary"]
    assert (summary["probes"], summary["without_probe"]) == (2, 1)
    required = cli("verify", "--require-all", "--json")
    assert required.code == 8
    assert [error["artifact"] for error in required.json["errors"]] == ["plain"]


def test_of_two_artifacts_of_one_id_the_other_is_stored(project: Path, cli: Cli) -> None:
    (project / "files/two").mkdir()
    (project / "files/two/w.json").write_text("{}")
    write_project(
        project,
        "q",
        "artifacts:\n  one:\n    source: local:files/two\n    files: [w.json]\n"
        "    probe: {type: misbehave, do: answers}\n",
        "writable: [n/]\ntree:\n  n/one/: one\n",
    )
    assert cli("all").code == 0
    write(project, 0.4)
    (project / "n/one/w.json").write_text((project / "m/one/w.json").read_text())
    before = json.loads((project / "fetch.golden.json").read_text())["probes"]
    result = cli("verify", "--update-golden", "--json")
    assert [one["golden"] for one in result.json["results"]] == ["kept", "stored"]
    after = json.loads((project / "fetch.golden.json").read_text())["probes"]
    assert after["p/one"] == before["p/one"] and "q/one" in after
