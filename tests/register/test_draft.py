"""Values from people and programs, judged by the manifest's own schema, in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.project import manifest
from fetcher.project.fields import DESCRIPTION
from fetcher.register.draft import Draft, from_json
from fetcher.register.form import BY_KEY, EXTRA, FIELDS, STEPS, form_json
from fetcher.yamldoc.edit import dump
from fetcher.yamldoc.nodes import parse


def test_the_form_has_every_field_of_a_record_in_five_steps() -> None:
    keys = {item.key for item in FIELDS}
    inner = {f"io.{name}" for name in DESCRIPTION["io"].type.fields}  # type: ignore[attr-defined]
    assert keys | {*EXTRA} >= (DESCRIPTION.keys() - {"io"}) | inner
    assert {item.step for item in FIELDS} == set(range(len(STEPS))) and len(STEPS) == 5
    assert len({item.flag for item in FIELDS}) == len(FIELDS)
    form = form_json()
    assert form["fields"][0]["key"] == "name" and form["fields"][0]["required"]
    assert all(field["schema"] is not None and field["help"] for field in form["fields"])


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("name", "no", "no"),
        ("io.resolution", "256, 256", [256, 256]),
        ("io.resolution", "[256, 256]", [256, 256]),
        ("io.input_range", "-1, 1", [-1, 1]),
        ("interface", "encode,decode", ["encode", "decode"]),
        ("tags", "one, two words", ["one", "two words"]),
        ("attributes", "codebook_size=1024, name=x", {"codebook_size": 1024, "name": "x"}),
        ("attributes", "{a: [1, 2]}", {"a": [1, 2]}),
        ("params", "default_steps=30, guidance_scale=7.5",
         {"default_steps": 30, "guidance_scale": 7.5}),
        ("max_batch_size", "16", 16),
        ("requires_auth", "true", True),
        ("files", "a.bin, '*.json'", ["a.bin", "*.json"]),
        ("citation", "A: B, C", "A: B, C"),
    ],
)  # fmt: skip
def test_what_people_type(key: str, text: str, value: Any) -> None:
    draft = Draft()
    assert draft.set_text(BY_KEY[key], text) == []
    assert draft.values[key] == value


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("io.resolution", "256", "expected a list of 2 items"),
        ("io.size", "big", "expected one of fixed, variable"),
        ("interface", "encode, decod", "did you mean 'decode'?"),
        ("max_batch_size", "many", "a whole number of at least 1"),
        ("min_vram", "eight", "memory such as 8G"),
        ("parameters", "1.3 billion", "a number such as 1.3B"),
        ("attributes", "{a: [1", "write it as in YAML"),
        ("params", "default_steps=none", "a whole number"),
        ("requires_auth", "perhaps", "true or false"),
        ("files", "../up", "'../up'"),
        ("task", "이미지", "a task such as"),
    ],
)
def test_what_is_wrong_is_said_in_words(key: str, text: str, words: str) -> None:
    draft = Draft()
    wrong = draft.set_text(BY_KEY[key], text)
    assert any(words in line for line in wrong), wrong
    assert draft.errors == {key: wrong} and key not in draft.values
    draft.set_text(BY_KEY[key], "")
    assert draft.errors == {} or BY_KEY[key].required


def test_json_is_judged_field_by_field() -> None:
    draft, places = from_json(
        {
            "name": "X",
            "io": {"resolution": [256], "resolutoin": [1, 2]},
            "metrics": "psnr",
            "nmae": "Y",
            "checkpoint": "hf:o/n",
            "visibility": None,
            "id": 5,
        }
    )
    assert places.checkpoint == "hf:o/n" and draft.values == {"name": "X", "metrics": ["psnr"]}
    assert set(draft.errors) == {"io.resolution", "io.resolutoin", "nmae", "id"}
    assert "did you mean 'name'?" in draft.errors["nmae"][0]
    assert from_json([1])[0].errors == {
        "(the file)": ["expected one JSON object with the fields by name"]
    }
    assert "source" in from_json({"source": {"type": "hugging"}})[0].errors
    assert from_json({"source": {"type": "huggingface", "repo": "o/n"}})[0].errors == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)


@given(st.dictionaries(st.sampled_from([*BY_KEY, *EXTRA, "io"]), JSON, max_size=6))
def test_whatever_is_taken_makes_a_valid_manifest(data: dict[str, Any]) -> None:
    draft, _ = from_json(data)
    draft.source = "hf:o/n"
    draft.values.setdefault("name", "X")
    text = dump({"manifest": "m", "artifacts": {"x": draft.record()}}, 3)
    document = parse(text.encode(), "m")
    assert manifest.decode(document) is not None
    assert document.problems == [], (text, document.problems)
