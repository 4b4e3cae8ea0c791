"""Records of what Hubs said: listings as they came, whose they are, and what they add up to."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from pathlib import Path

import pytest

from fetcher.config.settings import PUBLIC_HUB, Settings, Value
from fetcher.fs.processes import machine
from fetcher.sources.base import FileEntry, Listing
from fetcher.store import listings
from fetcher.store import upstream_records as module
from fetcher.store.listings import SaidCommit, take_listing
from fetcher.store.store import Store
from fetcher.store.upstream_records import (
    FileStatement,
    RefStatement,
    UpstreamRecords,
    UpstreamRepo,
    believed,
    is_record,
)

URL, OTHER = "https://hub.example", "https://other.example"
A, B, C = "a" * 40, "b" * 40, "c" * 40


def page(*names: str, digit: str = "1") -> bytes:
    found = [{"type": "file", "path": name, "size": 3, "oid": digit * 40} for name in names]
    return json.dumps(found).encode()


def listing(*pages: bytes, ref: str = "main", path: str = "", commit: str = A,
            closed: bool = False, whole: bool = True, by: str = URL) -> Listing:  # fmt: skip
    return Listing(by, "model", "o/m", commit, ref, path, pages, closed, whole)


@pytest.fixture
def records(tmp_path: Path) -> UpstreamRecords:
    return UpstreamRecords(tmp_path, URL)


def read(records: UpstreamRecords, runs: bool = True) -> UpstreamRepo:
    return records.read("model", "o/m", runs)


def said(records: UpstreamRecords, commit: str = A) -> SaidCommit:
    return records.said_of("model", "o/m", commit)


# Where it is kept


def test_folders_are_named_for_people_and_told_apart_by_a_digest(tmp_path: Path) -> None:
    records = UpstreamRecords(tmp_path, "https://hub_1.example:8080/a")
    assert re.fullmatch(r"upstream/hub-1\.example-8080-[0-9a-f]{12,}",
                        str(records.root.relative_to(tmp_path)))  # fmt: skip
    folder = records.folder("model", "o/m.x_y")
    assert folder.parent == records.root
    assert re.fullmatch(r"model--o--m\.x_y-[0-9a-f]{12,}", folder.name)
    assert records.folder("dataset", "o/m.x_y") != folder != records.folder("model", "o--m.x_y")
    assert len(records.folder("model", "x" * 300).name) < 100
    long = UpstreamRecords(tmp_path, f"https://{'h' * 100}.example")
    assert long.root.name.startswith("h" * 60 + "-") and not long.root.name.startswith("h" * 61)
    about = {"schema": "fetch.upstream/1", "url": records.url}
    records.add("model", "o/m", [])
    assert json.loads((records.root / "upstream.json").read_bytes()) == about


def test_what_bundles_say_has_a_place_of_its_own(tmp_path: Path) -> None:
    """Each bundle speaks for itself; a Hub's later word stands for its earlier one."""
    bundles, hub = UpstreamRecords.of_bundles(tmp_path), UpstreamRecords(tmp_path, URL)
    assert bundles.root == tmp_path / "upstream/bundles" and bundles.url == ""
    for by in ("one", "two"):
        bundles.add_pages(listing(page("f"), by=by))
        hub.add_pages(listing(page("f"), by=by))
    folder = bundles.folder("model", "o/m")
    assert len(list(folder.glob("*.pages"))) == 2
    assert len(list(hub.folder("model", "o/m").glob("*.pages"))) == 1
    bundles.forget([])
    bundles.forget(["three"])
    (folder / "torn.pages").write_bytes(b"[]\n")
    (folder / "empty.pages").write_bytes(b"")
    assert len(list(folder.glob("*.pages"))) == 4
    bundles.forget(["one", "three"])
    (left,) = folder.glob(f"{A}.*.pages")
    assert json.loads(left.read_bytes().split(b"\n")[0])["by"] == "two"


def test_what_a_listing_is_kept_as(records: UpstreamRecords) -> None:
    before = int(time.time())
    records.add_pages(listing(b"[\n]\n", page("f"), path="sub", whole=False))
    (path,) = records.folder("model", "o/m").glob("*.pages")
    assert re.fullmatch(rf"{A}\.[0-9a-f]{{12,}}\.pages", path.name)
    about, *pages = path.read_bytes().split(b"\n")
    found = json.loads(about)
    assert before <= found.pop("at") <= time.time()
    assert found == {
        "schema": "fetch.listing/1", "kind": "model", "id": "o/m", "commit": A, "ref": "main",
        "path": "sub", "closed": False, "whole": False, "by": URL}  # fmt: skip
    assert pages == [b"[ ] ", page("f"), b""]


