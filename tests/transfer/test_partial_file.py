"""A partial file: what of it counts, in one stream and in ranges, at every boundary."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import Failure
from fetcher.sources.base import FileEntry
from fetcher.store import part_notes
from fetcher.store.part_notes import PartNote
from fetcher.store.store import Part
from fetcher.transfer import body_hasher, body_writer, partial_file
from fetcher.transfer.body_writer import BodyWriter
from fetcher.transfer.partial_file import Follower, PartialFile, Segment

STEP = 8  # bytes of a segment here
SIZE = 4 * STEP + 3
SHA = "a" * 64
DATA = bytes(range(1, SIZE + 1))


@dataclass
class Wanted:
    file: FileEntry
    validator: str = ""
    anew: bool = False
    restarts: int = 0
    decode: str = ""
    no_ranges: bool = False
    follower: Follower | None = None


class Desk:
    """Opens partial files below one folder, as run after run does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "x.part"
        self.map = folder / "x.part.map"
        self.writer = BodyWriter(durable=False)
        self.opened: list[PartialFile] = []
        self.path.touch()

    def open(self, size: int | None = SIZE, key: bool = True, **facts: object) -> PartialFile:
        wanted = Wanted(FileEntry("x", size, SHA if key else None), **facts)  # type: ignore[arg-type]
        file = PartialFile(wanted, Part(str(self.path), 0), self.writer)
        self.opened.append(file)
        return file

    def fill(self, count: int, **facts: object) -> None:
        """Bring the first bytes in one stream."""
        file = self.open(**facts)  # type: ignore[arg-type]
        file.write(file.segments[0], [DATA[:count]])
        file.close()

    def record(
        self, *got: int, size: int = SIZE, step: int = STEP, magic: bytes = b"fetchmap"
    ) -> None:
        self.map.write_bytes(struct.pack(f"<8sQQ{len(got)}Q", magic, size, step, *got))

    def recorded(self) -> list[int]:
        return [number for (number,) in struct.iter_unpack("<Q", self.map.read_bytes()[24:])]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(partial_file, "SEGMENT", STEP)
    monkeypatch.setattr(partial_file, "RANGES_FROM", 4 * STEP)
    desk = Desk(tmp_path)
    yield desk
    for file in desk.opened:
        file.close()
    desk.writer.close()


def spans(file: PartialFile) -> list[tuple[int, int | None, int]]:
    return [(one.start, one.stop, one.got) for one in file.segments]


# Segments


@pytest.mark.parametrize(
    ("start", "stop", "got", "at", "whole"),
    [
        (0, 5, 4, 4, False),
        (0, 5, 5, 5, True),
        (0, 5, 6, 6, True),
        (5, 9, 3, 8, False),
        (5, 9, 4, 9, True),
        (0, 0, 0, 0, True),
        (5, None, 9, 14, False),
    ],
)
def test_a_segment(start: int, stop: int | None, got: int, at: int, whole: bool) -> None:
    segment = Segment(start, stop, got)
    assert (segment.at, segment.whole) == (at, whole)


def test_a_fresh_file(desk: Desk) -> None:
    file = desk.open()
    assert spans(file) == [(0, SIZE, 0)]
    assert (file.got, file.frontier, file.complete, file.in_ranges, file.busy) == (
        0, 0, False, False, False,
    )  # fmt: skip
    assert file.has_next()


def test_nothing_is_complete_without_a_size(desk: Desk) -> None:
    file = desk.open(size=None)
    file.write(file.segments[0], [DATA])
    assert not file.complete and file.got == SIZE
    file = desk.open(size=0)
    assert file.complete


def test_a_file_in_one_stream(desk: Desk) -> None:
    file = desk.open()
    assert file.write(file.segments[0], [DATA[:3], b"", DATA[3:7]]) == 7
    assert (file.got, file.frontier, file.complete) == (7, 7, False)
    assert file.write(file.segments[0], [DATA[7:]]) == SIZE - 7
    file.settle()
    assert file.complete and desk.path.read_bytes() == DATA
    assert not desk.map.exists()


