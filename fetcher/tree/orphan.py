"""One orphan: a file that was placed here, and that nothing wants any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # what speaks of orphans is loaded by every command
    from fetcher.tree.state import StateRow

MOVED = "moved"  # its artifact has the content at another place
REPLACED = "replaced"  # a loader of its artifact would read it beside, or before, the new files
UNLISTED = "unlisted"  # its artifact no longer has it, or the layout no longer places it
OTHER = "other-variant"  # of a choice that is not the one now
REMOVED = "removed"  # nothing declares its artifact any more


class Orphan(NamedTuple):
    """One of them. `path` is relative to the tree, `size` in bytes.

    `artifact` is its full name; `to` is where the content stands now, if it was moved; `changed`
    says that it is not as it was placed.
    """

    path: str
    artifact: str
    why: str
    changed: bool
    size: int
    row: StateRow
    to: str = ""

    @property
    def goes_at_once(self) -> bool:
        """Whether a run takes it away without being told to."""
        return not self.changed and self.why in {MOVED, REPLACED, OTHER}
