"""Cards as strangers write them: what is read of them, and what is not."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.project.licenses import license_of_hub
from fetcher.register.card import MAX_CARD, Card, of_data, of_text

ADAPTER = """---
license: other
license_name: gemma
license_link: https://example.org
base_model: EleutherAI/polyglot-ko-1.3b
base_model_relation: adapter
library_name: peft
pipeline_tag: text-generation
language: [ko, en]
datasets:
- o/one
- o/two
- o/one
model-index: broken
---
# A model
---
license: mit
---
"""


def test_a_models_card() -> None:
    assert of_text(ADAPTER, dataset=False) == Card(
        "Gemma",
        "text-generation",
        "peft",
        ("EleutherAI/polyglot-ko-1.3b",),
        "adapter",
        ("o/one", "o/two"),
        ("ko", "en"),
    )


def test_a_datasets_card() -> None:
    text = (
        "---\r\nlicense: [cc-by-4.0]\r\ntask_categories: [translation]\r\nlanguage: ko\r\n---\r\n"
    )
    wanted = Card("CC-BY-4.0", "translation", languages=("ko",))
    assert of_text("\ufeff" + text, dataset=True) == wanted
    data: dict[str, object] = {"license": ["cc-by-4.0"], "task_categories": ["translation"]}
    assert of_data({**data, "language": "ko"}, dataset=True) == wanted


@pytest.mark.parametrize(
    ("hub", "ours"),
    [("apache-2.0", "Apache-2.0"), ("mit", "MIT"), ("MIT", "MIT"), ("cc-by-nc-sa-4.0",
     "CC-BY-NC-SA-4.0"), ("cc0-1.0", "CC0-1.0"), ("llama2", "Llama-2"), ("gemma", "Gemma"),
     ("openrail++", "CreativeML Open RAIL++-M"), ("odc-by", "ODC-By-1.0"), ("bsd", "bsd"),
     ("My own", "My own"), ("", "")],
)  # fmt: skip
def test_licences_as_manifests_write_them(hub: str, ours: str) -> None:
    assert license_of_hub(hub) == ours


LAUGHS = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{b}: &{b}\n  {{{merge}: [{', '.join([f'*{a}'] * 9)}]}}\n"
    for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
    for merge in ("<<",)
)


@pytest.mark.parametrize(
    "front",
    [
        "license: [unclosed",
        "- a\n- list",
        "just text",
        "license: &a [*a]",
        "license: !!python/object/apply:os.system [true]",
        "license: {mit: yes}\nbase_model: 7\nlanguage: no\ndatasets: {a: b}",
        "license: |\n  two\n  lines\npipeline_tag: \"a\\x07b\"",
        "license: 2024-01-01",
        "ignore_metadata_errors: 1\nself: 2",
        "? [a]\n: b",
        "tags: 5\nmodel-index: [{name: x, results: 7}]",
        "license: " + "x" * 300,
        "a: " + "[" * 5000,
        LAUGHS,
        LAUGHS.replace("<<", "!!merge x"),
        "license: 1" + ":59" * 60000,
    ],
    ids=lambda front: front[:20],
)  # fmt: skip
def test_a_hostile_card_is_no_card(front: str) -> None:
    began = time.monotonic()
    assert of_text(f"---\n{front}\n---\n", dataset=False) == Card()
    assert time.monotonic() - began < 10


def test_only_the_beginning_is_read() -> None:
    late = "---\n" + "# x\n" * (MAX_CARD // 4) + "license: mit\n---\n"
    assert of_text(late, dataset=False) == Card()
    assert of_text("text first\n---\nlicense: mit\n---\n", dataset=False) == Card()
    assert of_text("---\nlicense: mit\n", dataset=False) == Card()
    many = "---\ndatasets: [" + ", ".join(f"o/{n}" for n in range(500)) + "]\n---\n"
    assert len(of_text(many, dataset=False).datasets) == 20


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
KEYS = st.sampled_from(
    ["license", "license_name", "language", "datasets", "base_model", "library_name", "tags",
     "pipeline_tag", "task_categories", "model-index", "eval_results", "self", "dataset_info",
     "base_model_relation", "ignore_metadata_errors", "train-eval-index", "metrics", ""]
)  # fmt: skip


@given(st.dictionaries(KEYS, VALUES), st.booleans())
def test_whatever_a_hub_says_a_card_holds_lines_of_text(data: Any, dataset: bool) -> None:
    card = of_data(data, dataset)
    lines = [card.license, card.task, card.library, card.relation]
    lines += [*card.base_models, *card.datasets, *card.languages]
    assert all((type(line) is str and line.isprintable()) or len(line) <= 200 for line in lines)
    assert not any("\n" in line or "\x1b" in line for line in lines)


@given(st.text(), st.booleans())
def test_whatever_a_readme_says_nothing_is_raised(text: str, dataset: bool) -> None:
    of_text(f"---\n{text}\n---\n", dataset)
