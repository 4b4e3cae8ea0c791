"""Lets probes start as memory allows: one that needs more than there is runs alone."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK_AGAIN = 0.2  # seconds


class Budget:
    """Memory of the host and of a GPU, in bytes; None is without bound. Safe between threads."""

    def __init__(self, host: int | None, gpu: int | None = None) -> None:
        self._total = (host, gpu)
        self._used = [0, 0]
        self._holders = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, host: int, gpu: int, stop: threading.Event) -> Iterator[None]:
        """Wait until so much is free, or nobody else holds any, or `stop` is set; then hold it."""
        with self._changed:
            while self._holders and not self._fits(host, gpu) and not stop.is_set():
                self._changed.wait(_LOOK_AGAIN)
            self._add(host, gpu, 1)
        try:
            yield
        finally:
            with self._changed:
                self._add(-host, -gpu, -1)
                self._changed.notify_all()

    def _fits(self, *wanted: int) -> bool:
        return all(
            total is None or used + more <= total
            for total, used, more in zip(self._total, self._used, wanted, strict=True)
        )

    def _add(self, host: int, gpu: int, holders: int) -> None:
        self._used[0] += host
        self._used[1] += gpu
        self._holders += holders
