"""The classes of crashes, and the points of each that are tried."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.crash import power, scenarios, shim
from tests.crash.bench import Bench, Scenario

_KILL, _FULL, _FAILING, _POWER = "kill", "full disk", "failing disk", "power cut"
KINDS = (_KILL, _FULL, _FAILING, _POWER)


@dataclass(frozen=True)
class Point:
    """One crash: a fault, or a power cut by a model with a seed."""

    label: str
    fault: shim.Fault
    model: str = ""
    seed: int = 0


def points(kind: str, counts: dict[int, int]) -> list[Point]:
    """Every crash of a kind; `counts` are the calls of a clean run, by what is counted."""
    return list(_points(kind, counts))


def _points(kind: str, counts: dict[int, int]) -> Iterator[Point]:
    if kind == _KILL:
        # Before the call, amid it, and where a file system has neither hard links nor a rename
        # that refuses to replace; the whole run, or the one process that makes the call.
        shapes = [
            ("all", shim.KILL_ALL, 0),
            ("amid", shim.KILL_ALL, shim.TORN),
            ("plain", shim.KILL_ALL, shim.NO_LINK | shim.NO_RENAMEAT2),
            ("one", shim.KILL_ONE, 0),
        ]
        for label, action, flags in shapes:
            for number in range(counts[shim.CHANGES]):
                fault = shim.Fault(action, number, flags=flags | shim.NO_SYNC)
                yield Point(f"{label} {number}", fault)
    elif kind in {_FULL, _FAILING}:
        full = kind == _FULL
        mask = shim.GROWS if full else shim.FAILS
        error = errno.ENOSPC if full else errno.EIO
        shapes = [("on", shim.FAIL_ON, 0), ("once", shim.FAIL_ONCE, 0)]
        if full:
            shapes.append(("half", shim.FAIL_ON, shim.TORN))
        for label, action, flags in shapes:
            for number in range(counts[mask]):
                fault = shim.Fault(action, number, mask, error, flags | shim.NO_SYNC)
                yield Point(f"{label} {number}", fault)
    else:
        for model in power.MODELS:
            for number in range(counts[shim.CHANGES]):
                fault = shim.Fault(shim.KILL_ALL, number)
                yield Point(f"{model} {number}", fault, model, number)


@dataclass
class Tally:
    """How one class went."""

    scenario: str
    kind: str
    all_points: int = 0
    tried: int = 0
    seconds: float = 0.0
    wrong: list[tuple[str, list[str]]] = field(default_factory=list)


def counts_of(bench: Bench, scenario: Scenario) -> dict[int, int]:
    """The calls of a clean run."""
    return {mask: bench.count(scenario, mask) for mask in (shim.CHANGES, shim.GROWS, shim.FAILS)}


def try_scenario(
    bench: Bench,
    maker: scenarios.Maker,
    kinds: tuple[str, ...],
    limit: int,
    seed: int,
    told: Callable[[Tally], None],
) -> None:
    """Crash a scenario at up to `limit` points of each kind, chosen by the seed."""
    scenario, world = scenarios.make(bench, maker)
    try:
        counts = counts_of(bench, scenario)
        for kind in kinds:
            everything = points(kind, counts)
            chance = random.Random(f"{seed} {scenario.name} {kind}")
            chosen = chance.sample(everything, min(limit, len(everything)))
            tally, began = Tally(scenario.name, kind, len(everything)), time.monotonic()
            for point in chosen:
                if point.model:
                    target = point.fault.target
                    wrong = bench.cut_power(scenario, target, point.seed, point.model)
                else:
                    wrong = bench.crash(scenario, point.fault)
                tally.tried += 1
                if wrong:
                    tally.wrong.append((point.label, wrong))
            tally.seconds = time.monotonic() - began
            told(tally)
    finally:
        world.hub.stop()
        world.files.stop()
