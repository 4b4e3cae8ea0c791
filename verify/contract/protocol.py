"""What a probe is asked, what it answers, and what a probe has to offer.

Read by fetch's interpreter and by the project's, which may be older: syntax of Python 3.8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.verify.contract.exhibits import Fact, Fingerprint, Picture, Table
from fetcher.verify.contract.options import Problem as Problem  # noqa: PLC0414  (probes of others take it from here)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.contract.wire import (
        CheckJson,
        Metrics,
        ProbeRequestJson,
        ProbeResultJson,
        State,
    )

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class ProbeRequest:
    """One artifact to prove.

    `root` is the absolute directory that the artifact's tree was placed in; `files` maps each of
    the artifact's own paths to the absolute path where it stands, renames included, and `related`
    holds the same for other artifacts by id (an adapter's base). `options` is the manifest's
    `probe:` without `type`. `device` is `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `timeout` is in
    seconds and includes imports; `memory_limit` (host) and `min_vram` (GPU) are in bytes. With
    `gpu_only`, or less GPU memory than `min_vram`, the probe is skipped. The last three are
    the person's own word, from their settings or command line and never from a manifest:
    `trust_code` lets code of the artifact run, `trusted_related` names those of `related` whose
    code may; `pickles` has the globals that pickles may use besides tensors, by a file's sha256.

    Raises ValueError for a relative path, another device, or a number that makes no sense.
    """

    artifact: str
    type: str
    root: Path
    files: Mapping[str, Path]
    options: ProbeOptions = field(default_factory=dict)
    device: str = "auto"
    dtype: str | None = None
    seed: int = 0
    timeout: float = 600.0
    memory_limit: int | None = None
    gpu_only: bool = False
    min_vram: int | None = None
    related: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    trust_code: bool = False
    trusted_related: Sequence[str] = ()
    pickles: Mapping[str, Sequence[str]] = field(default_factory=dict)

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

    def to_json(self) -> ProbeRequestJson:
        """Return a mapping that `json` can write, for `from_json`."""
        return {
            "artifact": self.artifact,
            "type": self.type,
            "root": str(self.root),
            "files": _as_strings(self.files),
            "options": dict(self.options),
            "device": self.device,
            "dtype": self.dtype,
            "seed": self.seed,
            "timeout": self.timeout,
            "memory_limit": self.memory_limit,
            "gpu_only": self.gpu_only,
            "min_vram": self.min_vram,
            "related": {name: _as_strings(files) for name, files in self.related.items()},
            "trust_code": self.trust_code,
            "trusted_related": list(self.trusted_related),
            "pickles": {digest: list(names) for digest, names in self.pickles.items()},
        }

    @classmethod
    def from_json(cls, plain: ProbeRequestJson) -> ProbeRequest:
        """Read what `to_json` returned. Raises KeyError, ValueError."""
        return cls(
            plain["artifact"],
            plain["type"],
            Path(plain["root"]),
            _as_paths(plain["files"]),
            plain["options"],
            device=plain["device"],
            dtype=plain["dtype"],
            seed=plain["seed"],
            timeout=plain["timeout"],
            memory_limit=plain["memory_limit"],
            gpu_only=plain["gpu_only"],
            min_vram=plain["min_vram"],
            related={name: _as_paths(files) for name, files in plain["related"].items()},
            trust_code=plain["trust_code"],
            trusted_related=tuple(plain["trusted_related"]),
            pickles={digest: tuple(names) for digest, names in plain["pickles"].items()},
        )


@dataclass(frozen=True)
class Check:
    """One statement about the artifact: `detail` is what was found, also where it holds.

    A `warning` is ok for the model, but will trouble those who use it.
    """

    name: str
    ok: bool
    detail: str = ""
    warning: bool = False

    def to_json(self) -> CheckJson:
        """Return a mapping that `json` can write."""
        return {
            "name": self.name,
            "ok": self.ok,
            "detail": self.detail,
            "warning": self.warning,
        }


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
    metrics: Metrics = field(default_factory=dict)
    log: str = ""
    fingerprints: tuple[Fingerprint, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    facts: tuple[Fact, ...] = ()

    def to_json(self) -> ProbeResultJson:
        """Return a mapping that `json` can write, for `from_json`; pictures without their bytes."""
        return {
            "artifact": self.artifact,
            "type": self.type,
            "state": self.state,
            "reason": self.reason,
            "hint": self.hint,
            "checks": [check.to_json() for check in self.checks],
            "metrics": dict(self.metrics),
            "log": self.log,
            "fingerprints": [one.to_json() for one in self.fingerprints],
            "facts": [one.to_json() for one in self.facts],
            "tables": [one.to_json() for one in self.tables],
            "pictures": [one.to_json() for one in self.pictures],
        }

    @classmethod
    def from_json(cls, plain: ProbeResultJson) -> ProbeResult:
        """Read what `to_json` returned. Raises KeyError, TypeError, ValueError."""
        return cls(
            plain["artifact"],
            plain["type"],
            plain["state"],
            plain["reason"],
            plain["hint"],
            tuple(Check(**check) for check in plain["checks"]),
            plain["metrics"],
            plain["log"],
            tuple(Fingerprint.from_json(one) for one in plain["fingerprints"]),
            tuple(Table.from_json(one) for one in plain["tables"]),
            tuple(Picture.from_json(one) for one in plain["pictures"]),
            tuple(Fact.from_json(one) for one in plain.get("facts", ())),
        )


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


def complete_metrics(found: Mapping[str, object]) -> Metrics:
    """Return `found` with every key that a result promises."""
    metrics: Metrics = dict.fromkeys(METRICS)
    metrics["libraries"] = {}
    metrics.update(found)
    return metrics


def _as_strings(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in files.items()}


def _as_paths(files: Mapping[str, str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in files.items()}
