"""`fetch` and `python -m fetcher`: parse the command line, run one command."""

import gc
import os
import sys


def main() -> None:
    """Run the command line and exit with the contract's exit code."""
    # An entry that is empty or no whole path leads into whatever folder one stands in, and some
    # libraries start programs by themselves.
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(filter(os.path.isabs, path))
    _forget_where_one_stands(os.environ.get("PYTHONPATH", ""))
    # A run builds large tables that live to its end: looking through them for garbage again and
    # again costs a tenth of its time.
    gc.set_threshold(300_000, 20, 50)

    from fetcher.commands import run

    code = run(sys.argv[1:])
    gc.freeze()  # the tables go with the process: nobody need search through them once more
    sys.exit(code)


def _forget_where_one_stands(python_path: str) -> None:
    """Take out of sys.path what is no whole path in PYTHONPATH.

    Python has made it one by now, and libraries and plug-ins would be a stranger's.
    """
    for folder in python_path.split(os.pathsep) if python_path else ():
        entry = os.path.abspath(folder)
        if not os.path.isabs(folder) and entry in sys.path and not entry.startswith(sys.prefix):
            sys.path.remove(entry)


if __name__ == "__main__":
    main()