@pytest.mark.parametrize(("closed", "mode"), [(True, 0o600), (False, 0o644)])
def test_who_may_read_it(records: UpstreamRecords, closed: bool, mode: int) -> None:
    mask = os.umask(0)
    try:
        records.add_pages(listing(page("f"), closed=closed))
    finally:
        os.umask(mask)
    (path,) = records.folder("model", "o/m").glob("*.pages")
    assert path.stat().st_mode & 0o777 == mode


def test_what_a_killed_run_left_goes(records: UpstreamRecords) -> None:
    folder = records.folder("model", "o/m")
    folder.mkdir(parents=True)
    left = folder / f".{A}.pages.{machine()}.{os.getpid()}-{'0' * 12}-1.tmp"
    left.write_bytes(b"half")
    records.add_pages(listing(page("f")))
    assert not left.exists() and len(list(folder.iterdir())) == 1


def test_a_record_that_cannot_be_written_leaves_no_part(
    records: UpstreamRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    records.add("model", "o/m", [])
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="full"):
        records.add_pages(listing(page("f")))
    names = [path.name for path in records.folder("model", "o/m").iterdir()]
    assert names == [f"said.{os.geteuid()}.jsonl"]


@pytest.mark.parametrize("sync", [True, False])
def test_statements_are_one_write_and_reach_the_disk_where_wanted(
    records: UpstreamRecords, monkeypatch: pytest.MonkeyPatch, sync: bool
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    records.add("model", "o/m", [], sync=True)
    synced.clear()
    before = len(os.listdir("/proc/self/fd"))
    refs = [RefStatement(ref, A, False, 5.7) for ref in ("main", "v1")]
    records.add("model", "o/m", refs, sync=sync)
    assert len(synced) == sync and len(os.listdir("/proc/self/fd")) == before
    path = records.folder("model", "o/m") / f"said.{os.geteuid()}.jsonl"
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
    assert lines == [
        {"kind": "model", "id": "o/m", "ref": ref, "commit": A, "closed": False, "at": 5}
        for ref in ("main", "v1")
    ]
    assert path.read_bytes().startswith(b"\n") and path.read_bytes().endswith(b"}\n")


def test_a_disk_that_takes_half_a_statement(
    records: UpstreamRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    records.add("model", "o/m", [])
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:-1]))
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.ENOSPC))) as caught:
        records.add("model", "o/m", [RefStatement("main", A, False)])
    assert caught.value.errno == errno.ENOSPC and len(os.listdir("/proc/self/fd")) == before


# What it adds up to


def test_listings_of_one_commit_add_up(records: UpstreamRecords) -> None:
    assert said(records) == SaidCommit() and SaidCommit().closed and not SaidCommit().whole
    records.add_pages(listing(page("a/f"), page("a/g"), ref="", path="a", closed=True))
    found = said(records)
    assert sorted(found.files) == ["a/f", "a/g"] and found.closed and not found.whole
    assert found.refs == {}
    records.add_pages(listing(page("a/f", "h"), ref="v1"))
    found = said(records)
    assert sorted(found.files) == ["a/f", "a/g", "h"] and found.whole and not found.closed
    assert found.refs.keys() == {"v1"} and found.contested == set()
    assert found.files["h"] == FileEntry("h", 3, None, "1" * 40)
    records.add_pages(listing(page("h", "i", digit="2"), ref="v2", whole=False))
    found = said(records)
    assert found.contested == {"h"} and sorted(found.files) == ["a/f", "a/g", "i"]
    records.add_pages(listing(page("h", digit="2"), ref="v3", whole=False))
    assert "h" not in said(records).files, "a third one decides nothing"
    assert said(records, B) == SaidCommit()


def test_a_part_is_not_the_whole(records: UpstreamRecords) -> None:
    for whole, path in ((False, ""), (True, "a"), (False, "a")):
        records.add_pages(listing(page("a/f"), path=path, whole=whole))
        assert not said(records).whole


