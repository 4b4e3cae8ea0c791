"""Artifacts that look right, and what each probe says of them, as docs/wrong-artifacts.md has it.

A module a probe, with `CASES`. `test_wrong.py` runs them all.
"""

from __future__ import annotations

import importlib
import pkgutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fetcher.verify import ProbeRequest

Make = Callable[[Path], ProbeRequest]


@dataclass(frozen=True)
class Case:
    """One artifact, made in an empty folder, and what the probe must say of it.

    `what` is its name in docs/wrong-artifacts.md. `says`: words of a failed check, where the probe
    sees it by itself; empty: it passes alone, and differs from what `right` gave and was stored. A
    case without `right` that says nothing is a right one, which passes. `needs` are a library and
    its first release that can make or load it.
    """

    probe: str
    what: str
    make: Make
    right: Make | None = None
    says: str = ""
    needs: tuple[str, str] | None = None

    @property
    def unmet(self) -> str:
        """What is missing here, in words; '' if nothing is."""
        if self.needs is None:
            return ""
        there = importlib.import_module(self.needs[0]).__version__
        older = _numbers(there) < _numbers(self.needs[1])
        return f"{self.needs[0]} {there} is older than {self.needs[1]}" if older else ""

    @property
    def verdict(self) -> str:
        """The word of docs/wrong-artifacts.md: `fails`, `golden` or `passes`."""
        return "fails" if self.says else "golden" if self.right else "passes"


def made_once(name: str) -> Path:
    """Where to make what several cases copy. It is gone when this process ends."""
    return Path(_scratch().name) / name


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fetch-wrong-")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+", maxsplit=1)[0].split(".")[:2])


def all_cases() -> list[Case]:
    """Those of every module here, sorted by probe; in the order of each module."""
    found: list[Case] = []
    for module in pkgutil.iter_modules(__path__):
        if module.name != "__main__":
            found += importlib.import_module(f"{__name__}.{module.name}").CASES
    return sorted(found, key=lambda case: case.probe)
