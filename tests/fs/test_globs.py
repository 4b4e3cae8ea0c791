"""Globs match what a plain translation matches, by whichever way they are held against paths."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetcher.fs import globs
from fetcher.fs.globs import MAX_GLOB, BadPattern, Glob

GLOBS = st.lists(
    st.sampled_from(["a", "b", "/", "*", "**", "**/", "/**/", "?", "[ab]", "[!a]", ".*", "a*b"]),
    max_size=9,
).map("".join)
PATHS = st.text(alphabet="ab/.", max_size=12)


def plainly(glob: str, path: str) -> bool:
    """What the glob says, by a regular expression that may take its time."""
    out, index = "", 0
    while index < len(glob):
        if glob.startswith("**/", index) and glob[:index][-1:] in {"", "/"}:
            out, index = out + "(?:[^/]+/)*", index + 3
        elif glob.startswith("**", index):
            out, index = out + ".*", index + 2
        elif glob[index] == "*":
            out, index = out + "[^/]*", index + 1
        elif glob[index] == "?":
            out, index = out + "[^/]", index + 1
        elif glob[index] == "[":
            end = glob.index("]", index + 2)
            body = glob[index + 1 : end].replace("!", "^")
            out, index = out + f"(?!/)[{body}]", end + 1
        else:
            out, index = out + re.escape(glob[index]), index + 1
    return re.fullmatch(out, path, re.DOTALL) is not None


@settings(max_examples=1500, deadline=None)
@given(GLOBS, PATHS.filter(lambda path: "//" not in path))  # no name has an empty part
def test_a_glob_means_what_it_says(glob: str, path: str) -> None:
    expected = plainly(glob, path)
    assert Glob(glob).matches(path) is expected
    assert globs._Automaton(globs._tokens(glob)).matches(path) is expected


@settings(max_examples=1000, deadline=None)
@given(GLOBS, st.data())
def test_what_is_made_from_a_glob_matches_it(glob: str, data: st.DataObject) -> None:
    path = "".join(
        {"*": data.draw(st.text("ab.", max_size=3)), "?": "a"}.get(char, char)
        for char in glob.replace("[ab]", "a").replace("[!a]", "b").replace("**/", "")
    )
    assert Glob(glob).matches(path) is plainly(glob, path)
    assert path.startswith(Glob(glob).prefix) or not Glob(glob).matches(path)


def test_a_glob_longer_than_any_path_is_refused() -> None:
    with pytest.raises(BadPattern, match="longer than"):
        Glob("a" * (MAX_GLOB + 1))


@pytest.mark.parametrize(
    ("glob", "fits", "fails"),
    [("[!]]", "a", "]"), ("[]]", "]", "a"), ("[!]a]b", "xb", "ab"), ("[!]", "[!]", "x")],
)
def test_a_bracket_first_in_a_set_is_one_of_it(glob: str, fits: str, fails: str) -> None:
    assert Glob(glob).matches(fits) and not Glob(glob).matches(fails)