def test_the_later_word_on_a_ref_counts(
    records: UpstreamRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, commit, path in ((100, A, ""), (300, B, ""), (200, A, "x")):
        monkeypatch.setattr(time, "time", lambda at=at: float(at))
        records.add_pages(listing(page("f"), commit=commit, path=path, whole=not path))
    assert said(records).refs == {"main": 200.0} and said(records, B).refs == {"main": 300.0}
    found = read(records)
    assert found.refs["main"] == RefStatement("main", B, False, 300.0)
    assert found.stood == {"main": {A, B}}
    into = SaidCommit()
    monkeypatch.setattr(time, "time", lambda: 900.0)
    take_listing(listing(page("f")), into)
    assert into.refs == {"main": 900.0}
    take_listing(listing(page("f")), into, 0.0)
    assert into.refs == {"main": 900.0}


WRONG: list[dict[str, object]] = [
    {"kind": "dataset"}, {"id": "o/other"}, {"commit": B}, {"ref": None}, {"ref": 1}, {"path": 1},
    {"at": "now"}, {"at": 1.5}, {"at": None},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_record_of_something_else_does_not_count(
    records: UpstreamRecords, wrong: dict[str, object]
) -> None:
    records.add_pages(listing(page("f")))
    (path,) = records.folder("model", "o/m").glob("*.pages")
    about, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(json.dumps(json.loads(about) | wrong).encode() + b"\n" + rest)
    assert said(records) == SaidCommit()


@pytest.mark.parametrize(("name", "value", "closed", "whole"), [
    ("closed", None, True, True), ("closed", 0, True, True), ("whole", 1, False, False),
    ("whole", None, False, False),
])  # fmt: skip
def test_what_is_not_said_plainly_is_the_less(
    records: UpstreamRecords, name: str, value: object, closed: bool, whole: bool
) -> None:
    records.add_pages(listing(page("f")))
    (path,) = records.folder("model", "o/m").glob("*.pages")
    about, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(json.dumps(json.loads(about) | {name: value}).encode() + b"\n" + rest)
    assert (said(records).closed, said(records).whole) == (closed, whole)


def test_only_the_persons_own_records_count(
    records: UpstreamRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.add_pages(listing(page("f")))
    (path,) = records.folder("model", "o/m").glob("*.pages")
    for mode, counts in ((0o664, False), (0o646, False), (0o644, True), (0o600, True)):
        path.chmod(mode)
        assert bool(said(records).files) is counts
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    assert bool(said(records).files) is (me == 0)  # root could write anything
    if me == 0:
        os.chown(path, 1234, -1)
    assert said(records) == SaidCommit()
    monkeypatch.setattr(os, "name", "nt")
    assert said(records).files


def test_a_record_larger_than_any_is_not_read(
    records: UpstreamRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.add_pages(listing(page("f")))
    (path,) = records.folder("model", "o/m").glob("*.pages")
    monkeypatch.setattr(listings, "MAX_LIST", path.stat().st_size)
    assert said(records).files
    monkeypatch.setattr(listings, "MAX_LIST", path.stat().st_size - 1)
    assert said(records) == SaidCommit()


# A repository


def test_what_runs_were_told_is_read_where_it_is_asked_for(records: UpstreamRecords) -> None:
    records.add_pages(listing(page("f"), ref="v1"))
    assert read(records, runs=False) == UpstreamRepo("model", "o/m")
    assert module.read(records.folder("model", "o/m")) is None
    records.add("model", "o/m", [RefStatement("main", B, False, 5.0)])
    assert read(records, runs=False).refs.keys() == {"main"}
    found = read(records)
    assert found.refs.keys() == {"main", "v1"} and found.listings.keys() == {A}
    assert list(records.all()) == [found]


def test_a_listing_of_a_folder_says_all_of_that_folder(records: UpstreamRecords) -> None:
    records.add_pages(listing(page("a/f"), path="a", closed=True))
    records.add_pages(listing(page("b/f"), path="b", whole=False))
    records.add("model", "o/m", [FileStatement(C, FileEntry("x", 3, "9" * 64))])
    found = read(records)
    assert found.folders.keys() == {A} and found.folders[A].keys() == {"a"}
    assert found.listings == {} and found.logins == {True, False}
    assert found.listed(A, "a/f") == found.folders[A]["a"] == found.listed(A, "a/g")
    assert found.listed(A, "ab") is None and found.listed(A, "a") is None
    assert found.listed(C, "x") == {"x": FileEntry("x", 3, "9" * 64)}
    assert found.listed(C, "y") is None and found.listed(B, "x") is None
    records.add_pages(listing(page("z"), commit=C))
    assert read(records).listed(C, "x") == {"z": FileEntry("z", 3, None, "1" * 40)}


def test_whether_a_repository_is_closed() -> None:
    told = RefStatement("main", A, False)
    for logins, ref, closed, unsure in (
        (set(), None, True, False),
        ({True}, None, True, True),
        ({False}, None, False, False),
        ({True, False}, None, False, False),
        ({True}, told, False, False),
        ({False}, RefStatement("main", A, True), True, False),
    ):
        repo = UpstreamRepo("model", "o/m", logins=logins, told=ref)
        assert (repo.closed, repo.unsure) == (closed, unsure), (logins, ref)


def test_the_latest_statement_says_whether_it_is_closed(records: UpstreamRecords) -> None:
    for at, closed in ((5, True), (9, False), (9, True), (7, False)):
        records.add("model", "o/m", [RefStatement(f"r{at}{closed}", A, closed, float(at))])
    told = read(records).told
    assert told is not None and (told.at, told.closed) == (9.0, True)
    path = records.folder("model", "o/m") / f"said.{os.geteuid()}.jsonl"
    line = {"kind": "model", "id": "o/m", "ref": "x", "commit": A, "at": 99}
    with path.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    assert read(records).closed and read(records).refs["x"].closed, "what says nothing is"


def test_commits_are_in_the_order_in_which_refs_reached_them(records: UpstreamRecords) -> None:
    for commit in (A, B, C):
        records.add("model", "o/m", [FileStatement(commit, FileEntry("x", 3, "9" * 64))])
    assert read(records).commits() == [A, B, C]
    records.add("model", "o/m", [RefStatement("v1", A, False, 5.0)])
    records.add("model", "o/m", [RefStatement("main", B, False, 4.0)])
    assert read(records).commits() == [C, B, A]


# Everything


def test_marks_change_when_more_is_said(records: UpstreamRecords) -> None:
    assert records.mark("model", "o/m") is None and records.marks() == []
    assert records.folders() == []
    records.add("model", "o/m", [RefStatement("main", A, False)])
    first, all_of_it = records.mark("model", "o/m"), records.marks()
    assert first is not None and records.mark("model", "o/m") == first
    records.add("model", "o/m", [RefStatement("main", B, False)])
    assert records.mark("model", "o/m") != first and records.marks() != all_of_it
    second = records.mark("model", "o/m")
    records.add_pages(listing(page("f")))
    assert records.mark("model", "o/m") != second
    records.add_pages(Listing(URL, "dataset", "o/d", A, "main", "", (page("f"),), False))
    (records.root / "empty").mkdir()
    assert records.folders() == sorted(
        [records.folder("model", "o/m"), records.folder("dataset", "o/d")]
    )


def test_whose_word_counts_where_nobody_named_one(tmp_path: Path) -> None:
    assert believed(tmp_path, URL) == []
    UpstreamRecords(tmp_path, OTHER).add("model", "o/m", [])
    assert believed(tmp_path, URL) == [OTHER]
    UpstreamRecords(tmp_path, "https://third.example").add("model", "o/m", [])
    assert sorted(believed(tmp_path, URL)) == [OTHER, "https://third.example"]
    UpstreamRecords(tmp_path, URL).add("model", "o/m", [])
    assert believed(tmp_path, URL) == [URL]


def test_which_folders_are_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = UpstreamRecords(tmp_path / "store", URL)
    assert is_record(records.folder("model", "o/m"), tmp_path / "store")
    assert not is_record(tmp_path / "store/upstream", tmp_path / "store")
    assert not is_record(tmp_path / "work/upstream/x", tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    assert is_record(Path("store/upstream/x"), tmp_path / "store")
    assert is_record(tmp_path / "store/upstream/x", Path("store"))


@pytest.mark.parametrize(("url", "name"), [
    ("HTTPS://Hub.example/", "https://hub.example"),
    ("https://hub.example/a/X//", "https://hub.example/a/X"),
    ("https://u:p@hub.example:8080/a?b/c#d", "https://hub.example:8080/a"),
    ("https://hub.example#a/b", "https://hub.example"),
    ("https://hub.example?a/b", "https://hub.example"),
    ("http://hub.example:443", "http://hub.example:443"),
])  # fmt: skip
def test_the_name_of_an_address(url: str, name: str) -> None:
    assert module.endpoint(url) == name


def test_nobody_waits_for_the_disk_unasked(
    records: UpstreamRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.add("model", "o/m", [])
    monkeypatch.setattr(os, "fsync", lambda handle: pytest.fail("it costs milliseconds"))
    records.add("model", "o/m", [RefStatement("main", A, False)])


@pytest.mark.parametrize("closed", [True, False])
def test_a_statement_is_read_as_it_was_made(records: UpstreamRecords, closed: bool) -> None:
    ref = RefStatement("main", A, closed, 5.0)
    file = FileEntry("x", 0, "9" * 64, "8" * 40, True, computed=True)
    records.add("model", "o/m", [ref, FileStatement(B, file)])
    found = records.read("model", "o/m")
    assert found.refs == {"main": ref} and found.told == ref and found.stood == {"main": {A}}
    assert found.files == {B: {"x": file}} and found.closed is closed
    before = time.time()
    assert before <= RefStatement("main", A, closed).at <= time.time()


def test_what_runs_were_told_is_no_servers_to_tell(records: UpstreamRecords) -> None:
    """Not unless it is asked for: a run may have read it with a login."""
    records.add_pages(listing(page("f"), closed=True))
    records.add("model", "o/m", [])
    assert records.read("model", "o/m") == UpstreamRepo("model", "o/m")
    assert records.read("model", "o/m", True).listings


@pytest.mark.parametrize("what", ["folder", "link", "pipe"])
def test_what_is_no_record_hides_no_other(records: UpstreamRecords, what: str) -> None:
    records.add_pages(listing(page("f")))
    odd = records.folder("model", "o/m") / f"{A}.0.pages"
    if what == "folder":
        odd.mkdir()
    elif what == "link":
        odd.symlink_to("nowhere")
    else:
        os.mkfifo(odd)
    assert said(records).files and read(records).listings[A]
    (records.folder("model", "o/m") / B).mkdir()
    records.add("model", "o/m", [RefStatement("main", A, False, 5.0)])
    assert read(records).refs.keys() == {"main"}


def test_a_whole_listing_outweighs_a_servers(records: UpstreamRecords) -> None:
    mine = [FileEntry("old", 1, None, "7" * 40)]
    records.add_listing("model", "o/m", A, mine)
    records.add("model", "o/m", [RefStatement("main", A, False, 5.0)])
    assert read(records).listings[A] == {"old": mine[0]}
    records.add_pages(listing(page("f"), path="", whole=False))
    assert read(records).listings[A] == {"old": mine[0]}
    records.add_pages(listing(page("g"), ref="v1"))
    assert read(records).listings[A].keys() == {"g"}
    assert records.read("model", "o/m").listings[A] == {"old": mine[0]}


def test_the_files_of_a_commit_have_the_digests_that_fetching_gave() -> None:
    git, other = "1" * 40, "2" * 40
    repo = UpstreamRepo("model", "o/m")
    repo.listings[A] = {
        "small": FileEntry("small", 3, None, git),
        "large": FileEntry("large", 9, "3" * 64, None, True),
        "moved": FileEntry("moved", 3, None, other),
    }
    repo.folders[A] = {"sub": {"sub/x": FileEntry("sub/x", 1, None, git)}}
    fetched = {
        "small": FileEntry("small", 3, "4" * 64, git, computed=True),
        "large": FileEntry("large", 9, "3" * 64, None, True, computed=True),
        "moved": FileEntry("moved", 3, "5" * 64, git, computed=True),
        "new": FileEntry("new", 3, "6" * 64),
    }
    repo.files[A] = fetched
    found = repo.at(A)
    assert found == {**fetched, "moved": repo.listings[A]["moved"], **repo.folders[A]["sub"]}
    assert repo.at(B) == {} and repo.listings[A]["small"].sha256 is None


def test_whose_hub_a_persons_runs_speak_of(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    for origin, rewrite, choice, kept in (
        ("environment", "environment", URL, URL),
        ("fetch.yaml", "environment", PUBLIC_HUB, PUBLIC_HUB),
        (".env", "environment", PUBLIC_HUB, PUBLIC_HUB),
        ("environment", "fetch.yaml", PUBLIC_HUB, URL),
    ):
        values = {
            "hf_endpoint": Value(URL, origin),
            "rewrite": Value("https://a=https://b", rewrite),
            "store": Value(store, "environment"),
        }
        settings = Settings(tmp_path, values)
        assert module.of_choice(settings) == choice
        records = module.of_person(settings)
        assert records is not None and (records.url, records.store) == (kept, tmp_path / "store")


def test_without_a_home_a_person_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fetcher.config.settings.cache_folder", lambda: None)
    values = {"hf_endpoint": Value(URL, "test"), "store": Value("st", "fetch.yaml")}
    assert module.of_person(Settings(tmp_path, values)) is None


def test_what_statements_lead_to_is_needed(tmp_path: Path) -> None:
    hub = UpstreamRecords(tmp_path, URL)
    one, two = FileEntry("x", 3, "9" * 64), FileEntry("y", 4, "8" * 64)
    hub.add("model", "o/m", [FileStatement(A, one), FileStatement(B, two)])
    UpstreamRecords(tmp_path, OTHER).add("dataset", "o/d", [FileStatement(C, two)])
    hub.add("model", "o/torn", [])
    hub.add_pages(listing(page("only listed")))
    found = list(module.needed(Store(tmp_path)))
    assert sorted(found) == sorted([one, two, two])
    assert list(module.needed(Store(tmp_path / "none"))) == []
