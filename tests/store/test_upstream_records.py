"""What Hubs said, on disk: torn lines, two writers, two spellings of one address."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetcher.errors import Failure
from fetcher.sources.base import FileEntry
from fetcher.store import upstream_records
from fetcher.store.upstream_records import (
    FileStatement,
    RefStatement,
    UpstreamRecords,
    endpoint,
    endpoints,
)

URL = "https://hub.example"
COMMITS = ["a" * 40, "b" * 40]


def entry(path: str, digit: str = "1", git: bool = False) -> FileEntry:
    return FileEntry(path, 3, digit * 64, digit * 40 if git else None, not git, computed=git)


def test_statements_are_read_as_they_were_written(tmp_path: Path) -> None:
    records = UpstreamRecords(tmp_path, URL)
    records.add("model", "o/m", [RefStatement("main", COMMITS[0], False, 5.0)])
    records.add("model", "o/m", [FileStatement(COMMITS[0], entry("w", git=True))], sync=True)
    records.add("model", "o/m", [RefStatement("main", COMMITS[1], True, 9.0)])
    files = [FileEntry("w", 3, None, "1" * 40), FileEntry("x", 0, None, "2" * 40)]
    records.add_listing("model", "o/m", COMMITS[0], files)
    found = records.read("model", "o/m")
    assert found.refs == {"main": RefStatement("main", COMMITS[1], True, 9.0)} and found.closed
    assert found.at(COMMITS[0]) == {"w": entry("w", git=True), "x": files[1]}
    assert found.commits() == COMMITS[:1] and list(records.all()) == [found]
    assert endpoints(tmp_path) == [URL]
    assert records.read("dataset", "o/m").refs == {}, "another kind is another repository"
    other = UpstreamRecords(tmp_path, "https://other.example")
    assert other.read("model", "o/m").refs == {} and list(other.all()) == []


@settings(deadline=None, max_examples=60)
@given(
    cuts=st.lists(st.integers(1, 400), max_size=4),
    names=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5, unique=True),
)
def test_a_line_that_was_never_finished_costs_no_other(
    cuts: list[int], names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Killed servers leave half lines; those after them are whole."""
    tmp_path = tmp_path_factory.mktemp("records")
    records = UpstreamRecords(tmp_path, URL)
    said = records.folder("model", "o/m") / f"said.{os.geteuid()}.jsonl"
    records.add("model", "o/m", [RefStatement("main", COMMITS[0], False)])
    for cut in cuts:
        size = said.stat().st_size
        records.add("model", "o/m", [FileStatement(COMMITS[1], entry("torn"))])
        with said.open("rb+") as stream:  # never into what was whole before
            stream.truncate(min(said.stat().st_size - 2, size + cut))
    whole = [entry(f"f{i}") for i in range(len(names))]
    records.add("model", "o/m", [FileStatement(COMMITS[0], file) for file in whole])
    found = records.read("model", "o/m")
    assert found.files == {COMMITS[0]: {file.path: file for file in whole}}
    assert found.refs["main"].commit == COMMITS[0]


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=300))
def test_whatever_lies_there_is_no_error(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("records")
    records = UpstreamRecords(tmp_path, URL)
    records.add("model", "o/m", [FileStatement(COMMITS[0], entry("w"))])
    folder = records.folder("model", "o/m")
    with (folder / f"said.{os.geteuid()}.jsonl").open("ab") as stream:
        stream.write(data)
    (folder / COMMITS[1]).write_bytes(data)
    assert records.read("model", "o/m").files[COMMITS[0]] == {"w": entry("w")}


_SOUND = {"kind": "model", "id": "o/m", "commit": COMMITS[0], "path": "x", "size": 1}
_SOUND["sha256"] = "5" * 64


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "../x"},
        {"path": "/etc/passwd"},
        {"commit": "../../etc"},
        {"size": -1},
        {"size": None},
        {"sha256": None},
        {"sha256": "../x"},
        {"id": "o/other"},
        {"kind": "dataset"},
        {"ref": "ma\nin", "at": 1},
        {"ref": "main", "at": "now"},
        {"ref": "main", "at": 1, "commit": "main"},
    ],
)
def test_unsound_statements_are_none(tmp_path: Path, wrong: dict[str, object]) -> None:
    records = UpstreamRecords(tmp_path, URL)
    records.add("model", "o/m", [RefStatement("v1", COMMITS[0], False)])
    with (records.folder("model", "o/m") / f"said.{os.geteuid()}.jsonl").open("a") as stream:
        stream.write(json.dumps({**_SOUND, **wrong}) + "\n")
    found = records.read("model", "o/m")
    assert found.files == {} and list(found.refs) == ["v1"]


def test_many_writers_lose_nothing_of_each_others(tmp_path: Path) -> None:
    def write(number: int) -> None:
        mine = UpstreamRecords(tmp_path, URL)
        for i in range(40):
            mine.add("model", "o/m", [FileStatement(COMMITS[0], entry(f"{number}/{i}"))])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(UpstreamRecords(tmp_path, URL).read("model", "o/m").files[COMMITS[0]]) == 320


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://hub.example", "https://HUB.example:443/", True),
        ("https://user:secret@hub.example", "https://hub.example", True),
        ("https://hub.example/a?x=1", "https://hub.example/a", True),
        ("https://hub.example", "http://hub.example", False),
        ("https://hub.example", "https://hub.example:444", False),
        ("https://hub.example/a", "https://hub.example/b", False),
        ("https://hub.example", "https://hub.example.evil", False),
    ],
)
def test_an_address_has_one_name(tmp_path: Path, one: str, other: str, same: bool) -> None:
    assert (endpoint(one) == endpoint(other)) is same
    roots = {UpstreamRecords(tmp_path, url).root for url in (one, other)}
    assert len(roots) == (1 if same else 2) and "secret" not in str(roots)


def test_what_is_no_address_has_none() -> None:
    with pytest.raises(Failure):
        endpoint("hub.example")


def test_a_folder_that_lies_about_its_upstream_is_none(tmp_path: Path) -> None:
    UpstreamRecords(tmp_path, "https://liar.example").add(
        "model", "o/m", [RefStatement("main", COMMITS[0], False)]
    )
    about = next(tmp_path.glob("upstream/*/upstream.json"))
    about.write_text(about.read_text().replace("liar", "hub"))
    assert endpoints(tmp_path) == []
    assert UpstreamRecords(tmp_path, URL).read("model", "o/m").refs == {}


def test_nameless_leftovers_are_forgotten(tmp_path: Path) -> None:
    old = tmp_path / "upstream/model--o--m-123456789abc"
    old.mkdir(parents=True)
    (old / "fetch.lock").write_text("{}")
    records = UpstreamRecords(tmp_path, URL)
    records.add("model", "o/m", [RefStatement("main", COMMITS[0], False)])
    assert upstream_records.forget_nameless(tmp_path) == 1 and not old.exists()
    assert records.read("model", "o/m").refs
