"""Wrong options of a probe: told with their place by what reads manifests, whatever they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify.contract.built_in_probes import BUILT_IN
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import DocumentProblem
from fetcher.probes import check_options
from fetcher.project import manifest as manifests
from fetcher.yamldoc import nodes
from tests.conftest import Cli, write_project
from tests.verify.conftest import plugin_path, plugins

RULES = {kind: probe.rules for kind, probe in BUILT_IN.items()}

__all__ = ["plugin_path", "plugins"]

Write = Callable[[str, str], Path]

# Every kind of mistake; what stands behind `#` is the column, the message and the hint.
WRONG = """\
manifest: bad
artifacts:
  typo:
    source: local:files/a
    probe: {type: causal-lm, new_token: 3}
    # 30: probe 'causal-lm' has no option 'new_token' | did you mean 'new_tokens'?
  stranger:
    source: local:files/a
    probe: {type: mtcnn, zzz: 3}
    # 26: probe 'mtcnn' has no option 'zzz' | valid ones: allow_globals, dtype, face, memory, \
onet, pnet, rnet, timeout, trust
  word:
    source: local:files/a
    probe:
      type: causal-lm
      new_tokens: ten
      # 19: probe 'causal-lm': new_tokens: expected a whole number above 0, found 'ten' |
  general:
    source: local:files/a
    probe: {type: mtcnn, memory: much}
    # 34: probe 'mtcnn': memory: expected memory such as 8G, found 'much' |
  lacking:
    source: local:files/a
    probe:
      type: class
      # 7: probe 'class': class_path is needed | add it beside `type: class`
      # 7: probe 'class': inputs or image is needed | add it beside `type: class`
  lacking-too:
    source: local:files/a
    class_path: of.the.Record
    probe: {type: class, class_path: a.B}
    # 12: probe 'class': inputs or image is needed | add it beside `type: class`
  deep:
    source: local:files/a
    probe:
      type: state-dict
      parameters: {min: 1, max: lots}
      # 33: probe 'state-dict': parameters: min and max must be whole numbers of 0 or more, \
found 'lots' |
      shapes:
        a: [1, 2]
        b: [1, wide]
        # 12: probe 'state-dict': shapes: expected a list of sizes (-1 or null: any) for 'b', \
found [1, 'wide'] |
      files: ["*.pt", 7]
      # 23: probe 'state-dict': files: expected a string or a list of strings, found 7 |
  recorded:
    source: local:files/a
    class_path: codec
    # 17: probe 'compression': class_path: expected package.module.Class or \
folder/file.py:Class, found 'codec' |
    interface: [encode, decode]
    io: {resolution: [32, 32]}
    # 22: probe 'compression': size: at least 64 pixels a side |
    probe: {type: compression}
  otherwise-wrong:
    source: local:files/a
    count: many
    # 12: found 'many', expected a whole number of at least 1 |
    probe: {type: compression, key: 3}
    # 37: probe 'compression': key: expected a string, found 3 |
