"""Globs and names that would keep a backtracking matcher busy for ever."""

from __future__ import annotations

import time

import pytest

from fetcher.fs.globs import MAX_GLOB, BadPattern, Glob, compile_glob
from fetcher.fs.nearest import nearest
from fetcher.fs.patterns import MAX_NAMES, expand, literal_names, select

# (glob, names): each pair took longer than the age of the universe, or nearly.
ENDLESS = [
    ("*a" * 30 + "b", "a" * 200),
    ("*a" * 2000 + "b", "a" * 4000),
    ("**/" * 30 + "b", "a/" * 200 + "c"),
    ("**/a/" * 30 + "b", "a/" * 200 + "c"),
    ("**a" * 30 + "b", "a" * 200),
    ("**a*" * 1000 + "b", "a/" * 2000),
    ("**/*a*a*a/" * 10 + "b", ("a" * 50 + "/") * 60),
    ("*?" * 100 + "b", "a" * 4000),
    ("*[ab]" * 100 + "c", "a" * 4000),
    ("**/*" * 100 + "b", "a/" * 2000),
    ("a**" * 100 + "/**/" * 50 + "b", "a/" * 2000),
    ("*" * 4000 + "b", "a" * 4000),
    ("[" * 4000 + "b", "a" * 4000),
    ("*" + "a" * 2000 + "b", "a" * 4000),
    ("**" + "a" * 2000 + "b", "a" * 4000),
]


@pytest.mark.parametrize(("glob", "name"), ENDLESS, ids=[glob[:12] for glob, _ in ENDLESS])
def test_a_glob_that_never_ends(glob: str, name: str) -> None:
    """A manifest, a layout or a command line whose glob backtracks over a name from a listing."""
    started = time.process_time()
    assert not Glob(glob).matches(name)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("unit", ["*a", "**/", "**a", "**/a*a/", "*?", "[ab]*", "**/*", "a**b*"])
def test_the_time_grows_with_glob_and_name(unit: str) -> None:
    """A glob of any kind of gap, as long as one may be, over a path as long as one may be."""
    glob = (unit * MAX_GLOB)[: MAX_GLOB - 2] + "!"
    for name in ("a" * 4096, "a/" * 2048, ("a" * 15 + "/") * 256, "ab" * 2048):
        started = time.process_time()
        Glob(glob).matches(name)
        assert time.process_time() - started < 1.5, name[:20]


def test_braces_that_fill_the_memory() -> None:
    """Few characters that stand for more names, or for longer ones, than memory holds."""
    for pattern in ("{a,b}" * 40, "{0..1999999}" + "x" * 1000, "{0..999999}*", "{,}" * 1000):
        with pytest.raises(BadPattern):
            expand(pattern)
    with pytest.raises(BadPattern):
        literal_names(["{0..1999999}", "x{0..1999999}"])


def test_a_list_of_globs_over_a_listing_has_an_end() -> None:
    """Each glob is quick, each name is short; their product is not."""
    names = [f"{'a' * 40}{number:06}" for number in range(100_000)]
    started = time.process_time()
    with pytest.raises(BadPattern, match="take too long"):
        select(names, [f"**a*{number}*b" for number in range(10_000)])
    assert time.process_time() - started < 60


def test_honest_globs_over_a_large_dataset_are_quick() -> None:
    """Beside it: a thousand folders of a large dataset, each named by a glob of its own."""
    names = [f"shard-{number % 1000:03}/{number:07}.jpg" for number in range(200_000)]
    started = time.process_time()
    found = select(names, ["shard-{000..999}/*.jpg"], ["**/*7.jpg", "**999**"])
    assert len(found.names) > 150_000 and not found.unmatched
    assert time.process_time() - started < 10


def test_a_guess_at_a_name_costs_little() -> None:
    """A name in a manifest and a listing that are as unlike, and as long, as they can be."""
    started = time.process_time()
    nearest("ab" * 2000, ["ba" * 2000 + str(number) for number in range(1000)])
    nearest("ab" * 90, ("ba" * 90 + str(number) for number in range(10_000_000)))
    assert time.process_time() - started < 20


def test_a_refusal_names_the_glob_and_stays_short() -> None:
    """A glob of megabytes does not come back in the message."""
    for pattern in ("*" + "x" * 5_000_000, "{a,b}" * 1_000_000, "{{" * 1000 + "}}" * 1000):
        with pytest.raises(BadPattern) as caught:
            for item in expand(pattern):
                compile_glob(item)
        assert len(str(caught.value)) < 300
    assert MAX_NAMES > 1_000_000
