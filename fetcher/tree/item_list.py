"""The items of an artifact's plan, most of them packed: there may be a million that are as they
should be, and nobody asks for them one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from fetcher.project.file_table import Run
from fetcher.sources.base import FileEntry
from fetcher.tree.actions import KEEP
from fetcher.tree.item import Item


@dataclass(eq=False, slots=True)
class PackedRun:
    """Files of one folder of the table that all have one `action`, KEEP or GET, but for those in
    `singular`, by their index; `folder` is the target's, "" or with "/" at its end."""

    run: Run
    folder: str
    action: str
    make: Callable[[FileEntry, str], Item]
    singular: dict[int, Item] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.run)

    def __iter__(self) -> Iterator[Item]:
        own = self.singular
        for index, (name, file) in enumerate(zip(self.run.names, self.run, strict=True)):
            yield own.get(index) or self._item(file, name)

    def _item(self, file: FileEntry, name: str) -> Item:
        item = self.make(file, self.folder + name)
        item.action = self.action
        if self.action == KEEP:
            item.sha256 = file.sha256 or ""
        return item

    def at(self, index: int) -> Item:
        """One of them."""
        known = self.singular.get(index)
        return known or self._item(self.run[index], self.run.names[index])

    @property
    def alike(self) -> int:
        """How many have the one action."""
        return len(self.run) - len(self.singular)


class ItemList(Sequence[Item]):
    """The items of one artifact, in the order of the plan.

    A packed item is made anew whenever it is asked for: what is to be changed is `singular`.
    """

    __slots__ = ("_pieces",)

    def __init__(self, items: Iterable[Item] = ()) -> None:
        first = list(items)
        self._pieces: list[list[Item] | PackedRun] = [first] if first else []

    def append(self, item: Item) -> None:
        """Add one."""
        self.extend((item,))

    def extend(self, items: Iterable[Item]) -> None:
        """Add some."""
        if not (self._pieces and isinstance(self._pieces[-1], list)):
            self._pieces.append([])
        self._pieces[-1].extend(items)  # type: ignore[union-attr]

    def pack(self, run: PackedRun) -> None:
        """Add a run of files."""
        self._pieces.append(run)

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def __bool__(self) -> bool:
        return any(map(len, self._pieces))

    def __iter__(self) -> Iterator[Item]:
        for piece in self._pieces:
            yield from piece

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return list(self)[index]
        place = index + len(self) if index < 0 else index
        for piece in self._pieces if place >= 0 else ():
            if place < len(piece):
                return piece.at(place) if isinstance(piece, PackedRun) else piece[place]
            place -= len(piece)
        raise IndexError(index)

    def packed(self) -> Iterator[PackedRun]:
        """The runs."""
        return (piece for piece in self._pieces if isinstance(piece, PackedRun))

    def pieces(self) -> Iterator[list[Item] | PackedRun]:
        """Runs, and items between them."""
        return iter(self._pieces)

    def singular(self) -> Iterator[Item]:
        """Those that are not packed: whatever has a problem, was read, or is ours alone."""
        for piece in self._pieces:
            yield from piece.singular.values() if isinstance(piece, PackedRun) else piece

    def pending(self) -> Iterator[Item]:
        """All but what is packed and as it should be."""
        for piece in self._pieces:
            if isinstance(piece, PackedRun) and piece.action == KEEP:
                yield from piece.singular.values()
            else:
                yield from piece

    def to_do(self) -> Iterator[Item | PackedRun]:
        """The same with runs as they are, where all of a run is."""
        for piece in self._pieces:
            if not isinstance(piece, PackedRun):
                yield from piece
            elif piece.action == KEEP:
                yield from piece.singular.values()
            elif piece.singular:
                yield from piece
            else:
                yield piece

    def actions(self) -> Counter[str]:
        """How many have which action."""
        found = Counter(item.action for item in self.singular())
        for run in self.packed():
            found[run.action] += run.alike
        return +found

    def withhold(self, actions: Iterable[str], action: str) -> None:
        """Give those that have one of `actions` another one."""
        for item in self.singular():
            if item.action in actions:
                item.action = action
        for run in self.packed():
            if run.action in actions:
                run.action = action

    def bytes(self) -> int:
        """Their sizes' sum, as far as they are known."""
        return sum(
            sum(piece.run.sizes)
            if isinstance(piece, PackedRun)
            else sum(item.file.size or 0 for item in piece)
            for piece in self._pieces
        )
