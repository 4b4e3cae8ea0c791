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
    # A run builds large tables that live to its end: looking through them for garbage again and
    # again costs a tenth of its time.
    gc.set_threshold(100_000, 20, 50)

    from fetcher.commands import run

    code = run(sys.argv[1:])
    gc.freeze()  # the tables go with the process: nobody need search through them once more
    sys.exit(code)


if __name__ == "__main__":
    main()