def test_many_small_buffers_are_written_in_order(desk: Desk) -> None:
    file = desk.open(size=None)
    data = bytes(n % 251 for n in range(1100))
    assert file.write(file.segments[0], [bytes([byte]) for byte in data]) == 1100
    file.settle()
    assert desk.path.read_bytes() == data


def test_what_the_system_writes_in_part_is_written_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, pwritev = os.write, os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, data, at: pwritev(fd, [data[0][:2]], at))
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    file = desk.open()
    file.write(file.segments[0], [DATA[:1]])
    assert file.write(file.segments[0], [DATA[1:9], DATA[9:20]]) == 19
    file.settle()
    assert desk.path.read_bytes() == DATA[:20]
    monkeypatch.delattr(os, "pwritev")  # as on macOS
    file.write(file.segments[0], [DATA[20:]])
    file.settle()
    assert desk.path.read_bytes() == DATA


@pytest.mark.parametrize("ranges", [True, False])
def test_after_a_piece_that_could_not_be_written_none_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, ranges: bool
) -> None:
    """A hole would look like bytes to the next run."""
    pwritev = os.pwritev
    full = threading.Event()

    def write(fd: int, data: list[bytes], at: int) -> int:
        if at >= 8 and full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwritev(fd, data, at)

    monkeypatch.setattr(os, "pwritev", write)
    file = desk.open()
    if ranges:
        file.split()
    file.write(file.segments[0], [DATA[:8]])
    file.settle()
    full.set()
    segment = file.segments[-1]
    with pytest.raises(OSError, match="No space"):  # some time after it happened
        while True:
            file.write(segment, [DATA[segment.at : segment.at + 1]])
            file.settle()
    full.clear()
    with pytest.raises(OSError, match="No space"):
        file.write(segment, [DATA[segment.at : segment.at + 1]])
    with pytest.raises(Failure) as caught:
        file.finish()
    assert caught.value.problem.code == "disk-space"
    file.close()
    assert desk.open().got == 8


def test_much_that_waits_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_writer, "_MOST_WAITING", 10)
    going, waiting, pwritev = threading.Event(), [], os.pwritev

    def write(fd: int, data: list[bytes], at: int) -> int:
        going.wait(20)
        waiting.append(desk.writer._waiting)
        return pwritev(fd, data, at)

    monkeypatch.setattr(os, "pwritev", write)
    file = desk.open()
    threading.Timer(0.05, going.set).start()
    for at in range(SIZE):
        file.write(file.segments[0], [DATA[at : at + 1]])
    file.settle()
    assert desk.path.read_bytes() == DATA and max(waiting) <= 11


