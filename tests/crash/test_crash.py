"""Each command crashes at points that a seed chooses; `make crash` tries all that there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import power, scenarios, shim
from tests.crash.bench import Bench
from tests.crash.classes import KINDS, Tally, try_scenario

pytestmark = pytest.mark.skipif(bool(shim.missing()), reason=shim.missing() or "possible")

POINTS = 2
SEED = 1


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("bench")) as made:
        yield made


@pytest.mark.heavy
@pytest.mark.parametrize("maker", scenarios.MAKERS, ids=lambda maker: maker.__name__)
def test_a_crash_harms_nothing_and_is_gone_on_from(bench: Bench, maker: scenarios.Maker) -> None:
    tallies: list[Tally] = []
    try_scenario(bench, maker, KINDS, POINTS, SEED, tallies.append)
    assert [tally.kind for tally in tallies] == list(KINDS)
    assert all(tally.tried == POINTS for tally in tallies)
    assert [tally.wrong for tally in tallies] == [[]] * len(KINDS)


# The harness itself: a check that cannot fail would prove nothing.


def test_the_library_sees_what_sqlite_and_python_write(bench: Bench) -> None:
    scenario, world = scenarios.make(bench, scenarios.adopt)
    try:
        bench.reset(scenario)
        flags = shim.NO_SYNC | shim.LOG
        bench.run(scenario.argv, scenario, shim.Fault(mask=shim.CHANGES, flags=flags))
        calls = power.read_log(bench.log)
    finally:
        world.hub.stop()
        world.files.stop()
    names = {call.one for call in calls if call.kind == shim.CREATE}
    assert any("/store/partial/" in name for name in names)
    assert any("/project/.fetch.lock" in name for name in names)
    assert any(call.kind == shim.SYNC for call in calls)
    written = sum(len(call.after) for call in calls if call.kind == shim.WRITE)
    assert written > len(scenarios.WEIGHTS)


@pytest.mark.parametrize("model", power.MODELS)
def test_bytes_that_were_not_synced_are_lost(tmp_path: Path, model: str) -> None:
    """A file that was renamed into place without a sync is empty, or full of zeroes."""
    root, grave = tmp_path / "box", tmp_path / "grave"
    root.mkdir()
    grave.mkdir()
    (root / "kept").write_bytes(b"old")
    before = power.Disk.scan(root)
    calls = _written(root, synced=False)
    for seed in range(40):
        power.lose(before, calls, root, grave, seed, model)
        found = {path.name: path.read_bytes() for path in root.iterdir()}
        assert found["kept"] == b"old"
        if found.get("new", b"data") != b"data":
            return
        _restore(root, grave)
    raise AssertionError("nothing was ever lost")


def _restore(root: Path, grave: Path) -> None:
    for path in grave.iterdir():
        path.unlink()
    for path in root.iterdir():
        if path.name != "kept":
            path.unlink()
    (root / "new").write_bytes(b"data")


def _written(root: Path, synced: bool) -> list[power.Call]:
    temporary, final = root / "new.tmp", root / "new"
    temporary.write_bytes(b"data")
    inode = temporary.stat().st_ino
    temporary.rename(final)

    def call(
        kind: int, one: Path | str = "", two: Path | str = "", after: bytes = b""
    ) -> power.Call:
        return power.Call(kind, inode, str(one), str(two), 0, len(after), 0, b"", after)

    calls = [call(shim.CREATE, temporary), call(shim.WRITE, after=b"data")]
    if synced:
        calls.append(call(shim.SYNC, temporary))
    return [*calls, call(shim.RENAME, temporary, final)]


@pytest.mark.parametrize("model", power.MODELS)
def test_bytes_that_were_synced_are_not(tmp_path: Path, model: str) -> None:
    for seed in range(20):
        root, grave = tmp_path / f"box{seed}", tmp_path / f"grave{seed}"
        root.mkdir()
        grave.mkdir()
        before = power.Disk.scan(root)
        power.lose(before, _written(root, synced=True), root, grave, seed, model)
        assert [path.read_bytes() for path in root.iterdir()] == [b"data"]
