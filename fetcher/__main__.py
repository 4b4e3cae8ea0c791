"""`fetch` and `python -m fetcher`: parse the command line, run one command."""

import sys


def main() -> None:
    """Run the command line and exit with the contract's exit code."""
    from fetcher.commands import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
