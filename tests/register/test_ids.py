"""Ids from names: always valid, always free, stable."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.fs.safe_paths import check_relative
from fetcher.project.manifest import ID
from fetcher.register.ids import Ids, propose


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VQGAN ImageNet (f=16), 1024", "vqgan-imagenet-f16-1024"),
        ("all-MiniLM-L6-v2", "all-minilm-l6-v2"),
        ("FLUX.1 [schnell]", "flux.1-schnell"),
        ("DINOv3 ViT-H+/16", "dinov3-vit-hplus-16"),
        ("Café Über", "cafe-uber"),
        ("모델", "model"),
        ("...", "model"),
        ("NUL", "nul-model"),
        ("a_b.c-d", "a_b.c-d"),
        ("x" * 300, "x" * 100),
    ],
)
def test_examples(name: str, expected: str) -> None:
    assert propose(name) == expected


@given(st.text(max_size=300), st.lists(st.text(max_size=20), max_size=4))
def test_a_proposal_is_an_id_that_is_free(name: str, others: list[str]) -> None:
    found = propose(name, others)
    assert re.fullmatch(ID, found) and found.lower() not in {item.lower() for item in others}
    check_relative(found)  # it also names a folder


@given(st.text(max_size=60))
def test_a_proposal_is_its_own_proposal(name: str) -> None:
    once = propose(name)
    assert propose(once) == once
    assert propose(name, [once]) == f"{once}-2" and propose(name, [once.upper()]) == f"{once}-2"


ALIKE = st.sampled_from(["a", "A", "a-2", "a 2", "a-3", "글", "", "b"])


@given(st.lists(ALIKE, max_size=12), st.lists(ALIKE, max_size=4))
def test_many_are_proposed_as_one_by_one(names: list[str], others: list[str]) -> None:
    ids, taken = Ids(others), list(others)
    for name in names:
        found = ids.propose(name)
        assert found == propose(name, taken)
        taken.append(found)
