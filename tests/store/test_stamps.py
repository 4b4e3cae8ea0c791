"""Files of stamps: what is read of them, when they are merged, and whose are believed."""

from __future__ import annotations

import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.fs.atomic import Stat, stat_of
from fetcher.store import stamps as module
from fetcher.store.stamps import Stamp, StampFiles, Stamps

A, B, C = "a" * 64, "b" * 64, "c" * 64
GIT, OTHER = "1" * 40, "2" * 40


@pytest.fixture
def files(tmp_path: Path) -> StampFiles:
    (tmp_path / "stamps").mkdir()
    return StampFiles(tmp_path / "stamps")


def stat(uid: int, **more: int) -> os.stat_result:
    values = {"ino": 3, "size": 1, "mtime": 2, "ctime": 9} | more
    plain = (0o100644, values["ino"], 1, 1, uid, 0, values["size"], 0, 0, 0)
    named = {"st_mtime_ns": values["mtime"], "st_ctime_ns": values["ctime"]}
    return os.stat_result(plain, named)


# What a stamp says


def test_a_stamp_of_ones_own_file_needs_no_ctime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert Stamp.of(stat(1000), GIT) == Stamp(1, 2, 3, GIT, 0) == Stamp.of(stat(0), GIT)
    assert Stamp.of(stat(1001), "") == Stamp(1, 2, 3, "", 9)
    assert Stamp.of(Stat(1, 2, 3), GIT) == Stamp(1, 2, 3, GIT, 0)


@pytest.mark.parametrize("changed", ["size", "mtime", "ino", "ctime", ""])
@pytest.mark.parametrize("foreign", [True, False])
def test_what_differs_from_a_stamp(changed: str, foreign: bool) -> None:
    """Another person may set back all but the ctime; one's own changes with each link."""
    now = stat(0, **({changed: 77} if changed else {}))
    matches = not changed or (changed == "ctime" and not foreign)
    assert Stamp(1, 2, 3, "", 9).matches(now, foreign) is matches


STAMPS = st.builds(
    Stamp,
    st.integers(0, 10**19),
    st.integers(-(10**18), 10**19),
    st.integers(0, 10**19),
    st.sampled_from(["", GIT, OTHER]),
    st.integers(-(10**18), 10**19),
)


