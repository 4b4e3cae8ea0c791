"""Makes models and runs many probes in one process, as importing their libraries takes longest.

`python many.py VERIFY_FOLDER` under any interpreter. The first line of its input says what
textmodels.py is to make, which it answers with `made`; what follows are requests, of which each
result is a line on standard output. A request is `[request, without]`: without names a library
that is to seem absent.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    importlib.import_module("textmodels").make_all(json.loads(sys.stdin.readline()))
    print("made", file=results, flush=True)
    folder = Path(sys.argv[1])
    spec = importlib.util.spec_from_file_location("child", folder / "child" / "child.py")
    assert spec is not None and spec.loader is not None
    child = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(child)
    child._mount(folder)
    session = importlib.import_module("fetcher.verify.child.run_probe")
    protocol = importlib.import_module("fetcher.verify.contract.protocol")
    registry = importlib.import_module("fetcher.verify.contract.probe_registry")
    session.network_guard.refuse_sockets(lambda target: None)
    for plain, without in json.load(sys.stdin):
        request = protocol.ProbeRequest.from_json(plain)
        with tempfile.TemporaryDirectory() as scratch:
            events: list[dict[str, Any]] = []
            context = session.Context(request, events.append, Path(scratch), Path(scratch))
            if without:
                has = context.has
                context.has = lambda name, has=has, without=without: name != without and has(name)
            location = registry.find_probe(request.type).to_json()
            ending = session.attempt(location, request, context)
        checks = [[c.name, c.ok, c.detail, c.warning] for c in context.checks]
        told = {**ending, "checks": checks, "events": events, "metrics": context.metrics}
        print(json.dumps(told, default=str), file=results, flush=True)


if __name__ == "__main__":
    main()
