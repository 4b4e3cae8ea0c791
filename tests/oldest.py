"""Runs tests under the oldest libraries that setup.cfg allows: `python -m tests.oldest [pytest's]`.

By default the table of wrong and right artifacts. `make unit` makes the environment; another one is
named in FETCH_TEST_OLDEST_MODELS.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_HERE = "FETCH_TEST_UNDER_OLDEST"
_TABLE = "tests/verify/test_wrong.py"


def _mount() -> None:
    """Make `verify/` importable as `fetcher.verify`: fetch is not installed there."""
    import fetcher

    place = _ROOT / "verify"
    spec = importlib.util.spec_from_file_location(
        "fetcher.verify", place / "__init__.py", submodule_search_locations=[str(place)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = package
    fetcher.verify = package  # type: ignore[attr-defined, unused-ignore]
    spec.loader.exec_module(package)


def main() -> None:
    """Hand over to the other interpreter; there, run pytest."""
    arguments = sys.argv[1:] or [_TABLE]
    if os.environ.get(_HERE):
        _mount()
        import pytest

        sys.exit(pytest.main(arguments))
    found = os.environ.get("FETCH_TEST_OLDEST_MODELS") or _ROOT / ".venv-test" / "oldest-models"
    python = str(Path(found, "bin", "python"))
    if not os.path.exists(python):
        sys.exit(f"{python} is not there: `make .venv-test/oldest-models/.installed` makes it")
    os.environ[_HERE] = "1"
    os.execv(python, [python, "-m", "tests.oldest", *arguments])


if __name__ == "__main__":
    main()
