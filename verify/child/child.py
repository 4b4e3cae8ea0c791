"""The script that a probe's process runs, started by its file path.

The interpreter is the project's: fetch is not installed there, or in another version. So this file
mounts the folder above its own as the package `fetcher.verify` and hands over to it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
from pathlib import Path


def _mount(folder: Path) -> None:
    """Make `folder` importable as `fetcher.verify`, whatever `fetcher` may be installed."""
    outer = types.ModuleType("fetcher")
    outer.__path__ = []
    sys.modules["fetcher"] = outer
    spec = importlib.util.spec_from_file_location(
        "fetcher.verify", str(folder / "__init__.py"), submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} holds no package")
    package = importlib.util.module_from_spec(spec)
    sys.modules["fetcher.verify"] = package
    outer.verify = package  # type: ignore[attr-defined]
    spec.loader.exec_module(package)


def main() -> None:
    """Read the request from standard input and run it; the result goes to the file it names."""
    room = Path(__file__).resolve().parent
    folder = room.parent
    # A script's own folder comes first on the path; our module names would hide the libraries'.
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != room]
    envelope = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    # Code that asks a question gets an end of file instead of waiting.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _mount(folder)
    importlib.import_module("fetcher.verify.child.run_probe").run(envelope)


if __name__ == "__main__":
    main()