@given(said=st.lists(st.tuples(st.sampled_from([A, B, C]), STAMPS), max_size=6))
def test_stamps_are_read_as_they_were_written(
    said: list[tuple[str, Stamp]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = StampFiles(tmp_path_factory.mktemp("s"))
    wanted: dict[str, Stamp] = {}
    for sha256, stamp in said:
        files.append(module._line(sha256, stamp))
        git = stamp.git_blob or (wanted[sha256].git_blob if sha256 in wanted else "")
        wanted[sha256] = stamp._replace(git_blob=git)
    assert files.read() == wanted
    assert files.git_ids() == {(sha256, one.git_blob) for sha256, one in said if one.git_blob}


def test_how_a_line_is_written() -> None:
    """Older versions read it: the fifth number is there only where it says something."""
    assert module._line(A, Stamp(1, 2, 3, GIT)) == f"{A}\t1\t2\t3\t{GIT}\n"
    assert module._line(A, Stamp(1, -2, 3, "", 4)) == f"{A}\t1\t-2\t3\t\t4\n"


# Files


def test_a_writer_has_one_file_until_it_closes(files: StampFiles) -> None:
    files.close()
    before = time.time_ns()
    files.append("one\n")
    files.append("two\n")
    (path,) = files.folder.iterdir()
    assert path.read_bytes() == b"one\ntwo\n"
    assert re.fullmatch(r"\d{20}-[0-9a-f]{8}\.tsv", path.name)
    assert before <= int(path.name[:20]) <= time.time_ns()
    files.close()
    files.append("three\n")
    assert len(list(files.folder.iterdir())) == 2
    path.unlink()
    files.append("four\n")
    assert (files._path or path).read_bytes() == b"three\nfour\n"


def test_a_file_that_was_merged_away_is_made_anew(files: StampFiles) -> None:
    files.append("one\n")
    next(files.folder.iterdir()).unlink()
    files.append("two\n")
    (path,) = files.folder.iterdir()
    assert path.read_bytes() == b"two\n"


def test_what_cannot_be_appended_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StampFiles(tmp_path / "no/such").append("x\n")


def quiet(files: StampFiles, name: str, text: str, age: float = 3700) -> Path:
    path = files.folder / name
    path.write_text(text, "ascii")
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


@pytest.mark.parametrize(("many", "merged"), [(2, False), (3, True)])
def test_quiet_files_are_merged_where_they_are_many(
    files: StampFiles, monkeypatch: pytest.MonkeyPatch, many: int, merged: bool
) -> None:
    monkeypatch.setattr(module, "_MAX_FILES", 2)
    old = [quiet(files, f"{i}-x.tsv", f"{A}\t{i}\t0\t0\t{GIT if i == 1 else ''}\n")
           for i in range(1, many + 1)]  # fmt: skip
    young = quiet(files, "8-x.tsv", f"{B}\t1\t1\t1\t\n", 3500)
    other = quiet(files, "0-x.txt", "no stamps")
    files.append(f"{C}\t1\t1\t1\t\n")
    mine = files._path
    files.close()
    files.close()
    assert young.exists() and other.exists() and mine and mine.exists()
    assert [path.exists() for path in old] == [not merged] * many
    target = files.folder / f"{many}-x.merged.tsv"
    assert target.exists() is merged
    if merged:
        assert target.read_text() == f"{A}\t{many}\t0\t0\t{GIT}\n", "the latest, with its git id"
    assert files.read()[A] == Stamp(many, 0, 0, GIT)


def test_merged_files_are_merged_again_whatever_their_age(
    files: StampFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_FILES", 1)
    quiet(files, "1-x.merged.tsv", f"{A}\t1\t1\t1\t\n", 0)
    quiet(files, "2-x.merged.tsv", f"{B}\t1\t1\t1\t\n", 0)
    files.append(f"{C}\t1\t1\t1\t\n")
    files.close()
    names = sorted(path.name for path in files.folder.iterdir())
    assert len(names) == 2 and "2-x.merged.tsv" in names and "1-x.merged.tsv" not in names
    assert set(files.read()) == {A, B, C}


@pytest.mark.parametrize(("age", "finished"), [(3599, False), (3600, False), (3601, True)])
def test_an_hour_is_quiet(
    files: StampFiles, monkeypatch: pytest.MonkeyPatch, age: int, finished: bool
) -> None:
    path = quiet(files, "1-x.tsv", "")
    os.utime(path, (5000, 5000))
    monkeypatch.setattr(time, "time", lambda: 5000.0 + age)
    assert module._is_finished(path) is finished


def test_what_cannot_be_merged_stays(files: StampFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_FILES", 0)
    quiet(files, "1-x.tsv", f"{A}\t1\t1\t1\t\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    files.append(f"{B}\t1\t1\t1\t\n")
    files.close()
    assert set(files.read()) == {A, B}


def test_false_git_ids_are_dropped_whoever_said_them(files: StampFiles) -> None:
    quiet(files, "1-x.tsv", f"{A}\t1\t1\t1\t{OTHER}\n{B}\t1\t1\t1\t{GIT}\n")
    good = quiet(files, "2-x.tsv", f"{A}\t2\t2\t2\t{GIT}\n{C}\t2\t2\t2\t\n")
    quiet(files, "3-x.tsv", f"{A}\t3\t3\t3\t{OTHER}\n")
    before = stat_of(str(good))
    assert files.git_ids() == {(A, OTHER), (A, GIT), (B, GIT)}
    files.drop({(A, OTHER)})
    assert files.git_ids() == {(A, GIT), (B, GIT)}
    assert files.read() == {
        A: Stamp(2, 2, 2, GIT), B: Stamp(1, 1, 1, GIT), C: Stamp(2, 2, 2, "")}  # fmt: skip
    assert stat_of(str(good)) == before, "what says nothing false is not written anew"
    files.drop({(A, "9" * 40)})
    assert len(list(files.folder.iterdir())) == 3


# Whose are believed


def own_folder(stamps: Stamps) -> Path:
    assert stamps.own is not None
    return stamps.own.folder


def test_ones_own_stamps_are_proof_and_the_stores_are_hints(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "stamps").mkdir(parents=True)
    stamps = Stamps(store)
    stamps.hints.append(f"{A}\t1\t1\t1\t{GIT}\n{B}\t1\t1\t1\t{GIT}\n{B}\t1\t1\t1\t{OTHER}\n")
    assert stamps.proven == {} and stamps.by_git() == {}
    assert sorted(stamps.claimed(GIT)) == [A, B] and stamps.claimed(OTHER) == [B]
    assert stamps.claimed("9" * 40) == []
    stamps.add(C, Stamp(1, 2, 3, GIT), True)
    assert stamps.proven == {C: Stamp(1, 2, 3, GIT)} and stamps.by_git() == {GIT: C}
    stamps.write(stamps.take_unwritten())
    assert stamps.take_unwritten() == ""
    fresh = Stamps(store)
    assert fresh.proven == {C: Stamp(1, 2, 3, GIT)}
    assert sorted(fresh.claimed(GIT)) == [A, B, C]


def test_stores_have_folders_of_their_own_whatever_leads_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("one")
    one, two, link = (own_folder(Stamps(tmp_path / name)) for name in ("one", "two", "link"))
    assert one == link != two
    assert one.parent == tmp_path / "cache/fetch/stamps"
    assert re.fullmatch("[0-9a-f]{24}", one.name)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775, 0o757])
def test_stamps_where_others_may_write_are_no_proof(tmp_path: Path, mode: int) -> None:
    stamps = Stamps(tmp_path)
    stamps.add(A, Stamp(1, 2, 3, GIT), True)
    stamps.write(stamps.take_unwritten())
    folder = own_folder(stamps)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(mode)
    believed = {A: Stamp(1, 2, 3, GIT)} if not mode & 0o022 else {}
    assert Stamps(tmp_path).proven == believed


def test_a_link_in_place_of_the_folder_is_not_believed(tmp_path: Path) -> None:
    stamps = Stamps(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o777)
    theirs.chmod(0o777)
    (theirs / "1-x.tsv").write_text(f"{A}\t1\t2\t3\t{GIT}\n")
    folder = own_folder(stamps)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(theirs)
    assert Stamps(tmp_path).proven == {}


def test_without_a_home_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cache_folder", lambda: None)
    (tmp_path / "stamps").mkdir()
    stamps = Stamps(tmp_path)
    assert stamps.own is None and stamps.proven == {}
    stamps.add(A, Stamp(1, 2, 3, ""), True)
    stamps.write(stamps.take_unwritten())
    stamps.close()
    assert set(stamps.hints.read()) == {A} and Stamps(tmp_path).proven == {}


def test_what_can_be_written_in_one_place_alone_is_written_there(tmp_path: Path) -> None:
    stamps = Stamps(tmp_path / "no store")
    stamps.write(f"{A}\t1\t2\t3\t\n")
    assert set(Stamps(tmp_path / "no store").proven) == {A}
    other = Stamps(tmp_path)
    (tmp_path / "stamps").mkdir()
    folder = own_folder(other)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_bytes(b"a file in the way")
    other.write(f"{B}\t1\t2\t3\t\n")
    assert set(other.hints.read()) == {B}


@pytest.mark.parametrize("write", [True, False])
def test_what_is_added_is_known_at_once(tmp_path: Path, write: bool) -> None:
    stamps = Stamps(tmp_path)
    assert stamps.by_git() == {}
    stamps.add(A, Stamp(1, 1, 1, GIT), write)
    stamps.add(A, Stamp(2, 2, 2, ""), write)
    stamps.add(B, Stamp(3, 3, 3, ""), write)
    assert stamps.proven == {A: Stamp(2, 2, 2, GIT), B: Stamp(3, 3, 3, "")}
    assert stamps.by_git() == {GIT: A}
    lines = [f"{A}\t1\t1\t1\t{GIT}\n", f"{A}\t2\t2\t2\t{GIT}\n", f"{B}\t3\t3\t3\t\n"]
    assert stamps.take_unwritten() == ("".join(lines) if write else "")


def test_a_look_anew_sees_what_others_wrote(tmp_path: Path) -> None:
    (tmp_path / "stamps").mkdir()
    stamps, other = Stamps(tmp_path), Stamps(tmp_path)
    assert (stamps.proven, stamps.by_git(), stamps.claimed(GIT)) == ({}, {}, [])
    other.write(f"{A}\t1\t2\t3\t{GIT}\n")
    assert (stamps.proven, stamps.by_git(), stamps.claimed(GIT)) == ({}, {}, [])
    stamps.refresh()
    assert set(stamps.proven) == {A}
    assert (stamps.by_git(), stamps.claimed(GIT)) == ({GIT: A}, [A])


def test_threads_lose_nothing_to_each_other(tmp_path: Path) -> None:
    """A server looks for contents in some threads, while others bring more."""
    (tmp_path / "stamps").mkdir()
    first = {f"{n:064x}": f"{n:040x}" for n in range(3000)}
    more = [f"{n:064x}" for n in range(3000, 4000)]
    Stamps(tmp_path).write("".join(f"{k}\t1\t1\t1\t{git}\n" for k, git in first.items()))
    stamps = Stamps(tmp_path)

    def look(_: int) -> None:
        assert stamps.by_git()["0" * 40] and stamps.claimed(f"{2999:040x}") == [f"{2999:064x}"]

    def bring(sha256: str) -> None:
        stamps.add(sha256, Stamp(1, 1, 1, sha256[24:]), True)

    switches = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = []
            for n, key in enumerate(more):
                found.append(pool.submit(bring, key))
                if n % 10 == 0:
                    found.append(pool.submit(look, n))
            for one in found:
                one.result()
    finally:
        sys.setswitchinterval(switches)
    assert set(stamps.proven) == {*first, *more}
    assert set(stamps.by_git().values()) == {*first, *more}
    assert len(stamps.take_unwritten().splitlines()) == len(more)


def test_closing_ends_both_files(tmp_path: Path) -> None:
    (tmp_path / "stamps").mkdir()
    stamps = Stamps(tmp_path)
    for _ in range(2):
        stamps.write(f"{A}\t1\t2\t3\t\n")
        stamps.write(f"{A}\t1\t2\t3\t\n")
        stamps.close()
    assert len(list(stamps.hints.folder.iterdir())) == 2
    assert len(list(own_folder(stamps).iterdir())) == 2


def test_a_stamp_of_a_real_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    path = str(tmp_path / "f")
    assert Stamp.of(os.lstat(path), "") == Stamp.of(stat_of(path), "")
    assert Stamp.of(stat_of(path), "").matches(os.lstat(path), False)
