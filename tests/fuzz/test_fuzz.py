"""Every target in the normal suite: cases found before, seeds, and new inputs for a moment."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import engine, kit

FOUND = [(name, path) for name in kit.names() for path in kit.cases_of(name)]


@pytest.mark.parametrize(("name", "path"), FOUND, ids=[f"{n}-{p.name[:24]}" for n, p in FOUND])
def test_what_was_found_once_is_mended(name: str, path: Path) -> None:
    engine.bounded(kit.load(name), path.read_bytes())


@pytest.mark.parametrize("name", kit.names())
def test_seeds(name: str) -> None:
    target = kit.load(name)
    assert target.all_seeds()
    for data in target.all_seeds():
        engine.bounded(target, data)


@pytest.mark.parametrize("name", kit.names())
def test_new_inputs(name: str) -> None:
    """A few hundred mutants of the seeds; hypothesis makes the smallest of those that break."""
    target = kit.load(name)
    pool, words = target.all_seeds(), target.all_words() or [b"\x00"]

    @given(
        st.one_of(
            st.randoms(use_true_random=False).map(
                lambda chance: engine.mutated(chance, pool, words, target.longest)
            ),
            st.binary(max_size=64),
        )
    )
    @settings(max_examples=300, suppress_health_check=list(HealthCheck))
    def holds(data: bytes) -> None:
        engine.bounded(target, data)

    holds()


def test_a_find_is_kept_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(data: bytes) -> None:
        assert b"!" not in data

    monkeypatch.setattr(kit, "CASES", tmp_path)
    monkeypatch.setattr(kit, "load", lambda _: kit.Target(check, [b"seed"], ["!"]))
    with pytest.raises(AssertionError):
        engine.by_chance("broken", 20)
    (case,) = kit.cases_of("broken")
    assert b"!" in case.read_bytes()


def test_a_hang_is_told() -> None:
    def check(data: bytes) -> None:
        while True:
            pass

    with pytest.raises(TimeoutError):
        engine.bounded(kit.Target(check, []), b"", 1)


def test_mutants_are_bounded_and_differ() -> None:
    made = {engine.mutated(random.Random(n), [b"abc" * 9], [b"word"], 40) for n in range(200)}
    assert max(map(len, made)) <= 40 and len(made) > 100