"""


def told(text: str) -> list[str]:
    """The problems of a manifest as its comments say."""
    found = []
    line = 0
    for number, row in enumerate(text.splitlines(), 1):
        column, mark, rest = row.strip().removeprefix("# ").partition(": ")
        if not (row.strip().startswith("# ") and mark):
            line = number
            continue
        message, _, hint = rest.partition(" |")
        found.append(f"manifests/bad.yaml:{line}:{column}: {message} |{hint}")
    return found


@pytest.fixture
def project(tmp_path: Path, write: Write) -> Path:
    write("files/a/w.bin", "a")
    ids = re.findall(r"^  ([\w-]+):$", WRONG, re.M)
    places = "".join(f"  {name}/: {name}\n" for name in ids)
    write("manifests/bad.yaml", WRONG)
    write("layouts/bad.yaml", f"layout: bad\ntree:\n{places}")
    return tmp_path


@pytest.mark.parametrize(
    "command", ["all", "lock", "check", "plan", "status", "verify", "all --verify"]
)
def test_each_mistake_is_told_with_its_place(project: Path, cli: Cli, command: str) -> None:
    before = sorted(project.rglob("*"))
    result = cli(*command.split(), "--json")
    assert result.code == 2 and result.codes == {"invalid-document"}
    found = [f"{error['message']} | {error['hint'] or ''}" for error in result.json["errors"]]
    assert [row.rstrip() for row in found] == [row.rstrip() for row in told(WRONG)]
    assert sorted(project.rglob("*")) == before, "nothing was begun"


@pytest.fixture
def one(tmp_path: Path, write: Write) -> Callable[[str], Path]:
    """A project of two artifacts: `one` with the given probe, and `other` with a sound one."""
    import numpy
    from safetensors.numpy import save_file

    (tmp_path / "files").mkdir()
    save_file({"w": numpy.ones(3, numpy.float32)}, tmp_path / "files/w.safetensors")

    def make(probe: str) -> Path:
        write_project(
            tmp_path,
            "p",
            f"artifacts:\n  one:\n    source: local:files\n    probe: {probe}\n"
            "  other:\n    source: local:files\n    probe: {type: state-dict, parameters: 3}\n",
            "tree: {one/: one, other/: other}\n",
        )
        return tmp_path

    return make


def test_an_unknown_type_is_named_by_verify_alone(one: Callable[[str], Path], cli: Cli) -> None:
    one("{type: state-dickt, whatever: [1]}")
    for command in ("lock", "all", "check", "status"):
        assert cli(command).code == 0, command
    result = cli("verify", "--json", "--python", sys.executable)
    assert result.code == 8
    (error,) = result.json["errors"]
    assert error["artifact"] == "one"
    assert error["message"] == "manifests/p.yaml:5:19: unknown probe type 'state-dickt'"
    assert error["hint"] == "did you mean 'state-dict'?"
    states = {row["artifact"]: row["state"] for row in result.json["results"]}
    assert states == {"one": "failed", "other": "passed"}, "the others are proven all the same"


def test_a_type_of_another_package_is_asked_where_it_runs(
    one: Callable[[str], Path], cli: Cli, plugins: None
) -> None:
    one("{type: misbehave, do: nothing, extra: 1}")
    for command in ("lock", "all", "check"):
        assert cli(command).code == 0, command
    for command in ("verify", "all --verify"):
        result = cli(*command.split())
        assert result.code == 2, command
        assert "manifests/p.yaml:5:34: probe 'misbehave': do: no such thing" in result.err
    one("{type: misbehave, do: passes, timeout: soon}")
    assert "p.yaml:5:51: probe 'misbehave': timeout: expected seconds" in cli("verify").err


@pytest.mark.parametrize("kind", ["broken", "gone"])
def test_a_broken_package_fails_its_own_probe_only(
    one: Callable[[str], Path], cli: Cli, plugins: None, kind: str
) -> None:
    one(f"{{type: {kind}, do: 1}}")
    assert cli("all").code == 0
    result = cli("verify", "--json", "--python", sys.executable)
    assert result.code == 8
    (error,) = result.json["errors"]
    assert error["artifact"] == "one" and "cannot be loaded" in error["message"]


def test_sound_options_pass(one: Callable[[str], Path], cli: Cli) -> None:
    one('{type: state-dict, keys: [w], shapes: {w: [3]}, dtype: fp32, timeout: 9.5, memory: "8G"}')
    assert cli("all").code == 0 and cli("check").code == 0


def test_no_probe_is_imported_to_judge_its_options(tmp_path: Path) -> None:
    """The start of `fetch all` pays for the rules, not for what runs probes or finds packages."""
    path = tmp_path / "m.yaml"
    probes = "\n".join(
        f"  a-{kind}: {{source: 'hf:o/a', probe: {{type: {kind}, zzz: 1}}}}"
        for kind in [*RULES, "of-another-package"]
    )
    path.write_text(f"manifest: m\nartifacts:\n{probes}\n")
    code = (
        "import json, pathlib, sys\n"
        "import fetcher.commands.all_\n"
        "from fetcher.probes import check_options\n"
        "from fetcher.project import manifest\n"
        "before = set(sys.modules)\n"
        f"found, document = manifest.load(pathlib.Path({str(path)!r}), 'm')\n"
        "check_options.examine(found, document)\n"
        "print(json.dumps([len(document.problems), sorted(set(sys.modules) - before)]))\n"
    )
    environ = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True
    )
    problems, modules = json.loads(done.stdout)
    assert problems >= len(RULES)
    allowed = {"built_in_probes", "options", "inputs", "dtypes", "class_names", "probe_errors"}
    ours = {n.split(".", 3)[3] for n in modules if n.startswith("fetcher.verify.contract.")}
    assert ours <= allowed, ours - allowed
    heavy = {"importlib.metadata", "zipfile", "pickletools", "torch", "numpy"}
    assert not heavy & set(modules)


# Whatever is written there

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        (
            *("", "8G", "9" * 400 + "G", "a.B", "a/b.py:C", "{prompt}", "en", "float16", "../x"),
            *("\\x", "f" * 64, "os.system", "argparse.Namespace", "project", "/abs", "8bit"),
        )
    ),
)
KEYS = st.one_of(
    st.sampled_from(["min", "max", "shape", "range", "dtype", "value", "similar", "dissimilar"]),
    st.sampled_from(["first", "last", "gaps", "f" * 64]),
    st.text(max_size=6),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)
OPTIONS = sorted({option for rules in RULES.values() for option in rules})
GENERAL = ["dtype", "timeout", "memory", "trust", "allow_globals", "type"]


@st.composite
def probes(draw: st.DrawFn) -> dict[str, Any]:
    """A probe whose options are mostly known and whose values are anything."""
    kind = draw(st.sampled_from([*RULES, "of-another-package"]))
    known = [*RULES.get(kind, OPTIONS), *GENERAL]
    names = st.sampled_from(known) | st.sampled_from(OPTIONS) | st.text(max_size=8)
    return {**draw(st.dictionaries(names, VALUES, max_size=5)), "type": kind}


def examined(text: str) -> tuple[manifests.Manifest | None, list[DocumentProblem]]:
    document = nodes.parse(text.encode("utf-8", "surrogatepass"), "m.yaml")
    found = manifests.decode(document)
    if found is not None:
        check_options.examine_all(found, document)
    return found, document.problems


@given(probe=probes(), record=st.dictionaries(st.sampled_from(["class_path"]), st.just("a.B")))
def test_no_probe_crashes_what_reads_it(probe: dict[str, Any], record: dict[str, str]) -> None:
    artifact = {"source": "hf:o/a", "probe": probe, **record}
    text = json.dumps({"manifest": "m", "artifacts": {"a": artifact}})
    found, problems = examined(text)
    for problem in problems:
        assert problem.line == 1 and 1 <= problem.column <= len(text) + 1
        assert problem.message.isprintable() or "'" in problem.message
        assert len(problem.message) < 400
    if found is not None and not problems and probe["type"] in RULES:
        from fetcher.verify import load_probe

        options = {key: value for key, value in probe.items() if key != "type"}
        assert probe["type"] == "compression" or not load_probe(probe["type"]).validate_options(
            options
        )


@given(
    wrong=st.sampled_from([(kind, option) for kind, rules in RULES.items() for option in rules]),
    value=VALUES,
)
def test_a_mistake_is_placed_in_the_line_of_its_option(wrong: tuple[str, str], value: Any) -> None:
    kind, option = wrong
    text = (
        "manifest: m\nartifacts:\n  a:\n    source: hf:o/a\n    probe:\n"
        f"      type: {kind}\n      {option}: {json.dumps(value)}\n"
    )
    _, problems = examined(text)
    for problem in problems:
        needed = problem.message.endswith(" is needed")
        assert problem.line == (6 if needed else 7), problem


@given(st.text(max_size=40))
def test_any_text_as_a_probe(text: str) -> None:
    examined(f"manifest: m\nartifacts:\n  a:\n    source: hf:o/a\n    probe: {text}\n")
