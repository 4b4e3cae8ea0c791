"""A probe that misbehaves as its option `do` says. Runs in the child, so: standard library only."""

from __future__ import annotations

import ctypes
import getpass
import importlib
import json
import mmap
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from fetcher.verify import GENERAL, ProbeError, ProbeSkipped, Problem, check_options

_SERVER = ("127.0.0.1", 9)


def passes(request, context):
    context.metrics["parameters"] = 3
    context.check("works", True, "as it should")


def fails(request, context):
    context.check("first", True)
    context.check("second", False, "it is broken", hint="mend it")
    context.check("third", False, "also broken")


def checks_nothing(request, context):
    pass


def skips(request, context):
    raise ProbeSkipped("not here", "go elsewhere")


def says_why(request, context):
    raise ProbeError("a sentence", "a hint")


def raises_without_message(request, context):
    raise EOFError


def leaves(request, context):
    sys.exit(7)


def leaves_hard(request, context):
    print("last words", file=sys.stderr, flush=True)
    os._exit(9)


def segfaults(request, context):
    context.check("before", True)
    context.stage("reading a wrong address")
    ctypes.string_at(0)


def kills_itself(request, context):
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(request, context):
    context.stage("waiting for nothing")
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if "pids" in request.options:
        Path(request.options["pids"]).write_text(f"{os.getpid()} {helper.pid}")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def meets(request, context):
    """Ends only when as many as `count` of its kind run."""
    folder = Path(request.options["folder"])
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < request.options["count"]:
        time.sleep(0.02)


def eats_memory(request, context):
    context.stage("eating")
    eaten = []
    for _ in range(200):
        eaten.append(bytearray(os.urandom(1)) * (16 * 1024 * 1024))
        time.sleep(0.01)
    context.check("ate", True)


def helper_eats_memory(request, context):
    code = "import time; b = b'x' * (300 << 20); time.sleep(60)"
    subprocess.run([sys.executable, "-c", code], check=False)
    context.check("ate", True)


def maps_a_file(request, context):
    path = context.scratch / "large"
    with path.open("wb") as stream:
        stream.truncate(400 << 20)
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        pages = sum(mapped[place] for place in range(0, len(mapped), 4096))
        context.check("read all", pages == 0)


def pollutes(request, context):
    print("noise " * 100_000)
    print('{"event": "done", "state": "passed"}')
    sys.stderr.write("\x1b[31mred\n")
    sys.stdout.close()
    os.closerange(0, 256)
    context.check("still works", True)


def writes_garbage(request, context):
    Path(sys.argv[0])
    events = context.scratch.parent / "events"
    with events.open("ab") as stream:
        stream.write(b'\xff\xfe{"event"\n[1, 2]\n{"event": "done", "state": "splendid"}\n')
    os._exit(0)


def asks(request, context):
    context.check("no answer", sys.stdin.read() == "")
    input()


def connects(request, context):
    with socket.socket() as wire:
        wire.connect(tuple(request.options["address"]))


def looks_up(request, context):
    socket.getaddrinfo("example.invalid", 443)


def sends_a_datagram(request, context):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.sendto(b"x", _SERVER)


def listens(request, context):
    with socket.socket() as wire:
        wire.bind(("127.0.0.1", 0))


def swallows_refusal(request, context):
    try:
        socket.create_connection(("example.invalid", 443))
    except OSError:
        pass
    context.check("model found", False, "it is not there")


def talks_locally(request, context):
    path = str(context.scratch / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        context.check("local", True)


def helper_connects(request, context):
    host, port = request.options["address"]
    code = f"import socket; socket.create_connection(({host!r}, {port}), 2)"
    done = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL)
    context.check("refused", done.returncode != 0)


def tells_surroundings(request, context):
    told = {
        "environ": dict(os.environ),
        "cwd": os.getcwd(),
        "path": sys.path,
        "random": random.random(),
        "hash": hash("seed"),
        "modules": sorted(sys.modules),
        "scratch": str(context.scratch),
        "user": [os.getuid(), getpass.getuser()],
    }
    context.check("told", True, json.dumps(told))


def needs_a_library(request, context):
    context.require("no_such_library", "no-such-library-on-the-index")


def needs_a_broken_library(request, context):
    (context.scratch / "broken_lib.py").write_text("raise RuntimeError('nms does not exist')")
    sys.path.insert(0, str(context.scratch))
    context.require("broken_lib")


def imports_what_hangs(request, context):
    (context.scratch / "slow_lib.py").write_text("import time; time.sleep(600)")
    sys.path.insert(0, str(context.scratch))
    context.require("slow_lib")


def leaves_a_thread(request, context):
    threading.Thread(target=time.sleep, args=(600,)).start()
    context.check("done", True)


def shows(request, context):
    png = importlib.import_module("fetcher.verify.contract.png")

    class Grey:
        shape, dtype = (3, 2), "uint8"

        def tobytes(self):
            return bytes(6)

    context.picture("ours", Grey(), "grey")
    context.picture("theirs", png.encode(bytes(768), 16, 16, 3))
    context.table("numbers", ("name", "value"), [("x", 1.5)])
    context.fingerprint("output", [1.0, 2.0, 3.0])
    context.check("done", True)
    context.warn("careful", "look out", "do this")


def shows_typed(request, context):
    context.metrics["dtype"] = "float32"
    context.fingerprint("output", request.options.get("values", [1.0, 2.0, 3.0]))
    context.check("done", True)


def tells_files(request, context):
    related = {
        name: {key: str(path) for key, path in files.items()}
        for name, files in request.related.items()
    }
    files = {key: str(path) for key, path in request.files.items()}
    context.check("told", True, json.dumps({"files": files, "related": related}))


def shows_what_it_should_not(request, context):
    pictures = context.scratch.parent / "pictures"
    os.mkfifo(pictures / "0001.png")
    (pictures / "0002.png").symlink_to("/etc/passwd")
    lines = [{"event": "picture", "name": "x", "file": f"000{n}.png"} for n in (1, 2, 3)]
    lines += [{"event": "fingerprint", "name": "x", "samples": [1e999]}]
    with (context.scratch.parent / "events").open("a") as stream:
        stream.write("\n".join(json.dumps(line) for line in lines) + "\n")
    context.check("done", True)


class Misbehave:
    type = "misbehave"
    requires = ()
    related = ("base",)

    def validate_options(self, options):
        if options.get("do") not in globals():
            return [Problem("do", "no such thing")]
        rules = dict.fromkeys(options, lambda value: "")
        return check_options(options, {key: rules[key] for key in options if key not in GENERAL})

    def run(self, request, context):
        globals()[request.options["do"]](request, context)


class Needy:
    type = "needy"
    requires = (("json", "json"), ("no_such_a", "pip-a"), ("no_such_b.deep", "pip-b"))

    def validate_options(self, options):
        return []

    def run(self, request, context):
        raise AssertionError("must not run")


MISBEHAVE = Misbehave()
NEEDY = Needy()


def answers(request, context):
    """What its file says: number type, values and facts."""
    found = json.loads(request.files["w.json"].read_text())
    context.metrics["dtype"] = context.wanted_dtype() or found.get("dtype", "float32")
    for name, values in found["values"].items():
        context.fingerprint(name, values)
    for name, value in found.get("facts", {}).items():
        context.fact(name, value)
    context.check("done", True)
