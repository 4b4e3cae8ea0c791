"""What sources themselves delivered to a person's runs, kept beside the blobs.

One line a file: the source and revision as a lock writes them, the file's path there, its sha256.
Only what this person's own runs wrote counts; others who share the store have files of their own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fetcher.fs.owners import is_word_of_ours, my_name
from fetcher.store.upstream_records import FOLDER
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import NotRegularError, open_regular


class SourceStatement(NamedTuple):
    """A source delivered these bytes as this file of this revision."""

    source: str
    revision: str
    path: str
    sha256: str


class SourceRecords:
    """The statements below a store's folder."""

    def __init__(self, store: Path) -> None:
        mine = my_name()
        self._path = store / FOLDER / (f"delivered.{mine}.jsonl" if mine else "delivered.jsonl")
        self._known: set[SourceStatement] | None = None

    def has(self, statement: SourceStatement) -> bool:
        """Whether the source once delivered these bytes."""
        if self._known is None:
            self._known = self._read()
        return statement in self._known

    def _read(self) -> set[SourceStatement]:
        found: set[SourceStatement] = set()
        try:
            with open_regular(self._path) as stream:
                if not is_word_of_ours(os.fstat(stream.fileno())):
                    return found
                for line in stream:
                    values = _values(line)
                    if values is not None:
                        found.add(values)
        except (OSError, NotRegularError):
            pass
        return found

    def add(self, said: Iterable[SourceStatement]) -> None:
        """Keep what is new. Raises OSError."""
        fresh = [one for one in dict.fromkeys(said) if not self.has(one)]
        if not fresh:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(self._path, flags, 0o644)
        try:
            # A line that a killed run left unfinished ends here.
            os.write(handle, "".join(f"\n{json.dumps(one._asdict())}\n" for one in fresh).encode())
        finally:
            os.close(handle)
        if self._known is not None:
            self._known.update(fresh)


def _values(line: bytes) -> SourceStatement | None:
    try:
        values = json_text.loads(line)
        found = SourceStatement(**values)
    except (ValueError, TypeError):
        return None
    return found if all(isinstance(text, str) for text in found) else None
