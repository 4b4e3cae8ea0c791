from __future__ import annotations

import json
from pathlib import Path

import pytest
from fetcher.verify.contract import fingerprints

from fetcher.errors import InvalidDocument
from fetcher.probes import golden

PRINTS = {name: fingerprints.take(name, [1.0, 2.5, n]) for n, name in enumerate(("b", "a"))}
ENTRIES = {
    ("m/x", "causal-lm", "float32"): golden.GoldenEntry("abc", PRINTS),
    ("m/x", "causal-lm", "bfloat16"): golden.GoldenEntry("abc", {"b": PRINTS["b"]}),
    ('m/"q"', "state-dict", "float32"): golden.GoldenEntry("def", {"b": PRINTS["b"]}),
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert golden.read(tmp_path) == {}
    golden.write(tmp_path, ENTRIES)
    assert golden.read(tmp_path) == ENTRIES
    text = (tmp_path / golden.NAME).read_text()
    assert json.loads(text)["schema"] == golden.SCHEMA
    assert sum('"samples"' in line for line in text.splitlines()) == 4, "one line an output"
    golden.write(tmp_path, dict(reversed(ENTRIES.items())))
    assert (tmp_path / golden.NAME).read_text() == text, "the order does not depend on the run"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "it is not JSON"),
        ("[]", "not what fetch writes"),
        ('{"schema": "fetch.golden/0", "probes": {}}', "fetch.golden/0"),
        ('{"schema": "fetch.golden/1", "probes": {"a": {"p": {"d": {}}}}}', "outputs"),
        ('{"schema": "fetch.golden/1", "probes": {"a": 3}}', "not what fetch writes"),
        ("<<<<<<< HEAD\n{}", "conflict marks"),
    ],
)
def test_a_damaged_file_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / golden.NAME).write_text(text)
    with pytest.raises(InvalidDocument) as caught:
        golden.read(tmp_path)
    (problem,) = caught.value.problems()
    assert problem.message.startswith(golden.NAME) and told in problem.message
    assert "--update-golden" in problem.hint


def test_a_newer_file_says_upgrade_and_not_remove(tmp_path: Path) -> None:
    (tmp_path / golden.NAME).write_text('{"schema": "fetch.golden/9", "new": 1}')
    with pytest.raises(InvalidDocument) as caught:
        golden.read(tmp_path)
    (problem,) = caught.value.problems()
    assert "fetch.golden/9" in problem.message
    assert "upgrade fetch" in problem.hint and "remove" not in problem.hint


def test_options_that_change_nothing_do_not_count() -> None:
    plain = golden.fingerprint_options({"type": "causal-lm", "prompt": "x"})
    same = {"prompt": "x", "type": "causal-lm", "timeout": 3, "memory": "8G", "dtype": "float16"}
    assert golden.fingerprint_options(same) == plain
    assert golden.fingerprint_options({"type": "causal-lm", "prompt": "y"}) != plain
