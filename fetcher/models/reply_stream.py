"""A reply in pieces: written by a thread of its own, read by another."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

# Takes a piece, and says whether to go on.
Tell = Callable[[str], bool]


def pieces(write: Callable[[Tell], Any]) -> Iterator[str]:
    """Yield what `write` tells, from a thread of its own; it ends when the iterator is closed."""
    told: queue.SimpleQueue[tuple[str, BaseException | None] | None] = queue.SimpleQueue()
    wanted = threading.Event()
    wanted.set()

    def tell(piece: str) -> bool:
        if piece:
            told.put((piece, None))
        return wanted.is_set()

    def work() -> None:
        try:
            write(tell)
        except BaseException as error:
            told.put(("", error))
        finally:
            told.put(None)

    threading.Thread(target=work, name="fetch-stream", daemon=True).start()
    try:
        while (found := told.get()) is not None:
            piece, error = found
            if error is not None:
                raise error
            yield piece
    finally:
        wanted.clear()
