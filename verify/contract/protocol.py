"""What a probe is asked, what it answers, and what a probe has to offer.

Read by fetch's interpreter and by the project's, which may be older: syntax of Python 3.8.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.exhibits import Fingerprint, Picture, Table
from fetcher.verify.contract.options import Problem as Problem  # noqa: PLC0414  (probes of others take it from here)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    State = Literal["passed", "failed", "skipped"]

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class ProbeRequest:
    """One artifact to prove.

    `root` is the absolute directory that the artifact's tree was placed in; `files` maps each of
    the artifact's own paths to the absolute path where it stands, renames included, and `related`
    holds the same for other artifacts by id (an adapter's base). `options` is the manifest's
    `probe:` without `type`. `device` is `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `timeout` is in
    seconds and includes imports; `memory_limit` (host) and `min_vram` (GPU) are in bytes. With
    `gpu_only`, or less GPU memory than `min_vram`, the probe is skipped. `trust_code` says that
    the user lets the project's own code be imported (`--trust-project-code`); the manifest has to
    say so too, `options["trust"] == "project"`.

    Raises ValueError for a relative path, another device, or a number that makes no sense.
    """

    artifact: str
    type: str
    root: Path
    files: Mapping[str, Path]
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    dtype: str | None = None
    seed: int = 0
    timeout: float = 600.0
    memory_limit: int | None = None
    gpu_only: bool = False
    min_vram: int | None = None
    related: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    trust_code: bool = False

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(f"device {self.device!r} is none of auto, cpu, cuda:N, mps")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, not {self.timeout}")
        if self.memory_limit is not None and self.memory_limit <= 0:
            raise ValueError(f"memory_limit must be above 0 bytes, not {self.memory_limit}")
        for path in (self.root, *self.files.values()):
            if not path.is_absolute():
                raise ValueError(f"{path} is not an absolute path")

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that `json` can write, for `from_json`."""
        plain = dict(vars(self))
        plain["root"] = str(self.root)
        plain["files"] = _as_strings(self.files)
        plain["options"] = dict(self.options)
        plain["related"] = {name: _as_strings(files) for name, files in self.related.items()}
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ProbeRequest:
        """Read what `to_json` returned; unknown keys are left out. Raises KeyError, ValueError."""
        known = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
        known["root"] = Path(plain["root"])
        known["files"] = _as_paths(plain["files"])
        related = plain.get("related", {})
        known["related"] = {name: _as_paths(files) for name, files in related.items()}
        return cls(**known)


@dataclass(frozen=True)
class Check:
    """One statement about the artifact: `detail` is what was found, also where it holds.

    A `warning` is ok for the model, but will trouble those who use it.
    """

    name: str
    ok: bool
    detail: str = ""
    warning: bool = False


@dataclass(frozen=True)
class ProbeResult:
    """How one probe ended.

    `reason` says in one sentence why it did not pass, `hint` what to do, `log` the last lines
    that the process printed (empty for a probe that passed). `metrics` always has `parameters`,
    `load_seconds`, `infer_seconds`, `peak_memory_bytes`, `peak_resident_bytes`,
    `peak_gpu_memory_bytes`, `device`, `dtype` (None where unknown), `seconds` (the whole process)
    and `libraries` (name to version). Peak memory is what counts against `memory_limit`: private
    and shared pages, sampled; resident memory also holds the pages of mapped files.
    """

    artifact: str
    type: str
    state: State
    reason: str = ""
    hint: str = ""
    checks: tuple[Check, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""
    fingerprints: tuple[Fingerprint, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that `json` can write, for `from_json`; pictures without their bytes."""
        plain = dict(vars(self))
        plain["metrics"] = dict(self.metrics)
        plain["checks"] = [asdict(check) for check in self.checks]
        for key in ("fingerprints", "tables", "pictures"):
            plain[key] = [one.to_json() for one in getattr(self, key)]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ProbeResult:
        """Read what `to_json` returned; unknown keys are left out. Raises KeyError, TypeError."""
        known = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
        known["checks"] = tuple(
            Check(check["name"], check["ok"], check.get("detail", ""), check.get("warning", False))
            for check in plain.get("checks", ())
        )
        for key, kind in (("fingerprints", Fingerprint), ("tables", Table), ("pictures", Picture)):
            known[key] = tuple(kind.from_json(one) for one in plain.get(key, ()))
        return cls(**known)


METRICS = (
    "parameters",
    "load_seconds",
    "infer_seconds",
    "peak_memory_bytes",
    "peak_resident_bytes",
    "peak_gpu_memory_bytes",
    "device",
    "dtype",
    "seconds",
)


def complete_metrics(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return `found` with every key that a result promises."""
    metrics: dict[str, Any] = dict.fromkeys(METRICS)
    metrics["libraries"] = {}
    metrics.update(found)
    return metrics


def _as_strings(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in files.items()}


def _as_paths(files: Mapping[str, str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in files.items()}