@given(st.data())
def test_whatever_the_order_the_digest_is_right(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """From memory what is the next, from the file what came before its time; in any thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partial_file, "SEGMENT", STEP)
        patch.setattr(partial_file, "RANGES_FROM", STEP)
        patch.setattr(body_hasher, "BLOCK", data.draw(st.sampled_from([1, 5, 1000])))
        patch.setattr(body_hasher, "_PIECE", 3)
        desk = Desk(tmp_path_factory.mktemp("partial"))
        file = desk.open()
        file.prepare()
        while not file.complete:
            segment = data.draw(st.sampled_from([one for one in file.segments if not one.whole]))
            assert segment.stop is not None
            size = data.draw(st.integers(1, segment.stop - segment.at))
            write = data.draw(st.sampled_from([file.write, file.write_now]))
            write(segment, [DATA[segment.at : segment.at + size]])
            file.caught_up()
            if data.draw(st.booleans()):
                file.settle()
        ready = threading.Event()
        tail = file.finish()
        desk.writer.finish(tail, SIZE, ready.set)
        assert ready.wait(20)
        assert tail.digests() == (hashlib.sha256(DATA).hexdigest(), "")
        desk.writer.close()


# What the next run finds


@pytest.mark.parametrize("count", [0, 1, STEP, SIZE - 1, SIZE])
def test_the_next_run_goes_on(desk: Desk, count: int) -> None:
    desk.fill(count)
    file = desk.open()
    assert spans(file) == [(0, SIZE, count)]
    assert file.complete is (count == SIZE)


def test_more_than_there_should_be_is_of_another_file(desk: Desk) -> None:
    desk.path.write_bytes(DATA + b"!")
    assert desk.open().got == 0 and desk.path.read_bytes() == b""


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        ({}, True),
        ({"key": False}, False),
        ({"key": False, "validator": '"v"'}, True),
        ({"anew": True}, False),
        ({"decode": "here"}, False),
        ({"size": None, "key": False, "validator": '"v"'}, True),
        ({"size": None}, True),
        ({"no_ranges": True}, True),
    ],
)
def test_only_what_can_be_proven_is_kept(desk: Desk, facts: dict[str, object], kept: bool) -> None:
    desk.path.write_bytes(DATA[:9])
    assert desk.open(**facts).got == (9 if kept else 0)  # type: ignore[arg-type]
    assert desk.path.stat().st_size == (9 if kept else 0)


def test_ranges_are_read_from_their_record(desk: Desk) -> None:
    desk.path.write_bytes(DATA)
    desk.record(8, 0, 3, 0, 2)
    file = desk.open()
    assert file.in_ranges
    assert spans(file) == [(0, 8, 8), (8, 16, 0), (16, 24, 3), (24, 32, 0), (32, 35, 2)]
    assert (file.got, file.frontier) == (13, 8)


def test_a_record_may_not_say_more_than_a_segment_holds(desk: Desk) -> None:
    desk.path.write_bytes(DATA)
    desk.record(9, 8, 2**63, 8, 99)
    file = desk.open()
    assert [one.got for one in file.segments] == [8, 8, 8, 8, 3] and file.complete


@pytest.mark.parametrize(
    ("there", "got", "kept"),
    [
        (16, (8, 8, 0, 0, 0), True),
        (15, (8, 8, 0, 0, 0), False),
        (0, (0, 0, 0, 0, 0), True),
        (19, (0, 0, 3, 0, 0), True),
        (18, (0, 0, 3, 0, 0), False),
        (35, (8, 8, 8, 8, 3), True),
        (34, (8, 8, 8, 8, 3), False),
        (36, (8, 8, 8, 8, 3), False),
    ],
)
def test_a_record_of_bytes_that_are_not_there_is_none(
    desk: Desk, there: int, got: tuple[int, ...], kept: bool
) -> None:
    desk.path.write_bytes((DATA + b"!")[:there])
    desk.record(*got)
    file = desk.open()
    assert file.in_ranges is kept
    assert file.got == (sum(got) if kept else 0)
    if not kept:
        assert not desk.map.exists() and desk.path.stat().st_size == 0
        assert spans(file) == [(0, SIZE, 0)]


@pytest.mark.parametrize(
    "facts",
    [{"size": SIZE + 1}, {"size": SIZE - 1}, {"step": STEP + 1}, {"magic": b"fetchmaq"}],
)
def test_a_record_of_another_kind_counts_for_nothing(desk: Desk, facts: dict[str, object]) -> None:
    desk.path.write_bytes(DATA[:9])
    desk.record(8, 1, 0, 0, 0, **facts)  # type: ignore[arg-type]
    file = desk.open()
    # Without a sound record it is a body in one stream, whose length says how far it is.
    assert not file.in_ranges and file.got == 9 and not desk.map.exists()


@pytest.mark.parametrize("cut", [0, 1, 23, 24, 63])
def test_a_record_that_was_cut_off(desk: Desk, cut: int) -> None:
    desk.path.write_bytes(DATA[:9])
    desk.record(8, 1, 0, 0, 0)
    desk.map.write_bytes(desk.map.read_bytes()[:cut])
    assert not desk.open().in_ranges


def test_a_record_with_something_behind_it(desk: Desk) -> None:
    desk.path.write_bytes(DATA[:9])
    desk.record(8, 1, 0, 0, 0, 0)
    assert not desk.open().in_ranges


# Ranges


@pytest.mark.parametrize(
    ("facts", "split"),
    [
        ({}, True),
        ({"size": 4 * STEP}, True),
        ({"size": 4 * STEP - 1}, False),
        ({"size": None}, False),
        ({"key": False, "validator": '"v"'}, False),
        ({"no_ranges": True}, False),
        ({"decode": "here"}, False),
    ],
)
def test_when_ranges_are_worth_trying(desk: Desk, facts: dict[str, object], split: bool) -> None:
    file = desk.open(**facts)  # type: ignore[arg-type]
    assert file.may_split() is split
    file.prepare()
    assert file.in_ranges is split and desk.map.exists() is split


@pytest.mark.parametrize("there", [0, 1, STEP - 1, STEP, STEP + 1, 2 * STEP, SIZE - 1, SIZE])
def test_splitting_keeps_what_is_there(desk: Desk, there: int) -> None:
    desk.fill(there)
    file = desk.open()
    file.split()
    assert file.got == file.frontier == there
    assert desk.recorded() == [one.got for one in file.segments]
    assert [one.stop for one in file.segments] == [8, 16, 24, 32, 35]
    before = desk.map.read_bytes()
    file.split()
    assert desk.map.read_bytes() == before and file.got == there
    file.close()
    assert desk.open().got == there


def test_a_file_without_a_size_is_not_split(desk: Desk) -> None:
    file = desk.open(size=None)
    file.split()
    assert not file.in_ranges and len(file.segments) == 1


def test_each_segment_is_taken_once(desk: Desk) -> None:
    desk.fill(STEP)
    file = desk.open()
    file.split()
    taken = []
    while (segment := file.next_segment()) is not None:
        assert segment.busy and file.busy
        taken.append(segment.start)
    assert taken == [8, 16, 24, 32] and not file.has_next()
    file.segments[2].busy = False
    assert file.has_next() and file.next_segment() is file.segments[2]


def test_writing_in_any_order(desk: Desk) -> None:
    file = desk.open()
    file.split()
    fronts = []
    for n in (3, 0, 4, 2, 1):
        segment = file.segments[n]
        half = DATA[segment.start : segment.start + 2]
        assert file.write(segment, [half]) == 2
        file.settle()
        assert desk.recorded()[n] == 2
        file.write(segment, [DATA[segment.at : segment.stop]])
        file.settle()
        assert desk.recorded()[n] == segment.got
        fronts.append(file.frontier)
        assert not file.complete or n == 1
    assert fronts == [0, 8, 8, 8, 35]
    assert file.complete and file.got == SIZE
    assert desk.path.read_bytes() == DATA
    file.close()
    assert desk.open().complete


@given(st.data())
def test_whatever_arrives_the_next_run_believes_no_more(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partial_file, "SEGMENT", STEP)
        desk = Desk(tmp_path_factory.mktemp("partial"))
        try:
            file = desk.open()
            file.split()
            for _ in range(data.draw(st.integers(0, 6))):
                segment = file.next_segment()
                if segment is None:
                    break
                count = data.draw(st.integers(0, STEP))
                stop = min(segment.at + count, segment.stop or 0)
                file.write(segment, [DATA[segment.at : stop]])
                segment.busy = data.draw(st.booleans())
            got, front = file.got, file.frontier
            file.close()
            again = desk.open()
            assert (again.got, again.frontier) == (got, front)
            content = desk.path.read_bytes()
            for part in again.segments:
                assert content[part.start : part.at] == DATA[part.start : part.at]
            again.join()
            assert spans(again) == [(0, SIZE, front)]
            assert desk.path.read_bytes() == DATA[:front] and not desk.map.exists()
        finally:
            for one in desk.opened:
                one.close()
            desk.writer.close()


def test_joining_keeps_the_beginning_alone(desk: Desk) -> None:
    desk.path.write_bytes(DATA)
    desk.record(8, 5, 8, 8, 3)
    file = desk.open(no_ranges=True)
    assert desk.map.exists()
    file.prepare()
    assert spans(file) == [(0, SIZE, 13)] and not file.in_ranges and not desk.map.exists()
    assert desk.path.read_bytes() == DATA[:13]
    file.join()
    assert file.got == 13


def test_preparing_drops_what_no_longer_counts(desk: Desk) -> None:
    desk.fill(9)
    file = desk.open()
    file.download.anew = True
    file.prepare()
    assert (file.got, file.download.anew, desk.path.stat().st_size) == (0, False, 0)
    assert file.in_ranges
    file.write(file.segments[0], [DATA[:STEP]])
    file.prepare()  # a second request for the same file
    assert file.got == STEP


def test_restarting(desk: Desk) -> None:
    desk.path.write_bytes(DATA)
    desk.record(8, 5, 8, 8, 3)
    file = desk.open()
    first = file.tail
    file.restart()
    assert spans(file) == [(0, SIZE, 0)] and not file.in_ranges and not desk.map.exists()
    assert desk.path.stat().st_size == 0
    assert first is not None and first.dropped and file.tail is not None
    assert not file.tail.dropped
    file.write(file.segments[0], [DATA])
    tail = file.finish()
    ready = threading.Event()
    desk.writer.finish(tail, SIZE, ready.set)
    assert ready.wait(20) and getattr(file, "tail") is None  # noqa: B009 - finish() has changed it
    assert tail.digests() == (hashlib.sha256(DATA).hexdigest(), "")


def test_the_git_id_is_made_where_it_is_what_is_known(desk: Desk) -> None:
    wanted = Wanted(FileEntry("x", SIZE, None, "b" * 40))
    file = PartialFile(wanted, Part(str(desk.path), 0), desk.writer)
    desk.opened.append(file)
    assert file.tail is not None and file.tail.git is not None
    file.restart()
    assert file.tail is not None and file.tail.git is not None
    plain = desk.open()
    assert plain.tail is not None and plain.tail.git is None


def test_the_hasher_is_told_how_far_it_may_read(desk: Desk) -> None:
    desk.path.write_bytes(DATA)
    desk.record(8, 0, 8, 8, 3)
    file = desk.open()
    assert file.tail is not None and file.tail.written == 8
    file.write(file.segments[1], [DATA[8:12]])
    file.settle()
    assert file.tail.written == 12
    file.write(file.segments[1], [DATA[12:16]])
    file.settle()
    assert file.tail.written == SIZE


# Validators


@pytest.mark.parametrize(
    ("tag", "kept"),
    [
        ('"a"', True),
        (f'"{"x" * 200}"', True),
        (f'"{"x" * 201}"', False),
        ('""', False),
        ('"!~"', True),
        ('W/"a"', False),
        ('"a b"', False),
        ('"a"b"', False),
        ("", False),
    ],
)
def test_only_a_strong_validator_is_remembered(desk: Desk, tag: str, kept: bool) -> None:
    part_notes.write(str(desk.path), PartNote(1, SHA, '"old"', "host"))
    file = desk.open(key=False)
    file.remember_validator(tag, "host:1")
    assert file.download.validator == (tag if kept else "")
    assert part_notes.read(str(desk.path)) is None, "the old one goes"
    file.write(file.segments[0], [DATA[:5]])
    file.close()
    digest = hashlib.sha256(DATA[:5]).hexdigest()
    expected = PartNote(5, digest, tag, "host:1") if kept else None
    assert part_notes.read(str(desk.path)) == expected


# Ends and faults


def test_closing_lets_go_of_everything(desk: Desk) -> None:
    def held() -> int:
        return sum(
            os.readlink(f"/proc/self/fd/{name}").startswith(str(desk.path))
            for name in os.listdir("/proc/self/fd")
            if os.path.lexists(f"/proc/self/fd/{name}")
        )

    file = desk.open()
    file.split()
    assert held() == 2
    file.close()
    file.close()
    assert held() == 0 and file.tail is None and desk.map.exists()


@pytest.mark.parametrize("ranges", [False, True])
def test_a_link_in_place_of_a_partial_file_is_not_followed(
    desk: Desk, tmp_path: Path, ranges: bool
) -> None:
    private = tmp_path / "private"
    private.write_bytes(DATA)
    if ranges:
        desk.path.write_bytes(DATA)
        desk.record(8, 0, 0, 0, 0)
        desk.map.rename(private)
    link = desk.map if ranges else desk.path
    link.unlink(missing_ok=True)
    link.symlink_to(private)
    before = private.read_bytes()
    with pytest.raises(Failure) as caught:
        desk.open()
    assert str(desk.path) in caught.value.message
    assert private.read_bytes() == before


def test_a_disk_that_refuses_is_told_in_words(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = desk.open()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(partial_file, "write_atomically", full)
    with pytest.raises(Failure) as caught:
        file.prepare()
    assert caught.value.problem.code == "disk-space" and str(desk.path) in caught.value.message
