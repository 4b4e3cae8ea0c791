"""One file of one artifact at one target, and what is to be done with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fetcher.errors import Problem
from fetcher.tree import json_edits
from fetcher.tree.actions import BLOCKED, GET, KEEP, PLACE, UNVERIFIED

if TYPE_CHECKING:
    from fetcher.project.manifest import Artifact
    from fetcher.sources.base import FileEntry


@dataclass(eq=False, slots=True)
class Item:
    """One file of one artifact at one target.

    `target` is relative to `tree`, or absolute in the Hugging Face cache and in a library's folder,
    whose path `root` then is, and `root_name` its name. `anew`: it must come from its source in
    this run, as nobody has said yet that the bytes here are its.
    `replaces` marks a file of ours that an older plan has placed there, `mode_only` one whose
    bytes are right, and that only is to be let be run; it need not be `ours`. In the cache,
    `etag` is the name that its blob gets (its git id or sha256), `said_by` who says so, and `ref`
    the branch that is to lead there.
    """

    artifact: Artifact
    file: FileEntry
    target: str
    tree: str
    edit: Mapping[str, object] | None = None
    writable: bool = False
    hub: str = ""
    root: str = ""
    root_name: str = ""
    anew: bool = False
    action: str = GET
    sha256: str = ""
    replaces: bool = False
    mode_only: bool = False
    ours: bool = True
    touched: bool = False
    changed_by_user: bool = False
    aside: bool = False  # move what stands there to .fetch/kept/ first
    placed: bool = False
    stat: os.stat_result | None = None
    problem: Problem | None = None
    origin: str = ""
    etag: str = ""
    said_by: str = ""
    ref: str = ""
    found_at: str = ""  # where in the tree its content stands, if the store has not got it

    @property
    def path(self) -> str:
        """The absolute path of the target."""
        return self.target if self.outside else f"{self.tree}{os.sep}{self.target}"

    @property
    def outside(self) -> bool:
        """Whether it stands in no tree: other projects see it, too."""
        return bool(self.hub or self.root)

    @property
    def below(self) -> str:
        """The target below the tree, or below its library's folder."""
        return self.target[len(self.root) :].lstrip("/") if self.root else self.target

    @property
    def is_copy(self) -> bool:
        """Whether it may share no bytes with the store's blob: it will be changed, or has a mode
        of its own."""
        return bool(self.writable or self.edit or self.file.executable)

    @property
    def lost_mode(self) -> bool:
        """Whether all that is wrong is that it may not be run."""
        return self.mode_only and self.action == PLACE

    @property
    def stands(self) -> bool:
        """Whether a file is there that may be looked at, right or not."""
        if self.action == BLOCKED:
            return False  # it may be there behind a link that is not followed
        return self.action in {KEEP, UNVERIFIED} or os.path.exists(self.path)

    @property
    def content(self) -> str:
        """What tells its content from others: two items with one need one download."""
        key = self.file.key or f"{self.artifact.full_name}/{self.file.path}"
        return f"anew:{self.artifact.full_name}/{self.file.path}" if self.anew else key

    @property
    def edit_key(self) -> str:
        """Fingerprint of the edits, "" without any."""
        return json_edits.fingerprint(self.edit) if self.edit else ""
