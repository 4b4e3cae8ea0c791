"""The two ways to run a target: guided by coverage (atheris), or by chance without it."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tests.fuzz import kit
from tests.fuzz.kit import SPLIT, Target

# One input may take this long, in seconds: the machine may be busy, a hang is longer.
HANG = 30


def guided(name: str, seconds: int, corpus: Path) -> None:
    """Run under libFuzzer; never returns. What it finds is kept as a case, and ends the run."""
    import atheris

    with atheris.instrument_imports(include=["fetcher", "tests.fuzz.targets"]):
        target = kit.load(name)
    corpus.mkdir(parents=True, exist_ok=True)
    found = kit.CASES / name
    found.mkdir(parents=True, exist_ok=True)
    seeds = Path(tempfile.mkdtemp(prefix="fetch-fuzz-seeds-"))
    for number, data in enumerate(target.all_seeds()):
        (seeds / f"{number:04}").write_bytes(data)
    words = seeds.parent / f"{seeds.name}.dict"
    words.write_text("".join(f"{_quoted(word)}\n" for word in [SPLIT, *target.all_words()]))
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={target.longest}",
        f"-dict={words}",
        f"-artifact_prefix={found}/",
        f"-timeout={HANG}",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(seeds)], target.check)
    atheris.Fuzz()


def _quoted(word: bytes) -> str:
    """A word of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"'


def by_chance(name: str, seconds: float, start: int = 0) -> int:
    """Run with mutated seeds; the number of executions. What breaks is kept and raised."""
    target = kit.load(name)
    chance = random.Random(start)
    pool = target.all_seeds() + [path.read_bytes() for path in kit.cases_of(name)]
    words = target.all_words() or [b"\x00"]
    until, done = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = mutated(chance, pool, words, target.longest)
        done += 1
        try:
            bounded(target, data)
        except BaseException:
            keep(name, data)
            raise
    return done


def bounded(target: Target, data: bytes, seconds: int = HANG) -> None:
    """One execution; TimeoutError if it hangs."""

    def hangs(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(seconds)
    try:
        target.check(data)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def keep(name: str, data: bytes) -> Path:
    """Write a case; its path."""
    path = kit.CASES / name / f"crash-{hashlib.sha1(data).hexdigest()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def mutated(
    chance: random.Random, pool: Sequence[bytes], words: Sequence[bytes], longest: int
) -> bytes:
    """One of the pool with a few changes."""
    data = bytearray(chance.choice(pool) if pool else b"")
    for _ in range(chance.choice((0, 1, 1, 2, 3, 5, 8))):
        at = chance.randint(0, len(data))
        match chance.randrange(7):
            case 0:
                data[at : at + chance.choice((1, 1, 2, 4, 16))] = b""
            case 1:
                data[at:at] = chance.choice(words)
            case 2:
                data[at:at] = chance.randbytes(chance.choice((1, 1, 2, 4)))
            case 3:
                other = chance.choice(pool) if pool else b""
                start = chance.randint(0, len(other))
                data[at:at] = other[start : start + chance.randint(0, 40)]
            case 4:
                start = chance.randint(0, len(data))
                data[at:at] = data[start : start + chance.randint(0, 40)]
            case 5 if data:
                data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
            case _:
                data[at:at] = str(chance.choice((0, 1, -1, 2**31, 2**63, 2**64, 10**30))).encode()
    return bytes(data[:longest])


def is_guided() -> bool:
    """Whether atheris is installed."""
    from importlib.util import find_spec

    return find_spec("atheris") is not None


def corpus_of(name: str) -> Path:
    """Where inputs that reach new code are kept from run to run, outside of the repository."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "fetch-fuzz" / name
