"""Archives are unpacked while they come, or read in part: half an archive is never believed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from tests.conftest import Cli
from tests.e2e.conftest import files_below
from tests.e2e.test_archives import blobs, declare, locked, tarred, zipped
from tests.kit import Made, payload, sha256
from tests.servers.plain import FileServer
from tests.servers.wire import Request, Response

FIRST = payload(1_500_000, 21)
FILES = {"a.bin": FIRST, "b/run.sh": payload(1_500_000, 22), "c.bin": payload(1_500_000, 23)}
TAR = tarred(FILES)
FORMATS = Made(
    {
        "d.tar": lambda: TAR,
        "d.tar.gz": lambda: gzip.compress(TAR, 1),
        "d.tar.bz2": lambda: bz2.compress(TAR, 1),
        "d.tar.xz": lambda: lzma.compress(TAR, preset=0),
        "d.tar.zst": lambda: zstandard.compress(TAR, 1),
    }
)


@contextmanager
def held(files: FileServer, hermetic: Path, data: bytes) -> Iterator[list[bool]]:
    """The last bytes are sent once the first member is in the store; says whether it ever was."""
    go, seen = threading.Event(), [False]
    files.faults.add("^GET", "stall", n=len(data) - 200_000, s=60, until=go)

    def watch() -> None:
        deadline = time.monotonic() + 20
        while not seen[0] and time.monotonic() < deadline and not go.is_set():
            # As a blob, or by its digest among what is to become one.
            seen[0] = any((hermetic / "store").rglob(f"*{sha256(FIRST)}*"))
            time.sleep(0.02)
        go.set()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        go.set()
        thread.join()


@pytest.mark.parametrize("name", FORMATS)
def test_members_are_in_the_store_before_the_archive_has_come(
    cli: Cli, tmp_path: Path, hermetic: Path, name: str
) -> None:
    data = FORMATS[name]
    with FileServer() as files, held(files, hermetic, data) as seen:
        files.add(name, data)
        declare(tmp_path, f"{files.url}/{name}")
        result = cli("all", "--json")
    assert result.code == 0, result.err
    assert seen[0]
    assert files_below(tmp_path / "data") == FILES
    assert result.json["summary"]["downloaded_bytes"] == len(data)
    assert len(files.matching("^GET")) == 1
    assert blobs(hermetic) == {sha256(one) for one in FILES.values()}
    assert {f["path"] for f in locked(tmp_path)["files"] if f.get("executable")} == {"b/run.sh"}
    assert cli("check", "--deep").code == 0


def test_an_archive_that_is_not_what_is_stated_is_not_believed(
    cli: Cli, tmp_path: Path, hermetic: Path
) -> None:
    data = FORMATS["d.tar.gz"]
    with FileServer() as files, held(files, hermetic, data) as seen:
        files.add("d.tar.gz", data)
        stated = f"    files: {{d.tar.gz: {{size: {len(data)}, sha256: {'0' * 64}}}}}\n"
        declare(tmp_path, f"{files.url}/", "true", stated)
        result = cli("all", "--json")
    assert seen[0] and result.code == 4 and result.codes == {"digest-mismatch"}
    assert not (tmp_path / "data").exists()
    lock = tmp_path / "fetch.lock"
    assert not lock.exists() or sha256(FIRST) not in lock.read_text()


def test_known_members_are_placed_while_the_archive_comes(
    cli: Cli, tmp_path: Path, hermetic: Path
) -> None:
    """The lock has their digests: each is proven by its own."""
    data = FORMATS["d.tar.gz"]
    with FileServer() as files:
        files.add("d.tar.gz", data)
        declare(tmp_path, f"{files.url}/d.tar.gz")
        assert cli("all").code == 0
        shutil.rmtree(hermetic / "store")
        shutil.rmtree(tmp_path / "data")
        with held(files, hermetic, data) as seen:
            result = cli("all", "--json")
        assert result.code == 0 and seen[0]
        assert files_below(tmp_path / "data") == FILES
        # Another archive there: what the lock knows is not taken from it.
        shutil.rmtree(hermetic / "store")
        shutil.rmtree(tmp_path / "data")
        files.faults.clear()
        files.add("d.tar.gz", gzip.compress(tarred({**FILES, "a.bin": payload(1_500_000, 9)}), 1))
        result = cli("all", "--json")
    assert result.code == 4
    assert not (tmp_path / "data/a.bin").exists()


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("reset", [True, False])
def test_a_cut_amid_the_archive(
    cli: Cli, tmp_path: Path, hermetic: Path, ranges: bool, reset: bool
) -> None:
    """It goes on where it stood, or from the first byte: what was read before does not count."""
    data = FORMATS["d.tar.gz"]
    with FileServer() as files:
        files.add("d.tar.gz", data, ranges=ranges)
        files.faults.add("^GET", "cut", times=1, n=len(data) // 2, reset=reset)
        declare(tmp_path, f"{files.url}/d.tar.gz")
        result = cli("all", "--json")
        assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == FILES
    assert blobs(hermetic) == {sha256(one) for one in FILES.values()}


def test_damage_on_the_way_is_mended_by_another_try(
    cli: Cli, tmp_path: Path, hermetic: Path
) -> None:
    data = FORMATS["d.tar"]
    with FileServer() as files:
        files.add("d.tar", data)
        files.faults.add("^GET", "flip", times=1, at=700_000)
        stated = f"    files: {{d.tar: {{sha256: {sha256(data)}}}}}\n"
        declare(tmp_path, f"{files.url}/", "true", stated)
        result = cli("all", "--json")
        assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == FILES
    assert cli("check", "--deep").code == 0


def test_an_archive_that_never_comes_is_told_and_ends(cli: Cli, tmp_path: Path) -> None:
    data = FORMATS["d.tar.gz"]
    with FileServer() as files:
        files.add("d.tar.gz", data)
        files.faults.add("^GET", "cut", times=1, n=len(data) // 2)
        files.faults.add("^GET", "status", after=1, code=404)
        declare(tmp_path, f"{files.url}/d.tar.gz")
        result = cli("all", "--json")
    assert result.code == 3, result.err
    assert not (tmp_path / "data").exists()


def test_several_at_once_of_all_kinds(cli: Cli, tmp_path: Path, hermetic: Path) -> None:
    """More than are read at once, and those that cannot be."""
    names = [f"{n}.tar.gz" for n in range(4)] + ["4.zip", "5.zip"]
    wanted = {}
    with FileServer() as files:
        for number, name in enumerate(names):
            inside = {f"{number}.bin": payload(700_000, 30 + number), f"{number}.sh": b"x"}
            wanted.update(inside)
            packed = zipped(inside) if name.endswith("zip") else gzip.compress(tarred(inside), 1)
            files.add(f"w/{name}", packed)
        declare(tmp_path, f"{files.url}/w/", "true", f"    files: [{', '.join(names)}]\n")
        result = cli("all", "--json")
    assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == wanted
    assert blobs(hermetic) == {sha256(one) for one in wanted.values()}


# Zips that are read in part


BIG = {"a.bin": payload(3_000_000, 5), "b.bin": payload(200_000, 6), "c.bin": payload(3_000_000, 7)}
ZIP = zipped(BIG)


def ranged(request: Request) -> bool:
    return request.method == "GET" and "range" in request.headers


class Liar(FileServer):
    """Answers the second range, and those after it, with what `lie` makes of the right answer."""

    def __init__(self, lie: Callable[[Response], Response]) -> None:
        super().__init__()
        self.lie = lie
        self.ranges = 0

    def respond(self, request: Request) -> Response:
        answer = super().respond(request)
        if not ranged(request):
            return answer
        self.ranges += 1
        return answer if self.ranges < 2 else self.lie(answer)


def _no_ranges(answer: Response) -> Response:
    return replace(answer, ranges=False)


def _other_version(answer: Response) -> Response:
    return replace(answer, etag='"another"')


def _other_bytes(answer: Response) -> Response:
    assert isinstance(answer.body, bytes)
    return replace(answer, body=bytes(byte ^ 1 for byte in answer.body))


def _other_range(answer: Response) -> Response:
    span = f"bytes 0-99/{len(ZIP)}"
    return Response(206, ZIP[:100], {"Content-Range": span}, etag=answer.etag)


def _shorter(answer: Response) -> Response:
    span = f"bytes 0-99/{len(ZIP) - 1}"
    return Response(206, ZIP[:100], {"Content-Range": span}, etag=answer.etag)


def _gone(answer: Response) -> Response:
    return Response.text("gone", 410)


def _denied(answer: Response) -> Response:
    return Response.text("no", 403)


def _page(answer: Response) -> Response:
    return Response.page("Sign in", "Please sign in", 200)


@pytest.mark.parametrize(
    "lie",
    [
        _no_ranges,
        _other_version,
        _other_bytes,
        _other_range,
        _shorter,
        _gone,
        _denied,
        _page,
    ],
)
def test_a_server_that_fails_or_lies_of_ranges_gives_all_of_it(
    cli: Cli, tmp_path: Path, lie: Callable[[Response], Response]
) -> None:
    with Liar(lie) as files:
        files.add("d.zip", ZIP)
        declare(tmp_path, f"{files.url}/d.zip", "{members: b.bin}")
        result = cli("all", "--json")
        assert result.code == 0, result.err
        assert files.ranges >= 2  # the second was a lie
        assert files_below(tmp_path / "data") == {"b.bin": BIG["b.bin"]}
        assert "taking all of d.zip" in result.err
        assert not files.errors
    # Nothing was read of what was sent in place of a range.
    assert result.json["summary"]["downloaded_bytes"] < len(ZIP) + 500_000
    assert cli("check", "--deep").code == 0


def test_a_server_that_ignores_ranges_is_not_read_to_the_end(cli: Cli, tmp_path: Path) -> None:
    large = tmp_path / "large.zip"
    with zipfile.ZipFile(large, "w") as made:
        for name in ("x", "y"):
            made.writestr(name, payload(30_000_000, 3))
    with FileServer() as files:
        files.add("large.zip", large)
        files.faults.add(ranged, "ignore_range")
        declare(tmp_path, f"{files.url}/large.zip", "{members: x}")
        result = cli("all", "--json")
        assert result.code == 0, result.err
        first = files.matching(ranged)[0]
    assert first.bytes_sent < 30_000_000
    assert set(files_below(tmp_path / "data")) == {"x"}


@pytest.mark.parametrize("reset", [True, False])
def test_a_range_that_is_cut_off_is_asked_for_again(cli: Cli, tmp_path: Path, reset: bool) -> None:
    with FileServer() as files:
        files.add("d.zip", ZIP)
        files.faults.add(ranged, "cut", after=1, times=1, n=50_000, reset=reset)
        files.faults.add(ranged, "status", after=2, times=1, code=503)
        declare(tmp_path, f"{files.url}/d.zip", "{members: b.bin}")
        result = cli("all", "--json")
        assert result.code == 0, result.err
    assert files_below(tmp_path / "data") == {"b.bin": BIG["b.bin"]}
    assert result.json["summary"]["downloaded_bytes"] < 340_000
    assert "taking all" not in result.err


def test_where_neither_ranges_nor_all_of_it_can_be_had(cli: Cli, tmp_path: Path) -> None:
    with FileServer() as files:
        files.add("d.zip", ZIP)
        files.faults.add("^GET", "status", after=1, code=404)
        declare(tmp_path, f"{files.url}/d.zip", "{members: b.bin}")
        result = cli("all", "--json")
    assert result.code == 3 and result.codes == {"not-found"}
    assert not (tmp_path / "data").exists()
