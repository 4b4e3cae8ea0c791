"""What a running probe has at hand: it tells checks and metrics, and gets libraries and a device.

Runs in the child: syntax of Python 3.8, standard library only.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import devices, dtypes, fingerprints, png
from fetcher.verify.contract.consent import CodeConsent
from fetcher.verify.contract.install_line import pip_install
from fetcher.verify.contract.probe_errors import MissingLibraryError, ProbeError, ProbeSkipped
from fetcher.verify.contract.protocol import Check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fetcher.verify.contract.protocol import ProbeRequest
    from fetcher.verify.contract.wire import Event, Metrics


class Context:
    """Handed to `Probe.run`. `scratch` is a folder that is removed after the run.

    Everything told is written out at once, so that a crash loses nothing that was found before.
    """

    def __init__(
        self,
        request: ProbeRequest,
        emit: Callable[[Event], None],
        scratch: Path,
        pictures: Path | None = None,
    ) -> None:
        self.scratch = scratch
        self.checks: list[Check] = []
        self.metrics: Metrics = {}
        self.libraries: dict[str, str] = {}
        self.hint = ""
        self._request = request
        self._emit = emit
        self._pictures = pictures
        self._shown = 0
        self._device: str | None = None
        self._seeded: set[str] = set()
        self._stored = ""

    def stage(self, name: str) -> None:
        """Say what begins now ("loading pnet.pt"): a crash or hang is reported with it."""
        self._emit({"event": "stage", "name": name})

    def check(self, name: str, ok: bool, detail: str = "", hint: str = "") -> bool:
        """Tell one check and return `ok`; the hint of the first that fails is the result's."""
        self._tell(Check(name, bool(ok), detail))
        if not ok:
            self.hint = self.hint or hint
        return bool(ok)

    def warn(self, name: str, detail: str, hint: str = "") -> None:
        """Tell what will trouble the project although the model works, such as a wrong path."""
        told = f"{detail}; {hint}" if hint else detail
        self._tell(Check(name, True, told, warning=True))

    def _tell(self, check: Check) -> None:
        self.checks.append(check)
        self._emit({"event": "check", **check.to_json()})

    @contextmanager
    def loading(self, name: str) -> Iterator[None]:
        """Make a ProbeError inside a failed check of `name`, so that other files are looked at.

        A library that is missing, or a reason to skip, is the whole probe's.
        """
        try:
            yield
        except (MissingLibraryError, ProbeSkipped):
            raise
        except ProbeError as error:
            self.check(f"{name}: loads", False, error.reason, error.hint)

    def fingerprint(self, name: str, values: Any, tolerance: float | None = None) -> bool:
        """Keep a few numbers of an output, to be compared with those of earlier runs.

        `values` is a torch tensor, a numpy array or nested lists. Make inputs on the CPU and from
        the seed, so that they are the same everywhere. `tolerance` is what devices may differ by,
        as a share of the values' spread (default: by `metrics["dtype"]`). Values that are not
        finite are a failed check; returns whether they are.
        """
        try:
            taken = fingerprints.take(name, values, tolerance)
        except ValueError as error:
            return self.check(f"{name}: finite", False, str(error), "the weights may be damaged")
        self._emit({"event": "fingerprint", **taken.to_json()})
        return True

    def fact(self, name: str, value: Any) -> None:
        """Keep what was read or answered and is the same on every device, for later runs.

        `value` is a text or whatever JSON can write; a long one is kept as its digest. Take it from
        the artifact's files and the model's answers: what a library's release fills in would differ
        under another.
        """
        self._emit({"event": "fact", **fingerprints.fact(name, value).to_json()})

    def table(
        self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = ""
    ) -> None:
        """Show rows of text and numbers in the report."""
        plain = [list(row) for row in rows]
        self._emit(
            {
                "event": "table",
                "name": name,
                "columns": list(columns),
                "rows": plain,
                "caption": caption,
            }
        )

    def picture(self, name: str, image: Any, caption: str = "") -> None:
        """Show a picture in the report: a PNG's bytes, or 8-bit pixels in an array or tensor.

        An array is of shape (height, width) or (height, width, 3). What is larger than
        4096 pixels a side or 4 MiB is not shown.
        """
        if self._pictures is None:
            return
        data = image if isinstance(image, bytes) else _as_png(image)
        self._shown += 1
        file = f"{self._shown:04d}.png"
        (self._pictures / file).write_bytes(data)
        self._emit({"event": "picture", "name": name, "caption": caption, "file": file})

    @contextmanager
    def timed(self, metric: str) -> Iterator[None]:
        """Add the seconds spent inside to `metrics[metric]`; waits for the GPU to be done."""
        self._wait_for_gpu()
        begun = time.perf_counter()
        try:
            yield
            self._wait_for_gpu()
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
                "repair it: " + pip_install(["--force-reinstall", install or top]),
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

    def torch_dtype(self, default: str = "float32") -> Any:
        """Return torch's number type to load with, and tell it in the metrics.

        It is the one asked for (`--dtype`, else the manifest's `dtype`), else `default`. Raises
        ProbeError for a type that models are not loaded with.
        """
        torch = self.require("torch")
        name = self.wanted_dtype() or default
        found = dtypes.of_torch(torch, str(name))
        self.metrics["dtype"] = fingerprints.coarser(
            str(found).replace("torch.", ""), self._stored or "float64"
        )
        return found

    def stored_as(self, dtype: str) -> None:
        """Say by torch's name in which number type the weights are stored.

        A type that is coarser than the one they are loaded with decides how exactly outputs are
        compared with those of the same weights in another type.
        """
        self._stored = fingerprints.coarser(dtype, self._stored or "float64")
        self.metrics["dtype"] = fingerprints.coarser(
            self.metrics.get("dtype") or "float64", self._stored
        )

    @property
    def named_globals(self) -> Mapping[str, Sequence[str]]:
        """What the manifest says that pickles use besides tensors, by the sha256 of the file.

        It may be a stranger's: only what is plain data counts.
        """
        found: Mapping[str, Sequence[str]] = self._request.options.get("allow_globals", {})
        return found

    @property
    def allowed_globals(self) -> Mapping[str, Sequence[str]]:
        """What the person lets pickles use, by the sha256 of the file."""
        return self._request.pickles

    def consent(self, artifact: str = "") -> CodeConsent:
        """Whether code of an artifact may run; by default, of the one that is proved."""
        wanted = artifact or self._request.artifact
        given = wanted in self._request.trusted_related if artifact else self._request.trust_code
        return CodeConsent(wanted, given, f"fetch verify {wanted} --trust-project-code")

    def wanted_dtype(self) -> str | None:
        """Return the number type that was asked for, by `--dtype` or else by the manifest."""
        found = self._request.dtype or self._request.options.get("dtype")
        return None if found is None else str(found)

    def _wait_for_gpu(self) -> None:
        torch = sys.modules.get("torch")
        if torch is not None and self._device is not None and self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)

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
                    # The same kernels every time, and float32 that deserves the name.
                    library.backends.cudnn.benchmark = False
                    library.backends.cudnn.allow_tf32 = False


def _as_png(image: Any) -> bytes:
    if hasattr(image, "detach"):
        image = image.detach().cpu().contiguous().numpy()
    height, width = image.shape[:2]
    channels = image.shape[2] if len(image.shape) == 3 else 1
    if str(image.dtype) != "uint8":
        raise TypeError(f"a picture's values are uint8, not {image.dtype}")
    return png.encode(image.tobytes(), width, height, channels)


def missing(modules: list[str], install: list[str]) -> MissingLibraryError:
    """Return the error for libraries that this interpreter lacks, with the line that installs."""
    verb = "is" if len(modules) == 1 else "are"
    return MissingLibraryError(
        f"{' and '.join(modules)} {verb} not installed for {sys.executable}",
        pip_install(install),
    )


def describe(error: BaseException) -> str:
    """Return an exception in one line; never empty, as torch raises some without a message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    return f"{name}: {lines[0]}" if lines else name


def _version(module: str) -> str:
    return str(getattr(sys.modules[module], "__version__", "unknown"))
