"""Names, globs and ranges: the laws of expanding and selecting."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.fs import patterns
from fetcher.fs.globs import BadPattern, compile_glob
from fetcher.fs.patterns import expand, is_glob, literal_names, select

PLAIN = st.text(alphabet=string.ascii_lowercase + "._-/", min_size=1, max_size=6)
ODD = st.text(alphabet="ab/*?[]{},.!^-0189\\&|~ ", max_size=12)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.bin", ["a.bin"]),
        ("m_{0..2}.pt", ["m_0.pt", "m_1.pt", "m_2.pt"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{007..8}", ["007", "008"]),
        ("{0..10}", [str(number) for number in range(11)]),
        ("{a,b}{1..2}", ["a1", "a2", "b1", "b2"]),
        ("x{1..2,7, 9}", ["x1", "x2", "x7", "x9"]),
        ("{a,}.txt", ["a.txt", ".txt"]),
        ("{single}", ["{single}"]),
        ("{}", ["{}"]),
        ("open{", ["open{"]),
    ],
)
def test_expand(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names


@pytest.mark.parametrize(
    "pattern",
    [
        "{4..0}",
        "{a..c}",
        "{-1..3}",
        "{0..10..2}",
        "{0..9999999}",
        "{0..9999}{0..9999}",
        "{a,{b,c}}",
        "{٠..٤}",
    ],
)
def test_what_expand_refuses(pattern: str) -> None:
    with pytest.raises(BadPattern):
        expand(pattern)


@given(st.integers(0, 5000), st.integers(0, 40), st.integers(0, 8))
def test_a_range_is_every_number_in_order(low: int, more: int, width: int) -> None:
    names = expand(f"a{{{low:0{width}}..{low + more:0{width}}}}b")
    assert [int(name[1:-1]) for name in names] == list(range(low, low + more + 1))
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.pt", ["a.pt", ".pt"], ["a/b.pt", "a.pth"]),
        ("**/*.pt", ["a.pt", "a/b.pt", "a/b/c.pt"], ["a.ptx"]),
        ("a/**", ["a/b", "a/b/c"], ["b/a", "ab"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["az", "a/bz"]),
        ("x**/y", ["x/y", "xa/y", "xa/b/y"], ["xy", "xay"]),
        ("m?.bin", ["m1.bin"], ["m/.bin", "m.bin", "m12.bin"]),
        ("m[0-9]", ["m5"], ["ma"]),
        ("m[!0-9]", ["ma"], ["m5", "m/"]),
        ("m[^a]", ["mb"], ["ma", "m/"]),
        ("[[]x]", ["[x]"], ["x"]),
        ("a[*]", ["a*"], ["ab"]),
        ("a.b", ["a.b"], ["axb"]),
        ("[a&&b~~c||d-]", ["a", "&", "~", "|", "-"], ["z"]),
        ("[a", ["[a"], ["a"]),
        ("[X]", ["X"], ["x"]),
        ("[XY]", ["X", "Y"], ["Z"]),
        ("[a\nb]", ["\n", "a"], ["c"]),
        ("[!\n]", ["a"], ["\n"]),
        ("[a-c]x", ["bx"], ["-x"]),
        ("[]]", ["]"], ["[]]"]),
        ("[]", ["[]"], ["]"]),
        ("m[1]n", ["m1n"], ["m1", "1n"]),
        ("a?b", ["a\nb"], ["ab"]),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    compiled = compile_glob(glob)
    assert [name for name in yes if not compiled.matches(name)] == []
    assert [name for name in no if compiled.matches(name)] == []


@given(ODD)
def test_odd_patterns_are_refused_in_words_or_work(pattern: str) -> None:
    try:
        for item in expand(pattern):
            compile_glob(item).matches("a/b")
    except BadPattern as error:
        assert str(error)


@given(st.sets(PLAIN), st.lists(st.one_of(PLAIN, ODD), max_size=4), st.lists(PLAIN, max_size=2))
def test_select_only_chooses_what_is_there(
    available: set[str], files: list[str], exclude: list[str]
) -> None:
    try:
        found = select(available, files, exclude)
    except BadPattern:
        return
    assert set(found.names) <= available
    assert found.names == sorted(set(found.names))
    assert not set(found.names) & set(exclude)
    everything = select(available, None, exclude)
    assert set(found.names) <= set(everything.names)
    assert set(files) & available <= {*found.names, *exclude}
    assert not set(found.unmatched) & available


@given(st.sets(st.one_of(PLAIN, ODD), min_size=1))
def test_a_name_that_is_there_matches_itself(available: set[str]) -> None:
    for name in available:
        assert select(available, [name]).names == [name]
        assert select(available, None, [name]).names == sorted(available - {name})


@given(st.lists(PLAIN, min_size=1), st.lists(PLAIN, max_size=2))
def test_literal_names_are_what_select_would_choose(files: list[str], exclude: list[str]) -> None:
    names = literal_names(files, exclude)
    assert names == select(files, files, exclude).names


def test_literal_names_need_no_globs() -> None:
    assert literal_names(None) is None
    assert literal_names(["a", "*.b"]) is None
    assert literal_names(["b{0..2}", "a"], ["*1"]) == ["a", "b0", "b2"]
    assert is_glob("a[0]") and not is_glob("a{0}")


def test_select_tells_what_matched_nothing() -> None:
    found = select(["a_0", "a_2"], ["a_{0..3}", "*.txt"])
    assert found.names == ["a_0", "a_2"]
    assert found.unmatched == ["a_1", "a_3", "*.txt"]


def test_an_exclusion_may_be_a_name_a_range_or_a_glob() -> None:
    there = ["m_0", "m_1", "m_2", "m_{0..1}"]
    # A name that is there to the letter means itself.
    assert select(there, None, ["m_{0..1}"]).names == ["m_0", "m_1", "m_2"]
    assert select(there[:3], None, ["m_{0..1}"]).names == ["m_2"]
    assert select(there[:3], None, ["m_1", "*_2"]).names == ["m_0"]
    assert select(there, ["m_{0..1}"]).names == ["m_{0..1}"]
    assert select(there[:3], ["m_{0..1}"]).names == ["m_0", "m_1"]


@pytest.mark.parametrize(
    ("pattern", "characters"),
    [
        ("{0..9}", 10),
        ("ab{0..9}", 30),
        ("{0..9}cd", 30),
        ("a{1..2}b{1..5}c", 50),
        ("{x,yz}{1..2}", 10),
        ("{x,yz}ab{1..2}", 18),
    ],
)
def test_names_are_counted_to_the_character(
    pattern: str, characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sum(map(len, expand(pattern))) == characters
    monkeypatch.setattr(patterns, "MAX_CHARACTERS", characters)
    assert sum(map(len, expand(pattern))) == characters
    monkeypatch.setattr(patterns, "MAX_CHARACTERS", characters - 1)
    with pytest.raises(BadPattern, match="more than"):
        expand(pattern)


def test_names_and_globs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MAX_NAMES", 4)
    for pattern in ("{1..4}", "{1..2}{1..2}"):
        assert len(expand(pattern)) == 4
    for pattern in ("{1..5}", "{1..2}{1..3}"):
        with pytest.raises(BadPattern):
            expand(pattern)
    monkeypatch.setattr(patterns, "MAX_GLOBS", 2)
    assert expand("{1..2}*") == ["1*", "2*"] and len(expand("{1..3}")) == 3
    for pattern in ("{1..3}*", "?{1..3}", "{1,2,*}"):
        with pytest.raises(BadPattern, match="globs"):
            expand(pattern)


def test_all_patterns_together_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MAX_NAMES", 4)
    assert select(["a1"], ["a{1..2}", "a{3..4}"]).names == ["a1"]
    assert select(["a1"], ["a{1..2}", "a{3..4}", "a5"]).names == ["a1"]  # one name is itself
    for files, exclude in ((["a{1..2}", "a{3..5}"], []), (["a{1..3}"], ["a{1..2}"])):
        with pytest.raises(BadPattern):
            select(["a1"], files, exclude)
    with pytest.raises(BadPattern):
        literal_names(["a{1..2}", "b{1..3}"])
    assert literal_names(["a", "b", "c", "d", "e"]) == ["a", "b", "c", "d", "e"]
