"""What several parties claim of one commit: where they agree, and where they do not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fetcher.mirror.claims import (
    CommitClaims,
    Dispute,
    disputes,
    paths_of,
    place_of,
    release_of,
    repo_key,
    short,
)
from fetcher.mirror.inventory import HeldArtifact, SourceFields
from fetcher.sources.base import FileEntry

COMMIT, OTHER = "a" * 40, "b" * 40


def file(path: str, digit: str = "1") -> FileEntry:
    return FileEntry(path, 3, digit * 64)


def held(
    party: str, *files: FileEntry, revision: str = COMMIT, upstream: str = "", **origin: str
) -> HeldArtifact:
    fields = SourceFields({"type": "huggingface", "repo": "o/m", **origin})
    return HeldArtifact("p", "a", "hf:o/m", fields, revision, files, party=party, upstream=upstream)


def test_two_contents_of_one_path_are_a_dispute() -> None:
    found = disputes([held("x", file("w"), file("c")), held("y", file("w", "2"), file("c"))])
    assert found == [Dispute("o/m", COMMIT, "w", ("x", "y"))]
    assert found[0].message == f"o/m@{COMMIT[:12]}: x and y claim two contents for w"


def test_parties_are_named_in_one_order() -> None:
    assert "a and b claim" in Dispute("o/m", COMMIT, "w", ("b", "a")).message
    assert "b claims two contents for w" in Dispute("o/m", COMMIT, "w", ("b", "b")).message


def test_a_party_may_contradict_itself() -> None:
    found = disputes([held("x", file("w")), held("x", file("w", "2"))])
    assert found == [Dispute("o/m", COMMIT, "w", ("x", "x"))]


def test_what_agrees_or_is_of_another_place_is_no_dispute() -> None:
    mine = held("x", file("w"))
    evil = file("w", "2")
    for other in (
        held("y", file("w")),
        held("y", file("v", "2")),
        held("y", evil, revision=OTHER),
        held("y", evil, repo="o/n"),
        held("y", evil, repo_type="dataset"),
        held("y", evil, type="github"),
        held("y", evil, path="folder"),
        held("y", evil, revision="v1", release="v1"),
        held("y", evil, revision=""),
        held("y", evil, upstream="https://hub.example"),
        held("y", evil, type="url"),
    ):
        assert disputes([mine, other]) == [] == disputes([other, mine])
    assert disputes([held("x", evil, type="url"), held("y", file("w"), type="url")]) == []


def test_what_a_party_leaves_out_hides_nothing_of_others() -> None:
    """One claim that is none stops the look at no other."""
    found = disputes(
        [
            held("u", file("w", "3"), upstream="https://hub.example"),
            held("n", file("w", "3"), revision=""),
            held("t", file("w", "3"), type="url"),
            held("alone", file("w", "3"), revision=OTHER),
            held("x", file("w")),
            held("y", file("w", "2")),
        ]
    )
    assert [dispute.parties for dispute in found] == [("x", "y")]


def test_the_first_dispute_of_a_path_is_kept() -> None:
    claims = CommitClaims()
    for party, digit in (("x", "1"), ("y", "2"), ("z", "3")):
        claims.add(held(party, file("w", digit)))
    assert claims.disputes["w"].parties == ("x", "y")
    assert claims.files["z"]["w"] == file("w", "3")
    claims.add(held("x", file("w", "9")))
    assert claims.files["x"]["w"] == file("w"), "what a party said first"
    assert claims.paths() == ["w"]


def test_every_path_that_somebody_claims() -> None:
    claims = CommitClaims()
    assert claims.paths() == []
    claims.add(held("x", file("b"), file("a")))
    claims.add(held("y", file("c"), file("a")))
    assert claims.paths() == ["a", "b", "c"] and claims.disputes == {}


def test_files_lie_below_the_sources_folder() -> None:
    assert list(paths_of(held("x", file("w")))) == [("w", file("w"))]
    assert list(paths_of(held("x", file("w"), path="a/b"))) == [("a/b/w", file("w"))]
    attached = held("x", file("w"), path="a/b", release="v1")
    assert list(paths_of(attached)) == [("w", file("w"))], "what a release has lies in no folder"
    hostile = held("x", file("../w"), file("v"), file("/etc/passwd"), file("u"))
    assert [path for path, _ in paths_of(hostile)] == ["v", "u"]
    assert list(paths_of(held("x", file("w"), path="../.."))) == []


def test_releases_are_places_of_their_own() -> None:
    plain, tagged = held("x"), held("x", revision="v2", release="v1")
    latest = held("x", revision="", release="v1")
    assert (release_of(plain), place_of(plain)) == ("", COMMIT)
    assert (release_of(tagged), place_of(tagged)) == ("v2", "release:v2")
    assert (release_of(latest), place_of(latest)) == ("v1", "release:v1")
    assert short("release:a-tag-that-is-long") == "a-tag-that-is-long"
    assert short(COMMIT) == "a" * 12
    found = disputes(
        [held(p, file("w", d), revision="v2", release="v2") for p, d in (("x", "1"), ("y", "2"))]
    )
    assert found == [Dispute("o/m", "release:v2", "w", ("x", "y"))]
    assert found[0].message.startswith("o/m@v2: ")


def test_which_repository_an_artifact_is_of() -> None:
    assert repo_key(held("x")) == ("model", "o/m")
    assert repo_key(held("x", repo_type="dataset")) == ("dataset", "o/m")
    assert repo_key(held("x", repo="O/M")) == ("model", "O/M"), "the Hub tells case apart"
    assert repo_key(held("x", type="github", repo="O/M")) == ("github", "o/m")
    assert repo_key(held("x", type="github", repo="o/M")) == ("github", "o/m")
    assert repo_key(held("x", type="url")) is None


PARTIES = st.lists(
    st.tuples(
        st.sampled_from("xyz"),
        st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("123")), max_size=4),
    ),
    max_size=5,
)


@given(PARTIES)
def test_a_path_is_disputed_if_two_contents_are_claimed(
    said: list[tuple[str, list[tuple[str, str]]]],
) -> None:
    items = [held(party, *(file(path, digit) for path, digit in files)) for party, files in said]
    claims = CommitClaims()
    for item in items:
        claims.add(item)
    contents: dict[str, set[str]] = {}
    for _, files in said:
        for path, digit in files:
            contents.setdefault(path, set()).add(digit)
    assert set(claims.disputes) == {path for path, found in contents.items() if len(found) > 1}
    assert claims.paths() == sorted(contents)
