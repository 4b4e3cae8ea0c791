"""What goes between the two interpreters as JSON, and from results into reports.

For type checkers alone, but read by both interpreters: syntax of Python 3.8. What a child writes
is not believed: it is read as `ChildEvent`, and judged before it becomes one of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Literal

    State = Literal["passed", "failed", "skipped"]
    # A line that a child wrote: its code may have written anything there.
    ChildEvent = Mapping[str, object]
    # Figures by name, and libraries by name: numbers and texts, some of them in tables.
    Metrics = dict[str, Any]


class FingerprintJson(TypedDict):
    """A few numbers of an output; see `Fingerprint`."""

    name: str
    shape: list[int]
    mean: float
    std: float
    low: float
    high: float
    samples: list[float]
    sketch: list[float]
    tolerance: float | None


class FactJson(TypedDict):
    """What a probe read or got that is the same everywhere."""

    name: str
    value: str


class TableJson(TypedDict):
    """Rows under column titles."""

    name: str
    columns: list[str]
    rows: list[list[object]]
    caption: str


class PictureJson(TypedDict):
    """A picture without its bytes; sides in pixels."""

    name: str
    caption: str
    width: int
    height: int


class CheckJson(TypedDict):
    """One statement about the artifact."""

    name: str
    ok: bool
    detail: str
    warning: bool


class ProbeRequestJson(TypedDict):
    """One artifact to prove; see `ProbeRequest` for units."""

    artifact: str
    type: str
    root: str
    files: dict[str, str]
    options: Mapping[str, object]
    device: str
    dtype: str | None
    seed: int
    timeout: float
    memory_limit: int | None
    gpu_only: bool
    min_vram: int | None
    related: dict[str, dict[str, str]]
    trust_code: bool
    trusted_related: list[str]
    pickles: dict[str, list[str]]


class ProbeResultJson(TypedDict):
    """How one probe ended, as reports have it."""

    artifact: str
    type: str
    state: State
    reason: str
    hint: str
    checks: list[CheckJson]
    metrics: Metrics
    log: str
    fingerprints: list[FingerprintJson]
    facts: list[FactJson]
    tables: list[TableJson]
    pictures: list[PictureJson]


class ProbeLocationJson(TypedDict):
    """Where a probe's object is; see `ProbeLocation`."""

    type: str
    module: str
    attribute: str
    top: str
    file: str | None
    folders: list[str] | None


class TaskJson(TypedDict):
    """What a child gets on its standard input; paths are absolute, `parent` is a process id."""

    request: ProbeRequestJson
    probe: ProbeLocationJson
    events: str
    scratch: str
    pictures: str
    parent: int


class EndingJson(TypedDict):
    """What came of a probe's run."""

    state: State
    reason: str
    hint: str


class StageEvent(TypedDict):
    """What begins now."""

    event: Literal["stage"]
    name: str


class CheckEvent(TypedDict):
    """A check as soon as it is known."""

    event: Literal["check"]
    name: str
    ok: bool
    detail: str
    warning: bool


class FingerprintEvent(FingerprintJson):
    """A fingerprint as soon as it is taken."""

    event: Literal["fingerprint"]


class FactEvent(FactJson):
    """A fact as soon as it is known."""

    event: Literal["fact"]


class TableEvent(TableJson):
    """A table for the report."""

    event: Literal["table"]


class PictureEvent(TypedDict):
    """A picture that lies as `file` in the folder for pictures."""

    event: Literal["picture"]
    name: str
    caption: str
    file: str


class DoneEvent(EndingJson):
    """The last line of a run."""

    event: Literal["done"]
    metrics: Metrics


if TYPE_CHECKING:
    Event = (
        StageEvent
        | CheckEvent
        | FingerprintEvent
        | FactEvent
        | TableEvent
        | PictureEvent
        | DoneEvent
    )
