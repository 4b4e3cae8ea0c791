"""What happens during a run, for programs: one JSON object a line, in a file or a pipe."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from fetcher.errors import UsageError
from fetcher.i18n import t


class Events:
    """A stream of events; without a file it takes them and does nothing.

    Every event has `event` (its kind) and `time` (seconds since 1970). Whoever reads a pipe may go
    away: the run goes on.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._stream: TextIO | None = None
        self._writing = threading.Lock()
        if path is not None:
            try:
                # A line at a time, so that a reader never sees half of one.
                self._stream = path.open("w", encoding="utf-8", buffering=1)
            except OSError as error:
                raise UsageError(
                    t("--json-events {path}: {strerror}", path=path, strerror=error.strerror),
                    t("name a file that can be written"),
                ) from error

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._stream is not None

    def send(self, event: str, **values: Any) -> None:
        """Write one event."""
        if self._stream is None:
            return
        line = json.dumps({"event": event, "time": round(time.time(), 3), **values})
        with self._writing:
            try:
                if self._stream is not None:
                    self._stream.write(line + "\n")
            except (OSError, ValueError):
                self._stream = None

    def close(self) -> None:
        """Nothing more happens."""
        if self._stream is not None:
            try:
                self._stream.close()
            except OSError:
                pass
            self._stream = None
