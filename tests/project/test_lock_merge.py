"""Merging locks: what holds for any three of them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fetcher.project import lock_merge, lockfile
from fetcher.project.lock_merge import merge, sides, with_markers
from fetcher.project.lockfile import Lock, LockedArtifact, conflicting, loads
from fetcher.sources.base import FileEntry

A, B = "a" * 64, "b" * 64
ONE = "1" * 40
FILES = st.sampled_from(
    [
        FileEntry("f", 1, None, ONE),
        FileEntry("f", 1, A, ONE, computed=True),
        FileEntry("f", 2, B),
        FileEntry("g", 1, A),
        FileEntry('q"}],<<<<<<< x', 1, A, md5="1" * 32),
    ]
)
ENTRIES = st.builds(
    lambda revision, files: LockedArtifact("hf:o/m", revision, "", tuple(sorted(files))),
    st.sampled_from([ONE, "two\u2028<<<<<<< \x85======="]),
    st.lists(FILES, min_size=1, max_size=2, unique_by=lambda file: file.path),
)
LOCKS = st.dictionaries(
    st.tuples(st.sampled_from("pq"), st.sampled_from("abc")), ENTRIES, max_size=4
).map(Lock)


@given(LOCKS, LOCKS)
def test_a_side_that_changed_nothing_gives_way(base: Lock, other: Lock) -> None:
    for ours, theirs in ((base, other), (other, base), (other, other)):
        found = merge(base, ours, theirs)
        assert not found.conflicts and found.lock == other


@given(LOCKS, LOCKS, LOCKS)
def test_both_ways_say_the_same_and_lose_nothing(base: Lock, one: Lock, other: Lock) -> None:
    found, turned = merge(base, one, other), merge(base, other, one)
    assert found.names == turned.names and found.lock == turned.lock
    for key in one.artifacts.keys() & other.artifacts.keys():
        assert key in found.lock.artifacts or key in found.conflicts
    for key, item in found.lock.artifacts.items():
        revisions = {side.artifacts[key].revision for side in (one, other) if key in side.artifacts}
        assert item.revision in revisions


@given(LOCKS, LOCKS, LOCKS)
def test_markers_are_about_the_conflicts_alone_and_can_be_read(
    base: Lock, one: Lock, other: Lock
) -> None:
    found = merge(base, one, other)
    text = with_markers(found)
    assert conflicting(text) == found.names
    assert lockfile.has_markers(text) is bool(found.conflicts)
    for side, part in zip((lock_merge.OURS, lock_merge.THEIRS), sides(text), strict=True):
        assert loads(part) == found.taking(side)
    if not found.conflicts:
        assert loads(text) == found.lock


@given(st.text(alphabet='<=>| {}[]",\nab:', max_size=200))
def test_any_text_has_two_sides(text: str) -> None:
    one, other = sides(text)
    if not lockfile.has_markers(text) and "=" not in text and "|" not in text:
        assert one == other
    assert all(name.count("/") == 1 for name in conflicting(text))


def test_the_common_base_between_markers_is_on_no_side() -> None:
    """git's diff3 style shows it as well."""
    text = "a\r\n<<<<<<< ours\nb\n||||||| base\nc\n=======\nd\n>>>>>>> theirs\ne\n"
    assert [part.split() for part in sides(text)] == [["a", "b", "e"], ["a", "d", "e"]]


def test_members_that_one_side_has_opened_are_kept() -> None:
    archive = FileEntry("x.zip", 9, A, archive="x.zip")
    packed = LockedArtifact("url:x", "", "", (), archives=(archive,))
    opened = packed.with_members("x.zip", [FileEntry("in/f", 1, B, archive="x.zip")])
    key = ("p", "a")
    found = merge(Lock(), Lock({key: packed}), Lock({key: opened}))
    assert found.lock.artifacts[key] == opened
    other = replace(opened, files=(FileEntry("in/g", 1, B, archive="x.zip"),))
    assert merge(Lock(), Lock({key: other}), Lock({key: opened})).names == ["p/a"]


def test_the_later_day_is_kept_where_all_else_is_the_same() -> None:
    item = LockedArtifact("hf:o/m", ONE, "", (FileEntry("f", 1, A),), "https://h", "2026-01-01")
    later = replace(item, said_at="2026-02-01")
    assert merge(Lock(), Lock({("p", "a"): later}), Lock({("p", "a"): item})).lock.artifacts == {
        ("p", "a"): later
    }
