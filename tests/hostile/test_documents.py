"""Documents of a clone, and answers of servers, that are no files or that fill the memory."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import NotRegularError, open_regular, read_regular

from fetcher.network.session import MAX_JSON_MEMORY, Response
from fetcher.yamldoc import nodes

Make = Callable[[Path], None]

MANIFEST = """manifest: m
layout: m
artifacts:
  a: {source: 'local:files', files: [one.txt]}
"""
LAYOUT = "layout: m\ntree: {out/: a}\n"


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def terminal(path: Path) -> None:
    path.symlink_to("/dev/tty")


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's address is short
        try:
            made.bind(path.name)
        finally:
            os.chdir(before)


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(100 << 30)


def folder(path: Path) -> None:
    path.mkdir()


KINDS = [fifo, endless, terminal, unix_socket, sparse, folder]


def project(root: Path) -> Path:
    for name, text in (
        ("manifests/m.yaml", MANIFEST),
        ("layouts/m.yaml", LAYOUT),
        ("files/one.txt", "one"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


# Runs commands one after the other: most of a process's time is what it imports.
_COMMANDS = """
import contextlib, io, json, sys
from fetcher.commands import run

for command in sys.argv[1:]:
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = run([command])
    print(json.dumps([code, told.getvalue()]), flush=True)
"""


def run(root: Path, *commands: str) -> list[tuple[int, str]]:
    """Exit code and words of each command in the clone; they have a minute and three GB."""
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS, *commands],
        check=False,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        # Else a link to a device is refused for being one that leads out.
        env={**os.environ, "FETCH_ALLOW_LINKS": "/dev"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)),
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [(code, told) for code, told in map(json.loads, done.stdout.splitlines())]


@pytest.mark.parametrize("make", KINDS)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: Make) -> None:
    """A FIFO that nobody writes to, a device without an end, a sparse file of 100 GB."""
    path = tmp_path / "it"
    make(path)
    with pytest.raises(OSError) as caught:
        read_regular(path)
    assert str(path) in str(caught.value)
    assert caught.value.strerror


def test_a_file_that_grows_while_it_is_read_is_stopped(tmp_path: Path) -> None:
    """A file that is small when it is looked at, and has no end when it is read."""
    path = tmp_path / "it"
    path.write_bytes(b"x" * 11)
    with pytest.raises(NotRegularError, match="larger than"):
        read_regular(path, 10)
    assert read_regular(path, 11) == b"x" * 11
    (tmp_path / "link").symlink_to("it")
    with open_regular(tmp_path / "link") as stream:
        assert stream.read() == b"x" * 11


# What a project's files are called, and a command that reads each.
FILES = {
    "fetch.lock": ("plan", "status", "check", "all"),
    "manifests/m.yaml": ("plan", "list"),
    "layouts/m.yaml": ("plan", "tree"),
    "fetch.yaml": ("plan", "config"),
    ".env": ("plan", "config"),
    "fetch.golden.json": ("verify",),
    ".fetch/state.db": ("plan", "all"),
    ".fetch/reports/verify.json": ("report",),
}
PASSED_OVER = {".env", "manifests/m.yaml"}


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_project_that_is_none(
    tmp_path: Path, hermetic: Path, name: str, make: Make
) -> None:
    """A clone whose lock, manifest, layout, settings, or cache is a FIFO, a device, or huge."""
    if name.endswith("state.db") and make is sparse and sys.platform != "linux":
        pytest.skip("takes its size on disk")
    root = project(tmp_path / "clone")
    path = root / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.unlink(missing_ok=True)
    make(path)
    for command, (code, told) in zip(FILES[name], run(root, *FILES[name]), strict=True):
        assert code != 1 and "Traceback" not in told, told
        cache = name.startswith(".fetch") or (name in PASSED_OVER and make is folder)
        if not cache:
            assert code in {2, 7}, (command, told)
            assert Path(name).name in told, told


def test_the_same_project_with_files_works(tmp_path: Path, hermetic: Path) -> None:
    """Beside it: the same with files, and with a lock that is a link to one."""
    root = project(tmp_path / "clone")
    assert run(root, "all")[0][0] == 0
    (root / "fetch.lock").rename(root / "kept.lock")
    (root / "fetch.lock").symlink_to("kept.lock")
    ((code, told),) = run(root, "all")
    assert code == 0, told
    assert (root / "out/one.txt").read_text() == "one"


# Peak memory

_MEASURE = """
import sys
from pathlib import Path
from fetcher.network.session import Response
from fetcher.errors import FetchError
from fetcher.project import lockfile
from fetcher.yamldoc import nodes

