"""Members of wheels: one download for all of them, and nothing of a wheel that is not sound."""

from __future__ import annotations

import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fetcher.verify.host import child_process

from fetcher.errors import Failure
from fetcher.sources.base import FileEntry, WheelCandidate
from fetcher.store.store import Store
from fetcher.transfer import wheels
from fetcher.transfer.download import Download
from fetcher.transfer.wheels import WheelCache
from tests.kit import payload

DATA = payload(300_000)
NAME = "pkg-1.0-py3-none-any.whl"


class Pip:
    """Stands where pip would: makes what it is told to in the folder that is asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.status = 0
        self.says = ""
        self.make: Callable[[Path], None] = lambda folder: wheel(folder / NAME)

    def command(self, module: str, *arguments: str) -> list[str]:
        self.asked.append([module, *arguments])
        folder = Path(arguments[arguments.index("--dest") + 1])
        folder.mkdir(parents=True)
        self.make(folder)
        text = f"import sys; print({self.says!r}); sys.exit({self.status})"
        return [sys.executable, "-I", "-c", text]


def wheel(path: Path, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in (members or {"a": DATA, "b": b"bb"}).items():
            archive.writestr(f"pkg/{name}.bin", data)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    pip = Pip()
    monkeypatch.setattr(child_process, "own_module", pip.command)
    return pip


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[WheelCache]:
    cache = WheelCache(Store(tmp_path / "store"))
    yield cache
    cache.close()
    cache.remove()


def wanted(name: str = "a.bin", size: int | None = None) -> Download:
    file = FileEntry(name, size)
    return Download("art", file, [WheelCandidate("pypi", "pkg==1.0", f"pkg/{name}")])


def partial(cache: WheelCache) -> list[str]:
    """The files that lie in the store beside the folder of wheels."""
    folder = cache.store.partial
    return [path.name for path in folder.iterdir() if path.is_file()] if folder.exists() else []


def refused(cache: WheelCache, member: str = "pkg/a.bin", size: int | None = None) -> Failure:
    with pytest.raises(Failure) as caught:
        cache.take(wanted(size=size), "pypi", "pkg==1.0", member)
    assert partial(cache) == []
    return caught.value


def test_a_member_arrives_in_a_file_of_its_own(cache: WheelCache, pip: Pip) -> None:
    for size in (None, len(DATA)):
        download = wanted(size=size)
        download.received = 7
        arrived = cache.take(download, "pypi", "pkg==1.0", "pkg/a.bin")
        assert Path(arrived.path).read_bytes() == DATA
        assert (arrived.download, arrived.origin, arrived.size) == (download, "pypi", len(DATA))
        assert download.received == 7 + len(DATA)
        assert Path(arrived.path).parent == cache.store.partial


def test_the_time_of_a_member_is_that_of_its_arrival(cache: WheelCache, pip: Pip) -> None:
    import time

    before = time.time() - 5
    arrived = cache.take(wanted(), "pypi", "pkg==1.0", "pkg/a.bin")
    assert Path(arrived.path).stat().st_mtime > before


def test_a_wheel_is_downloaded_once(cache: WheelCache, pip: Pip) -> None:
    for member in ("a", "b", "a"):
        cache.take(wanted(), "pypi", "pkg==1.0", f"pkg/{member}.bin")
    assert len(pip.asked) == 1
    cache.take(wanted(), "pypi", "pkg==2.0", "pkg/a.bin")
    assert [asked[-1] for asked in pip.asked] == ["pkg==1.0", "pkg==2.0"]


def test_also_by_many_at_once(cache: WheelCache, pip: Pip) -> None:
    threads = [
        threading.Thread(target=cache.take, args=(wanted(), "pypi", "pkg==1.0", "pkg/b.bin"))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(pip.asked) == 1 and len(partial(cache)) == 8


def test_nothing_of_a_package_is_built_or_asked_for(cache: WheelCache, pip: Pip) -> None:
    cache.take(wanted(), "pypi", "pkg==1.0", "pkg/a.bin")
    (asked,) = pip.asked
    assert asked[:2] == ["pip", "download"] and asked[-2:] == ["--", "pkg==1.0"]
    assert asked[asked.index("--only-binary") + 1] == ":all:"
    assert {"--no-deps", "--no-input", "--disable-pip-version-check", "--quiet"} < set(asked)
    folder = Path(asked[asked.index("--dest") + 1])
    assert folder.name == "pkg-1.0" and folder.parent.parent == cache.store.partial
    assert folder.parent.name.endswith(".tmp")


def test_what_pip_says_is_told_to_each_who_asks(cache: WheelCache, pip: Pip) -> None:
    pip.status, pip.says = 1, "ERROR: no such package"
    first = refused(cache)
    assert first.problem.code == "network" and "no such package" in first.message
    assert "pkg==1.0" in first.message and first.hint
    assert refused(cache) is first and len(pip.asked) == 1


def test_a_status_counts_even_where_a_wheel_is_there(cache: WheelCache, pip: Pip) -> None:
    pip.status = 2
    assert refused(cache).problem.code == "network"


def test_no_wheel_or_two_are_an_error(cache: WheelCache, pip: Pip) -> None:
    pip.make = lambda folder: None
    assert refused(cache).problem.code == "network"

    def two(folder: Path) -> None:
        wheel(folder / NAME)
        wheel(folder / f"x{NAME}")

    pip.make = two
    with pytest.raises(Failure):
        cache.take(wanted(), "pypi", "pkg==2.0", "pkg/a.bin")
    pip.make = lambda folder: (folder / "pkg-1.0.tar.gz").touch()
    with pytest.raises(Failure):
        cache.take(wanted(), "pypi", "pkg==3.0", "pkg/a.bin")
    pip.make = lambda folder: folder.rmdir()
    with pytest.raises(Failure):
        cache.take(wanted(), "pypi", "pkg==4.0", "pkg/a.bin")


def test_a_member_that_is_not_there(cache: WheelCache, pip: Pip) -> None:
    found = refused(cache, "pkg/aa.bin")
    assert found.problem.code == "missing-upstream"
    assert NAME in found.message and "pkg/aa.bin" in found.message and "pkg/a.bin" in found.hint
    assert refused(cache, "elsewhere/entirely.txt").hint == ""


def test_a_member_of_another_size(cache: WheelCache, pip: Pip) -> None:
    for size in (len(DATA) - 1, len(DATA) + 1, 0):
        found = refused(cache, size=size)
        assert found.problem.code == "size-mismatch"
        assert f"{len(DATA):,}" in found.message and f"{size:,}" in found.message


def _broken(at: int) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        wheel(folder / NAME)
        data = bytearray((folder / NAME).read_bytes())
        data[at] ^= 0xFF
        (folder / NAME).write_bytes(data)

    return make


def _encrypted(folder: Path) -> None:
    wheel(folder / NAME, zipfile.ZIP_STORED)
    data = bytearray((folder / NAME).read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    (folder / NAME).write_bytes(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: (folder / NAME).write_bytes(b"no zip"),
        lambda folder: (folder / NAME).write_bytes(b""),
        _broken(1000),
        _broken(0),
        _encrypted,
    ],
    ids=["no zip", "empty", "data", "header", "encrypted"],
)
def test_a_damaged_wheel_is_refused(
    cache: WheelCache, pip: Pip, make: Callable[[Path], None]
) -> None:
    pip.make = make
    found = refused(cache)
    assert found.problem.code == "refused"
    assert "pkg==1.0" in found.message or NAME in found.message


def test_a_member_that_goes_on_for_ever_is_cut_off(
    cache: WheelCache, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless:
        def __init__(self) -> None:
            self.read_ = 0

        def read(self, size: int) -> bytes:
            self.read_ += size
            assert self.read_ < 100 << 20, "it is read for ever"
            return bytes(size)

        def __enter__(self) -> Endless:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    cache.take(wanted(), "pypi", "pkg==1.0", "pkg/b.bin")
    for name in partial(cache):
        (cache.store.partial / name).unlink()
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: Endless())
    found = refused(cache)
    assert found.problem.code == "refused" and "longer than it says" in found.message


def test_a_member_is_read_in_blocks(
    cache: WheelCache, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "BLOCK", 1000)
    arrived = cache.take(wanted(), "pypi", "pkg==1.0", "pkg/a.bin")
    assert arrived.size == len(DATA) and Path(arrived.path).read_bytes() == DATA


def test_after_the_end_nothing_is_begun(cache: WheelCache, pip: Pip) -> None:
    cache.close()
    found = refused(cache)
    assert found.problem.code == "network" and "interrupted" in found.message


def test_the_end_ends_what_runs(
    cache: WheelCache, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeping = [sys.executable, "-I", "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(child_process, "own_module", lambda *_: sleeping)
    found: list[Failure] = []
    thread = threading.Thread(target=lambda: found.append(refused(cache)))
    thread.start()
    while not cache._running:
        thread.join(0.01)
        assert thread.is_alive()
    cache.close()
    thread.join(30)
    assert not thread.is_alive() and found and not cache._running


def test_the_wheels_are_removed_at_the_end(tmp_path: Path, pip: Pip) -> None:
    cache = WheelCache(Store(tmp_path / "store"))
    cache.remove()  # nothing was downloaded
    cache.take(wanted(), "pypi", "pkg==1.0", "pkg/b.bin")
    folders = [path for path in cache.store.partial.iterdir() if path.is_dir()]
    assert len(folders) == 1 and folders[0].name.endswith(".tmp")
    cache.remove()
    assert not folders[0].exists()
