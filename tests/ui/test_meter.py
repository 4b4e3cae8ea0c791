"""Numbers that never run backwards, whatever the order of events."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from fetcher.ui.meter import (
    ASKING,
    CHECKING,
    DOWNLOADING,
    PLACING,
    UNPACKING,
    WAITING,
    Figures,
    InFlight,
    Meter,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Fake:
    """One file of a run that hypothesis drives: it may restart, vanish, fail or come whole.

    `told` is what is said of its size before: right, wrong, or nothing.
    """

    name: str
    size: int
    told: int | None
    there: int = 0
    received: int = 0
    shown: int | None = None  # what is known of its size just now
    state: str = "new"  # new, a state of InFlight, unseen, done, failed, elsewhere

    def look(self) -> InFlight:
        expected = -1 if self.told is None else self.told
        return InFlight(
            self.name, self.state, self.there, self.shown, self.received, expected=expected
        )


_STATES = (ASKING, WAITING, DOWNLOADING, CHECKING, UNPACKING, PLACING)
_OVER = {"done", "failed", "elsewhere"}


@dataclass
class World:
    meter: Meter
    clock: Clock
    files: list[Fake] = field(default_factory=list)
    seen: list[Figures] = field(default_factory=list)

    def add(self, told_of: list[tuple[int, int]]) -> None:
        """Files of another round; each with its size, and what is said of it: the second number."""
        new = [
            Fake(f"f{len(self.files) + n}", size, [size, size, None, size // 2, size * 2][kind])
            for n, (size, kind) in enumerate(told_of)
        ]
        for file in new:
            file.shown = file.told
        sizes = [file.told for file in new]
        counts = len(new), sum(size or 0 for size in sizes), sizes.count(None)
        if self.files:
            self.meter.more(*counts)
        else:
            self.meter.begin(*counts, last=False)
        self.files += new

    def step(self, which: int, what: str, amount: int) -> None:
        file = self.files[which % len(self.files)]
        self.clock.now += amount % 7 * 0.21
        if what == "round":
            self.add([(amount, amount % 5)])
        elif file.state not in _OVER:
            self.change(file, what, amount)
        self.look()

    def change(self, file: Fake, what: str, amount: int) -> None:
        if what == "resume" and file.state == "new":
            file.there = min(amount, file.size)
        if what in {"bytes", "resume"}:
            more = min(amount, file.size - file.there) if what == "bytes" else 0
            file.state = DOWNLOADING
            file.there += more
            file.received += more
        elif what == "restart":  # a place lied: all it brought goes
            file.there = 0
        elif what == "vanish":  # between two hands nobody tells of it
            file.state = "unseen"
        elif what == "state":
            file.state = _STATES[amount % len(_STATES)]
        elif what == "size":  # an answer says it, or does not
            file.shown = [file.size, None, file.told][amount % 3]
        elif what == "elsewhere":  # it comes with an archive, or not at all
            file.state = "elsewhere"
            self.meter.elsewhere(file.told)
        elif what == "fail":
            file.state = "failed"
            self.meter.file_failed(file.told)
            if amount % 3 == 0:  # room was made: it is tried once more
                self.meter.again()
                for one in self.files:
                    one.state = "elsewhere" if one.state == "failed" else one.state
        elif what == "finish":
            file.received += file.size - file.there
            file.state = "done"
            self.meter.file_done(file.told, file.received, file.size)

    def look(self) -> None:
        moving = [file.look() for file in self.files if file.state in _STATES]
        held = ["hub.example"] if int(self.clock.now) % 3 == 0 else []
        self.seen.append(self.meter.look(moving, 3, held))


FILES = st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(0, 4)), min_size=1, max_size=6)
EVENTS = ["bytes", "bytes", "resume", "restart", "vanish", "state", "size", "elsewhere", "fail"]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from([*EVENTS, "finish", "finish", "round"]),
        st.integers(0, 4_000_000),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(FILES, STEPS)
def test_nothing_runs_backwards_in_any_order(
    files: list[tuple[int, int]], steps: list[tuple[int, str, int]]
) -> None:
    clock = Clock()
    world = World(Meter(clock), clock)
    world.add(files)
    world.look()
    for step in steps:
        world.step(*step)
    for before, now in zip(world.seen, world.seen[1:], strict=False):
        assert now.bytes >= before.bytes and now.share >= before.share
        assert now.total_bytes >= before.total_bytes and now.files >= before.files
        rows = {row.file.name: row for row in before.rows}
        for row in now.rows:  # as long as a file is shown, so it is with it
            if row.file.name in rows:
                earlier = rows[row.file.name]
                assert row.file.bytes >= earlier.file.bytes
                assert (row.share or 0) >= (earlier.share or 0)
    for figures in world.seen:
        assert 0 <= figures.bytes <= figures.total_bytes and figures.unknown_files >= 0
        assert 0 <= figures.share < 1, "more may follow"
        assert figures.rate is None or figures.rate >= 0
        assert figures.seconds_left is None or 0 < figures.seconds_left <= 360_000
        assert not (figures.seconds_left and figures.unknown_files)
        assert len(figures.rows) <= 3
        for row in figures.rows:
            assert row.rate is None or row.rate >= 0
            assert row.share is None or 0 <= row.share < 1
            assert row.file.size is None or row.file.bytes <= row.file.size
    for file in world.files:
        world.step(world.files.index(file), "finish", 1)
    world.meter.complete()
    world.look()
    last = world.seen[-1]
    failed = any(file.state == "failed" for file in world.files)
    came = [file for file in world.files if file.state == "done"]
    if not came:
        return
    assert (last.share == 1) == (not failed)
    if not failed:
        assert last.bytes == last.total_bytes >= sum(file.size for file in came)
        assert last.seconds_left is None and last.files == last.total_files == len(came)


def test_one_round_needs_no_word_that_it_is_whole() -> None:
    meter = Meter(Clock())
    meter.begin(2, 100)
    meter.file_done(60, 60)
    assert meter.look().share == 0.6
    meter.file_done(40, 0)
    assert meter.look().share == 1


def test_no_time_is_told_that_nothing_speaks_for() -> None:
    """Neither while sizes are unknown, nor while all wait; and what was waited is no slowness."""
    clock = Clock()
    meter = Meter(clock)
    meter.begin(2, 10_000_000, unknown=1)
    file = InFlight("a", DOWNLOADING, 0, 10_000_000)
    for step in range(1, 5):
        clock.now += 0.5
        got = step * 500_000
        found = meter.look([file._replace(bytes=got, received=got)])
        assert found.seconds_left is None and found.unknown_files == 1 and found.share < 0.11
    assert found.rate == 1_000_000
    unknown = InFlight("b", DOWNLOADING, 0, 2_000_000, expected=-1)
    found = meter.look([file._replace(bytes=got, received=got), unknown])
    assert found.unknown_files == 0 and found.seconds_left == 10
    waits = file._replace(state=WAITING, bytes=got, received=got)
    for _ in range(20):
        clock.now += 1
        found = meter.look([waits], waiting=["hub.example"])
        assert found.rate is None and found.seconds_left is None
    clock.now += 1
    got += 2_000_000
    found = meter.look([file._replace(bytes=got, received=got), unknown])
    assert found.rate == 2_000_000 and found.seconds_left == 4


def test_thousands_of_small_files_are_not_there_with_the_few_large_ones() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.begin(10_001, 1_000_000_000)
    meter.file_done(1_000_000_000, 1_000_000_000)
    found = meter.look()
    assert 0.55 < found.share < 0.65
    for _ in range(100):
        clock.now += 0.1
        for _ in range(10):
            meter.file_done(0, 0)
        found = meter.look()
    assert found.rate is None and 85 < (found.seconds_left or 0) < 95
    assert found.files == 1001 and found.share < 0.7


def test_what_is_placed_from_this_machine_is_no_speed() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.begin(2, 3_000_000_000, last=False)
    clock.now += 1
    meter.advance(3_000_000_000, 2, arrived=False)
    found = meter.look()
    assert found.rate is None and found.share == 0.99 and found.bytes == 3_000_000_000
    meter.complete()
    assert meter.look().share == 1


def test_bytes_of_an_earlier_run_are_no_speed() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.begin(1, 1_000_000_000)
    first = meter.look([InFlight("a", DOWNLOADING, 900_000_000, 1_000_000_000, 0)])
    assert first.bytes == 900_000_000 and first.rate is None and first.seconds_left is None
    clock.now += 2
    there = [InFlight("a", DOWNLOADING, 902_000_000, 1_000_000_000, 2_000_000)]
    found = meter.look(there)
    assert found.rate == 1_000_000 and found.seconds_left == 98
    clock.now += 20
    meter.look(there)
    clock.now += 20
    stalled = meter.look(there)
    assert stalled.rate == 0 and stalled.seconds_left is None


def test_a_time_beyond_all_patience_is_not_told() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.begin(1, 10**12)
    clock.now += 1
    found = meter.look([InFlight("a", DOWNLOADING, 1000, 10**12, 1000)])
    assert found.rate == 1000 and found.seconds_left is None


def test_a_file_keeps_its_row_while_larger_ones_come_and_go() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.begin(9, 10**9)
    small, large = (
        InFlight(n, DOWNLOADING, 0, s) for n, s in (("small", 2 << 20), ("large", 1 << 30))
    )
    assert [row.file.name for row in meter.look([small], 1).rows] == ["small"]
    assert [row.file.name for row in meter.look([small, large], 1).rows] == ["small"]
    assert [row.file.name for row in meter.look([small, large], 2).rows] == ["small", "large"]
    assert [row.file.name for row in meter.look([large], 1).rows] == ["large"]


def test_tiny_files_get_a_row_only_if_they_take_long() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.begin(1, 10)
    tiny = InFlight("tiny", CHECKING, 5, 10)
    assert not meter.look([tiny], 4).rows
    clock.now += 1.5
    assert meter.look([tiny], 4).rows[0].file == tiny