kind, path = sys.argv[1], Path(sys.argv[2])
try:
    if kind == "answer":
        Response(200, {}, path.read_bytes(), "http://x/").json()
    elif kind == "lock":
        lockfile.loads(path.read_text("utf-8"))
    else:
        document = nodes.read(path)
        print(document.problems[:1])
except FetchError as error:
    print("refused:", error.message[:200])
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


def peak(kind: str, path: Path) -> tuple[str, int]:
    """(what was told, bytes of memory at most) of a process that reads the file."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, kind, str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-800:]
    told, _, kib = done.stdout.strip().rpartition("\n")
    return told, int(kib) * 1024


TINY = {
    "lists": "[],",
    "objects": '{"":0},',
    "empty objects": "{},",
    "nested": "[[[[[[[[]]]]]]]],",
    "texts": '"ab",',
    "pairs": '{"a":0,"b":[]},',
}


@pytest.mark.parametrize(
    ("kind", "unit"),
    [*(("answer", unit) for unit in TINY.values()), ("lock", TINY["objects"])],
    ids=[*TINY, "objects of a lock"],
)
def test_many_tiny_values_do_not_fill_the_memory(tmp_path: Path, kind: str, unit: str) -> None:
    """An answer as long as one may be, or a lock, of values that take twenty times their text."""
    size = 200 << 20
    path = tmp_path / "it.json"
    path.write_text("[" + unit * (size // len(unit)) + "0]")
    told, memory = peak(kind, path)
    assert memory < (1 << 30) + 3 * size, (told, memory >> 20)
    path.unlink()


def test_one_character_does_not_make_four_bytes_of_all(tmp_path: Path) -> None:
    """An answer of plain text with one picture in it: Python then keeps four bytes for each."""
    path = tmp_path / "it.json"
    path.write_text('["' + "a" * (200 << 20) + '\U0001f600"]', "utf-8")
    _, memory = peak("answer", path)
    assert memory < 2 << 30


@pytest.mark.parametrize(("unit", "share"), [("[],", 1), ("{a: b},", 32)])
def test_many_tiny_nodes_of_yaml_do_not_fill_the_memory(
    tmp_path: Path, unit: str, share: int
) -> None:
    """A manifest as large as one may be, of nothing but nodes; and how other nodes compare."""
    path = tmp_path / "it.yaml"
    path.write_text("[&a b, " + unit * ((nodes.MAX_BYTES // share - 100) // len(unit)) + "x]")
    told, memory = peak("yaml", path)
    most = 1 << 30
    if share > 1:  # as much for each node as where they are as many as there may be
        most = int(most * path.read_text().count("a:") * 3 / nodes.MAX_NODES) + (64 << 20)
    assert memory < most, (told, memory >> 20)


def listing(count: int) -> bytes:
    """A page of the Hub with so many files."""
    return json.dumps(
        [
            {
                "type": "file",
                "oid": f"{number:040x}",
                "size": number,
                "path": f"data/train/{number:08}.jpg",
                "lfs": {"oid": f"{number:064x}", "size": number, "pointerSize": 134},
                "xetHash": f"{number:064x}",
            }
            for number in range(count)
        ]
    ).encode()


def test_honest_answers_are_read_whatever_their_size() -> None:
    """Beside it: pages of listings, maps of tensors and vocabularies of any size."""
    body = listing(100_000)
    assert len(body) > json_text.SMALL
    assert len(Response(200, {}, body, "http://x/").json()) == 100_000
    share = json_text.memory_of(body) / len(body)
    assert share * (256 << 20) < MAX_JSON_MEMORY
    for honest in (
        {f"model.layers.{n}.weight": "model-00001-of-00002.safetensors" for n in range(200_000)},
        {f"tok{n}": n for n in range(900_000)},
        {"merges": [f"a{n} b" for n in range(900_000)]},
        {"card": "words, words, [words]; " * 800_000},
    ):
        text = json.dumps(honest)
        assert len(text) > json_text.SMALL and json_text.loads(text) == honest
