"""Numbers that never run backwards, whatever the order of events."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from fetcher.ui.meter import CHECKING, DOWNLOADING, Figures, InFlight, Meter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Fake:
    """One file of a run that hypothesis drives: it may restart, vanish, fail or come whole."""

    name: str
    size: int
    known: bool
    there: int = 0
    received: int = 0
    state: str = "new"  # new, moving, unseen, done, failed

    def look(self) -> InFlight:
        size = self.size if self.known else None
        return InFlight(self.name, DOWNLOADING, self.there, size, self.received)


@dataclass
class World:
    meter: Meter
    clock: Clock
    files: list[Fake]
    seen: list[Figures] = field(default_factory=list)

    def step(self, which: int, what: str, amount: int) -> None:
        file = self.files[which % len(self.files)]
        self.clock.now += amount % 7 * 0.21
        if file.state in {"done", "failed"}:
            return
        if what == "resume" and file.state == "new":
            file.there = min(amount, file.size)
        if what in {"bytes", "resume"}:
            more = min(amount, file.size - file.there) if what == "bytes" else 0
            file.state = "moving"
            file.there += more
            file.received += more
        elif what == "restart":  # a place lied: all it brought goes
            file.there = 0
        elif what == "vanish":  # between two hands nobody tells of it
            file.state = "unseen"
        elif what == "fail":
            file.state = "failed"
            self.meter.failed += 1
        elif what == "finish":
            file.received += file.size - file.there
            file.state = "done"
            self.meter.file_done(file.size if file.known else None, file.received)
        self.look()

    def look(self) -> None:
        moving = [file.look() for file in self.files if file.state == "moving"]
        self.seen.append(self.meter.look(moving, 3))


FILES = st.lists(st.tuples(st.integers(0, 5_000_000), st.booleans()), min_size=1, max_size=6)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["bytes", "bytes", "resume", "restart", "vanish", "fail", "finish"]),
        st.integers(0, 4_000_000),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(FILES, STEPS)
def test_nothing_runs_backwards_in_any_order(
    files: list[tuple[int, bool]], steps: list[tuple[int, str, int]]
) -> None:
    clock = Clock()
    world = World(
        Meter(clock), clock, [Fake(f"f{n}", size, known) for n, (size, known) in enumerate(files)]
    )
    world.meter.begin(len(files), sum(size for size, known in files if known))
    world.look()
    for step in steps:
        world.step(*step)
    for before, now in zip(world.seen, world.seen[1:], strict=False):
        assert now.bytes >= before.bytes and now.share >= before.share
        assert now.total_bytes >= before.total_bytes and now.files >= before.files
    for figures in world.seen:
        assert 0 <= figures.bytes <= figures.total_bytes
        assert 0 <= figures.share <= 1
        assert figures.rate is None or figures.rate >= 0
        assert figures.seconds_left is None or 0 < figures.seconds_left <= 360_000
        assert (figures.share == 1) == (figures.files == len(files))
        assert len(figures.rows) <= 3
    for file in world.files:
        if file.state != "failed":
            world.step(world.files.index(file), "finish", 1)
    last = world.seen[-1]
    failed = any(file.state == "failed" for file in world.files)
    assert (last.share == 1) == (not failed)
    if not failed:
        assert last.bytes >= sum(file.size for file in world.files if file.known)


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
