"""Which name a wrong one may be meant for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.fs import nearest as module
from fetcher.fs.nearest import nearest

NAMES = st.text(alphabet="abAB._", min_size=1, max_size=8)


def test_nearest() -> None:
    assert nearest("hugginface", ["github", "huggingface"]) == "huggingface"
    assert nearest("ONET.PT", ["onet.pt", "pnet.pt"]) == "onet.pt"
    assert nearest("ghost", ["eight", "one"]) is None
    assert nearest("x", []) is None


def test_the_closest_name_of_several() -> None:
    assert nearest("model_1.pt", ["model_22.pt", "model_1.pth", "model_3.pt"]) == "model_1.pth"
    assert nearest("MODEL_1", ["model_22", "model_1", "model_2"]) == "model_1"
    assert nearest("abcd", ["abxy"]) is None


def test_case_is_looked_over_only_where_nothing_else_is_close() -> None:
    assert nearest("Net", ["NET", "Nets"]) == "Nets"
    assert nearest("NeT", ["nEt", "xyz"]) == "nEt", "as the candidate is written"
    assert nearest("MODELS", ["model_1", "modelx"]) == "modelx"


def test_how_much_alike_is_close() -> None:
    """Twice the letters in common, of all letters of both: 0.65 at least."""
    a, b, c = "a" * 13, "b" * 7, "c" * 7
    assert nearest(a + b, [a + c]) == a + c
    assert nearest(a[1:] + b + "d", [a[1:] + c + "e"]) is None
    assert nearest((a + b).upper(), [a + c]) == a + c
    assert nearest((a[1:] + b + "d").upper(), [a[1:] + c + "e"]) is None


def test_of_very_many_names_the_first_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GUESSED", 48)
    assert nearest("abcd", ["wxyz", "wxyz", "abce"]) == "abce"
    assert nearest("abcd", ["wxyz", "wxyz", "wxyz", "abce"]) is None
    assert nearest("abcd", ["abce", "wxyz", "wxyz", "wxyz"]) == "abce"
    # What is of another length is not looked at, and costs nothing.
    assert nearest("abcd", ["x" * 9, "y", "wxyz", "wxyz", "abce"]) == "abce"


def test_up_to_half_or_twice_the_length_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GUESSED", 32)
    # One of 8 letters uses up all that may be compared; one of 9 nothing.
    assert nearest("abcd", ["w" * 8, "abce"]) is None
    assert nearest("abcd", ["w" * 9, "abce"]) == "abce"
    monkeypatch.setattr(module, "_GUESSED", 16 + 8)
    assert nearest("abcd", ["xy", "xy", "abce"]) is None
    assert nearest("abcd", ["x", "x", "x", "xy", "abce"]) == "abce"


@given(NAMES, st.lists(NAMES, max_size=6))
def test_whatever_the_names_the_guess_is_one_of_them(name: str, names: list[str]) -> None:
    found = nearest(name, iter(names))
    assert found is None or found in names
    assert nearest(name, [*names, name]) == name
