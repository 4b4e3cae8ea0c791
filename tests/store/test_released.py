"""What projects let go of: kept with the time, read from anybody's bytes, gone when nobody asks."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fetcher.store.project_records import heading, records, remember
from fetcher.store.released import FOLDER, note, releases, tidy

A, B, GIT = "a" * 64, "b" * 64, "git:" + "c" * 40


def test_a_record_notes_what_it_needs_no_more(tmp_path: Path) -> None:
    store, root = tmp_path / "store", tmp_path / "work"
    root.mkdir()
    (store / "projects").mkdir(parents=True)
    remember(store, root, [heading("m/x"), A, GIT, heading("m/y"), A, B, heading("")])
    (record,) = records(store)
    assert record.needs_by_artifact() == {"m/x": {A, GIT}, "m/y": {A, B}}
    assert record.needs() == {A, B, GIT} and list(releases(store)) == []
    remember(store, root, [heading("m/x"), A])
    found = {(one.need, one.artifact, one.root) for one in releases(store)}
    assert found == {(GIT, "m/x", root), (B, "m/y", root)}, "what another artifact has is needed"
    assert all(abs(one.at - time.time()) < 60 for one in releases(store))
    tidy(store, lambda need: need == B)
    assert len(list(releases(store))) == 2, "a project's are kept together"
    tidy(store, lambda need: False)
    assert list((store / FOLDER).iterdir()) == []


def test_names_that_no_line_can_hold(tmp_path: Path) -> None:
    """An older version could not read a record that is not ASCII: it is nobody's then."""
    assert [heading(name) for name in ("", "m/x\ny", "m/é", "m", "a/b/c")] == ["@"] * 5
    assert heading("m-1.0/x_y") == "@m-1.0/x_y"


def test_the_latest_word_counts_and_the_future_is_now(tmp_path: Path) -> None:
    note(tmp_path, "p", Path("/w"), {"m/x": {A}}, 1000)
    note(tmp_path, "p", Path("/w"), {"m/y": {A, B}}, time.time() + 1e6)
    found = {one.need: one for one in releases(tmp_path)}
    assert {one.artifact for one in found.values()} == {"m/y"} and found.keys() == {A, B}
    assert all(one.at <= time.time() for one in found.values())
    note(tmp_path, "q", Path("/w"), {"m/y": set()}, 1)
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


def test_where_nothing_can_be_noted(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_bytes(b"in the way")
    note(tmp_path, "p", Path("/w"), {"m/x": {A}}, 1000)
    assert list(releases(tmp_path)) == []


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=200))
def test_any_bytes_as_notes(data: bytes, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(exist_ok=True)
    for head in (b"", b'{"root": "/w"}\n'):
        (tmp_path / FOLDER / "x.tsv").write_bytes(head + data)
        for found in releases(tmp_path):
            assert len(found.need) in {44, 64}
    tidy(tmp_path, lambda need: True)
