"""Writes the table of docs/wrong-artifacts.md anew: `python -m tests.verify.wrong`."""

from __future__ import annotations

from pathlib import Path

from tests.verify.wrong import all_cases

_PAGE = Path(__file__).parents[3] / "docs" / "wrong-artifacts.md"
_HEAD = "| probe | artifact | verdict |\n|---|---|---|\n"


def main() -> None:
    """Put a row for each case in place of the rows that are there."""
    before, head, after = _PAGE.read_text(encoding="utf-8").partition(_HEAD)
    lines = after.splitlines(keepends=True)
    rest = next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))
    rows = [f"| `{case.probe}` | {case.what} | {case.verdict} |\n" for case in all_cases()]
    _PAGE.write_text(before + head + "".join(rows) + "".join(lines[rest:]), encoding="utf-8")


if __name__ == "__main__":
    main()
