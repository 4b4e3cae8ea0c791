"""What a running probe has at hand: it tells checks and metrics, and gets libraries and a device.

Runs in the child: syntax of Python 3.8, standard library only.
"""

from __future__ import annotations

import importlib
import importlib.util
import shlex
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import devices
from .protocol import Check, MissingLibraryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .protocol import ProbeRequest


class Context:
    """Handed to `Probe.run`. `scratch` is a folder that is removed after the run.

    Everything told is written out at once, so that a crash loses nothing that was found before.
    """

    def __init__(
        self, request: ProbeRequest, emit: Callable[[dict[str, Any]], None], scratch: Path
    ) -> None:
        self.scratch = scratch
        self.checks: list[Check] = []
        self.metrics: dict[str, Any] = {}
        self.libraries: dict[str, str] = {}
        self.hint = ""
        self._request = request
        self._emit = emit
        self._device: str | None = None
        self._seeded: set[str] = set()

    def stage(self, name: str) -> None:
        """Say what begins now ("loading pnet.pt"): a crash or hang is reported with it."""
        self._emit({"event": "stage", "name": name})

    def check(self, name: str, ok: bool, detail: str = "", hint: str = "") -> bool:
        """Tell one check and return `ok`; the hint of the first that fails is the result's."""
        self.checks.append(Check(name, bool(ok), detail))
        self._emit({"event": "check", "name": name, "ok": bool(ok), "detail": detail})
        if not ok:
            self.hint = self.hint or hint
        return bool(ok)

    @contextmanager
    def timed(self, metric: str) -> Iterator[None]:
        """Add the seconds spent inside to `metrics[metric]`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begun
            self.metrics[metric] = round(self.metrics.get(metric, 0.0) + spent, 6)

    def has(self, module: str) -> bool:
        """Tell whether a library is installed, without importing it."""
        return module in sys.modules or importlib.util.find_spec(module) is not None

    def require(self, module: str, install: str = "") -> Any:
        """Import a library; `install` is its name for pip where it differs.

        Raises MissingLibraryError if it is not installed or cannot be imported.
        """
        top = module.partition(".")[0]
        if not self.has(top):
            raise missing([top], [install or top])
        first = top not in sys.modules
        if first:
            self.stage("importing " + module)
        try:
            loaded = importlib.import_module(module)
        except Exception as error:
            raise MissingLibraryError(
                f"{top} is installed for {sys.executable}, but cannot be imported: "
                f"{describe(error)}",
                "repair it: " + _pip_install(["--force-reinstall", install or top]),
            ) from error
        self._seed()
        self.libraries.setdefault(top, _version(top))
        return loaded

    def device(self) -> str:
        """Return the device to use: `cpu`, `cuda:N` or `mps`.

        Raises ProbeError if the one asked for is not there.
        """
        if self._device is None:
            wanted = self._request.device
            needed = wanted not in ("auto", "cpu") or (wanted == "auto" and self.has("torch"))
            torch = self.require("torch") if needed else None
            self._device = devices.choose(torch, wanted)
            self.metrics["device"] = self._device
        return self._device

    def _seed(self) -> None:
        # A library may have brought the other one in: torch imports numpy.
        for name in {"numpy", "torch"} - self._seeded:
            library: Any = sys.modules.get(name)
            if library is not None:
                self._seeded.add(name)
                if name == "numpy":
                    library.random.seed(self._request.seed % 2**32)
                else:
                    library.manual_seed(self._request.seed)


def missing(modules: list[str], install: list[str]) -> MissingLibraryError:
    """Return the error for libraries that this interpreter lacks, with the line that installs."""
    verb = "is" if len(modules) == 1 else "are"
    return MissingLibraryError(
        f"{' and '.join(modules)} {verb} not installed for {sys.executable}",
        _pip_install(install),
    )


def _pip_install(arguments: list[str]) -> str:
    return f"{shlex.quote(sys.executable)} -m pip install {' '.join(arguments)}"


def describe(error: BaseException) -> str:
    """Return an exception in one line; never empty, as torch raises some without a message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    return f"{name}: {lines[0]}" if lines else name


def _version(module: str) -> str:
    return str(getattr(sys.modules[module], "__version__", "unknown"))
